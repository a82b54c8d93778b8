/* SPDX-License-Identifier: MIT */
/* Dead letters: what is given up is shown to whoever asked for it, once, whole, and with the reason. */
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type bytes = TROUPE_BYTES;
static const struct troupe_type ask = TROUPE_TYPE(uint64_t);

#define ROOM 4
#define LETTERS_MAX 32

struct cargo {
    uint64_t value;
    unsigned *destroyed;
};

static void cargo_destroy(void *body)
{
    ++*((struct cargo *)body)->destroyed;
}

static const struct troupe_type cargo = TROUPE_TYPE_DESTROY(struct cargo, cargo_destroy);

/* ---- the office ---- */

struct office {
    struct stage *stage;
    unsigned count;
    struct troupe_dead_letter letters[LETTERS_MAX]; /* their messages are gone */
    uint64_t values[LETTERS_MAX];
    bool takes;
    int result; /* of the last take */
    struct troupe_message *taken;
    troupe_pid returns_to;
    unsigned destroyed_before; /* when the letter was shown */
    unsigned *destroyed;
};

static void open_letter(void *context, const struct troupe_dead_letter *letter)
{
    struct office *office = context;

    cr_assert_lt(office->count, LETTERS_MAX);
    office->letters[office->count] = *letter;
    office->values[office->count++] = *(const uint64_t *)troupe_body(letter->msg);
    office->destroyed_before = office->destroyed != NULL ? *office->destroyed : 0;
    if (office->takes) {
        office->result = troupe_dead_letter_take(letter, &office->taken);
    }
    if (office->returns_to != TROUPE_NOBODY) {
        stage_send(office->stage, office->returns_to, &number, &office->values[office->count - 1]);
    }
}

static void open_with(struct stage *stage, struct office *office)
{
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS, .on_dead_letter = open_letter, .dead_letter_context = office};

    *office = (struct office){.stage = stage};
    stage_open_with(stage, &options);
}

static const struct troupe_overload drops = {.policy = TROUPE_OVERLOAD_DROP_NEWEST};
static const struct troupe_behaviour dropping = {
    .name = "dropping", .receive = stage_puppet_receive, .capacity = ROOM, .overload = &drops};

static void put(struct stage *stage, troupe_pid pid, uint64_t first, unsigned count)
{
    for (uint64_t i = first; i < first + count; i++) {
        stage_send(stage, pid, &number, &i);
    }
}

/* ---- */

Test(dead_letter, what_is_shed_is_shown_with_its_kind_and_whose_mailbox_it_was, .timeout = 20)
{
    struct stage stage;
    struct office office;
    troupe_pid pid;

    open_with(&stage, &office);
    pid = stage_spawn(&stage, &dropping, NULL);
    put(&stage, pid, 1, ROOM + 2);
    cr_assert_eq(office.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(office.letters[i].kind, TROUPE_SHED_NEWEST);
        cr_assert_eq(office.letters[i].to, pid);
        cr_assert_str_eq(office.letters[i].actor, "dropping");
        cr_assert(!office.letters[i].request);
        cr_assert_eq(office.values[i], ROOM + 1 + i);
    }
    stage_run(&stage);
    cr_assert_eq(office.count, 2, "what is handled is no letter");
    stage_close(&stage);
}

Test(dead_letter, what_is_left_in_the_queue_of_one_that_ends_is_shown, .timeout = 20)
{
    struct stage stage;
    struct office office;
    troupe_pid pid;

    open_with(&stage, &office);
    pid = stage_spawn(&stage, &stage_roomy, NULL);
    put(&stage, pid, 1, 3);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(office.count, 3, "%u", office.count);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(office.letters[i].kind, TROUPE_SHED_ENDED);
        cr_assert_eq(office.letters[i].to, pid);
        cr_assert_eq(office.values[i], i + 1);
    }
    cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_ENDED], 3);
    cr_assert_eq(stage_books(&stage).shed, 0);
    stage_close(&stage);
}

static int shut_down(struct troupe_actor *self, void *arg)
{
    return troupe_send_exit(self, *(troupe_pid *)arg, TROUPE_EXIT_SHUTDOWN);
}

