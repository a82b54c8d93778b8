/* SPDX-License-Identifier: MIT */
/*
 * desk.c - what others ask of a supervisor, answered at once or when the child has come to where they want it.
 */
#include "supervisor.h"

#include <string.h>

#include <troupe/mailbox.h>

#include "admin.h"

/* A request that is answered later. */
struct trp_pending {
    struct trp_list entry; /* in child->requests */
    struct troupe_message *request;
    enum troupe_child_op op;
};

static_assert(
    offsetof(struct trp_pending, entry) == 0, "trp_desk_is_asked() takes one for the other");

static void answer(struct trp_supervisor *sup, struct troupe_message *request, int status,
    const struct trp_child *child)
{
    struct troupe_child_answer body = {.status = status, .state = TROUPE_CHILD_STOPPED};

    if (child != NULL) {
        body.state = trp_child_shown_state(child);
        body.pid = trp_child_is_alive(child) ? child->pid : TROUPE_NOBODY;
    }
    if (troupe_reply(sup->self, request, &troupe_child_answer, &body) == TROUPE_ENOMEM) {
        trp_ignore(troupe_reply_error(sup->self, request, TROUPE_ENOMEM));
    }
}

/* Keeps the request that is handled until `child` has come to where it wants it. */
static int keep_request(struct trp_supervisor *sup, struct trp_child *child,
    struct troupe_message *msg, enum troupe_child_op op)
{
    struct trp_pending *pending =
        trp_memory_alloc(sup->memory, sizeof *pending, alignof(struct trp_pending));
    int error;

    if (pending == NULL) {
        return TROUPE_ENOMEM;
    }
    error = troupe_take(sup->self, msg, &pending->request);
    if (error < 0) {
        trp_memory_free(sup->memory, pending, sizeof *pending);
        return error;
    }
    pending->op = op;
    trp_list_push(&child->requests, &pending->entry);
    return TROUPE_OK;
}

static void settle(struct trp_supervisor *sup, struct trp_pending *pending, int status,
    const struct trp_child *child)
{
    answer(sup, pending->request, status, child);
    troupe_message_destroy(pending->request);
    trp_list_remove(&pending->entry);
    trp_memory_free(sup->memory, pending, sizeof *pending);
}

/* Whether somebody waits for `op` of this child. */
bool trp_desk_is_asked(const struct trp_child *child, enum troupe_child_op op)
{
    const struct trp_list *entry;

    for (entry = child->requests.next; entry != &child->requests; entry = entry->next) {
        if (((const struct trp_pending *)(const void *)entry)->op == op) {
            return true;
        }
    }
    return false;
}

/* Answers those that wait for `op`. */
void trp_desk_settle(
    struct trp_supervisor *sup, struct trp_child *child, enum troupe_child_op op, int status)
{
    struct trp_list *entry = child->requests.next;

    while (entry != &child->requests) {
        struct trp_pending *pending = trp_container_of(entry, struct trp_pending, entry);

        entry = entry->next;
        if (pending->op == op) {
            settle(sup, pending, status, child);
        }
    }
}

/* `child` runs, or will not: answers those that wanted it to. */
void trp_desk_settle_starts(struct trp_supervisor *sup, struct trp_child *child, int status)
{
    trp_desk_settle(sup, child, TROUPE_CHILD_START, status);
    trp_desk_settle(sup, child, TROUPE_CHILD_RESTART, status);
}

/* Says no to everybody who still waits. */
void trp_desk_close(struct trp_supervisor *sup)
{
    for (struct trp_child *child = trp_brood_first(sup); child != NULL;
         child = trp_brood_next(sup, child)) {
        trp_desk_settle(sup, child, TROUPE_CHILD_TERMINATE, TROUPE_OK);
        trp_desk_settle_starts(sup, child, TROUPE_ESTOPPED);
    }
}

/* The core answers them. */
void trp_desk_forget(struct trp_supervisor *sup, struct trp_child *child)
{
    struct trp_list *entry;

    for (entry = trp_list_pop(&child->requests); entry != NULL;
         entry = trp_list_pop(&child->requests)) {
        trp_memory_free(sup->memory, trp_container_of(entry, struct trp_pending, entry),
            sizeof(struct trp_pending));
    }
}

/* ---- what is asked ---- */

static void start_asked(struct trp_supervisor *sup, struct trp_child *child)
{
    int error = trp_life_start(sup, child);

    if (error < 0) {
        trp_restart_failed(sup, child, error, false);
    }
}

