/* SPDX-License-Identifier: MIT */
/*
 * reader.h - for tests: a puppet (stage.h) that notes, in order, numbers, down notices and exit signals that it is told of.
 *
 * A number is noted as it is, a down notice as READER_DOWN, an exit signal as READER_EXITED.  Its capacity is 8.
 */
#ifndef TEST_READER_H
#define TEST_READER_H

#include "test/support/stage.h"

#define READER_MAX 64
#define READER_CAPACITY 8
#define READER_DOWN 1000001U
#define READER_EXITED 1000002U

struct reader {
    _Atomic unsigned count;
    uint64_t notes[READER_MAX];
    enum troupe_exit kind; /* of the last notice or signal */
};

static const struct troupe_type reader_number = TROUPE_TYPE(uint64_t);

static inline int reader_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct reader **)state = (struct reader *)(uintptr_t)arg;
    return TROUPE_OK;
}

static inline uint64_t reader_note_of(struct reader *reader, struct troupe_message *msg)
{
    if (troupe_is(msg, &troupe_down)) {
        reader->kind = ((const struct troupe_down *)troupe_body(msg))->reason.kind;
        return READER_DOWN;
    }
    if (troupe_is(msg, &troupe_exited)) {
        reader->kind = ((const struct troupe_exited *)troupe_body(msg))->reason.kind;
        return READER_EXITED;
    }
    cr_assert(troupe_is(msg, &reader_number));
    return *(const uint64_t *)troupe_body(msg);
}

static inline void reader_note(struct reader *reader, struct troupe_message *msg)
{
    unsigned at = reader->count;

    cr_assert_lt(at, READER_MAX);
    reader->notes[at] = reader_note_of(reader, msg);
    reader->count = at + 1;
}

static inline int reader_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    reader_note(*(struct reader **)state, msg);
    return TROUPE_OK;
}

static const struct troupe_behaviour reader_plain __attribute__((unused)) = {
    .name = "reader",
    .state_size = sizeof(struct reader *),
    .init = reader_init,
    .receive = reader_receive,
    .capacity = READER_CAPACITY,
};

static const struct troupe_behaviour reader_trapping __attribute__((unused)) = {
    .name = "trapping reader",
    .state_size = sizeof(struct reader *),
    .init = reader_init,
    .receive = reader_receive,
    .capacity = READER_CAPACITY,
    .trap_exit = true,
};

/** Whether exactly these were noted; told so otherwise. */
static inline bool reader_has(const struct reader *reader, const uint64_t *notes, unsigned count)
{
    bool same = reader->count == count;

    for (unsigned i = 0; same && i < count; i++) {
        same = reader->notes[i] == notes[i];
    }
    for (unsigned i = 0; !same && i < reader->count; i++) {
        fprintf(stderr, "note %u is %llu\n", i, (unsigned long long)reader->notes[i]);
    }
    return same;
}

#define READER_EXPECT(reader, ...)                                                                 \
    do {                                                                                           \
        const uint64_t reader_notes[] = {__VA_ARGS__};                                             \
        cr_assert(reader_has((reader), reader_notes, TROUPE_COUNT(reader_notes)));                 \
    } while (0)

#endif
