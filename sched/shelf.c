/* SPDX-License-Identifier: MIT */
/*
 * shelf.c - a bounded ring under a lock.  See shelf.h.
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

struct slot {
    struct troupe_message *msg;
    uint64_t key;
};

struct trp_shelf {
    /* Set once. */
    uint32_t capacity;
    uint64_t capacity_bytes;
    bool conflates;
    size_t size; /* of all of this */
    struct slot *slots;

    /* Under lock. */
    struct trp_lock lock;
    bool shut;
    uint32_t first; /* slot of the oldest */
    uint32_t count;
    uint64_t bytes;
    uint32_t queued; /* tickets that are not opened */
    uint64_t count_most;
    uint64_t bytes_most;
    struct ticket *free; /* by the `next` of their nodes */

    struct ticket tickets[];
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

int trp_shelf_create(struct trp_memory *memory, uint32_t count, uint64_t bytes, bool conflates,
    struct trp_shelf **out_shelf)
{
    size_t tickets = (size_t)count + TICKETS_OPENED;
    size_t head = sizeof(struct trp_shelf) + tickets * sizeof(struct ticket);
    size_t size = head + (size_t)count * sizeof(struct slot);
    struct trp_shelf *shelf = trp_memory_alloc(memory, size, TRP_CACHE_LINE);

    if (shelf == NULL) {
        return TROUPE_ENOMEM;
    }
    memset(shelf, 0, size);
    shelf->capacity = count;
    shelf->capacity_bytes = bytes;
    shelf->conflates = conflates;
    shelf->size = size;
    shelf->slots = (struct slot *)(void *)((char *)shelf + head);
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
    trp_assert(shelf->count == 0);
    trp_lock_fini(&shelf->lock);
    trp_memory_free(memory, shelf, shelf->size);
}

/* ---- slots, under lock ---- */

static struct slot *slot_at(struct trp_shelf *shelf, uint32_t at)
{
    return &shelf->slots[(shelf->first + at) % shelf->capacity];
}

static struct troupe_message *take_oldest(struct trp_shelf *shelf)
{
    struct troupe_message *msg;

    if (shelf->count == 0) {
        return NULL;
    }
    msg = slot_at(shelf, 0)->msg;
    shelf->first = (shelf->first + 1) % shelf->capacity;
    shelf->count--;
    shelf->bytes -= trp_message_weight(msg);
    return msg;
}

/* In the place of one with the same key.  False: there is none, or the new one is too large beside the others. */
static bool conflate(struct trp_shelf *shelf, struct troupe_message *msg, uint64_t key,
    struct trp_shelved *out_shelved)
{
    for (uint32_t i = 0; shelf->conflates && i < shelf->count; i++) {
        struct slot *slot = slot_at(shelf, i);
        uint64_t bytes;

        if (slot->key != key) {
            continue;
        }
        bytes = shelf->bytes - trp_message_weight(slot->msg) + trp_message_weight(msg);
        if (bytes > shelf->capacity_bytes) {
            return false;
        }
        shelf->bytes = bytes;
        trp_chain_append(&out_shelved->conflated, slot->msg);
        slot->msg = msg;
        return true;
    }
    return false;
}

static void append(struct trp_shelf *shelf, struct troupe_message *msg, uint64_t key,
    struct trp_shelved *out_shelved)
{
    while (shelf->count == shelf->capacity ||
           shelf->bytes + trp_message_weight(msg) > shelf->capacity_bytes) {
        trp_chain_append(&out_shelved->oldest, take_oldest(shelf));
    }
    *slot_at(shelf, shelf->count) = (struct slot){msg, key};
    shelf->count++;
    shelf->bytes += trp_message_weight(msg);
}

static void note_most(struct trp_shelf *shelf)
{
    if (shelf->count > shelf->count_most) {
        shelf->count_most = shelf->count;
    }
    if (shelf->bytes > shelf->bytes_most) {
        shelf->bytes_most = shelf->bytes;
    }
}

static void put(struct trp_shelf *shelf, struct troupe_message *msg, uint64_t key,
    struct trp_shelved *out_shelved)
{
    if (!conflate(shelf, msg, key, out_shelved)) {
        append(shelf, msg, key, out_shelved);
    }
    note_most(shelf);
    if (shelf->count > shelf->queued) {
        struct ticket *ticket = pop_ticket(shelf);

        ticket->is_queued = true;
        shelf->queued++;
        out_shelved->ticket = &ticket->msg;
    }
}

/* ---- for others ---- */

int trp_shelf_put(struct trp_shelf *shelf, struct troupe_message *msg, uint64_t key,
    struct trp_shelved *out_shelved)
{
    bool shut;

    *out_shelved = (struct trp_shelved){.ticket = NULL};
    trp_lock_take(&shelf->lock);
    shut = shelf->shut;
    if (!shut) {
        put(shelf, msg, key, out_shelved);
    }
    trp_lock_give(&shelf->lock);
    return shut ? TROUPE_EGONE : TROUPE_OK;
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
    struct troupe_message *oldest;

    trp_lock_take(&shelf->lock);
    dequeue(own);
    oldest = take_oldest(shelf);
    trp_lock_give(&shelf->lock);
    return oldest;
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
    msg = take_oldest(shelf);
    trp_lock_give(&shelf->lock);
    return msg;
}

uint64_t trp_shelf_queued(struct trp_shelf *shelf, uint64_t *out_most)
{
    uint64_t queued;

    trp_lock_take(&shelf->lock);
    queued = TRP_CHARGE_ONE * shelf->count + shelf->bytes;
    *out_most = TRP_CHARGE_ONE * shelf->count_most + shelf->bytes_most;
    trp_lock_give(&shelf->lock);
    return queued;
}
