/* SPDX-License-Identifier: MIT */
/*
 * child.c - child specs: checked, copied into plans, and the record of one child.
 *
 * Trees are walked with a stack of their own, TRP_TREE_DEPTH_MAX deep, which also ends at a tree that contains
 * itself.
 */
#include "child.h"

#include <stdio.h>
#include <string.h>

#include <troupe/mailbox.h>
#include <troupe/registry.h>

#include "name_table.h"
#include "policy.h"
#include "via.h"

#define INTENSITY_DEFAULT 1
#define PERIOD_DEFAULT_MS 5000
#define CHILD_MAX_DEFAULT 1048576
#define SHUTDOWN_DEFAULT_MS 5000
#define START_DEFAULT_MS 5000
#define KILL_GRACE_DEFAULT_MS 5000
#define BACKOFF_MAX_DEFAULT_MS 30000
#define JITTER_DEFAULT 20

/** The id of a partition is no longer. */
#define PARTITION_DIGITS 4

/* ---- checking ---- */

/* A supervisor spec on the way through a tree. */
struct frame {
    const struct troupe_supervisor_spec *spec;
    size_t index;       /* the child to look at next */
    bool split;         /* it is the one above the partitions of `spec`, which are its children */
    bool unnamed;       /* nobody will be called anything; one that is added to a tree may be */
    size_t name_length; /* of the supervisor's name; 0: children have no names */
    size_t plan_at;     /* writing: where its plan begins */
};

static const char *backoff_fault(const struct troupe_backoff *backoff)
{
    if (backoff->min_ms < 0 || backoff->max_ms < 0 || backoff->reset_ms < 0) {
        return "backoff: a negative time";
    }
    if (backoff->max_ms > 0 && backoff->max_ms < backoff->min_ms) {
        return "backoff: max_ms is less than min_ms";
    }
    if (backoff->jitter_percent < TROUPE_NO_JITTER || backoff->jitter_percent > 100) {
        return "backoff: jitter_percent is not between 0 and 100";
    }
    return NULL;
}

