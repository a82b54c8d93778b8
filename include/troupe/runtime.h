/* SPDX-License-Identifier: MIT */
/*
 * runtime.h - creating, running and stopping a runtime; its limits, its books and its reports.
 *
 *   create -> start -> (spawn, send, ...) -> stop -> destroy
 *
 * A runtime starts once: after stop there is nothing left to do but to read its books and destroy it.
 * Any number of runtimes live side by side in a process; a pid means something in its own only.
 *
 * Threads.  Unless said otherwise the functions here may be called by any thread but a worker's.  destroy must
 * be the last call on a runtime: the caller sees to it that no other thread uses it any more.
 *
 * Fork.  A child made by fork() while a runtime exists has none of its threads: it may only exec or _exit.
 * Every function here that returns an error code, and whatever else enters a runtime from outside, returns
 * TROUPE_EFORKED in such a child and touches nothing.
 *
 * Signals.  troupe's threads block all signals but those of faults, for which it installs handlers: see enum troupe_faults.
 */
#ifndef TROUPE_RUNTIME_H
#define TROUPE_RUNTIME_H

#include "troupe/message.h"
#include "troupe/overload.h"

TROUPE_BEGIN_DECLS

/** options.workers: no threads; the owner calls troupe_runtime_turn(). */
#define TROUPE_NO_THREADS (-1)

/** options.watchdog_ms: no watchdog. */
#define TROUPE_NO_WATCHDOG (-1)

/** Most workers of a runtime. */
#define TROUPE_WORKERS_MAX 256

/** Most thread actors (actor.h) of a runtime. */
#define TROUPE_THREADS_MAX 1024

/** Most threads for blocking jobs (blocking.h) of a runtime. */
#define TROUPE_BLOCKING_THREADS_MAX 1024

/** What a report is about. */
enum troupe_report_kind {
    TROUPE_REPORT_FAILURE, /* an actor ended with a reason that is not clean */
    TROUPE_REPORT_RESTART, /* a supervisor restarted a child */
    TROUPE_REPORT_GIVE_UP, /* a supervisor reached its restart intensity, or a child could not start */
    TROUPE_REPORT_STUCK,        /* a handler holds its worker */
    TROUPE_REPORT_UNSTOPPED,    /* an actor, or a blocking job, did not end in the time it had */
    TROUPE_REPORT_DEAD_LETTERS, /* messages reached an actor that had ended */
    TROUPE_REPORT_LIMIT,        /* a limit was reached */
    TROUPE_REPORT_CRASH, /* a server, machine or event manager failed: its last message and its state */
    TROUPE_REPORT_QUEUE_LONG,  /* a mailbox has more messages than options.queue_high */
    TROUPE_REPORT_QUEUE_SHORT, /* which it has not any more: as few as options.queue_low */
    TROUPE_REPORT_RING,        /* a wait closes a ring of waits, and options.on_ring lets it */
    TROUPE_REPORT_PAUSED,      /* a handler was paused for options.pause_max_ms: see mailbox.h */
    TROUPE_REPORT_FLOOD, /* there are too many reports: for the rest of this second they are left out */
};

struct troupe_reason;

/** A report is a line of text, and the facts in it as fields; 0 or NULL where it has none. */
struct troupe_report {
    enum troupe_report_kind kind;
    troupe_pid pid;    /* whom it is about, or TROUPE_NOBODY */
    const char *actor; /* its name in a tree, or that of its behaviour, or "" */
    const char *text;  /* one line of English, good until the callback returns */
    uint64_t dropped;  /* reports left out before this one because there were too many */
    const struct troupe_reason
        *reason; /* FAILURE, CRASH, RESTART, GIVE_UP: with which somebody ended or failed to start;
                                           good until the callback returns */
    const char *child; /* GIVE_UP: whose end or start was too much, its name or id; the same */
    uint64_t count;    /* RESTART: of this child since its supervisor started, this one included
                          GIVE_UP: attempts to restart in the period; 0: it is no matter of their number
                          UNSTOPPED: how many, if a supervisor says it
                          DEAD_LETTERS: how many came since the last report
                          QUEUE_LONG, QUEUE_SHORT: messages that are queued
                          PAUSED: the same, of its receiver
                          RING: actors in it
                          LIMIT: bytes, of one that has more than its behaviour's memory_max */
    uint64_t time_ms;  /* RESTART: until it is tried; GIVE_UP: the period; UNSTOPPED: what it had */
};

