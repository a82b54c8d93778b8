/* SPDX-License-Identifier: MIT */
/*
 * ear.h - for tests: a puppet (stage.h) that notes which notices and exit signals it was told of, in order.
 *
 * One that traps exits obeys nobody: ear_close() kills it before the stage is closed.
 */
#ifndef TEST_EAR_H
#define TEST_EAR_H

#include "test/support/stage.h"

#define EAR_MAX 64

struct ear_note {
    bool is_down; /* or an exit signal */
    troupe_pid pid;
    troupe_ref ref;
    enum troupe_exit kind;
    int code;
    bool linked;
    char text[32];
    char name[32]; /* "-": none */
};

struct ear {
    _Atomic unsigned count;
    struct ear_note notes[EAR_MAX];
    unsigned numbers; /* messages of type ear_number */
    unsigned numbers_at_first;
};

static const struct troupe_type ear_number __attribute__((unused)) = TROUPE_TYPE(uint64_t);

static inline int ear_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct ear **)state = (struct ear *)(uintptr_t)arg;
    return TROUPE_OK;
}

static inline void ear_note_down(struct ear_note *note, struct troupe_message *msg)
{
    const struct troupe_down *down = troupe_body(msg);
    const char *name = troupe_down_name(msg);

    *note = (struct ear_note){.is_down = true,
        .pid = down->pid,
        .ref = down->ref,
        .kind = down->reason.kind,
        .code = down->reason.code};
    snprintf(note->text, sizeof note->text, "%s", troupe_reason_text(&down->reason));
    snprintf(note->name, sizeof note->name, "%s", name == NULL ? "-" : name);
}

static inline void ear_note_exited(struct ear_note *note, struct troupe_message *msg)
{
    const struct troupe_exited *exited = troupe_body(msg);

    *note = (struct ear_note){.pid = exited->pid,
        .kind = exited->reason.kind,
        .code = exited->reason.code,
        .linked = exited->linked};
    snprintf(note->text, sizeof note->text, "%s", troupe_reason_text(&exited->reason));
}

static inline int ear_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct ear *ear = *(struct ear **)state;
    unsigned at = ear->count;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (troupe_is(msg, &ear_number)) {
        ear->numbers++;
        return TROUPE_OK;
    }
    if (at == 0) {
        ear->numbers_at_first = ear->numbers;
    }
    cr_assert_lt(at, EAR_MAX);
    if (troupe_is(msg, &troupe_down)) {
        ear_note_down(&ear->notes[at], msg);
    } else {
        cr_assert(troupe_is(msg, &troupe_exited));
        ear_note_exited(&ear->notes[at], msg);
    }
    ear->count = at + 1;
    return TROUPE_OK;
}

/** Of one that traps exits, and of one that does not. */
static const struct troupe_behaviour ear_trapping __attribute__((unused)) = {
    .name = "trapping ear",
    .state_size = sizeof(struct ear *),
    .init = ear_init,
    .receive = ear_receive,
    .trap_exit = true,
    .capacity = STAGE_ROOM,
};

static const struct troupe_behaviour ear_plain __attribute__((unused)) = {
    .name = "ear",
    .state_size = sizeof(struct ear *),
    .init = ear_init,
    .receive = ear_receive,
    .capacity = STAGE_ROOM,
};

/** Kills an ear, which may have ended. */
static inline void ear_close(struct stage *stage, troupe_pid pid)
{
    int error = troupe_runtime_exit(stage->runtime, pid, TROUPE_EXIT_KILL);

    cr_assert(error == TROUPE_OK || error == TROUPE_EGONE);
    if (!stage->threads) {
        stage_run(stage);
    }
}

#endif
