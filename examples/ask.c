/* SPDX-License-Identifier: MIT */
/*
 * ask.c - request and reply.
 *
 * One actor adds, one does not answer.  The asker asks both: a request returns at once, and its outcome comes later,
 * exactly once, as a call of the continuation.
 */
#include <stdio.h>

#include <troupe.h>

struct sum {
    int a, b;
};
static const struct troupe_type add = TROUPE_TYPE(struct sum);
static const struct troupe_type total = TROUPE_TYPE(int);

static int adder_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct sum *sum = troupe_body(msg);
    int result;

    (void)state;
    if (!troupe_is(msg, &add)) {
        return TROUPE_EUNKNOWN;
    }
    result = sum->a + sum->b;
    return troupe_reply(self, msg, &total, &result);
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

/* Its state is the number of outcomes that are still to come. */
static int on_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    int *open = state;

    (void)self;
    if (status == TROUPE_OK) {
        printf("%s: %d\n", (const char *)context, *(const int *)troupe_body(reply));
    } else {
        printf("%s: no answer, %s\n", (const char *)context, troupe_strerror(status));
    }
    return --*open == 0 ? TROUPE_DONE : TROUPE_OK;
}

static int asker_init(struct troupe_actor *self, void *state, const void *arg)
{
    static char names[][16] = {"ask.sphinx", "ask.adder"};
    int *open = state;

    (void)arg;
    for (*open = 0; *open < 2; ++*open) {
        char *name = names[*open];

        TROUPE_TRY(troupe_request(self, troupe_whereis(self, name), &add,
            &(struct sum){.a = 2, .b = 3}, 100, on_outcome, name));
    }
    return TROUPE_OK;
}

static int asker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour asker = {
    .name = "asker", .state_size = sizeof(int), .init = asker_init, .receive = asker_receive};

/* The tree ends when the asker, who is significant, has all outcomes. */
static const struct troupe_child_spec children[] = {
    {.id = "adder", .behaviour = &adder},
    {.id = "sphinx", .behaviour = &sphinx},
    {.id = "asker", .behaviour = &asker, .restart = TROUPE_TEMPORARY, .significant = true},
};
static const struct troupe_supervisor_spec ask = {.name = "ask",
    .children = children,
    .child_count = TROUPE_COUNT(children),
    .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT};

int main(void)
{
    return troupe_run(NULL, &ask) < 0;
}
