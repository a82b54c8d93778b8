/* SPDX-License-Identifier: MIT */
/*
 * shelf.c - messages under a lock, and the tickets for them.  See shelf.h.
 */
#include "shelf.h"

#include "charge.h"

#include <string.h>

/* Opened, and not retired: the head of the queue, and one that was kept aside. */
#define TICKETS_OPENED 2

static const struct troupe_type ticket_type = {"ticket", 0, NULL, false};

struct ticket {
    struct troupe_message msg;
    struct trp_shelf *shelf; /* set once */
    bool is_queued;          /* under lock: not opened yet */
};

struct trp_shelf {
    size_t size; /* of all of this; set once */

    /* Under lock. */
    struct trp_lock lock;
    bool shut;
    struct trp_lanes lanes;
    uint32_t queued; /* tickets that are not opened */
    uint64_t count_most;
    uint64_t bytes_most;
    struct ticket *free; /* by the `next` of their nodes */

    struct ticket tickets[]; /* behind them, what `lanes` is made of */
};

static struct ticket *ticket_of(struct troupe_message *msg)
{
    return trp_container_of(msg, struct ticket, msg);
}

/* ---- tickets, under lock ---- */

static void push_ticket(struct trp_shelf *shelf, struct ticket *ticket)
{
    /* relaxed: it is in no queue. */
    atomic_store_explicit(&ticket->msg.node.next,
        shelf->free != NULL ? &shelf->free->msg.node : NULL, memory_order_relaxed);
    shelf->free = ticket;
}

static struct ticket *pop_ticket(struct trp_shelf *shelf)
{
    struct ticket *ticket = shelf->free;
    struct trp_node *next;

    trp_assert(ticket != NULL);
    /* relaxed: as above. */
    next = atomic_load_explicit(&ticket->msg.node.next, memory_order_relaxed);
    shelf->free = next != NULL ? ticket_of(trp_message_of(next)) : NULL;
    return ticket;
}

static void init_ticket(struct trp_shelf *shelf, struct ticket *ticket)
{
    ticket->msg.type = &ticket_type;
    ticket->msg.kind = TRP_MESSAGE_TICKET;
    ticket->shelf = shelf;
    push_ticket(shelf, ticket);
}

/* ---- made and freed ---- */

int trp_shelf_create(
    struct trp_memory *memory, const struct trp_lanes_spec *spec, struct trp_shelf **out_shelf)
{
    size_t tickets = (size_t)spec->count + spec->margin + TICKETS_OPENED;
    size_t head = sizeof(struct trp_shelf) + tickets * sizeof(struct ticket);
    size_t size = head + trp_lanes_size(spec);
    struct trp_shelf *shelf = trp_memory_alloc(memory, size, TRP_CACHE_LINE);

    if (shelf == NULL) {
        return TROUPE_ENOMEM;
    }
    memset(shelf, 0, size);
    shelf->size = size;
    trp_lanes_init(&shelf->lanes, spec, (char *)shelf + head);
    trp_lock_init(&shelf->lock);
    for (size_t i = 0; i < tickets; i++) {
        init_ticket(shelf, &shelf->tickets[i]);
    }
    *out_shelf = shelf;
    return TROUPE_OK;
}

void trp_shelf_destroy(struct trp_shelf *shelf, struct trp_memory *memory)
{
    if (shelf == NULL) {
        return;
    }
    trp_assert(shelf->lanes.count == 0);
    trp_lock_fini(&shelf->lock);
    trp_memory_free(memory, shelf, shelf->size);
}

/* ---- put, under lock ---- */

static void note_most(struct trp_shelf *shelf)
{
    if (shelf->lanes.count > shelf->count_most) {
        shelf->count_most = shelf->lanes.count;
    }
    if (shelf->lanes.bytes > shelf->bytes_most) {
        shelf->bytes_most = shelf->lanes.bytes;
    }
}

static void put(
    struct trp_shelf *shelf, const struct trp_lanes_item *item, struct trp_shelved *out_shelved)
{
    trp_lanes_put(&shelf->lanes, item, &out_shelved->displaced);
    note_most(shelf);
    if (shelf->lanes.count > shelf->queued) {
        struct ticket *ticket = pop_ticket(shelf);

        ticket->is_queued = true;
        shelf->queued++;
        out_shelved->ticket = &ticket->msg;
    }
}

/* ---- for others ---- */

int trp_shelf_put(
    struct trp_shelf *shelf, const struct trp_lanes_item *item, struct trp_shelved *out_shelved)
{
    bool shut;

    *out_shelved = (struct trp_shelved){.ticket = NULL};
    trp_lock_take(&shelf->lock);
    shut = shelf->shut;
    if (!shut) {
        put(shelf, item, out_shelved);
    }
    trp_lock_give(&shelf->lock);
    return shut ? TROUPE_EGONE : TROUPE_OK;
}

bool trp_shelf_has_share(
    struct trp_shelf *shelf, troupe_pid sender, uint32_t lane, uint32_t count, uint64_t bytes)
{
    bool has;

    trp_lock_take(&shelf->lock);
    has = trp_lanes_has_share(&shelf->lanes, sender, lane, count, bytes);
    trp_lock_give(&shelf->lock);
    return has;
}

/* Under lock. */
static void dequeue(struct ticket *ticket)
{
    if (ticket->is_queued) {
        ticket->is_queued = false;
        ticket->shelf->queued--;
    }
}

struct troupe_message *trp_shelf_take(struct troupe_message *ticket)
{
    struct ticket *own = ticket_of(ticket);
    struct trp_shelf *shelf = own->shelf;
    struct troupe_message *next;

    trp_lock_take(&shelf->lock);
    dequeue(own);
    next = trp_lanes_take(&shelf->lanes);
    trp_lock_give(&shelf->lock);
    return next;
}

void trp_shelf_give(struct troupe_message *ticket)
{
    struct ticket *own = ticket_of(ticket);
    struct trp_shelf *shelf = own->shelf;

    trp_lock_take(&shelf->lock);
    dequeue(own);
    push_ticket(shelf, own);
    trp_lock_give(&shelf->lock);
}

struct troupe_message *trp_shelf_drain(struct trp_shelf *shelf)
{
    struct troupe_message *msg;

    trp_lock_take(&shelf->lock);
    shelf->shut = true;
    msg = trp_lanes_take(&shelf->lanes);
    trp_lock_give(&shelf->lock);
    return msg;
}

void trp_shelf_look(struct trp_shelf *shelf, struct trp_shelf_view *out_view)
{
    trp_lock_take(&shelf->lock);
    out_view->queued = TRP_CHARGE_ONE * shelf->lanes.count + shelf->lanes.bytes;
    out_view->most = TRP_CHARGE_ONE * shelf->count_most + shelf->bytes_most;
    for (unsigned i = 0; i < TROUPE_LANES_MAX; i++) {
        out_view->lanes[i] = shelf->lanes.lane[i].count;
    }
    trp_lock_give(&shelf->lock);
}
