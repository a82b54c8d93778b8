/* SPDX-License-Identifier: MIT */
/*
 * poller_sim.c - the twin without a system: descriptors are numbers, readiness is what a test feeds.
 *
 * A wait is the sleep of a virtual thread, on an event that a wake or a feed moves on.  What was fed is told in the
 * order in which the ios were opened, so a seed gives one run.
 */
#include "poller_io.h"

#include "port.h"

struct trp_poller_fed {
    struct trp_list entry; /* in the poller's list, in order of opening */
    struct troupe_io *io;
    uint32_t events; /* fed and not told yet */
};

struct trp_poller {
    struct trp_memory *memory;
    struct trp_list fed;    /* one struct trp_poller_fed for each io */
    struct trp_event event; /* woken, or fed */
    uint32_t seen; /* its value when a wait ended last; another value ends the next wait at once */
};

int trp_poller_create(struct trp_memory *memory, struct trp_poller **out_poller)
{
    struct trp_poller *poller = trp_memory_alloc(memory, sizeof *poller, TRP_CACHE_LINE);

    if (poller == NULL) {
        return TROUPE_ENOMEM;
    }
    poller->memory = memory;
    trp_list_init(&poller->fed);
    trp_event_init(&poller->event);
    poller->seen = trp_event_value(&poller->event);
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

static void sleep_until_woken(struct trp_poller *poller, int timeout_ms)
{
    uint64_t until_ns = timeout_ms == TROUPE_FOREVER
                            ? TRP_EVENT_FOREVER
                            : trp_port_now_ns() + (uint64_t)timeout_ms * 1000000U;

    trp_reclaim_leave(true);
    trp_event_wait(&poller->event, poller->seen, until_ns);
    (void)trp_reclaim_enter();
}

int trp_poller_wait(struct trp_poller *poller, struct trp_context *context, int timeout_ms)
{
    bool was_offline = trp_reclaim_enter();
    struct trp_list *entry;
    int ready = 0;

    if (timeout_ms != 0) {
        sleep_until_woken(poller, timeout_ms);
    }
    poller->seen = trp_event_value(&poller->event);
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
    trp_event_wake(&poller->event);
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
        trp_event_wake(&poller->event);
    }
}