/**
 * Told of what happens.  At most 100 calls in a second of the clock, the last of which says so (FLOOD); what is above is
 * counted in `dropped` of the next one, and in the books.  So is what happens while four threads are in here or wait for
 * their turn: a callback that is slow slows down four.
 *
 * Threads  whichever it happens on: a worker, the watchdog, or a thread inside a function of this runtime.  One
 *          call at a time
 * Limits   must not block, stop or destroy the runtime, or call into another one: two that report crosswise would
 *          wait for each other.  Sending a message is fine.  What it causes to be reported in turn is counted in
 *          `dropped`
 * Cost     of one that is left out: a number or two; nothing is formatted
 */
typedef void (*troupe_report_fn)(void *context, const struct troupe_report *report);

/**
 * Where the runtime's memory comes from.  `allocate` gives memory aligned to `align`, a power of two, or NULL;
 * `release` gets the `size` that was asked for.  Both are called by many threads at the same time.  Stacks of
 * threads and the tables of liburcu are not taken from here.
 */
struct troupe_allocator {
    void *(*allocate)(void *context, size_t size, size_t align);
    void (*release)(void *context, void *memory, size_t size);
    void *context;
};

/** The page of limits.  0 is the default in brackets; whoever would pass one gets TROUPE_ELIMIT. */
struct troupe_limits {
    uint32_t actors;        /* alive or being released [4 194 304]; at most 2^28 - 1 */
    uint32_t actor_timers;  /* armed by one actor, pending requests included; leases apart, as many [65 536] */
    uint32_t actor_watches; /* links and monitors of one actor, each way [1 048 576] */
    uint32_t actor_ios;     /* descriptors of one actor [65 536] */
    uint32_t names;         /* registered names [1 048 576] */
    uint32_t groups;        /* with members or monitors [1 048 576] */
    uint32_t group_members; /* of one group; and as many monitors of it [1 048 576] */
    uint32_t actor_groups;  /* groups that one actor is in or monitors [65 536] */
    uint32_t actor_stash;   /* messages that one actor has stashed [1024] */
    uint32_t actor_jobs;    /* blocking jobs of one actor that it has not seen the end of [1024] */
    uint32_t threads;       /* thread actors [256]; at most TROUPE_THREADS_MAX */
    uint32_t actor_aliases; /* of one actor that stand [1 048 576] */
    uint64_t
        memory; /* bytes held from the allocator [2^40]; above it: TROUPE_ENOMEM.  From 80 % of it in use on
                               gates (gate.h) let nobody in; from 90 % on messages of foreign threads are refused, so that what
                               is there already can be worked off.  What lies free in pools is held, and not in use */
};

/**
 * What comes of SIGSEGV, SIGBUS, SIGFPE and SIGILL while an actor's code runs.
 *
 * Faults of other threads, blocking jobs among them, and signals that somebody sent go to the handler that was there
 * before, if any, as they would without troupe.  So does whatever is not contained, once it was told.  Handlers are the
 * process's: the first runtime that wants them installs them, the last that is destroyed puts back what was there; a handler
 * that somebody installs meanwhile stands before ours, and should call it.
 *
 * Contained, the actor ends at that instruction, with reason ERROR, TROUPE_ECRASHED, and a text that names the signal, the
 * address, and the place in the program as addr2line wants it.  Its exit is that of any actor: requests are answered,
 * names become free, watchers told, its supervisor decides.  But none of its code runs again in this life: not `terminate`,
 * cleanups or `destroy`, nor what destroys the body of the message in hand.  So what these would have given back is
 * lost: memory from malloc(), descriptors, locks that stay locked.  The runtime's own is not: its arena, its state, its
 * stack, the message.  A crash in one of these callbacks is why the actor ended, whatever the reason was before.
 *
 * A fault is contained if the instruction is in the program, or in the shared object that has the actor's behaviour, and not
 * in troupe, the C library or another library, which may be in the middle of something; nor in what destroys a body or a job's
 * argument, in an allocator, a report callback, or a decision about a child (supervisor.h).  A write is contained only in the first 64 KiB of addresses, where nothing
 * is but NULL, and in the page below the stack: of any other address it may not have been the first that went astray.  A
 * stack that is used up is noticed if its guard is touched: see fiber.h, and compile with -fstack-clash-protection.
 *
 * What nobody can know: whether the actor held a lock of the program's; whether it was called by a function of the C library
 * that holds one (qsort() holds none, dl_iterate_phdr() does); what it wrote to valid addresses before.  A library that is
 * linked into the program counts as the program.  Whoever cannot answer for that does not ask for containment.
 *
 * The thread that turns a runtime without threads gets an alternate stack if it has none, until the runtime is destroyed by it;
 * it must not block these signals.
 */
