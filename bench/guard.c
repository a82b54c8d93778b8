/* SPDX-License-Identifier: MIT */
/*
 * guard.c - troupe-guard: performs one operation so many times, to be counted by callgrind.  See the script `guard`.
 *
 * usage: troupe-guard --list                  the operations, one a line
 *        troupe-guard --build                 what the figures depend on besides the source
 *        troupe-guard OPERATION COUNT         COUNT times to warm up, then samples of COUNT and of 2 COUNT
 *
 * callgrind counts inside functions whose name begins with `counted_` and writes a total after each call of `sample`.
 * The difference of the last two samples, divided by COUNT, is the figure: what each sample costs at its ends falls out,
 * and so do start-up and warming up.
 *
 * Nothing here depends on when it runs.  The runtime has no threads: its one worker, the watchdog left out, is turned by
 * the main thread.  Of the outside world what would vary is replaced, for the library as well:
 *
 *   time           each reading of the clock is a microsecond after the one before, about what lies between two
 *                  readings when a core does this at full speed
 *   grace periods  end when the next one begins, by then the only thread has let go of everything, and not on
 *                  liburcu's thread some milliseconds later
 *   chance         a fixed seed
 *
 * Of the library's insides it uses the run queue, because with one worker nobody steals, and the way to a supervisor that
 * does not wait for its start, because without threads nobody could.
 *
 * Exit status: 0, 1 the operation went wrong, 2 the command line is.
 */
#include "child.h"
#include "runq.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <troupe.h>
#include <urcu-qsbr.h>
/* After the flavour. */
#include <urcu-call-rcu.h>

/** Messages that are sent in one turn, timers that are armed in one. */
#define BATCH 64

/** Of a request, and of a timer that is cancelled: far away, as they are. */
#define FAR_MS 10000

/** Longer than anything here takes, by our clock. */
#define LONG_MS 1000000

/** More restarts than there are readings of the clock in RESTART_PERIOD_MS: the supervisor never gives up. */
#define RESTARTS 2000
#define RESTART_PERIOD_MS 1

#define COUNT_MAX 1000000U

/* ---- the outside world ---- */

static uint64_t now_us;

/* Stands before the C library's. */
int clock_gettime(clockid_t clock, struct timespec *out_now)
{
    (void)clock;
    now_us++;
    out_now->tv_sec = (time_t)(now_us / 1000000U);
    out_now->tv_nsec = (long)(now_us % 1000000U * 1000U);
    return 0;
}

static struct rcu_head *awaited; /* whose grace period has begun, or NULL */

static void end_grace_period(void)
{
    struct rcu_head *over = awaited;

    awaited = NULL;
    if (over != NULL) {
        over->func(over);
    }
}

/* Stands before liburcu's, as does the next. */
void call_rcu(struct rcu_head *head, void (*done)(struct rcu_head *head))
{
    end_grace_period();
    head->func = done;
    awaited = head;
}

void rcu_barrier(void)
{
    end_grace_period();
}

/* ---- what all operations share ---- */

static struct troupe_runtime *runtime;
static troupe_pid driver;  /* `go` makes it perform `wanted - performed` operations */
static troupe_pid partner; /* of the driver, where it has one */
static uint64_t performed;
static uint64_t wanted;

static const struct troupe_type go = {.name = "go"};
static const struct troupe_type number = TROUPE_TYPE(uint64_t);

/* One more; whether it was the last. */
static bool was_last(void)
{
    performed++;
    return performed == wanted;
}

static int spawn(const struct troupe_behaviour *behaviour, troupe_pid *out_pid)
{
    struct troupe_spawn_options options = {.behaviour = behaviour};

    return troupe_runtime_spawn(runtime, &options, out_pid);
}

/* Until all is done. */
static TRP_NOINLINE int counted_turn(void)
{
    int wait_ms = 0;

    while (wait_ms == 0) {
        TROUPE_TRY(troupe_runtime_turn(runtime, LONG_MS, &wait_ms));
    }
    return TROUPE_OK;
}

static int perform_in_actors(void)
{
    struct troupe_message *msg;
    int error;

    TROUPE_TRY(troupe_message_create(runtime, &go, 0, &msg));
    error = troupe_try_send(runtime, driver, msg);
    if (error < 0) {
        troupe_message_destroy(msg);
        return error;
    }
    return counted_turn();
}

