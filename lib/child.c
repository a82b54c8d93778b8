/* SPDX-License-Identifier: MIT */
/*
 * child.c - child specs: checked, copied into plans, and the record of one child.
 *
 * Trees are walked with a stack of their own, TRP_TREE_DEPTH_MAX deep, which also ends at a tree that contains
 * itself.
 */
#include "child.h"

#include <string.h>

#include <troupe/mailbox.h>
#include <troupe/registry.h>

#define INTENSITY_DEFAULT 1
#define PERIOD_DEFAULT_MS 5000
#define CHILD_MAX_DEFAULT 1048576
#define SHUTDOWN_DEFAULT_MS 5000
#define START_DEFAULT_MS 5000

/* ---- checking ---- */

/* A supervisor spec on the way through a tree. */
struct frame {
    const struct troupe_supervisor_spec *spec;
    size_t index;       /* the child to look at next */
    size_t name_length; /* of the supervisor's name; 0: children have no names */
    size_t plan_at;     /* writing: where its plan begins */
};

static const char *child_fault(const struct troupe_child_spec *child)
{
    const struct troupe_behaviour *behaviour = child->behaviour;

    if (child->id == NULL || child->id[0] == '\0') {
        return "id: every child needs one";
    }
    if ((behaviour == NULL) == (child->tree == NULL)) {
        return "behaviour, tree: a child has exactly one of them";
    }
    if (behaviour != NULL && (behaviour->name == NULL || behaviour->receive == NULL)) {
        return "behaviour: it needs a name and receive";
    }
    if (behaviour != NULL && (behaviour->capacity > TROUPE_CAPACITY_MAX ||
                                 behaviour->capacity_bytes > TROUPE_CAPACITY_BYTES_MAX)) {
        return "behaviour: its capacity is too large";
    }
    if (child->tree != NULL && child->arg != NULL) {
        return "arg: a supervisor takes none";
    }
    if ((child->arg_size > 0 && child->arg == NULL) || child->arg_size > UINT32_MAX) {
        return "arg_size: more than there is, or than can be copied";
    }
    if ((unsigned)child->restart > TROUPE_TEMPORARY) {
        return "restart: not one of enum troupe_restart";
    }
    if (child->shutdown_ms < TROUPE_NOW) {
        return "shutdown_ms: negative";
    }
    if (child->start_timeout_ms < TROUPE_NOW || child->start_timeout_ms == TROUPE_BRUTAL_KILL) {
        return "start_timeout_ms: negative";
    }
    return NULL;
}

