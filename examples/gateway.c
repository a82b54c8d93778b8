/* SPDX-License-Identifier: MIT */
/*
 * gateway.c - five ways in which bounded mailboxes make others wait for ever, and how each of them ends here.
 *
 *   1  a cyclic call          two actors ask each other
 *   2  a full mailbox         an actor sends to itself
 *   3  a gateway              work goes in and results come out through the same mailbox
 *   4  many gateways          all compete for the one place that is free
 *   5  extra messages         a stage makes three of one, which nobody had counted
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <troupe.h>

#define WAIT_MS 10000 /* longer than any of this takes */
#define JOBS 1000
#define PERMITS 8
#define PARTS 3

/* For all that may be in the works; a mailbox gets room back when a turn ends, of at most 64 messages. */
#define BEHIND_GATE (PERMITS + 64)
#define GATEWAYS 4
#define ROUNDS 100

static const struct troupe_type job = TROUPE_TYPE(int);
static const struct troupe_type number = TROUPE_TYPE(int);
static const struct troupe_type begin =
    TROUPE_SIGNAL; /* a request: answered when the story is over */

/* With a copy of `arg`. */
static troupe_pid spawn(struct troupe_runtime *runtime, const struct troupe_behaviour *behaviour,
    const void *arg, size_t arg_size)
{
    struct troupe_spawn_options options = {
        .behaviour = behaviour, .arg = arg, .arg_size = arg_size};
    troupe_pid pid = TROUPE_NOBODY;
    int error = troupe_runtime_spawn(runtime, &options, &pid);

    if (error < 0) {
        fprintf(stderr, "gateway: cannot spawn %s: %s\n", behaviour->name, troupe_strerror(error));
    }
    return pid;
}

/* Asks `pid` to begin, and waits for the end of its story.  False: there is none. */
static bool play(struct troupe_runtime *runtime, troupe_pid pid, int *out_count)
{
    int error = troupe_runtime_call(runtime, pid, &begin, NULL, &number, out_count, WAIT_MS);

    if (error < 0) {
        printf("   no end: %s\n", troupe_strerror(error));
    }
    return error == TROUPE_OK;
}

/* ---- 1: a cyclic call ---- */

#define PATIENCE_MS 300

/* Handlers that may wait: the first asks the second, which asks the first, which waits. */
static int first_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(troupe_pid *)state = *(const troupe_pid *)arg;
    return TROUPE_OK;
}

static int first_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    troupe_pid second = *(const troupe_pid *)state;
    int answer = 0;

    if (troupe_is(msg, &job)) {
        return troupe_reply(self, msg, &number, &answer); /* the question of the second */
    }
    TROUPE_TRY(troupe_call(self, second, &job, &answer, &number, &answer, WAIT_MS));
    return troupe_reply(self, msg, &number, &answer);
}

static int second_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int answer = 0;
    int error = troupe_call(self, troupe_sender(msg), &job, &answer, &number, &answer, PATIENCE_MS);

    (void)state;
    printf("   the second one asked the first, which waits for it: %s\n", troupe_strerror(error));
    answer = error;
    return troupe_reply(self, msg, &number, &answer);
}

static bool cyclic_call(struct troupe_runtime *runtime)
{
    static const struct troupe_behaviour first = {.name = "first",
        .state_size = sizeof(troupe_pid),
        .may_wait = true,
        .init = first_init,
        .receive = first_receive};
    static const struct troupe_behaviour second = {
        .name = "second", .may_wait = true, .receive = second_receive};
    troupe_pid asked;
    int error = 0;

    printf("1  A cyclic call.  The first asks the second, and the second asks the first.\n");
    asked = spawn(runtime, &second, NULL, 0);
    if (!play(runtime, spawn(runtime, &first, &asked, sizeof asked), &error)) {
        return false;
    }
    printf("   So the second gave up its question and answered, and the first went on.\n");
    return error < 0;
}

/* ---- 2: a full mailbox ---- */

#define ROOM 4

struct echo {
    struct troupe_message *request;
    int sent;
    int handled;
};

