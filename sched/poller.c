/* SPDX-License-Identifier: MIT */
/*
 * poller.c - the life of an io: how readiness becomes one message, and when its block may be freed.
 *
 * The message is the block itself, so readiness needs no memory and is never refused; and since a block can be
 * in one queue only, what comes while it is queued is merged into its word.  The word is `events | QUEUED |
 * CLOSED`:
 *
 *              notice             open             retire
 *      IDLE ----------> READY ----------> TAKEN ----------> IDLE
 *       |               |   ^               | |
 *       |               |   +---------------+ |   notice while TAKEN; retire then sends again
 *       | close         | close               | close
 *       |               v                     |
 *       |            CLOSING <----------------+
 *       |               | retire
 *       +---------------+-----> CLOSED -----> (grace period) freed
 *
 *      IDLE     0                  in no queue, nothing to tell
 *      READY    events | QUEUED    in the owner's queue, or about to be
 *      TAKEN    QUEUED             dequeued; still linked as the queue's head
 *      CLOSING  CLOSED | QUEUED    closed by its owner, block still in the queue
 *      CLOSED   CLOSED             nobody will touch it but threads that were told of it before
 *
 * Every change is one read-modify-write of the word, so all changes have one order.  From it follows:
 *
 *   - One sender.  QUEUED is set only by the notice that finds it clear, and cleared only by retire, when the
 *     block is out of the queue.  Whoever sets it sends; retire, which sends again, has never cleared it.
 *   - Nothing is lost.  A notice finds QUEUED set (then the events are in the word before open takes them, and
 *     are told now, or after it, and retire finds them) or clear (then it sends).
 *   - Freed once.  The last of close and retire frees: close, if QUEUED was clear; retire, if CLOSED was set.
 *     A notice that comes after CLOSED changes nothing.
 *   - Not too early.  A poller may hold a pointer to the io that the system gave it.  It is online since before
 *     it asked; the system forgets the descriptor before close sets CLOSED; so the grace period that begins
 *     after that ends when no such pointer is left.  The same holds for the owner's cell: a notice that found the
 *     word not CLOSED found the owner alive, as an exit closes all ios before the cell is retired.
 *   - The owner is a poller too.  troupe_io_again() is a notice like any other, from the owner's own callback.
 *   - Incarnations.  An exit closes all ios, also when the mailbox is kept: what the next life dequeues is
 *     CLOSING, and open says that there is nothing to tell.
 *
 * Rejected: EPOLLONESHOT and re-arming (a system call per message), events by value in a message of their own
 * (memory that may not be there, and a flood when a peer writes byte by byte), and the address of the actor
 * instead of that of the io (a fast reader would be told of the descriptor that was there before).
 */
#include "core.h"
#include "poller_io.h"

#include <fcntl.h>

#include "seam.h"

/* The word.  Events have the values of enum troupe_io_event. */
#define TRP_IO_EVENTS ((uint32_t)0xff)
#define TRP_IO_QUEUED ((uint32_t)0x100)
#define TRP_IO_CLOSED ((uint32_t)0x200)

/* What retire leaves to be done. */
enum trp_io_next {
    TRP_IO_REST,  /* nothing */
    TRP_IO_AGAIN, /* send the message again */
    TRP_IO_FREE,  /* free the block, after the grace period */
};

const struct troupe_type troupe_ready = TROUPE_TYPE(struct troupe_ready);

static_assert(offsetof(struct troupe_io, message) == 0, "the message is the block");
static_assert(offsetof(struct troupe_io, ready) == sizeof(struct troupe_message), "its body");
static_assert(TROUPE_IO_AGAIN <= TRP_IO_EVENTS, "events have room in the word");
static_assert(sizeof(struct troupe_ready) <= TROUPE_BODY_INLINE, "a message's one cache line");

/* ---- the word: each arrow of the diagram ---- */

/* Returns whether the caller must send the message. */
static bool word_notice(struct troupe_io *io, uint32_t events)
{
    /* relaxed: only the value, which the compare-and-swap checks. */
    uint32_t old = atomic_load_explicit(&io->word, memory_order_relaxed);

    do {
        if (old & TRP_IO_CLOSED) {
            return false;
        }
        /* acq_rel.  acquire: if QUEUED was clear the block is ours, and the queue it was in is done with it.
         * release: what the system did before is seen by whoever takes the events.
         * PAIR io.word: word_open(), word_retire(), word_close(). */
    } while (!atomic_compare_exchange_weak_explicit(&io->word, &old,
        old | (events & TRP_IO_EVENTS) | TRP_IO_QUEUED, memory_order_acq_rel,
        memory_order_relaxed /* failed: only the value */));
    return (old & TRP_IO_QUEUED) == 0;
}

