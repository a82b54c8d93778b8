// SPDX-License-Identifier: MIT
//
// Requests with a time-out of 10 s, one after the other.

#include "bench.hpp"

#include <algorithm>
#include <vector>

using caf::actor;
using caf::behavior;
using caf::event_based_actor;

namespace
{

using bench::go_on;

struct inquiry {
    bench::run *run;
    uint64_t calls;
    std::chrono::microseconds space;
    std::vector<uint64_t> latencies_ns; ///< one for each call
};

behavior oracle(event_based_actor *, bench::run *run)
{
    return {
        [=](uint64_t value) {
            run->tally += value;
            return value + 1;
        },
    };
}

void work_until(bench::clock::time_point end)
{
    while (bench::clock::now() < end) {
    }
}

void ask_next(event_based_actor *self, inquiry *inquiry, const actor &whom, uint64_t value)
{
    auto asked = bench::clock::now();

    self->request(whom, std::chrono::seconds(10), value)
        .then(
            [=](uint64_t answer) {
                auto answered = bench::clock::now();

                inquiry->latencies_ns[value] = static_cast<uint64_t>(
                    std::chrono::duration_cast<std::chrono::nanoseconds>(answered - asked).count());
                bench::check("answer", answer, value + 1);
                if (answer == inquiry->calls) {
                    inquiry->run->part_done();
                    return;
                }
                work_until(answered + inquiry->space);
                ask_next(self, inquiry, whom, answer);
            },
            [=](const caf::error &) { bench::fail("a call was not answered"); });
}

behavior asker(event_based_actor *self, inquiry *inquiry, const actor &whom)
{
    return {
        [=](go_on) { ask_next(self, inquiry, whom, 0); },
    };
}

bench::outcome calls(bench::run &run, uint64_t count, std::chrono::microseconds space)
{
    inquiry inquiry{&run, count, space, std::vector<uint64_t>(count, 1)};
    actor whom = run.system.spawn(oracle, &run);
    actor who = run.system.spawn(asker, &inquiry, whom);

    run.begin(1);
    caf::anon_send(who, go_on::value);
    double seconds = run.wait();
    auto &latencies = inquiry.latencies_ns;
    bench::check("sum of the questions", run.tally, count * (count - 1) / 2);
    std::sort(latencies.begin(), latencies.end());
    return {count, seconds,
        " p50_ns=" + std::to_string(latencies[(count - 1) / 2]) +
            " p99_ns=" + std::to_string(latencies[(count - 1) * 99 / 100])};
}

} // namespace

bench::outcome bench::ask(run &run)
{
    return calls(run, run.of(200000), std::chrono::microseconds(0));
}

bench::outcome bench::ask_spaced(run &run)
{
    return calls(run, run.of(20000), std::chrono::microseconds(100));
}
