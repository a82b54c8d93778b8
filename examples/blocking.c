/* SPDX-License-Identifier: MIT */
/*
 * blocking.c - work that blocks, elsewhere: an actor has files read, and goes on meanwhile.
 *
 * Each file is read by a job on a thread of the blocking pool; its outcome is a call of the continuation.
 */
#include <stdio.h>
#include <stdlib.h>

#include <troupe.h>

/* What a job is given, and what it finds: the actor's, then the job's, then the actor's again. */
struct reading {
    const char *path;
    long lines;
};

static int read_file(struct troupe_job *job, void *arg)
{
    struct reading *reading = arg;
    FILE *file = fopen(reading->path, "r");
    int byte;

    if (file == NULL) {
        return TROUPE_ESYSTEM;
    }
    while ((byte = fgetc(file)) != EOF && !troupe_job_is_cancelled(job)) {
        reading->lines += byte == '\n';
    }
    fclose(file);
    return TROUPE_OK;
}

static int on_read(struct troupe_actor *self, void *state, void *arg, int status)
{
    unsigned *left = state;
    struct reading *reading = arg;

    (void)self;
    if (status == TROUPE_OK) {
        printf("%s: %ld lines\n", reading->path, reading->lines);
    } else {
        printf("%s: %s\n", reading->path, troupe_strerror(status));
    }
    free(reading);
    return --*left == 0 ? TROUPE_DONE : TROUPE_OK;
}

static int reader_init(struct troupe_actor *self, void *state, const void *arg)
{
    static const char *const paths[] = {"/proc/self/status", "/proc/self/maps", "/no/such/file"};
    unsigned *left = state;

    (void)arg;
    for (size_t i = 0; i < TROUPE_COUNT(paths); i++) {
        struct reading *reading = calloc(1, sizeof *reading);
        int error;

        if (reading == NULL) {
            return TROUPE_ENOMEM;
        }
        reading->path = paths[i];
        error = troupe_blocking(self, read_file, reading, free, on_read, NULL);
        if (error < 0) {
            free(reading); /* those before are given back by `free` as well */
            return error;
        }
        ++*left;
    }
    return TROUPE_OK;
}

static int reader_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour reader = {.name = "reader",
    .state_size = sizeof(unsigned),
    .init = reader_init,
    .receive = reader_receive};

int main(void)
{
    static const struct troupe_child_spec children[] = {
        {.id = "reader", .behaviour = &reader, .restart = TROUPE_TRANSIENT, .significant = true}};
    static const struct troupe_supervisor_spec spec = {
        .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT,
        .children = children,
        .child_count = TROUPE_COUNT(children)};

    return troupe_run(&(struct troupe_runtime_options){0}, &spec) < 0;
}
