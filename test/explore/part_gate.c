/* SPDX-License-Identifier: MIT */
/*
 * gate: threads enter, return and share permits, and the gate ends.  Never more are in than may be; who may be in has a slot of
 * its own; the last hold of a permit returns it, once; and the gate's memory goes with the last permit, not before.
 */
#include "test/explore/stage.h"

#include <troupe/gate.h>

#include "lib/gate.h"

enum { SLOTS = 3 };

static struct troupe_runtime *runtime;
static struct troupe_gate *gate;
static struct troupe_permit mine[SLOTS]; /* that the setup has taken */
static uint64_t before;                  /* bytes held without the gate */

/* Written by whoever has the slot: the gate must order one after the other. */
static unsigned *places;

/* Ghosts. */
static unsigned limit;
static unsigned inside;
static unsigned refused;

EXPLORE_GHOST static void go_in(void)
{
    inside++;
    explore_check(inside <= limit);
}

EXPLORE_GHOST static void go_out(void)
{
    inside--;
}

EXPLORE_GHOST static void note_refusal(void)
{
    refused++;
}

/* ---- setups ---- */

static void open_runtime(void)
{
    runtime = stage_open(1, 1);
    explore_check(trp_gates_create(runtime) == TROUPE_OK);
}

static void open_gate(unsigned permits, unsigned taken)
{
    struct troupe_gate_options options = {.limit = permits};

    before = runtime->memory.held;
    explore_check(troupe_gate_create(runtime, &options, &gate) == TROUPE_OK);
    places = explore_alloc(SLOTS * sizeof *places, 64);
    memset(places, 0, SLOTS * sizeof *places);
    limit = permits;
    inside = 0;
    refused = 0;
    for (unsigned i = 0; i < taken; i++) {
        explore_check(troupe_gate_enter(gate, NULL, &mine[i]) == TROUPE_OK);
        go_in();
    }
}

static void set_up_with(unsigned permits, unsigned taken)
{
    open_runtime();
    open_gate(permits, taken);
}

static void set_up_one(void)
{
    set_up_with(1, 0);
}

static void set_up_one_taken(void)
{
    set_up_with(1, 1);
}

static void set_up_two(void)
{
    set_up_with(2, 0);
}

static void set_up_two_taken(void)
{
    set_up_with(3, 2);
}

static struct troupe_message *message(void)
{
    static const struct troupe_type type = TROUPE_SIGNAL;
    struct troupe_message *msg =
        trp_message_new(&runtime->workers[0]->context, &type, 0, TRP_MESSAGE_EXTENDED);

    trp_message_set_runtime(msg, runtime);
    return msg;
}

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    explore_fail("nothing is sent");
}

/* One permit with two holds, of two messages. */
static void set_up_shared(void)
{
    static const struct troupe_behaviour behaviour = {.name = "shares", .receive = receive};
    struct troupe_message *from;
    struct troupe_message *derived;
    struct troupe_actor *actor;

    open_runtime();
    actor = stage_spawn(runtime->workers[0], &behaviour);
    stage_enter(runtime->workers[0], actor);
    from = message();
    derived = message();
    open_gate(1, 1);
    explore_check(troupe_permit_attach(mine[0], &from) == TROUPE_OK);
    explore_check(troupe_permit_inherit(actor, from, &derived) == TROUPE_OK);
}

/* ---- threads ---- */

static void come_and_go(void)
{
    struct troupe_permit permit;

    if (troupe_gate_enter(gate, NULL, &permit) != TROUPE_OK) {
        note_refusal();
        return;
    }
    go_in();
    places[permit.number]++;
    go_out();
    troupe_permit_return(permit);
}

static void come_and_go_twice(void)
{
    come_and_go();
    come_and_go();
}

static void return_first(void)
{
    places[mine[0].number]++;
    go_out();
    troupe_permit_return(mine[0]);
}

static void return_second(void)
{
    places[mine[1].number]++;
    go_out();
    troupe_permit_return(mine[1]);
}

