/* SPDX-License-Identifier: MIT */
/*
 * admin.c - asking a supervisor, from an actor or from a foreign thread.
 *
 * Both make the same body.  A thread cannot ask, so it spawns a helper actor that does, with the body as its
 * argument, and waits at a latch (latch.h).
 */
#include "admin.h"

#include <string.h>

#include "latch.h"

const struct troupe_type troupe_child_answer = TROUPE_TYPE(struct troupe_child_answer);
const struct troupe_type troupe_children_answer = {
    "struct troupe_children", sizeof(struct troupe_children), NULL, true};
const struct troupe_type trp_admin_type = {
    "struct trp_admin", sizeof(struct trp_admin), NULL, true};
const struct troupe_type trp_admin_list_type = TROUPE_TYPE(struct trp_admin_list);

/* What is asked, before it is the body of a request. */
struct wish {
    enum troupe_child_op op;
    const char *id;
    const struct troupe_child_spec *spec;
    bool is_simple;
    troupe_pid pid;
    const void *extra;
    size_t extra_size;
};

static bool is_wish(const struct wish *wish)
{
    if (wish->is_simple) {
        return wish->op == TROUPE_CHILD_START ? (wish->extra_size == 0 || wish->extra != NULL) &&
                                                    wish->extra_size <= UINT32_MAX
                                              : wish->pid != TROUPE_NOBODY;
    }
    if (wish->op == TROUPE_CHILD_START) {
        return wish->spec != NULL && trp_child_check(wish->spec, NULL) == TROUPE_OK;
    }
    return (unsigned)wish->op <= TROUPE_CHILD_WHICH && wish->id != NULL && wish->id[0] != '\0';
}

/* A supervisor spec around the one child that is to be added. */
static struct troupe_supervisor_spec wrap(const struct troupe_child_spec *spec)
{
    return (struct troupe_supervisor_spec){.children = spec, .child_count = 1};
}

/* How much comes behind the head. */
static size_t rest_size(const struct wish *wish)
{
    if (wish->is_simple) {
        return wish->extra_size;
    }
    if (wish->op == TROUPE_CHILD_START) {
        struct troupe_supervisor_spec around = wrap(wish->spec);

        return trp_plan_size(&around);
    }
    return strlen(wish->id) + 1;
}

static size_t body_size(const struct wish *wish)
{
    return sizeof(struct trp_admin) + rest_size(wish);
}

static void write_body(struct trp_admin *admin, const struct wish *wish)
{
    memset(admin, 0, sizeof *admin);
    admin->op = wish->op;
    admin->is_simple = wish->is_simple;
    admin->pid = wish->pid;
    admin->extra_size = wish->extra_size;
    if (wish->is_simple) {
        if (wish->extra_size > 0) {
            memcpy(admin->rest, wish->extra, wish->extra_size);
        }
    } else if (wish->op == TROUPE_CHILD_START) {
        struct troupe_supervisor_spec around = wrap(wish->spec);

        trp_plan_write((struct trp_plan *)(void *)admin->rest, &around);
    } else {
        memcpy(admin->rest, wish->id, rest_size(wish));
    }
}

