/* SPDX-License-Identifier: MIT */
/*
 * puppet.h - for tests: an actor that does what the test's thread tells it, and notes whom it is told of.
 *
 * puppet_do() runs a function inside the actor and waits until it is through; so the steps of a test have an order
 * without anybody sleeping.
 */
#ifndef TRP_TEST_PUPPET_H
#define TRP_TEST_PUPPET_H

#include <criterion/criterion.h>

#include "test/support/latch.h"

#define PUPPET_NOTES_MAX 256

/** Messages.  For behaviours that several are sent to before they run. */
#define PUPPET_ROOM 1024

/** What a puppet was told, in order. */
struct puppet_notes {
    struct latch latch; /* hit for each notice and each number */
    pthread_mutex_t mutex;
    unsigned downs, exits, numbers;
    struct troupe_down down[PUPPET_NOTES_MAX];     /* their texts are not kept */
    struct troupe_exited exited[PUPPET_NOTES_MAX]; /* the same */
    uint64_t last_number;                          /* numbers come as 1, 2, 3 .. */
    bool disorder;                                 /* one did not */
    uint64_t numbers_at_down; /* how many had come before the first down notice */
};

#define PUPPET_NOTES_INIT                                                                          \
    {                                                                                              \
        .latch = LATCH_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER                                    \
    }

typedef int (*puppet_fn)(struct troupe_actor *self, void *arg);

struct puppet_order {
    puppet_fn fn;
    void *arg;
    struct latch *done;
};

static const struct troupe_type puppet_order = TROUPE_TYPE(struct puppet_order);
static const struct troupe_type puppet_number = TROUPE_TYPE(uint64_t);

struct puppet {
    struct puppet_notes *notes;
};

static int puppet_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct puppet *puppet = state;

    (void)self;
    puppet->notes = (struct puppet_notes *)(uintptr_t)arg;
    return TROUPE_OK;
}

static inline void puppet_note(struct puppet_notes *notes, struct troupe_message *msg)
{
    pthread_mutex_lock(&notes->mutex);
    if (troupe_is(msg, &troupe_down) && notes->downs < PUPPET_NOTES_MAX) {
        if (notes->downs == 0) {
            notes->numbers_at_down = notes->numbers;
        }
        notes->down[notes->downs] = *(const struct troupe_down *)troupe_body(msg);
        notes->down[notes->downs].reason.text = NULL;
        notes->downs++;
    } else if (troupe_is(msg, &troupe_exited) && notes->exits < PUPPET_NOTES_MAX) {
        notes->exited[notes->exits] = *(const struct troupe_exited *)troupe_body(msg);
        notes->exited[notes->exits].reason.text = NULL;
        notes->exits++;
    } else if (troupe_is(msg, &puppet_number)) {
        uint64_t number = *(const uint64_t *)troupe_body(msg);

        notes->numbers++;
        notes->disorder = notes->disorder || number != notes->last_number + 1;
        notes->last_number = number;
    }
    pthread_mutex_unlock(&notes->mutex);
    latch_hit(&notes->latch);
}

static int puppet_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct puppet *puppet = state;

    if (troupe_is(msg, &puppet_order)) {
        const struct puppet_order *order = troupe_body(msg);
        struct latch *done = order->done;
        int result = order->fn(self, order->arg);

        if (done != NULL) {
            latch_hit(done);
        }
        return result;
    }
    if (puppet->notes != NULL) {
        puppet_note(puppet->notes, msg);
    }
    if (troupe_is(msg, &troupe_exited)) {
        const struct troupe_exited *exited = troupe_body(msg);

        /* One that traps obeys when the runtime is stopped. */
        return exited->pid == TROUPE_NOBODY && exited->reason.kind == TROUPE_EXIT_SHUTDOWN
                   ? TROUPE_DONE
                   : TROUPE_OK;
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour puppet_plain = {
    .name = "puppet",
    .state_size = sizeof(struct puppet),
    .init = puppet_init,
    .receive = puppet_receive,
};

static const struct troupe_behaviour puppet_trapping __attribute__((unused)) = {
    .name = "trapping puppet",
    .state_size = sizeof(struct puppet),
    .init = puppet_init,
    .receive = puppet_receive,
    .trap_exit = true,
};

static inline troupe_pid puppet_spawn(struct troupe_runtime *runtime,
    const struct troupe_behaviour *behaviour, struct puppet_notes *notes)
{
    struct troupe_spawn_options options = {.behaviour = behaviour, .arg = notes};
    troupe_pid pid;

    cr_assert_eq(troupe_runtime_spawn(runtime, &options, &pid), TROUPE_OK);
    return pid;
}

/** Tells `pid` to run `fn(self, arg)`; does not wait for that, only for room. */
static inline void puppet_tell(
    struct troupe_runtime *runtime, troupe_pid pid, puppet_fn fn, void *arg, struct latch *done)
{
    struct troupe_message *msg;

    cr_assert_eq(troupe_message_create(runtime, &puppet_order, 0, &msg), TROUPE_OK);
    *(struct puppet_order *)troupe_body(msg) = (struct puppet_order){fn, arg, done};
    if (troupe_send_wait(runtime, pid, msg, LATCH_LIMIT_S * 1000) < 0) {
        troupe_message_destroy(msg);
        cr_assert_fail("the puppet is gone");
    }
}

/** Runs `fn(self, arg)` in `pid` and waits for it. */
static inline void puppet_do(
    struct troupe_runtime *runtime, troupe_pid pid, puppet_fn fn, void *arg)
{
    struct latch done = LATCH_INIT;

    puppet_tell(runtime, pid, fn, arg, &done);
    cr_assert(latch_wait(&done, 1), "the puppet did not obey");
}

static inline struct troupe_runtime *runtime_new(int workers)
{
    struct troupe_runtime_options options = {.workers = workers};
    struct troupe_runtime *runtime;

    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(runtime), TROUPE_OK);
    return runtime;
}

static int puppet_watch_fn(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;

    return troupe_monitor(self, *(troupe_pid *)arg, &ref);
}

/** Has a new puppet watch `pid` into `notes` before anything else happens. */
static inline void puppet_watch(
    struct troupe_runtime *runtime, troupe_pid pid, struct puppet_notes *notes)
{
    puppet_do(runtime, puppet_spawn(runtime, &puppet_plain, notes), puppet_watch_fn, &pid);
}

/** Waits for the first notice in `notes` and returns its kind of reason. */
static inline enum troupe_exit puppet_down_kind(struct puppet_notes *notes)
{
    cr_assert(latch_wait(&notes->latch, 1), "no notice came");
    cr_assert_eq(notes->downs, 1);
    return notes->down[0].reason.kind;
}

/** Waits for the end of `pid`, which may be over; then the reason is NOPROC. */
static inline enum troupe_exit join_kind(struct troupe_runtime *runtime, troupe_pid pid)
{
    struct troupe_reason reason = {0};

    cr_assert_eq(troupe_join(runtime, pid, LATCH_LIMIT_S * 1000, &reason), TROUPE_OK);
    troupe_buffer_release(reason.text);
    return reason.kind;
}

#endif
