/* SPDX-License-Identifier: MIT */
/* Promise 5: order is kept. */
#include "test/promise/promise.h"

#define SPEAKERS 4U
#define ROUNDS 16U
#define SAID                                                                                       \
    (3 * ROUNDS + 1) /* by each: a number, an answer and an exit signal a round; a last number */

/* Each speaker says things of all kinds to one listener, and ends. */
struct hall;

struct speaker {
    struct hall *hall;
    troupe_pid pid;
    struct troupe_message *asked[ROUNDS];
    unsigned asked_count;
    unsigned round;
    unsigned heard; /* by the listener */
};

struct hall {
    troupe_pid listener;
    struct speaker speakers[SPEAKERS];
    _Atomic unsigned notices;
    _Atomic bool disorder;
};

struct saying {
    struct speaker *speaker;
    unsigned number;
};

static const struct troupe_type saying = TROUPE_TYPE(struct saying);

/* Round by round 0 a number, 1 an answer, 2 an exit signal. */
static void hear(struct speaker *speaker, unsigned kind, unsigned number)
{
    struct hall *hall = speaker->hall;

    hall->disorder = hall->disorder || speaker->heard % 3 != kind || speaker->heard != number;
    speaker->heard++;
}

static int hear_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    if (status == TROUPE_OK) {
        hear(context, 1, ((const struct saying *)troupe_body(reply))->number);
    }
    return TROUPE_OK;
}

/* The down notice, and the exit signal of the link. */
static void hear_end(struct speaker *speaker)
{
    struct hall *hall = speaker->hall;

    hall->disorder = hall->disorder || speaker->heard != SAID;
    hall->notices++;
}

static struct speaker *speaker_of(struct hall *hall, troupe_pid pid)
{
    for (unsigned i = 0; i < SPEAKERS; i++) {
        if (hall->speakers[i].pid == pid) {
            return &hall->speakers[i];
        }
    }
    return NULL;
}

static int listener_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct hall *hall = *(struct hall **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (troupe_is(msg, &saying)) {
        const struct saying *body = troupe_body(msg);

        hear(body->speaker, 0, body->number);
    } else if (troupe_is(msg, &troupe_down)) {
        hear_end(speaker_of(hall, ((const struct troupe_down *)troupe_body(msg))->pid));
    } else if (troupe_is(msg, &troupe_exited)) {
        const struct troupe_exited *exited = troupe_body(msg);
        struct speaker *speaker = speaker_of(hall, exited->pid);

        if (speaker == NULL) {
            return TROUPE_DONE; /* the runtime stops */
        }
        if (exited->linked) {
            hear_end(speaker);
        } else {
            hear(speaker, 2, speaker->heard); /* it carries no number */
        }
    }
    return TROUPE_OK;
}

/* Asks each speaker as often as there are rounds: answers have to be asked for. */
static int listener_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct hall *hall = (struct hall *)(uintptr_t)arg;

    *(struct hall **)state = hall;
    hall->listener = troupe_self(self);
    for (unsigned i = 0; i < SPEAKERS; i++) {
        struct speaker *speaker = &hall->speakers[i];
        troupe_ref ref;

        TROUPE_TRY(troupe_link(self, speaker->pid));
        TROUPE_TRY(troupe_monitor(self, speaker->pid, &ref));
        for (unsigned j = 0; j < ROUNDS; j++) {
            TROUPE_TRY(troupe_request(
                self, speaker->pid, &receipt, NULL, TROUPE_FOREVER, hear_answer, speaker));
        }
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour listener = {
    .name = "listener",
    .state_size = sizeof(struct hall *),
    .init = listener_init,
    .receive = listener_receive,
    .trap_exit = true,
    .capacity = STAGE_ROOM,
};

/* A round in a turn of its own, so that all kinds of turns are between two of them. */
static int speak(struct troupe_actor *self, void *arg)
{
    struct speaker *speaker = arg;
    troupe_pid to = speaker->hall->listener;
    unsigned said = 3 * speaker->round;
    struct troupe_message *request;

    if (speaker->round == ROUNDS) {
        return TROUPE_DONE;
    }
    request = speaker->asked[speaker->round++];
    TROUPE_TRY(troupe_send(self, to, &saying, &(struct saying){speaker, said}));
    TROUPE_TRY(troupe_reply(self, request, &saying, &(struct saying){speaker, said + 1}));
    troupe_message_destroy(request);
    TROUPE_TRY(troupe_send_exit(self, to, TROUPE_EXIT_SHUTDOWN));
    return go_on(self, speak, speaker);
}

/* Begins when it has been asked for all its answers. */
static int speaker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct speaker *speaker = *(struct speaker **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    TROUPE_TRY(troupe_take(self, msg, &speaker->asked[speaker->asked_count]));
    speaker->asked_count++;
    return speaker->asked_count == ROUNDS ? speak(self, speaker) : TROUPE_OK;
}

static int speaker_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct speaker **)state = (struct speaker *)(uintptr_t)arg;
    return TROUPE_OK;
}

/* The last word comes from here: no notice may overtake it. */
static void speaker_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct speaker *speaker = *(struct speaker **)state;
    struct saying last = {speaker, SAID - 1};

    (void)reason;
    if (troupe_send(self, speaker->hall->listener, &saying, &last) < 0) {
        speaker->hall->disorder = true;
    }
}

static const struct troupe_behaviour speaker_behaviour = {
    .name = "speaker",
    .state_size = sizeof(struct speaker *),
    .init = speaker_init,
    .receive = speaker_receive,
    .terminate = speaker_terminate,
    .capacity = STAGE_ROOM,
};

static void play_hall(int workers)
{
    static struct hall hall;
    struct stage stage;

    memset(&hall, 0, sizeof hall);
    stage_open(&stage, workers);
    for (unsigned i = 0; i < SPEAKERS; i++) {
        hall.speakers[i].hall = &hall;
        hall.speakers[i].pid = stage_spawn(&stage, &speaker_behaviour, &hall.speakers[i]);
    }
    (void)stage_spawn(&stage, &listener, &hall);
    STAGE_AWAIT(&stage, hall.notices == 2 * SPEAKERS);
    stage_close(&stage);
    cr_assert_not(hall.disorder);
    for (unsigned i = 0; i < SPEAKERS; i++) {
        cr_assert_eq(hall.speakers[i].heard, SAID);
    }
}

Test(promise, order_is_kept, .timeout = 120)
{
    for (unsigned i = 0; i < TROUPE_COUNT(ways); i++) {
        play_hall(ways[i]);
    }
}
