/* SPDX-License-Identifier: MIT */
/* Registry: a name has one live owner, and is free before anybody is told of that one's end. */
#include <troupe.h>

#include <criterion/criterion.h>

#include "test/support/puppet.h"
#include "test/support/random.h"

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

/* ---- spawned with a name ---- */

static uint64_t spawned(struct troupe_runtime *runtime)
{
    struct troupe_books books;

    cr_assert_eq(troupe_runtime_books(runtime, &books), TROUPE_OK);
    return books.spawned;
}

/* 3.9: the loser of a race gets the pid of who has the name. */
Test(registry, who_spawns_with_a_taken_name_is_told_whose_it_is_and_makes_no_actor, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid holder = TROUPE_NOBODY;
    troupe_pid loser = 7;
    troupe_pid winner;
    struct troupe_spawn_options options = {
        .behaviour = &puppet_plain, .name = "crown", .holder = &holder};
    uint64_t before;

    cr_assert_eq(troupe_runtime_spawn(runtime, &options, &winner), TROUPE_OK);
    cr_assert_eq(holder, TROUPE_NOBODY, "untouched");
    before = spawned(runtime);
    cr_assert_eq(troupe_runtime_spawn(runtime, &options, &loser), TROUPE_EEXIST);
    cr_assert_eq(holder, winner);
    cr_assert_eq(loser, 7, "untouched");
    cr_assert_eq(spawned(runtime), before);
    options.holder = NULL;
    cr_assert_eq(troupe_runtime_spawn(runtime, &options, &loser), TROUPE_EEXIST);
    cr_assert(runtime_ends_clean(runtime));
}

Test(registry, a_spawn_that_fails_leaves_its_name_free, .timeout = 60)
{
    struct troupe_runtime_options limits = {.workers = 2, .limits.actors = 1};
    struct troupe_spawn_options options = {.behaviour = &puppet_plain, .name = "crown"};
    struct troupe_name row;
    struct troupe_runtime *runtime;
    troupe_pid pid;

    cr_assert_eq(troupe_runtime_create(&limits, &runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(runtime), TROUPE_OK);
    (void)puppet_spawn(runtime, &puppet_plain, NULL);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(troupe_runtime_spawn(runtime, &options, &pid), TROUPE_ELIMIT);
        cr_assert_eq(troupe_runtime_whereis(runtime, "crown"), TROUPE_NOBODY);
        cr_assert_eq(troupe_names(runtime, NULL, NULL, &row, 1), 0);
    }
    cr_assert(runtime_ends_clean(runtime));
}

static int stillborn_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    return troupe_fail(self, TROUPE_EPROTO, "born to fail");
}

static const struct troupe_behaviour stillborn = {
    .name = "stillborn", .init = stillborn_init, .receive = puppet_receive, .state_size = 8};