Test(dead_letter, what_an_exit_signal_skips_is_shown, .timeout = 20)
{
    struct stage stage;
    struct office office;
    troupe_pid pid;
    troupe_pid puppet;

    open_with(&stage, &office);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    stage_run(&stage);
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    put(&stage, pid, 1, 2);
    stage_tell(&stage, puppet, shut_down, &pid);
    stage_run(&stage);
    /* Whether it is run before the signal comes is the scheduler's to say: then they were handled. */
    cr_assert_eq(office.count + stage_books(&stage).unknown, 2);
    stage_close(&stage);
}

static int stash_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int status;

    (void)state;
    return stage_is_job(self, msg, &status) ? status : troupe_stash(self, msg);
}

static const struct troupe_behaviour stashing = {.name = "stashing", .receive = stash_receive};

static int done(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

Test(dead_letter, what_was_stashed_is_shown_when_the_actor_ends, .timeout = 20)
{
    struct stage stage;
    struct office office;
    troupe_pid pid;

    open_with(&stage, &office);
    pid = stage_spawn(&stage, &stashing, NULL);
    put(&stage, pid, 1, 2);
    stage_run(&stage);
    cr_assert_eq(office.count, 0);
    stage_tell(&stage, pid, done, NULL);
    stage_run(&stage);
    cr_assert_eq(office.count, 2);
    cr_assert_eq(office.values[1], 2);
    stage_close(&stage);
}

static int outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)reply;
    *(int *)context = status;
    return TROUPE_OK;
}

struct asking {
    troupe_pid to;
    int status;
};

static int ask_once(struct troupe_actor *self, void *arg)
{
    struct asking *asking = arg;

    return troupe_request(self, asking->to, &ask, &(uint64_t){77}, 10000, outcome, &asking->status);
}

Test(dead_letter, a_request_is_shown_as_one_and_answered_though_it_is_taken, .timeout = 20)
{
    struct stage stage;
    struct office office;
    struct asking asking = {.status = 1};
    troupe_pid puppet;

    open_with(&stage, &office);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    asking.to = stage_spawn(&stage, &dropping, NULL);
    put(&stage, asking.to, 1, ROOM);
    office.takes = true;
    stage_tell(&stage, puppet, ask_once, &asking);
    stage_run(&stage);
    if (office.count == 1) {
        cr_assert(office.letters[0].request);
        cr_assert_eq(office.result, TROUPE_OK);
        cr_assert(!troupe_is_request(office.taken));
        cr_assert_eq(*(uint64_t *)troupe_body(office.taken), 77);
        troupe_message_destroy(office.taken);
        cr_assert_eq(asking.status, TROUPE_EOVERLOAD);
    } else {
        cr_assert_eq(asking.status, TROUPE_EUNANSWERED, "it was handled");
    }
    stage_close(&stage);
}

Test(dead_letter, a_body_is_destroyed_after_it_was_shown, .timeout = 20)
{
    struct stage stage;
    struct office office;
    unsigned destroyed = 0;
    troupe_pid pid;

    open_with(&stage, &office);
    office.destroyed = &destroyed;
    pid = stage_spawn(&stage, &dropping, NULL);
    put(&stage, pid, 1, ROOM);
    stage_send(&stage, pid, &cargo, &(struct cargo){5, &destroyed});
    cr_assert_eq(office.destroyed_before, 0);
    cr_assert_eq(destroyed, 1);
    stage_close(&stage);
}

