// SPDX-License-Identifier: MIT
//
// bench.hpp - what the workloads share: a clock that the last part stops, and what the actors counted.

#ifndef BENCH_HPP
#define BENCH_HPP

#include <atomic>
#include <caf/all.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <string>
#include <vector>

namespace bench
{

using clock = std::chrono::steady_clock;

using go_on = caf::atom_constant<caf::atom("go_on")>;
using job = caf::atom_constant<caf::atom("job")>;

/// Room of a mailbox, as troupe's default.  CAF's have no bound: where the workload wants one, the receiver gives its senders
/// credit, so many messages in all.
constexpr uint64_t mailbox = 1024;

/// What a workload found out; `extra` is more words for the line.
struct outcome {
    uint64_t messages;
    double seconds;
    std::string extra;
};

/// One repetition.
class run
{
  public:
    run(caf::actor_system &system, double scale, unsigned workers)
        : system(system), workers(workers), scale_(scale)
    {
    }

    /// So many times as much work, at least one.
    uint64_t of(uint64_t base) const
    {
        auto scaled = static_cast<uint64_t>(static_cast<double>(base) * scale_);

        return scaled > 0 ? scaled : 1;
    }

    /// The clock starts.
    void begin(uint64_t parts)
    {
        left_ = parts;
        begin_ = clock::now();
    }

    /// By an actor: another part is done; the last one stops the clock.
    void part_done()
    {
        if (left_.fetch_sub(1) == 1) {
            end_ = clock::now();
            done_.set_value();
        }
    }

    /// Waits for the last part; how long all took, in seconds.
    double wait()
    {
        done_.get_future().wait();
        return std::chrono::duration<double>(end_ - begin_).count();
    }

    caf::actor_system &system;
    const unsigned workers;
    std::atomic<uint64_t> tally{0}; ///< what actors counted, added up when they end

  private:
    const double scale_;
    std::atomic<uint64_t> left_{0};
    clock::time_point begin_;
    clock::time_point end_;
    std::promise<void> done_;
};

/// Numbers that look random, the same as troupe-bench's: splitmix64.
struct random {
    uint64_t state;

    uint64_t next()
    {
        uint64_t x = state += 0x9e3779b97f4a7c15U;

        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
        return x ^ (x >> 31);
    }

    uint64_t below(uint64_t limit)
    {
        return next() % limit;
    }
};

/// Counts, and hands over what it counted when its actor ends.
struct counter {
    bench::run *run = nullptr;
    uint64_t count = 0;

    ~counter()
    {
        if (run != nullptr) {
            run->tally += count;
        }
    }
};

/// Ends all, and waits until what they counted is told.
inline void end(bench::run &run, const std::vector<caf::actor> &actors)
{
    for (const auto &each : actors) {
        caf::anon_send_exit(each, caf::exit_reason::user_shutdown);
    }
    run.system.await_all_actors_done();
}

/// Ends the program.
[[noreturn]] void fail(const std::string &text);

/// Ends the program if a result is not what it must be.
void check(const char *what, uint64_t is, uint64_t expected);

outcome pingpong(run &run);
outcome pingpong_pairs(run &run);
outcome threadring(run &run);
outcome counting_b(run &run);
outcome counting_u(run &run);
outcome many_to_one_b(run &run);
outcome many_to_one_u(run &run);
outcome fj_throughput_b(run &run);
outcome fj_throughput_u(run &run);
outcome big(run &run);
outcome fj_create(run &run);
outcome idle_memory(run &run);
outcome skynet(run &run);
outcome steal(run &run);
outcome ask(run &run);
outcome ask_spaced(run &run);
outcome chameneos(run &run);
outcome bank(run &run);
outcome dictionary(run &run);
outcome logistic_map(run &run);
outcome radix_sort(run &run);
outcome sieve(run &run);
outcome philosophers(run &run);
outcome bounded_buffer(run &run);
outcome queens(run &run);
outcome sleeping_barber(run &run);
outcome cobwebbed_tree(run &run);
outcome quicksort(run &run);
outcome a_star(run &run);
outcome matrix_multiply(run &run);
outcome link_unlink(run &run);
outcome monitor_demonitor(run &run);
outcome spawn_monitor_exit(run &run);

} // namespace bench

#endif
