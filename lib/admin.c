/* SPDX-License-Identifier: MIT */
/*
 * admin.c - asking a supervisor, from an actor or from a foreign thread.
 *
 * Both make the same body.  A thread cannot ask, so it spawns a helper actor that does, with the body as its
 * argument, and waits at a gate (gate.h).
 */
#include "admin.h"

#include <string.h>

#include "gate.h"

const struct troupe_type troupe_child_answer = TROUPE_TYPE(struct troupe_child_answer);
const struct troupe_type troupe_children_answer = {
    "struct troupe_children", sizeof(struct troupe_children), NULL, true};
const struct troupe_type trp_admin_type = {
    "struct trp_admin", sizeof(struct trp_admin), NULL, true};
const struct troupe_type trp_admin_list_type = TROUPE_TYPE(struct trp_admin_list);

/* A supervisor spec around the one child that is to be added. */
static struct troupe_supervisor_spec wrap(const struct troupe_child_spec *spec)
{
    return (struct troupe_supervisor_spec){.children = spec, .child_count = 1};
}

static bool is_question(
    enum troupe_child_op op, const char *id, const struct troupe_child_spec *spec)
{
    if (op == TROUPE_CHILD_START) {
        return spec != NULL && trp_child_check(spec, NULL) == TROUPE_OK;
    }
    return (unsigned)op <= TROUPE_CHILD_WHICH && id != NULL && id[0] != '\0';
}

static size_t body_size(
    enum troupe_child_op op, const char *id, const struct troupe_child_spec *spec)
{
    if (op == TROUPE_CHILD_START) {
        struct troupe_supervisor_spec around = wrap(spec);

        return sizeof(struct trp_admin) + trp_plan_size(&around);
    }
    return sizeof(struct trp_admin) + strlen(id) + 1;
}

static void write_body(struct trp_admin *admin, enum troupe_child_op op, const char *id,
    const struct troupe_child_spec *spec)
{
    memset(admin, 0, sizeof *admin);
    admin->op = op;
    if (op == TROUPE_CHILD_START) {
        struct troupe_supervisor_spec around = wrap(spec);

        trp_plan_write((struct trp_plan *)(void *)admin->rest, &around);
    } else {
        memcpy(admin->rest, id, strlen(id) + 1);
    }
}

int troupe_child(struct troupe_actor *self, troupe_pid supervisor, enum troupe_child_op op,
    const char *id, const struct troupe_child_spec *spec, int timeout_ms, troupe_reply_fn on_reply,
    void *context)
{
    struct troupe_message *msg;
    int error;

    if (!trp_actor_is_mine(self) || !is_question(op, id, spec)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(
        troupe_message_create(self->runtime, &trp_admin_type, body_size(op, id, spec), &msg));
    write_body(troupe_body(msg), op, id, spec);
    error = troupe_request_message(self, supervisor, msg, timeout_ms, on_reply, context);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

int troupe_children(struct troupe_actor *self, troupe_pid supervisor, uint32_t first,
    uint32_t limit, int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    struct trp_admin_list wanted = {first, limit};

    return troupe_request(
        self, supervisor, &trp_admin_list_type, &wanted, timeout_ms, on_reply, context);
}

/* ---- from a foreign thread ---- */

/* Argument of the helper; the request's body comes behind it. */
struct question {
    struct trp_gate *gate;
    troupe_pid supervisor;
    int timeout_ms;
    size_t size;
    alignas(16) unsigned char body[];
};

struct asker {
    struct trp_gate *gate;
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
    trp_gate_tell(asker->gate, &outcome);
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

    asker->gate = question->gate;
    outcome.status = put_question(self, question);
    if (outcome.status < 0) {
        trp_gate_tell(asker->gate, &outcome);
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
    trp_gate_tell(asker->gate, &outcome);
    trp_gate_drop(asker->gate);
}

static const struct troupe_behaviour asker_behaviour = {
    .name = "troupe_runtime_child",
    .state_size = sizeof(struct asker),
    .init = asker_init,
    .receive = asker_receive,
    .destroy = asker_destroy,
};

static int spawn_asker(struct troupe_runtime *runtime, const struct question *head,
    enum troupe_child_op op, const char *id, const struct troupe_child_spec *spec)
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
    write_body((struct trp_admin *)(void *)question->body, op, id, spec);
    error = troupe_runtime_spawn(runtime,
        (&(struct troupe_spawn_options){
            .behaviour = &asker_behaviour, .arg = question, .arg_size = size}),
        &helper);
    trp_memory_free(memory, question, size);
    return error;
}

int troupe_runtime_child(struct troupe_runtime *runtime, troupe_pid supervisor,
    enum troupe_child_op op, const char *id, const struct troupe_child_spec *spec, int wait_ms,
    struct troupe_child_answer *out_answer)
{
    struct question head = {.supervisor = supervisor, .timeout_ms = wait_ms == 0 ? 1 : wait_ms};
    struct trp_outcome outcome;
    int error;

    if (runtime == NULL || supervisor == TROUPE_NOBODY || wait_ms < TROUPE_FOREVER ||
        !is_question(op, id, spec)) {
        return TROUPE_EINVAL;
    }
    head.size = body_size(op, id, spec);
    TROUPE_TRY(trp_gate_create(runtime, &head.gate));
    error = spawn_asker(runtime, &head, op, id, spec);
    if (error < 0) {
        trp_gate_drop(head.gate); /* for the helper */
        trp_gate_drop(head.gate);
        return error;
    }
    error = trp_gate_wait(head.gate, wait_ms, &outcome);
    trp_gate_drop(head.gate);
    if (error < 0 || outcome.status < 0) {
        return error < 0 ? error : outcome.status;
    }
    if (out_answer != NULL) {
        *out_answer = outcome.answer;
    }
    return outcome.answer.status;
}
