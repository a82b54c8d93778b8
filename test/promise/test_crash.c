/* SPDX-License-Identifier: MIT */
/* Promise 4: a crash stays in its actor. */
#include <fcntl.h>
#include <poll.h>

#include "test/promise/promise.h"

#define LETTERS 3U

/* What one actor owns, and who was told of its end. */
struct estate {
    int (*end)(struct troupe_actor *self, void *arg);
    troupe_pid victim;
    int peer; /* the other end of a pipe that the victim reads */
    _Atomic unsigned letters_ended;
    _Atomic unsigned cleanups;
    _Atomic unsigned destroyed;
    _Atomic unsigned downs;
    _Atomic unsigned exits;
    struct outcomes outcomes;
    _Atomic bool early; /* somebody was told before all was released */
    struct troupe_message *held;
};

/* Its last code takes longer than the watchdog's patience: whoever is told before it is through would notice. */
static void linger(void)
{
    usleep(20000);
}

/* The last one is the tick's. */
static void letter_destroy(void *body)
{
    struct estate *estate = *(struct estate **)body;

    if (estate->letters_ended == LETTERS + 1) {
        linger();
    }
    estate->letters_ended++;
}

static const struct troupe_type letter = TROUPE_TYPE_DESTROY(struct estate *, letter_destroy);

static void count_cleanup(void *arg)
{
    ((struct estate *)arg)->cleanups++;
}

static int own_pipe(struct troupe_actor *self, struct estate *estate)
{
    struct troupe_io *io;
    int ends[2];

    if (pipe2(ends, O_NONBLOCK) != 0) {
        return TROUPE_ESYSTEM;
    }
    estate->peer = ends[1];
    return troupe_io_open(self, ends[0], NULL, &io);
}

static int victim_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct estate *estate = (struct estate *)(uintptr_t)arg;
    unsigned char *memory = troupe_arena_alloc(self, 100000);

    *(struct estate **)state = estate;
    if (memory == NULL) {
        return TROUPE_ENOMEM;
    }
    memset(memory, 1, 100000);
    TROUPE_TRY(own_pipe(self, estate));
    TROUPE_TRY(troupe_register(self, "victim"));
    TROUPE_TRY(troupe_defer(self, count_cleanup, estate));
    return troupe_tick_after(self, TROUPE_DELAY_MAX_MS, &letter, &estate, NULL);
}

static int victim_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct estate *estate = *(struct estate **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    return troupe_is_request(msg) ? troupe_take(self, msg, &estate->held) : TROUPE_EUNKNOWN;
}

static void victim_destroy(void *state)
{
    linger();
    (*(struct estate **)state)->destroyed++;
}

static const struct troupe_behaviour victim = {
    .name = "victim",
    .state_size = sizeof(struct estate *),
    .init = victim_init,
    .receive = victim_receive,
    .destroy = victim_destroy,
    .capacity = STAGE_ROOM,
};

/* With letters in its queue, behind the last message. */
static int end_at_last(struct troupe_actor *self, void *arg)
{
    struct estate *estate = arg;

    for (unsigned i = 0; i < LETTERS; i++) {
        TROUPE_TRY(troupe_send(self, troupe_self(self), &letter, &estate));
    }
    return estate->end(self, NULL);
}

static int end_by_check(struct troupe_actor *self, void *arg)
{
    TROUPE_CHECK(self, arg != NULL);
    return TROUPE_OK;
}

static bool is_closed(int peer)
{
    struct pollfd poll_fd = {.fd = peer, .events = POLLOUT};

    return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLERR) != 0;
}

/* The request, the tick, and what was queued; the cleanup, the state, the descriptor, the name, the address. */
static bool is_released(struct troupe_actor *self, const struct estate *estate)
{
    return estate->letters_ended == 1 + 1 + LETTERS && estate->cleanups == 1 &&
           estate->destroyed == 1 && is_closed(estate->peer) &&
           troupe_whereis(self, "victim") == TROUPE_NOBODY &&
           !troupe_is_alive(troupe_runtime_of(self), estate->victim) &&
           troupe_send(self, estate->victim, &receipt, NULL) == TROUPE_EGONE;
}

static int heir_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct estate *estate = *(struct estate **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (troupe_is(msg, &troupe_exited) &&
        !((const struct troupe_exited *)troupe_body(msg))->linked) {
        return TROUPE_DONE; /* the runtime stops */
    }
    estate->early = estate->early || !is_released(self, estate);
    estate->downs += troupe_is(msg, &troupe_down);
    estate->exits += troupe_is(msg, &troupe_exited);
    return TROUPE_OK;
}

