/* SPDX-License-Identifier: MIT */
/* Registry: a name has one live owner, and is free before anybody is told of that one's end. */
#include <troupe.h>

#include <criterion/criterion.h>

#include "test/support/puppet.h"

struct naming {
    const char *name;
    int result;
    troupe_pid found;
};

static int do_register(struct troupe_actor *self, void *arg)
{
    struct naming *naming = arg;

    naming->result = troupe_register(self, naming->name);
    return TROUPE_OK;
}

static int do_unregister(struct troupe_actor *self, void *arg)
{
    struct naming *naming = arg;

    naming->result = troupe_unregister(self, naming->name);
    return TROUPE_OK;
}

static int do_whereis(struct troupe_actor *self, void *arg)
{
    struct naming *naming = arg;

    naming->found = troupe_whereis(self, naming->name);
    return TROUPE_OK;
}

static int end_normally(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

Test(registry, a_name_leads_to_its_owner_until_it_is_taken_back, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid other = puppet_spawn(runtime, &puppet_plain, NULL);
    struct naming naming = {.name = "account"};

    cr_assert_eq(troupe_runtime_whereis(runtime, "account"), TROUPE_NOBODY);
    puppet_do(runtime, one, do_register, &naming);
    cr_assert_eq(naming.result, TROUPE_OK);
    puppet_do(runtime, other, do_whereis, &naming);
    cr_assert_eq(naming.found, one);
    cr_assert_eq(troupe_runtime_whereis(runtime, "account"), one);
    puppet_do(runtime, other, do_unregister, &naming);
    cr_assert_eq(naming.result, TROUPE_ENOENT);
    puppet_do(runtime, one, do_unregister, &naming);
    cr_assert_eq(naming.result, TROUPE_OK);
    cr_assert_eq(troupe_runtime_whereis(runtime, "account"), TROUPE_NOBODY);
    cr_assert(runtime_ends_clean(runtime));
}

Test(registry, a_name_has_one_owner_who_may_ask_twice, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid other = puppet_spawn(runtime, &puppet_plain, NULL);
    struct naming naming = {.name = "account"};

    puppet_do(runtime, one, do_register, &naming);
    puppet_do(runtime, one, do_register, &naming);
    cr_assert_eq(naming.result, TROUPE_OK);
    puppet_do(runtime, other, do_register, &naming);
    cr_assert_eq(naming.result, TROUPE_EEXIST);
    cr_assert(runtime_ends_clean(runtime));
}

Test(registry, empty_and_overlong_names_are_refused, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    char longest[TROUPE_NAME_MAX + 2];
    struct naming naming = {.name = ""};

    puppet_do(runtime, one, do_register, &naming);
    cr_assert_eq(naming.result, TROUPE_EINVAL);
    naming.name = NULL;
    puppet_do(runtime, one, do_register, &naming);
    cr_assert_eq(naming.result, TROUPE_EINVAL);
    memset(longest, 'x', sizeof longest);
    longest[TROUPE_NAME_MAX + 1] = '\0';
    naming.name = longest;
    puppet_do(runtime, one, do_register, &naming);
    cr_assert_eq(naming.result, TROUPE_EINVAL);
    longest[TROUPE_NAME_MAX] = '\0';
    puppet_do(runtime, one, do_register, &naming);
    cr_assert_eq(naming.result, TROUPE_OK);
    cr_assert_eq(troupe_runtime_whereis(runtime, longest), one);
    cr_assert_eq(troupe_runtime_whereis(runtime, NULL), TROUPE_NOBODY);
    cr_assert_eq(troupe_runtime_whereis(NULL, "x"), TROUPE_NOBODY);
    cr_assert_eq(troupe_register(NULL, "x"), TROUPE_EINVAL);
    cr_assert(runtime_ends_clean(runtime));
}

Test(registry, the_limit_of_names_holds_and_room_comes_back, .timeout = 60)
{
    struct troupe_runtime_options options = {.workers = 2, .limits.names = 2};
    struct troupe_runtime *runtime;
    static const char *const names[] = {"a", "b", "c"};
    struct naming naming = {0};
    troupe_pid one;

    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(runtime), TROUPE_OK);
    one = puppet_spawn(runtime, &puppet_plain, NULL);
    for (unsigned i = 0; i < TROUPE_COUNT(names); i++) {
        naming.name = names[i];
        puppet_do(runtime, one, do_register, &naming);
        cr_assert_eq(naming.result, i < 2 ? TROUPE_OK : TROUPE_ELIMIT);
    }
    naming.name = "a";
    puppet_do(runtime, one, do_unregister, &naming);
    naming.name = "c";
    puppet_do(runtime, one, do_register, &naming);
    cr_assert_eq(naming.result, TROUPE_OK);
    cr_assert(runtime_ends_clean(runtime));
}

static int send_by_name(struct troupe_actor *self, void *arg)
{
    struct naming *naming = arg;
    uint64_t number = 1;

    naming->result = troupe_send_name(self, naming->name, &puppet_number, &number);
    return TROUPE_OK;
}

Test(registry, a_message_goes_to_a_name, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, &notes);
    troupe_pid other = puppet_spawn(runtime, &puppet_plain, NULL);
    struct naming naming = {.name = "account"};

    puppet_do(runtime, other, send_by_name, &naming);
    cr_assert_eq(naming.result, TROUPE_ENOENT);
    puppet_do(runtime, one, do_register, &naming);
    puppet_do(runtime, other, send_by_name, &naming);
    cr_assert_eq(naming.result, TROUPE_OK);
    cr_assert(latch_wait(&notes.latch, 1));
    cr_assert_eq(notes.numbers, 1);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- a name and the end of its owner ---- */

