// SPDX-License-Identifier: MIT
//
// Messages between actors that stay.

#include "bench.hpp"

#include <random>
#include <vector>

using caf::actor;
using caf::behavior;
using caf::stateful_actor;

namespace
{

using bench::counter;
using bench::end;
using bench::go_on;

/// Numbers sent in a turn.
constexpr uint64_t turn = 64;

using ball = caf::atom_constant<caf::atom("ball")>;
using close_ring = caf::atom_constant<caf::atom("close")>;
using more = caf::atom_constant<caf::atom("more")>;
using ping = caf::atom_constant<caf::atom("ping")>;
using pong = caf::atom_constant<caf::atom("pong")>;

// ---- pingpong and threadring: a ball goes on to the next one; it says how many throws are left ----

struct player_state : counter {
    actor next;
};

behavior player(stateful_actor<player_state> *self, bench::run *run, actor next)
{
    self->state.run = run;
    self->state.next = std::move(next);
    return {
        [=](close_ring, const actor &first) { self->state.next = first; },
        [=](ball, uint64_t left) {
            self->state.count++;
            if (left == 0) {
                run->part_done();
            } else {
                self->send(self->state.next, ball::value, left - 1);
            }
        },
    };
}

/// Rings of so many players each: a pair is a ring of two.
bench::outcome play(bench::run &run, uint64_t rings, uint64_t players, uint64_t throws)
{
    std::vector<actor> all;
    std::vector<actor> servers;

    for (uint64_t ring = 0; ring < rings; ring++) {
        actor last = run.system.spawn(player, &run, actor{});
        actor first = last;

        all.push_back(last);
        for (uint64_t i = 1; i < players; i++) {
            first = run.system.spawn(player, &run, first);
            all.push_back(first);
        }
        caf::anon_send(last, close_ring::value, first);
        servers.push_back(first);
    }
    run.begin(rings);
    for (const auto &server : servers) {
        caf::anon_send(server, ball::value, throws - 1);
    }
    double seconds = run.wait();
    servers.clear();
    end(run, all);
    bench::check("balls caught", run.tally, rings * throws);
    return {rings * throws, seconds, ""};
}

// ---- counting, many_to_one, fj_throughput: 1, 2, 3 and so on from producers to consumers ----

struct consumer_state : counter {
    uint64_t left = 0;
};

/// Adds numbers up; gives credit of `grant` to whoever asks for more.
behavior consumer(stateful_actor<consumer_state> *self, bench::run *run, uint64_t numbers)
{
    self->state.run = run;
    self->state.left = numbers;
    return {
        [=](uint64_t number) {
            self->state.count += number;
            if (--self->state.left == 0) {
                run->part_done();
            }
        },
        [](more) { return more::value; },
    };
}

struct producer_state {
    std::vector<actor> consumers;
    uint64_t next = 1;
    uint64_t credit = 0;
    uint64_t answers = 0; ///< to what was asked for last
    uint64_t turn = 0;
};

/// Sends 1 to `last` to each of the consumers in turn, a few a turn of its own.
behavior producer(stateful_actor<producer_state> *self, std::vector<actor> consumers, uint64_t last)
{
    self->state.consumers = std::move(consumers);
    return {
        [=](go_on) {
            auto &state = self->state;

            for (uint64_t i = 0; i < turn && state.next <= last; i++) {
                self->send(state.consumers[state.turn], state.next);
                if (++state.turn == state.consumers.size()) {
                    state.turn = 0;
                    state.next++;
                }
            }
            if (state.next > last) {
                self->quit();
            } else {
                self->send(self, go_on::value);
            }
        },
    };
}

/// The same as far as there is credit: half of `room` is asked for at a time, of all consumers.
behavior careful_producer(stateful_actor<producer_state> *self, std::vector<actor> consumers,
    uint64_t last, uint64_t room)
{
    auto produce = [=] {
        auto &state = self->state;

        while (state.next <= last && state.credit > 0) {
            bool asks = state.next % (room / 2) == 0;

            for (const auto &consumer : state.consumers) {
                self->send(consumer, state.next);
                if (asks) {
                    self->send(consumer, more::value);
                }
            }
            state.next++;
            state.credit--;
        }
    };

    self->state.consumers = std::move(consumers);
    self->state.credit = room;
    return {
        [=](go_on) { produce(); },
        [=](more) {
            auto &state = self->state;

            if (++state.answers == state.consumers.size()) {
                state.answers = 0;
                state.credit += room / 2;
                produce();
            }
        },
    };
}

bench::outcome flood(bench::run &run, uint64_t producers, uint64_t total, bool bounded)
{
    uint64_t each = total / producers > 0 ? total / producers : 1;
    actor sink = run.system.spawn(consumer, &run, each * producers);
    std::vector<actor> all = {sink};

    for (uint64_t i = 0; i < producers; i++) {
        if (bounded) {
            all.push_back(run.system.spawn(
                careful_producer, std::vector<actor>{sink}, each, bench::mailbox / producers));
        } else {
            all.push_back(run.system.spawn(producer, std::vector<actor>{sink}, each));
        }
    }
    run.begin(1);
    for (uint64_t i = 1; i <= producers; i++) {
        caf::anon_send(all[i], go_on::value);
    }
    double seconds = run.wait();
    sink = nullptr;
    end(run, all);
    bench::check("sum of the numbers", run.tally, each * (each + 1) / 2 * producers);
    return {each * producers, seconds, ""};
}

constexpr uint64_t members = 64;

bench::outcome deal(bench::run &run, bool bounded)
{
    uint64_t each = run.of(100000);
    std::vector<actor> all;

    for (uint64_t i = 0; i < members; i++) {
        all.push_back(run.system.spawn(consumer, &run, each));
    }
    all.push_back(bounded ? run.system.spawn(careful_producer, all, each, bench::mailbox)
                          : run.system.spawn(producer, all, each));
    run.begin(members);
    caf::anon_send(all.back(), go_on::value);
    double seconds = run.wait();
    end(run, all);
    bench::check("sum of the numbers", run.tally, members * (each * (each + 1) / 2));
    return {members * each, seconds, ""};
}

// ---- big: 64 actors, each pings a random other one, and the next when the pong is there ----

struct big_state : counter {
    std::vector<actor> others;
    std::minstd_rand random;
    uint64_t left = 0;
};

behavior big_member(stateful_actor<big_state> *self, bench::run *run, uint64_t id, uint64_t pings)
{
    auto ping_another = [=] {
        uint64_t draw = self->state.random() % (members - 1);

        self->send(self->state.others[draw + (draw >= id)], ping::value);
    };

    self->state.run = run;
    self->state.random.seed(static_cast<unsigned>(id) + 1);
    self->state.left = pings;
    return {
        [=](const std::vector<actor> &others) {
            self->state.others = others;
            ping_another();
        },
        [=](ping) {
            self->state.count++;
            self->send(caf::actor_cast<actor>(self->current_sender()), pong::value);
        },
        [=](pong) {
            if (--self->state.left == 0) {
                run->part_done();
            } else {
                ping_another();
            }
        },
    };
}

} // namespace