static int send_to_oneself(struct troupe_actor *self, struct echo *echo)
{
    int error = TROUPE_OK;

    while (error == TROUPE_OK) {
        error = troupe_send(self, troupe_self(self), &job, &echo->sent);
        echo->sent += error == TROUPE_OK;
    }
    printf("   It sent %d messages to itself; for the next one: %s.\n", echo->sent,
        troupe_strerror(error));
    return error == TROUPE_EFULL ? TROUPE_OK : error;
}

static int echo_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct echo *echo = state;

    if (troupe_is(msg, &begin)) {
        TROUPE_TRY(troupe_take(self, msg, &echo->request));
        return send_to_oneself(self, echo);
    }
    if (++echo->handled < echo->sent) {
        return TROUPE_OK;
    }
    TROUPE_TRY(troupe_reply(self, echo->request, &number, &echo->handled));
    troupe_message_destroy(echo->request);
    return TROUPE_DONE;
}

static bool full_mailbox(struct troupe_runtime *runtime)
{
    static const struct troupe_behaviour echo = {.name = "echo",
        .state_size = sizeof(struct echo),
        .receive = echo_receive,
        .capacity = ROOM};
    int handled = 0;

    printf("2  A full mailbox.  An actor with room for %d messages sends to itself.\n", ROOM);
    if (!play(runtime, spawn(runtime, &echo, NULL, 0), &handled)) {
        return false;
    }
    printf("   It was told so at once, returned, and handled all %d.\n", handled);
    return handled > 0;
}

/* ---- who brings work from outside ---- */

/* Brings `count` jobs to `to`, each with a permit, and waits for that when there is none. */
static int bring(struct troupe_runtime *runtime, struct troupe_gate *gate, troupe_pid to, int count)
{
    for (int i = 0; i < count; i++) {
        struct troupe_message *msg = NULL;
        struct troupe_permit permit;
        int error = troupe_gate_enter(gate, NULL, &permit);

        while (error == TROUPE_EFULL) {
            (void)sched_yield(); /* a server would say "busy" and go on */
            error = troupe_gate_enter(gate, NULL, &permit);
        }
        TROUPE_TRY(error);
        error = troupe_message_create(runtime, &job, 0, &msg);
        if (error == TROUPE_OK) {
            error = troupe_permit_attach(permit, &msg);
        }
        if (error < 0) {
            troupe_message_destroy(msg);
            troupe_permit_return(permit);
            return error;
        }
        *(int *)troupe_body(msg) = i;
        error = troupe_try_send(runtime, to, msg);
        if (error < 0) {
            troupe_message_destroy(msg); /* and its permit returns */
            return error;
        }
    }
    return TROUPE_OK;
}

/* Whether nothing was lost on the way, in the works or among the permits. */
static bool ended_well(struct troupe_gate *gate, int error, int done, int wanted)
{
    struct troupe_gate_numbers numbers;
    bool well = error == TROUPE_OK && done == wanted &&
                troupe_gate_read(gate, &numbers) == TROUPE_OK && numbers.highest <= PERMITS;

    if (well) {
        printf("   %d of %d are done; never more than %u were in the works, of %d that might be.\n",
            done, wanted, numbers.highest, PERMITS);
    } else {
        printf("   %d of %d are done: %s\n", done, wanted, troupe_strerror(error));
    }
    return well;
}

/* One that answers `begin` when so many jobs are done. */
struct tally {
    troupe_pid next;
    struct troupe_message *request;
    int done;
    int wanted;
};

static int tally_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct tally *)state = *(const struct tally *)arg;
    return TROUPE_OK;
}

static int answer_when_done(struct troupe_actor *self, struct tally *tally)
{
    if (tally->request == NULL || tally->done < tally->wanted) {
        return TROUPE_OK;
    }
    TROUPE_TRY(troupe_reply(self, tally->request, &number, &tally->done));
    troupe_message_destroy(tally->request);
    tally->request = NULL;
    return TROUPE_DONE;
}

static int hear_begin(struct troupe_actor *self, struct tally *tally, struct troupe_message *msg)
{
    TROUPE_TRY(troupe_take(self, msg, &tally->request));
    return answer_when_done(self, tally);
}

