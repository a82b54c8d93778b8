/* SPDX-License-Identifier: MIT */
/*
 * load_connection.h - one connection of kv-load, and what all of them share.
 *
 * The control connection is one of them, without keys: load.c gives it its commands one by one.
 */
#ifndef LOAD_CONNECTION_H
#define LOAD_CONNECTION_H

#include "load_model.h"

#include <sys/socket.h>

enum {
    LOAD_DEPTH_MAX = 16,   /* commands under way on a connection */
    LOAD_PENDING_MAX = 32, /* with those that are sent again and that end it */
    LOAD_KEYS_PER_CONNECTION = 12,
    LOAD_LATENCY_SLOTS = 2048, /* see load_latency_slot() */
    LOAD_STALL_S = 10,         /* without progress for so long, a connection hangs */
    LOAD_LAST_REPLY_MAX = 96,
};

/*
 *    SETUP ----> LOAD ----> VERIFY ----> DELETE ----> QUIT
 *
 * Each phase ends when every connection has an answer to all it sent.
 */
enum load_phase {
    LOAD_PHASE_SETUP,  /* delete what an earlier run may have left */
    LOAD_PHASE_LOAD,   /* random commands and crashes */
    LOAD_PHASE_VERIFY, /* read back every key */
    LOAD_PHASE_DELETE, /* delete every key */
    LOAD_PHASE_QUIT,   /* QUIT, and then the end of the stream and not a byte more */
};

/** Shared by all connections. */
struct load_run {
    struct sockaddr_storage address;
    socklen_t address_len;
    int epoll_fd;
    const char *prefix; /* of all keys */
    bool verbose;
    uint64_t operation_max; /* 0: no limit */

    enum load_phase phase;
    bool stopping; /* no new load */
    uint64_t random;
    uint64_t start_us;
    uint64_t now_us;
    uint64_t last_crash_us; /* 0: none yet */

    uint64_t issued; /* commands of the load, of all connections */
    uint64_t answered;
    uint64_t crash_errors;
    uint64_t shard_crashes;
    uint64_t connection_crashes;
    uint64_t reconnects;
    uint64_t violations;
    long long dbsize; /* the answer to the latest DBSIZE */
    uint64_t latency[LOAD_LATENCY_SLOTS];
};

/*
 *               open                connected             a violation
 *    CLOSED ----------> CONNECTING -----------> OPEN ------------------> RETIRED
 *       ^                                        |
 *       +----------------------------------------+  crashed as we had asked
 *
 * DONE is the good end of an open connection: closed by the server after QUIT.
 */
enum load_connection_state {
    LOAD_CLOSED,
    LOAD_CONNECTING,
    LOAD_OPEN,
    LOAD_RETIRED, /* saw a violation, and takes no further part */
    LOAD_DONE,
};

struct load_connection {
    struct load_run *run;
    int number;
    char prefix[96]; /* of its keys */
    struct load_key *keys;
    int key_count;

    enum load_connection_state state;
    int fd;
    int port;     /* our end, to find it in a trace */
    bool writing; /* epoll tells when there is room */
    bool quit;    /* QUIT was answered */
    struct load_bytes in;
    struct load_bytes out;
    uint64_t queued; /* bytes ever put into out, of this connection's current socket */
    uint64_t sent;   /* of these, written to the socket */
    uint64_t progress_us;

    struct load_command pending[LOAD_PENDING_MAX]; /* a ring: sent, not answered */
    unsigned head;
    unsigned tail;
    unsigned refill_at; /* more is sent when no more than so many are pending */
    int next_key;       /* the phases that go over all keys: the next one */
    uint64_t stamp;     /* counts the values made */

    bool crash_wanted;   /* ask the server to crash it, soon */
    uint64_t crash_end;  /* where that command ends in the stream; 0: not asked */
    bool crash_answered; /* with an error: nothing may follow */
    char last_reply[LOAD_LAST_REPLY_MAX];
    size_t last_reply_len;
};

/** A number below `bound`, from the generator of the run. */
uint64_t load_random(struct load_run *run, uint64_t bound);

/** The microseconds of a monotonic clock. */
uint64_t load_clock_us(void);

/** The largest latency in us that lands in the same slot of the histogram. */
uint64_t load_latency_of_slot(unsigned slot);

/** Connection number `number` with `key_count` keys, not open yet.  Without keys: the control. */
void load_connection_init(
    struct load_connection *connection, struct load_run *run, int number, int key_count);

/** Closes it and frees what it has. */
void load_connection_fini(struct load_connection *connection);

/** Connects; a failure is a violation. */
void load_connection_open(struct load_connection *connection);

/** Sends the command; the connection owns its values from now on. */
void load_connection_send(struct load_connection *connection, struct load_command command);

/** Sends what the phase asks for, as far as the pipeline has room. */
void load_connection_refill(struct load_connection *connection);

/** Does what epoll says that can be done. */
void load_connection_ready(struct load_connection *connection, uint32_t events);

/** Whether it has nothing more to do in this phase. */
bool load_connection_is_idle(const struct load_connection *connection);

/** Retires it if it has waited too long. */
void load_connection_check_stall(struct load_connection *connection);

/** Reports a violation and retires the connection.  `command` and `reply` may be NULL. */
void load_connection_violate(struct load_connection *connection, const struct load_command *command,
    const struct load_reply *reply, const char *what);

#endif
