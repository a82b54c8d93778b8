/* SPDX-License-Identifier: MIT */
/* Stash: what is put aside comes back in order, before new mail, and is counted all the time. */
#include "test/support/clock.h"
#include "test/support/random.h"
#include "test/support/stage.h"

static const struct troupe_type letter = TROUPE_TYPE(char);
static const struct troupe_type question = TROUPE_TYPE(char);
static const struct troupe_type open_up = TROUPE_SIGNAL;
static const struct troupe_type shut = TROUPE_SIGNAL;
static const struct troupe_type force = TROUPE_SIGNAL; /* open, and unstash nothing */
static const struct troupe_type leave = TROUPE_SIGNAL;
static const struct troupe_type tick = TROUPE_TYPE(char);

/* Stashes while it is shut, and notes what it handles. */
struct clerk {
    bool shut;
    char fails_at; /* a letter */
    char seen[256];
    unsigned count;
    _Atomic unsigned lives;
    _Atomic unsigned stashed;
    int stash_result;
    int unstash_result;
    int again_result; /* of stashing it a second time */
};

static int clerk_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct clerk *clerk = (struct clerk *)(uintptr_t)arg;

    (void)self;
    *(struct clerk **)state = clerk;
    clerk->lives++;
    return TROUPE_OK;
}

static char letter_of(struct troupe_message *msg)
{
    if (troupe_is(msg, &troupe_down)) {
        return '!';
    }
    return troupe_is(msg, &troupe_group_changed) ? '*' : *(const char *)troupe_body(msg);
}

static int clerk_handle(struct troupe_actor *self, struct clerk *clerk, struct troupe_message *msg)
{
    char c = letter_of(msg);

    if (clerk->shut) {
        clerk->stash_result = troupe_stash(self, msg);
        clerk->again_result = troupe_stash(self, msg);
        clerk->stashed = troupe_stash_length(self);
        return TROUPE_OK;
    }
    clerk->seen[clerk->count++] = c;
    if (c == clerk->fails_at) {
        return TROUPE_EPROTO;
    }
    return troupe_is_request(msg) ? troupe_reply(self, msg, &question, &c) : TROUPE_OK;
}

static int clerk_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct clerk *clerk = *(struct clerk **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return TROUPE_OK;
    }
    if (troupe_is(msg, &shut)) {
        clerk->shut = true;
        return TROUPE_OK;
    }
    if (troupe_is(msg, &force)) {
        clerk->shut = false;
        return TROUPE_OK;
    }
    if (troupe_is(msg, &open_up)) {
        clerk->shut = false;
        clerk->unstash_result = troupe_unstash(self);
        return TROUPE_OK;
    }
    if (troupe_is(msg, &leave)) {
        return TROUPE_DONE;
    }
    return clerk_handle(self, clerk, msg);
}

static const struct troupe_behaviour clerk_behaviour = {
    .name = "clerk",
    .state_size = sizeof(struct clerk *),
    .init = clerk_init,
    .receive = clerk_receive,
    .capacity = 8,
};

static void send_letters(struct stage *stage, troupe_pid to, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        stage_send(stage, to, &letter, letters);
    }
    stage_run(stage);
}

Test(stash, unstash_gives_all_in_order_before_new_mail)
{
    struct stage stage;
    struct clerk clerk = {.shut = true};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clerk_behaviour, &clerk);
    send_letters(&stage, pid, "abc");
    cr_assert_eq(clerk.stash_result, TROUPE_OK);
    cr_assert_eq(clerk.again_result, TROUPE_EINVAL);
    cr_assert_eq(clerk.count, 0);
    stage_send(&stage, pid, &open_up, NULL);
    stage_send(&stage, pid, &letter, "d");
    stage_send(&stage, pid, &letter, "e");
    stage_run(&stage);
    cr_assert_eq(clerk.unstash_result, 3);
    cr_assert_str_eq(clerk.seen, "abcde");
    stage_close(&stage);
}

/* The books are exact with a stash, and its messages are queued ones. */
Test(stash, a_stashed_message_counts_as_queued)
{
    struct stage stage;
    struct clerk clerk = {.shut = true};
    struct troupe_books books;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clerk_behaviour, &clerk);
    send_letters(&stage, pid, "abcde");
    books = stage_books(&stage);
    cr_assert_eq(books.queued, 5);
    cr_assert_eq(books.handled, 0);
    stage_send(&stage, pid, &open_up, NULL);
    stage_run(&stage);
    books = stage_books(&stage);
    cr_assert_eq(books.queued, 0);
    cr_assert_eq(books.handled, 6);
    stage_close(&stage);
}