/* Watches in each way there is: a link, a monitor, and a request that the victim will hold. */
static int heir_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct estate *estate = (struct estate *)(uintptr_t)arg;
    troupe_ref ref;

    *(struct estate **)state = estate;
    TROUPE_TRY(troupe_link(self, estate->victim));
    TROUPE_TRY(troupe_monitor(self, estate->victim, &ref));
    return troupe_request(
        self, estate->victim, &letter, &estate, TROUPE_FOREVER, count_outcome, &estate->outcomes);
}

static const struct troupe_behaviour heir = {
    .name = "heir",
    .state_size = sizeof(struct estate *),
    .init = heir_init,
    .receive = heir_receive,
    .trap_exit = true,
};

/* There is room for one more actor than these two: it must live where the victim lived, and is not found by its pid. */
static void move_in(struct stage *stage, troupe_pid old)
{
    troupe_pid next = TROUPE_NOBODY;

    STAGE_AWAIT(stage, stage_try_spawn(stage, &stage_puppet, NULL, &next) == TROUPE_OK);
    cr_assert_neq(next, old);
    cr_assert_eq(stage_try_send(stage, old, &receipt, NULL), TROUPE_EGONE);
    cr_assert_eq(stage_do(stage, next, do_nothing, NULL), TROUPE_OK);
}

static void play_crash(int workers, int (*end)(struct troupe_actor *self, void *arg))
{
    struct troupe_runtime_options options = {.workers = workers, .limits = {.actors = 3}};
    struct estate estate = {.end = end};
    struct stage stage;
    troupe_pid heir_pid;
    troupe_pid neighbour;

    stage_open_with(&stage, &options);
    neighbour = stage_spawn(&stage, &stage_puppet, NULL);
    estate.victim = stage_spawn(&stage, &victim, &estate);
    heir_pid = stage_spawn(&stage, &heir, &estate);
    /* When each has done something, it is through with its init; and then the victim holds the request. */
    cr_assert_eq(stage_do(&stage, heir_pid, do_nothing, NULL), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, estate.victim, do_nothing, NULL), TROUPE_OK);
    stage_tell(&stage, estate.victim, end_at_last, &estate);
    STAGE_AWAIT(&stage, estate.downs > 0 && estate.exits > 0 && estate.outcomes.died > 0);
    move_in(&stage, estate.victim);
    cr_assert_eq(stage_do(&stage, neighbour, do_nothing, NULL), TROUPE_OK);
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
    stage_close(&stage);
    close(estate.peer);
    cr_assert_not(estate.early, "told too early");
    cr_assert(
        estate.downs == 1 && estate.exits == 1 && estate.outcomes.died == 1, "each is told once");
    cr_assert(estate.destroyed == 1 && estate.cleanups == 1 && estate.letters_ended == 2 + LETTERS);
}

/* Of two siblings one fails: it is restarted, the other one does not notice. */
static void play_restart(int workers)
{
    static const struct troupe_child_spec children[] = {
        {.id = "weak", .behaviour = &stage_puppet},
        {.id = "sound", .behaviour = &stage_puppet},
    };
    static const struct troupe_supervisor_spec tree = {
        .name = "tree", .children = children, .child_count = TROUPE_COUNT(children)};
    struct stage stage;
    troupe_pid top;
    troupe_pid weak;
    troupe_pid sound;

    stage_open(&stage, workers);
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &tree, TROUPE_FOREVER, &top), TROUPE_OK);
    weak = troupe_runtime_whereis(stage.runtime, "tree.weak");
    sound = troupe_runtime_whereis(stage.runtime, "tree.sound");
    stage_tell(&stage, weak, end_with_error, NULL);
    STAGE_AWAIT(&stage, stage_books(&stage).restarts == 1 &&
                            troupe_runtime_whereis(stage.runtime, "tree.weak") != TROUPE_NOBODY);
    cr_assert_neq(troupe_runtime_whereis(stage.runtime, "tree.weak"), weak);
    cr_assert_eq(stage_try_send(&stage, weak, &receipt, NULL), TROUPE_EGONE);
    cr_assert_eq(stage_do(&stage, sound, do_nothing, NULL), TROUPE_OK);
    cr_assert_eq(stage_books(&stage).restarts, 1);
    cr_assert(troupe_is_alive(stage.runtime, top));
    stage_close(&stage);
}

Test(promise, a_crash_stays_in_its_actor, .timeout = 120)
{
    static int (*const ends[])(struct troupe_actor * self, void *arg) = {end_with_error,
        end_by_check, end_kill, end_by_own_kill, end_noproc, end_shutdown, end_normally};

    for (unsigned i = 0; i < TROUPE_COUNT(ways); i++) {
        for (unsigned j = 0; j < TROUPE_COUNT(ends); j++) {
            play_crash(ways[i], ends[j]);
        }
    }
    play_restart(2);
}
