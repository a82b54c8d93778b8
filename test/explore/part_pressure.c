/* SPDX-License-Identifier: MIT */
/*
 * pressure: actors that begin to wait for each other at the same time, are answered, have their requests passed on, and give
 * up.  A ring that is closed has exactly one victim, none is left standing, and nobody is a victim of a ring that is none.
 *
 * Threads play actors, and whoever acts for them.
 */
#include "test/explore/stage.h"

enum { ACTORS = 4, A = 0, B = 1, C = 2, D = 3 };

static struct troupe_runtime *runtime;
static struct troupe_actor *actors[ACTORS];
static troupe_pid pids[ACTORS];
static uint64_t numbers[ACTORS];

/* As a request, and its answer, in a mailbox: what was done before is known to whoever has it. */
static struct mail {
    _Atomic bool asked;
    _Atomic bool answered;
} * mail;

/* Ghosts. */
static unsigned victims;
static unsigned waits;
static bool asked; /* A's wait stands, and its request is where it leads */
static bool answered;
static bool has_moved;
static bool woken;

EXPLORE_GHOST static void note(int error)
{
    if (error == TROUPE_EDEADLK) {
        victims++;
    } else {
        explore_check(error == TROUPE_OK);
        waits++;
    }
}

EXPLORE_GHOST static void note_asked(void)
{
    asked = true;
}

EXPLORE_GHOST static void note_answered(void)
{
    answered = true;
}

EXPLORE_GHOST static void note_moved(void)
{
    has_moved = true;
}

EXPLORE_GHOST static void note_woken(bool is_woken)
{
    woken = is_woken;
}

EXPLORE_GHOST static bool is_moved(void)
{
    return has_moved;
}

EXPLORE_GHOST static bool is_asked(const void *ignored)
{
    (void)ignored;
    return asked;
}

EXPLORE_GHOST static bool is_answered(const void *ignored)
{
    (void)ignored;
    return answered;
}

/* ---- what they do ---- */

static struct trp_context *context_of(unsigned who)
{
    return &runtime->workers[who]->context;
}

static void open_record(unsigned who)
{
    explore_check(trp_pressure_open(context_of(who), actors[who], &numbers[who]) == TROUPE_OK);
}

/* The record of `who` leads to `to`; `by` does it. */
static int point(unsigned by, unsigned who, unsigned to)
{
    struct trp_aim aim = {.to = pids[to]};

    return trp_pressure_wait(context_of(by), actors[who], numbers[who], &aim);
}

static void wait_for(unsigned who, unsigned to)
{
    bool was_offline = trp_reclaim_enter();
    int error;

    open_record(who);
    error = point(who, who, to);
    note(error);
    if (error < 0) {
        trp_pressure_close(actors[who]);
    }
    trp_reclaim_leave(was_offline);
}

static void a_waits_for_b(void)
{
    wait_for(A, B);
}

static void b_waits_for_a(void)
{
    wait_for(B, A);
}

static void b_waits_for_c(void)
{
    wait_for(B, C);
}

static void c_waits_for_a(void)
{
    wait_for(C, A);
}

/* It asks; when it is answered, it asks again. */
static void a_asks_twice(void)
{
    bool was_offline = trp_reclaim_enter();

    open_record(A);
    explore_check(point(A, A, B) == TROUPE_OK);
    atomic_store_explicit(&mail->asked, true, memory_order_release);
    note_asked();
    explore_await(is_answered, NULL, "an answer");
    while (!atomic_load_explicit(&mail->answered, memory_order_acquire)) {
        explore_yield();
    }
    trp_pressure_close(actors[A]);
    trp_reclaim_leave(was_offline);
    wait_for(A, C);
}

/* It answers, and then asks whoever it has answered: no ring. */
static void b_answers_and_asks(void)
{
    bool was_offline = trp_reclaim_enter();

    explore_await(is_asked, NULL, "a request");
    while (!atomic_load_explicit(&mail->asked, memory_order_acquire)) {
        explore_yield();
    }
    trp_pressure_rest(actors[A], numbers[A]);
    atomic_store_explicit(&mail->answered, true, memory_order_release);
    note_answered();
    open_record(B);
    explore_check(point(B, B, A) == TROUPE_OK);
    note(TROUPE_OK);
    trp_reclaim_leave(was_offline);
}

