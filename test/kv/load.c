/* SPDX-License-Identifier: MIT */
/*
 * load.c - kv-load, a client that drives a server of the Redis protocol and believes nothing.
 *
 * Many connections in one thread send random commands, each on keys of its own, and check every
 * reply, byte for byte, against a model of these keys.  Meanwhile a control connection may crash
 * the server's shards in turn, and random connections ask to be crashed.  Such a crash may excuse
 * an error, or leave open whether a command was applied; it never excuses a wrong value.  At the
 * end all keys are read back and deleted.
 *
 *   load.c             options, phases, crashes, report
 *   load_connection.c  a connection and its pipeline; every violation is found here
 *   load_generate.c    random commands, and whose value some bytes are
 *   load_model.c       what a key may be, and which replies that allows
 *   load_wire.c        buffers and the protocol
 *
 * The contract that a server has to keep:
 *
 *   - Replies as Redis 7.0 sends them, protocol version 2, in the order of the commands.
 *   - TROUPE.CRASH SHARD n answers +OK and crashes the actor of that shard; with AT * k, when it comes to the
 *     k-th place of later commands at which a shard can crash.  A command that was in
 *     it is answered "-ERR shard...", and may or may not have been applied, to each of its keys.
 *   - TROUPE.CRASH CONNECTION closes the connection that sent it, after an error or after nothing.
 *     Replies that came stand; a command without a reply may or may not have been applied.
 */
#include "load_connection.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    PLACES = 40, /* a crash inside comes at one of so many places, which is within a few commands */
    TICK_MS = 5, /* how often crashes, stalls and the end are looked at */
    PREFIX_LEN_MAX = 64,
    SECONDS_MAX = 12 * 3600, /* keys expire after a day at the earliest */
};

struct options {
    const char *host;
    const char *port;
    const char *prefix;
    long long connections;
    long long seconds;
    long long operations;
    long long shards;
    long long crash_ms;
    long long seed;
    bool no_crash;
    bool verbose;
};

/* One run, and what only load.c needs of it. */
struct load {
    struct options options;
    struct load_run run;
    struct load_connection *connections; /* the last one is the control connection */
    int connection_count;
    struct load_connection *control;
    long long next_shard;
    bool inside; /* this round's shards crash inside of later commands */
    uint64_t next_crash_us;
    uint64_t next_note_us;
    uint64_t load_start_us;
    uint64_t load_end_us;
    long long dbsize_before;
    bool dbsize_asked;   /* before the load */
    bool dbsize_checked; /* at the end */
};

/* Options. */

static const char usage[] =
    "Usage: kv-load --port PORT --shards N [option]...\n"
    "       kv-load --port PORT --no-crash [option]...\n"
    "\n"
    "Drives a server of the Redis protocol and checks every reply.\n"
    "\n"
    "  --host HOST        where the server is; 127.0.0.1 if not given\n"
    "  --port PORT        its TCP port\n"
    "  --connections N    connections, each with keys of its own; 200 if not given\n"
    "  --seconds S        ends the load after S seconds; 10 if neither this nor --operations\n"
    "  --operations N     ends the load after N commands\n"
    "  --shards N         shards of the server, to crash in turn\n"
    "  --crash-ms MS      time from crash to crash; 200 if not given\n"
    "  --no-crash         crashes nothing, and excuses no error\n"
    "  --seed N           seed of the random commands; from the clock if not given.  Which\n"
    "                     connection gets which command still depends on who is answered first\n"
    "  --prefix TEXT      what all keys start with; kv-load if not given\n"
    "  --verbose          tells what goes on, on standard error\n"
    "  --help             prints this\n"
    "\n"
    "Exit status: 0 if everything held, else 1.  The first ten violations are described on\n"
    "standard error.  A connection that saw one takes no further part, and its keys stay.\n";