/* Capacity is 8: without its room being given back the ninth would be refused. */
Test(stash, the_room_in_the_mailbox_is_given_back_and_the_stash_has_a_limit)
{
    struct stage stage;
    struct clerk clerk = {.shut = true};
    troupe_pid pid;

    stage_open_with(&stage,
        &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS, .limits.actor_stash = 10});
    pid = stage_spawn(&stage, &clerk_behaviour, &clerk);
    send_letters(&stage, pid, "abcdefg");
    send_letters(&stage, pid, "hij");
    cr_assert_eq(clerk.stash_result, TROUPE_OK);
    send_letters(&stage, pid, "k");
    cr_assert_eq(clerk.stash_result, TROUPE_ELIMIT);
    /* Its handler let it go. */
    stage_send(&stage, pid, &open_up, NULL);
    stage_run(&stage);
    cr_assert_str_eq(clerk.seen, "abcdefghij");
    stage_close(&stage);
}

static int no_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    *(_Atomic int *)context = reply != NULL ? *(const char *)troupe_body(reply) : status;
    return TROUPE_OK;
}

struct inquiry {
    troupe_pid to;
    int timeout_ms; /* 0: none */
    _Atomic int outcome;
};

static int inquire(struct troupe_actor *self, void *arg)
{
    struct inquiry *inquiry = arg;

    return troupe_request(self, inquiry->to, &question, "?",
        inquiry->timeout_ms > 0 ? inquiry->timeout_ms : TROUPE_FOREVER, no_answer,
        &inquiry->outcome);
}

Test(stash, a_stashed_request_is_answered_when_it_is_handled)
{
    struct stage stage;
    struct clerk clerk = {.shut = true};
    struct inquiry inquiry = {.outcome = 1};

    stage_open(&stage, TROUPE_NO_THREADS);
    inquiry.to = stage_spawn(&stage, &clerk_behaviour, &clerk);
    cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), inquire, &inquiry), 0);
    cr_assert_eq(inquiry.outcome, 1);
    stage_send(&stage, inquiry.to, &open_up, NULL);
    stage_run(&stage);
    cr_assert_eq(inquiry.outcome, '?');
    stage_close(&stage);
}

/* Who asked has been told that its time is over; the books have it as what nobody wanted, once. */
Test(stash, a_stashed_request_that_nobody_waits_for_any_more_is_not_handled_again)
{
    struct stage stage;
    struct clerk clerk = {.shut = true};
    struct inquiry inquiry = {.outcome = 1, .timeout_ms = 100};
    struct troupe_books books;

    stage_open(&stage, TROUPE_NO_THREADS);
    inquiry.to = stage_spawn(&stage, &clerk_behaviour, &clerk);
    cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), inquire, &inquiry), 0);
    clock_skip_ms(200);
    STAGE_AWAIT(&stage, inquiry.outcome != 1);
    cr_assert_eq(inquiry.outcome, TROUPE_ETIMEDOUT);
    stage_send(&stage, inquiry.to, &open_up, NULL);
    stage_run(&stage);
    cr_assert_eq(clerk.count, 0);
    books = stage_books(&stage);
    cr_assert_eq(books.dead, 1);
    cr_assert_eq(books.queued, 0);
    stage_close(&stage);
}

Test(stash, at_the_end_requests_are_told_and_the_rest_is_counted_as_dead)
{
    struct stage stage;
    struct clerk clerk = {.shut = true};
    struct inquiry inquiry = {.outcome = 1};
    struct troupe_books books;

    stage_open(&stage, TROUPE_NO_THREADS);
    inquiry.to = stage_spawn(&stage, &clerk_behaviour, &clerk);
    cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), inquire, &inquiry), 0);
    send_letters(&stage, inquiry.to, "abc");
    stage_send(&stage, inquiry.to, &leave, NULL);
    stage_run(&stage);
    cr_assert_eq(inquiry.outcome, TROUPE_EDIED);
    books = stage_books(&stage);
    cr_assert_eq(books.dead, 3);
    cr_assert_eq(books.bounced, 1);
    cr_assert_eq(books.queued, 0);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_DEAD_LETTERS), 1);
    stage_close(&stage);
}

static int arm_tick(struct troupe_actor *self, void *arg)
{
    return troupe_tick_after(self, 0, &tick, "t", arg);
}

static int watch_pid(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;

    return troupe_monitor(self, *(troupe_pid *)arg, &ref);
}

/* The first notice comes at once. */
static int watch_group(struct troupe_actor *self, void *arg)
{
    return troupe_group_monitor(self, "group", arg);
}