Test(dead_letter, one_that_is_taken_is_whole_and_belongs_to_whoever_took_it, .timeout = 20)
{
    struct stage stage;
    struct office office;
    unsigned destroyed = 0;
    troupe_pid pid;
    troupe_pid other;

    open_with(&stage, &office);
    office.takes = true;
    pid = stage_spawn(&stage, &dropping, NULL);
    other = stage_spawn(&stage, &stashing, NULL);
    put(&stage, pid, 1, ROOM);
    stage_send(&stage, pid, &cargo, &(struct cargo){5, &destroyed});
    cr_assert_eq(office.result, TROUPE_OK);
    cr_assert_eq(destroyed, 0);
    cr_assert(troupe_is(office.taken, &cargo));
    cr_assert_eq(troupe_try_send(stage.runtime, other, office.taken), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(destroyed, 0);
    office.takes = false;
    stage_close(&stage);
    cr_assert_eq(destroyed, 1);
}

Test(dead_letter, one_for_which_there_is_no_memory_is_not_taken_and_ends, .timeout = 20)
{
    struct stage stage;
    struct office office;
    struct troupe_message *msg;
    troupe_pid pid;

    open_with(&stage, &office);
    office.takes = true;
    pid = stage_spawn(&stage, &dropping, NULL);
    put(&stage, pid, 1, ROOM);
    cr_assert_eq(troupe_message_create(stage.runtime, &bytes, 100000, &msg), TROUPE_OK);
    memset(troupe_body(msg), 0, 100000);
    stage.memory.fail_at = stage.memory.calls + 1;
    cr_assert_eq(troupe_try_send(stage.runtime, pid, msg), TROUPE_OK);
    cr_assert_eq(office.result, TROUPE_ENOMEM);
    stage_close(&stage);
}

Test(dead_letter, what_is_given_up_inside_the_hook_is_counted_and_not_shown, .timeout = 20)
{
    struct stage stage;
    struct office office;
    troupe_pid pid;

    open_with(&stage, &office);
    pid = stage_spawn(&stage, &dropping, NULL);
    office.returns_to = pid;
    put(&stage, pid, 1, ROOM + 1);
    cr_assert_eq(office.count, 1);
    cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_NEWEST], 2);
    office.returns_to = TROUPE_NOBODY;
    stage_close(&stage);
}

Test(dead_letter, what_is_refused_is_no_dead_letter, .timeout = 20)
{
    struct stage stage;
    struct office office;
    struct troupe_behaviour small = {
        .name = "small", .receive = stage_puppet_receive, .capacity = 1};
    troupe_pid pid;

    open_with(&stage, &office);
    pid = stage_spawn(&stage, &small, NULL);
    put(&stage, pid, 1, 1);
    cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){2}), TROUPE_EFULL);
    cr_assert_eq(stage_try_send(&stage, TROUPE_NOBODY, &number, &(uint64_t){2}), TROUPE_EGONE);
    stage_run(&stage);
    cr_assert_eq(office.count, 0);
    stage_close(&stage);
}

static int make_alias(struct troupe_actor *self, void *arg)
{
    TROUPE_TRY(troupe_alias(self, TROUPE_ALIAS_EXPLICIT, 0, arg));
    return troupe_unalias(self, *(troupe_pid *)arg) < 0 ? TROUPE_ECHECK : TROUPE_OK;
}

Test(dead_letter, what_is_sent_to_an_alias_that_leads_to_nobody_is_shown, .timeout = 20)
{
    struct stage stage;
    struct office office;
    troupe_pid puppet;
    troupe_pid alias;

    open_with(&stage, &office);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, puppet, make_alias, &alias), TROUPE_OK);
    put(&stage, alias, 3, 1);
    cr_assert_eq(office.count, 1);
    cr_assert_eq(office.letters[0].to, alias);
    cr_assert_str_eq(office.letters[0].actor, "");
    stage_close(&stage);
}

Test(dead_letter, each_kind_has_a_name, .timeout = 20)
{
    for (unsigned i = 0; i < TROUPE_SHED_KINDS; i++) {
        cr_assert_str_neq(troupe_shed_name((enum troupe_shed)i), "unknown");
    }
    cr_assert_str_eq(troupe_shed_name(TROUPE_SHED_KINDS), "unknown");
    cr_assert_str_eq(troupe_shed_name((enum troupe_shed) - 1), "unknown");
}

/* ---- as messages ---- */

struct counter {
    unsigned count;
    unsigned others;                      /* that are no letters */
    struct troupe_lost lost[LETTERS_MAX]; /* their messages are gone */
    uint64_t values[LETTERS_MAX];
    troupe_pid senders[LETTERS_MAX];
    bool keeps;
    struct troupe_message *kept;
    int error;
};