enum troupe_faults {
    TROUPE_FAULTS_TELL, /* standard error says whose it was: the actor, its message, the stack that was used up */
    TROUPE_FAULTS_CONTAIN, /* the actor fails, where that is safe; otherwise told, with the worker's last messages */
    TROUPE_FAULTS_LEAVE, /* they are no business of troupe's, which installs no handler for this runtime */
};

/**
 * What comes of a wait that would close a ring: of actors each of which waits for the next, so that none would go on.  Waits are
 * calls, joins, and sends that wait for room, mixed as they come, also those of jobs that their actor waits for (fiber.h).  They are
 * followed when a wait begins, so it is found at once, by the one that would be the last; where several would be at the same
 * time it is one of them.
 */
enum troupe_ring {
    TROUPE_RING_ERROR, /* it does not wait: a call or a join ends with TROUPE_EDEADLK, a send with TROUPE_EFULL */
    TROUPE_RING_LOG,  /* it is reported (RING), and waits: as long as its time-out allows */
    TROUPE_RING_FAIL, /* its actor fails with TROUPE_EDEADLK, and the ring as the text of its reason; a thread that waits in
                          troupe_send_wait(), or in a job, gets the error */
};

/** Zero is the default everywhere. */
struct troupe_runtime_options {
    int workers;     /* threads [as many as cpuset and cgroup's quota allow] or TROUPE_NO_THREADS */
    int watchdog_ms; /* a handler that takes longer is worked around [10] or TROUPE_NO_WATCHDOG */
    uint64_t seed;   /* of all that is random [from the system] */
    troupe_report_fn report;
    void *report_context;
    const struct troupe_allocator *allocator; /* outlives the runtime [malloc] */
    struct troupe_limits limits;
    int blocking_threads;      /* most threads for blocking jobs [4 a processor, at least 8] */
    uint32_t blocking_queue;   /* most jobs that wait while all of these are busy [1024] */
    int blocking_idle_ms;      /* a thread without a job for so long ends [10 000] */
    uint32_t queue_high;       /* a mailbox with more messages is reported (QUEUE_LONG) [none] */
    uint32_t queue_low;        /* one with as few is again (QUEUE_SHORT) [half of queue_high] */
    enum troupe_faults faults; /* of an actor's code [TROUPE_FAULTS_TELL] */
    troupe_dead_letter_fn on_dead_letter; /* shown what is given up: see overload.h [nobody is] */
    void *dead_letter_context;
    int pause_max_ms;         /* a handler is paused for no longer: see mailbox.h [1000] */
    enum troupe_ring on_ring; /* whose wait would close a ring of waits [TROUPE_RING_ERROR] */
};

/**
 * Creates a runtime; no worker runs yet, but actors may be spawned and sent to: they begin with start.
 *
 * Owns     the caller: troupe_runtime_destroy().  Options are copied; NULL means all defaults
 * Errors   TROUPE_EINVAL, TROUPE_ENOMEM
 *          TROUPE_ESYSTEM  no descriptor for the poller; or faults cannot be contained: on a processor other than x86-64 and
 *                          aarch64, in a program that is linked statically as a whole, or of a library that was optimised at link time
 */
#define troupe_runtime_create(options, out_runtime)                                                \
    troupe_runtime_create_sized((options), sizeof(struct troupe_runtime_options), (out_runtime))
TROUPE_API TROUPE_CHECKED int troupe_runtime_create_sized(
    const struct troupe_runtime_options *options, size_t options_size,
    struct troupe_runtime **out_runtime);

/**
 * Starts the workers and the watchdog; of a runtime without threads, lets turns begin.
 *
 * Errors   TROUPE_ESYSTEM  a thread could not be started: none runs, start may be tried again
 *          TROUPE_EBUSY    started before, also if it was stopped since
 */
TROUPE_API TROUPE_CHECKED int troupe_runtime_start(struct troupe_runtime *runtime);

/**
 * Ends all actors in order, then the threads.  Actors spawned by foreign threads (the tops of trees) are
 * told to shut down first, and end their children in their own order; then whoever is left is told; whoever
 * is there after half of `wait_ms` is killed.
 *
 * Threads  any but a worker's and those of its thread actors (TROUPE_EINVAL); of a runtime without threads the one that
 *          turns it, which this does meanwhile.  A second caller waits for the first
 * Units    `wait_ms` in milliseconds; 0 kills at once and does not wait; TROUPE_FOREVER waits, and kills nobody
 * Errors   TROUPE_ETIMEDOUT  some did not end, since a handler does not return: each is named in a report
 *                            (UNSTOPPED).  The runtime goes on running, without those that ended; call again to
 *                            wait longer
 *          TROUPE_OK also if it never started or has been stopped
 */