static int forget_group(struct troupe_actor *self, void *arg)
{
    return troupe_group_demonitor(self, *(troupe_ref *)arg) == 1 ? TROUPE_OK : TROUPE_EPROTO;
}

/* What is taken back while its notice is stashed says nothing any more. */
Test(stash, changes_of_groups_can_be_stashed)
{
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (int forgets = 0; forgets <= 1; forgets++) {
        struct clerk clerk = {.shut = true};
        troupe_pid pid = stage_spawn(&stage, &clerk_behaviour, &clerk);
        troupe_ref ref;

        cr_assert_eq(stage_do(&stage, pid, watch_group, &ref), TROUPE_OK);
        stage_run(&stage);
        cr_assert_eq(clerk.stashed, 1);
        if (forgets) {
            cr_assert_eq(stage_do(&stage, pid, forget_group, &ref), TROUPE_OK);
        }
        stage_send(&stage, pid, &open_up, NULL);
        stage_run(&stage);
        cr_assert_str_eq(clerk.seen, forgets ? "" : "*");
    }
    stage_close(&stage);
}

Test(stash, ticks_and_notices_can_be_stashed)
{
    struct stage stage;
    struct clerk clerk = {.shut = true};
    struct clerk other = {0};
    troupe_pid gone;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    gone = stage_spawn(&stage, &clerk_behaviour, &other);
    pid = stage_spawn(&stage, &clerk_behaviour, &clerk);
    cr_assert_eq(stage_do(&stage, pid, watch_pid, &gone), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, pid, arm_tick, NULL), TROUPE_OK);
    stage_send(&stage, gone, &leave, NULL);
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 2);
    stage_send(&stage, pid, &open_up, NULL);
    stage_run(&stage);
    cr_assert_eq(clerk.count, 2);
    cr_assert(strchr(clerk.seen, 't') != NULL && strchr(clerk.seen, '!') != NULL);
    stage_close(&stage);
}

/* A tree of one clerk that keeps its address. */
static troupe_pid start_tree(struct stage *stage, struct clerk *clerk)
{
    struct troupe_child_spec child = {
        .id = "clerk", .behaviour = &clerk_behaviour, .arg = clerk, .keep_mailbox = true};
    struct troupe_supervisor_spec spec = {
        .name = "tree", .intensity = 5, .children = &child, .child_count = 1};
    troupe_pid pid;

    cr_assert_eq(
        troupe_supervisor_start(stage->runtime, &spec, LATCH_LIMIT_S * 1000, &pid), TROUPE_OK);
    pid = troupe_runtime_whereis(stage->runtime, "tree.clerk");
    cr_assert_neq(pid, TROUPE_NOBODY);
    return pid;
}

static int do_nothing(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_OK;
}

/* Failure hands back the rest: the letter at which it failed is gone, those behind it are not. */
Test(stash, one_that_fails_while_it_unstashes_has_the_rest_in_its_next_life)
{
    struct stage stage;
    struct clerk clerk = {.shut = true, .fails_at = 'b'};
    troupe_pid pid;

    stage_open(&stage, 1);
    pid = start_tree(&stage, &clerk);
    for (const char *c = "abc"; *c != '\0'; c++) {
        stage_send(&stage, pid, &letter, c);
    }
    stage_send(&stage, pid, &open_up, NULL);
    stage_send(&stage, pid, &letter, "d");
    STAGE_AWAIT(&stage, clerk.lives == 2);
    (void)stage_do(&stage, pid, do_nothing, NULL);
    cr_assert_str_eq(clerk.seen, "abcd");
    stage_close(&stage);
}

Test(stash, one_that_fails_with_a_stash_has_it_in_its_next_life_but_for_ticks)
{
    struct stage stage;
    struct clerk clerk = {.shut = true, .fails_at = '#'};
    troupe_pid pid;

    stage_open(&stage, 1);
    pid = start_tree(&stage, &clerk);
    for (const char *c = "abc"; *c != '\0'; c++) {
        stage_send(&stage, pid, &letter, c);
    }
    cr_assert_eq(stage_do(&stage, pid, arm_tick, NULL), TROUPE_OK);
    STAGE_AWAIT(&stage, clerk.stashed == 4);
    stage_send(&stage, pid, &force, NULL);
    stage_send(&stage, pid, &letter, "#");
    stage_send(&stage, pid, &letter, "d");
    STAGE_AWAIT(&stage, clerk.lives == 2);
    (void)stage_do(&stage, pid, do_nothing, NULL);
    /* The tick belonged to the life that ended. */
    cr_assert_str_eq(clerk.seen, "#abcd");
    cr_assert_eq(stage_books(&stage).dead, 1);
    stage_close(&stage);
}

