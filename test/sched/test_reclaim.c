/* SPDX-License-Identifier: MIT */
/* Reclaim: what a reader may still look at is not handed back, everything else is, and a forked child is not at home. */
#include "sched/reclaim.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <troupe/base.h>

#include "test/support/random.h"
#include "test/support/team.h"

struct thing {
    struct trp_reclaim reclaim;
    _Atomic unsigned done;
};

static void note_done(struct trp_reclaim *reclaim)
{
    struct thing *thing = trp_container_of(reclaim, struct thing, reclaim);

    atomic_fetch_add(&thing->done, 1);
}

Test(reclaim, attach_may_be_repeated_and_undone)
{
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(trp_reclaim_attach(), TROUPE_OK);
        cr_assert_eq(trp_reclaim_attach(), TROUPE_OK);
        trp_reclaim_detach();
        trp_reclaim_detach();
    }
}

Test(reclaim, a_thread_is_offline_at_first_and_enters_once)
{
    cr_assert_eq(trp_reclaim_attach(), TROUPE_OK);
    cr_assert(trp_reclaim_enter(), "it was offline");
    cr_assert_not(trp_reclaim_enter(), "inside already");
    trp_reclaim_leave(false);
    cr_assert_not(trp_reclaim_enter(), "the inner one does not end the outer one");
    trp_reclaim_quiescent();
    trp_reclaim_leave(true);
    cr_assert(trp_reclaim_enter());
    trp_reclaim_leave(true);
    trp_reclaim_detach();
}

Test(reclaim, what_is_retired_is_done_once_when_the_barrier_is_passed, .timeout = 60)
{
    static struct thing things[100];

    cr_assert_eq(trp_reclaim_attach(), TROUPE_OK);
    for (unsigned i = 0; i < 100; i++) {
        trp_reclaim_later(&things[i].reclaim, note_done);
    }
    trp_reclaim_barrier();
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(things[i].done, 1);
    }
    /* Again with the same block. */
    trp_reclaim_later(&things[0].reclaim, note_done);
    trp_reclaim_barrier();
    cr_assert_eq(things[0].done, 2);
    trp_reclaim_detach();
}

Test(reclaim, the_barrier_of_nothing_passes, .timeout = 60)
{
    cr_assert_eq(trp_reclaim_attach(), TROUPE_OK);
    trp_reclaim_barrier();
    trp_reclaim_barrier();
    trp_reclaim_detach();
}

/* ---- readers ---- */

enum {
    READERS = 3,
    SWAPS = 3000,
    ALIVE = 0x600d,
    ENDED = 0xdead,
};

struct shown {
    struct trp_reclaim reclaim;
    unsigned state; /* plain: the grace period orders it */
};

struct library {
    _Atomic(struct shown *) shown;
    _Atomic bool over;
    _Atomic unsigned reads;
    struct shown all[SWAPS + 1];
    unsigned used;
    bool sleepy; /* readers go offline between two looks, or only say that they are quiescent */
};

static void end_shown(struct trp_reclaim *reclaim)
{
    struct shown *shown = trp_container_of(reclaim, struct shown, reclaim);

    shown->state = ENDED;
}

/* Each is used once, so that one that has ended stays so. */
static struct shown *new_shown(struct library *library)
{
    struct shown *shown = &library->all[library->used++];

    shown->state = ALIVE;
    return shown;
}

/* Looks at what is shown for a while; it may be taken away meanwhile, but must not end. */
static bool look(const struct library *library)
{
    const struct shown *shown = atomic_load_explicit(&library->shown, memory_order_acquire);
    const volatile unsigned *state = &shown->state;

    for (unsigned i = 0; i < 500; i++) {
        if (*state != ALIVE) {
            return false;
        }
    }
    return true;
}

static const char *read_on(struct library *library)
{
    if (trp_reclaim_attach() < 0) {
        return "cannot attach";
    }
    (void)trp_reclaim_enter();
    while (!atomic_load(&library->over)) {
        if (!look(library)) {
            return "ended under a reader";
        }
        atomic_fetch_add(&library->reads, 1);
        if (library->sleepy) {
            trp_reclaim_leave(true);
            sched_yield();
            (void)trp_reclaim_enter();
        } else {
            trp_reclaim_quiescent();
        }
    }
    trp_reclaim_leave(true);
    return NULL;
}

static const char *swap_on(struct library *library)
{
    unsigned spins = 0;

    if (trp_reclaim_attach() < 0) {
        return "cannot attach";
    }
    for (unsigned i = 0; i < SWAPS; i++) {
        struct shown *old = atomic_exchange(&library->shown, new_shown(library));

        trp_reclaim_later(&old->reclaim, end_shown);
        if (i % 100 == 0) {
            unsigned reads = atomic_load(&library->reads);

            while (atomic_load(&library->reads) == reads) {
                team_pause(&spins);
            }
        }
    }
    trp_reclaim_barrier();
    atomic_store(&library->over, true);
    return NULL;
}

static const char *use(void *arg, unsigned index)
{
    return index == 0 ? swap_on(arg) : read_on(arg);
}