TROUPE_API TROUPE_CHECKED int troupe_runtime_stop(struct troupe_runtime *runtime, int wait_ms);

/**
 * Frees everything.  The runtime must be stopped or never started (TROUPE_EBUSY: nothing was done).  Actors of a
 * runtime that never started are killed and their messages dropped, with all their destructors run here.  NULL does
 * nothing.
 *
 * Owns     messages, buffers and texts of reasons that the caller still has are given back before: their memory is
 *          the runtime's
 */
TROUPE_API int troupe_runtime_destroy(struct troupe_runtime *runtime);

/** How many workers the runtime has, spare ones not counted; 1 without threads; 0 for NULL.  Any thread. */
TROUPE_API unsigned troupe_runtime_workers(const struct troupe_runtime *runtime);

/**
 * A descriptor that is readable when a runtime without threads has something to do: to be polled in the loop
 * that calls troupe_runtime_turn().  Belongs to the runtime.  TROUPE_EINVAL for one with threads.  Any thread.
 */
TROUPE_API int troupe_runtime_fd(const struct troupe_runtime *runtime);

/**
 * Runs a runtime without threads until it has nothing to do, or for about `budget_ms`.
 *
 * Threads  one at a time, always the same
 * Units    `budget_ms` in milliseconds, 0 or more; looked at every 16 slices
 *          *out_wait_ms: how long the caller may poll before the next turn; 0: more to do now;
 *          TROUPE_FOREVER: until the descriptor is readable
 * Errors   TROUPE_EINVAL for a runtime with threads; TROUPE_EBUSY from inside a handler;
 *          TROUPE_ESTOPPED before it was started and after it was stopped
 */
TROUPE_API TROUPE_CHECKED int troupe_runtime_turn(
    struct troupe_runtime *runtime, int budget_ms, int *out_wait_ms);

/**
 * Makes the calling thread known to troupe; done by itself at a thread's first use.  Cheap to repeat.  Any thread.
 *
 * Errors   TROUPE_EFORKED
 */
TROUPE_API TROUPE_CHECKED int troupe_attach(void);

/** Undoes troupe_attach(); done by itself when a thread ends.  Does nothing on a worker. */
TROUPE_API void troupe_detach(void);

/**
 * Where every message went:
 *   sent = handled + refused + shed + dead + bounced + queued
 * exact when nothing runs; otherwise each number is a little old.
 */
struct troupe_books {
    uint64_t sent;    /* given to a send, replies, ticks, signals and notices included */
    uint64_t handled; /* a handler or continuation was entered, or the runtime took note of it */
    uint64_t refused; /* handed back to the sender; a wait for room begins with a refusal */
    uint64_t
        shed; /* given up by a mailbox's policy: see overload.h; of a request the answer that says so is a
                          message of its own */
    uint64_t dead;     /* reached an actor that had ended, or an answer nobody waits for any more */
    uint64_t bounced;  /* requests to an actor that ended; the answer is a message of its own */
    uint64_t queued;   /* accepted and not yet in another column */
    uint64_t unknown;  /* of handled: the behaviour did not know the type */
    uint64_t late;     /* of dead: answers that came too late */
    uint64_t skipped;  /* of dead: requests whose caller had given up before they were handled */
    uint64_t spawned;  /* actors */
    uint64_t exited;   /* actors */
    uint64_t failures; /* incarnations that ended with a reason that is not clean */
    uint64_t restarts; /* by supervisors */
    uint64_t slices;   /* turns of actors on workers */
    uint64_t steals;   /* run slots taken from another worker */
    uint64_t parks;    /* times a worker went to sleep */
    uint64_t wakes;    /* times a worker was woken */
    uint64_t stuck;    /* handlers reported as stuck */
    uint64_t memory;   /* bytes held from the allocator */
    uint64_t unreported;               /* reports that were left out, because there were too many */
    uint64_t sheds[TROUPE_SHED_KINDS]; /* user's messages given up, by kind; ENDED is of dead and
                                          bounced, the others are shed */
};

/** Reads the books.  Any thread, workers too.  TROUPE_EINVAL, TROUPE_EFORKED. */
TROUPE_API TROUPE_CHECKED int troupe_runtime_books(
    struct troupe_runtime *runtime, struct troupe_books *out_books);

TROUPE_END_DECLS

#endif
