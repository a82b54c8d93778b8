/* SPDX-License-Identifier: MIT */
/*
 * run.c - a whole program: troupe_run().
 *
 * The tree is spawned by a root actor, monitored from its first instruction, so that its end cannot be missed.  The
 * main thread sleeps on two descriptors: one for the signals, which are blocked, one that the root writes to
 * when the tree has ended.  When the runtime is stopped, the root passes the order on and ends after the tree.
 */
#include "child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <troupe/link.h>

/** How long the tree has to stop after a signal. */
#define RUN_STOP_MS 60000

/* On the stack of troupe_run(), which outlives the runtime. */
struct run {
    const struct troupe_supervisor_spec *spec;
    int signals; /* descriptor */
    int ended;   /* descriptor: readable when `status` is set */
    _Atomic int status;
};

struct root {
    struct run *run;
    troupe_pid tree;
};

static void say_ended(struct run *run, int status)
{
    uint64_t one = 1;
    ssize_t written;

    /* release: what the tree did is done.  PAIR run.status: acquire in troupe_run(). */
    atomic_store_explicit(&run->status, status, memory_order_release);
    /* Cannot fail: the counter is 0 and the descriptor open until the runtime is destroyed. */
    written = write(run->ended, &one, sizeof one);
    trp_assert(written == (ssize_t)sizeof one);
}

static int spawn_tree(struct troupe_actor *self, struct root *root)
{
    struct troupe_spawn_options options;
    troupe_ref ref;
    int error;

    TROUPE_TRY(trp_supervisor_options(self->runtime, root->run->spec, NULL, &options));
    options.monitor = &ref;
    error = troupe_spawn(self, &options, &root->tree);
    trp_supervisor_options_free(self->runtime, &options);
    return error;
}

static int root_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct root *root = state;
    int error;

    root->run = (struct run *)(uintptr_t)arg;
    error = spawn_tree(self, root);
    if (error < 0) {
        say_ended(root->run, error);
        return TROUPE_DONE;
    }
    return TROUPE_OK;
}

/* Of a tree that ended before it was told to.  One that gave up says so in its code: whoever started this program must
 * learn of it. */
static int status_of(const struct troupe_reason *reason)
{
    switch (reason->kind) {
    case TROUPE_EXIT_NORMAL:
        return TROUPE_OK;
    case TROUPE_EXIT_SHUTDOWN:
    case TROUPE_EXIT_ERROR:
        return reason->code;
    default:
        return TROUPE_EDIED;
    }
}

static void pass_on_shutdown(struct troupe_actor *self, const struct root *root)
{
    int error = troupe_send_exit(self, root->tree, TROUPE_EXIT_SHUTDOWN);

    if (error == TROUPE_ENOMEM) {
        /* A kill needs none.  If the tree is gone by now, its notice is on the way. */
        error = troupe_kill(self, root->tree);
    }
    (void)error;
}

static int root_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct root *root = state;

    if (troupe_is(msg, &troupe_down)) {
        const struct troupe_down *down = troupe_body(msg);

        say_ended(root->run, status_of(&down->reason));
        return TROUPE_DONE;
    }
    if (troupe_is(msg, &troupe_exited)) {
        pass_on_shutdown(self, root);
        return TROUPE_OK;
    }
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour root_behaviour = {
    .name = "troupe_run",
    .state_size = sizeof(struct root),
    .init = root_init,
    .receive = root_receive,
    .trap_exit = true,
    .never_paused = true,
};

/* Sleeps until a signal or the end of the tree.  1: a signal; 0: the tree; or an error. */
static int wait_for_either(const struct run *run)
{
    struct pollfd fds[2] = {
        {.fd = run->signals, .events = POLLIN}, {.fd = run->ended, .events = POLLIN}};
    int count;

    do {
        count = poll(fds, TROUPE_COUNT(fds), -1);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        return TROUPE_ESYSTEM;
    }
    return fds[1].revents == 0;
}

/* Takes the signals that came, also those that came while it stopped: let through, they would end the process before its
 * main() had gone on. */
static void take_signals(const struct run *run)
{
    struct signalfd_siginfo info;
    ssize_t size;

    do {
        size = read(run->signals, &info, sizeof info);
    } while (size == (ssize_t)sizeof info);
}

/* Runs the tree in a runtime that was created. */
static int run_tree(struct troupe_runtime *runtime, struct run *run)
{
    troupe_pid root;
    int woken;
    int error;

    TROUPE_TRY(troupe_runtime_spawn(runtime,
        (&(struct troupe_spawn_options){.behaviour = &root_behaviour, .arg = run}), &root));
    TROUPE_TRY(troupe_runtime_start(runtime));
    woken = wait_for_either(run);
    error = troupe_runtime_stop(runtime, RUN_STOP_MS);
    if (error < 0 || woken > 0) {
        return error;
    }
    if (woken < 0) {
        return woken;
    }
    /* acquire: PAIR run.status: release in say_ended(). */
    return atomic_load_explicit(&run->status, memory_order_acquire);
}

static int run_runtime(const struct troupe_runtime_options *options, struct run *run)
{
    struct troupe_runtime *runtime;
    int error;
    int destroyed;

    TROUPE_TRY(troupe_runtime_create(options, &runtime));
    error = run_tree(runtime, run);
    destroyed = troupe_runtime_destroy(runtime);
    return error < 0 ? error : destroyed;
}

static int open_descriptors(const sigset_t *signals, struct run *run)
{
    run->signals = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (run->signals < 0) {
        return TROUPE_ESYSTEM;
    }
    run->ended = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (run->ended < 0) {
        close(run->signals);
        return TROUPE_ESYSTEM;
    }
    return TROUPE_OK;
}

int troupe_run(
    const struct troupe_runtime_options *options, const struct troupe_supervisor_spec *spec)
{
    struct run run = {.spec = spec};
    sigset_t signals;
    sigset_t before;
    int error;

    TROUPE_TRY(troupe_supervisor_check(spec, NULL));
    if (options != NULL && options->workers == TROUPE_NO_THREADS) {
        return TROUPE_EINVAL;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &signals, &before) != 0) {
        return TROUPE_ESYSTEM;
    }
    error = open_descriptors(&signals, &run);
    if (error == TROUPE_OK) {
        error = run_runtime(options, &run);
        take_signals(&run);
        close(run.ended);
        close(run.signals);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