static int counter_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct counter *counter = (struct counter *)(uintptr_t)arg;

    *(struct counter **)state = counter;
    counter->error = troupe_dead_letters_to(troupe_runtime_of(self), troupe_self(self));
    return counter->error;
}

static int counter_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct counter *counter = *(struct counter **)state;
    struct troupe_lost *lost = troupe_body(msg);
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (!troupe_is(msg, &troupe_lost)) {
        counter->others++;
        return TROUPE_OK;
    }
    cr_assert_lt(counter->count, LETTERS_MAX);
    counter->lost[counter->count] = *lost;
    counter->senders[counter->count] = troupe_sender(lost->msg);
    counter->values[counter->count++] = *(const uint64_t *)troupe_body(lost->msg);
    if (counter->keeps) {
        counter->kept = lost->msg;
        lost->msg = NULL;
    }
    return TROUPE_OK;
}

#define COUNTER(policy)                                                                            \
    {                                                                                              \
        .name = "counter", .state_size = sizeof(struct counter *), .init = counter_init,           \
        .receive = counter_receive, .capacity = ROOM, .capacity_bytes = 1024, .overload = (policy) \
    }

static const struct troupe_behaviour counting = COUNTER(NULL);
static const struct troupe_behaviour counting_few = COUNTER(&drops);

static troupe_pid open_counter(
    struct stage *stage, const struct troupe_behaviour *behaviour, struct counter *counter)
{
    troupe_pid pid;

    *counter = (struct counter){.error = 1};
    pid = stage_spawn(stage, behaviour, counter);
    stage_run(stage);
    cr_assert_eq(counter->error, TROUPE_OK);
    return pid;
}

Test(dead_letter, an_actor_that_wants_them_is_sent_them, .timeout = 20)
{
    struct stage stage;
    struct counter counter;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    open_counter(&stage, &counting, &counter);
    pid = stage_spawn(&stage, &dropping, NULL);
    put(&stage, pid, 1, ROOM + 2);
    stage_run(&stage);
    cr_assert_eq(counter.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(counter.lost[i].kind, TROUPE_SHED_NEWEST);
        cr_assert_eq(counter.lost[i].to, pid);
        cr_assert_str_eq(counter.lost[i].actor, "dropping");
        cr_assert(!counter.lost[i].request);
        cr_assert_eq(counter.values[i], ROOM + 1 + i);
    }
    stage_close(&stage);
}

static int send_seven(struct troupe_actor *self, void *arg)
{
    return troupe_send(self, *(troupe_pid *)arg, &number, &(uint64_t){7});
}

Test(dead_letter, as_a_message_it_names_its_sender_and_says_whether_an_answer_was_wanted,
    .timeout = 20)
{
    struct stage stage;
    struct counter counter;
    struct asking asking = {.status = 1};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    open_counter(&stage, &counting, &counter);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    stage_run(&stage);
    asking.to = stage_spawn(&stage, &stashing, NULL);
    stage_run(&stage);
    cr_assert_eq(stage_do(&stage, puppet, send_seven, &asking.to), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, puppet, ask_once, &asking), TROUPE_OK);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, asking.to, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(counter.count, 2);
    cr_assert_eq(counter.values[0], 7);
    cr_assert_eq(counter.values[1], 77);
    cr_assert_eq(counter.lost[0].kind, TROUPE_SHED_ENDED);
    cr_assert_eq(counter.senders[0], puppet);
    cr_assert_eq(counter.senders[1], puppet);
    cr_assert(!counter.lost[0].request);
    cr_assert(counter.lost[1].request);
    cr_assert_eq(asking.status, TROUPE_EDIED, "%s", troupe_strerror(asking.status));
    stage_close(&stage);
}

