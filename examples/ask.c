/* SPDX-License-Identifier: MIT */
/*
 * ask.c - request and reply, in a program that has its own main.
 *
 * One actor adds, one does not answer.  The asker asks both: a request returns at once, and its outcome comes later,
 * exactly once, as a call of the continuation.
 */
#include <stdio.h>

#include <troupe.h>

struct sum {
    int a;
    int b;
};
static const struct troupe_type add = TROUPE_TYPE(struct sum);
static const struct troupe_type total = TROUPE_TYPE(int);

/* ---- who is asked ---- */

static int adder_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    if (troupe_is(msg, &add)) {
        const struct sum *sum = troupe_body(msg);
        int result = sum->a + sum->b;

        return troupe_reply(self, msg, &total, &result);
    }
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour adder = {.name = "adder", .receive = adder_receive};

/* Keeps the requests, and never answers. */
static int sphinx_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct troupe_message *kept;

    (void)state;
    return troupe_take(self, msg, &kept);
}

static const struct troupe_behaviour sphinx = {.name = "sphinx", .receive = sphinx_receive};

/* ---- who asks ---- */

struct asker {
    troupe_pid adder;
    troupe_pid sphinx;
    int open; /* outcomes still to come */
};

static int on_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asker *asker = state;

    (void)self;
    if (status == TROUPE_OK) {
        printf("%s: %d\n", (const char *)context, *(const int *)troupe_body(reply));
    } else {
        printf("%s: no answer, %s\n", (const char *)context, troupe_strerror(status));
    }
    asker->open--;
    return asker->open == 0 ? TROUPE_DONE : TROUPE_OK;
}

static int asker_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct asker *asker = state;
    struct sum sum = {.a = 2, .b = 3};

    *asker = *(const struct asker *)arg;
    asker->open = 2;
    TROUPE_TRY(troupe_request(self, asker->sphinx, &add, &sum, 100, on_outcome, "sphinx"));
    return troupe_request(self, asker->adder, &add, &sum, 100, on_outcome, "adder");
}

static int asker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour asker_behaviour = {
    .name = "asker",
    .state_size = sizeof(struct asker),
    .init = asker_init,
    .receive = asker_receive,
};

/* ---- the program ---- */

static int run(struct troupe_runtime *runtime)
{
    struct asker asker = {0};
    struct troupe_spawn_options options = {.behaviour = &adder};
    struct troupe_reason reason;
    troupe_pid pid;
    bool is_clean;

    TROUPE_TRY(troupe_runtime_spawn(runtime, &options, &asker.adder));
    options.behaviour = &sphinx;
    TROUPE_TRY(troupe_runtime_spawn(runtime, &options, &asker.sphinx));
    options = (struct troupe_spawn_options){
        .behaviour = &asker_behaviour, .arg = &asker, .arg_size = sizeof asker};
    TROUPE_TRY(troupe_runtime_spawn(runtime, &options, &pid));
    TROUPE_TRY(troupe_runtime_start(runtime));
    TROUPE_TRY(troupe_join(runtime, pid, TROUPE_FOREVER, &reason));
    is_clean = troupe_reason_is_clean(&reason);
    troupe_buffer_release(reason.text);
    return is_clean || reason.kind == TROUPE_EXIT_NOPROC ? TROUPE_OK : TROUPE_EDIED;
}

int main(void)
{
    struct troupe_runtime *runtime;
    int error = troupe_runtime_create(&(struct troupe_runtime_options){0}, &runtime);

    if (error == TROUPE_OK) {
        int stopped;

        error = run(runtime);
        stopped = troupe_runtime_stop(runtime, 5000);
        error = error < 0 ? error : stopped;
        stopped = troupe_runtime_destroy(runtime);
        error = error < 0 ? error : stopped;
    }
    if (error < 0) {
        fprintf(stderr, "ask: %s\n", troupe_strerror(error));
        return 1;
    }
    return 0;
}
