/* SPDX-License-Identifier: MIT */
/* Stack: what is pushed is taken once, with all that was written before. */
#include "sched/stack.h"

#include <criterion/criterion.h>
#include <pthread.h>

enum {
    PUSHERS = 3,
    PUSHES = 20000,
};

struct item {
    struct trp_stack_entry entry;
    unsigned pusher;
    unsigned number;
};

struct pusher {
    pthread_t thread;
    struct trp_stack *stack;
    unsigned id;
    struct item *items;
};

static struct item *item_of(struct trp_stack_entry *entry)
{
    return trp_container_of(entry, struct item, entry);
}

static void *push_all(void *argument)
{
    struct pusher *pusher = argument;

    for (unsigned i = 0; i < PUSHES; i++) {
        pusher->items[i].pusher = pusher->id;
        pusher->items[i].number = i;
        trp_stack_push(pusher->stack, &pusher->items[i].entry);
    }
    return NULL;
}

Test(stack, is_empty_at_first)
{
    struct trp_stack stack;

    trp_stack_init(&stack);
    cr_assert(trp_stack_is_empty(&stack));
    cr_assert_null(trp_stack_take(&stack));
}

Test(stack, take_returns_all_newest_first)
{
    struct trp_stack_entry entries[3];
    struct trp_stack stack;

    trp_stack_init(&stack);
    for (unsigned i = 0; i < 3; i++) {
        trp_stack_push(&stack, &entries[i]);
        cr_assert_not(trp_stack_is_empty(&stack));
    }
    cr_assert_eq(trp_stack_take(&stack), &entries[2]);
    cr_assert_eq(entries[2].next, &entries[1]);
    cr_assert_eq(entries[1].next, &entries[0]);
    cr_assert_null(entries[0].next);
    cr_assert(trp_stack_is_empty(&stack));
    cr_assert_null(trp_stack_take(&stack));
}

Test(stack, an_entry_may_be_pushed_again_after_it_was_taken)
{
    struct trp_stack_entry entry;
    struct trp_stack stack;

    trp_stack_init(&stack);
    for (unsigned i = 0; i < 3; i++) {
        trp_stack_push(&stack, &entry);
        cr_assert_eq(trp_stack_take(&stack), &entry);
        cr_assert_null(entry.next);
    }
}

/* Counts what was taken in `seen` and poisons it, so that a second take of it fails. */
static unsigned count_taken(struct trp_stack_entry *entry, unsigned *seen)
{
    unsigned count = 0;

    while (entry != NULL) {
        struct trp_stack_entry *next = entry->next;
        struct item *item = item_of(entry);

        cr_assert_lt(item->pusher, PUSHERS);
        cr_assert_lt(item->number, PUSHES);
        seen[item->pusher * PUSHES + item->number]++;
        item->pusher = PUSHERS;
        item->number = PUSHES;
        count++;
        entry = next;
    }
    return count;
}

Test(stack, each_entry_of_many_threads_is_taken_once_and_whole, .timeout = 60)
{
    struct pusher pushers[PUSHERS];
    unsigned *seen = calloc(PUSHERS * PUSHES, sizeof(*seen));
    unsigned count = 0;
    struct trp_stack stack;

    trp_stack_init(&stack);
    for (unsigned i = 0; i < PUSHERS; i++) {
        pushers[i].stack = &stack;
        pushers[i].id = i;
        pushers[i].items = calloc(PUSHES, sizeof(struct item));
        cr_assert_eq(pthread_create(&pushers[i].thread, NULL, push_all, &pushers[i]), 0);
    }
    while (count < PUSHERS * PUSHES) {
        count += count_taken(trp_stack_take(&stack), seen);
    }
    for (unsigned i = 0; i < PUSHERS; i++) {
        pthread_join(pushers[i].thread, NULL);
        free(pushers[i].items);
    }
    cr_assert(trp_stack_is_empty(&stack));
    for (unsigned i = 0; i < PUSHERS * PUSHES; i++) {
        cr_assert_eq(seen[i], 1);
    }
    free(seen);
}