/* ---- send: two actors throw a ball; each is idle when it comes ---- */

static int player_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    if (troupe_is(msg, &go)) {
        return troupe_send(self, partner, &number, &performed);
    }
    return was_last() ? TROUPE_OK : troupe_send(self, troupe_sender(msg), &number, &performed);
}

static const struct troupe_behaviour player = {.name = "player", .receive = player_receive};

/* ---- fiber: as send, between two main functions, which wait for each throw ---- */

static int play(struct troupe_actor *self, const void *arg)
{
    (void)arg;
    for (;;) {
        struct troupe_message *msg;

        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        if (troupe_is(msg, &go)) {
            TROUPE_TRY(troupe_send(self, partner, &number, &performed));
        } else if (!was_last()) {
            TROUPE_TRY(troupe_send(self, troupe_sender(msg), &number, &performed));
        }
    }
}

static const struct troupe_behaviour playing = {.name = "playing", .main = play};

/* ---- batch: many messages in one turn; their reader asks for more when it has handled them ---- */

static int producer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    (void)msg;
    for (unsigned i = 0; i < BATCH; i++) {
        TROUPE_TRY(troupe_send(self, partner, &number, &performed));
    }
    return TROUPE_OK;
}

static int consumer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    if (was_last() || performed % BATCH != 0) {
        return TROUPE_OK;
    }
    return troupe_send(self, troupe_sender(msg), &go, NULL);
}

static const struct troupe_behaviour producer = {.name = "producer", .receive = producer_receive};
static const struct troupe_behaviour consumer = {.name = "consumer", .receive = consumer_receive};

/* ---- request: a question, its answer, and the time-out between them ---- */

static int on_answer(struct troupe_actor *self, void *state, void *context, int status,
    struct troupe_message *reply);

static int ask(struct troupe_actor *self)
{
    return troupe_request(self, partner, &number, &performed, FAR_MS, on_answer, NULL);
}

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)state;
    (void)context;
    (void)reply;
    TROUPE_TRY(status);
    return was_last() ? TROUPE_OK : ask(self);
}

static int asker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    (void)msg;
    return ask(self);
}

static int oracle_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    return troupe_reply(self, msg, &number, &performed);
}

static const struct troupe_behaviour asker = {.name = "asker", .receive = asker_receive};
static const struct troupe_behaviour oracle = {.name = "oracle", .receive = oracle_receive};

/* ---- spawn: an actor that spawns the next one and ends ---- */

static int spawn_mayfly(struct troupe_actor *self);

static int mayfly_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    if (!was_last()) {
        TROUPE_TRY(spawn_mayfly(self));
    }
    return TROUPE_DONE;
}

static int mayfly_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour mayfly = {
    .name = "mayfly", .init = mayfly_init, .receive = mayfly_receive};

static int spawn_mayfly(struct troupe_actor *self)
{
    struct troupe_spawn_options options = {.behaviour = &mayfly};
    troupe_pid pid;

    return troupe_spawn(self, &options, &pid);
}

static int breeder_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    (void)msg;
    return spawn_mayfly(self);
}

static const struct troupe_behaviour breeder = {.name = "breeder", .receive = breeder_receive};

/* ---- link, monitor: of an idle actor; made and ended ---- */

static int link_once(struct troupe_actor *self)
{
    TROUPE_TRY(troupe_link(self, partner));
    troupe_unlink(self, partner);
    return TROUPE_OK;
}

static int monitor_once(struct troupe_actor *self)
{
    troupe_ref ref;

    TROUPE_TRY(troupe_monitor(self, partner, &ref));
    return troupe_demonitor(self, ref) == 1 ? TROUPE_OK : TROUPE_EPROTO;
}

/* A batch, then the next one. */
static int repeat(struct troupe_actor *self, int (*once)(struct troupe_actor *self))
{
    for (unsigned i = 0; i < BATCH; i++) {
        TROUPE_TRY(once(self));
        if (was_last()) {
            return TROUPE_OK;
        }
    }
    return troupe_send(self, troupe_self(self), &go, NULL);
}

static int linker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    (void)msg;
    return repeat(self, link_once);
}

static int monitor_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    (void)msg;
    return repeat(self, monitor_once);
}

static const struct troupe_behaviour linker = {.name = "linker", .receive = linker_receive};
static const struct troupe_behaviour monitor = {.name = "monitor", .receive = monitor_receive};
static const struct troupe_behaviour idler = {.name = "idler", .receive = mayfly_receive};