static int ask_start(
    struct trp_supervisor *sup, struct troupe_message *msg, const struct trp_admin *admin)
{
    const struct trp_plan *plan = trp_admin_plan(admin);
    struct trp_child *child = trp_child_find(sup->by_id, trp_plan_id(plan, &plan->children[0]));
    int error;

    if (child != NULL) {
        answer(sup, msg, TROUPE_EEXIST, child);
        return TROUPE_OK;
    }
    if (sup->child_count >= sup->plan->child_max) {
        return TROUPE_ELIMIT;
    }
    if (plan->children[0].significant && sup->plan->auto_shutdown == TROUPE_SHUTDOWN_NEVER) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_child_create(sup->memory, plan, &plan->children[0], sup->name, true, &child));
    error = keep_request(sup, child, msg, TROUPE_CHILD_START);
    if (error < 0) {
        trp_child_destroy(sup->memory, child);
        return error;
    }
    trp_brood_add(sup, child);
    if (sup->sweep != TRP_SWEEP_NONE) {
        /* It is the last one, and will have its turn. */
        trp_life_set_wanted(sup, child, true);
        return TROUPE_OK;
    }
    start_asked(sup, child);
    return TROUPE_OK;
}

static int ask_terminate(
    struct trp_supervisor *sup, struct troupe_message *msg, struct trp_child *child)
{
    if (!trp_child_is_alive(child)) {
        if (child->state == TROUPE_CHILD_RESTARTING) {
            trp_sweep_forsake(sup);
        }
        answer(sup, msg, TROUPE_OK, NULL);
        trp_life_set_wanted(sup, child, false);
        trp_restart_rest(sup, child);
        return TROUPE_OK;
    }
    if (child->orphan) {
        trp_life_set_wanted(sup, child, false);
        return TROUPE_ETIMEDOUT;
    }
    TROUPE_TRY(keep_request(sup, child, msg, TROUPE_CHILD_TERMINATE));
    trp_life_set_wanted(sup, child, false);
    /* Also one that is being killed because it started slowly: that start is not tried again. */
    child->start_error = TROUPE_OK;
    if (child->state != TROUPE_CHILD_STOPPING) {
        trp_life_stop(sup, child);
    }
    return TROUPE_OK;
}

static int ask_restart(
    struct trp_supervisor *sup, struct troupe_message *msg, struct trp_child *child)
{
    if (trp_child_shown_state(child) != TROUPE_CHILD_STOPPED) {
        answer(sup, msg, TROUPE_EBUSY, child);
        return TROUPE_OK;
    }
    TROUPE_TRY(keep_request(sup, child, msg, TROUPE_CHILD_RESTART));
    child->failures = 0;
    start_asked(sup, child);
    return TROUPE_OK;
}

static int ask_delete(
    struct trp_supervisor *sup, struct troupe_message *msg, struct trp_child *child)
{
    if (trp_child_shown_state(child) != TROUPE_CHILD_STOPPED) {
        answer(sup, msg, TROUPE_EBUSY, child);
        return TROUPE_OK;
    }
    trp_brood_remove(sup, child);
    answer(sup, msg, TROUPE_OK, NULL);
    return TROUPE_OK;
}

/* ---- of a simple_one_for_one ---- */

static int ask_spawn(
    struct trp_supervisor *sup, struct troupe_message *msg, const struct trp_admin *admin)
{
    struct trp_child *child;
    int error;

    if (sup->child_count >= sup->plan->child_max) {
        return TROUPE_ELIMIT;
    }
    TROUPE_TRY(
        trp_child_create(sup->memory, sup->plan, &sup->plan->children[0], NULL, false, &child));
    error = trp_child_add_arg(sup->memory, child, admin->rest, admin->extra_size);
    if (error == TROUPE_OK) {
        error = keep_request(sup, child, msg, TROUPE_CHILD_START);
    }
    if (error < 0) {
        trp_child_destroy(sup->memory, child);
        return error;
    }
    trp_brood_add(sup, child);
    start_asked(sup, child);
    return TROUPE_OK;
}

/* By pid: one that is dead is stopped; one that lives and is not ours is none of our business. */
static int ask_simple(
    struct trp_supervisor *sup, struct troupe_message *msg, const struct trp_admin *admin)
{
    struct trp_child *child;

    if (sup->phase == TRP_SUPERVISOR_ENDING) {
        return TROUPE_ESTOPPED;
    }
    if (admin->op == TROUPE_CHILD_START) {
        return ask_spawn(sup, msg, admin);
    }
    child = trp_brood_find_pid(sup, admin->pid);
    if (child != NULL) {
        return ask_terminate(sup, msg, child);
    }
    if (troupe_is_alive(sup->runtime, admin->pid)) {
        return TROUPE_ENOENT;
    }
    answer(sup, msg, TROUPE_OK, NULL);
    return TROUPE_OK;
}

