/* SPDX-License-Identifier: MIT */
/*
 * poller_epoll.c - readiness from Linux: one epoll descriptor, and one eventfd to end a wait.
 *
 * A wait has two steps.  Sleeping is poll(2) on the epoll descriptor, offline, and takes nothing out.
 * Fetching is epoll_wait(2) with time-out 0, online.  So a pointer to an io never crosses a moment in which its
 * grace period could end; see poller.c.  The second call costs 0.3 us beside a wake-up of ten, and nothing
 * when the caller does not mean to sleep.
 *
 * The eventfd is edge-triggered too and never read: each write is an edge of its own, and its counter lasts
 * for 2^64 of them.
 */
#include "poller_io.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Events fetched at a time: a batch must not keep a worker from its queue for long. */
#define TRP_POLLER_BATCH 64

struct trp_poller {
    int epoll_fd;              /* set once */
    int wake_fd;               /* set once */
    _Atomic uint32_t io_count; /* any thread */
};

static int open_wake(struct trp_poller *poller)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};

    poller->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (poller->wake_fd < 0) {
        return TROUPE_ESYSTEM;
    }
    if (epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, poller->wake_fd, &event) < 0) {
        close(poller->wake_fd);
        return TROUPE_ESYSTEM;
    }
    return TROUPE_OK;
}

int trp_poller_create(struct trp_memory *memory, struct trp_poller **out_poller)
{
    struct trp_poller *poller = trp_memory_alloc(memory, sizeof *poller, TRP_CACHE_LINE);

    if (poller == NULL) {
        return TROUPE_ENOMEM;
    }
    /* relaxed: nobody else knows of the poller. */
    atomic_store_explicit(&poller->io_count, 0, memory_order_relaxed);
    poller->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (poller->epoll_fd < 0) {
        goto fail_epoll;
    }
    if (open_wake(poller) < 0) {
        goto fail_wake;
    }
    *out_poller = poller;
    return TROUPE_OK;

fail_wake:
    close(poller->epoll_fd);
fail_epoll:
    trp_memory_free(memory, poller, sizeof *poller);
    return TROUPE_ESYSTEM;
}

void trp_poller_destroy(struct trp_poller *poller, struct trp_memory *memory)
{
    if (poller == NULL) {
        return;
    }
    trp_assert(!trp_poller_has_ios(poller));
    close(poller->wake_fd);
    close(poller->epoll_fd);
    trp_memory_free(memory, poller, sizeof *poller);
}

static uint32_t events_of(uint32_t epoll_events)
{
    uint32_t events = 0;

    if (epoll_events & (EPOLLIN | EPOLLRDHUP)) {
        events |= TROUPE_IO_READ;
    }
    if (epoll_events & (EPOLLRDHUP | EPOLLHUP)) {
        events |= TROUPE_IO_END;
    }
    if (epoll_events & EPOLLOUT) {
        events |= TROUPE_IO_WRITE;
    }
    if (epoll_events & (EPOLLHUP | EPOLLERR)) {
        events |= TROUPE_IO_HANGUP;
    }
    return events;
}

/* Online.  Tells each io of one batch; returns how many there were. */
static int fetch(struct trp_poller *poller, struct trp_context *context)
{
    struct epoll_event batch[TRP_POLLER_BATCH];
    int count = epoll_wait(poller->epoll_fd, batch, TRP_POLLER_BATCH, 0);
    int ready = 0;
    int i;

    for (i = 0; i < count; i++) {
        if (batch[i].data.ptr != NULL) {
            trp_io_notice(context, batch[i].data.ptr, events_of(batch[i].events));
            ready++;
        }
    }
    return ready;
}

/* Offline.  An interrupted sleep is a short one: the caller looks at its clock anyway. */
static void sleep_until_ready(struct trp_poller *poller, int timeout_ms)
{
    struct pollfd pollfd = {.fd = poller->epoll_fd, .events = POLLIN};

    (void)poll(&pollfd, 1, timeout_ms);
}

int trp_poller_wait(struct trp_poller *poller, struct trp_context *context, int timeout_ms)
{
    bool was_offline = trp_reclaim_enter();
    int ready;

    if (timeout_ms != 0) {
        trp_reclaim_leave(true);
        sleep_until_ready(poller, timeout_ms);
        (void)trp_reclaim_enter();
    }
    ready = fetch(poller, context);
    trp_reclaim_leave(was_offline);
    return ready;
}

void trp_poller_wake(struct trp_poller *poller)
{
    const uint64_t one = 1;

    while (write(poller->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

int trp_poller_fd(const struct trp_poller *poller)
{
    return poller->epoll_fd;
}

bool trp_poller_has_ios(const struct trp_poller *poller)
{
    /* relaxed: a view, not a promise. */
    return atomic_load_explicit(&poller->io_count, memory_order_relaxed) > 0;
}

int trp_poller_add(struct trp_poller *poller, struct troupe_io *io)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.ptr = io,
    };

    /* relaxed: a number, it publishes nothing.  Before the descriptor, so that it is never too low. */
    atomic_fetch_add_explicit(&poller->io_count, 1, memory_order_relaxed);
    if (epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, io->fd, &event) < 0) {
        /* relaxed: as above. */
        atomic_fetch_sub_explicit(&poller->io_count, 1, memory_order_relaxed);
        return errno == ENOMEM ? TROUPE_ENOMEM : TROUPE_ESYSTEM;
    }
    return TROUPE_OK;
}

void trp_poller_remove(struct trp_poller *poller, struct troupe_io *io)
{
    /* By itself a close forgets a descriptor only if no other one, in a forked child say, shares its file.
     * Fails if the user closed the descriptor, which is then not closed again: the number may be another's. */
    if (epoll_ctl(poller->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL) == 0) {
        close(io->fd);
    }
    /* relaxed: as in trp_poller_add(). */
    atomic_fetch_sub_explicit(&poller->io_count, 1, memory_order_relaxed);
}