/* Takes the events; 0 if the io is closed. */
static uint32_t word_open(struct troupe_io *io)
{
    /* acquire: readiness that is told was there before.  PAIR io.word: word_notice(). */
    uint32_t old = atomic_fetch_and_explicit(&io->word, ~TRP_IO_EVENTS, memory_order_acquire);

    trp_assert(old & TRP_IO_QUEUED);
    return (old & TRP_IO_CLOSED) ? 0 : (old & TRP_IO_EVENTS);
}

/* The block is out of the queue.  Events that came meanwhile are sent again if `wanted`, else forgotten: the owner
 * is about to close the io. */
static enum trp_io_next word_retire(struct troupe_io *io, bool wanted)
{
    /* relaxed: only the value, which the compare-and-swap checks. */
    uint32_t old = atomic_load_explicit(&io->word, memory_order_relaxed);

    do {
        trp_assert(old & TRP_IO_QUEUED);
        if (!(old & TRP_IO_CLOSED) && (old & TRP_IO_EVENTS) && wanted) {
            return TRP_IO_AGAIN;
        }
        /* acq_rel.  release: we are done with the block, for whoever sends it next or frees it.
         * acquire: what close did, if we are to free.  PAIR io.word: word_notice(), word_close(). */
    } while (!atomic_compare_exchange_weak_explicit(&io->word, &old, old & TRP_IO_CLOSED,
        memory_order_acq_rel, memory_order_relaxed /* failed: only the value */));
    return (old & TRP_IO_CLOSED) ? TRP_IO_FREE : TRP_IO_REST;
}

/* Returns whether the caller must free the block; if not, its retirement will. */
static bool word_close(struct troupe_io *io)
{
    /* acq_rel: as in word_retire(), whichever of the two comes last.
     * PAIR io.word: word_retire(), word_notice(). */
    uint32_t old = atomic_fetch_or_explicit(&io->word, TRP_IO_CLOSED, memory_order_acq_rel);

    trp_assert(!(old & TRP_IO_CLOSED));
    return (old & TRP_IO_QUEUED) == 0;
}

/* ---- blocks ---- */

static void io_free(struct trp_reclaim *reclaim)
{
    struct troupe_io *io = trp_container_of(reclaim, struct troupe_io, reclaim);

    trp_memory_free(io->memory, io, sizeof *io);
}

static struct troupe_io *io_new(
    struct troupe_actor *self, int fd, void *context, trp_io_close_fn on_close)
{
    struct trp_memory *memory = trp_runtime_memory(self->runtime);
    struct troupe_io *io = trp_memory_alloc(memory, sizeof *io, TRP_CACHE_LINE);

    if (io == NULL) {
        return NULL;
    }
    *io = (struct troupe_io){.fd = fd, .owner = self, .memory = memory, .on_close = on_close};
    io->poller = trp_runtime_poller(self->runtime);
    io->message.type = &troupe_ready;
    io->message.sender = TROUPE_NOBODY;
    io->message.size = sizeof io->ready;
    io->message.kind = TRP_MESSAGE_READY;
    io->message.block = TRP_BLOCK_LARGE;
    io->ready.io = io;
    io->ready.context = context;
    trp_list_init(&io->entry);
    return io;
}

static struct troupe_io *io_of(struct troupe_message *msg)
{
    trp_assert(msg->kind == TRP_MESSAGE_READY);
    return trp_container_of(msg, struct troupe_io, message);
}

/* Whoever set QUEUED, or did not clear it, sends. */
static void io_send(struct trp_context *context, struct troupe_io *io)
{
    io->message.flags = 0; /* an earlier round may have marked the body as used */
    trp_send_reserved(context, io->owner, &io->message);
}

static void io_close(struct trp_extra *extra, struct troupe_io *io)
{
    trp_io_close_fn on_close = io->on_close;
    void *context = io->ready.context;

    trp_list_remove(&io->entry);
    extra->io_count--;
    trp_poller_remove(io->poller, io);
    if (word_close(io)) {
        trp_reclaim_later(&io->reclaim, io_free);
    }
    if (on_close != NULL) {
        on_close(context);
    }
}

/* ---- the poller's side ---- */

void trp_io_notice(struct trp_context *context, struct troupe_io *io, uint32_t events)
{
    if (word_notice(io, events)) {
        io_send(context, io);
    }
}

/* ---- the worker's side ---- */

bool trp_io_open(const struct troupe_actor *self, struct troupe_message *msg)
{
    struct troupe_io *io = io_of(msg);
    uint32_t events = word_open(io);

    trp_assert(io->owner == self);
    if (events == 0) {
        return false;
    }
    if (io->on_close != NULL) {
        io->noted |= events;
        return false;
    }
    io->ready.events = events;
    return true;
}

