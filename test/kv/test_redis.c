/* SPDX-License-Identifier: MIT */
/*
 * Redis: what exchange.h says of Redis is what a redis-server answers, byte for byte.  So what test_server.c finds
 * troupe-kv to answer is, too.  Built only where there is a redis-server.
 */
#include "exchange.h"
#include "process.h"
#include "talk.h"

#define PATH_MAX_HERE 64

struct redis {
    struct process process;
    char directory[PATH_MAX_HERE];
    char path[PATH_MAX_HERE + 8]; /* of its socket */
};

static int try_connect(const struct redis *redis)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", redis->path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -1;
    }
    talk_prepare(fd);
    return fd;
}

/* On a socket in a directory of its own: no port has to be found. */
static void redis_start(struct redis *redis)
{
    struct process_options options = {
        .arguments = {"--port", "0", "--unixsocket", redis->path, "--save", "", "--appendonly",
            "no", "--dir", redis->directory},
    };
    char line[256];
    bool ready = false;

    (void)snprintf(redis->directory, sizeof redis->directory, "/tmp/troupe-redis-XXXXXX");
    cr_assert_not_null(mkdtemp(redis->directory));
    (void)snprintf(redis->path, sizeof redis->path, "%s/socket", redis->directory);
    process_spawn(&redis->process, getenv("REDIS_SERVER"), &options);
    while (!ready) {
        cr_assert(process_line(&redis->process, line, sizeof line), "redis-server did not start");
        ready = strstr(line, "ready to accept connections") != NULL;
    }
}

static void redis_stop(struct redis *redis)
{
    process_stop(&redis->process);
    (void)unlink(redis->path);
    (void)rmdir(redis->directory);
}

static void expect_exchange(int fd, const struct exchange *exchange)
{
    char line[64];

    if (!exchange->ages) {
        talk_expect_bytes(fd, exchange->reply, exchange->reply_len, exchange->command);
        return;
    }
    (void)talk_line(fd, line, sizeof line);
    cr_assert(line[0] == ':' && strtol(line + 1, NULL, 10) <= strtol(exchange->reply + 1, NULL, 10),
        "%s: %s", exchange->command, line);
}

Test(redis, answers_every_command_as_we_say, .timeout = 60)
{
    struct redis redis;
    size_t i;
    int fd;

    redis_start(&redis);
    fd = try_connect(&redis);
    cr_assert_geq(fd, 0);
    for (i = 0; i < EXCHANGE_COUNT; i++) {
        talk_put(fd, exchanges[i].command);
        talk_put(fd, "\r\n");
        expect_exchange(fd, &exchanges[i]);
    }
    talk_expect_end(fd);
    redis_stop(&redis);
}

Test(redis, complains_as_we_say, .timeout = 60)
{
    struct redis redis;
    size_t i;

    redis_start(&redis);
    for (i = 0; i < COMPLAINT_COUNT; i++) {
        int fd;

        if (complaints[i].is_ours) {
            continue;
        }
        fd = try_connect(&redis);
        cr_assert_geq(fd, 0);
        talk_put(fd, complaints[i].bytes);
        talk_expect_bytes(
            fd, complaints[i].reply, strlen(complaints[i].reply), complaints[i].bytes);
        close(fd); /* Redis may close with a reset */
    }
    redis_stop(&redis);
}
