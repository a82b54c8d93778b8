/* SPDX-License-Identifier: MIT */
/*
 * flow.c - a pipeline of five stages with a slow sink.
 *
 * The source could count to a hundred at once; the sink takes two milliseconds for each number.  Three stages in between pass them
 * on.  A number moves only when the next stage takes it, so a handful are on their way at any time, and nothing is lost.
 */
#include <stdio.h>

#include <troupe.h>

#define ITEMS 100
#define WINDOW 2

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_flow_options offer = {.type = &number};
static const struct troupe_subscribe_options options = {.window = WINDOW};
static _Atomic uint64_t made; /* by the source; so that the sink can say how far ahead it is */

/* Waits for room, again and again.  Nothing is kept back in its flow, so it may end when that has. */
static int count(struct troupe_actor *self, const void *arg)
{
    struct troupe_flow flow;

    (void)arg;
    TROUPE_TRY(troupe_flow_offer(self, &offer, &flow));
    for (uint64_t i = 1; i <= ITEMS; i++) {
        TROUPE_TRY(troupe_flow_put_within(self, flow, &i, TROUPE_FOREVER));
        made++;
    }
    return troupe_flow_end(self, flow, TROUPE_OK);
}

/* Adds a thousand to each number that comes from the actor whose pid is its argument. */
static int add(struct troupe_actor *self, const void *arg)
{
    struct troupe_flow from = {.producer = *(const troupe_pid *)arg}; /* its only flow */
    struct troupe_flow flow;
    troupe_subscription subscription;
    struct troupe_message *item;
    int status;

    TROUPE_TRY(troupe_flow_offer(self, &offer, &flow));
    TROUPE_TRY(troupe_flow_subscribe(self, from, &options, &subscription));
    while ((status = troupe_flow_next(self, subscription, TROUPE_FOREVER, &item)) == TROUPE_OK) {
        uint64_t value = *(const uint64_t *)troupe_body(item) + 1000;

        TROUPE_TRY(troupe_flow_put_within(self, flow, &value, TROUPE_FOREVER));
    }
    return troupe_flow_end(self, flow, status == TROUPE_DONE ? TROUPE_OK : status);
}

static const struct troupe_behaviour source = {.name = "source", .main = count};
static const struct troupe_behaviour stage = {.name = "stage", .main = add};

/* The sink builds the pipeline, and drinks from its end. */
static int drink(struct troupe_actor *self, const void *arg)
{
    struct troupe_flow from = {.number = 0};
    struct troupe_spawn_options spawn = {.behaviour = &source, .link = true};
    troupe_subscription subscription;
    struct troupe_message *item;
    uint64_t ahead = 0;
    uint64_t got = 0;

    (void)arg;
    for (int i = 0; i < 4; i++) {
        TROUPE_TRY(troupe_spawn(self, &spawn, &from.producer));
        spawn = (struct troupe_spawn_options){.behaviour = &stage,
            .link = true,
            .arg = &from.producer,
            .arg_size = sizeof from.producer};
    }
    TROUPE_TRY(troupe_flow_subscribe(self, from, &options, &subscription));
    while (troupe_flow_next(self, subscription, 5000, &item) == TROUPE_OK) {
        TROUPE_CHECK(self, *(const uint64_t *)troupe_body(item) == ++got + 3000);
        ahead = made - got > ahead ? made - got : ahead;
        TROUPE_TRY(troupe_sleep(self, 2));
    }
    TROUPE_CHECK(self, got == ITEMS && ahead / WINDOW <= 4);
    printf("%d numbers; the source was never more than %d ahead: 4 hops, a window of %d each\n",
        ITEMS, 4 * WINDOW, WINDOW);
    troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
}

static const struct troupe_behaviour sink = {.name = "sink", .main = drink};

/* The program is over when the sink is, who is significant. */
static const struct troupe_child_spec children[] = {
    {.id = "sink", .behaviour = &sink, .restart = TROUPE_TEMPORARY, .significant = true},
};
static const struct troupe_supervisor_spec pipeline = {.children = children,
    .child_count = TROUPE_COUNT(children),
    .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT};

int main(void)
{
    return troupe_run(NULL, &pipeline) < 0;
}
