/* SPDX-License-Identifier: MIT */
/* scenario_gate.c - a gate, and permits that messages carry. */
#include "scenario.h"

#include <string.h>

static const struct troupe_type work = TROUPE_TYPE(uint64_t);

static struct {
    struct troupe_gate *gate;
    unsigned done;
} play;

static int count(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    play.done += troupe_is(msg, &work);
    return TROUPE_OK;
}

/* A message with a permit, and one that shares it. */
static int bring(struct troupe_actor *self, void *arg)
{
    struct troupe_message *msg = NULL;
    struct troupe_message *derived = NULL;
    struct troupe_permit permit;

    (void)arg;
    HOLDS(troupe_gate_enter(play.gate, NULL, &permit) == TROUPE_OK);
    if (!WENT(troupe_message_create(troupe_runtime_of(self), &work, 0, &msg), MAY(TROUPE_ENOMEM)) ||
        !WENT(troupe_permit_attach(permit, &msg), MAY(TROUPE_ENOMEM))) {
        troupe_message_destroy(msg);
        troupe_permit_return(permit);
        return TROUPE_OK;
    }
    memset(troupe_body(msg), 0, troupe_body_size(msg));
    if (WENT(troupe_message_create(troupe_runtime_of(self), &work, 0, &derived),
            MAY(TROUPE_ENOMEM))) {
        memset(troupe_body(derived), 0, troupe_body_size(derived));
        (void)WENT(troupe_permit_inherit(self, msg, &derived), MAY(TROUPE_ENOMEM));
        if (!WENT(troupe_send_message(self, troupe_self(self), derived), MAY_SEND)) {
            troupe_message_destroy(derived);
        }
    }
    if (!WENT(troupe_send_message(self, troupe_self(self), msg), MAY_SEND)) {
        troupe_message_destroy(msg);
    }
    return TROUPE_OK;
}

/* All permits came back, with memory or without. */
static void look(void)
{
    struct troupe_gate_numbers numbers;

    HOLDS(troupe_gate_read(play.gate, &numbers) == TROUPE_OK);
    HOLDS(numbers.in_flight == 0 && numbers.bytes == 0);
    HOLDS(numbers.refused == 0);
}

void scenario_gate(void)
{
    static const struct scene_part brings = {.fn = bring, .receive = count};
    struct scene scene = {0};
    struct troupe_permit permit;

    memset(&play, 0, sizeof play);
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    if (WENT(troupe_gate_create(scene.runtime, NULL, &play.gate), MAY(TROUPE_ENOMEM))) {
        HOLDS(troupe_gate_enter(play.gate, NULL, &permit) == TROUPE_OK);
        troupe_permit_begin(permit);
        troupe_permit_return(permit);
        (void)scene_play(&scene, &brings);
        scene_pump(&scene);
        look();
        troupe_gate_destroy(play.gate);
    }
    scene_close(&scene);
}
