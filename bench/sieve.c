/* SPDX-License-Identifier: MIT */
/*
 * sieve.c - numbers go through a chain of filters that grows: each keeps 100 primes and passes on what none of them divides.
 *
 * A number that gets to the end of the chain is a prime, and kept there; where there is no room the filter spawns the
 * next one.  A 0 behind the last number ends them one after the other.
 */
#include "harness.h"

#include <stdlib.h>

#define LAST 200000U
#define PRIMES 100U
#define TURN 64U

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type number = TROUPE_TYPE(uint64_t);

struct filter {
    struct bench_run *run;
    troupe_pid next; /* or NOBODY */
    uint64_t count;
    uint32_t primes[PRIMES];
};

struct source {
    struct bench_run *run;
    troupe_pid first;
    uint64_t next;
    uint64_t last;
};

static const struct troupe_behaviour filter_behaviour;

static int filter_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct filter *filter = state;

    (void)self;
    /* The run outlives its actors, and its address came through `const void *`. */
    filter->run = (struct bench_run *)(uintptr_t)arg;
    return TROUPE_OK;
}

static bool is_divided(const struct filter *filter, uint32_t value)
{
    for (uint64_t i = 0; i < filter->count; i++) {
        if (value % filter->primes[i] == 0) {
            return true;
        }
    }
    return false;
}

/* To the next filter, which is spawned for the first number that needs it. */
static int pass_on(struct troupe_actor *self, struct filter *filter, uint64_t value)
{
    struct troupe_spawn_options options = {.behaviour = &filter_behaviour, .arg = filter->run};

    if (filter->next == TROUPE_NOBODY) {
        TROUPE_TRY(troupe_spawn(self, &options, &filter->next));
    }
    return troupe_send(self, filter->next, &number, &value);
}

/* The 0 came: what was kept are primes. */
static int finish(struct troupe_actor *self, struct filter *filter)
{
    uint64_t sum = 0;
    uint64_t zero = 0;

    for (uint64_t i = 0; i < filter->count; i++) {
        sum += filter->primes[i];
    }
    bench_tally(filter->run, filter->count, sum);
    if (filter->next != TROUPE_NOBODY) {
        TROUPE_TRY(troupe_send(self, filter->next, &number, &zero));
    } else {
        bench_part_done(filter->run);
    }
    return TROUPE_DONE;
}

static int filter_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct filter *filter = state;
    uint64_t value = *(uint64_t *)troupe_body(msg);

    if (value == 0) {
        return finish(self, filter);
    }
    if (is_divided(filter, (uint32_t)value)) {
        return TROUPE_OK;
    }
    if (filter->count == PRIMES) {
        return pass_on(self, filter, value);
    }
    filter->primes[filter->count++] = (uint32_t)value;
    return TROUPE_OK;
}

static int source_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct source *)state = *(const struct source *)arg;
    return TROUPE_OK;
}

static int source_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct source *source = state;
    uint64_t zero = 0;

    (void)msg;
    for (unsigned i = 0; i < TURN && source->next <= source->last; i++, source->next++) {
        TROUPE_TRY(troupe_send(self, source->first, &number, &source->next));
    }
    if (source->next <= source->last) {
        return troupe_send(self, troupe_self(self), &go_on, NULL);
    }
    TROUPE_TRY(troupe_send(self, source->first, &number, &zero));
    return TROUPE_DONE;
}

static const struct troupe_behaviour filter_behaviour = {
    .name = "filter",
    .state_size = sizeof(struct filter),
    .init = filter_init,
    .receive = filter_receive,
    .capacity = TROUPE_CAPACITY_MAX,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX,
};

static const struct troupe_behaviour source_behaviour = {
    .name = "source",
    .state_size = sizeof(struct source),
    .init = source_init,
    .receive = source_receive,
};

/* What must come out, found the ordinary way; returns how many numbers filters get.  A number stops where its least prime
 * factor is kept, and a prime where it is. */
static uint64_t foresee(struct bench_run *run, uint64_t last, uint32_t *least)
{
    uint64_t messages = 0;
    uint32_t primes = 0;

    for (uint64_t n = 2; n <= last; n++) {
        if (least[n] == 0) {
            least[n] = ++primes; /* the how manieth prime */
            run->expected_sum += n;
            for (uint64_t multiple = n * n; multiple <= last; multiple += n) {
                least[multiple] = least[multiple] == 0 ? primes : least[multiple];
            }
        }
        messages += (least[n] - 1) / PRIMES + 1;
    }
    run->expected_count = primes;
    return messages;
}

static int start(struct bench_run *run)
{
    struct source source = {.run = run, .next = 2, .last = 1 + bench_scaled(run, LAST - 1)};
    struct troupe_spawn_options first = {.behaviour = &filter_behaviour, .arg = run};
    uint32_t *least = calloc(source.last + 1, sizeof *least);
    uint64_t messages;
    troupe_pid pid;

    if (least == NULL) {
        return TROUPE_ENOMEM;
    }
    messages = foresee(run, source.last, least);
    free(least);
    TROUPE_TRY(troupe_runtime_spawn(run->runtime, &first, &source.first));
    TROUPE_TRY(bench_spawn(run, &source_behaviour, &source, sizeof source, &pid));
    bench_begin(run, messages, 1);
    return bench_signal(run, pid, &go_on);
}

const struct bench_workload bench_sieve = {
    .name = "sieve",
    .about = "the primes up to 200 000, by a chain of filters with 100 primes each",
    .start = start,
};