/* ---- watched: the life of an actor with a monitor, which tells of its end ---- */

static int end_at_once(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    return TROUPE_DONE;
}

static const struct troupe_behaviour moth = {
    .name = "moth", .init = end_at_once, .receive = mayfly_receive};

static int warden_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    troupe_ref ref;
    troupe_pid pid;
    struct troupe_spawn_options options = {.behaviour = &moth, .monitor = &ref};

    (void)state;
    if (troupe_is(msg, &troupe_down) && was_last()) {
        return TROUPE_OK;
    }
    return troupe_spawn(self, &options, &pid);
}

static const struct troupe_behaviour warden = {.name = "warden", .receive = warden_receive};

/* ---- timer: armed, and cancelled before it fires ---- */

static int timer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    (void)msg;
    for (unsigned i = 0; i < BATCH; i++) {
        struct troupe_timer timer;

        TROUPE_TRY(troupe_tick_after(self, FAR_MS, &go, NULL, &timer));
        TROUPE_TRY(troupe_timer_cancel(self, timer));
        if (was_last()) {
            return TROUPE_OK;
        }
    }
    return troupe_send(self, troupe_self(self), &go, NULL);
}

static const struct troupe_behaviour timekeeper = {.name = "timekeeper", .receive = timer_receive};

/* ---- steal: half of a full run queue goes into an empty one ---- */

static struct trp_runq victim;
static struct trp_runq thief;

/* Stands for an actor: queues look at none. */
static char cell;

static int open_steal(void)
{
    trp_runq_init(&victim);
    trp_runq_init(&thief);
    return TROUPE_OK;
}

static void fill(struct trp_runq *runq)
{
    while (trp_runq_push(runq, (struct troupe_actor *)(void *)&cell)) {
    }
}

static void drain(struct trp_runq *runq)
{
    while (trp_runq_pop(runq) != NULL) {
    }
}

static TRP_NOINLINE uint32_t counted_steal(void)
{
    uint32_t stolen;

    return trp_runq_steal(&victim, &thief, &stolen) != NULL ? stolen : 0;
}

static int perform_steal(void)
{
    do {
        fill(&victim);
        if (counted_steal() != TRP_RUNQ_SLOTS / 2) {
            return TROUPE_EPROTO;
        }
        drain(&thief);
    } while (!was_last());
    drain(&victim);
    return TROUPE_OK;
}

/* ---- restart: a child crashes at its first message, and its supervisor makes the next one ---- */

static int child_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    driver = troupe_self(self);
    return performed == wanted ? TROUPE_OK : troupe_send(self, driver, &go, NULL);
}

static int child_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    performed++;
    return TROUPE_ECHECK;
}

static const struct troupe_behaviour child = {
    .name = "child", .init = child_init, .receive = child_receive};

static const struct troupe_child_spec children[] = {{.id = "child", .behaviour = &child}};

static const struct troupe_supervisor_spec tree = {
    .intensity = RESTARTS,
    .period_ms = RESTART_PERIOD_MS,
    .children = children,
    .child_count = TROUPE_COUNT(children),
};

static int open_restart(void)
{
    struct troupe_spawn_options options;
    troupe_pid supervisor;
    int error;

    TROUPE_TRY(troupe_supervisor_check(&tree, NULL));
    TROUPE_TRY(trp_supervisor_options(runtime, &tree, NULL, &options));
    error = troupe_runtime_spawn(runtime, &options, &supervisor);
    trp_supervisor_options_free(runtime, &options);
    return error;
}

/* ---- performing them ---- */

struct operation {
    const char *name;
    const char *about;
    int (*open)(void);                         /* what else it needs; or NULL */
    int (*perform)(void);                      /* until `performed` is `wanted` */
    const struct troupe_behaviour *partner_is; /* or NULL */
    const struct troupe_behaviour *driver_is;  /* or NULL */
};

