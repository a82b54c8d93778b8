/* SPDX-License-Identifier: MIT */
/*
 * poller_sim.c - the twin without a system: descriptors are numbers, readiness is what a test feeds.
 *
 * A wait never sleeps: virtual time is moved on by whoever drives the simulation.  Everything runs on one
 * thread.  What was fed is told in the order in which the ios were opened, so a seed gives one run.
 */
#include "poller_io.h"

struct trp_poller_fed {
    struct trp_list entry; /* in the poller's list, in order of opening */
    struct troupe_io *io;
    uint32_t events; /* fed and not told yet */
};

struct trp_poller {
    struct trp_memory *memory;
    struct trp_list fed; /* one struct trp_poller_fed for each io */
};

int trp_poller_create(struct trp_memory *memory, struct trp_poller **out_poller)
{
    struct trp_poller *poller = trp_memory_alloc(memory, sizeof *poller, TRP_CACHE_LINE);

    if (poller == NULL) {
        return TROUPE_ENOMEM;
    }
    poller->memory = memory;
    trp_list_init(&poller->fed);
    *out_poller = poller;
    return TROUPE_OK;
}

void trp_poller_destroy(struct trp_poller *poller, struct trp_memory *memory)
{
    if (poller == NULL) {
        return;
    }
    trp_assert(trp_list_is_empty(&poller->fed));
    trp_memory_free(memory, poller, sizeof *poller);
}

int trp_poller_wait(struct trp_poller *poller, struct trp_context *context, int timeout_ms)
{
    bool was_offline = trp_reclaim_enter();
    struct trp_list *entry;
    int ready = 0;

    (void)timeout_ms;
    for (entry = poller->fed.next; entry != &poller->fed; entry = entry->next) {
        struct trp_poller_fed *fed = trp_container_of(entry, struct trp_poller_fed, entry);
        uint32_t events = fed->events;

        if (events != 0) {
            fed->events = 0;
            trp_io_notice(context, fed->io, events);
            ready++;
        }
    }
    trp_reclaim_leave(was_offline);
    return ready;
}

void trp_poller_wake(struct trp_poller *poller)
{
    (void)poller; /* nobody sleeps */
}

int trp_poller_fd(const struct trp_poller *poller)
{
    (void)poller;
    return TROUPE_ESYSTEM;
}

bool trp_poller_has_ios(const struct trp_poller *poller)
{
    return !trp_list_is_empty(&poller->fed);
}

int trp_poller_add(struct trp_poller *poller, struct troupe_io *io)
{
    struct trp_poller_fed *fed = trp_memory_alloc(poller->memory, sizeof *fed, TRP_CACHE_LINE);

    if (fed == NULL) {
        return TROUPE_ENOMEM;
    }
    fed->io = io;
    fed->events = 0;
    trp_list_init(&fed->entry);
    trp_list_push(&poller->fed, &fed->entry);
    return TROUPE_OK;
}

static struct trp_poller_fed *find(struct trp_poller *poller, int fd)
{
    struct trp_list *entry;

    for (entry = poller->fed.next; entry != &poller->fed; entry = entry->next) {
        struct trp_poller_fed *fed = trp_container_of(entry, struct trp_poller_fed, entry);

        if (fed->io->fd == fd) {
            return fed;
        }
    }
    return NULL;
}

void trp_poller_remove(struct trp_poller *poller, struct troupe_io *io)
{
    struct trp_poller_fed *fed = find(poller, io->fd);

    trp_assert(fed != NULL);
    trp_list_remove(&fed->entry);
    trp_memory_free(poller->memory, fed, sizeof *fed);
}

void trp_poller_sim_feed(struct trp_poller *poller, int fd, uint32_t events)
{
    struct trp_poller_fed *fed = find(poller, fd);

    if (fed != NULL) {
        fed->events |= events;
    }
}
