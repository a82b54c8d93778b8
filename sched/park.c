/* SPDX-License-Identifier: MIT */
#include "park.h"

#include "seam.h"
#include "worker.h"

#define SEARCHING_ONE ((uint64_t)1 << 32)
#define PARKED_ONE ((uint64_t)1)

static uint32_t searching_of(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static uint32_t parked_of(uint64_t word)
{
    return (uint32_t)word;
}

static uint64_t read_word(const struct trp_park *park)
{
    /* relaxed: read by whoever holds the lock, under which it is written. */
    return atomic_load_explicit(&park->word, memory_order_relaxed);
}

static void write_word(struct trp_park *park, uint64_t word)
{
    /* seq_cst: a worker's registration must not pass its second look at the queues.
     * PAIR park.publish: the load in trp_park_wants_wake(), after a push. */
    atomic_store_explicit(&park->word, word, memory_order_seq_cst);
}

void trp_park_init(struct trp_park *park)
{
    trp_lock_init(&park->lock);
    trp_list_init(&park->parked);
    park->poller = NULL;
    park->workers = 0;
    atomic_init(&park->word, 0);
}

void trp_park_fini(struct trp_park *park)
{
    trp_lock_fini(&park->lock);
}

void trp_park_join(struct trp_park *park)
{
    trp_lock_take(&park->lock);
    park->workers++;
    trp_lock_give(&park->lock);
}

void trp_park_part(struct trp_park *park)
{
    trp_lock_take(&park->lock);
    park->workers--;
    trp_lock_give(&park->lock);
}

bool trp_park_search(struct trp_park *park)
{
    uint64_t word;
    bool may;

    trp_lock_take(&park->lock);
    word = read_word(park);
    /* Half of those that run: more would only find each other. */
    may = 2 * searching_of(word) < park->workers - parked_of(word);
    if (may) {
        write_word(park, word + SEARCHING_ONE);
    }
    trp_lock_give(&park->lock);
    return may;
}

bool trp_park_found(struct trp_park *park)
{
    uint64_t word;

    trp_lock_take(&park->lock);
    word = read_word(park) - SEARCHING_ONE;
    write_word(park, word);
    trp_lock_give(&park->lock);
    return searching_of(word) == 0;
}

/* Under lock.  Takes a parked worker off the list. */
static void unlist(struct trp_park *park, struct trp_worker *worker)
{
    trp_list_remove(&worker->parker.entry);
    worker->parker.listed = false;
    if (park->poller == worker) {
        park->poller = NULL;
    }
}

bool trp_park_enter(
    struct trp_park *park, struct trp_worker *worker, bool was_searching, bool wants_poller)
{
    bool polls;

    trp_lock_take(&park->lock);
    trp_assert(!worker->parker.listed);
    polls = wants_poller && park->poller == NULL;
    if (polls) {
        park->poller = worker;
        /* The poller's sleeper is woken last: another one wakes cheaper. */
        trp_list_push(&park->parked, &worker->parker.entry);
    } else {
        trp_list_push(park->parked.next, &worker->parker.entry);
    }
    worker->parker.listed = true;
    write_word(park, read_word(park) + PARKED_ONE - (was_searching ? SEARCHING_ONE : 0));
    trp_lock_give(&park->lock);
    return polls;
}

bool trp_park_leave(struct trp_park *park, struct trp_worker *worker)
{
    bool woken;

    trp_lock_take(&park->lock);
    woken = !worker->parker.listed;
    if (!woken) {
        unlist(park, worker);
        write_word(park, read_word(park) - PARKED_ONE);
    }
    trp_lock_give(&park->lock);
    return woken;
}

bool trp_park_wants_wake(const struct trp_park *park)
{
    /* seq_cst: must not pass the caller's push.  PAIR park.publish: write_word(). */
    uint64_t word = atomic_load_explicit(&park->word, memory_order_seq_cst);

    return searching_of(word) == 0 && parked_of(word) > 0;
}

bool trp_park_any(const struct trp_park *park)
{
    /* seq_cst: as in trp_park_wants_wake(). */
    return parked_of(atomic_load_explicit(&park->word, memory_order_seq_cst)) > 0;
}

/* Under lock.  Takes one worker to be woken, counted as searching; *out_polls: it sleeps in the poller. */
static struct trp_worker *pick(struct trp_park *park, bool *out_polls)
{
    uint64_t word = read_word(park);
    struct trp_worker *worker;

    if (searching_of(word) > 0 || parked_of(word) == 0) {
        return NULL;
    }
    worker = trp_container_of(park->parked.next, struct trp_worker, parker.entry);
    *out_polls = park->poller == worker;
    unlist(park, worker);
    write_word(park, word - PARKED_ONE + SEARCHING_ONE);
    return worker;
}

bool trp_park_wake(struct trp_park *park)
{
    struct trp_worker *worker;
    bool polls = false;

    trp_switch();
    if (!trp_park_wants_wake(park) || trp_fault(TRP_FAULT_LOST_WAKE)) {
        return false;
    }
    trp_lock_take(&park->lock);
    worker = pick(park, &polls);
    trp_lock_give(&park->lock);
    if (worker == NULL) {
        return false;
    }
    trp_worker_wake(worker, polls);
    return true;
}

void trp_park_nudge(struct trp_park *park, struct trp_worker *worker)
{
    bool listed;
    bool polls;

    trp_lock_take(&park->lock);
    listed = worker->parker.listed;
    polls = park->poller == worker;
    trp_lock_give(&park->lock);
    if (listed) {
        trp_worker_wake(worker, polls);
    }
}

bool trp_park_has(struct trp_park *park, const struct trp_worker *worker)
{
    bool listed;

    trp_lock_take(&park->lock);
    listed = worker->parker.listed;
    trp_lock_give(&park->lock);
    return listed;
}

void trp_park_wake_all(struct trp_park *park)
{
    for (;;) {
        struct trp_worker *worker = NULL;
        bool polls = false;

        trp_lock_take(&park->lock);
        if (!trp_list_is_empty(&park->parked)) {
            worker = trp_container_of(park->parked.next, struct trp_worker, parker.entry);
            polls = park->poller == worker;
            unlist(park, worker);
            write_word(park, read_word(park) - PARKED_ONE + SEARCHING_ONE);
        }
        trp_lock_give(&park->lock);
        if (worker == NULL) {
            return;
        }
        trp_worker_wake(worker, polls);
    }
}

bool trp_park_all_sleep(struct trp_park *park)
{
    bool all;

    trp_lock_take(&park->lock);
    all = parked_of(read_word(park)) == park->workers;
    trp_lock_give(&park->lock);
    return all;
}

uint32_t trp_park_parked(const struct trp_park *park)
{
    return parked_of(read_word(park));
}

bool trp_park_polls(struct trp_park *park)
{
    bool polls;

    trp_lock_take(&park->lock);
    polls = park->poller != NULL;
    trp_lock_give(&park->lock);
    return polls;
}