/* 3.9: a start that fails returns only when the name is free again. */
Test(registry, the_name_of_a_start_that_failed_is_free_when_that_is_told, .timeout = 120)
{
    static const struct troupe_supervisor_spec top = {.name = "top"};
    static const struct troupe_child_spec child = {.id = "child", .behaviour = &stillborn};
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid supervisor;

    cr_assert_eq(troupe_supervisor_start(runtime, &top, 10000, &supervisor), TROUPE_OK);
    for (unsigned i = 0; i < 5000; i++) {
        int error = troupe_runtime_child(
            runtime, supervisor, TROUPE_CHILD_START, NULL, &child, 10000, NULL);

        cr_assert_eq(error, TROUPE_EPROTO, "round %u: %s", i, troupe_strerror(error));
        cr_assert_eq(troupe_runtime_whereis(runtime, "top.child"), TROUPE_NOBODY);
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- who races for a name while its owners end ---- */

#define CONTESTED 4
#define RACERS 24

struct contest {
    struct latch done;
    _Atomic unsigned reigning[CONTESTED]; /* how many say that they have the name */
    _Atomic unsigned crimes;
    _Atomic unsigned reigns;
    _Atomic int left; /* lives */
    _Atomic bool over;
};

struct racer {
    struct contest *contest;
    unsigned name; /* CONTESTED: none */
};

static const char *const contested[CONTESTED] = {"north", "east", "south", "west"};

static int racer_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct racer *racer = state;
    unsigned name = (unsigned)(troupe_self(self) >> 28) % CONTESTED;

    racer->contest = *(struct contest *const *)arg;
    racer->name = CONTESTED;
    if (troupe_register(self, contested[name]) == TROUPE_OK) {
        racer->name = name;
        racer->contest->reigns++;
        if (racer->contest->reigning[name]++ != 0) {
            racer->contest->crimes++;
        }
    }
    return TROUPE_DONE;
}

static void racer_destroy(void *state)
{
    struct racer *racer = state;

    /* The name is ours until after this. */
    if (racer->name != CONTESTED) {
        racer->contest->reigning[racer->name]--;
    }
    latch_hit(&racer->contest->done);
}

static const struct troupe_behaviour racer_behaviour = {
    .name = "racer",
    .state_size = sizeof(struct racer),
    .init = racer_init,
    .receive = puppet_receive,
    .destroy = racer_destroy,
};

struct spectator {
    struct troupe_runtime *runtime;
    struct contest *contest;
};

static void *race(void *arg)
{
    struct spectator *spectator = arg;
    struct troupe_spawn_options options = {.behaviour = &racer_behaviour,
        .arg = &spectator->contest,
        .arg_size = sizeof spectator->contest};
    troupe_pid pid;

    while (spectator->contest->left-- > 0) {
        cr_assert_eq(troupe_runtime_spawn(spectator->runtime, &options, &pid), TROUPE_OK);
    }
    return NULL;
}

static void *look_on(void *arg)
{
    struct spectator *spectator = arg;
    struct troupe_name rows[CONTESTED + 1];

    while (!spectator->contest->over) {
        int count = troupe_names(spectator->runtime, "", NULL, rows, TROUPE_COUNT(rows));

        for (int i = 0; i < count; i++) {
            spectator->contest->crimes += rows[i].pid == TROUPE_NOBODY;
            (void)troupe_runtime_whereis(spectator->runtime, rows[i].name);
            spectator->contest->crimes +=
                troupe_names_of(spectator->runtime, rows[i].pid, 0, rows, 2) > 1;
        }
        spectator->contest->crimes += count > CONTESTED;
    }
    return NULL;
}

/* Trap 13: the cleanup of an old owner does not free the name of the new one. */
Test(registry, a_name_has_one_owner_while_many_register_and_end, .timeout = 120)
{
    struct troupe_runtime *runtime = runtime_new(3);
    static struct contest contest = {.done = LATCH_INIT, .left = 30000};
    struct spectator spectator = {runtime, &contest};
    pthread_t racers[3];
    pthread_t onlooker;

    pthread_create(&onlooker, NULL, look_on, &spectator);
    for (unsigned i = 0; i < TROUPE_COUNT(racers); i++) {
        pthread_create(&racers[i], NULL, race, &spectator);
    }
    for (unsigned i = 0; i < TROUPE_COUNT(racers); i++) {
        pthread_join(racers[i], NULL);
    }
    cr_assert(latch_wait(&contest.done, 30000));
    contest.over = true;
    pthread_join(onlooker, NULL);
    cr_assert_eq(contest.crimes, 0);
    cr_assert_gt(contest.reigns, 100);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- lists ---- */

static int register_fruit(struct troupe_actor *self, void *arg)
{
    static const char *const names[] = {
        "fruit.pear", "fruit", "fruit.apple", "fruity", "vegetable", "fruit.fig"};

    (void)arg;
    for (unsigned i = 0; i < TROUPE_COUNT(names); i++) {
        cr_assert_eq(troupe_register(self, names[i]), TROUPE_OK);
    }
    return TROUPE_OK;
}

Test(registry, names_are_listed_in_order_by_prefix_and_in_pieces, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    struct troupe_name rows[8];

    cr_assert_eq(troupe_names(runtime, NULL, NULL, rows, 8), 0);
    puppet_do(runtime, one, register_fruit, NULL);
    cr_assert_eq(troupe_names(runtime, NULL, NULL, rows, 8), 6);
    cr_assert_str_eq(rows[0].name, "fruit");
    cr_assert_str_eq(rows[5].name, "vegetable");
    cr_assert_eq(rows[5].pid, one);
    cr_assert_eq(troupe_names(runtime, "fruit.", NULL, rows, 2), 2);
    cr_assert_str_eq(rows[0].name, "fruit.apple");
    cr_assert_str_eq(rows[1].name, "fruit.fig");
    cr_assert_eq(troupe_names(runtime, "fruit.", rows[1].name, rows, 2), 1);
    cr_assert_str_eq(rows[0].name, "fruit.pear");
    cr_assert_eq(troupe_names(runtime, "fruit.", "fruit.pear", rows, 2), 0);
    cr_assert_eq(troupe_names(runtime, "fruit.", "aaa", rows, 8), 3, "before all of them");
    cr_assert_eq(troupe_names(runtime, "fruit.", "fruit.b", rows, 8), 2, "a name that is none");
    cr_assert_eq(troupe_names(runtime, "x", NULL, rows, 8), 0);
    cr_assert_eq(troupe_names(runtime, NULL, NULL, NULL, 0), 0);
    cr_assert(runtime_ends_clean(runtime));
}

Test(registry, the_names_of_an_actor_are_listed_as_it_got_them, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid other = puppet_spawn(runtime, &puppet_plain, NULL);
    struct troupe_name rows[8];

    cr_assert_eq(troupe_names_of(runtime, one, 0, rows, 8), 0);
    puppet_do(runtime, one, register_fruit, NULL);
    cr_assert_eq(troupe_names_of(runtime, one, 0, rows, 8), 6);
    cr_assert_str_eq(rows[0].name, "fruit.pear");
    cr_assert_eq(rows[0].pid, one);
    cr_assert_eq(troupe_names_of(runtime, one, 4, rows, 8), 2);
    cr_assert_str_eq(rows[0].name, "vegetable");
    cr_assert_eq(troupe_names_of(runtime, one, 6, rows, 8), 0);
    cr_assert_eq(troupe_names_of(runtime, other, 0, rows, 8), 0);
    cr_assert_eq(troupe_names_of(runtime, 12345, 0, rows, 8), TROUPE_EGONE);
    cr_assert(runtime_ends_clean(runtime));
}

struct churn {
    struct latch done;
    _Atomic bool over;
    uint64_t seed;
};

static int churn_names(struct troupe_actor *self, void *arg)
{
    struct churn *churn = arg;
    struct test_random random = test_random_of(churn->seed);
    char name[32];

    while (!churn->over) {
        snprintf(name, sizeof name, "n%03u.x", (unsigned)(test_next(&random) % 1000));
        if (troupe_register(self, name) == TROUPE_OK && test_next(&random) % 8 != 0) {
            cr_assert_eq(troupe_unregister(self, name), TROUPE_OK);
        }
    }
    return TROUPE_OK;
}

static int register_stable(struct troupe_actor *self, void *arg)
{
    char name[32];

    (void)arg;
    for (unsigned i = 0; i < 1000; i += 10) {
        snprintf(name, sizeof name, "n%03u", i);
        cr_assert_eq(troupe_register(self, name), TROUPE_OK);
    }
    return TROUPE_OK;
}

/* How many names of `pid` a walk in pieces of `piece` finds; it fails where they are not in order. */
static unsigned walk(struct troupe_runtime *runtime, troupe_pid pid, uint32_t piece)
{
    struct troupe_name rows[100];
    char last[TROUPE_NAME_MAX + 1] = "";
    unsigned found = 0;
    int count;

    do {
        count = troupe_names(runtime, "n", last, rows, piece);
        for (int i = 0; i < count; i++) {
            cr_assert_lt(strcmp(last, rows[i].name), 0);
            memcpy(last, rows[i].name, sizeof last);
            found += rows[i].pid == pid;
        }
    } while (count == (int)piece);
    return found;
}

Test(registry, a_name_that_stays_is_listed_once_whatever_comes_and_goes, .timeout = 120)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid other = puppet_spawn(runtime, &puppet_plain, NULL);
    struct churn churn = {.done = LATCH_INIT, .seed = test_seed("registry")};

    puppet_do(runtime, one, register_stable, NULL);
    puppet_tell(runtime, other, churn_names, &churn, &churn.done);
    for (unsigned i = 0; i < 300; i++) {
        cr_assert_eq(walk(runtime, one, 1 + i % 100), 100);
    }
    churn.over = true;
    cr_assert(latch_wait(&churn.done, 1));
    cr_assert(runtime_ends_clean(runtime));
}
