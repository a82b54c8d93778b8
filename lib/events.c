/* SPDX-License-Identifier: MIT */
/*
 * events.c - the event manager: a list of handlers, and who is told what.
 *
 * Adding, removing and swapping are requests to the manager, so they happen between two events: the list never changes
 * under somebody's feet, but for a handler that is removed after its own callback.
 *
 * Each callback of a handler runs under a guard (trp_actor_guard()): troupe_exit() inside ends the handler, not the
 * manager.  What is needed to remove a handler, the message to who supervised it included, was set aside when it was added.
 *
 *              add, swap              init fails
 *     (block) -----------> STARTING ---------------> destroy --> (block)
 *                             |                        ^
 *                             +--> in the list ---> terminate, owner told
 */
#include "sys.h"

#include <stdio.h>
#include <string.h>

#include <troupe/events.h>
#include <troupe/link.h>

struct entry {
    struct trp_list link; /* in events.handlers */
    struct troupe_handler_id id;
    troupe_pid owner;            /* who supervises it, or TROUPE_NOBODY */
    troupe_ref ref;              /* of the monitor of the owner */
    struct troupe_message *gone; /* for the owner; with ours to send */
    alignas(16) unsigned char state[];
};

struct events {
    struct trp_list handlers; /* in the order in which they are told */
    struct trp_memory *memory;
    struct trp_sys sys;
};

static_assert(TROUPE_EVENTS_STATE >= sizeof(struct events), "the record fits");

enum op {
    OP_ADD,
    OP_REMOVE,
    OP_SWAP,
};

/* Body of a request. */
struct wish {
    enum op op;
    struct troupe_handler_id old;
    struct troupe_handler_options options;
    alignas(16) unsigned char arg[];
};

const struct troupe_type troupe_handler_gone = TROUPE_TYPE(struct troupe_handler_gone);
const struct troupe_type troupe_events_told = TROUPE_SIGNAL;
static const struct troupe_type wish_type = {"wish", sizeof(struct wish), NULL, true};

static const struct troupe_reason no_reason = {.kind = TROUPE_EXIT_NORMAL};

static struct entry *entry_of(struct trp_list *link)
{
    return trp_container_of(link, struct entry, link);
}

static struct entry *find(struct events *events, struct troupe_handler_id id)
{
    for (struct trp_list *at = events->handlers.next; at != &events->handlers; at = at->next) {
        struct entry *entry = entry_of(at);

        if (entry->id.handler == id.handler && entry->id.number == id.number) {
            return entry;
        }
    }
    return NULL;
}

/* The names of the handlers. */
static int format(const void *state, char *text, size_t size)
{
    const struct events *events = state;
    size_t length = 0;

    for (struct trp_list *at = events->handlers.next; at != &events->handlers && length < size;
         at = at->next) {
        int more = snprintf(text + length, size - length, "%s%s", length > 0 ? ", " : "",
            entry_of(at)->id.handler->name);

        length += more > 0 ? (size_t)more : 0;
    }
    return TROUPE_OK;
}

static struct trp_sys_view view_of(struct events *events)
{
    return (struct trp_sys_view){.sys = &events->sys, .state = events, .format = format};
}

/* ---- callbacks, guarded ---- */

struct visit {
    struct troupe_actor *self;
    struct entry *entry;
    troupe_receive_fn receive;
    struct troupe_message *msg;
    const void *arg;
    void *old;
    enum troupe_handler_end end;
    const struct troupe_reason *reason;
};

static int visit_init(void *arg)
{
    const struct visit *visit = arg;
    const struct troupe_handler *handler = visit->entry->id.handler;

    return handler->init != NULL
               ? handler->init(visit->self, visit->entry->state, visit->arg, visit->old)
               : TROUPE_OK;
}

static int visit_receive(void *arg)
{
    const struct visit *visit = arg;

    return visit->receive(visit->self, visit->entry->state, visit->msg);
}

static int visit_terminate(void *arg)
{
    const struct visit *visit = arg;

    visit->entry->id.handler->terminate(
        visit->self, visit->entry->state, visit->end, visit->reason);
    return TROUPE_OK;
}

/* ---- the end of a handler ---- */

/* The owner is told, if it is not the one that has ended. */
static void tell_owner(struct troupe_actor *self, struct entry *entry, enum troupe_handler_end end,
    const struct troupe_reason *reason)
{
    struct troupe_actor *owner = trp_actor_find(self->runtime, entry->owner);
    struct troupe_message *gone = entry->gone;

    if (gone == NULL || owner == NULL || end == TROUPE_HANDLER_ORPHAN) {
        return;
    }
    entry->gone = NULL;
    gone->sender = trp_actor_pid(self);
    *(struct troupe_handler_gone *)trp_message_body(gone) = (struct troupe_handler_gone){
        .manager = trp_actor_pid(self),
        .id = entry->id,
        .end = end,
        .kind = reason->kind,
        .code = reason->code,
    };
    trp_send_reserved(trp_context_of(self), owner, gone);
}

