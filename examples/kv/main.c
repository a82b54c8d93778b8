/* SPDX-License-Identifier: MIT */
/*
 * main.c - troupe-kv, a key-value server that speaks the Redis protocol: options, the tree, and messages for
 * whoever started it.
 *
 * A shard's address, queue and keys outlive its failures, so a restart costs the one command that was being
 * served; that is why so many restarts are allowed before the tree gives up.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "client.h"

#define PORT_DEFAULT 6380
#define SHARDS_PER_WORKER 4
#define SHARDS_MAX 1024
#define CLIENTS_DEFAULT 10000
#define CLIENTS_MAX 1000000
#define WAIT_DEFAULT_MS 250
#define WAIT_MAX_MS 3600000

/* Crashes of shards that are borne in a period: clients may order them, and shall not end the server by it. */
#define SHARD_CRASHES 100000
#define SHARD_CRASHES_MS 5000

/* Descriptors that are not clients'. */
#define DESCRIPTORS_OWN 32

static const char usage[] =
    "troupe-kv, a key-value server that speaks the Redis protocol\n"
    "\n"
    "  --bind ADDRESS    numeric IPv4 or IPv6 address to listen on [127.0.0.1]\n"
    "  --port PORT       TCP port; 0 takes any that is free [6380]\n"
    "  --workers N       worker threads [as many as there are processors]\n"
    "  --shards N        actors that share the keys [4 for each worker]\n"
    "  --max-clients N   clients connected at a time [10000]\n"
    "  --max-requests N  requests to shards in the works at a time [16384]\n"
    "  --max-wait MS     how long requests may wait for their shards; 0: any time [250]\n"
    "  --help            this text\n"
    "\n"
    "What is above --max-requests, or what would wait above --max-wait, is answered at once with\n"
    "-BUSY and was not applied.  A request is a command, or those of one client for one shard\n"
    "that came together.\n"
    "\n"
    "A command may have 1024 arguments of 1 MiB each and 16 MiB in all, a line 64 KiB.\n"
    "SIGINT and SIGTERM stop it in order.\n";

enum parsed {
    PARSED_RUN,
    PARSED_HELP,
    PARSED_WRONG,
};

/* ---- the command line ---- */

/* A number from `min` to `max`, or false with a message. */
static bool parse_number(
    const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *out_number)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || number < min ||
        number > max) {
        (void)fprintf(stderr, "troupe-kv: --%s wants a number from %u to %u, not '%s'\n", name, min,
            max, text);
        return false;
    }
    *out_number = (uint32_t)number;
    return true;
}

static bool parse_option(int option, struct kv_server *server)
{
    uint32_t port = 0;

    switch (option) {
    case 'b':
        server->host = optarg;
        return true;
    case 'p':
        if (!parse_number("port", optarg, 0, UINT16_MAX, &port)) {
            return false;
        }
        server->port = (uint16_t)port;
        return true;
    case 'w':
        return parse_number("workers", optarg, 1, TROUPE_WORKERS_MAX, &server->worker_count);
    case 's':
        return parse_number("shards", optarg, 1, SHARDS_MAX, &server->shard_count);
    case 'c':
        return parse_number("max-clients", optarg, 1, CLIENTS_MAX, &server->client_max);
    case 'r':
        return parse_number("max-requests", optarg, 1, TROUPE_GATE_LIMIT_MAX, &server->request_max);
    case 'm':
        return parse_number("max-wait", optarg, 0, WAIT_MAX_MS, &server->wait_max_ms);
    default:
        (void)fprintf(stderr, "Try 'troupe-kv --help'.\n");
        return false;
    }
}

static enum parsed parse(int argc, char **argv, struct kv_server *server)
{
    static const struct option options[] = {
        {"bind", required_argument, NULL, 'b'},
        {"port", required_argument, NULL, 'p'},
        {"workers", required_argument, NULL, 'w'},
        {"shards", required_argument, NULL, 's'},
        {"max-clients", required_argument, NULL, 'c'},
        {"max-requests", required_argument, NULL, 'r'},
        {"max-wait", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h') {
            return PARSED_HELP;
        }
        if (!parse_option(option, server)) {
            return PARSED_WRONG;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "troupe-kv: what is '%s'?\nTry 'troupe-kv --help'.\n", argv[optind]);
        return PARSED_WRONG;
    }
    return PARSED_RUN;
}

/* ---- preparing ---- */

/* As many workers as troupe would start by itself: only a runtime knows. */
static bool count_workers(uint32_t *out_count)
{
    struct troupe_runtime *runtime;
    int error = troupe_runtime_create(&(struct troupe_runtime_options){0}, &runtime);

    if (error < 0) {
        (void)fprintf(stderr, "troupe-kv: cannot start: %s\n", troupe_strerror(error));
        return false;
    }
    *out_count = troupe_runtime_workers(runtime);
    troupe_runtime_destroy(runtime);
    return true;
}