static const struct option long_options[] = {
    {"host", required_argument, NULL, 'h'},
    {"port", required_argument, NULL, 'p'},
    {"connections", required_argument, NULL, 'c'},
    {"seconds", required_argument, NULL, 's'},
    {"operations", required_argument, NULL, 'o'},
    {"shards", required_argument, NULL, 'S'},
    {"crash-ms", required_argument, NULL, 'm'},
    {"no-crash", no_argument, NULL, 'n'},
    {"seed", required_argument, NULL, 'r'},
    {"prefix", required_argument, NULL, 'x'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'H'},
    {NULL, 0, NULL, 0},
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "kv-load: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static long long parse_number(const char *name, const char *text, long long min, long long max)
{
    long long number;

    if (!load_wire_parse_number(text, strlen(text), &number) || number < min || number > max) {
        fprintf(stderr, "kv-load: --%s takes a number from %lld to %lld\n", name, min, max);
        exit(EXIT_FAILURE);
    }
    return number;
}

static void parse_option(struct options *options, int option)
{
    switch (option) {
    case 'h':
        options->host = optarg;
        break;
    case 'p':
        parse_number("port", optarg, 1, 65535);
        options->port = optarg;
        break;
    case 'c':
        options->connections = parse_number("connections", optarg, 1, 10000);
        break;
    case 's':
        options->seconds = parse_number("seconds", optarg, 1, SECONDS_MAX);
        break;
    case 'o':
        options->operations = parse_number("operations", optarg, 1, LLONG_MAX);
        break;
    case 'S':
        options->shards = parse_number("shards", optarg, 1, 65536);
        break;
    case 'm':
        options->crash_ms = parse_number("crash-ms", optarg, 1, 3600000);
        break;
    case 'n':
        options->no_crash = true;
        break;
    case 'r':
        options->seed = parse_number("seed", optarg, 0, LLONG_MAX);
        break;
    case 'x':
        options->prefix = optarg;
        break;
    case 'v':
        options->verbose = true;
        break;
    case 'H':
        fputs(usage, stdout);
        exit(EXIT_SUCCESS);
    default:
        exit(EXIT_FAILURE); /* getopt has said why */
    }
}

static void check_options(struct options *options)
{
    if (options->port == NULL) {
        fail("--port is needed", "see --help");
    }
    if (options->shards == 0 && !options->no_crash) {
        fail("--shards is needed, or --no-crash", "see --help");
    }
    if (strlen(options->prefix) > PREFIX_LEN_MAX) {
        fail("--prefix", "too long");
    }
    if (options->seconds == 0) {
        options->seconds = options->operations == 0 ? 10 : SECONDS_MAX;
    }
}

static struct options parse_options(int argc, char **argv)
{
    struct options options = {
        .host = "127.0.0.1",
        .prefix = "kv-load",
        .connections = 200,
        .crash_ms = 200,
        .seed = (long long)(time(NULL) ^ ((long long)getpid() << 32)),
    };
    int option;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        parse_option(&options, option);
    }
    if (optind < argc) {
        fail(argv[optind], "not an option");
    }
    check_options(&options);
    return options;
}

/* The start. */

static void resolve(const struct options *options, struct load_run *run)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int error = getaddrinfo(options->host, options->port, &hints, &found);

    if (error != 0) {
        fail(options->host, gai_strerror(error));
    }
    memcpy(&run->address, found->ai_addr, found->ai_addrlen);
    run->address_len = found->ai_addrlen;
    freeaddrinfo(found);
}

static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void load_init(struct load *load, struct options options)
{
    uint64_t now = load_clock_us();

    *load = (struct load){
        .options = options,
        .run = {.prefix = options.prefix,
            .verbose = options.verbose,
            .operation_max = (uint64_t)options.operations,
            .random = (uint64_t)options.seed,
            .start_us = now,
            .now_us = now,
            .epoll_fd = epoll_create1(EPOLL_CLOEXEC)},
        .connection_count = (int)options.connections + 1,
        .next_note_us = now,
    };
    if (load->run.epoll_fd < 0) {
        fail("epoll", strerror(errno));
    }
    resolve(&options, &load->run);
    load->connections = load_allocate((size_t)load->connection_count * sizeof load->connections[0]);
    load->control = &load->connections[load->connection_count - 1];
    for (int i = 0; i < load->connection_count; i++) {
        struct load_connection *connection = &load->connections[i];

        load_connection_init(
            connection, &load->run, i, connection == load->control ? 0 : LOAD_KEYS_PER_CONNECTION);
        load_connection_open(connection);
    }
}

static void load_fini(struct load *load)
{
    for (int i = 0; i < load->connection_count; i++) {
        load_connection_fini(&load->connections[i]);
    }
    free(load->connections);
    close(load->run.epoll_fd);
}