Test(dead_letter, what_finds_no_room_there_is_counted_and_no_more, .timeout = 20)
{
    const struct troupe_behaviour *behaviours[] = {&counting, &counting_few};

    for (size_t i = 0; i < TROUPE_COUNT(behaviours); i++) {
        struct stage stage;
        struct counter counter;
        unsigned destroyed = 0;
        troupe_pid pid;

        stage_open(&stage, TROUPE_NO_THREADS);
        open_counter(&stage, behaviours[i], &counter);
        pid = stage_spawn(&stage, &dropping, NULL);
        for (uint64_t k = 0; k < 4 * ROOM; k++) {
            stage_send(&stage, pid, &cargo, &(struct cargo){k, &destroyed});
        }
        cr_assert_eq(destroyed, 2 * ROOM, "what is on its way there is not destroyed yet");
        stage_run(&stage);
        cr_assert_eq(counter.count, ROOM);
        cr_assert_eq(counter.others, 0);
        cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_NEWEST], 3 * ROOM);
        stage_close(&stage);
        cr_assert_eq(destroyed, 4 * ROOM);
    }
}

static void put_long(struct stage *stage, troupe_pid to, size_t size)
{
    struct troupe_message *msg;

    cr_assert_eq(troupe_message_create(stage->runtime, &bytes, size, &msg), TROUPE_OK);
    memset(troupe_body(msg), 0, size);
    cr_assert_eq(troupe_try_send(stage->runtime, to, msg), TROUPE_OK);
}

Test(dead_letter, what_its_actor_gives_up_itself_is_sent_to_nobody, .timeout = 20)
{
    struct stage stage;
    struct counter counter;
    unsigned destroyed = 0;
    troupe_pid office;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    office = open_counter(&stage, &counting_few, &counter);
    put(&stage, office, 1, ROOM + 3);
    stage_run(&stage);
    cr_assert_eq(counter.count, 0);
    cr_assert_eq(counter.others, ROOM);
    cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_NEWEST], 3);
    /* Though there is room for a letter. */
    put_long(&stage, office, 600);
    put_long(&stage, office, 601);
    stage_run(&stage);
    cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_NEWEST], 4);
    cr_assert_eq(counter.count, 0);
    cr_assert_eq(counter.others, ROOM + 1);
    /* And what is left when it ends. */
    pid = stage_spawn(&stage, &dropping, NULL);
    for (uint64_t k = 0; k < ROOM + 2; k++) {
        stage_send(&stage, pid, &cargo, &(struct cargo){k, &destroyed});
    }
    cr_assert_eq(destroyed, 0);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, office, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(counter.count, 0);
    cr_assert_eq(destroyed, ROOM + 2);
    stage_close(&stage);
    cr_assert_eq(destroyed, ROOM + 2);
}

static int pass_on(struct troupe_actor *self, void *arg)
{
    struct troupe_lost lost = {.kind = TROUPE_SHED_ENDED};

    return troupe_send(self, *(troupe_pid *)arg, &troupe_lost, &lost);
}

Test(dead_letter, a_letter_that_somebody_else_gives_up_is_sent_to_nobody, .timeout = 20)
{
    struct stage stage;
    struct counter counter;
    troupe_pid puppet;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    open_counter(&stage, &counting, &counter);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    pid = stage_spawn(&stage, &stashing, NULL);
    stage_run(&stage);
    cr_assert_eq(stage_do(&stage, puppet, pass_on, &pid), TROUPE_OK);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(counter.count, 0);
    cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_ENDED], 1);
    stage_close(&stage);
}