static const char *supervisor_fault(const struct troupe_supervisor_spec *spec)
{
    if ((unsigned)spec->strategy > TROUPE_REST_FOR_ONE) {
        return "strategy: not one of enum troupe_strategy";
    }
    if (spec->intensity < TROUPE_NO_RESTARTS) {
        return "intensity: negative";
    }
    if (spec->period_ms < 0) {
        return "period_ms: negative";
    }
    if (spec->child_count > 0 && spec->children == NULL) {
        return "children: missing";
    }
    if (spec->child_count > (spec->child_max > 0 ? spec->child_max : CHILD_MAX_DEFAULT)) {
        return "child_count: more than child_max";
    }
    if (spec->name != NULL &&
        (spec->name[0] == '\0' || strnlen(spec->name, TROUPE_NAME_MAX + 1) > TROUPE_NAME_MAX)) {
        return "name: empty, or longer than TROUPE_NAME_MAX";
    }
    return NULL;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has_twins_slowly(const struct troupe_supervisor_spec *spec)
{
    for (size_t i = 0; i < spec->child_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(spec->children[i].id, spec->children[j].id) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Whether two children have the same id.  All ids are there. */
static bool has_twins(const struct troupe_supervisor_spec *spec)
{
    const char **ids;
    bool found = false;

    if (spec->child_count < 32) {
        return has_twins_slowly(spec);
    }
    /* No runtime is there whose memory it could be. */
    ids = malloc(spec->child_count * sizeof *ids);
    if (ids == NULL) {
        return has_twins_slowly(spec);
    }
    for (size_t i = 0; i < spec->child_count; i++) {
        ids[i] = spec->children[i].id;
    }
    qsort(ids, spec->child_count, sizeof *ids, compare_ids);
    for (size_t i = 1; i < spec->child_count && !found; i++) {
        found = strcmp(ids[i - 1], ids[i]) == 0;
    }
    free(ids);
    return found;
}

/* Looks at one supervisor and its own children, not below. */
static const char *level_fault(const struct frame *frame, bool is_child)
{
    const struct troupe_supervisor_spec *spec = frame->spec;
    const char *fault = supervisor_fault(spec);

    if (fault == NULL && is_child && spec->name != NULL) {
        fault = "name: that of a child supervisor is its id";
    }
    for (size_t i = 0; i < spec->child_count && fault == NULL; i++) {
        fault = child_fault(&spec->children[i]);
        if (fault == NULL && frame->name_length > 0 &&
            frame->name_length + 1 + strlen(spec->children[i].id) > TROUPE_NAME_MAX) {
            fault = "id: with the names above it longer than TROUPE_NAME_MAX";
        }
    }
    if (fault == NULL && has_twins(spec)) {
        fault = "id: two children have the same";
    }
    return fault;
}

static size_t name_below(const struct frame *frame, const struct troupe_child_spec *child)
{
    return frame->name_length == 0 ? 0 : frame->name_length + 1 + strlen(child->id);
}

static const char *tree_fault(const struct troupe_supervisor_spec *spec, bool is_child)
{
    struct frame stack[TRP_TREE_DEPTH_MAX];
    unsigned depth = 1;
    const char *fault;

    stack[0] = (struct frame){.spec = spec,
        .name_length = spec->name == NULL ? 0 : strnlen(spec->name, TROUPE_NAME_MAX + 1)};
    fault = level_fault(&stack[0], is_child);
    while (fault == NULL && depth > 0) {
        struct frame *top = &stack[depth - 1];
        const struct troupe_child_spec *child;

        if (top->index == top->spec->child_count) {
            depth--;
            continue;
        }
        child = &top->spec->children[top->index++];
        if (child->tree == NULL) {
            continue;
        }
        if (depth == TRP_TREE_DEPTH_MAX) {
            return "tree: too deep, or part of itself";
        }
        stack[depth] = (struct frame){.spec = child->tree, .name_length = name_below(top, child)};
        fault = level_fault(&stack[depth], true);
        depth++;
    }
    return fault;
}

static int say(const char *fault, const char **out_text)
{
    if (fault == NULL) {
        return TROUPE_OK;
    }
    if (out_text != NULL) {
        *out_text = fault;
    }
    return TROUPE_EINVAL;
}

int troupe_supervisor_check(const struct troupe_supervisor_spec *spec, const char **out_text)
{
    if (spec == NULL) {
        return say("spec: missing", out_text);
    }
    return say(tree_fault(spec, false), out_text);
}

int trp_child_check(const struct troupe_child_spec *spec, const char **out_text)
{
    const char *fault = child_fault(spec);

    if (fault == NULL && spec->tree != NULL) {
        fault = tree_fault(spec->tree, true);
    }
    return say(fault, out_text);
}

/* ---- plans ---- */

/* Where a plan is written; without `base` it is only measured. */
struct writer {
    unsigned char *base;
    size_t at;
};

/* Takes room for `size` bytes, all of it aligned to 16. */
static size_t reserve(struct writer *writer, size_t size)
{
    size_t at = writer->at;

    writer->at += (size + 15) & ~(size_t)15;
    return at;
}

static size_t put(struct writer *writer, const void *bytes, size_t size)
{
    size_t at = reserve(writer, size);

    if (writer->base != NULL && size > 0) {
        memcpy(writer->base + at, bytes, size);
    }
    return at;
}

static int real_shutdown_ms(const struct troupe_child_spec *spec)
{
    switch (spec->shutdown_ms) {
    case 0:
        return spec->tree != NULL ? TROUPE_FOREVER : SHUTDOWN_DEFAULT_MS;
    case TROUPE_NOW:
        return 0;
    default:
        return spec->shutdown_ms;
    }
}

static int real_start_ms(const struct troupe_child_spec *spec)
{
    switch (spec->start_timeout_ms) {
    case 0:
        return START_DEFAULT_MS;
    case TROUPE_NOW:
        return 0;
    default:
        return spec->start_timeout_ms;
    }
}

static struct trp_plan *plan_at(const struct writer *writer, size_t at)
{
    return (struct trp_plan *)(void *)(writer->base + at);
}

/* The head of a plan, with room for its children. */
static size_t put_head(struct writer *writer, const struct troupe_supervisor_spec *spec)
{
    size_t at = reserve(
        writer, sizeof(struct trp_plan) + spec->child_count * sizeof(struct trp_plan_child));

    if (writer->base != NULL) {
        int period_ms = spec->period_ms > 0 ? spec->period_ms : PERIOD_DEFAULT_MS;
        struct trp_plan head = {
            .child_count = spec->child_count,
            .child_max = spec->child_max > 0 ? spec->child_max : CHILD_MAX_DEFAULT,
            .strategy = spec->strategy,
            .intensity = spec->intensity > 0    ? (uint32_t)spec->intensity
                         : spec->intensity == 0 ? INTENSITY_DEFAULT
                                                : 0,
            .period_ns = (uint64_t)period_ms * 1000000U,
        };

        memcpy(plan_at(writer, at), &head, sizeof head);
    }
    return at;
}

/* One child, but for the plan of a supervisor, which comes next. */
static void put_child(
    struct writer *writer, size_t head_at, size_t index, const struct troupe_child_spec *spec)
{
    struct trp_plan_child child = {
        .behaviour = spec->tree != NULL ? &trp_supervisor_behaviour : spec->behaviour,
        .arg = spec->arg_size > 0 ? NULL : spec->arg,
        .arg_size = spec->arg_size,
        .shutdown_ms = real_shutdown_ms(spec),
        .start_timeout_ms = real_start_ms(spec),
        .restart = spec->restart,
        .keep_mailbox = spec->keep_mailbox,
    };

    child.id_at = put(writer, spec->id, strlen(spec->id) + 1) - head_at;
    if (spec->arg_size > 0) {
        child.arg_at = put(writer, spec->arg, spec->arg_size) - head_at;
    }
    if (spec->tree != NULL) {
        child.arg_at = writer->at - head_at;
    }
    if (writer->base != NULL) {
        plan_at(writer, head_at)->children[index] = child;
    }
}

/* A plan is complete: so large it is. */
static void end_plan(struct writer *writer, const struct frame *frame, const struct frame *above)
{
    uint64_t size = writer->at - frame->plan_at;

    if (writer->base == NULL) {
        return;
    }
    plan_at(writer, frame->plan_at)->size = size;
    if (above != NULL) {
        plan_at(writer, above->plan_at)->children[above->index - 1].arg_size = size;
    }
}

static void put_tree(struct writer *writer, const struct troupe_supervisor_spec *spec)
{
    struct frame stack[TRP_TREE_DEPTH_MAX];
    unsigned depth = 1;

    stack[0] = (struct frame){.spec = spec, .plan_at = put_head(writer, spec)};
    while (depth > 0) {
        struct frame *top = &stack[depth - 1];
        const struct troupe_child_spec *child;

        if (top->index == top->spec->child_count) {
            end_plan(writer, top, depth > 1 ? top - 1 : NULL);
            depth--;
            continue;
        }
        child = &top->spec->children[top->index];
        put_child(writer, top->plan_at, top->index, child);
        top->index++;
        if (child->tree != NULL) {
            trp_assert(depth < TRP_TREE_DEPTH_MAX);
            stack[depth] =
                (struct frame){.spec = child->tree, .plan_at = put_head(writer, child->tree)};
            depth++;
        }
    }
}

size_t trp_plan_size(const struct troupe_supervisor_spec *spec)
{
    struct writer writer = {0};

    put_tree(&writer, spec);
    return writer.at;
}

void trp_plan_write(struct trp_plan *plan, const struct troupe_supervisor_spec *spec)
{
    struct writer writer = {.base = (unsigned char *)plan};

    put_tree(&writer, spec);
}

/* ---- records ---- */

uint64_t trp_child_hash(const char *id)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *id != '\0'; id++) {
        hash = (hash ^ (unsigned char)*id) * UINT64_C(0x100000001b3);
    }
    return trp_trie_mix(hash);
}

static bool has_id(struct trp_trie *node, const void *wanted)
{
    const struct trp_child *child = trp_container_of(node, struct trp_child, by_id);

    return strcmp(trp_child_id(child), wanted) == 0;
}

struct trp_child *trp_child_find(struct trp_trie *root, const char *id)
{
    struct trp_trie *node = trp_trie_match(root, trp_child_hash(id), has_id, id);

    return node == NULL ? NULL : trp_container_of(node, struct trp_child, by_id);
}

/* The plan that a record refers to: the given one, or a copy of it. */
static const struct trp_plan *own_plan(
    struct trp_memory *memory, const struct trp_plan *plan, bool owned)
{
    struct trp_plan *copy;

    if (!owned) {
        return plan;
    }
    copy = trp_memory_alloc(memory, plan->size, 16);
    if (copy != NULL) {
        memcpy(copy, plan, plan->size);
    }
    return copy;
}

int trp_child_create(struct trp_memory *memory, const struct trp_plan *plan,
    const struct trp_plan_child *spec, const char *parent_name, bool owned,
    struct trp_child **out_child)
{
    const char *id = trp_plan_id(plan, spec);
    size_t parent_length = parent_name == NULL ? 0 : strlen(parent_name);
    size_t name_length = parent_name == NULL ? 0 : parent_length + 1 + strlen(id);
    size_t size = sizeof(struct trp_child) + name_length + 1;
    const struct trp_plan *kept;
    struct trp_child *child;

    if (name_length > TROUPE_NAME_MAX) {
        return TROUPE_EINVAL;
    }
    kept = own_plan(memory, plan, owned);
    child = kept == NULL ? NULL : trp_memory_alloc(memory, size, alignof(struct trp_child));
    if (child == NULL) {
        if (owned && kept != NULL) {
            trp_memory_free(memory, (void *)(uintptr_t)kept, plan->size);
        }
        return TROUPE_ENOMEM;
    }
    memset(child, 0, size);
    trp_list_init(&child->entry);
    trp_list_init(&child->requests);
    child->state = TROUPE_CHILD_STOPPED;
    child->plan = kept;
    child->spec = &kept->children[spec - plan->children];
    child->size = size;
    child->plan_size = owned ? plan->size : 0;
    if (parent_name != NULL) {
        memcpy(child->name, parent_name, parent_length);
        child->name[parent_length] = '.';
        memcpy(child->name + parent_length + 1, id, name_length - parent_length - 1);
    }
    *out_child = child;
    return TROUPE_OK;
}

void trp_child_destroy(struct trp_memory *memory, struct trp_child *child)
{
    if (child->plan_size > 0) {
        trp_memory_free(memory, (void *)(uintptr_t)child->plan, child->plan_size);
    }
    trp_memory_free(memory, child, child->size);
}