static void let_go(void)
{
    troupe_permit_return(mine[0]);
}

static void end(void)
{
    troupe_gate_destroy(gate);
}

/* ---- checks ---- */

/* All slots are there again, each once. */
static void check_whole(void)
{
    struct troupe_gate_numbers numbers;
    struct troupe_permit permits[SLOTS];
    struct troupe_permit more;

    explore_check(troupe_gate_read(gate, &numbers) == TROUPE_OK);
    explore_check(numbers.in_flight == 0 && numbers.bytes == 0);
    explore_check(numbers.refused == refused);
    for (unsigned i = 0; i < limit; i++) {
        explore_check(troupe_gate_enter(gate, NULL, &permits[i]) == TROUPE_OK);
        for (unsigned j = 0; j < i; j++) {
            explore_check(permits[i].number != permits[j].number);
        }
    }
    explore_check(troupe_gate_enter(gate, NULL, &more) == TROUPE_EFULL);
}

/* As many come as may be in: nobody is refused because of somebody who is refused. */
static void check_none_refused(void)
{
    explore_check(refused == 0);
    check_whole();
}

static void check_freed(void)
{
    explore_check(runtime->memory.held == before);
}

static const struct explore_scenario scenarios[] = {
    {.name = "two come where one may be in",
        .setup = set_up_one,
        .threads = {come_and_go, come_and_go},
        .check = check_whole},
    {.name = "two come, twice, where two may be in",
        .setup = set_up_two,
        .threads = {come_and_go_twice, come_and_go_twice},
        .check = check_none_refused,
        .deviations = 2},
    {.name = "one returns, two come where one may be in",
        .setup = set_up_one_taken,
        .threads = {return_first, come_and_go, come_and_go},
        .check = check_whole,
        .deviations = 2},
    {.name = "two return and one comes",
        .setup = set_up_two_taken,
        .threads = {return_first, return_second, come_and_go},
        .check = check_none_refused,
        .deviations = 2},
    {.name = "two return and the gate ends",
        .setup = set_up_two_taken,
        .threads = {return_first, return_second, end},
        .check = check_freed},
    {.name = "two let go of one permit and the gate ends",
        .setup = set_up_shared,
        .threads = {let_go, let_go, end},
        .check = check_freed},
};

/* What a list of slots that is broken is seen by, a slot that two have or none, is a matter of who comes first: "". */
static const struct explore_plant plants[] = {
    {"who enters does not compare", &scenarios[0], "admit", EXPLORE_SWAP, 0, EXPLORE_BLIND, 0,
        "in_flight"},
    {"a slot is taken without comparing", &scenarios[1], "take_slot", EXPLORE_SWAP, 0,
        EXPLORE_BLIND, 0, ""},
    {"a slot is put back without comparing", &scenarios[3], "give_slot", EXPLORE_SWAP, 0,
        EXPLORE_BLIND, 0, ""},
    {"a slot is put back without an order", &scenarios[3], "give_slot", EXPLORE_SWAP, 0,
        EXPLORE_RELAX, 0, "race"},
    {"a slot is taken without an order", &scenarios[3], "take_slot", EXPLORE_LOAD, 0, EXPLORE_RELAX,
        0, ""},
    {"the load is lowered in two steps", &scenarios[3], "drop", EXPLORE_SUB, 0, EXPLORE_TEAR, 0,
        "in_flight"},
    {"the load is lowered without an order", &scenarios[4], "drop", EXPLORE_SUB, 0, EXPLORE_RELAX,
        0, "race"},
    {"a hold is let go in two steps", &scenarios[5], "troupe_permit_return", EXPLORE_SUB, 0,
        EXPLORE_TEAR, 0, "held"},
    {"the gate is closed in two steps", &scenarios[4], "troupe_gate_destroy", EXPLORE_OR, 0,
        EXPLORE_TEAR, 0, "held"},
};

EXPLORE_PART(gate, scenarios, plants);