Test(dead_letter, its_message_may_be_taken_out_and_sent_on, .timeout = 20)
{
    struct stage stage;
    struct counter counter;
    unsigned destroyed = 0;
    troupe_pid pid;
    troupe_pid other;

    stage_open(&stage, TROUPE_NO_THREADS);
    open_counter(&stage, &counting, &counter);
    counter.keeps = true;
    pid = stage_spawn(&stage, &dropping, NULL);
    other = stage_spawn(&stage, &stashing, NULL);
    put(&stage, pid, 1, ROOM);
    stage_send(&stage, pid, &cargo, &(struct cargo){5, &destroyed});
    stage_run(&stage);
    cr_assert_eq(counter.count, 1);
    cr_assert_eq(destroyed, 0);
    cr_assert_eq(troupe_try_send(stage.runtime, other, counter.kept), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(destroyed, 0);
    stage_close(&stage);
    cr_assert_eq(destroyed, 1);
}

Test(dead_letter, what_the_hook_takes_is_not_sent, .timeout = 20)
{
    struct stage stage;
    struct office office;
    struct counter counter;
    troupe_pid pid;

    open_with(&stage, &office);
    open_counter(&stage, &counting, &counter);
    pid = stage_spawn(&stage, &dropping, NULL);
    put(&stage, pid, 1, ROOM + 1);
    office.takes = true;
    put(&stage, pid, 50, 1);
    stage_run(&stage);
    cr_assert_eq(office.count, 2);
    cr_assert_eq(counter.count, 1);
    cr_assert_eq(counter.values[0], ROOM + 1);
    troupe_message_destroy(office.taken);
    office.takes = false;
    stage_close(&stage);
}

Test(dead_letter, nobody_is_sent_them_after_that_was_said, .timeout = 20)
{
    struct stage stage;
    struct counter counter;
    troupe_pid office;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    office = open_counter(&stage, &counting, &counter);
    cr_assert_eq(troupe_dead_letters_to(stage.runtime, TROUPE_NOBODY), TROUPE_OK);
    pid = stage_spawn(&stage, &dropping, NULL);
    put(&stage, pid, 1, ROOM + 1);
    stage_run(&stage);
    cr_assert_eq(counter.count, 0);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, office, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(troupe_dead_letters_to(stage.runtime, office), TROUPE_EGONE);
    cr_assert_eq(troupe_dead_letters_to(NULL, TROUPE_NOBODY), TROUPE_EINVAL);
    cr_assert_eq(troupe_dead_letters_to(stage.runtime, ~(troupe_pid)0), TROUPE_EINVAL);
    stage_close(&stage);
}

Test(dead_letter, without_memory_for_the_message_it_is_counted_and_no_more, .timeout = 20)
{
    for (unsigned k = 1; k <= 2; k++) {
        struct stage stage;
        struct counter counter;
        struct troupe_message *msg;
        troupe_pid pid;

        stage_open(&stage, TROUPE_NO_THREADS);
        open_counter(&stage, &counting, &counter);
        pid = stage_spawn(&stage, &dropping, NULL);
        put(&stage, pid, 1, ROOM);
        /* The block of its message is the only one that does not come out of a pool. */
        cr_assert_eq(troupe_message_create(stage.runtime, &bytes, 100000, &msg), TROUPE_OK);
        memset(troupe_body(msg), 0, 100000);
        stage.memory.fail_at = k == 1 ? stage.memory.calls + 1 : 0;
        cr_assert_eq(troupe_try_send(stage.runtime, pid, msg), TROUPE_OK);
        stage.memory.fail_at = 0;
        stage_run(&stage);
        cr_assert_eq(counter.count, k - 1);
        cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_NEWEST], 1);
        stage_close(&stage);
    }
}

#define SENT 2000

static _Atomic unsigned letters_handled;

static int tally_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    letters_handled += troupe_is(msg, &troupe_lost);
    return TROUPE_OK;
}

static const struct troupe_behaviour tallying = {
    .name = "tallying", .receive = tally_receive, .capacity = 2 * SENT};

static void *flood(void *arg)
{
    struct office *to = arg;

    put(to->stage, to->returns_to, 1, SENT);
    return NULL;
}

Test(dead_letter, from_many_threads_each_is_handled_once, .timeout = 60)
{
    struct stage stage;
    struct office to = {.stage = &stage};
    pthread_t threads[2];
    troupe_pid office;

    letters_handled = 0;
    stage_open(&stage, 2);
    office = stage_spawn(&stage, &tallying, NULL);
    cr_assert_eq(troupe_dead_letters_to(stage.runtime, office), TROUPE_OK);
    to.returns_to = stage_spawn(&stage, &dropping, NULL);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, flood, &to), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
    cr_assert_eq(letters_handled, stage_books(&stage).shed);
    stage_close(&stage);
}
