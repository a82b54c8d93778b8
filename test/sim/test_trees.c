/* SPDX-License-Identifier: MIT */
/*
 * Random supervision trees, step by step against the model of otp.h.
 *
 * A seed grows a tree: up to 200 actors of up to four generations, every strategy, restart type, directive and way to
 * shut down by itself.  Then things happen to it, one at a time: somebody ends in one way or another, an exit signal
 * comes, somebody asks for a child to be started, stopped, restarted or forgotten; some inits will fail and some say that
 * they are not needed.  When all is quiet again the journals of the actors and of the model must be the same, word for
 * word, and so must the answers; at last the whole tree.
 *
 * In a second test many things happen at once, some children take their time to end, and all that is asked is that the
 * tree comes to rest: nobody is forgotten on the way.
 *
 * In simulation, for speed and because the same seed is then the same run.  TROUPE_TEST_SEED=N runs that seed alone and
 * prints its steps; TROUPE_TREES=N is how many seeds are tried [10000].
 */
#include <criterion/criterion.h>
#include <inttypes.h>

#include "otp.h"
#include "sim.h"
#include "test/support/allocator.h"
#include "test/support/random.h"

#define PLANS_MAX 600
#define GENERATIONS 4
#define WAIT_MS 1000
#define STEPS_MAX 100000000
#define AT_ONCE 8 /* disturbances until all must come to rest */
#define DISTURBANCES (AT_ONCE * 16)

/* One child as it is told to the runtime, and as it is told to the model. */
struct subject {
    struct otp_plan plan;
    struct otp_luck luck; /* of the real one */
    troupe_pid pid;       /* of the one who lives, if it is no supervisor */
    unsigned lingers_ms;  /* after it was told to end */
    struct troupe_child_spec spec;
    struct troupe_supervisor_spec tree;
    struct troupe_child_spec children[OTP_CHILDREN_MAX];
};

struct world {
    struct troupe_runtime *runtime;
    struct test_allocator memory;
    struct test_random random;
    struct otp_journal journal;
    struct subject *subjects[PLANS_MAX];
    unsigned count;
    unsigned budget; /* of actors that the tree may still have */
    unsigned names;
    struct otp_seat *root;
    troupe_pid top;
    uint64_t seed;
    bool tells;
    bool is_hectic; /* all shall stay, so that more happens to them */
    uint64_t steps;
};

static struct world world;

static struct subject *subject_of(const struct otp_plan *plan)
{
    return (struct subject *)(uintptr_t)plan;
}

static unsigned draw(unsigned count)
{
    return (unsigned)test_below(&world.random, count);
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    va_list args;

    if (world.tells) {
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
    }
}

static void must(bool holds, const char *what)
{
    if (!holds) {
        cr_assert_fail("seed %" PRIu64 ", step %" PRIu64 ": %s\n  troupe:%s\n  model: %s",
            world.seed, world.steps, what, world.journal.text, otp_journal.text);
    }
}

/* For a result that may be anything while all goes on. */
static void ignore(int result)
{
    (void)result;
}

/* ---- an actor that keeps the journal ---- */

struct leaf {
    struct subject *subject; /* NULL until its init went well */
};

static const struct troupe_type order_type = TROUPE_TYPE(enum troupe_exit);
static const struct troupe_type time_is_up = TROUPE_SIGNAL;

static int leaf_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct subject *subject = *(struct subject *const *)arg;
    struct leaf *leaf = state;
    char outcome = otp_draw(&subject->luck);

    otp_note(&world.journal, outcome, subject->plan.path);
    if (outcome != '+') {
        return outcome == '?' ? TROUPE_IGNORE : TROUPE_EPROTO;
    }
    leaf->subject = subject;
    subject->pid = troupe_self(self);
    (void)troupe_trap_exit(self, subject->lingers_ms > 0);
    return TROUPE_OK;
}