static int ask(struct troupe_actor *self, troupe_pid supervisor, const struct wish *wish,
    int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    struct troupe_message *msg;
    int error;

    if (!trp_actor_is_mine(self) || !is_wish(wish)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(troupe_message_create(self->runtime, &trp_admin_type, body_size(wish), &msg));
    write_body(troupe_body(msg), wish);
    error = troupe_request_message(self, supervisor, msg, timeout_ms, on_reply, context);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

int troupe_child(struct troupe_actor *self, troupe_pid supervisor, enum troupe_child_op op,
    const char *id, const struct troupe_child_spec *spec, int timeout_ms, troupe_reply_fn on_reply,
    void *context)
{
    TRP_INSIDE(self);
    struct wish wish = {.op = op, .id = id, .spec = spec};

    return ask(self, supervisor, &wish, timeout_ms, on_reply, context);
}

int troupe_child_spawn(struct troupe_actor *self, troupe_pid supervisor, const void *extra,
    size_t extra_size, int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    TRP_INSIDE(self);
    struct wish wish = {
        .op = TROUPE_CHILD_START, .is_simple = true, .extra = extra, .extra_size = extra_size};

    return ask(self, supervisor, &wish, timeout_ms, on_reply, context);
}

int troupe_child_terminate(struct troupe_actor *self, troupe_pid supervisor, troupe_pid pid,
    int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    TRP_INSIDE(self);
    struct wish wish = {.op = TROUPE_CHILD_TERMINATE, .is_simple = true, .pid = pid};

    return ask(self, supervisor, &wish, timeout_ms, on_reply, context);
}

int troupe_children(struct troupe_actor *self, troupe_pid supervisor, uint32_t first,
    uint32_t limit, int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    TRP_INSIDE(self);
    struct trp_admin_list wanted = {first, limit};

    return troupe_request(
        self, supervisor, &trp_admin_list_type, &wanted, timeout_ms, on_reply, context);
}

/* ---- a pool ---- */

/* TROUPE_EINVAL. */
static int make_order(uint32_t size, int drain_ms, struct trp_crew_order *out_order)
{
    if (size > INT32_MAX || drain_ms < TROUPE_NOW || drain_ms == TROUPE_BRUTAL_KILL) {
        return TROUPE_EINVAL;
    }
    *out_order = (struct trp_crew_order){.size = size, .drain_ms = drain_ms};
    if (drain_ms == 0) {
        out_order->drain_ms = TROUPE_POOL_DRAIN_DEFAULT_MS;
    } else if (drain_ms == TROUPE_NOW) {
        out_order->drain_ms = 0;
    }
    return TROUPE_OK;
}

int troupe_pool_resize(struct troupe_actor *self, troupe_pid pool, uint32_t size, int drain_ms,
    int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    TRP_INSIDE(self);
    struct trp_crew_order order;

    TROUPE_TRY(make_order(size, drain_ms, &order));
    return troupe_request(self, pool, &trp_crew_type, &order, timeout_ms, on_reply, context);
}

int troupe_pool_look(struct troupe_actor *self, troupe_pid pool, int timeout_ms,
    troupe_reply_fn on_reply, void *context)
{
    TRP_INSIDE(self);
    struct trp_crew_order order = {.only_look = true};

    return troupe_request(self, pool, &trp_crew_type, &order, timeout_ms, on_reply, context);
}

static int order_from_outside(struct troupe_runtime *runtime, troupe_pid pool,
    const struct trp_crew_order *order, int wait_ms, struct troupe_pool_answer *out_answer)
{
    struct troupe_pool_answer answer;

    TROUPE_TRY(troupe_runtime_call(
        runtime, pool, &trp_crew_type, order, &troupe_pool_answer, &answer, wait_ms));
    if (out_answer != NULL) {
        *out_answer = answer;
    }
    return answer.status;
}

int troupe_runtime_pool_resize(struct troupe_runtime *runtime, troupe_pid pool, uint32_t size,
    int drain_ms, int wait_ms, struct troupe_pool_answer *out_answer)
{
    struct trp_crew_order order;

    TROUPE_TRY(make_order(size, drain_ms, &order));
    return order_from_outside(runtime, pool, &order, wait_ms, out_answer);
}

int troupe_runtime_pool_look(struct troupe_runtime *runtime, troupe_pid pool, int wait_ms,
    struct troupe_pool_answer *out_answer)
{
    struct trp_crew_order order = {.only_look = true};

    return order_from_outside(runtime, pool, &order, wait_ms, out_answer);
}

/* ---- from a foreign thread ---- */

/* Argument of the helper; the request's body comes behind it. */
struct question {
    struct trp_latch *latch;
    troupe_pid supervisor;
    int timeout_ms;
    size_t size;
    alignas(16) unsigned char body[];
};

struct asker {
    struct trp_latch *latch;
};

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asker *asker = state;
    struct trp_outcome outcome = {.status = status};

    (void)self;
    (void)context;
    if (status == TROUPE_OK) {
        outcome.answer = *(const struct troupe_child_answer *)troupe_body(reply);
    }
    trp_latch_tell(asker->latch, &outcome);
    return TROUPE_DONE;
}

static int put_question(struct troupe_actor *self, const struct question *question)
{
    struct troupe_message *msg;
    int error;

    TROUPE_TRY(troupe_message_create(self->runtime, &trp_admin_type, question->size, &msg));
    memcpy(troupe_body(msg), question->body, question->size);
    error = troupe_request_message(
        self, question->supervisor, msg, question->timeout_ms, on_answer, NULL);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

static int asker_init(struct troupe_actor *self, void *state, const void *arg)
{
    const struct question *question = arg;
    struct asker *asker = state;
    struct trp_outcome outcome = {0};

    asker->latch = question->latch;
    outcome.status = put_question(self, question);
    if (outcome.status < 0) {
        trp_latch_tell(asker->latch, &outcome);
        return TROUPE_DONE;
    }
    return TROUPE_OK;
}

static int asker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

static void asker_destroy(void *state)
{
    struct asker *asker = state;
    struct trp_outcome outcome = {.status = TROUPE_ESTOPPED};

    /* Nothing happens if it was told before. */
    trp_latch_tell(asker->latch, &outcome);
    trp_latch_drop(asker->latch);
}

static const struct troupe_behaviour asker_behaviour = {
    .name = "troupe_runtime_child",
    .state_size = sizeof(struct asker),
    .init = asker_init,
    .receive = asker_receive,
    .destroy = asker_destroy,
    .never_paused = true,
};

static int spawn_asker(
    struct troupe_runtime *runtime, const struct question *head, const struct wish *wish)
{
    struct trp_memory *memory = trp_runtime_memory(runtime);
    size_t size = sizeof(struct question) + head->size;
    struct question *question = trp_memory_alloc(memory, size, 16);
    troupe_pid helper;
    int error;

    if (question == NULL) {
        return TROUPE_ENOMEM;
    }
    memcpy(question, head, sizeof *head);
    write_body((struct trp_admin *)(void *)question->body, wish);
    error = troupe_runtime_spawn(runtime,
        (&(struct troupe_spawn_options){
            .behaviour = &asker_behaviour, .arg = question, .arg_size = size}),
        &helper);
    trp_memory_free(memory, question, size);
    return error;
}

static int ask_from_outside(struct troupe_runtime *runtime, troupe_pid supervisor,
    const struct wish *wish, int wait_ms, struct troupe_child_answer *out_answer)
{
    /* Who does not wait at all wants it done all the same. */
    struct question head = {
        .supervisor = supervisor, .timeout_ms = wait_ms == 0 ? TROUPE_FOREVER : wait_ms};
    struct trp_outcome outcome;
    int error;

    if (runtime == NULL || supervisor == TROUPE_NOBODY || wait_ms < TROUPE_FOREVER ||
        !is_wish(wish)) {
        return TROUPE_EINVAL;
    }
    head.size = body_size(wish);
    TROUPE_TRY(trp_latch_create(runtime, &head.latch));
    error = spawn_asker(runtime, &head, wish);
    if (error < 0) {
        trp_latch_drop(head.latch); /* for the helper */
        trp_latch_drop(head.latch);
        return error;
    }
    error = trp_latch_wait(head.latch, wait_ms, &outcome);
    trp_latch_drop(head.latch);
    if (error < 0 || outcome.status < 0) {
        return error < 0 ? error : outcome.status;
    }
    if (out_answer != NULL) {
        *out_answer = outcome.answer;
    }
    return outcome.answer.status;
}

int troupe_runtime_child(struct troupe_runtime *runtime, troupe_pid supervisor,
    enum troupe_child_op op, const char *id, const struct troupe_child_spec *spec, int wait_ms,
    struct troupe_child_answer *out_answer)
{
    struct wish wish = {.op = op, .id = id, .spec = spec};

    return ask_from_outside(runtime, supervisor, &wish, wait_ms, out_answer);
}

int troupe_runtime_child_spawn(struct troupe_runtime *runtime, troupe_pid supervisor,
    const void *extra, size_t extra_size, int wait_ms, struct troupe_child_answer *out_answer)
{
    struct wish wish = {
        .op = TROUPE_CHILD_START, .is_simple = true, .extra = extra, .extra_size = extra_size};

    return ask_from_outside(runtime, supervisor, &wish, wait_ms, out_answer);
}

int troupe_runtime_child_terminate(struct troupe_runtime *runtime, troupe_pid supervisor,
    troupe_pid pid, int wait_ms, struct troupe_child_answer *out_answer)
{
    struct wish wish = {.op = TROUPE_CHILD_TERMINATE, .is_simple = true, .pid = pid};

    return ask_from_outside(runtime, supervisor, &wish, wait_ms, out_answer);
}