/* The block, and what belongs to it. */
static void entry_free(struct trp_memory *memory, struct entry *entry)
{
    if (entry->id.handler->destroy != NULL && !trp_actor_is_crash()) {
        entry->id.handler->destroy(entry->state);
    }
    troupe_message_destroy(entry->gone);
    trp_memory_free(memory, entry, sizeof *entry + entry->id.handler->state_size);
}

static void end_entry(struct troupe_actor *self, struct entry *entry, enum troupe_handler_end end,
    const struct troupe_reason *reason)
{
    struct events *events = self->state;

    trp_list_remove(&entry->link);
    if (entry->id.handler->terminate != NULL) {
        struct visit visit = {.self = self, .entry = entry, .end = end, .reason = reason};
        struct troupe_reason ignored;

        (void)trp_actor_guard(self, visit_terminate, &visit, &ignored);
        troupe_buffer_release(ignored.text);
    }
    if (entry->owner != TROUPE_NOBODY) {
        (void)troupe_demonitor(self, entry->ref);
    }
    tell_owner(self, entry, end, reason);
    entry_free(events->memory, entry);
}

static void report(
    struct troupe_actor *self, struct entry *entry, const struct troupe_reason *reason)
{
    const struct trp_sys *sys = &((const struct events *)self->state)->sys;
    const struct troupe_handler *handler = entry->id.handler;
    struct troupe_report event = {.kind = TROUPE_REPORT_CRASH,
        .pid = trp_actor_pid(self),
        .actor = self->behaviour->name,
        .reason = reason};
    char text[TROUPE_SYS_TEXT] = "";

    if (handler->format == NULL || handler->format(entry->state, text, sizeof text) < 0) {
        text[0] = '\0';
    }
    text[sizeof text - 1] = '\0';
    trp_report_event(self->runtime, &event,
        "handler %s is removed: %s, error %d%s%s; last message %s; state: %s", handler->name,
        troupe_exit_name(reason->kind), reason->code, reason->text != NULL ? ", " : "",
        troupe_reason_text(reason), sys->last_type != NULL ? sys->last_type : "none",
        text[0] != '\0' ? text : "not shown");
}

/* A callback of a handler is over. */
static void conclude(
    struct troupe_actor *self, struct entry *entry, int status, const struct troupe_reason *reason)
{
    if (status == TROUPE_OK || status == TROUPE_EUNKNOWN) {
        return;
    }
    if (status == TROUPE_DONE) {
        end_entry(self, entry, TROUPE_HANDLER_DONE, reason);
        return;
    }
    report(self, entry, reason);
    end_entry(self, entry, TROUPE_HANDLER_FAILED, reason);
}

/* ---- events ---- */

static void tell(struct troupe_actor *self, struct entry *entry, troupe_receive_fn receive,
    struct troupe_message *msg)
{
    struct visit visit = {.self = self, .entry = entry, .receive = receive, .msg = msg};
    struct troupe_reason reason;
    int status;

    if (receive == NULL) {
        return;
    }
    status = trp_actor_guard(self, visit_receive, &visit, &reason);
    if (status > TROUPE_DONE && reason.kind == TROUPE_EXIT_NORMAL) {
        /* A number that means nothing; of TRP_OPEN_EXIT the reason tells whether it was returned. */
        reason = (struct troupe_reason){.kind = TROUPE_EXIT_ERROR, .code = TROUPE_EINVAL};
    }
    conclude(self, entry, status, &reason);
    troupe_buffer_release(reason.text);
}

static int tell_all(struct troupe_actor *self, struct events *events, struct troupe_message *msg)
{
    bool info = !trp_message_is_sent(msg);
    struct trp_list *next;

    for (struct trp_list *at = events->handlers.next; at != &events->handlers; at = next) {
        const struct troupe_handler *handler = entry_of(at)->id.handler;

        next = at->next;
        tell(self, entry_of(at), info ? handler->info : handler->event, msg);
    }
    if (!self->taken && troupe_is_request(msg)) {
        return troupe_reply(self, msg, &troupe_events_told, NULL) == TROUPE_OK
                   ? TROUPE_OK
                   : troupe_reply_error(self, msg, TROUPE_ENOMEM);
    }
    return TROUPE_OK;
}

