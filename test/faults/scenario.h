/* SPDX-License-Identifier: MIT */
/*
 * scenario.h - programs that use one part of troupe each, as a user would, and live with every error that a header
 * promises.
 *
 * Together they call every public function.  WENT() holds a result against what its header says: without a fault
 * everything succeeds, with one it succeeds or gives an error that is listed.  A scenario never waits for what a fault
 * may prevent, or for so long only.
 */
#ifndef TEST_FAULTS_SCENARIO_H
#define TEST_FAULTS_SCENARIO_H

#include <troupe.h>

#include "faults.h"
#include "test/support/allocator.h"

/** Longer than anything takes: a wait that is through without what it waits for fails its trial. */
#define SCENE_WAIT_MS 10000

/** Messages.  A part sends all that it does at once; that there is no room is tried where a behaviour has less of it. */
#define SCENE_ROOM 1024

/** An error that a call may give. */
#define MAY(error) (1u << -(error))

/** What a send to an actor may give that a fault may have ended. */
#define MAY_SEND (MAY(TROUPE_ENOMEM) | MAY(TROUPE_EGONE))

/** Whether a call succeeded; complains unless `may` has its error and there is a fault to blame. */
#define WENT(call, may) scene_went((call), (may), #call, __FILE__, __LINE__)
bool scene_went(int result, unsigned may, const char *call, const char *file, int line);

/** Complains unless `condition` holds. */
#define HOLDS(condition) scene_holds((condition), #condition, __FILE__, __LINE__)
void scene_holds(bool condition, const char *text, const char *file, int line);

/** Says what is wrong with this trial; the first word counts. */
void scene_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** A runtime, with an allocator that counts. */
struct scene {
    struct troupe_runtime *runtime;
    struct test_allocator memory;
    struct troupe_allocator allocator;
    struct troupe_limits limits;
    int watchdog_ms; /* [none] */
    enum troupe_faults faults;
    troupe_dead_letter_fn on_dead_letter;
    void *dead_letter_context;
    _Atomic unsigned reports;
};

/** Creates and starts a runtime; false: a fault was in the way. */
bool scene_open(struct scene *scene, int workers);

/** Turns a runtime without threads until it has nothing to do at once. */
void scene_pump(struct scene *scene);

/** As scene_pump(), and until `*count` is `wanted`; after a fault, which may keep it from that, for a moment only. */
void scene_await(struct scene *scene, const unsigned *count, unsigned wanted);

/** Stops and destroys it, and complains if it does not, if books do not balance, or if memory is not given back. */
void scene_close(struct scene *scene);

/** Spawns an actor whose init calls `fn(self, arg)`; it ends with that, or handles messages with `receive`. */
struct scene_part {
    int (*fn)(struct troupe_actor *self, void *arg);
    troupe_receive_fn receive; /* finds `arg` by scene_arg(state) */
    void *arg;
    bool traps;
};
troupe_pid scene_play(struct scene *scene, const struct scene_part *part);

/** What an actor of scene_play() has as `arg`, from the state that its receive gets. */
void *scene_arg(const void *state);

/** Waits until `pid` has ended. */
void scene_join(struct scene *scene, troupe_pid pid);

struct scenario {
    const char *name;
    void (*run)(void);
    bool waits; /* when memory is gone for good; then only the full run does that */
};
extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* scenario_actor.c */
void scenario_defaults(void);
void scenario_start(void);
void scenario_turn(void);
void scenario_stop(void);
void scenario_actor(void);
void scenario_message(void);
void scenario_crowd(void);
void scenario_timer(void);
void scenario_io(void);
void scenario_foreign(void);
void scenario_watchdog(void);

/* scenario_behave.c */
void scenario_server(void);
void scenario_machine(void);
void scenario_events(void);
void scenario_sys(void);

/* scenario_blocking.c */
void scenario_blocking(void);

/* scenario_contain.c */
void scenario_contain(void);

/* scenario_fiber.c */
void scenario_fiber(void);
void scenario_ring(void);
void scenario_room(void);

/* scenario_flow.c */
void scenario_flow(void);
void scenario_flow_straight(void);
void scenario_topic(void);

/* scenario_thread.c */
void scenario_thread(void);

/* scenario_tie.c */
void scenario_call(void);
void scenario_link(void);
void scenario_alias(void);
void scenario_name(void);
void scenario_via(void);

/* scenario_group.c */
void scenario_group(void);
void scenario_group_churn(void);
/* scenario_call.c */
void scenario_ask(void);
void scenario_thread_call(void);

/* scenario_overload.c */
void scenario_overload(void);

/* scenario_reference.c */
void scenario_reference(void);

/* scenario_gate.c */
void scenario_gate(void);

/* scenario_lease.c */
void scenario_lease(void);

/* scenario_tree.c */
void scenario_strategies(void);
void scenario_children(void);
void scenario_half_way(void);
void scenario_wide(void);
void scenario_simple(void);
void scenario_famine(void);
void scenario_run_signal(void);
void scenario_run_end(void);

/* scenario_pool.c */
void scenario_partitions(void);
void scenario_pool(void);

/* scenario_net.c */
void scenario_net(void);
void scenario_net_limits(void);
void scenario_stream(void);

#endif
