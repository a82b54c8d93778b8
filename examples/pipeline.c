/* SPDX-License-Identifier: MIT */
/*
 * pipeline.c - actors that are functions: a source, two stages, a sink.
 *
 * Each is a plain loop that waits for the next line, and holds no thread while it does.  The sink confirms each line, and the
 * source calls it for the total when it is through: straight-line code, no state machine.
 */
#include <ctype.h>
#include <stdio.h>

#include <troupe.h>

#define LINES 5

struct line {
    char text[24];
};
static const struct troupe_type line = TROUPE_TYPE(struct line);
static const struct troupe_type get_total = TROUPE_SIGNAL;
static const struct troupe_type total = TROUPE_TYPE(unsigned);

/* Writes every line in capitals, and passes it on to the actor whose pid is its argument. */
static int shout(struct troupe_actor *self, const void *arg)
{
    for (;;) {
        struct troupe_message *msg;
        struct line *body;

        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        body = troupe_body(msg);
        for (char *at = body->text; *at != '\0'; at++) {
            *at = (char)toupper((unsigned char)*at);
        }
        TROUPE_TRY(troupe_send(self, *(const troupe_pid *)arg, &line, body));
    }
}

/* Prints what arrives; counts, until somebody asks for the total. */
static int print(struct troupe_actor *self, const void *arg)
{
    unsigned count = 0;

    (void)arg;
    for (;;) {
        struct troupe_message *msg;

        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        if (troupe_is(msg, &get_total)) {
            return troupe_reply(self, msg, &total, &count);
        }
        count++;
        printf("%s\n", ((const struct line *)troupe_body(msg))->text);
    }
}

static const struct troupe_behaviour shouter = {.name = "shouter", .main = shout};
static const struct troupe_behaviour printer = {.name = "printer", .main = print};

/* Builds the pipeline from its end, feeds it, and ends the program. */
static int feed(struct troupe_actor *self, const void *arg)
{
    troupe_pid sink;
    troupe_pid stage;
    unsigned count = 0;

    (void)arg;
    TROUPE_TRY(troupe_spawn(
        self, (&(struct troupe_spawn_options){.behaviour = &printer, .link = true}), &sink));
    TROUPE_TRY(troupe_spawn(self,
        (&(struct troupe_spawn_options){
            .behaviour = &shouter, .arg = &sink, .arg_size = sizeof sink, .link = true}),
        &stage));
    for (int i = 1; i <= LINES; i++) {
        struct line next;

        snprintf(next.text, sizeof next.text, "line %d of %d", i, LINES);
        TROUPE_TRY(troupe_send(self, stage, &line, &next));
        TROUPE_TRY(troupe_sleep(self, 10)); /* others run meanwhile */
    }
    TROUPE_TRY(troupe_call(self, sink, &get_total, NULL, &total, &count, 1000));
    printf("%u lines\n", count);
    troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
}

static const struct troupe_behaviour feeder = {.name = "feeder", .main = feed};

/* The program is over when the feeder is, who is significant. */
static const struct troupe_child_spec children[] = {
    {.id = "feeder", .behaviour = &feeder, .restart = TROUPE_TEMPORARY, .significant = true},
};
static const struct troupe_supervisor_spec pipeline = {.children = children,
    .child_count = TROUPE_COUNT(children),
    .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT};

int main(void)
{
    return troupe_run(NULL, &pipeline) < 0;
}