/* B has the request of A, and passes it on to C. */
static void b_passes_on(void)
{
    bool was_offline = trp_reclaim_enter();

    note(point(B, A, C));
    note_moved();
    trp_reclaim_leave(was_offline);
}

static void a_gives_up(void)
{
    bool was_offline = trp_reclaim_enter();

    trp_pressure_close(actors[A]);
    trp_reclaim_leave(was_offline);
}

/* B waits for D, who does for nobody, and D begins to wait for A, who waits for B, and has since it was passed on for C. */
static void d_waits_for_a(void)
{
    bool was_offline = trp_reclaim_enter();
    bool moved = is_moved();
    int error;

    open_record(D);
    error = point(D, D, A);
    explore_check(!moved || error == TROUPE_OK);
    if (error < 0) {
        trp_pressure_close(actors[D]);
    }
    trp_reclaim_leave(was_offline);
}

/* ---- words of flows ---- */

enum { DOWN = 2, UP = 2 | TRP_EDGE_OPEN, OTHER = 4 | TRP_EDGE_OPEN };

/* What lib/await.c does to wait for the word of `to` behind the first `heard`. */
struct told_wait {
    struct trp_node *at; /* the newest message that was looked at */
    uint64_t word;
};

/* Not TROUPE_OK: something has come; or TROUPE_EDEADLK. */
static int aim_and_stand(unsigned who, struct told_wait *wait, const struct trp_aim *aim)
{
    wait->word = trp_pressure_aim(actors[who], numbers[who], aim);
    (void)trp_mailbox_meet(&actors[who]->mailbox);
    if (trp_mailbox_newest(&actors[who]->mailbox) != wait->at ||
        !trp_pressure_stand(actors[who], wait->word)) {
        return TROUPE_EBUSY;
    }
    return trp_pressure_look(context_of(who), actors[who], numbers[who]);
}

/* Has seen all that is there.  Waits for whoever is linking it. */
static void look_at_all(unsigned who, struct told_wait *wait)
{
    while (wait->at != trp_mailbox_newest(&actors[who]->mailbox)) {
        struct trp_node *next = trp_mailbox_behind(wait->at);

        if (next != NULL) {
            wait->at = next;
        } else {
            explore_yield();
        }
    }
}

/* Whether the owner is to be woken. */
static bool say(unsigned by, unsigned to, uint64_t flow, uint32_t count)
{
    struct troupe_message *word =
        trp_message_new(context_of(by), &(struct troupe_type){.name = "word"}, 0, 0);

    explore_check(word != NULL);
    trp_send_reserved(context_of(by), actors[to], word);
    return trp_pressure_told(actors[to], pids[by], flow, count);
}

/* It waits for the first word of B, unless that has come. */
static void a_waits_for_a_word(void)
{
    bool was_offline = trp_reclaim_enter();
    struct told_wait wait = {.at = actors[A]->head};
    int error;

    open_record(A);
    error = aim_and_stand(A, &wait, &(struct trp_aim){.to = pids[B], .flow = DOWN});
    explore_check(error != TROUPE_EDEADLK);
    if (error == TROUPE_EBUSY) {
        trp_pressure_close(actors[A]);
    }
    trp_reclaim_leave(was_offline);
}

static void b_says_it_and_waits_for_a(void)
{
    bool was_offline = trp_reclaim_enter();

    explore_check(!say(B, A, DOWN, 1));
    note_answered();
    trp_reclaim_leave(was_offline);
    wait_for(B, A);
}

/* When it has the first word it waits for the second. */
static void a_waits_for_the_next_word(void)
{
    bool was_offline = trp_reclaim_enter();
    struct told_wait wait = {.at = actors[A]->head};

    while (wait.at == actors[A]->head) {
        explore_yield();
        look_at_all(A, &wait);
    }
    open_record(A);
    note(aim_and_stand(A, &wait, &(struct trp_aim){.to = pids[B], .flow = DOWN, .heard = 1}));
    trp_reclaim_leave(was_offline);
}