static int square_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int n = *(const int *)troupe_body(msg);

    (void)state;
    n = n * n % 1000;
    return troupe_reply(self, msg, &number, &n);
}

/* ---- 3: a gateway ---- */

static int on_result(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct tally *tally = state;

    (void)context;
    (void)reply;
    TROUPE_TRY(status);
    tally->done++;
    return answer_when_done(self, tally);
}

/* What goes on to the worker has a share in the permit of what came. */
static int gateway_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct tally *tally = state;
    struct troupe_message *question = NULL;
    int error;

    if (troupe_is(msg, &begin)) {
        return hear_begin(self, tally, msg);
    }
    TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &job, 0, &question));
    *(int *)troupe_body(question) = *(const int *)troupe_body(msg);
    error = troupe_permit_inherit(self, msg, &question);
    if (error == TROUPE_OK) {
        error = troupe_request_message(self, tally->next, question, WAIT_MS, on_result, NULL);
    }
    if (error < 0) {
        troupe_message_destroy(question);
    }
    return error;
}

static const struct troupe_behaviour square = {
    .name = "square", .receive = square_receive, .capacity = BEHIND_GATE};

/* A gate, the story's first actor, and the jobs: how many are done. */
static int run_jobs(struct troupe_runtime *runtime, const struct troupe_behaviour *entrance,
    struct tally *tally, troupe_pid last)
{
    const struct troupe_gate_options options = {.limit = PERMITS};
    struct troupe_gate *gate;
    troupe_pid pid = spawn(runtime, entrance, tally, sizeof *tally);
    int done = 0;
    int error;

    if (pid == TROUPE_NOBODY || troupe_gate_create(runtime, &options, &gate) < 0) {
        return -1;
    }
    error = bring(runtime, gate, pid, JOBS);
    if (error == TROUPE_OK && !play(runtime, last != TROUPE_NOBODY ? last : pid, &done)) {
        error = TROUPE_ETIMEDOUT;
    }
    done = ended_well(gate, error, done, tally->wanted) ? done : -1;
    troupe_gate_destroy(gate);
    return done;
}

static bool gateway(struct troupe_runtime *runtime)
{
    static const struct troupe_behaviour behaviour = {.name = "gateway",
        .state_size = sizeof(struct tally),
        .init = tally_init,
        .receive = gateway_receive,
        .capacity = BEHIND_GATE};
    struct tally tally = {.wanted = JOBS};

    printf("3  A gateway.  Jobs go in through one actor, and their results come back to it.\n");
    tally.next = spawn(runtime, &square, NULL, 0);
    if (run_jobs(runtime, &behaviour, &tally, TROUPE_NOBODY) < 0) {
        return false;
    }
    printf("   Results are answers, whose room is set aside: a gateway full of jobs gets them.\n");
    return true;
}

/* Handles jobs, and counts them. */
static int sink_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct tally *tally = state;

    if (troupe_is(msg, &begin)) {
        return hear_begin(self, tally, msg);
    }
    tally->done++;
    return answer_when_done(self, tally);
}

/* ---- 4: many gateways ---- */

/* A gateway that waits: each of its jobs has its turn in the one mailbox. */
static int waiting_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct tally *tally = state;
    int placed = 0;

    while (placed < ROUNDS) {
        TROUPE_TRY(troupe_send_within(self, tally->next, &job, &placed, WAIT_MS));
        placed++;
    }
    return troupe_reply(self, msg, &number, &placed);
}

static int on_gateway_done(struct troupe_actor *self, void *state, void *context, uint64_t label,
    int status, struct troupe_message *reply, uint32_t left)
{
    struct tally *tally = state;

    (void)context;
    if (status < 0) {
        printf("   gateway %u is not done: %s\n", (unsigned)label, troupe_strerror(status));
    } else {
        tally->done += *(const int *)troupe_body(reply);
    }
    if (left > 0) {
        return TROUPE_OK;
    }
    TROUPE_TRY(troupe_reply(self, tally->request, &number, &tally->done));
    troupe_message_destroy(tally->request);
    return TROUPE_DONE;
}

