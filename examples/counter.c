/* SPDX-License-Identifier: MIT */
/*
 * counter.c - an actor that counts, and a thread that sends to it and asks it.
 *
 * Several threads could send at the same time: the counter handles one message after the other, so it needs no lock.
 */
#include <stdio.h>

#include <troupe.h>

static const struct troupe_type add = TROUPE_TYPE(int);
static const struct troupe_type get = TROUPE_SIGNAL;
static const struct troupe_type count = TROUPE_TYPE(int);

/* The state is the actor's own; it begins as zeros. */
static int counter_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int *sum = state;

    if (troupe_is(msg, &add)) {
        *sum += *(const int *)troupe_body(msg);
        return TROUPE_OK;
    }
    if (troupe_is(msg, &get)) {
        return troupe_reply(self, msg, &count, sum);
    }
    return TROUPE_EUNKNOWN; /* counted, and forgotten */
}

static const struct troupe_behaviour counter = {
    .name = "counter",
    .state_size = sizeof(int),
    .receive = counter_receive,
};

/* A message is moved: on success it is the receiver's, on error it is still ours.  A full mailbox is waited for. */
static int send_add(struct troupe_runtime *runtime, troupe_pid to, int number)
{
    struct troupe_message *msg;
    int error;

    TROUPE_TRY(troupe_message_create(runtime, &add, 0, &msg));
    *(int *)troupe_body(msg) = number;
    error = troupe_send_wait(runtime, to, msg, 1000);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

static int run(struct troupe_runtime *runtime)
{
    troupe_pid pid;
    int sum;

    TROUPE_TRY(troupe_runtime_spawn(
        runtime, (&(struct troupe_spawn_options){.behaviour = &counter}), &pid));
    TROUPE_TRY(troupe_runtime_start(runtime));
    for (int i = 1; i <= 10; i++) {
        TROUPE_TRY(send_add(runtime, pid, i));
    }
    /* From one sender everything arrives in order: the question comes after the numbers. */
    TROUPE_TRY(troupe_runtime_call(runtime, pid, &get, NULL, &count, &sum, 1000));
    printf("1 + 2 + ... + 10 = %d\n", sum);
    return troupe_runtime_stop(runtime, TROUPE_FOREVER);
}

int main(void)
{
    struct troupe_runtime *runtime;
    int error = troupe_runtime_create(NULL, &runtime);

    if (error == TROUPE_OK) {
        error = run(runtime);
        (void)troupe_runtime_destroy(runtime);
    }
    if (error < 0) {
        fprintf(stderr, "counter: %s\n", troupe_strerror(error));
    }
    return error < 0;
}
