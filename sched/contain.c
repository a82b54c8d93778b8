/* SPDX-License-Identifier: MIT */
#include "contain.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "callout.h"
#include "contain_fault.h"
#include "core.h"
#include "poison.h"
#include "port.h"
#include "runtime.h"
#include "text.h"
#include "worker.h"

/** Nothing of a process lies below: what is touched there is a field of, or an element at, NULL. */
#define NULL_SPAN 65536

/** Of a signal handler: ours needs a page or two, those before us what they need. */
#define ALTERNATE_SIZE ((size_t)65536)

/** What trp_actor_crash() and all it calls use of a stack. */
#define LANDING_SIZE 32768

/** Below the stack pointer the code that was interrupted may have something. */
#define RED_ZONE 512

/* ---- stacks ---- */

struct stack {
    uintptr_t low;
    uintptr_t high; /* 0: not known */
    size_t guard;   /* bytes below `low` that cannot be touched */
};

/** The calling thread's own. */
static TRP_THREAD_LOCAL struct stack own_stack;

/* Where the calling thread's stack is.  Without memory that stays unknown, and nothing in it is contained. */
static void find_stack(void)
{
    pthread_attr_t attr;
    void *low = NULL;
    size_t size = 0;

    if (own_stack.high != 0 || pthread_getattr_np(pthread_self(), &attr) != 0) {
        return;
    }
    (void)pthread_attr_getstack(&attr, &low, &size);
    pthread_attr_getguardsize(&attr, &own_stack.guard);
    pthread_attr_destroy(&attr);
    own_stack.low = (uintptr_t)low;
    own_stack.high = (uintptr_t)low + size;
    if (own_stack.guard == 0) {
        /* The first thread's has a gap of the kernel's instead. */
        own_stack.guard = NULL_SPAN;
    }
}

static struct stack stack_of(const struct trp_worker *worker)
{
    const struct trp_fiber *fiber = worker->host.fiber;

    if (fiber == NULL) {
        return own_stack;
    }
    return (struct stack){.low = (uintptr_t)fiber->stack,
        .high = (uintptr_t)fiber->stack + fiber->size,
        .guard = worker->runtime->stacks.page};
}

/* ---- whether it is safe to go on ---- */

/** An address in the program, as opposed to the libraries that it uses. */
static uintptr_t program;

/* The object that was loaded with this address in it, or NULL. */
static const void *object_of(uintptr_t address)
{
    struct dl_find_object found;

    return _dl_find_object((void *)address, &found) == 0 ? found.dlfo_map_start : NULL;
}

static bool is_users(const struct trp_fault *fault)
{
    const void *object = object_of(fault->code);

    return object != NULL && !trp_text_has(fault->code) &&
           (object == object_of(program) ||
               object == object_of((uintptr_t)fault->actor->behaviour));
}

/* Whether it wrote where nothing is, and so may have written before where something is. */
static bool is_wild(const struct trp_fault *fault)
{
    return fault->signal == SIGSEGV && fault->regs.wrote && !fault->overflow &&
           !(fault->has_address && fault->address < NULL_SPAN);
}

static const char *find_refusal(const struct trp_fault *fault, const struct stack *stack)
{
    if (fault->worker->runtime->options.faults != TROUPE_FAULTS_CONTAIN) {
        return "it was not asked for (faults in struct troupe_runtime_options)";
    }
    if (fault->regs.sp < stack->low - stack->guard || fault->regs.sp >= stack->high) {
        return "the stack pointer is not in the actor's stack";
    }
    if (!is_users(fault)) {
        return "it is in the runtime or in another library, which may be in the middle of "
               "something";
    }
    if (trp_callouts > 0) {
        return "the runtime is in the middle of something: it is in what destroys a body, an "
               "allocator, "
               "a report or a decision";
    }
    if (is_wild(fault)) {
        return "it is a wild write, and others before it may have hit something";
    }
    return NULL;
}

static void examine(struct trp_fault *fault, const siginfo_t *info, const void *context)
{
    struct stack stack = stack_of(fault->worker);
    uintptr_t sp = trp_regs_sp(context);

    trp_regs_read(context, sp >= stack.low && sp < stack.high, &fault->regs);
    fault->code = fault->regs.pc < NULL_SPAN ? fault->regs.caller : fault->regs.pc;
    /* The kernel itself says so where the processor has told no address. */
    fault->has_address =
        (fault->signal == SIGSEGV || fault->signal == SIGBUS) && info->si_code != SI_KERNEL;
    fault->address = (uintptr_t)info->si_addr;
    fault->on_fiber = fault->worker->host.fiber != NULL;
    fault->stack_size = stack.high - stack.low;
    fault->overflow = fault->has_address && stack.high != 0 && fault->address < stack.low &&
                      fault->address >= stack.low - stack.guard &&
                      sp < stack.low + fault->worker->runtime->stacks.page;
    fault->refusal = find_refusal(fault, &stack);
}

