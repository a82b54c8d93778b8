/* SPDX-License-Identifier: MIT */
/* partition.c - finding the partition of a supervisor that a key belongs to, by its name; child.c makes them. */
#include "admin.h"

#include <stdio.h>
#include <string.h>

#include <troupe/group.h>
#include <troupe/partition.h>

#include "name_table.h"

/* TROUPE_ENOENT: nobody has the name. */
static int find(
    struct troupe_runtime *runtime, const char *name, uint32_t index, troupe_pid *out_pid)
{
    char full[TROUPE_NAME_MAX + 1];
    int length = snprintf(full, sizeof full, "%s.%u", name, index);
    troupe_pid pid;

    if (length < 0 || (size_t)length >= sizeof full) {
        return TROUPE_ENOENT;
    }
    pid = troupe_runtime_whereis(runtime, full);
    if (pid == TROUPE_NOBODY) {
        return TROUPE_ENOENT;
    }
    *out_pid = pid;
    return TROUPE_OK;
}

static bool are_partitions(const char *name, uint32_t partitions)
{
    return trp_name_is_valid(name) && partitions > 0 && partitions <= TROUPE_PARTITIONS_MAX;
}

int troupe_partition(struct troupe_runtime *runtime, const char *name, uint32_t partitions,
    uint64_t key, troupe_pid *out_pid)
{
    if (runtime == NULL || !are_partitions(name, partitions) || out_pid == NULL) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_reclaim_attach());
    /* Mixed: keys of the user's own may have a step. */
    return find(runtime, name, (uint32_t)(trp_trie_mix(key) % partitions), out_pid);
}

/* Whose id decides. */
static const char *key_of(
    enum troupe_child_op op, const char *id, const struct troupe_child_spec *spec)
{
    if (op == TROUPE_CHILD_START) {
        return spec != NULL ? spec->id : NULL;
    }
    return id;
}

static int find_by_id(struct troupe_runtime *runtime, const char *name, uint32_t partitions,
    const char *id, troupe_pid *out_pid)
{
    if (id == NULL) {
        return TROUPE_EINVAL;
    }
    return troupe_partition(runtime, name, partitions, troupe_key(id, strlen(id)), out_pid);
}

int troupe_partition_child(struct troupe_actor *self, const char *name, uint32_t partitions,
    enum troupe_child_op op, const char *id, const struct troupe_child_spec *spec, int timeout_ms,
    troupe_reply_fn on_reply, void *context)
{
    TRP_INSIDE(self);
    troupe_pid pid;

    if (!trp_actor_is_mine(self)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(find_by_id(self->runtime, name, partitions, key_of(op, id, spec), &pid));
    return troupe_child(self, pid, op, id, spec, timeout_ms, on_reply, context);
}

int troupe_runtime_partition_child(struct troupe_runtime *runtime, const char *name,
    uint32_t partitions, enum troupe_child_op op, const char *id,
    const struct troupe_child_spec *spec, int wait_ms, struct troupe_child_answer *out_answer)
{
    troupe_pid pid;

    TROUPE_TRY(find_by_id(runtime, name, partitions, key_of(op, id, spec), &pid));
    return troupe_runtime_child(runtime, pid, op, id, spec, wait_ms, out_answer);
}

/* ---- all of them ---- */

static void add(struct troupe_children *total, const struct troupe_children *part)
{
    total->specs += part->specs;
    total->active += part->active;
    total->supervisors += part->supervisors;
    total->workers += part->workers;
    total->restart_count += part->restart_count;
}

static int count_one(
    struct troupe_runtime *runtime, troupe_pid pid, int wait_ms, struct troupe_children *total)
{
    const struct trp_admin_list nothing = {0, 0};
    struct troupe_message *reply;
    int error = TROUPE_OK;

    TROUPE_TRY(
        troupe_runtime_call_message(runtime, pid, &trp_admin_list_type, &nothing, wait_ms, &reply));
    if (troupe_is(reply, &troupe_children_answer)) {
        add(total, troupe_body(reply));
    } else {
        error = TROUPE_EPROTO;
    }
    troupe_message_destroy(reply);
    return error;
}

int troupe_runtime_partition_count(struct troupe_runtime *runtime, const char *name,
    uint32_t partitions, int wait_ms, struct troupe_children *out_total)
{
    struct troupe_children total = {.row_count = 0};
    troupe_pid pid;

    if (runtime == NULL || !are_partitions(name, partitions) || wait_ms < TROUPE_FOREVER ||
        wait_ms == 0 || out_total == NULL) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_reclaim_attach());
    for (uint32_t i = 0; i < partitions; i++) {
        TROUPE_TRY(find(runtime, name, i, &pid));
        TROUPE_TRY(count_one(runtime, pid, wait_ms, &total));
    }
    *out_total = total;
    return TROUPE_OK;
}
