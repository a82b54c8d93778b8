/* SPDX-License-Identifier: MIT */
/* scenario_alias.c - addresses that their owner can revoke. */
#include "scenario.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);

/* More of them do not fit into a limit, so nothing may be left of those that were not made, or have ended. */
#define ROUNDS 3

struct owning {
    struct scene *scene;
    troupe_pid watched;
    unsigned expected; /* messages and notices that are to come */
    unsigned came;
};

static int stay(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    return troupe_is(msg, &number) ? TROUPE_DONE : TROUPE_EUNKNOWN;
}

/* Sends twice; `through`: how many of them come through. */
static void answer(
    struct troupe_actor *self, struct owning *owning, troupe_pid alias, unsigned through)
{
    uint64_t value = 1;
    unsigned sent = 0;

    HOLDS(troupe_is_alias(alias));
    sent += WENT(troupe_send(self, alias, &number, &value), MAY(TROUPE_ENOMEM));
    sent += WENT(troupe_send(self, alias, &number, &value), MAY(TROUPE_ENOMEM));
    owning->expected += sent < through ? sent : through;
}

static void have_one(
    struct troupe_actor *self, struct owning *owning, enum troupe_alias_mode mode, unsigned flags)
{
    troupe_pid alias;

    if (!WENT(troupe_alias(self, mode, flags, &alias), MAY(TROUPE_ENOMEM))) {
        return;
    }
    answer(self, owning, alias, mode == TROUPE_ALIAS_REPLY ? 1 : 2);
    (void)WENT(troupe_unalias(self, alias), 0);
    answer(self, owning, alias, 0);
}

/* With a monitor, which tells unless it was answered or taken back. */
static void have_watching(
    struct troupe_actor *self, struct owning *owning, enum troupe_alias_mode mode, unsigned flags)
{
    unsigned before = owning->expected;
    troupe_pid alias;
    troupe_ref ref;

    if (!WENT(troupe_monitor_alias(self, owning->watched, mode, flags, &ref, &alias),
            MAY(TROUPE_ENOMEM))) {
        return;
    }
    if (mode == TROUPE_ALIAS_EXPLICIT) {
        owning->expected++;
        return;
    }
    answer(self, owning, alias, mode == TROUPE_ALIAS_REPLY_DEMONITOR ? 1 : 2);
    if (mode == TROUPE_ALIAS_DEMONITOR || owning->expected == before) {
        HOLDS(troupe_demonitor(self, ref) == 1);
        answer(self, owning, alias, 0);
    }
}

/* Links and monitors with priority: one of each tells. */
static void have_tied(struct troupe_actor *self, struct owning *owning)
{
    troupe_ref ref;

    owning->expected +=
        WENT(troupe_monitor_with(self, owning->watched, TROUPE_PRIORITY, &ref), MAY(TROUPE_ENOMEM));
    owning->expected +=
        WENT(troupe_link_with(self, owning->watched, TROUPE_PRIORITY), MAY(TROUPE_ENOMEM));
}

static const struct scene_part stays = {.receive = stay};

static int own(struct troupe_actor *self, void *arg)
{
    struct owning *owning = arg;
    uint64_t value = 1;

    owning->watched = scene_play(owning->scene, &stays);
    if (owning->watched == TROUPE_NOBODY) {
        return TROUPE_DONE;
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned flags = i % 2 == 0 ? 0 : TROUPE_PRIORITY;

        have_one(self, owning, TROUPE_ALIAS_EXPLICIT, flags);
        have_one(self, owning, TROUPE_ALIAS_REPLY, flags);
        have_watching(self, owning, TROUPE_ALIAS_DEMONITOR, flags);
        have_watching(self, owning, TROUPE_ALIAS_REPLY_DEMONITOR, flags);
    }
    have_watching(self, owning, TROUPE_ALIAS_EXPLICIT, TROUPE_PRIORITY_DOWN);
    have_tied(self, owning);
    if (!WENT(troupe_send(self, owning->watched, &number, &value), MAY_SEND)) {
        (void)WENT(troupe_kill(self, owning->watched), MAY(TROUPE_EGONE));
    }
    return TROUPE_OK;
}

static int note(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct owning *owning = scene_arg(state);

    (void)self;
    owning->came +=
        troupe_is(msg, &number) || troupe_is(msg, &troupe_down) || troupe_is(msg, &troupe_exited);
    return TROUPE_OK;
}

void scenario_alias(void)
{
    struct scene scene = {.limits = {.actor_aliases = 2, .actor_watches = 3}};
    struct owning owning = {.scene = &scene};
    struct scene_part owns = {.fn = own, .receive = note, .arg = &owning, .traps = true};

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    (void)scene_play(&scene, &owns);
    scene_pump(&scene);
    /* No notice is allocated when somebody dies. */
    HOLDS(owning.came == owning.expected);
    scene_close(&scene);
}