static int herd_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    static const struct troupe_behaviour behaviour = {.name = "waiting gateway",
        .state_size = sizeof(struct tally),
        .may_wait = true,
        .init = tally_init,
        .receive = waiting_receive};
    struct tally *tally = state;
    const struct tally each = {.next = tally->next};
    troupe_pid pids[GATEWAYS];

    for (int i = 0; i < GATEWAYS; i++) {
        struct troupe_spawn_options options = {
            .behaviour = &behaviour, .arg = &each, .arg_size = sizeof each};

        TROUPE_TRY(troupe_spawn(self, &options, &pids[i]));
    }
    TROUPE_TRY(troupe_take(self, msg, &tally->request));
    return troupe_request_many(self, pids, GATEWAYS, &begin, NULL, WAIT_MS, on_gateway_done, NULL);
}

static bool many_gateways(struct troupe_runtime *runtime)
{
    static const struct troupe_behaviour narrow = {.name = "narrow",
        .state_size = sizeof(struct tally),
        .init = tally_init,
        .receive = sink_receive,
        .capacity = 1};
    static const struct troupe_behaviour herd = {.name = "herd",
        .state_size = sizeof(struct tally),
        .init = tally_init,
        .receive = herd_receive};
    struct tally tally = {.wanted = GATEWAYS * ROUNDS};
    int placed = 0;
    int done = 0;

    printf("4  Many gateways.  %d of them want the one place in a worker's mailbox.\n", GATEWAYS);
    tally.next = spawn(runtime, &narrow, &tally, sizeof tally);
    if (!play(runtime, spawn(runtime, &herd, &tally, sizeof tally), &placed) ||
        !play(runtime, tally.next, &done)) {
        return false;
    }
    printf(
        "   Who waits is served in turn: %d jobs had their place, %d are done, nobody starved.\n",
        placed, done);
    return placed == GATEWAYS * ROUNDS && done == placed;
}

/* ---- 5: extra messages ---- */

/* Each part has a share in the permit, which returns with the last of them. */
static int split_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct tally *tally = state;

    for (int i = 0; i < PARTS; i++) {
        struct troupe_message *part = NULL;
        int error;

        TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &job, 0, &part));
        *(int *)troupe_body(part) = i;
        error = troupe_permit_inherit(self, msg, &part);
        if (error == TROUPE_OK) {
            error = troupe_send_message(self, tally->next, part);
        }
        if (error < 0) {
            troupe_message_destroy(part);
            return error;
        }
    }
    return TROUPE_OK;
}

static bool extra_messages(struct troupe_runtime *runtime)
{
    static const struct troupe_behaviour split = {.name = "split",
        .state_size = sizeof(struct tally),
        .init = tally_init,
        .receive = split_receive,
        .capacity = BEHIND_GATE};
    static const struct troupe_behaviour sink = {.name = "sink",
        .state_size = sizeof(struct tally),
        .init = tally_init,
        .receive = sink_receive,
        .capacity = PARTS * BEHIND_GATE};
    struct tally tally = {.wanted = JOBS * PARTS};

    printf("5  Extra messages.  A stage makes %d of each job that was let in.\n", PARTS);
    tally.next = spawn(runtime, &sink, &tally, sizeof tally);
    if (run_jobs(runtime, &split, &tally, tally.next) < 0) {
        return false;
    }
    printf("   They share its permit, so the gate knows of them: what is let in is bounded to the "
           "end.\n");
    return true;
}

int main(void)
{
    static bool (*const stories[])(struct troupe_runtime * runtime) = {
        cyclic_call, full_mailbox, gateway, many_gateways, extra_messages};
    struct troupe_runtime_options options = {.workers = 2};
    struct troupe_runtime *runtime;
    bool well = true;

    if (troupe_runtime_create(&options, &runtime) < 0 || troupe_runtime_start(runtime) < 0) {
        fprintf(stderr, "gateway: cannot start\n");
        return 1;
    }
    for (size_t i = 0; i < TROUPE_COUNT(stories) && well; i++) {
        well = stories[i](runtime);
    }
    if (troupe_runtime_stop(runtime, WAIT_MS) < 0 || troupe_runtime_destroy(runtime) < 0) {
        well = false;
    }
    return well ? 0 : 1;
}