/* ---- handlers come and go ---- */

static int supervise(struct troupe_actor *self, struct entry *entry, troupe_pid owner)
{
    entry->gone = trp_message_new(
        trp_context_of(self), &troupe_handler_gone, sizeof(struct troupe_handler_gone), 0);
    if (entry->gone == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_message_set_runtime(entry->gone, self->runtime);
    TROUPE_TRY(troupe_monitor(self, owner, &entry->ref));
    entry->owner = owner;
    return TROUPE_OK;
}

/* A handler whose init has not been called. */
static int entry_new(
    struct troupe_actor *self, const struct wish *wish, troupe_pid owner, struct entry **out_entry)
{
    struct trp_memory *memory = ((struct events *)self->state)->memory;
    size_t size = sizeof(struct entry) + wish->options.id.handler->state_size;
    struct entry *entry = trp_memory_alloc(memory, size, 16);

    if (entry == NULL) {
        return TROUPE_ENOMEM;
    }
    memset(entry, 0, size);
    entry->id = wish->options.id;
    trp_list_init(&entry->link);
    if (wish->options.supervised) {
        int error = supervise(self, entry, owner);

        if (error < 0) {
            troupe_message_destroy(entry->gone);
            trp_memory_free(memory, entry, size);
            return error;
        }
    }
    *out_entry = entry;
    return TROUPE_OK;
}

/* Calls init; on error the handler is gone. */
static int start(
    struct troupe_actor *self, struct entry *entry, const struct wish *wish, struct entry *old)
{
    struct events *events = self->state;
    struct visit visit = {.self = self,
        .entry = entry,
        .arg = wish->options.arg_size > 0 ? wish->arg : wish->options.arg,
        .old = old != NULL ? old->state : NULL};
    struct troupe_reason reason;
    int status = trp_actor_guard(self, visit_init, &visit, &reason);

    if (status != TROUPE_OK) {
        status = status < 0 ? status : reason.code < 0 ? reason.code : TROUPE_EINVAL;
        if (entry->owner != TROUPE_NOBODY) {
            (void)troupe_demonitor(self, entry->ref);
        }
        entry_free(events->memory, entry);
    }
    troupe_buffer_release(reason.text);
    return status;
}

static int add(struct troupe_actor *self, const struct wish *wish, troupe_pid owner)
{
    struct events *events = self->state;
    struct entry *entry;

    if (find(events, wish->options.id) != NULL) {
        return TROUPE_EEXIST;
    }
    TROUPE_TRY(entry_new(self, wish, owner, &entry));
    TROUPE_TRY(start(self, entry, wish, NULL));
    trp_list_push(&events->handlers, &entry->link);
    return TROUPE_OK;
}

static int swap(struct troupe_actor *self, const struct wish *wish, troupe_pid owner)
{
    struct events *events = self->state;
    struct entry *old = find(events, wish->old);
    struct entry *same = find(events, wish->options.id);
    struct entry *entry;

    if (old == NULL) {
        return TROUPE_ENOENT;
    }
    if (same != NULL && same != old) {
        return TROUPE_EEXIST;
    }
    TROUPE_TRY(entry_new(self, wish, owner, &entry));
    TROUPE_TRY(start(self, entry, wish, old));
    /* In its place: a list's push puts it before whom it is given. */
    trp_list_push(&old->link, &entry->link);
    end_entry(self, old, TROUPE_HANDLER_SWAPPED, &no_reason);
    return TROUPE_OK;
}

static int remove_handler(struct troupe_actor *self, const struct wish *wish)
{
    struct entry *entry = find(self->state, wish->old);

    if (entry == NULL) {
        return TROUPE_ENOENT;
    }
    end_entry(self, entry, TROUPE_HANDLER_REMOVED, &no_reason);
    return TROUPE_OK;
}

static int grant(struct troupe_actor *self, struct troupe_message *msg)
{
    const struct wish *wish = troupe_body(msg);
    int status;

    switch (wish->op) {
    case OP_ADD:
        status = add(self, wish, msg->sender);
        break;
    case OP_SWAP:
        status = swap(self, wish, msg->sender);
        break;
    default:
        status = remove_handler(self, wish);
    }
    if (status == TROUPE_OK) {
        status = troupe_reply(self, msg, &troupe_events_told, NULL);
    }
    return status < 0 ? troupe_reply_error(self, msg, status) : TROUPE_OK;
}

/* Whether it was of an owner, whose handler is removed. */
static bool is_orphaned(
    struct troupe_actor *self, struct events *events, struct troupe_message *msg)
{
    const struct troupe_down *down = troupe_body(msg);

    if (!troupe_is(msg, &troupe_down)) {
        return false;
    }
    for (struct trp_list *at = events->handlers.next; at != &events->handlers; at = at->next) {
        struct entry *entry = entry_of(at);

        if (entry->owner == down->pid && entry->ref == down->ref) {
            end_entry(self, entry, TROUPE_HANDLER_ORPHAN, &down->reason);
            return true;
        }
    }
    return false;
}

/* ---- the manager ---- */

int troupe_events_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct events *events = state;

    if (msg->flags & TRP_MESSAGE_SYSTEM) {
        struct trp_sys_view view = view_of(events);

        return trp_sys_receive(self, &view, msg);
    }
    trp_sys_note(self, &events->sys, msg);
    if (msg->type == &wish_type) {
        return grant(self, msg);
    }
    if (is_orphaned(self, events, msg)) {
        return TROUPE_OK;
    }
    trp_sys_obey(self, msg);
    return tell_all(self, events, msg);
}