bench::outcome bench::pingpong(run &run)
{
    return play(run, 1, 2, 2 * run.of(2000000));
}

bench::outcome bench::pingpong_pairs(run &run)
{
    return play(run, 64, 2, 2 * run.of(100000));
}

bench::outcome bench::threadring(run &run)
{
    return play(run, 1, 1000, run.of(5000000));
}

bench::outcome bench::counting_b(run &run)
{
    return flood(run, 1, run.of(10000000), true);
}

bench::outcome bench::counting_u(run &run)
{
    return flood(run, 1, run.of(10000000), false);
}

bench::outcome bench::many_to_one_b(run &run)
{
    return flood(run, 16, run.of(10000000), true);
}

bench::outcome bench::many_to_one_u(run &run)
{
    return flood(run, 16, run.of(10000000), false);
}

bench::outcome bench::fj_throughput_b(run &run)
{
    return deal(run, true);
}

bench::outcome bench::fj_throughput_u(run &run)
{
    return deal(run, false);
}

bench::outcome bench::big(run &run)
{
    uint64_t pings = run.of(20000);
    std::vector<actor> all;

    for (uint64_t id = 0; id < members; id++) {
        all.push_back(run.system.spawn(big_member, &run, id, pings));
    }
    run.begin(members);
    for (const auto &member : all) {
        caf::anon_send(member, all);
    }
    double seconds = run.wait();
    end(run, all);
    check("pings served", run.tally, members * pings);
    return {2 * members * pings, seconds, ""};
}