static int leaf_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct leaf *leaf = state;

    if (troupe_is(msg, &troupe_exited)) {
        return troupe_tick_after(self, leaf->subject->lingers_ms, &time_is_up, NULL, NULL);
    }
    if (!troupe_is(msg, &order_type)) {
        return TROUPE_DONE;
    }
    switch (*(const enum troupe_exit *)troupe_body(msg)) {
    case TROUPE_EXIT_NORMAL:
        return TROUPE_DONE;
    case TROUPE_EXIT_ERROR:
        return TROUPE_EPROTO;
    default:
        troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
    }
}

static void leaf_destroy(void *state)
{
    const struct leaf *leaf = state;

    if (leaf->subject != NULL) {
        otp_note(&world.journal, '-', leaf->subject->plan.path);
    }
}

static const struct troupe_behaviour leaf_behaviour = {
    .name = "leaf",
    .state_size = sizeof(struct leaf),
    .init = leaf_init,
    .receive = leaf_receive,
    .destroy = leaf_destroy,
};

/* ---- growing ---- */

static struct subject *subject_new(const struct otp_plan *parent, char prefix)
{
    struct subject *subject = calloc(1, sizeof *subject);

    cr_assert_not_null(subject);
    cr_assert_lt(world.count, PLANS_MAX);
    world.subjects[world.count++] = subject;
    snprintf(subject->plan.id, sizeof subject->plan.id, "%c%u", prefix, world.names++);
    snprintf(subject->plan.path, sizeof subject->plan.path, "%.60s%s%s",
        parent != NULL ? parent->path : "", parent != NULL ? "." : "", subject->plan.id);
    return subject;
}

/* How it is kept by its supervisor. */
static void keep(struct subject *subject, const struct otp_plan *parent)
{
    static const enum troupe_directive directives[] = {TROUPE_DECIDE_BY_TYPE, TROUPE_DECIDE_BY_TYPE,
        TROUPE_DECIDE_BY_TYPE, TROUPE_DECIDE_BY_TYPE, TROUPE_DECIDE_RESTART, TROUPE_DECIDE_STOP,
        TROUPE_DECIDE_ESCALATE};
    struct otp_plan *plan = &subject->plan;
    bool may_be_permanent = plan->auto_shutdown == TROUPE_SHUTDOWN_NEVER;

    plan->directive = directives[draw(TROUPE_COUNT(directives))];
    plan->restart = may_be_permanent ? (enum troupe_restart)draw(3)
                                     : (enum troupe_restart)(TROUPE_TRANSIENT + draw(2));
    plan->significant = parent->auto_shutdown != TROUPE_SHUTDOWN_NEVER &&
                        plan->restart != TROUPE_PERMANENT && draw(2) == 0;
    if (world.is_hectic && may_be_permanent) {
        plan->directive = TROUPE_DECIDE_BY_TYPE;
        plan->restart = TROUPE_PERMANENT;
        plan->significant = false;
    }
}

static enum troupe_directive decide(void *context, const struct troupe_reason *reason)
{
    (void)reason;
    return ((const struct subject *)context)->plan.directive;
}

/* The plan as a spec. */
static void specify(struct subject *subject)
{
    const struct otp_plan *plan = &subject->plan;

    subject->spec = (struct troupe_child_spec){
        .id = plan->id,
        .restart = plan->restart,
        .significant = plan->significant,
        .decide = plan->directive == TROUPE_DECIDE_BY_TYPE ? NULL : decide,
        .decide_context = plan->directive == TROUPE_DECIDE_BY_TYPE ? NULL : subject,
        .keep_mailbox = !plan->is_supervisor && draw(4) == 0,
    };
    if (plan->is_supervisor) {
        subject->spec.tree = &subject->tree;
        return;
    }
    subject->spec.behaviour = &leaf_behaviour;
    subject->plan.luck = subject->luck;
    subject->spec.arg_size = sizeof subject;
}

static struct subject *grow_leaf(const struct otp_plan *parent)
{
    struct subject *subject = subject_new(parent, 'c');