/* ---- going on ---- */

/* On the actor's stack, after the signal handler. */
static void crash(void)
{
    struct trp_worker *worker = trp_worker_current();

    trp_actor_crash(worker->context.current, worker->seat.text);
}

/* Where there is room, below what is not to be left: of a fiber everything is, of a thread the slice is not, which is far up if
 * the stack is used up. */
static uintptr_t landing_of(const struct trp_fault *fault)
{
    struct stack stack = stack_of(fault->worker);
    uintptr_t least = stack.low + LANDING_SIZE;
    uintptr_t sp = fault->regs.sp - RED_ZONE;

    if (fault->on_fiber) {
        return stack.high - RED_ZONE;
    }
    return sp > least ? sp : least;
}

static void land(const struct trp_fault *fault, void *context)
{
    struct stack stack = stack_of(fault->worker);
    uintptr_t landing = landing_of(fault);
    uintptr_t least = fault->on_fiber ? stack.low : landing - LANDING_SIZE;

    trp_fault_describe(fault, fault->worker->seat.text, sizeof fault->worker->seat.text);
    /* Of frames that never return. */
    TRP_UNPOISON((void *)least, landing - least);
    trp_regs_land(context, landing, crash);
}

/* ---- the signal handler ---- */

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

static struct {
    pthread_mutex_t lock;
    unsigned users; /* under lock */
    struct sigaction
        before[TROUPE_COUNT(signals)]; /* written under lock, before our handlers are there */
} process = {.lock = PTHREAD_MUTEX_INITIALIZER};

/** In the handler before us: if that comes back to us, there is no other. */
static TRP_THREAD_LOCAL bool is_chaining;

/* Whether somebody sent it: it is not about what this thread does. */
static bool is_sent(const siginfo_t *info)
{
    return info->si_code <= 0;
}

/* As if there were no handler: what was interrupted does it again. */
static void die(int signal, const siginfo_t *info)
{
    (void)sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    if (is_sent(info)) {
        (void)raise(signal);
    }
}

static void call_handler(const struct sigaction *before, int signal, siginfo_t *info, void *context)
{
    sigset_t blocked = before->sa_mask;
    sigset_t old;

    if ((before->sa_flags & SA_NODEFER) == 0) {
        sigaddset(&blocked, signal);
    }
    pthread_sigmask(SIG_BLOCK, &blocked, &old);
    is_chaining = true;
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(signal, info, context);
    } else {
        before->sa_handler(signal);
    }
    is_chaining = false;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void chain(int signal, siginfo_t *info, void *context)
{
    const struct sigaction *before = process.before;

    for (size_t i = 0; signals[i] != signal; i++) {
        before++;
    }
    /* The kernel does not let a fault be ignored. */
    if (is_chaining || before->sa_handler == SIG_DFL ||
        (before->sa_handler == SIG_IGN && !is_sent(info))) {
        die(signal, info);
    } else if (before->sa_handler != SIG_IGN) {
        call_handler(before, signal, info, context);
    }
}

/* Whether this thread is in a slice of a runtime that wants to know. */
static bool is_ours(const struct trp_worker *worker)
{
    return worker != NULL && worker->runtime->options.faults != TROUPE_FAULTS_LEAVE &&
           worker->context.current != NULL && !worker->seat.faulting;
}

/* True: the thread goes on, and its actor ends. */
static bool contain(struct trp_worker *worker, int signal, const siginfo_t *info, void *context)
{
    struct trp_fault fault = {.signal = signal, .worker = worker, .actor = worker->context.current};

    worker->seat.faulting = true;
    examine(&fault, info, context);
    if (fault.refusal == NULL) {
        land(&fault, context);
    } else {
        trp_fault_tell(&fault);
    }
    worker->seat.faulting = false;
    return fault.refusal == NULL;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    int error = errno;
    struct trp_worker *worker = trp_worker_current();

    if (is_sent(info) || !is_ours(worker) || !contain(worker, signal, info, context)) {
        chain(signal, info, context);
    }
    errno = error;
}