void trp_io_retire(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg)
{
    struct troupe_io *io = io_of(msg);

    /* An actor on its way out drains its queue: what it sent to itself again would have no end. */
    switch (word_retire(io, self != NULL && trp_actor_is_receiving(self))) {
    case TRP_IO_AGAIN:
        io_send(context, io);
        break;
    case TRP_IO_FREE:
        trp_reclaim_later(&io->reclaim, io_free);
        break;
    case TRP_IO_REST:
        break;
    }
}

void trp_io_close_all(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);

    if (extra == NULL) {
        return;
    }
    while (!trp_list_is_empty(&extra->ios)) {
        io_close(extra, trp_container_of(extra->ios.next, struct troupe_io, entry));
    }
}

/* ---- the user's side ---- */

/* A blocking descriptor would hold a worker at the first read that finds nothing. */
static bool is_nonblocking(int fd)
{
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);

    return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

static int adopt(struct troupe_actor *self, int fd, void *context, trp_io_close_fn on_close,
    struct troupe_io **out_io)
{
    TRP_INSIDE(self);
    struct trp_extra *extra;
    struct troupe_io *io;
    int error;

    if (!trp_actor_is_mine(self) || out_io == NULL || !is_nonblocking(fd)) {
        return TROUPE_EINVAL;
    }
    extra = trp_actor_need_extra(self->context, self);
    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    if (extra->io_count >= trp_runtime_limits(self->runtime)->actor_ios) {
        return TROUPE_ELIMIT;
    }
    io = io_new(self, fd, context, on_close);
    if (io == NULL) {
        return TROUPE_ENOMEM;
    }
    /* Before it is added: readiness may be told, and the message pushed, at once. */
    trp_list_push(&extra->ios, &io->entry);
    extra->io_count++;
    error = trp_fault(TRP_FAULT_SYSTEM) ? TROUPE_ESYSTEM : trp_poller_add(io->poller, io);
    if (error < 0) {
        trp_list_remove(&io->entry);
        extra->io_count--;
        trp_memory_free(io->memory, io, sizeof *io);
        return error;
    }
    *out_io = io;
    return TROUPE_OK;
}

int troupe_io_open(struct troupe_actor *self, int fd, void *context, struct troupe_io **out_io)
{
    return adopt(self, fd, context, NULL, out_io);
}

int troupe_io_fd(const struct troupe_io *io)
{
    return io != NULL ? io->fd : TROUPE_EINVAL;
}

void troupe_io_again(struct troupe_actor *self, struct troupe_io *io)
{
    TRP_INSIDE(self);
    if (io == NULL || !trp_actor_is_mine(self) || io->owner != self) {
        return;
    }
    trp_io_notice(trp_context_of(self), io, TROUPE_IO_AGAIN);
}

void troupe_io_close(struct troupe_actor *self, struct troupe_io *io)
{
    TRP_INSIDE(self);
    if (io == NULL || !trp_actor_is_mine(self) || io->owner != self) {
        return;
    }
    io_close(trp_actor_extra(self), io);
}

/* ---- readiness that is waited for (lib/await.c) ---- */

int trp_io_adopt(struct troupe_actor *self, int fd, void *context, trp_io_close_fn on_close,
    struct troupe_io **out_io)
{
    trp_assert(on_close != NULL);
    return adopt(self, fd, context, on_close, out_io);
}

bool trp_io_is_noted(const struct troupe_message *msg)
{
    return msg->kind == TRP_MESSAGE_READY &&
           trp_container_of(msg, const struct troupe_io, message)->on_close != NULL;
}

bool trp_io_brings(const struct troupe_io *io, const struct troupe_message *msg)
{
    return msg == &io->message;
}

bool trp_io_is_stale(const struct troupe_message *msg)
{
    /* relaxed: the owner closes, and asks. */
    return trp_io_is_noted(msg) &&
           (atomic_load_explicit(&trp_container_of(msg, const struct troupe_io, message)->word,
                memory_order_relaxed) &
               TRP_IO_CLOSED) != 0;
}

bool trp_io_is_queued(const struct troupe_io *io)
{
    /* acquire: if it is clear, whoever sends the message pushes it behind all that the owner has seen: the block's last
     * message was retired by the owner itself.  PAIR io.word: word_notice(). */
    return (atomic_load_explicit(&io->word, memory_order_acquire) & TRP_IO_QUEUED) != 0;
}

bool trp_io_is_open(struct troupe_actor *self, const void *context)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_list *entry = extra != NULL ? extra->ios.next : NULL;

    while (entry != NULL && entry != &extra->ios) {
        const struct troupe_io *io = trp_container_of(entry, const struct troupe_io, entry);

        if (io->on_close != NULL && io->ready.context == context) {
            return true;
        }
        entry = entry->next;
    }
    return false;
}

uint32_t trp_io_take_noted(struct troupe_io *io, uint32_t events)
{
    uint32_t noted = io->noted & events;

    io->noted &= ~events;
    return noted;
}