/* Crashes. */

static bool control_is_free(const struct load *load)
{
    return load->control->state == LOAD_OPEN && load_connection_is_idle(load->control);
}

/* The next shard in turn, and one connection at random.  In one round shards crash at once, in the next inside one of
 * the commands that follow. */
static void crash_something(struct load *load)
{
    struct load_run *run = &load->run;
    uint64_t chosen = load_random(run, (uint64_t)load->connection_count - 1);

    if (run->now_us < load->next_crash_us || !control_is_free(load)) {
        return;
    }
    load->next_crash_us = run->now_us + (uint64_t)load->options.crash_ms * 1000;
    run->last_crash_us = run->now_us;
    if (run->verbose) {
        fprintf(stderr, "kv-load: crash shard %lld and connection %llu\n", load->next_shard,
            (unsigned long long)chosen);
    }
    load_connection_send(
        load->control, (struct load_command){.op = LOAD_CRASH_SHARD,
                           .amount = load->next_shard,
                           .place = load->inside ? 1 + (int)load_random(run, PLACES - 1) : 0});
    load->next_shard = (load->next_shard + 1) % load->options.shards;
    load->inside = load->inside != (load->next_shard == 0);
    load->connections[chosen].crash_wanted = true;
}

/* Phases. */

static bool all_idle(const struct load *load)
{
    for (int i = 0; i < load->connection_count; i++) {
        if (!load_connection_is_idle(&load->connections[i])) {
            return false;
        }
    }
    return true;
}

/* All that carry load. */
static bool all_retired(const struct load *load)
{
    for (int i = 0; i < load->connection_count - 1; i++) {
        if (load->connections[i].state != LOAD_RETIRED) {
            return false;
        }
    }
    return true;
}

static bool any_retired(const struct load *load)
{
    for (int i = 0; i < load->connection_count; i++) {
        if (load->connections[i].state == LOAD_RETIRED) {
            return true;
        }
    }
    return false;
}

static void enter(struct load *load, enum load_phase phase)
{
    static const char *const names[] = {"setup", "load", "verify", "delete", "quit"};

    load->run.phase = phase;
    if (load->run.verbose) {
        fprintf(stderr, "kv-load: phase %s\n", names[phase]);
    }
    for (int i = 0; i < load->connection_count; i++) {
        struct load_connection *connection = &load->connections[i];

        if (phase == LOAD_PHASE_VERIFY || phase == LOAD_PHASE_DELETE) {
            connection->next_key = 0;
        }
        load_connection_refill(connection);
    }
}

/* Asks for DBSIZE on the control connection; the answer may be at most `max`. */
static void ask_dbsize(struct load *load, long long max)
{
    if (control_is_free(load)) {
        load_connection_send(
            load->control, (struct load_command){.op = LOAD_DBSIZE, .amount = max});
    }
}

static void end_setup(struct load *load)
{
    if (!load->dbsize_asked) {
        load->dbsize_asked = true;
        ask_dbsize(load, LLONG_MAX);
        return;
    }
    load->dbsize_before = load->run.dbsize;
    load->load_start_us = load->run.now_us;
    load->next_crash_us = load->run.now_us + (uint64_t)load->options.crash_ms * 1000;
    enter(load, LOAD_PHASE_LOAD);
}

/* That nothing is left can only be asked of a server that had nothing, and if all took part. */
static void end_delete(struct load *load)
{
    if (!load->dbsize_checked && load->dbsize_before == 0 && !any_retired(load)) {
        load->dbsize_checked = true;
        ask_dbsize(load, 0);
        return;
    }
    enter(load, LOAD_PHASE_QUIT);
}

/* The load: crashes, and the end of it. */
static void tend_load(struct load *load)
{
    struct load_run *run = &load->run;
    uint64_t elapsed_us = run->now_us - load->load_start_us;

    run->stopping = run->stopping || all_retired(load) ||
                    elapsed_us >= (uint64_t)load->options.seconds * 1000000 ||
                    (run->operation_max > 0 && run->issued >= run->operation_max);
    if (run->stopping) {
        load->load_end_us = load->load_end_us == 0 ? run->now_us : load->load_end_us;
    } else if (!load->options.no_crash) {
        crash_something(load);
    }
    if (all_idle(load) && run->stopping) {
        enter(load, LOAD_PHASE_VERIFY);
    }
}

