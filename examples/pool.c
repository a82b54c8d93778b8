/* SPDX-License-Identifier: MIT */
/*
 * pool.c - a supervised pool of workers, one of which dies, and which is drained in the end.
 *
 * The client asks the pool's group: each question goes to whoever has the least to do.  The thirteenth kills its worker;
 * its asker is told, and nobody else notices.  Then the pool is drained: it answers when all that was asked has been.
 */
#include <stdio.h>

#include <troupe.h>

static const struct troupe_type number = TROUPE_TYPE(int);

/* ---- a worker ---- */

static int worker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int n = *(const int *)troupe_body(msg);
    int square = n * n;

    (void)state;
    TROUPE_CHECK(self, n != 13); /* ends the actor */
    return troupe_reply(self, msg, &number, &square);
}

/* All questions are put at once, and those who put them do not wait for room. */
static const struct troupe_behaviour worker = {
    .name = "worker", .receive = worker_receive, .capacity = 32};

/* ---- the client ---- */

static int on_square(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    int *sum = state;

    (void)self;
    (void)context;
    if (status == TROUPE_OK) {
        *sum += *(const int *)troupe_body(reply);
    } else {
        printf("one question has no answer: %s\n", troupe_strerror(status));
    }
    return TROUPE_OK;
}

static int on_drained(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    const struct troupe_pool_answer *pool = reply != NULL ? troupe_body(reply) : NULL;

    (void)context;
    TROUPE_CHECK(self, status == TROUPE_OK && pool != NULL && pool->status == TROUPE_OK);
    printf("the others add up to %d; %llu questions were handled, %u workers are left\n",
        *(const int *)state, (unsigned long long)pool->handled, pool->members);
    return TROUPE_DONE;
}

static int client_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    for (int n = 1; n <= 20; n++) {
        TROUPE_TRY(troupe_group_request(
            self, "shop.workers", TROUPE_LEAST_LOADED, 0, &number, &n, 1000, on_square, NULL));
    }
    return troupe_pool_resize(self, troupe_whereis(self, "shop.workers"), 0, TROUPE_FOREVER,
        TROUPE_FOREVER, on_drained, NULL);
}

static int client_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour client = {
    .name = "client", .state_size = sizeof(int), .init = client_init, .receive = client_receive};

/* ---- the tree: what a worker that dies had in its mailbox, its next life finds there ---- */

static const struct troupe_child_spec template = {
    .id = "worker", .behaviour = &worker, .keep_mailbox = true};
static const struct troupe_supervisor_spec workers = {
    .strategy = TROUPE_POOL, .pool_size = 3, .children = &template, .child_count = 1};
static const struct troupe_child_spec children[] = {
    {.id = "workers", .tree = &workers},
    {.id = "client", .behaviour = &client, .restart = TROUPE_TEMPORARY, .significant = true},
};
static const struct troupe_supervisor_spec shop = {.name = "shop",
    .children = children,
    .child_count = TROUPE_COUNT(children),
    .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT};

int main(void)
{
    return troupe_run(NULL, &shop) < 0;
}
