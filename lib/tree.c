/* SPDX-License-Identifier: MIT */
/*
 * tree.c - starting a supervisor as the top of a tree, from a thread that waits for it.
 */
#include "supervisor.h"

#include <troupe/link.h>

#include "latch.h"

int trp_supervisor_options(struct troupe_runtime *runtime,
    const struct troupe_supervisor_spec *spec, struct trp_latch *latch,
    struct troupe_spawn_options *out_options)
{
    size_t size = trp_plan_size(spec);
    struct trp_plan *plan = trp_memory_alloc(trp_runtime_memory(runtime), size, 16);

    if (plan == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_plan_write(plan, spec);
    plan->latch = latch;
    *out_options = (struct troupe_spawn_options){
        .behaviour = &trp_supervisor_behaviour,
        .arg = plan,
        .arg_size = size,
        .name = spec->name,
    };
    return TROUPE_OK;
}

void trp_supervisor_options_free(
    struct troupe_runtime *runtime, const struct troupe_spawn_options *options)
{
    trp_memory_free(
        trp_runtime_memory(runtime), (void *)(uintptr_t)options->arg, options->arg_size);
}

static int spawn_top(struct troupe_runtime *runtime, const struct troupe_supervisor_spec *spec,
    struct trp_latch *latch, troupe_pid *out_pid)
{
    struct troupe_spawn_options options;
    int error;

    TROUPE_TRY(trp_supervisor_options(runtime, spec, latch, &options));
    error = troupe_runtime_spawn(runtime, &options, out_pid);
    trp_supervisor_options_free(runtime, &options);
    return error;
}

/* Starts the workers, unless somebody has. */
static int start_runtime(struct troupe_runtime *runtime)
{
    int error = troupe_runtime_start(runtime);

    return error == TROUPE_EBUSY ? TROUPE_OK : error;
}

/* Waits for the outcome of a start.  One that failed is waited for until its name is free. */
static int await_start(
    struct troupe_runtime *runtime, struct trp_latch *latch, troupe_pid pid, int wait_ms)
{
    struct trp_outcome outcome;

    if (trp_latch_wait(latch, wait_ms, &outcome) < 0) {
        trp_ignore(troupe_runtime_exit(runtime, pid, TROUPE_EXIT_SHUTDOWN));
        return TROUPE_ETIMEDOUT;
    }
    if (outcome.status < 0) {
        trp_ignore(troupe_join(runtime, pid, wait_ms, NULL));
    }
    return outcome.status;
}

int troupe_supervisor_start(struct troupe_runtime *runtime,
    const struct troupe_supervisor_spec *spec, int wait_ms, troupe_pid *out_pid)
{
    struct trp_latch *latch;
    troupe_pid pid = TROUPE_NOBODY;
    int error;

    if (runtime == NULL || out_pid == NULL || wait_ms < TROUPE_FOREVER) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(troupe_supervisor_check(spec, NULL));
    TROUPE_TRY(trp_latch_create(runtime, &latch));
    error = start_runtime(runtime);
    if (error == TROUPE_OK) {
        error = spawn_top(runtime, spec, latch, &pid);
    }
    if (error < 0) {
        trp_latch_drop(latch); /* for the supervisor */
        trp_latch_drop(latch);
        return error;
    }
    error = await_start(runtime, latch, pid, wait_ms);
    trp_latch_drop(latch);
    if (error == TROUPE_OK) {
        *out_pid = pid;
    }
    return error;
}