int troupe_events_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct events *events = state;

    (void)arg;
    trp_list_init(&events->handlers);
    events->memory = trp_runtime_memory(self->runtime);
    if (self->behaviour->may_wait) {
        /* troupe_exit() on a fiber would not come back to the guard. */
        return troupe_fail(self, TROUPE_EINVAL, "an event manager may not wait");
    }
    trp_sys_begin(self, &events->sys);
    return TROUPE_OK;
}

void troupe_events_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct events *events = state;
    struct trp_sys_view view = view_of(events);

    trp_sys_report(self, &view, reason);
    while (!trp_list_is_empty(&events->handlers)) {
        end_entry(self, entry_of(events->handlers.next), TROUPE_HANDLER_STOPPED, reason);
    }
}

/* Those that were not terminated: the manager was killed. */
void troupe_events_destroy(void *state)
{
    struct events *events = state;
    struct trp_list *link;

    while ((link = trp_list_pop(&events->handlers)) != NULL) {
        entry_free(events->memory, entry_of(link));
    }
}

/* ---- asking ---- */

static bool is_manager(struct troupe_actor *self, troupe_pid pid)
{
    const struct troupe_actor *actor = trp_actor_find(self->runtime, pid);

    /* Of one that is gone the request says so. */
    return pid != TROUPE_NOBODY &&
           (actor == NULL || actor->behaviour->receive == troupe_events_receive);
}

static bool is_right(const struct troupe_handler_options *options)
{
    return options != NULL && options->id.handler != NULL && options->id.handler->name != NULL &&
           options->id.handler->state_size <= TROUPE_BODY_MAX &&
           (options->arg_size == 0 || options->arg != NULL) &&
           options->arg_size <= TROUPE_BODY_MAX - sizeof(struct wish);
}

static int ask(struct troupe_actor *self, troupe_pid manager, const struct wish *wish,
    int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    struct troupe_message *msg;
    int error;

    TROUPE_TRY(troupe_message_create(
        self->runtime, &wish_type, sizeof *wish + wish->options.arg_size, &msg));
    memcpy(troupe_body(msg), wish, sizeof *wish);
    if (wish->options.arg_size > 0) {
        memcpy(((struct wish *)troupe_body(msg))->arg, wish->options.arg, wish->options.arg_size);
    }
    error = troupe_request_message(self, manager, msg, timeout_ms, on_reply, context);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

int troupe_events_add(struct troupe_actor *self, troupe_pid manager,
    const struct troupe_handler_options *options, int timeout_ms, troupe_reply_fn on_reply,
    void *context)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || !is_manager(self, manager) || !is_right(options)) {
        return TROUPE_EINVAL;
    }
    return ask(self, manager, &(struct wish){.op = OP_ADD, .options = *options}, timeout_ms,
        on_reply, context);
}

int troupe_events_remove(struct troupe_actor *self, troupe_pid manager, struct troupe_handler_id id,
    int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || !is_manager(self, manager) || id.handler == NULL) {
        return TROUPE_EINVAL;
    }
    return ask(
        self, manager, &(struct wish){.op = OP_REMOVE, .old = id}, timeout_ms, on_reply, context);
}

int troupe_events_swap(struct troupe_actor *self, troupe_pid manager, struct troupe_handler_id old,
    const struct troupe_handler_options *options, int timeout_ms, troupe_reply_fn on_reply,
    void *context)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || !is_manager(self, manager) || old.handler == NULL ||
        !is_right(options)) {
        return TROUPE_EINVAL;
    }
    return ask(self, manager, &(struct wish){.op = OP_SWAP, .old = old, .options = *options},
        timeout_ms, on_reply, context);
}