/* One request about one child.  A negative result is its answer. */
static int ask(struct trp_supervisor *sup, struct troupe_message *msg)
{
    const struct trp_admin *admin = troupe_body(msg);
    struct trp_child *child;

    if (admin->is_simple != trp_supervisor_is_simple(sup) || trp_supervisor_is_pool(sup)) {
        return TROUPE_EINVAL;
    }
    if (admin->is_simple) {
        return ask_simple(sup, msg, admin);
    }
    if (admin->op == TROUPE_CHILD_START) {
        return sup->phase == TRP_SUPERVISOR_ENDING ? TROUPE_ESTOPPED : ask_start(sup, msg, admin);
    }
    child = trp_child_find(sup->by_id, trp_admin_id(admin));
    if (child == NULL) {
        return TROUPE_ENOENT;
    }
    if (admin->op == TROUPE_CHILD_WHICH) {
        answer(sup, msg, TROUPE_OK, child);
        return TROUPE_OK;
    }
    if (sup->phase == TRP_SUPERVISOR_ENDING) {
        return TROUPE_ESTOPPED;
    }
    switch (admin->op) {
    case TROUPE_CHILD_TERMINATE:
        return ask_terminate(sup, msg, child);
    case TROUPE_CHILD_RESTART:
        return ask_restart(sup, msg, child);
    case TROUPE_CHILD_DELETE:
        return ask_delete(sup, msg, child);
    default:
        return TROUPE_EINVAL;
    }
}

void trp_desk_ask(struct trp_supervisor *sup, struct troupe_message *msg)
{
    int error;

    if (!troupe_is_request(msg)) {
        return;
    }
    error = ask(sup, msg);
    if (error < 0) {
        answer(sup, msg, error, NULL);
    }
}

/* ---- what is listed ---- */

/* Of a simple_one_for_one the template is the one spec. */
static void count_child(
    const struct trp_supervisor *sup, struct troupe_children *list, const struct trp_child *child)
{
    list->specs += trp_supervisor_is_simple(sup) ? 0 : 1;
    list->active += trp_child_is_alive(child) ? 1 : 0;
    if (trp_child_is_supervisor(child)) {
        list->supervisors++;
    } else {
        list->workers++;
    }
}

static void write_row(
    const struct trp_supervisor *sup, struct troupe_child_info *row, const struct trp_child *child)
{
    memset(row, 0, sizeof *row);
    if (!trp_supervisor_is_simple(sup)) {
        strncpy(row->id, trp_child_id(child), sizeof row->id - 1);
    }
    row->pid = trp_child_is_alive(child) ? child->pid : TROUPE_NOBODY;
    row->state = trp_child_shown_state(child);
    row->restart = child->spec->restart;
    row->is_supervisor = trp_child_is_supervisor(child);
    row->restart_count = child->restart_count;
    trp_ignore(troupe_mailbox_length(sup->runtime, child->pid, &row->mailbox_length));
}

static uint32_t row_count(const struct trp_supervisor *sup, const struct trp_admin_list *wanted)
{
    uint64_t left = wanted->first < sup->child_count ? sup->child_count - wanted->first : 0;

    return left < wanted->limit ? (uint32_t)left : wanted->limit;
}

void trp_desk_list(struct trp_supervisor *sup, struct troupe_message *msg)
{
    const struct trp_admin_list *wanted = troupe_body(msg);
    uint32_t rows = row_count(sup, wanted);
    struct troupe_message *reply;
    struct troupe_children *list;
    uint64_t index = 0;
    int error;

    if (!troupe_is_request(msg)) {
        return;
    }
    error = troupe_message_create(
        sup->runtime, &troupe_children_answer, sizeof *list + rows * sizeof list->rows[0], &reply);
    if (error < 0) {
        trp_ignore(troupe_reply_error(sup->self, msg, error));
        return;
    }
    list = troupe_body(reply);
    memset(list, 0, sizeof *list);
    list->restart_count = sup->restart_count;
    list->specs = trp_supervisor_is_simple(sup) ? 1 : 0;
    for (struct trp_child *child = trp_brood_first(sup); child != NULL;
         child = trp_brood_next(sup, child)) {
        count_child(sup, list, child);
        if (index >= wanted->first && list->row_count < rows) {
            write_row(sup, &list->rows[list->row_count], child);
            list->row_count++;
        }
        index++;
    }
    if (troupe_reply_message(sup->self, msg, reply) < 0) {
        troupe_message_destroy(reply);
    }
}