static void install(void)
{
    /* Not blocked: another fault in it ends the process at once, as it should, and nothing is left to be undone. */
    struct sigaction ours = {
        .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

    for (size_t i = 0; i < TROUPE_COUNT(signals); i++) {
        (void)sigaction(signals[i], NULL, &process.before[i]);
        (void)sigaction(signals[i], &ours, NULL);
    }
}

static void restore(void)
{
    for (size_t i = 0; i < TROUPE_COUNT(signals); i++) {
        struct sigaction now;

        (void)sigaction(signals[i], NULL, &now);
        if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_fault) {
            (void)sigaction(signals[i], &process.before[i], NULL);
        }
    }
}

bool trp_contain_can(void)
{
    /* Of a program without a dynamic linker the C library is a part that we cannot tell from it. */
    return trp_regs_are_known() && trp_text_is_known() && getauxval(AT_BASE) != 0;
}

void trp_contain_open(const struct troupe_runtime_options *options)
{
    if (options->faults == TROUPE_FAULTS_LEAVE) {
        return;
    }
    pthread_mutex_lock(&process.lock);
    if (process.users++ == 0) {
        program = getauxval(AT_ENTRY);
        install();
    }
    pthread_mutex_unlock(&process.lock);
}

void trp_contain_close(const struct troupe_runtime_options *options)
{
    if (options->faults == TROUPE_FAULTS_LEAVE) {
        return;
    }
    pthread_mutex_lock(&process.lock);
    if (--process.users == 0) {
        restore();
    }
    pthread_mutex_unlock(&process.lock);
}

/* ---- seats ---- */

static char *map_alternate(size_t guard)
{
    char *stack = mmap(NULL, guard + ALTERNATE_SIZE, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    if (stack == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(stack, guard, PROT_NONE) < 0) {
        (void)munmap(stack, guard + ALTERNATE_SIZE);
        return NULL;
    }
    return stack;
}

int trp_contain_prepare(struct trp_worker *worker)
{
    struct trp_seat *seat = &worker->seat;
    enum troupe_faults faults = worker->runtime->options.faults;

    if (faults != TROUPE_FAULTS_LEAVE && seat->alternate == NULL) {
        seat->alternate = map_alternate(worker->runtime->stacks.page);
    }
    return faults != TROUPE_FAULTS_CONTAIN || seat->alternate != NULL ? TROUPE_OK : TROUPE_ENOMEM;
}

void trp_contain_release(struct trp_worker *worker)
{
    struct trp_seat *seat = &worker->seat;

    /* One that another thread's signals would still find stays: it turned the runtime, and did not destroy it. */
    if (seat->alternate != NULL && !seat->uses) {
        (void)munmap(seat->alternate, worker->runtime->stacks.page + ALTERNATE_SIZE);
    }
    seat->alternate = NULL;
}

static bool is_seated(const struct trp_seat *seat)
{
    return seat->taken && pthread_equal(seat->thread, pthread_self()) != 0;
}

/* A thread that has an alternate stack keeps it. */
static void give_alternate(struct trp_worker *worker)
{
    struct trp_seat *seat = &worker->seat;
    stack_t now = {.ss_flags = SS_DISABLE};

    (void)sigaltstack(NULL, &now);
    if (seat->alternate == NULL || seat->uses || (now.ss_flags & SS_DISABLE) == 0) {
        return;
    }
    (void)sigaltstack(&(stack_t){.ss_sp = seat->alternate + worker->runtime->stacks.page,
                          .ss_size = ALTERNATE_SIZE},
        NULL);
    seat->uses = true;
}

void trp_contain_sit(struct trp_worker *worker, bool owned)
{
    struct trp_seat *seat = &worker->seat;
    sigset_t faults;

    if (worker->runtime->options.faults == TROUPE_FAULTS_LEAVE || is_seated(seat)) {
        return;
    }
    /* Of the first thread, which may turn, it is read from a file. */
    if (owned || worker->runtime->options.faults == TROUPE_FAULTS_CONTAIN) {
        find_stack();
    }
    give_alternate(worker);
    seat->taken = true;
    seat->thread = pthread_self();
    if (owned) {
        sigemptyset(&faults);
        for (size_t i = 0; i < TROUPE_COUNT(signals); i++) {
            sigaddset(&faults, signals[i]);
        }
        /* One that is blocked would end the process in silence. */
        pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
    }
}

void trp_contain_rise(struct trp_worker *worker)
{
    struct trp_seat *seat = &worker->seat;
    stack_t now;

    if (!is_seated(seat)) {
        return;
    }
    (void)sigaltstack(NULL, &now);
    if (seat->uses && now.ss_sp == seat->alternate + worker->runtime->stacks.page) {
        (void)sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
        seat->uses = false;
    }
    seat->taken = false;
}