/* DESIGN 7: calls in progress fail, queued ones wait; a stashed one is queued. */
Test(stash, a_stashed_request_is_answered_by_the_next_life)
{
    struct stage stage;
    struct clerk clerk = {.shut = true, .fails_at = '#'};
    struct inquiry inquiry = {.outcome = 1};

    stage_open(&stage, 1);
    inquiry.to = start_tree(&stage, &clerk);
    cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), inquire, &inquiry), 0);
    STAGE_AWAIT(&stage, clerk.stashed == 1);
    stage_send(&stage, inquiry.to, &force, NULL);
    stage_send(&stage, inquiry.to, &letter, "#");
    STAGE_AWAIT(&stage, inquiry.outcome != 1);
    cr_assert_eq(inquiry.outcome, '?');
    cr_assert_str_eq(clerk.seen, "#?");
    stage_close(&stage);
}

/* ---- callbacks that may wait (fiber.h) ---- */

static int wait_and_stash(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct clerk *clerk = *(struct clerk **)state;

    if (troupe_is(msg, &open_up)) {
        clerk->shut = false;
        return troupe_unstash(self) == 1 ? TROUPE_OK : TROUPE_EPROTO;
    }
    /* What is put aside in another slice than the one that opened it. */
    TROUPE_TRY(troupe_yield(self));
    return clerk_handle(self, clerk, msg);
}

Test(stash, a_callback_may_wait_before_it_stashes, .timeout = 60)
{
    static const struct troupe_behaviour slow = {.name = "slow",
        .state_size = sizeof(struct clerk *),
        .init = clerk_init,
        .receive = wait_and_stash,
        .may_wait = true};
    struct stage stage;
    struct clerk clerk = {.shut = true};
    uint64_t before;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &slow, &clerk);
    stage_run(&stage);
    before = stage_books(&stage).handled;
    send_letters(&stage, pid, "a");
    cr_assert_eq(stage_books(&stage).handled, before);
    cr_assert_eq(stage_books(&stage).queued, 1);
    stage_send(&stage, pid, &open_up, NULL);
    stage_run(&stage);
    cr_assert_str_eq(clerk.seen, "a");
    cr_assert_eq(stage_books(&stage).handled, before + 2);
    cr_assert_eq(stage_books(&stage).queued, 0);
    stage_close(&stage);
}

static int stash_in_main(struct troupe_actor *self, const void *arg)
{
    struct troupe_message *msg;

    TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    **(int *const *)arg = troupe_stash(self, msg);
    return TROUPE_OK;
}

/* A main function gets nothing again: it waits for what it wants with troupe_receive_of(). */
Test(stash, a_main_function_has_no_stash)
{
    static const struct troupe_behaviour looker = {.name = "looker", .main = stash_in_main};
    struct stage stage;
    int result = 1;
    int *arg = &result;
    struct troupe_spawn_options options = {
        .behaviour = &looker, .arg = &arg, .arg_size = sizeof arg};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &pid), TROUPE_OK);
    send_letters(&stage, pid, "a");
    cr_assert_eq(result, TROUPE_EINVAL);
    stage_close(&stage);
}

/* Against a model: two queues, one of those put aside. */
Test(stash, random_stashing_keeps_the_order, .timeout = 60)
{
    struct test_random random = test_random_of(test_seed("stash"));

    for (unsigned round = 0; round < 50; round++) {
        struct stage stage;
        struct clerk clerk = {0};
        char aside[256] = "";
        char seen[256] = "";
        bool is_shut = false;
        troupe_pid pid;

        stage_open(&stage, TROUPE_NO_THREADS);
        pid = stage_spawn(&stage, &clerk_behaviour, &clerk);
        for (unsigned step = 0; step < 60; step++) {
            char c[2] = {(char)('a' + step % 26), '\0'};

            switch (test_below(&random, 6)) {
            case 0:
                stage_send(&stage, pid, &shut, NULL);
                is_shut = true;
                break;
            case 1:
                stage_send(&stage, pid, &open_up, NULL);
                strcat(seen, aside);
                aside[0] = '\0';
                is_shut = false;
                break;
            default:
                stage_send(&stage, pid, &letter, c);
                strcat(is_shut ? aside : seen, c);
            }
            if (test_below(&random, 3) == 0) {
                stage_run(&stage);
            }
            if (step % 6 == 5) {
                stage_run(&stage);
            }
        }
        stage_run(&stage);
        cr_assert_str_eq(clerk.seen, seen);
        cr_assert_eq(stage_books(&stage).queued, strlen(aside));
        stage_close(&stage);
    }
}