static const char *child_fault(const struct troupe_child_spec *child)
{
    const struct troupe_behaviour *behaviour = child->behaviour;

    if (child->id == NULL || child->id[0] == '\0') {
        return "id: every child needs one";
    }
    if ((behaviour != NULL) + (child->tree != NULL) + (child->main != NULL) != 1) {
        return behaviour == NULL && child->tree == NULL
                   ? "behaviour, tree, main: a child needs one of them"
                   : "behaviour, tree, main: a child has only one of them";
    }
    if (behaviour != NULL &&
        (behaviour->name == NULL || (behaviour->receive != NULL) == (behaviour->main != NULL))) {
        return "behaviour: it needs a name, and either receive or main";
    }
    if (behaviour != NULL && behaviour->thread && behaviour->main == NULL) {
        return "behaviour: only with main it may have a thread of its own";
    }
    if (behaviour != NULL && behaviour->stack_size > TROUPE_STACK_MAX) {
        return "behaviour: its stack_size is above TROUPE_STACK_MAX";
    }
    if (behaviour != NULL && (behaviour->capacity > TROUPE_CAPACITY_MAX ||
                                 behaviour->capacity_bytes > TROUPE_CAPACITY_BYTES_MAX)) {
        return "behaviour: its capacity is too large";
    }
    if (behaviour != NULL && trp_policy_complaint(behaviour) != NULL) {
        return trp_policy_complaint(behaviour);
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
    if (child->significant && child->restart == TROUPE_PERMANENT) {
        return "significant: a permanent child never ends for good; make it transient or temporary";
    }
    if (child->tree != NULL && child->tree->auto_shutdown != TROUPE_SHUTDOWN_NEVER &&
        child->restart == TROUPE_PERMANENT) {
        return "restart: a supervisor that shuts itself down would come again for ever; make it "
               "transient or temporary";
    }
    if (child->shutdown_ms < TROUPE_NOW) {
        return "shutdown_ms: negative";
    }
    if (child->start_timeout_ms < TROUPE_NOW || child->start_timeout_ms == TROUPE_BRUTAL_KILL) {
        return "start_timeout_ms: negative";
    }
    if (child->group != NULL && !trp_name_is_valid(child->group)) {
        return "group: empty, or longer than TROUPE_NAME_MAX";
    }
    if (child->via != NULL && (child->tree != NULL || !trp_via_is_valid(child->via))) {
        return "via: not of a supervisor, and complete but for send";
    }
    if (child->kill_grace_ms < TROUPE_NOW || child->kill_grace_ms == TROUPE_BRUTAL_KILL) {
        return "kill_grace_ms: negative";
    }
    if (child->may_resume && (child->decide == NULL || behaviour == NULL)) {
        return "may_resume: means nothing without decide, nor of a supervisor or a main";
    }
    if ((unsigned)child->unkillable > TROUPE_UNKILLABLE_ABORT) {
        return "unkillable: not one of enum troupe_unkillable";
    }
    return backoff_fault(&child->backoff);
}

static const char *supervisor_fault(const struct troupe_supervisor_spec *spec)
{
    if ((unsigned)spec->strategy > TROUPE_POOL) {
        return "strategy: not one of enum troupe_strategy";
    }
    if ((unsigned)spec->auto_shutdown > TROUPE_SHUTDOWN_ALL_SIGNIFICANT) {
        return "auto_shutdown: not one of enum troupe_auto_shutdown";
    }
    if (spec->strategy >= TROUPE_SIMPLE_ONE_FOR_ONE &&
        spec->auto_shutdown != TROUPE_SHUTDOWN_NEVER) {
        return "auto_shutdown: not for simple_one_for_one and pools, whose children are never "
               "significant";
    }
    if (spec->strategy >= TROUPE_SIMPLE_ONE_FOR_ONE && spec->child_count != 1) {
        return "child_count: simple_one_for_one and pools have exactly one, the template";
    }
    if (spec->pool_size > 0 && spec->strategy != TROUPE_POOL) {
        return "pool_size: of a pool only";
    }
    if (spec->pool_size > (spec->child_max > 0 ? spec->child_max : CHILD_MAX_DEFAULT)) {
        return "pool_size: more than child_max";
    }
    if (spec->partitions > TROUPE_PARTITIONS_MAX) {
        return "partitions: more than TROUPE_PARTITIONS_MAX";
    }
    if (spec->partitions > 0 && spec->auto_shutdown != TROUPE_SHUTDOWN_NEVER) {
        return "auto_shutdown: not of partitions, which come again";
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

/* Its members need a group, and handle what is sent there. */
static const char *pool_fault(const struct frame *frame)
{
    const struct troupe_child_spec *template = &frame->spec->children[0];

    if (template->tree != NULL) {
        return "tree: a member of a pool is no supervisor";
    }
    if (template->group == NULL && frame->unnamed) {
        return "group: that of the members; without one the pool needs a name";
    }
    return NULL;
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
        if (fault == NULL && spec->children[i].significant &&
            spec->auto_shutdown == TROUPE_SHUTDOWN_NEVER) {
            fault = "significant: means nothing while auto_shutdown of its supervisor is never";
        }
        if (fault == NULL && frame->name_length > 0 &&
            frame->name_length + 1 + strlen(spec->children[i].id) > TROUPE_NAME_MAX) {
            fault = "id: with the names above it longer than TROUPE_NAME_MAX";
        }
    }
    if (fault == NULL && spec->strategy == TROUPE_POOL) {
        fault = pool_fault(frame);
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

static size_t name_of_partition(const struct frame *frame)
{
    return frame->name_length == 0 ? 0 : frame->name_length + 1 + PARTITION_DIGITS;
}

/* The next supervisor below `top`; false: there is none.  All partitions are alike: one of them is looked at. */
static bool next_below(struct frame *top, struct frame *out_below)
{
    size_t count = top->split ? 1 : top->spec->child_count;

    while (top->index < count) {
        const struct troupe_child_spec *child = &top->spec->children[top->index++];

        if (top->split) {
            *out_below = (struct frame){.spec = top->spec, .name_length = name_of_partition(top)};
            return true;
        }
        if (child->tree != NULL) {
            *out_below = (struct frame){.spec = child->tree,
                .split = child->tree->partitions > 0,
                .name_length = name_below(top, child)};
            return true;
        }
    }
    return false;
}

/* Looks at one supervisor, or at the one above its partitions, and its own children, not below. */
static const char *frame_fault(const struct frame *frame, bool is_child)
{
    if (!frame->split) {
        return level_fault(frame, is_child && frame->spec->partitions == 0);
    }
    if (is_child && frame->spec->name != NULL) {
        return "name: that of a child supervisor is its id";
    }
    return frame->unnamed ? "partitions: without a name nobody would find them" : NULL;
}

static const char *tree_fault(const struct troupe_supervisor_spec *spec, bool is_child)
{
    struct frame stack[TRP_TREE_DEPTH_MAX];
    unsigned depth = 1;
    const char *fault;

    stack[0] = (struct frame){.spec = spec,
        .split = spec->partitions > 0,
        .unnamed = !is_child && spec->name == NULL,
        .name_length = spec->name == NULL ? 0 : strnlen(spec->name, TROUPE_NAME_MAX + 1)};
    fault = frame_fault(&stack[0], is_child);
    while (fault == NULL && depth > 0) {
        struct frame below;

        if (!next_below(&stack[depth - 1], &below)) {
            depth--;
            continue;
        }
        if (depth == TRP_TREE_DEPTH_MAX) {
            return "tree: too deep, or part of itself";
        }
        below.unnamed = stack[0].unnamed;
        stack[depth] = below;
        fault = frame_fault(&stack[depth], true);
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

static int real_ms(int ms, int default_ms)
{
    switch (ms) {
    case 0:
        return default_ms;
    case TROUPE_NOW:
        return 0;
    default:
        return ms;
    }
}

static struct troupe_backoff real_backoff(const struct troupe_backoff *spec)
{
    struct troupe_backoff real = *spec;

    if (real.max_ms == 0) {
        real.max_ms = real.min_ms > BACKOFF_MAX_DEFAULT_MS ? real.min_ms : BACKOFF_MAX_DEFAULT_MS;
    }
    if (real.jitter_percent == 0) {
        real.jitter_percent = JITTER_DEFAULT;
    } else if (real.jitter_percent == TROUPE_NO_JITTER) {
        real.jitter_percent = 0;
    }
    if (real.reset_ms == 0) {
        real.reset_ms = real.min_ms / 2 + real.max_ms / 2;
    }
    return real;
}

static struct trp_plan *plan_at(const struct writer *writer, size_t at)
{
    return (struct trp_plan *)(void *)(writer->base + at);
}

static size_t children_of(const struct frame *frame)
{
    return frame->split ? frame->spec->partitions : frame->spec->child_count;
}

/* The head of a plan, with room for its children. */
static size_t put_head(struct writer *writer, const struct frame *frame)
{
    const struct troupe_supervisor_spec *spec = frame->spec;
    size_t count = children_of(frame);
    size_t at = reserve(writer, sizeof(struct trp_plan) + count * sizeof(struct trp_plan_child));

    if (writer->base != NULL) {
        int period_ms = spec->period_ms > 0 ? spec->period_ms : PERIOD_DEFAULT_MS;
        struct trp_plan head = {
            .child_count = count,
            .child_max = frame->split          ? count
                         : spec->child_max > 0 ? spec->child_max
                                               : CHILD_MAX_DEFAULT,
            .pool_size = spec->pool_size,
            .strategy = frame->split ? TROUPE_ONE_FOR_ONE : spec->strategy,
            .auto_shutdown = spec->auto_shutdown,
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
        .main = spec->main,
        .via = spec->via,
        .arg = spec->arg_size > 0 ? NULL : spec->arg,
        .arg_size = spec->arg_size,
        .shutdown_ms = real_shutdown_ms(spec),
        .start_timeout_ms = real_ms(spec->start_timeout_ms, START_DEFAULT_MS),
        .kill_grace_ms = real_ms(spec->kill_grace_ms, KILL_GRACE_DEFAULT_MS),
        .unkillable = spec->unkillable,
        .backoff = real_backoff(&spec->backoff),
        .restart = spec->restart,
        .decide = spec->decide,
        .decide_context = spec->decide_context,
        .may_resume = spec->may_resume,
        .keep_mailbox = spec->keep_mailbox,
        .pinned = spec->pinned,
        .significant = spec->significant,
    };

    child.id_at = put(writer, spec->id, strlen(spec->id) + 1) - head_at;
    if (spec->group != NULL) {
        child.group_at = put(writer, spec->group, strlen(spec->group) + 1) - head_at;
    }
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

/* The next child of `top`, a supervisor if it returns true: then *out_below is that. */
static bool put_next(struct writer *writer, struct frame *top, struct frame *out_below)
{
    size_t index = top->index++;
    const struct troupe_child_spec *child;
    char id[PARTITION_DIGITS + 1];

    if (top->split) {
        snprintf(id, sizeof id, "%u", (unsigned)index % (TROUPE_PARTITIONS_MAX + 1));
        put_child(
            writer, top->plan_at, index, &(struct troupe_child_spec){.id = id, .tree = top->spec});
        *out_below = (struct frame){.spec = top->spec};
        return true;
    }
    child = &top->spec->children[index];
    put_child(writer, top->plan_at, index, child);
    if (child->tree == NULL) {
        return false;
    }
    *out_below = (struct frame){.spec = child->tree, .split = child->tree->partitions > 0};
    return true;
}

static void put_tree(struct writer *writer, const struct troupe_supervisor_spec *spec)
{
    struct frame stack[TRP_TREE_DEPTH_MAX + 1];
    unsigned depth = 1;

    stack[0] = (struct frame){.spec = spec, .split = spec->partitions > 0};
    stack[0].plan_at = put_head(writer, &stack[0]);
    while (depth > 0) {
        struct frame *top = &stack[depth - 1];

        if (top->index == children_of(top)) {
            end_plan(writer, top, depth > 1 ? top - 1 : NULL);
            depth--;
        } else if (put_next(writer, top, top + 1)) {
            trp_assert(depth < TRP_TREE_DEPTH_MAX);
            top[1].plan_at = put_head(writer, top + 1);
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

int trp_child_add_arg(
    struct trp_memory *memory, struct trp_child *child, const void *extra, size_t extra_size)
{
    const struct trp_plan_child *spec = child->spec;
    size_t size = spec->arg_size + extra_size;
    unsigned char *arg;

    if (extra_size == 0) {
        return TROUPE_OK;
    }
    if (trp_child_is_supervisor(child) || spec->arg != NULL || size > UINT32_MAX) {
        return TROUPE_EINVAL;
    }
    arg = trp_memory_alloc(memory, size, 16);
    if (arg == NULL) {
        return TROUPE_ENOMEM;
    }
    if (spec->arg_size > 0) {
        memcpy(arg, (const char *)child->plan + spec->arg_at, spec->arg_size);
    }
    memcpy(arg + spec->arg_size, extra, extra_size);
    child->arg = arg;
    child->arg_size = size;
    return TROUPE_OK;
}

void trp_child_drop_arg(struct trp_memory *memory, struct trp_child *child)
{
    if (child->arg != NULL) {
        trp_memory_free(memory, child->arg, child->arg_size);
        child->arg = NULL;
    }
}

void trp_child_destroy(struct trp_memory *memory, struct trp_child *child)
{
    trp_child_drop_arg(memory, child);
    if (child->plan_size > 0) {
        trp_memory_free(memory, (void *)(uintptr_t)child->plan, child->plan_size);
    }
    trp_memory_free(memory, child, child->size);
}