    world.budget--;
    keep(subject, parent);
    subject->lingers_ms = draw(3) == 0 ? 1 + draw(20) : 0;
    if (draw(40) == 0) {
        subject->luck = (struct otp_luck){.fails = draw(3), .ignores = draw(2)};
    }
    specify(subject);
    /* Copied with the spec; where it is copied from must last until then. */
    subject->children[0].arg = subject;
    subject->spec.arg = &subject->children[0].arg;
    return subject;
}

static struct subject *grow_supervisor(const struct otp_plan *parent, unsigned generation);

static struct subject *grow_child(const struct otp_plan *parent, unsigned generation)
{
    return generation < GENERATIONS && world.budget > 4 && draw(3) == 0
               ? grow_supervisor(parent, generation)
               : grow_leaf(parent);
}

/* A template; its children are made as they are asked for. */
static void grow_template(struct subject *subject)
{
    struct otp_plan *plan = &subject->plan;
    struct subject *template = subject_new(plan, 't');

    plan->auto_shutdown = TROUPE_SHUTDOWN_NEVER;
    keep(template, plan);
    specify(template);
    template->spec.arg_size = 0;
    template->spec.keep_mailbox = false;
    /* All of its children are told to end at once, in no order; one who decides would be asked in none. */
    subject->children[0] = template->spec;
    subject->tree.child_count = 1;
}

static void grow_children(struct subject *subject, unsigned generation)
{
    struct otp_plan *plan = &subject->plan;
    unsigned wanted = draw(world.budget > 40 ? OTP_CHILDREN_MAX / 2 : 5);

    while (plan->count < wanted && world.budget > 0) {
        struct subject *child = grow_child(plan, generation + 1);

        plan->children[plan->count] = &child->plan;
        subject->children[plan->count] = child->spec;
        plan->count++;
    }
    subject->tree.child_count = plan->count;
}

static struct subject *grow_supervisor(const struct otp_plan *parent, unsigned generation)
{
    static const unsigned intensities[] = {0, 1, 2, 3, 20};
    struct subject *subject = subject_new(parent, 's');
    struct otp_plan *plan = &subject->plan;
    bool is_simple = parent != NULL && draw(6) == 0;

    world.budget--;
    plan->is_supervisor = true;
    plan->strategy =
        is_simple ? TROUPE_SIMPLE_ONE_FOR_ONE : (enum troupe_strategy)draw(TROUPE_REST_FOR_ONE + 1);
    plan->auto_shutdown = is_simple || draw(2) == 0 ? TROUPE_SHUTDOWN_NEVER
                                                    : (enum troupe_auto_shutdown)(1 + draw(2));
    plan->intensity = parent == NULL ? 20 : intensities[draw(TROUPE_COUNT(intensities))];
    if (is_simple) {
        grow_template(subject);
    } else {
        grow_children(subject, generation);
    }
    subject->tree.strategy = plan->strategy;
    subject->tree.auto_shutdown = plan->auto_shutdown;
    subject->tree.intensity = plan->intensity > 0 ? (int)plan->intensity : TROUPE_NO_RESTARTS;
    subject->tree.period_ms = 100000000;
    subject->tree.children = subject->children;
    if (parent != NULL) {
        keep(subject, parent);
        specify(subject);
    }
    return subject;
}

/* ---- what the real tree is asked ---- */

/* The pid of a supervisor, asked for from the top. */
static troupe_pid pid_of(const struct otp_seat *supervisor)
{
    struct troupe_child_answer answer = {0};

    if (supervisor->parent == NULL) {
        return world.top;
    }
    if (otp_is_simple(supervisor->parent)) {
        return subject_of(supervisor->plan)->pid;
    }
    must(troupe_runtime_child(world.runtime, pid_of(supervisor->parent), TROUPE_CHILD_WHICH,
             supervisor->plan->id, NULL, WAIT_MS, &answer) == TROUPE_OK,
        "a supervisor is not known");
    return answer.pid;
}