/* Each client is a descriptor: asks for as many as that takes, and says so if it may not have them. */
static void raise_descriptor_limit(uint32_t client_max)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)client_max + DESCRIPTORS_OWN;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted) {
        return;
    }
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted) {
        (void)fprintf(stderr,
            "troupe-kv: only %llu descriptors are allowed: clients beyond that are turned away\n",
            (unsigned long long)limit.rlim_cur);
    }
}

static bool prepare(struct kv_server *server)
{
    if (server->worker_count == 0 && !count_workers(&server->worker_count)) {
        return false;
    }
    if (server->shard_count == 0) {
        server->shard_count = server->worker_count * SHARDS_PER_WORKER;
    }
    if (kv_shards_create(server) != KV_OK) {
        (void)fprintf(
            stderr, "troupe-kv: cannot start: no memory for %u shards\n", server->shard_count);
        return false;
    }
    raise_descriptor_limit(server->client_max);
    server->started_ms = kv_now_ms();
    return true;
}

/* ---- the herald ---- */

/* Started last: says that the server can be used, and ends. */
static int herald_init(struct troupe_actor *self, void *state, const void *arg)
{
    const struct kv_server *server = arg;

    (void)self;
    (void)state;
    (void)printf("troupe-kv is ready on %s port %u: %u workers, %u shards.  Try: redis-cli -p %u\n",
        server->host, server->bound_port, server->worker_count, server->shard_count,
        server->bound_port);
    (void)fflush(stdout);
    return TROUPE_DONE;
}

static int herald_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour herald_behaviour = {
    .name = "kv.herald",
    .init = herald_init,
    .receive = herald_receive,
};

/* ---- the tree ---- */

static void on_report(void *context, const struct troupe_report *report)
{
    (void)context;
    (void)fprintf(
        stderr, "troupe-kv: %s%s%s\n", report->actor, report->actor[0] ? ": " : "", report->text);
}

static int run(struct kv_server *server, struct troupe_child_spec *shards)
{
    const struct troupe_runtime_options options = {
        .workers = (int)server->worker_count,
        .report = on_report,
    };
    const struct troupe_supervisor_spec shards_spec = {
        .strategy = TROUPE_ONE_FOR_ONE,
        .intensity = SHARD_CRASHES,
        .period_ms = SHARD_CRASHES_MS,
        .children = shards,
        .child_count = server->shard_count,
    };
    const struct troupe_listener_spec listener = {
        .host = server->host,
        .port = server->port,
        .protocol = &kv_protocol,
        .arg = server,
        .max_connections = server->client_max,
        .refusal = "-ERR max number of clients reached\r\n",
        .max_inflight = KV_PLACES,
        .out_port = &server->bound_port,
    };
    const struct troupe_child_spec children[] = {
        {.id = "gate", .behaviour = &kv_gate_behaviour, .arg = server, .restart = TROUPE_TRANSIENT},
        {.id = "shards", .tree = &shards_spec},
        {.id = "listener",
            .behaviour = &troupe_listener_behaviour,
            .arg = &listener,
            .arg_size = sizeof listener},
        {.id = "herald",
            .behaviour = &herald_behaviour,
            .arg = server,
            .restart = TROUPE_TRANSIENT},
    };
    const struct troupe_supervisor_spec tree = {
        .name = "kv",
        .strategy = TROUPE_ONE_FOR_ONE,
        .intensity = 5,
        .period_ms = 10000,
        .children = children,
        .child_count = TROUPE_COUNT(children),
    };

    return troupe_run(&options, &tree);
}

/* The children of "kv.shards", named by their numbers. */
static struct troupe_child_spec *make_shard_specs(const struct kv_server *server, char (*ids)[12])
{
    struct troupe_child_spec *specs = calloc(server->shard_count, sizeof *specs);
    uint32_t i;

    for (i = 0; specs != NULL && i < server->shard_count; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "%u", i);
        specs[i].id = ids[i];
        specs[i].behaviour = &kv_shard_behaviour;
        specs[i].arg = &server->shards[i];
        specs[i].keep_mailbox = true;
    }
    return specs;
}

int main(int argc, char **argv)
{
    struct kv_server server = {
        .host = "127.0.0.1",
        .port = PORT_DEFAULT,
        .client_max = CLIENTS_DEFAULT,
        .request_max = TROUPE_GATE_LIMIT_DEFAULT,
        .wait_max_ms = WAIT_DEFAULT_MS,
    };
    static char ids[SHARDS_MAX][12];
    struct troupe_child_spec *specs;
    enum parsed parsed = parse(argc, argv, &server);
    int error = TROUPE_ENOMEM;

    if (parsed == PARSED_HELP) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (parsed == PARSED_WRONG || !prepare(&server)) {
        return EXIT_FAILURE;
    }
    specs = make_shard_specs(&server, ids);
    if (specs != NULL) {
        error = run(&server, specs);
    }
    free(specs);
    kv_shards_destroy(&server);
    if (error < 0) {
        (void)fprintf(stderr, "troupe-kv: %s\n", troupe_strerror(error));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
