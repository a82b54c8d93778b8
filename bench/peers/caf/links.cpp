// SPDX-License-Identifier: MIT
//
// Links and monitors.  A link, or a monitor, that was left behind would be heard of when the other ends.

#include "bench.hpp"

using caf::actor;
using caf::behavior;
using caf::event_based_actor;
using caf::stateful_actor;

namespace
{

using bench::go_on;

/// Links, or monitors, made and ended in a turn.
constexpr uint64_t turn = 64;

struct watcher_state {
    uint64_t left = 0;
};

behavior idler(event_based_actor *)
{
    return {
        [](go_on) {},
    };
}

/// Does it so many times, some a turn.
template <class Function>
behavior again(stateful_actor<watcher_state> *self, bench::run *run, uint64_t count, Function once)
{
    self->state.left = count;
    return {
        [=](go_on) {
            for (uint64_t i = 0; i < turn && self->state.left > 0; i++, self->state.left--) {
                once();
                run->tally++;
            }
            if (self->state.left > 0) {
                self->send(self, go_on::value);
            } else {
                run->part_done();
            }
        },
    };
}

behavior linker(
    stateful_actor<watcher_state> *self, bench::run *run, const actor &other, uint64_t count)
{
    self->set_exit_handler([=](const caf::exit_msg &msg) {
        if (msg.source == other) {
            bench::fail("a link was left");
        }
        self->quit();
    });
    return again(self, run, count, [=] {
        self->link_to(other);
        self->unlink_from(other);
    });
}

behavior monitorer(
    stateful_actor<watcher_state> *self, bench::run *run, const actor &other, uint64_t count)
{
    self->set_down_handler([](const caf::down_msg &) { bench::fail("a monitor was left"); });
    return again(self, run, count, [=] {
        self->monitor(other);
        self->demonitor(other.address());
    });
}

template <class Watcher> bench::outcome watch(bench::run &run, Watcher watcher)
{
    uint64_t count = run.of(2000000);
    actor other = run.system.spawn(idler);
    actor self = run.system.spawn(watcher, &run, other, count);

    run.begin(1);
    caf::anon_send(self, go_on::value);
    double seconds = run.wait();
    bench::end(run, {other, self});
    bench::check("times", run.tally, count);
    return {count, seconds, ""};
}

// ---- spawn_monitor_exit ----

behavior mayfly(event_based_actor *self)
{
    self->quit();
    return {
        [](go_on) {},
    };
}

/// The next one is spawned when the end of the one before is known.
behavior mourner(stateful_actor<watcher_state> *self, bench::run *run, uint64_t count)
{
    self->state.left = count;
    self->set_down_handler([=](const caf::down_msg &) {
        run->tally++;
        if (--self->state.left > 0) {
            self->spawn<caf::monitored>(mayfly);
        } else {
            run->part_done();
        }
    });
    return {
        [=](go_on) { self->spawn<caf::monitored>(mayfly); },
    };
}

} // namespace

bench::outcome bench::link_unlink(run &run)
{
    return watch(run, linker);
}

bench::outcome bench::monitor_demonitor(run &run)
{
    return watch(run, monitorer);
}

bench::outcome bench::spawn_monitor_exit(run &run)
{
    uint64_t count = run.of(1000000);
    actor self = run.system.spawn(mourner, &run, count);

    run.begin(1);
    caf::anon_send(self, go_on::value);
    double seconds = run.wait();
    check("ends", run.tally, count);
    return {count, seconds, ""};
}