static troupe_pid pid_in(const struct otp_seat *seat)
{
    return seat->plan->is_supervisor ? pid_of(seat) : subject_of(seat->plan)->pid;
}

static void await_quiet(void)
{
    must(trp_sim_run(STEPS_MAX, 100000) == TRP_SIM_QUIET, "it does not come to rest");
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whether two words are the ends of children of the same simple one-for-one: "-path.d17". */
static bool is_one_crowd(const char *a, const char *b)
{
    const char *dot = strrchr(a, '.');

    return a[0] == '-' && dot != NULL && dot[1] == 'd' &&
           strncmp(a, b, (size_t)(dot - a) + 2) == 0 && strrchr(b, '.') == b + (dot - a);
}

/* Sorts what comes in no order that was promised: everything, or those of a crowd that end one behind the other. */
static void sort_words(struct otp_journal *journal, bool all)
{
    static char copy[OTP_JOURNAL_SIZE];
    static char *words[OTP_JOURNAL_SIZE / 4];
    unsigned count = 0;

    memcpy(copy, journal->text, sizeof copy);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    for (unsigned i = 0, j; i < count; i = j) {
        for (j = i + 1; j < count && (all || is_one_crowd(words[i], words[j])); j++) {
        }
        qsort(words + i, j - i, sizeof words[0], compare_words);
    }
    journal->length = 0;
    for (unsigned i = 0; i < count; i++) {
        otp_note(journal, words[i][0], words[i] + 1);
    }
}

static void compare_journals(bool in_order)
{
    sort_words(&world.journal, !in_order);
    sort_words(&otp_journal, !in_order);
    tell("   %s\n", world.journal.text);
    must(strcmp(world.journal.text, otp_journal.text) == 0, "the journals differ");
    world.journal.length = 0;
    world.journal.text[0] = '\0';
    otp_journal.length = 0;
    otp_journal.text[0] = '\0';
}

/* A child that is in the model is as the model says. */
static void compare_seat(troupe_pid supervisor, const struct otp_seat *seat)
{
    struct troupe_child_answer answer = {0};

    if (otp_is_simple(seat->parent)) {
        must(troupe_is_alive(world.runtime, subject_of(seat->plan)->pid), "one is missing");
        return;
    }
    must(troupe_runtime_child(world.runtime, supervisor, TROUPE_CHILD_WHICH, seat->plan->id, NULL,
             WAIT_MS, &answer) == TROUPE_OK,
        "a child is missing");
    must(answer.state == (seat->alive ? TROUPE_CHILD_RUNNING : TROUPE_CHILD_STOPPED),
        "a child is in another state");
    if (seat->alive && !seat->plan->is_supervisor) {
        must(answer.pid == subject_of(seat->plan)->pid, "a child is another one");
    }
}

static void compare_trees(const struct otp_seat *supervisor)
{
    troupe_pid pid = pid_of(supervisor);

    must(troupe_is_alive(world.runtime, pid), "a supervisor has ended");
    for (unsigned i = 0; i < supervisor->count; i++) {
        const struct otp_seat *seat = supervisor->seats[i];

        compare_seat(pid, seat);
        if (seat->alive && seat->plan->is_supervisor) {
            compare_trees(seat);
        }
    }
}

/* ---- what happens ---- */

/* Whether one who lives is wanted, or a supervisor that lives. */
typedef bool (*wanted_fn)(const struct otp_seat *seat);

static bool is_supervisor(const struct otp_seat *seat)
{
    return seat->alive && seat->plan->is_supervisor;
}

static bool is_leaf(const struct otp_seat *seat)
{
    return seat->alive && !seat->plan->is_supervisor;
}

static unsigned count_wanted(const struct otp_seat *seat, wanted_fn is_wanted)
{
    unsigned count = is_wanted(seat) ? 1 : 0;

    for (unsigned i = 0; i < seat->count; i++) {
        count += count_wanted(seat->seats[i], is_wanted);
    }
    return count;
}

static struct otp_seat *nth_wanted(struct otp_seat *seat, wanted_fn is_wanted, unsigned *index)
{
    struct otp_seat *found = NULL;

    if (is_wanted(seat) && (*index)-- == 0) {
        return seat;
    }
    for (unsigned i = 0; i < seat->count && found == NULL; i++) {
        found = nth_wanted(seat->seats[i], is_wanted, index);
    }
    return found;
}

/* One of them, or NULL. */
static struct otp_seat *any(wanted_fn is_wanted)
{
    unsigned count = count_wanted(world.root, is_wanted);
    unsigned index = count > 0 ? draw(count) : 0;

    return count > 0 ? nth_wanted(world.root, is_wanted, &index) : NULL;
}

/* Somebody's next inits go wrong. */
static void spoil(void)
{
    struct otp_seat *seat = any(is_leaf);
    struct otp_luck luck = {.fails = draw(3), .ignores = draw(2)};
    struct subject *subject = seat != NULL ? subject_of(seat->plan) : NULL;

    if (subject == NULL) {
        return;
    }
    subject->luck = luck;
    subject->plan.luck = luck;
    tell("   %s: %u fail, %u are not needed\n", subject->plan.path, luck.fails, luck.ignores);
}

static void send_order(troupe_pid pid, enum troupe_exit kind)
{
    struct troupe_message *msg;

    must(troupe_message_create(world.runtime, &order_type, 0, &msg) == TROUPE_OK, "no message");
    *(enum troupe_exit *)troupe_body(msg) = kind;
    must(troupe_try_send(world.runtime, pid, msg) == TROUPE_OK, "it is not there");
}

/* Ends by itself, or by a signal of ours.  False: the order of what follows is not promised. */
static void end_leaf(void)
{
    static const enum troupe_exit kinds[] = {
        TROUPE_EXIT_NORMAL, TROUPE_EXIT_SHUTDOWN, TROUPE_EXIT_ERROR, TROUPE_EXIT_KILLED};
    struct otp_seat *seat = any(is_leaf);
    struct troupe_reason reason = {.kind = kinds[draw(TROUPE_COUNT(kinds))], .code = TROUPE_EPROTO};

    if (seat == NULL) {
        return;
    }
    tell("%s ends: %s\n", seat->plan->path, troupe_exit_name(reason.kind));
    if (reason.kind == TROUPE_EXIT_KILLED) {
        must(troupe_runtime_exit(world.runtime, pid_in(seat), TROUPE_EXIT_KILL) == TROUPE_OK,
            "it cannot be killed");
    } else {
        send_order(pid_in(seat), reason.kind);
    }
    otp_die(seat, &reason);
}

static void end_supervisor(enum troupe_exit kind)
{
    struct otp_seat *seat = any(is_supervisor);
    struct troupe_reason reason = {
        .kind = kind == TROUPE_EXIT_KILL ? TROUPE_EXIT_KILLED : TROUPE_EXIT_SHUTDOWN};

    if (seat == NULL || seat == world.root) {
        return;
    }
    tell("%s is told to end: %s\n", seat->plan->path, troupe_exit_name(kind));
    must(troupe_runtime_exit(world.runtime, pid_of(seat), kind) == TROUPE_OK, "it is not there");
    otp_die(seat, &reason);
}

static void add_to_simple(struct otp_seat *supervisor)
{
    struct subject *subject = subject_new(supervisor->plan, 'd');
    const struct otp_plan *template = &world.subjects[0]->plan;
    struct troupe_child_answer answer = {0};
    int status;

    /* Its template is the subject that was made right after the supervisor's. */
    for (unsigned i = 0; i < world.count; i++) {
        if (&world.subjects[i]->plan == supervisor->plan) {
            template = &world.subjects[i + 1]->plan;
        }
    }
    subject->plan.restart = template->restart;
    subject->plan.directive = template->directive;
    if (draw(4) == 0) {
        subject->luck = (struct otp_luck){.fails = draw(2), .ignores = draw(2)};
        subject->plan.luck = subject->luck;
    }
    tell("%s is spawned\n", subject->plan.path);
    status = troupe_runtime_child_spawn(
        world.runtime, pid_of(supervisor), &subject, sizeof subject, WAIT_MS, &answer);
    must(status == otp_ask_start(supervisor, &subject->plan), "another answer to spawn");
}

static void add_child(struct otp_seat *supervisor)
{
    struct subject *subject;
    struct troupe_child_answer answer = {0};
    int status;

    if (otp_is_simple(supervisor)) {
        add_to_simple(supervisor);
        return;
    }
    world.budget += 1;
    subject = grow_child(supervisor->plan, GENERATIONS - 1);
    tell("%s is added\n", subject->plan.path);
    status = troupe_runtime_child(world.runtime, pid_of(supervisor), TROUPE_CHILD_START, NULL,
        &subject->spec, WAIT_MS, &answer);
    must(status == otp_ask_start(supervisor, &subject->plan), "another answer to START");
}

static void terminate_in_simple(struct otp_seat *supervisor)
{
    struct otp_seat *seat = supervisor->seats[draw(supervisor->count)];

    tell("%s is stopped\n", seat->plan->path);
    must(troupe_runtime_child_terminate(
             world.runtime, pid_of(supervisor), pid_in(seat), WAIT_MS, NULL) == TROUPE_OK,
        "it is not stopped");
    otp_stop(seat);
    otp_rest(seat);
}

static void ask_something(void)
{
    static const enum troupe_child_op ops[] = {
        TROUPE_CHILD_TERMINATE, TROUPE_CHILD_RESTART, TROUPE_CHILD_DELETE};
    struct otp_seat *supervisor = any(is_supervisor);
    enum troupe_child_op op = ops[draw(TROUPE_COUNT(ops))];
    struct troupe_child_answer answer = {0};
    const char *id;
    int status;

    if (supervisor->count == 0 || (supervisor->count < OTP_CHILDREN_MAX && draw(3) == 0)) {
        add_child(supervisor);
        return;
    }
    if (otp_is_simple(supervisor)) {
        terminate_in_simple(supervisor);
        return;
    }
    id = draw(8) == 0 ? "nobody" : supervisor->seats[draw(supervisor->count)]->plan->id;
    tell("%s.%s: operation %d\n", supervisor->plan->path, id, (int)op);
    status =
        troupe_runtime_child(world.runtime, pid_of(supervisor), op, id, NULL, WAIT_MS, &answer);
    must(status == otp_ask(supervisor, op, id), "another answer");
}

/* One thing happens, and all that follows from it. */
static void step(void)
{
    bool in_order = true;

    world.steps++;
    if (draw(2) == 0) {
        spoil();
    }
    switch (draw(12)) {
    case 0:
        end_supervisor(TROUPE_EXIT_SHUTDOWN);
        break;
    case 1:
        end_supervisor(TROUPE_EXIT_KILL);
        in_order = false;
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        ask_something();
        break;
    default:
        end_leaf();
    }
    await_quiet();
    compare_journals(in_order);
}

/* ---- one seed ---- */

static void open_world(uint64_t seed)
{
    struct trp_sim_options options = {.seed = seed};
    struct troupe_allocator allocator = test_allocator_of(&world.memory);
    struct troupe_runtime_options runtime_options = {
        .workers = 2, .watchdog_ms = TROUPE_NO_WATCHDOG, .seed = seed + 1, .allocator = &allocator};

    memset(&world, 0, sizeof world);
    memset(&otp_journal, 0, sizeof otp_journal);
    world.seed = seed;
    world.tells = getenv("TROUPE_TEST_SEED") != NULL;
    world.random = test_random_of(seed);
    world.budget = draw(30) == 0 ? 200 : 3 + draw(25);
    trp_sim_begin(&options);
    must(troupe_runtime_create(&runtime_options, &world.runtime) == TROUPE_OK, "no runtime");
    trp_sim_attach(world.runtime);
    must(troupe_runtime_start(world.runtime) == TROUPE_OK, "no start");
}

static void close_world(void)
{
    struct troupe_books books = {0};

    must(troupe_runtime_stop(world.runtime, 10000) == TROUPE_OK, "the runtime does not stop");
    must(troupe_runtime_books(world.runtime, &books) == TROUPE_OK, "no books");
    must(books.spawned == books.exited, "an actor is nowhere");
    trp_sim_attach(NULL);
    must(troupe_runtime_destroy(world.runtime) == TROUPE_OK, "the runtime stays");
    must(world.memory.blocks == 0, "memory was not given back");
    otp_seat_free(world.root);
    while (world.count > 0) {
        free(world.subjects[--world.count]);
    }
}

/* Starts the tree, of which a few inits may fail. */
static void start_tree(struct subject *top)
{
    int status;

    world.root = otp_seat_new(&top->plan, NULL);
    status = troupe_supervisor_start(world.runtime, &top->tree, WAIT_MS, &world.top);
    must(status == (otp_start(world.root) == '!' ? TROUPE_EPROTO : TROUPE_OK), "another outcome");
    await_quiet();
    compare_journals(true);
}

static uint64_t try_seed(uint64_t seed)
{
    unsigned wanted;
    uint64_t steps;

    open_world(seed);
    wanted = 5 + draw(20);
    start_tree(grow_supervisor(NULL, 0));
    while (world.root->alive && world.steps < wanted && world.count + 20 < PLANS_MAX) {
        step();
    }
    if (world.root->alive) {
        compare_trees(world.root);
    } else {
        must(!troupe_is_alive(world.runtime, world.top), "the top should have ended");
    }
    steps = world.steps;
    close_world();
    return steps;
}

/* ---- many things at once ---- */

static void disturb_one(struct subject *subject)
{
    static const enum troupe_exit kinds[] = {
        TROUPE_EXIT_NORMAL, TROUPE_EXIT_SHUTDOWN, TROUPE_EXIT_ERROR};
    troupe_pid pid = troupe_runtime_whereis(world.runtime, subject->plan.path);
    enum troupe_exit kind = kinds[draw(TROUPE_COUNT(kinds))];
    struct troupe_message *msg;

    if (pid == TROUPE_NOBODY || subject == world.subjects[0]) {
        return;
    }
    tell("%s: %s\n", subject->plan.path, troupe_exit_name(kind));
    if (subject->plan.is_supervisor) {
        ignore(troupe_runtime_exit(world.runtime, pid, TROUPE_EXIT_SHUTDOWN));
        return;
    }
    must(troupe_message_create(world.runtime, &order_type, 0, &msg) == TROUPE_OK, "no message");
    *(enum troupe_exit *)troupe_body(msg) = kind;
    if (troupe_try_send(world.runtime, pid, msg) < 0) {
        troupe_message_destroy(msg);
    }
}

/* Asks the supervisor of somebody, and does not wait for the answer. */
static void ask_in_passing(const struct subject *subject)
{
    static const enum troupe_child_op ops[] = {TROUPE_CHILD_TERMINATE, TROUPE_CHILD_TERMINATE,
        TROUPE_CHILD_RESTART, TROUPE_CHILD_RESTART, TROUPE_CHILD_RESTART, TROUPE_CHILD_START,
        TROUPE_CHILD_DELETE};
    enum troupe_child_op op = ops[draw(TROUPE_COUNT(ops))];
    char path[sizeof subject->plan.path];
    troupe_pid pid;

    strcpy(path, subject->plan.path);
    if (strrchr(path, '.') == NULL) {
        return;
    }
    *strrchr(path, '.') = '\0';
    pid = troupe_runtime_whereis(world.runtime, path);
    tell("%s: operation %d\n", subject->plan.path, (int)op);
    if (pid != TROUPE_NOBODY) {
        ignore(troupe_runtime_child(world.runtime, pid, op, subject->plan.id,
            op == TROUPE_CHILD_START ? &subject->spec : NULL, 0, NULL));
    }
}

static void disturb(void)
{
    struct subject *subject = world.subjects[draw(world.count)];

    switch (draw(5)) {
    case 0:
        subject->luck.fails = draw(20);
        tell("%s: %u fail\n", subject->plan.path, subject->luck.fails);
        break;
    case 1:
    case 2:
        ask_in_passing(subject);
        break;
    default:
        disturb_one(subject);
    }
    (void)trp_sim_run(draw(3) == 0 ? 1000 : draw(100), draw(4) == 0 ? draw(4) : 0);
}

/* Whether a child runs under its name, or rests without; or is not known any more. */
static void check_settled(const struct otp_plan *supervisor, const struct otp_plan *plan)
{
    troupe_pid pid = troupe_runtime_whereis(world.runtime, supervisor->path);
    troupe_pid named = troupe_runtime_whereis(world.runtime, plan->path);
    struct troupe_child_answer answer = {0};
    int status;

    if (pid == TROUPE_NOBODY) {
        return;
    }
    status = troupe_runtime_child(
        world.runtime, pid, TROUPE_CHILD_WHICH, plan->id, NULL, WAIT_MS, &answer);
    tell("%s: %d, state %d\n", plan->path, status, (int)answer.state);
    if (status != TROUPE_OK) {
        must(status == TROUPE_ENOENT && named == TROUPE_NOBODY, "a child is half forgotten");
    } else if (answer.state == TROUPE_CHILD_STOPPED) {
        must(named == TROUPE_NOBODY, "one that rests has its name");
    } else {
        must(answer.state == TROUPE_CHILD_RUNNING, "a child does not come to rest");
        must(named == answer.pid && troupe_is_alive(world.runtime, named), "it runs, and is dead");
    }
}

static void check_all_settled(void)
{
    for (unsigned i = 0; i < world.count; i++) {
        const struct otp_plan *plan = &world.subjects[i]->plan;

        for (unsigned j = 0; j < plan->count; j++) {
            check_settled(plan, plan->children[j]);
        }
    }
}

static void disturb_seed(uint64_t seed)
{
    struct subject *top;

    open_world(seed);
    world.budget = 4 + draw(3);
    world.is_hectic = true;
    top = grow_supervisor(NULL, 0);
    top->tree.name = top->plan.path;
    top->tree.intensity = 1000;
    top->tree.strategy = draw(4) == 0 ? top->tree.strategy : TROUPE_REST_FOR_ONE;
    world.root = otp_seat_new(&top->plan, NULL);
    ignore(troupe_supervisor_start(world.runtime, &top->tree, WAIT_MS, &world.top));
    for (unsigned i = 1; i <= DISTURBANCES; i++) {
        disturb();
        if (i % AT_ONCE == 0) {
            tell("   rest\n");
            await_quiet();
            check_all_settled();
        }
    }
    close_world();
}

/* ---- many seeds ---- */

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

Test(sim, random_trees_come_to_rest_whatever_happens_at_once, .timeout = 600)
{
    uint64_t first = number_from("TROUPE_TEST_SEED", 1);
    uint64_t count = getenv("TROUPE_TEST_SEED") != NULL ? 1 : number_from("TROUPE_TREES", 10000);

    for (uint64_t i = 0; i < count; i++) {
        disturb_seed(first + i);
    }
}

Test(sim, random_trees_do_what_the_rules_of_otp_say, .timeout = 600)
{
    uint64_t first = number_from("TROUPE_TEST_SEED", 1);
    uint64_t count = getenv("TROUPE_TEST_SEED") != NULL ? 1 : number_from("TROUPE_TREES", 10000);
    uint64_t steps = 0;

    for (uint64_t i = 0; i < count; i++) {
        steps += try_seed(first + i);
    }
    fprintf(stderr, "trees: %" PRIu64 " random ones, %" PRIu64 " steps\n", count, steps);
    cr_assert_gt(steps, count);
}