struct heir {
    struct latch done;
    unsigned left;
    unsigned taken; /* the name was not free when the notice came */
};

static int spawn_bearer(struct troupe_actor *self, struct heir *heir);

static int heir_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct heir *heir = *(struct heir **)state;

    if (!troupe_is(msg, &troupe_down)) {
        return TROUPE_OK;
    }
    return spawn_bearer(self, heir);
}

static int bearer_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    return TROUPE_DONE;
}

static const struct troupe_behaviour bearer = {
    .name = "bearer", .init = bearer_init, .receive = puppet_receive, .state_size = 8};

/* Has the next one born that carries the name, and dies at once. */
static int spawn_bearer(struct troupe_actor *self, struct heir *heir)
{
    troupe_ref ref;
    troupe_pid pid;
    struct troupe_spawn_options options = {.behaviour = &bearer, .name = "crown", .monitor = &ref};
    int error;

    if (heir->left == 0) {
        latch_hit(&heir->done);
        return TROUPE_DONE;
    }
    heir->left--;
    error = troupe_spawn(self, &options, &pid);
    if (error == TROUPE_EEXIST) {
        heir->taken++;
        latch_hit(&heir->done);
        return TROUPE_DONE;
    }
    return error;
}

static int heir_init(struct troupe_actor *self, void *state, const void *arg)
{
    *(const void **)state = arg;
    return spawn_bearer(self, *(struct heir **)state);
}

static const struct troupe_behaviour heir_behaviour = {
    .name = "heir", .init = heir_init, .receive = heir_receive, .state_size = sizeof(void *)};

Test(registry, a_name_is_free_before_the_down_notice_comes, .timeout = 120)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct heir heir = {.done = LATCH_INIT, .left = 20000};
    struct troupe_spawn_options options = {.behaviour = &heir_behaviour, .arg = &heir};
    troupe_pid pid;

    cr_assert_eq(troupe_runtime_spawn(runtime, &options, &pid), TROUPE_OK);
    cr_assert(latch_wait(&heir.done, 1));
    cr_assert_eq(heir.taken, 0);
    cr_assert_eq(heir.left, 0);
    cr_assert(runtime_ends_clean(runtime));
}

struct crowd {
    struct latch done;
    _Atomic unsigned winners;
};

static int fight(struct troupe_actor *self, void *arg)
{
    struct crowd *crowd = arg;

    if (troupe_register(self, "prize") == TROUPE_OK) {
        crowd->winners++;
    }
    return TROUPE_OK;
}

Test(registry, of_many_who_want_a_name_one_gets_it, .timeout = 120)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned round = 0; round < 100; round++) {
        struct crowd crowd = {.done = LATCH_INIT};
        troupe_pid pids[32];
        static struct puppet_notes notes[32];

        for (unsigned i = 0; i < TROUPE_COUNT(pids); i++) {
            notes[i] = (struct puppet_notes)PUPPET_NOTES_INIT;
            pids[i] = puppet_spawn(runtime, &puppet_plain, NULL);
            puppet_watch(runtime, pids[i], &notes[i]);
            puppet_tell(runtime, pids[i], fight, &crowd, &crowd.done);
        }
        cr_assert(latch_wait(&crowd.done, TROUPE_COUNT(pids)));
        cr_assert_eq(crowd.winners, 1);
        for (unsigned i = 0; i < TROUPE_COUNT(pids); i++) {
            puppet_tell(runtime, pids[i], end_normally, NULL, NULL);
        }
        for (unsigned i = 0; i < TROUPE_COUNT(pids); i++) {
            cr_assert_eq(puppet_down_kind(&notes[i]), TROUPE_EXIT_NORMAL);
        }
        cr_assert_eq(troupe_runtime_whereis(runtime, "prize"), TROUPE_NOBODY);
    }
    cr_assert(runtime_ends_clean(runtime));
}

static int register_many(struct troupe_actor *self, void *arg)
{
    char name[32];

    (void)arg;
    for (unsigned i = 0; i < 50000; i++) {
        snprintf(name, sizeof name, "name %u", i);
        cr_assert_eq(troupe_register(self, name), TROUPE_OK);
    }
    return TROUPE_OK;
}

Test(registry, fifty_thousand_names_are_found_and_released, .timeout = 120)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    char name[32];

    puppet_do(runtime, one, register_many, NULL);
    puppet_watch(runtime, one, &notes);
    for (unsigned i = 0; i < 50000; i += 7) {
        snprintf(name, sizeof name, "name %u", i);
        cr_assert_eq(troupe_runtime_whereis(runtime, name), one);
    }
    puppet_tell(runtime, one, end_normally, NULL, NULL);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_NORMAL);
    for (unsigned i = 0; i < 50000; i += 7) {
        snprintf(name, sizeof name, "name %u", i);
        cr_assert_eq(troupe_runtime_whereis(runtime, name), TROUPE_NOBODY);
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* A runtime that never ran is destroyed with the names that are left. */
Test(registry, names_of_a_runtime_that_never_started_go_with_it, .timeout = 60)
{
    struct troupe_runtime *runtime;
    struct troupe_spawn_options options = {.behaviour = &puppet_plain, .name = "early"};
    troupe_pid pid;

    cr_assert_eq(
        troupe_runtime_create(&(struct troupe_runtime_options){.workers = 2}, &runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_spawn(runtime, &options, &pid), TROUPE_OK);
    cr_assert_eq(troupe_runtime_whereis(runtime, "early"), pid);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}
