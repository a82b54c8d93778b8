/* SPDX-License-Identifier: MIT */
/*
 * reference.c - an actor that ends when nobody needs it any more.
 *
 * Readers share a book.  The librarian keeps a weak reference to it, which keeps nothing open, and gives each reader a strong
 * one.  When the last reader has given its own back the book closes by itself, with its last page read, for good.
 */
#include <stdio.h>

#include <troupe.h>

static const struct troupe_type page = TROUPE_TYPE(int);

static int book_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    if (!troupe_is(msg, &page)) {
        return TROUPE_EUNKNOWN;
    }
    printf("page %d is read\n", *(const int *)troupe_body(msg));
    return TROUPE_OK;
}

static void book_close(struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    (void)self;
    (void)state;
    printf("the book closes: %s\n", troupe_exit_name(reason->kind));
}

static const struct troupe_behaviour book = {
    .name = "book", .receive = book_receive, .terminate = book_close};

/* A reader owns its reference: however it ends, that is given back, behind what it has read. */
static void give_back(void *reference)
{
    troupe_reference_release(reference);
}

static int reader_main(struct troupe_actor *self, const void *arg)
{
    struct troupe_reference *mine = (struct troupe_reference *)(uintptr_t)arg;
    int number = 7;

    if (troupe_defer(self, give_back, mine) < 0) {
        give_back(mine);
        return TROUPE_ENOMEM;
    }
    return troupe_send(self, troupe_reference_pid(mine), &page, &number);
}

static const struct troupe_behaviour reader = {.name = "reader", .main = reader_main};

static int lend(struct troupe_actor *self, struct troupe_weak_reference *weak)
{
    struct troupe_spawn_options options = {.behaviour = &reader};
    struct troupe_reference *reference;
    troupe_pid pid;

    TROUPE_TRY(troupe_weak_upgrade(weak, &reference));
    options.arg = reference;
    if (troupe_spawn(self, &options, &pid) < 0) {
        give_back(reference);
        return TROUPE_ENOMEM;
    }
    return TROUPE_OK;
}

static int librarian_main(struct troupe_actor *self, const void *arg)
{
    struct troupe_reference *first = NULL;
    struct troupe_spawn_options options = {.behaviour = &book, .reference = &first};
    struct troupe_weak_reference *weak;
    troupe_pid pid;

    (void)arg;
    TROUPE_TRY(troupe_spawn(self, &options, &pid));
    weak = troupe_reference_downgrade(first);
    TROUPE_CHECK(self, lend(self, weak) == TROUPE_OK && lend(self, weak) == TROUPE_OK);
    troupe_reference_release(first);
    TROUPE_CHECK(self, troupe_join_wait(self, pid, TROUPE_FOREVER, NULL) == TROUPE_OK);
    printf("one more reader: %s\n", lend(self, weak) == TROUPE_EGONE ? "too late" : "welcome");
    troupe_weak_release(weak);
    return TROUPE_OK;
}

static const struct troupe_behaviour librarian = {.name = "librarian", .main = librarian_main};

static const struct troupe_child_spec children[] = {
    {.id = "librarian", .behaviour = &librarian, .restart = TROUPE_TEMPORARY, .significant = true}};
static const struct troupe_supervisor_spec library = {.children = children,
    .child_count = TROUPE_COUNT(children),
    .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT};

int main(void)
{
    return troupe_run(NULL, &library) < 0;
}
