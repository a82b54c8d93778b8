// SPDX-License-Identifier: MIT
//
// The workloads of troupe-bench, as event-based actors of CAF: one repetition of one of them.
//
//   bench list                      the workloads, one a line
//   bench WORKLOAD SCALE WORKERS    prints one line, as troupe-bench does; status 1 if the result is wrong

#include "bench.hpp"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <map>

namespace
{

const std::map<std::string, bench::outcome (*)(bench::run &)> workloads = {
    {"pingpong", bench::pingpong},
    {"pingpong_pairs", bench::pingpong_pairs},
    {"threadring", bench::threadring},
    {"counting_b", bench::counting_b},
    {"counting_u", bench::counting_u},
    {"many_to_one_b", bench::many_to_one_b},
    {"many_to_one_u", bench::many_to_one_u},
    {"fj_throughput_b", bench::fj_throughput_b},
    {"fj_throughput_u", bench::fj_throughput_u},
    {"big", bench::big},
    {"fj_create", bench::fj_create},
    {"idle_memory", bench::idle_memory},
    {"skynet", bench::skynet},
    {"steal", bench::steal},
    {"ask", bench::ask},
    {"ask_spaced", bench::ask_spaced},
    {"chameneos", bench::chameneos},
    {"bank", bench::bank},
    {"dictionary", bench::dictionary},
    {"logistic_map", bench::logistic_map},
    {"radix_sort", bench::radix_sort},
    {"sieve", bench::sieve},
    {"philosophers", bench::philosophers},
    {"bounded_buffer", bench::bounded_buffer},
    {"queens", bench::queens},
    {"sleeping_barber", bench::sleeping_barber},
    {"cobwebbed_tree", bench::cobwebbed_tree},
    {"quicksort", bench::quicksort},
    {"a_star", bench::a_star},
    {"matrix_multiply", bench::matrix_multiply},
    {"link_unlink", bench::link_unlink},
    {"monitor_demonitor", bench::monitor_demonitor},
    {"spawn_monitor_exit", bench::spawn_monitor_exit},
};

void list()
{
    for (const auto &workload : workloads) {
        std::puts(workload.first.c_str());
    }
}

} // namespace

void bench::fail(const std::string &text)
{
    std::fprintf(stderr, "caf bench: %s\n", text.c_str());
    // Actors may still run.
    std::_Exit(1);
}

void bench::check(const char *what, uint64_t is, uint64_t expected)
{
    if (is != expected) {
        fail(std::string(what) + ": " + std::to_string(is) + ", expected " +
             std::to_string(expected));
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && std::string(argv[1]) == "list") {
        list();
        return 0;
    }
    if (argc != 4) {
        bench::fail("usage: bench list | bench WORKLOAD SCALE WORKERS");
    }
    auto workload = workloads.find(argv[1]);
    double scale = std::atof(argv[2]);
    auto workers = static_cast<unsigned>(std::atoi(argv[3]));
    if (workload == workloads.end() || scale <= 0 || workers < 1) {
        bench::fail("no such workload, scale or number of workers; \"list\" names the workloads");
    }
    caf::actor_system_config config;
    config.set("scheduler.max-threads", static_cast<size_t>(workers));
    caf::actor_system system{config};
    bench::run run{system, scale, workers};
    auto result = workload->second(run);
    auto messages = static_cast<double>(result.messages);
    std::printf("workload=%s peer=caf msgs=%" PRIu64
                " secs=%.6f per_sec=%.0f ns_per_msg=%.1f%s workers=%u\n",
        argv[1], result.messages, result.seconds, messages / result.seconds,
        result.seconds * 1e9 / messages, result.extra.c_str(), workers);
    std::fflush(stdout);
    // A million actors that wait are not ended one by one.
    std::_Exit(0);
}
