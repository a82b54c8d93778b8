/* SPDX-License-Identifier: MIT */
/* Base: error texts, the version, a broken promise ends the program with a word about it, and the list. */
#include "sched/base.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/support/random.h"

/* ---- errors and version ---- */

static const int errors[] = {
#define CODE(name, value, text) name,
    TROUPE_ERROR_TABLE(CODE)
#undef CODE
};

Test(base, every_error_has_a_text_of_its_own)
{
    for (unsigned i = 0; i < TROUPE_COUNT(errors); i++) {
        const char *text = troupe_strerror(errors[i]);

        cr_assert_str_not_empty(text);
        cr_assert_str_neq(text, "unknown error", "%d", errors[i]);
        cr_assert_neq(text[strlen(text) - 1], '.', "a sentence without a final stop");
        for (unsigned j = 0; j < i; j++) {
            cr_assert_str_neq(text, troupe_strerror(errors[j]));
        }
    }
}

Test(base, errors_are_negative_numbers_without_a_gap)
{
    for (unsigned i = 0; i < TROUPE_COUNT(errors); i++) {
        cr_assert_eq(errors[i], -(int)i - 1, "the values are part of the ABI");
    }
    cr_assert_eq(TROUPE_OK, 0);
}

Test(base, what_is_no_error_has_a_text_too)
{
    cr_assert_str_eq(troupe_strerror(TROUPE_OK), "success");
    cr_assert_str_eq(troupe_strerror(1), "unknown error");
    cr_assert_str_eq(troupe_strerror(-(int)TROUPE_COUNT(errors) - 1), "unknown error");
    cr_assert_str_eq(troupe_strerror(INT_MIN), "unknown error");
    cr_assert_str_eq(troupe_strerror(INT_MAX), "unknown error");
}

Test(base, the_version_is_that_of_the_header)
{
    char text[32];

    snprintf(text, sizeof text, "%d.%d.%d", TROUPE_VERSION_MAJOR, TROUPE_VERSION_MINOR,
        TROUPE_VERSION_PATCH);
    cr_assert_str_eq(troupe_version(), text);
}

static int try_all(const int *results, unsigned *done)
{
    for (; *done < 3; ++*done) {
        TROUPE_TRY(results[*done]);
    }
    return 7;
}

Test(base, try_returns_at_the_first_error_and_only_then)
{
    unsigned done = 0;

    cr_assert_eq(try_all((const int[]){0, 5, TROUPE_OK}, &done), 7);
    done = 0;
    cr_assert_eq(try_all((const int[]){0, TROUPE_EGONE, TROUPE_EFULL}, &done), TROUPE_EGONE);
    cr_assert_eq(done, 1);
}

/* ---- options ---- */

struct options {
    uint32_t first;
    uint32_t second;
};

Test(base, options_of_one_who_knows_fewer_fields_are_zero_in_the_rest)
{
    const struct options given = {1, 2};
    struct options own = {8, 9};

    cr_assert_eq(trp_options_read(&own, sizeof own, &given, sizeof given.first), TROUPE_OK);
    cr_assert_eq(own.first, 1);
    cr_assert_eq(own.second, 0);
    cr_assert_eq(trp_options_read(&own, sizeof own, &given, sizeof given), TROUPE_OK);
    cr_assert_eq(own.second, 2);
}

Test(base, options_of_one_who_knows_more_fields_are_read_if_those_are_zero)
{
    struct options given = {1, 0};
    uint32_t own[2] = {8, 9}; /* ours is the first one alone */

    cr_assert_eq(trp_options_read(own, sizeof own[0], &given, sizeof given), TROUPE_OK);
    cr_assert_eq(own[0], 1);
    cr_assert_eq(own[1], 9, "what is behind it is not ours to write");
    own[0] = 8;
    for (unsigned i = 0; i < 32; i++) {
        given.second = (uint32_t)1 << i;
        cr_assert_eq(trp_options_read(own, sizeof own[0], &given, sizeof given), TROUPE_EINVAL);
        cr_assert_eq(own[0], 8, "untouched");
    }
}

Test(base, no_options_and_options_without_a_size_are_refused)
{
    struct options given = {1, 2};
    struct options own = {8, 9};

    cr_assert_eq(trp_options_read(&own, sizeof own, NULL, sizeof given), TROUPE_EINVAL);
    cr_assert_eq(trp_options_read(&own, sizeof own, &given, 0), TROUPE_EINVAL);
    cr_assert_eq(own.first, 8);
    cr_assert_eq(own.second, 9);
}

/* ---- asserts ---- */

Test(base, a_broken_promise_aborts, .signal = SIGABRT)
{
    trp_assert(1 + 1 == 3);
}

Test(base, a_promise_that_is_kept_is_looked_at_once)
{
    unsigned looks = 0;

    trp_assert(++looks == 1);
    cr_assert_eq(looks, 1);
}

/* Fails in a child, and returns how long what that had to say was. */
static size_t last_words(const char *condition, char *text, size_t size)
{
    ssize_t length = 0;
    ssize_t more;
    int ends[2];
    int status;
    pid_t child;

    cr_assert_eq(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        trp_assert_failed("sched/some.c", 42, condition);
    }
    close(ends[1]);
    while ((more = read(ends[0], text + length, size - 1 - (size_t)length)) > 0) {
        length += more;
    }
    text[length] = '\0';
    close(ends[0]);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return (size_t)length;
}