/* It waits for B, whatever C says meanwhile; if it is woken, once more. */
static void a_waits_and_hears_others(void)
{
    bool was_offline = trp_reclaim_enter();
    struct trp_aim aim = {.to = pids[B], .flow = UP};
    struct told_wait wait = {.at = actors[A]->head};
    int error;

    open_record(A);
    error = aim_and_stand(A, &wait, &aim);
    explore_await(is_answered, NULL, "a word of another");
    if (error == TROUPE_OK && woken) {
        error = TROUPE_EBUSY;
    }
    while (error == TROUPE_EBUSY) {
        look_at_all(A, &wait);
        error = aim_and_stand(A, &wait, &aim);
    }
    note(error);
    if (error < 0) {
        trp_pressure_close(actors[A]);
    }
    trp_reclaim_leave(was_offline);
}

static void c_says_something(void)
{
    bool was_offline = trp_reclaim_enter();

    note_woken(say(C, A, OTHER, 1));
    note_answered();
    trp_reclaim_leave(was_offline);
}

/* What C says to A gets it what A may be about to say: no ring. */
static void c_says_something_and_waits_for_a(void)
{
    bool was_offline = trp_reclaim_enter();
    int error;

    (void)say(C, A, OTHER, 1);
    open_record(C);
    error = point(C, C, A);
    explore_check(error == TROUPE_OK);
    trp_reclaim_leave(was_offline);
}

/* If something has come it looks no further. */
static void a_waits_once_for_b(void)
{
    bool was_offline = trp_reclaim_enter();
    struct told_wait wait = {.at = actors[A]->head};

    open_record(A);
    explore_check(
        aim_and_stand(A, &wait, &(struct trp_aim){.to = pids[B], .flow = UP}) != TROUPE_EDEADLK);
    trp_reclaim_leave(was_offline);
}

/* ---- setups ---- */

static void set_up(void)
{
    runtime = stage_open(ACTORS, 8);
    mail = explore_alloc(sizeof *mail, alignof(struct mail));
    atomic_init(&mail->asked, false);
    atomic_init(&mail->answered, false);
    for (unsigned i = 0; i < ACTORS; i++) {
        static const struct troupe_behaviour behaviour = {.name = "waiting"};

        actors[i] = stage_spawn(runtime->workers[i], &behaviour);
        pids[i] = trp_actor_pid(actors[i]);
        /* Made here, as most have them. */
        open_record(i);
        trp_pressure_close(actors[i]);
        numbers[i] = 0;
    }
    victims = waits = 0;
    asked = answered = has_moved = woken = false;
}

/* A waits for B. */
static void set_up_asked(void)
{
    set_up();
    open_record(A);
    explore_check(point(A, A, B) == TROUPE_OK);
}

/* And B for D. */
static void set_up_chain(void)
{
    set_up_asked();
    open_record(B);
    explore_check(point(B, B, D) == TROUPE_OK);
}

/* B waits for C. */
static void set_up_line(void)
{
    set_up();
    open_record(B);
    explore_check(point(B, B, C) == TROUPE_OK);
}

/* ---- what must hold ---- */

static uint64_t word_of(unsigned who)
{
    const struct trp_edge *edge = atomic_load(&trp_actor_extra(actors[who])->edge);

    return atomic_load(&edge->word);
}

static unsigned next_of(unsigned who)
{
    const struct trp_edge *edge = atomic_load(&trp_actor_extra(actors[who])->edge);

    for (unsigned i = 0; i < ACTORS; i++) {
        if (pids[i] == atomic_load(&edge->to)) {
            return i;
        }
    }
    return ACTORS;
}

static void check_no_ring(void)
{
    for (unsigned i = 0; i < ACTORS; i++) {
        unsigned at = i;
        unsigned hops = 0;

        while (at < ACTORS && (word_of(at) & TRP_EDGE_STATE) == TRP_EDGE_WAITING) {
            explore_check(++hops <= ACTORS);
            at = next_of(at);
        }
        explore_check((word_of(i) & TRP_EDGE_STATE) <= TRP_EDGE_WAITING);
        explore_check((word_of(i) & TRP_EDGE_STATE) != TRP_EDGE_LOOKING);
    }
}