static void use_library(bool sleepy)
{
    static struct library library;
    const char *complaint;

    library.used = 0;
    atomic_store(&library.shown, new_shown(&library));
    atomic_store(&library.over, false);
    library.sleepy = sleepy;
    /* Threads that end detach by themselves: otherwise the second round would wait for the first one's readers. */
    complaint = team_run(1 + READERS, use, &library);
    cr_assert_null(complaint, "%s", complaint);
}

Test(reclaim, nothing_ends_under_a_reader_that_says_when_it_is_quiescent, .timeout = 60)
{
    use_library(false);
    use_library(false);
}

Test(reclaim, nothing_ends_under_a_reader_that_goes_offline, .timeout = 60)
{
    use_library(true);
}

/* As long as a reader is inside, nothing is done; how long it looks may hide a mistake, and makes none. */

struct visit {
    struct thing thing;
    pthread_barrier_t step;
};

static const char *stay_inside(struct visit *visit)
{
    const char *complaint = NULL;

    if (trp_reclaim_attach() < 0) {
        return "cannot attach";
    }
    (void)trp_reclaim_enter();
    (void)pthread_barrier_wait(&visit->step);
    (void)pthread_barrier_wait(&visit->step);
    for (unsigned i = 0; i < 50 && complaint == NULL; i++) {
        (void)poll(NULL, 0, 1);
        complaint = atomic_load(&visit->thing.done) > 0 ? "done while a reader is inside" : NULL;
    }
    trp_reclaim_leave(true);
    return complaint;
}

static const char *retire_meanwhile(struct visit *visit)
{
    if (trp_reclaim_attach() < 0) {
        return "cannot attach";
    }
    (void)pthread_barrier_wait(&visit->step);
    trp_reclaim_later(&visit->thing.reclaim, note_done);
    (void)pthread_barrier_wait(&visit->step);
    trp_reclaim_barrier();
    return atomic_load(&visit->thing.done) == 1 ? NULL : "not done behind the barrier";
}

static const char *visit_or_retire(void *arg, unsigned index)
{
    return index == 0 ? stay_inside(arg) : retire_meanwhile(arg);
}

Test(reclaim, nothing_is_done_while_a_reader_is_inside, .timeout = 60)
{
    static struct visit visit;
    const char *complaint;

    pthread_barrier_init(&visit.step, NULL, 2);
    complaint = team_run(2, visit_or_retire, &visit);
    cr_assert_null(complaint, "%s", complaint);
}

/* A thread that is offline, for ever, holds nobody up. */

struct sleeper {
    pthread_barrier_t in;
    pthread_barrier_t out;
};

static void *sleep_offline(void *arg)
{
    struct sleeper *sleeper = arg;

    cr_assert_eq(trp_reclaim_attach(), TROUPE_OK);
    trp_reclaim_leave(trp_reclaim_enter());
    (void)pthread_barrier_wait(&sleeper->in);
    (void)pthread_barrier_wait(&sleeper->out);
    return NULL;
}

Test(reclaim, one_that_sleeps_offline_holds_nobody_up, .timeout = 60)
{
    static struct thing thing;
    struct sleeper sleeper;
    pthread_t thread;

    pthread_barrier_init(&sleeper.in, NULL, 2);
    pthread_barrier_init(&sleeper.out, NULL, 2);
    cr_assert_eq(pthread_create(&thread, NULL, sleep_offline, &sleeper), 0);
    (void)pthread_barrier_wait(&sleeper.in);
    cr_assert_eq(trp_reclaim_attach(), TROUPE_OK);
    trp_reclaim_later(&thing.reclaim, note_done);
    trp_reclaim_barrier();
    cr_assert_eq(thing.done, 1);
    (void)pthread_barrier_wait(&sleeper.out);
    pthread_join(thread, NULL);
    trp_reclaim_detach();
}

/* ---- fork ---- */

/* What attach says in a forked child; whether it is at home goes to *out_home. */
static int attach_in_child(bool *out_home)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        bool home = trp_reclaim_is_home();
        int error = trp_reclaim_attach();

        /* Neither may touch anything then. */
        trp_reclaim_detach();
        _exit((home ? 64 : 0) + -error);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    *out_home = (WEXITSTATUS(status) & 64) != 0;
    return -(WEXITSTATUS(status) & 63);
}

Test(reclaim, a_child_forked_while_a_runtime_exists_is_not_at_home, .timeout = 60)
{
    bool home;

    cr_assert_eq(trp_reclaim_attach(), TROUPE_OK);
    trp_reclaim_open();
    trp_reclaim_open();
    cr_assert_eq(attach_in_child(&home), TROUPE_EFORKED);
    cr_assert_not(home);
    cr_assert(trp_reclaim_is_home(), "the parent is");
    trp_reclaim_close();
    cr_assert_eq(attach_in_child(&home), TROUPE_EFORKED, "one is left");
    trp_reclaim_close();
    trp_reclaim_detach();
}

Test(reclaim, a_child_forked_while_none_exists_is_at_home, .timeout = 60)
{
    bool home;

    cr_assert_eq(attach_in_child(&home), TROUPE_OK, "never attached");
    cr_assert(home);
    cr_assert_eq(trp_reclaim_attach(), TROUPE_OK);
    trp_reclaim_open();
    trp_reclaim_close();
    cr_assert_eq(attach_in_child(&home), TROUPE_OK);
    cr_assert(home);
    trp_reclaim_detach();
}
