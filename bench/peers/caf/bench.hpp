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
outcome fj_throughput_u(run &run);
outcome big(run &run);
outcome fj_create(run &run);
outcome idle_memory(run &run);
outcome skynet(run &run);
outcome steal(run &run);
outcome ask(run &run);
outcome ask_spaced(run &run);

} // namespace bench

#endif
