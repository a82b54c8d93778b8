/* SPDX-License-Identifier: MIT */
/*
 * crash.c - memory faults that end one actor each, where the runtime was asked for that.
 *
 * A parser of somebody else's is not to be trusted: it reads through a null pointer when it meets a `*`, and calls itself
 * until its stack is used up when it meets a `(`.  The actor in which it does so fails, its supervisor starts it again at
 * the same address, and it goes on with the next word.
 */
#include <stdio.h>

#include <troupe.h>

static const struct troupe_type word = TROUPE_TYPE(char[16]);

/* Checks that a sanitizer would make before the fault are left out: it would stop the program. */
#define UNCHECKED __attribute__((noinline, no_sanitize("address", "thread", "undefined")))

static const int *volatile nothing;

/* A million frames of a KiB. */
static UNCHECKED int descend(int level)
{
    volatile int frame[256] = {level};

    return level > 1000000 ? frame[0] : descend(level + 1) + frame[0];
}

static UNCHECKED int parse(const char *text)
{
    switch (text[0]) {
    case '*':
        return *nothing;
    case '(':
        return descend(0);
    default:
        return (int)(unsigned char)text[0];
    }
}

/* May wait, so that each word is parsed on a stack of its own, of 60 KiB. */
static int parser_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    if (!troupe_is(msg, &word)) {
        return TROUPE_EUNKNOWN;
    }
    printf("%s: %d\n", (const char *)troupe_body(msg), parse(troupe_body(msg)));
    return ((const char *)troupe_body(msg))[0] == '.' ? TROUPE_DONE : TROUPE_OK;
}

static int parser_init(struct troupe_actor *self, void *state, const void *arg)
{
    static const char words[][16] = {"one", "*two", "(three", "four", "."};

    (void)state;
    (void)arg;
    for (unsigned i = 0; troupe_incarnation(self) == 0 && i < TROUPE_COUNT(words); i++) {
        TROUPE_TRY(troupe_send(self, troupe_self(self), &word, words[i]));
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour parser = {
    .name = "parser",
    .init = parser_init,
    .receive = parser_receive,
    .capacity = 8, /* it has all words at once */
    .may_wait = true,
};

static void on_report(void *context, const struct troupe_report *report)
{
    (void)context;
    printf("%s: %s\n", report->actor, report->text);
}

static const struct troupe_child_spec children[] = {
    {.id = "parser",
        .behaviour = &parser,
        .restart = TROUPE_TRANSIENT,
        .keep_mailbox = true,
        .significant = true},
};
static const struct troupe_supervisor_spec tree = {.children = children,
    .child_count = TROUPE_COUNT(children),
    .intensity = 10,
    .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT};

int main(void)
{
    struct troupe_runtime_options options = {.report = on_report, .faults = TROUPE_FAULTS_CONTAIN};

    return troupe_run(&options, &tree) < 0;
}