static void tend_stalls(struct load *load)
{
    for (int i = 0; i < load->connection_count; i++) {
        load_connection_check_stall(&load->connections[i]);
    }
}

static void tend_notes(struct load *load)
{
    const struct load_run *run = &load->run;

    if (!run->verbose || run->now_us < load->next_note_us) {
        return;
    }
    load->next_note_us = run->now_us + 1000000;
    fprintf(stderr, "kv-load: %.1f s, %llu operations, %llu errors from crashes, %llu violations\n",
        (double)(run->now_us - run->start_us) / 1e6, (unsigned long long)run->answered,
        (unsigned long long)run->crash_errors, (unsigned long long)run->violations);
}

/* False when the run is over. */
static bool tend(struct load *load)
{
    tend_stalls(load);
    tend_notes(load);
    if (load->run.phase == LOAD_PHASE_LOAD) {
        tend_load(load);
        return true;
    }
    if (!all_idle(load)) {
        return true;
    }
    switch (load->run.phase) {
    case LOAD_PHASE_SETUP:
        end_setup(load);
        return true;
    case LOAD_PHASE_VERIFY:
        enter(load, LOAD_PHASE_DELETE);
        return true;
    case LOAD_PHASE_DELETE:
        end_delete(load);
        return true;
    default:
        return false;
    }
}

static void load_run_all(struct load *load)
{
    struct load_run *run = &load->run;
    struct epoll_event events[EVENTS_MAX];
    uint64_t next_tick_us = 0;

    do {
        int count = epoll_wait(run->epoll_fd, events, EVENTS_MAX, TICK_MS);

        for (int i = 0; i < count; i++) {
            run->now_us = load_clock_us();
            load_connection_ready(events[i].data.ptr, events[i].events);
        }
        run->now_us = load_clock_us();
        if (run->now_us < next_tick_us) {
            continue;
        }
        next_tick_us = run->now_us + TICK_MS * UINT64_C(1000);
        if (!tend(load)) {
            break;
        }
    } while (true);
}

/* The report. */

static unsigned long long percentile_us(const struct load_run *run, uint64_t percent)
{
    uint64_t rank = (run->answered * percent + 99) / 100;
    uint64_t seen = 0;

    for (unsigned slot = 0; slot < LOAD_LATENCY_SLOTS; slot++) {
        seen += run->latency[slot];
        if (seen >= rank) {
            return load_latency_of_slot(slot);
        }
    }
    return 0;
}

static void report_leftovers(const struct load *load)
{
    if (load->dbsize_checked) {
        printf("keys left           %lld\n", load->run.dbsize);
    } else if (load->dbsize_before > 0) {
        printf("keys left           not checked: the server had %lld other keys\n",
            load->dbsize_before);
    } else {
        printf("keys left           not checked: some connections took no part to the end\n");
    }
}

static void report(const struct load *load)
{
    const struct load_run *run = &load->run;
    double seconds = (double)(load->load_end_us - load->load_start_us) / 1e6;

    printf("kv-load %s:%s, %lld connections, %.1f s, seed %lld\n", load->options.host,
        load->options.port, load->options.connections, seconds, load->options.seed);
    printf("operations          %llu\n", (unsigned long long)run->answered);
    printf("operations/s        %.0f\n", seconds > 0 ? (double)run->answered / seconds : 0.0);
    printf("errors from crashes %llu\n", (unsigned long long)run->crash_errors);
    printf("crashes made        %llu of shards, %llu of connections\n",
        (unsigned long long)run->shard_crashes, (unsigned long long)run->connection_crashes);
    printf("reconnects          %llu\n", (unsigned long long)run->reconnects);
    printf("p50                 %llu us\n", percentile_us(run, 50));
    printf("p99                 %llu us\n", percentile_us(run, 99));
    report_leftovers(load);
    printf("%llu wrong replies\n", (unsigned long long)run->violations);
}

int main(int argc, char **argv)
{
    struct load load;
    bool held;

    raise_file_limit();
    load_init(&load, parse_options(argc, argv));
    load_run_all(&load);
    report(&load);
    held = load.run.violations == 0 && load.run.answered > 0;
    load_fini(&load);
    return held ? EXIT_SUCCESS : EXIT_FAILURE;
}