static const struct operation operations[] = {
    {"send", "a message to an idle actor, which handles it", NULL, perform_in_actors, &player,
        &player},
    {"fiber", "a message to a function that waits for it", NULL, perform_in_actors, &playing,
        &playing},
    {"batch", "a message of 64 sent in one turn, which are handled in one", NULL, perform_in_actors,
        &consumer, &producer},
    {"request", "a request with a time-out, and its answer", NULL, perform_in_actors, &oracle,
        &asker},
    {"spawn", "an actor's life: spawn, init, end", NULL, perform_in_actors, NULL, &breeder},
    {"link", "a link with an idle actor, made and ended", NULL, perform_in_actors, &idler, &linker},
    {"monitor", "a monitor of an idle actor, made and ended", NULL, perform_in_actors, &idler,
        &monitor},
    {"watched", "the life of an actor with a monitor, and its notice", NULL, perform_in_actors,
        NULL, &warden},
    {"timer", "a timer armed and cancelled", NULL, perform_in_actors, NULL, &timekeeper},
    {"steal", "128 of 256 slots stolen from a run queue", open_steal, perform_steal, NULL, NULL},
    {"restart", "a supervised child fails and is started again", open_restart, perform_in_actors,
        NULL, NULL},
};

static int open_actors(const struct operation *operation)
{
    if (operation->open != NULL) {
        TROUPE_TRY(operation->open());
    }
    if (operation->partner_is != NULL) {
        TROUPE_TRY(spawn(operation->partner_is, &partner));
    }
    return operation->driver_is != NULL ? spawn(operation->driver_is, &driver) : TROUPE_OK;
}

static TRP_NOINLINE int sample(const struct operation *operation, uint64_t count)
{
    wanted += count;
    TROUPE_TRY(operation->perform());
    return performed == wanted ? TROUPE_OK : TROUPE_EPROTO;
}

static int take_samples(const struct operation *operation, uint64_t count)
{
    TROUPE_TRY(open_actors(operation));
    /* To where the actors wait for `go`. */
    TROUPE_TRY(counted_turn());
    TROUPE_TRY(sample(operation, count));
    TROUPE_TRY(sample(operation, count));
    return sample(operation, 2 * count);
}

/* A fast wrong answer is no answer. */
static bool are_books_right(void)
{
    struct troupe_books books;

    return troupe_runtime_stop(runtime, LONG_MS) == TROUPE_OK &&
           troupe_runtime_books(runtime, &books) == TROUPE_OK && books.sent == books.handled &&
           books.unknown == 0 && books.spawned == books.exited;
}

static int run(const struct operation *operation, uint64_t count)
{
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS, .watchdog_ms = TROUPE_NO_WATCHDOG, .seed = 1};

    TROUPE_TRY(troupe_runtime_create(&options, &runtime));
    TROUPE_TRY(troupe_runtime_start(runtime));
    TROUPE_TRY(take_samples(operation, count));
    if (!are_books_right()) {
        return TROUPE_EPROTO;
    }
    return troupe_runtime_destroy(runtime);
}

/* ---- the command line ---- */

#ifdef __clang__
#define COMPILER "clang"
#define COMPILER_MAJOR __clang_major__
#else
#define COMPILER "gcc"
#define COMPILER_MAJOR __GNUC__
#endif

#ifdef __x86_64__
#define MACHINE "x86_64"
#else
#define MACHINE "another processor"
#endif

#ifdef __OPTIMIZE__
#define LEVEL "release"
#else
#define LEVEL "not optimised"
#endif

static int usage(void)
{
    fputs("usage: troupe-guard --list | --build | OPERATION COUNT\n", stderr);
    return 2;
}

static const struct operation *find(const char *name)
{
    for (size_t i = 0; i < TROUPE_COUNT(operations); i++) {
        if (strcmp(operations[i].name, name) == 0) {
            return &operations[i];
        }
    }
    return NULL;
}

static int list(void)
{
    for (size_t i = 0; i < TROUPE_COUNT(operations); i++) {
        printf("%s | %s\n", operations[i].name, operations[i].about);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct operation *operation;
    unsigned long count;
    int error;

    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        return list();
    }
    if (argc == 2 && strcmp(argv[1], "--build") == 0) {
        printf("%s %d, %s, %s\n", COMPILER, COMPILER_MAJOR, MACHINE, LEVEL);
        return 0;
    }
    operation = argc == 3 ? find(argv[1]) : NULL;
    count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    /* Whole batches. */
    if (operation == NULL || count == 0 || count > COUNT_MAX || count % BATCH != 0) {
        return usage();
    }
    error = run(operation, count);
    if (error < 0) {
        fprintf(stderr, "troupe-guard: %s: %s\n", operation->name, troupe_strerror(error));
        return 1;
    }
    return 0;
}