static void check_one_victim(void)
{
    check_no_ring();
    explore_check(victims == 1);
}

static void check_no_victim(void)
{
    check_no_ring();
    explore_check(victims == 0);
}

static void check_at_most_one_victim(void)
{
    check_no_ring();
    explore_check(victims <= 1);
}

static const struct explore_scenario scenarios[] = {
    {.name = "two begin to wait for each other",
        .setup = set_up,
        .threads = {a_waits_for_b, b_waits_for_a},
        .check = check_one_victim},
    {.name = "three begin to wait in a ring",
        .setup = set_up,
        .threads = {a_waits_for_b, b_waits_for_c, c_waits_for_a},
        .check = check_one_victim,
        .deviations = 2},
    {.name = "who has answered waits for whoever it has answered, who waits for another",
        .setup = set_up,
        .threads = {a_asks_twice, b_answers_and_asks},
        .check = check_no_victim},
    {.name = "a request is passed on to whoever begins to wait for its asker",
        .setup = set_up_asked,
        .threads = {b_passes_on, c_waits_for_a},
        .check = check_one_victim},
    {.name = "the same, and the asker gives up",
        .setup = set_up_asked,
        .threads = {b_passes_on, c_waits_for_a, a_gives_up},
        .check = check_at_most_one_victim,
        .deviations = 2},
    {.name = "a request is passed on out of what would become a ring",
        .setup = set_up_chain,
        .threads = {b_passes_on, d_waits_for_a},
        .check = check_no_victim},
    {.name = "a word comes while it is waited for, and who said it waits for whoever has it",
        .setup = set_up,
        .threads = {a_waits_for_a_word, b_says_it_and_waits_for_a},
        .check = check_no_victim},
    {.name = "one word came, and the next one is waited for",
        .setup = set_up,
        .threads = {a_waits_for_the_next_word, b_says_it_and_waits_for_a},
        .check = check_one_victim},
    {.name = "who waits for one hears another",
        .setup = set_up,
        .threads = {a_waits_and_hears_others, c_says_something, b_waits_for_a},
        .check = check_one_victim,
        .deviations = 2},
    {.name = "who waits for one hears another, who waits for it, and is waited for by that one",
        .setup = set_up_line,
        .threads = {a_waits_once_for_b, c_says_something_and_waits_for_a},
        .check = check_no_victim},
};

static const struct explore_plant plants[] = {
    {"who looks may not see who looks at the same time", &scenarios[0], "look_from", EXPLORE_FENCE,
        0, EXPLORE_FORGET, 0, ""},
    {"all edges look as if they were none", &scenarios[0], "word_of", EXPLORE_LOAD, 0, EXPLORE_LIE,
        0, ""},
    {"what changes an edge does not look at what it was", &scenarios[1], "swap", EXPLORE_SWAP, 0,
        EXPLORE_BLIND, 0, ""},
    {"what changes an edge takes two steps", &scenarios[0], "swap", EXPLORE_SWAP, 0, EXPLORE_TEAR,
        0, ""},
    {"what gives an edge up does not look at what it was", &scenarios[4], "swap", EXPLORE_SWAP, 0,
        EXPLORE_BLIND, 0, ""},
    {"who waits for a word does not meet who says it", &scenarios[6], "trp_mailbox_meet",
        EXPLORE_OR, 0, EXPLORE_FORGET, 0, ""},
    {"who was told stands all the same", &scenarios[6], "swap", EXPLORE_SWAP, 0, EXPLORE_BLIND, 0,
        ""},
    {"how many words came before is not written", &scenarios[7], "write_aim", EXPLORE_STORE, 3,
        EXPLORE_FORGET, 0, ""},
    {"what others say is not heard", &scenarios[9], "compare", EXPLORE_LOAD, 1, EXPLORE_LIE, 0, ""},
    {"where an edge leads is not written", &scenarios[3], "write_aim", EXPLORE_STORE, 0,
        EXPLORE_FORGET, 0, ""},
};

EXPLORE_PART(pressure, scenarios, plants);