Test(base, a_broken_promise_says_where_and_what)
{
    char text[2048];

    (void)last_words("a == b", text, sizeof text);
    cr_assert_str_eq(text, "troupe: sched/some.c:42: broken: a == b\n");
}

Test(base, a_long_promise_is_cut_and_not_overrun)
{
    char condition[1000];
    char text[2048];
    size_t length;

    memset(condition, 'x', sizeof condition - 1);
    condition[sizeof condition - 1] = '\0';
    length = last_words(condition, text, sizeof text);
    cr_assert_lt(length, 512);
    cr_assert_geq(length, 500);
    cr_assert_eq(strlen(text), length, "text, without a NUL");
}

/* ---- container_of and the list ---- */

struct item {
    char before;
    struct trp_list entry;
    char after;
};

static struct item *item_of(struct trp_list *entry)
{
    return trp_container_of(entry, struct item, entry);
}

Test(base, container_of_finds_the_whole)
{
    struct item item;

    cr_assert_eq(item_of(&item.entry), &item);
}

Test(base, a_list_is_first_in_first_out)
{
    struct item items[5];
    struct trp_list list;

    trp_list_init(&list);
    cr_assert(trp_list_is_empty(&list));
    cr_assert_null(trp_list_pop(&list));
    for (unsigned i = 0; i < 5; i++) {
        trp_list_push(&list, &items[i].entry);
        cr_assert_not(trp_list_is_empty(&list));
    }
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(trp_list_pop(&list), &items[i].entry);
        cr_assert(trp_list_is_empty(&items[i].entry), "it is in no list now");
    }
    cr_assert_null(trp_list_pop(&list));
}

Test(base, push_puts_an_entry_before_the_one_it_is_given)
{
    struct item items[3];
    struct trp_list list;

    trp_list_init(&list);
    trp_list_push(&list, &items[2].entry);
    trp_list_push(&items[2].entry, &items[1].entry);
    trp_list_push(list.next, &items[0].entry);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(trp_list_pop(&list), &items[i].entry);
    }
}

Test(base, remove_takes_out_from_anywhere_and_twice_does_nothing)
{
    for (unsigned out = 0; out < 3; out++) {
        struct item items[3];
        struct trp_list list;

        trp_list_init(&list);
        for (unsigned i = 0; i < 3; i++) {
            trp_list_push(&list, &items[i].entry);
        }
        trp_list_remove(&items[out].entry);
        trp_list_remove(&items[out].entry);
        for (unsigned i = 0; i < 3; i++) {
            if (i != out) {
                cr_assert_eq(trp_list_pop(&list), &items[i].entry);
            }
        }
        cr_assert(trp_list_is_empty(&list));
    }
}

Test(base, move_takes_all_and_leaves_nothing)
{
    struct item items[3];
    struct trp_list from;
    struct trp_list to;

    trp_list_init(&from);
    trp_list_move(&to, &from);
    cr_assert(trp_list_is_empty(&to));
    for (unsigned i = 0; i < 3; i++) {
        trp_list_push(&from, &items[i].entry);
    }
    trp_list_move(&to, &from);
    cr_assert(trp_list_is_empty(&from));
    cr_assert_null(trp_list_pop(&from));
    cr_assert_eq(trp_list_pop(&to), &items[0].entry);
    trp_list_push(&from, &items[0].entry);
    for (unsigned i = 1; i < 3; i++) {
        cr_assert_eq(trp_list_pop(&to), &items[i].entry);
    }
    cr_assert(trp_list_is_empty(&to));
}

/* ---- the list against an array ---- */

enum {
    ITEMS = 20,
};

struct model {
    struct trp_list list;
    struct item items[ITEMS];
    unsigned order[ITEMS]; /* numbers of those in the list */
    unsigned count;
};

static void check_list(const struct model *m)
{
    const struct trp_list *at = &m->list;

    for (unsigned i = 0; i < m->count; i++) {
        cr_assert_eq(at->next, &m->items[m->order[i]].entry);
        cr_assert_eq(at->next->prev, at);
        at = at->next;
    }
    cr_assert_eq(at->next, &m->list);
    cr_assert_eq(m->list.prev, at);
}

static void model_remove(struct model *m, unsigned number)
{
    for (unsigned i = 0; i < m->count; i++) {
        if (m->order[i] == number) {
            m->count--;
            memmove(&m->order[i], &m->order[i + 1], (m->count - i) * sizeof m->order[0]);
            return;
        }
    }
}

Test(base, a_list_is_what_an_array_says)
{
    struct test_random random = test_random_of(test_seed("list"));
    static struct model m;

    trp_list_init(&m.list);
    for (unsigned i = 0; i < ITEMS; i++) {
        trp_list_init(&m.items[i].entry);
    }
    for (unsigned step = 0; step < 20000; step++) {
        unsigned number = (unsigned)test_below(&random, ITEMS);
        struct trp_list *entry = &m.items[number].entry;

        if (trp_list_is_empty(entry) && test_below(&random, 2) == 0) {
            trp_list_push(&m.list, entry);
            m.order[m.count++] = number;
        } else if (test_below(&random, 2) == 0) {
            trp_list_remove(entry);
            model_remove(&m, number);
        } else {
            struct trp_list *first = trp_list_pop(&m.list);

            cr_assert_eq(first, m.count > 0 ? &m.items[m.order[0]].entry : NULL);
            if (first != NULL) {
                model_remove(&m, m.order[0]);
            }
        }
        check_list(&m);
    }
}
