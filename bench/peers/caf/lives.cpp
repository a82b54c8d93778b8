// SPDX-License-Identifier: MIT
//
// Actors that are spawned in numbers.

#include "bench.hpp"

#include <algorithm>
#include <cstdio>
#include <thread>
#include <unistd.h>

using caf::actor;
using caf::behavior;
using caf::event_based_actor;
using caf::stateful_actor;

namespace
{

using bench::go_on;
using bench::job;

/// Actors spawned in a turn.
constexpr uint64_t turn = 16;

using member_function = behavior (*)(event_based_actor *, bench::run *, uint64_t);

struct spawner_state {
    uint64_t left = 0;
};

/// Spawns `count` actors and sends each one message, a few a turn.
behavior spawner(stateful_actor<spawner_state> *self, bench::run *run, member_function member,
    uint64_t argument, uint64_t count)
{
    self->state.left = count;
    return {
        [=](go_on) {
            for (uint64_t i = 0; i < turn && self->state.left > 0; i++, self->state.left--) {
                self->send(self->spawn(member, run, argument), job::value);
            }
            if (self->state.left == 0) {
                self->quit();
            } else {
                self->send(self, go_on::value);
            }
        },
    };
}

double crowd(bench::run &run, member_function member, uint64_t argument, uint64_t count)
{
    actor first = run.system.spawn(spawner, &run, member, argument, count);

    run.begin(count);
    caf::anon_send(first, go_on::value);
    return run.wait();
}

behavior mayfly(event_based_actor *self, bench::run *run, uint64_t)
{
    return {
        [=](job) {
            run->tally++;
            run->part_done();
            self->quit();
        },
    };
}

behavior idler(event_based_actor *, bench::run *run, uint64_t)
{
    return {
        [=](job) {
            run->tally++;
            run->part_done();
        },
    };
}

uint64_t resident_bytes()
{
    unsigned long size = 0;
    unsigned long resident = 0;
    std::FILE *file = std::fopen("/proc/self/statm", "r");

    if (file == nullptr || std::fscanf(file, "%lu %lu", &size, &resident) != 2) {
        bench::fail("/proc/self/statm does not tell");
    }
    std::fclose(file);
    return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// ---- skynet ----

struct node_state {
    uint64_t sum = 0;
    unsigned left = 10;
};

/// A node of the tree, of which `leaves` leaves are below, numbered from `number`.
behavior node(stateful_actor<node_state> *self, actor parent, uint64_t number, uint64_t leaves)
{
    if (leaves == 1) {
        self->send(parent, number);
        self->quit();
        return {};
    }
    for (uint64_t i = 0; i < 10; i++) {
        self->spawn(node, caf::actor_cast<actor>(self), number + i * leaves / 10, leaves / 10);
    }
    return {
        [=](uint64_t sum) {
            self->state.sum += sum;
            if (--self->state.left == 0) {
                self->send(parent, self->state.sum);
                self->quit();
            }
        },
    };
}

behavior top(event_based_actor *self, bench::run *run, uint64_t leaves)
{
    return {
        [=](go_on) { self->spawn(node, caf::actor_cast<actor>(self), uint64_t{0}, leaves); },
        [=](uint64_t sum) {
            run->tally = sum;
            run->part_done();
            self->quit();
        },
    };
}

// ---- steal ----

constexpr uint64_t job_ns = 20000;
constexpr uint64_t calibration_steps = 2000000;

thread_local volatile uint64_t nobody_reads_it;

__attribute__((noinline)) void work(uint64_t steps)
{
    uint64_t x = steps;

    for (uint64_t i = 0; i < steps; i++) {
        x = x * 6364136223846793005U + 1442695040888963407U;
    }
    nobody_reads_it = x;
}

/// How many steps take job_ns; the fastest of 20 tries is believed.
uint64_t job_steps()
{
    auto best = std::chrono::nanoseconds::max();

    for (int i = 0; i < 20; i++) {
        auto begin = bench::clock::now();

        work(calibration_steps);
        best = std::min<std::chrono::nanoseconds>(best, bench::clock::now() - begin);
    }
    return job_ns * calibration_steps / static_cast<uint64_t>(best.count());
}

behavior worker(event_based_actor *self, bench::run *run, uint64_t steps)
{
    return {
        [=](job) {
            work(steps);
            run->tally++;
            run->part_done();
            self->quit();
        },
    };
}

std::string word(const char *name, double value)
{
    char text[64];

    std::snprintf(text, sizeof text, " %s=%.3f", name, value);
    return text;
}

} // namespace

bench::outcome bench::fj_create(run &run)
{
    uint64_t lives = run.of(1000000);
    double seconds = crowd(run, mayfly, 0, lives);

    check("messages handled", run.tally, lives);
    return {lives, seconds, ""};
}

bench::outcome bench::idle_memory(run &run)
{
    uint64_t members = run.of(1000000);
    uint64_t before = resident_bytes();
    double seconds = crowd(run, idler, 0, members);
    uint64_t grown = resident_bytes() - before;

    check("messages handled", run.tally, members);
    return {members, seconds,
        word("bytes_per_actor", static_cast<double>(grown) / static_cast<double>(members))};
}

bench::outcome bench::skynet(run &run)
{
    uint64_t leaves = 10;
    uint64_t actors = 11;

    while (leaves * 10 <= run.of(1000000)) {
        leaves *= 10;
        actors += leaves;
    }
    actor first = run.system.spawn(top, &run, leaves);
    run.begin(1);
    caf::anon_send(first, go_on::value);
    double seconds = run.wait();
    check("sum of the leaves", run.tally, leaves * (leaves - 1) / 2);
    return {actors, seconds, ""};
}

bench::outcome bench::steal(run &run)
{
    uint64_t jobs = run.of(100000);
    double seconds = crowd(run, worker, job_steps(), jobs);
    double lanes = std::min(std::thread::hardware_concurrency(), run.workers);
    double ideal = static_cast<double>(jobs * job_ns) / 1e9 / lanes;

    check("jobs done", run.tally, jobs);
    return {jobs, seconds, word("efficiency", ideal / seconds)};
}
