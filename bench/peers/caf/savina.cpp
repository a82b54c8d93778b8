// SPDX-License-Identifier: MIT
//
// From the Savina suite: requests where troupe has requests, messages where it has messages.

#include "bench.hpp"

#include <array>
#include <deque>
#include <unordered_map>
#include <vector>

using caf::actor;
using caf::behavior;
using caf::event_based_actor;
using caf::stateful_actor;

namespace
{

using bench::counter;
using bench::go_on;
using bench::job;
using bench::random;

using change = caf::atom_constant<caf::atom("change")>;
using deposit = caf::atom_constant<caf::atom("deposit")>;
using done = caf::atom_constant<caf::atom("done")>;
using eat = caf::atom_constant<caf::atom("eat")>;
using full = caf::atom_constant<caf::atom("full")>;
using hungry = caf::atom_constant<caf::atom("hungry")>;
using item = caf::atom_constant<caf::atom("item")>;
using meet = caf::atom_constant<caf::atom("meet")>;
using room = caf::atom_constant<caf::atom("room")>;
using taken = caf::atom_constant<caf::atom("taken")>;
using transfer = caf::atom_constant<caf::atom("transfer")>;
using want = caf::atom_constant<caf::atom("want")>;

/// Numbers sent in a turn.
constexpr uint64_t turn = 64;

/// What is summed up beside the run's tally; of the one workload that this process runs.
std::atomic<uint64_t> sum{0};

template <class Self> actor sender_of(Self *self)
{
    return caf::actor_cast<actor>(self->current_sender());
}

// ---- chameneos: 100 creatures meet in pairs at one mall, and change their colours ----

constexpr uint64_t creatures = 100;
constexpr int colours = 3;

int complement(int a, int b)
{
    return a == b ? a : colours - a - b;
}

struct mall_state {
    uint64_t left = 0;
    uint64_t away = 0;
    int colour = 0; ///< of the first one
    actor first;
};

behavior mall(stateful_actor<mall_state> *self, bench::run *run, uint64_t meetings)
{
    self->state.left = meetings;
    return {
        [=](meet, int colour) {
            auto &state = self->state;

            if (state.left == 0) {
                if (++state.away == creatures) {
                    run->part_done();
                }
            } else if (!state.first) {
                state.first = sender_of(self);
            } else {
                state.left--;
                self->send(state.first, meet::value, colour, sender_of(self));
                state.first = nullptr;
            }
        },
    };
}

struct creature_state : counter {
    int colour = 0;
};

behavior creature(stateful_actor<creature_state> *self, bench::run *run, actor mall, int colour)
{
    auto become = [=](int other) {
        self->state.count++;
        self->state.colour = other;
        self->send(mall, meet::value, other);
    };

    self->state.run = run;
    self->state.colour = colour;
    self->send(mall, meet::value, colour);
    return {
        [=](meet, int colour, const actor &other) {
            int changed = complement(self->state.colour, colour);

            self->send(other, change::value, changed);
            become(changed);
        },
        [=](change, int colour) { become(colour); },
    };
}

// ---- bank: a teller has 1000 accounts transfer money to each other, 1000 at a time ----

constexpr uint64_t accounts = 1000;
constexpr uint64_t under_way = 1000;

struct account_state : counter {
    uint64_t balance = 0;

    ~account_state()
    {
        sum += balance;
    }
};

behavior account(stateful_actor<account_state> *self, bench::run *run)
{
    self->state.run = run;
    return {
        [=](transfer, const actor &to, uint64_t amount) {
            actor teller = sender_of(self);

            self->state.balance -= amount;
            self->request(to, caf::infinite, deposit::value, amount).then([=](taken) {
                self->send(teller, done::value);
            });
        },
        [=](deposit, uint64_t amount) {
            self->state.balance += amount;
            self->state.count++;
            return taken::value;
        },
    };
}

struct teller_state {
    std::vector<actor> accounts;
    random draws{1};
    uint64_t to_begin = 0;
    uint64_t left = 0;
};

behavior teller(
    stateful_actor<teller_state> *self, bench::run *run, std::vector<actor> all, uint64_t transfers)
{
    auto begin_transfer = [=] {
        auto &state = self->state;
        uint64_t from = state.draws.below(accounts);
        uint64_t to = state.draws.below(accounts - 1);

        state.to_begin--;
        self->send(state.accounts[from], transfer::value, state.accounts[to + (to >= from)],
            1 + state.draws.below(1000));
    };

    self->state.accounts = std::move(all);
    self->state.to_begin = transfers;
    self->state.left = transfers;
    return {
        [=](go_on) {
            for (uint64_t i = 0; i < under_way && self->state.to_begin > 0; i++) {
                begin_transfer();
            }
        },
        [=](done) {
            if (--self->state.left == 0) {
                run->part_done();
            }
            if (self->state.to_begin > 0) {
                begin_transfer();
            }
        },
    };
}

// ---- dictionary: 20 clients ask one dictionary; one request in ten writes ----

constexpr uint64_t clients = 20;
constexpr uint64_t keys = 65536;

struct dictionary_state : counter {
    std::unordered_map<uint64_t, uint64_t> values;
};

/// A value of 0: read.
behavior dictionary_actor(stateful_actor<dictionary_state> *self, bench::run *run)
{
    self->state.run = run;
    return {
        [=](uint64_t key, uint64_t value) {
            self->state.count++;
            if (value != 0) {
                self->state.values[key] = value;
                return value;
            }
            auto found = self->state.values.find(key);
            return found == self->state.values.end() ? uint64_t{0} : found->second;
        },
    };
}

struct client_state {
    random draws{0};
    uint64_t left = 0;
};

void ask_dictionary(stateful_actor<client_state> *self, bench::run *run, const actor &dictionary)
{
    uint64_t draw = self->state.draws.next();
    uint64_t key = draw % keys;
    uint64_t value = draw / keys % 10 == 0 ? draw | uint64_t{1} << 31 : 0;

    self->request(dictionary, caf::infinite, key, value).then([=](uint64_t got) {
        if (got != 0 && got % keys != key) {
            bench::fail("a value belongs to another key");
        }
        if (--self->state.left == 0) {
            run->part_done();
        } else {
            ask_dictionary(self, run, dictionary);
        }
    });
}

behavior client(stateful_actor<client_state> *self, bench::run *run, const actor &dictionary,
    uint64_t seed, uint64_t requests)
{
    self->state.draws = random{seed};
    self->state.left = requests;
    return {
        [=](go_on) { ask_dictionary(self, run, dictionary); },
    };
}

// ---- logistic_map: 150 series ask a computer each for their next term ----

constexpr uint64_t series_count = 150;

double rate_of(uint64_t series)
{
    return 3.46 + 0.0025 * static_cast<double>(series);
}

behavior computer(event_based_actor *, double rate)
{
    return {
        [=](double x) { return rate * x * (1 - x); },
    };
}

struct series_state {
    uint64_t left = 0;
};

void ask_term(
    stateful_actor<series_state> *self, bench::run *run, const actor &whom, double x, double *last)
{
    self->request(whom, caf::infinite, x).then([=](double next) {
        if (--self->state.left == 0) {
            *last = next;
            run->part_done();
        } else {
            ask_term(self, run, whom, next, last);
        }
    });
}

behavior series(stateful_actor<series_state> *self, bench::run *run, const actor &whom, double rate,
    uint64_t terms, double *last)
{
    self->state.left = terms;
    return {
        [=](go_on) { ask_term(self, run, whom, rate / 10, last); },
    };
}

// ---- radix_sort: numbers go through 60 actors, one for each bit; each keeps those that have it to the end ----

constexpr unsigned bits = 60;

struct stage_state {
    std::vector<uint64_t> kept;
    uint64_t left = 0;
};

behavior stage(stateful_actor<stage_state> *self, const actor &next, uint64_t mask, uint64_t count)
{
    self->state.left = count;
    return {
        [=](uint64_t number) {
            if ((number & mask) == 0) {
                self->send(next, number);
            } else {
                self->state.kept.push_back(number);
            }
            if (--self->state.left > 0) {
                return;
            }
            for (uint64_t kept : self->state.kept) {
                self->send(next, kept);
            }
        },
    };
}

struct sink_state : counter {
    uint64_t last = 0;
    uint64_t left = 0;
};

behavior sink(stateful_actor<sink_state> *self, bench::run *run, uint64_t count)
{
    self->state.run = run;
    self->state.left = count;
    return {
        [=](uint64_t number) {
            if (number < self->state.last) {
                bench::fail("the numbers are not sorted");
            }
            self->state.last = number;
            self->state.count += number;
            if (--self->state.left == 0) {
                run->part_done();
            }
        },
    };
}

struct source_state {
    random draws{1};
    uint64_t left = 0;
};

behavior radix_source(stateful_actor<source_state> *self, const actor &first, uint64_t count)
{
    self->state.left = count;
    return {
        [=](go_on) {
            for (uint64_t i = 0; i < turn && self->state.left > 0; i++, self->state.left--) {
                self->send(first, self->state.draws.next() >> (64 - bits));
            }
            if (self->state.left > 0) {
                self->send(self, go_on::value);
            }
        },
    };
}

// ---- sieve: a chain of filters that grows; each keeps 100 primes and passes on what none of them divides ----

constexpr size_t primes_each = 100;

struct filter_state {
    std::vector<uint32_t> primes;
    actor next;
};

/// A 0 is behind the last number.
behavior filter(stateful_actor<filter_state> *self, bench::run *run)
{
    auto finish = [=] {
        for (uint32_t prime : self->state.primes) {
            run->tally++;
            sum += prime;
        }
        if (self->state.next) {
            self->send(self->state.next, uint32_t{0});
        } else {
            run->part_done();
        }
        self->quit();
    };

    self->state.primes.reserve(primes_each);
    return {
        [=](uint32_t number) {
            auto &state = self->state;

            if (number == 0) {
                finish();
                return;
            }
            for (uint32_t prime : state.primes) {
                if (number % prime == 0) {
                    return;
                }
            }
            if (state.primes.size() < primes_each) {
                state.primes.push_back(number);
                return;
            }
            if (!state.next) {
                state.next = self->spawn(filter, run);
            }
            self->send(state.next, number);
        },
    };
}

struct numbers_state {
    uint64_t next = 2;
};

behavior sieve_source(stateful_actor<numbers_state> *self, const actor &first, uint64_t last)
{
    return {
        [=](go_on) {
            for (uint64_t i = 0; i < turn && self->state.next <= last; i++) {
                self->send(first, static_cast<uint32_t>(self->state.next++));
            }
            if (self->state.next <= last) {
                self->send(self, go_on::value);
            } else {
                self->send(first, uint32_t{0});
                self->quit();
            }
        },
    };
}

struct foreseen {
    uint64_t count = 0;
    uint64_t sum = 0;
    uint64_t messages = 0;
};

/// The primes found the ordinary way, and how many numbers the filters get: a number stops where its least prime factor is kept, and
/// a prime where it is.
foreseen foresee(uint64_t last)
{
    std::vector<uint64_t> least(last + 1);
    foreseen all;

    for (uint64_t n = 2; n <= last; n++) {
        if (least[n] == 0) {
            least[n] = ++all.count;
            all.sum += n;
            for (uint64_t multiple = n * n; multiple <= last; multiple += n) {
                least[multiple] = least[multiple] == 0 ? all.count : least[multiple];
            }
        }
        all.messages += (least[n] - 1) / primes_each + 1;
    }
    return all;
}

// ---- philosophers: 20 philosophers, and one waiter who gives them their forks ----

constexpr uint64_t seats = 20;

struct philosopher_state : counter {
    uint64_t left = 0;
};

behavior philosopher(stateful_actor<philosopher_state> *self, bench::run *run, const actor &waiter,
    uint64_t seat, uint64_t meals)
{
    self->state.run = run;
    self->state.left = meals;
    return {
        [=](go_on) { self->send(waiter, hungry::value, seat); },
        [=](eat) {
            self->state.count++;
            self->send(waiter, full::value, seat);
            if (--self->state.left == 0) {
                run->part_done();
            } else {
                self->send(waiter, hungry::value, seat);
            }
        },
    };
}

struct waiter_state {
    std::vector<actor> philosophers;
    std::array<bool, seats> is_hungry{};
    std::array<bool, seats> is_taken{}; ///< the fork on the left of that seat
};

void serve(stateful_actor<waiter_state> *self, uint64_t seat)
{
    auto &state = self->state;
    uint64_t right = (seat + 1) % seats;

    if (state.is_hungry[seat] && !state.is_taken[seat] && !state.is_taken[right]) {
        state.is_hungry[seat] = false;
        state.is_taken[seat] = true;
        state.is_taken[right] = true;
        self->send(state.philosophers[seat], eat::value);
    }
}

/// Gets to know its philosophers before they are told to begin.
behavior waiter(stateful_actor<waiter_state> *self)
{
    return {
        [=](const std::vector<actor> &philosophers) {
            self->state.philosophers = philosophers;
            for (const auto &each : philosophers) {
                self->send(each, go_on::value);
            }
        },
        [=](hungry, uint64_t seat) {
            self->state.is_hungry[seat] = true;
            serve(self, seat);
        },
        [=](full, uint64_t seat) {
            auto &state = self->state;
            uint64_t right = (seat + 1) % seats;

            if (!state.is_taken[seat] || !state.is_taken[right]) {
                bench::fail("a fork was put down that nobody had");
            }
            state.is_taken[seat] = false;
            state.is_taken[right] = false;
            serve(self, (seat + seats - 1) % seats);
            serve(self, right);
        },
    };
}

// ---- bounded_buffer: 40 producers and 40 consumers with a buffer for 50 items between them ----

constexpr uint64_t side = 40;
constexpr uint64_t buffer_room = 50;

struct producer_state {
    uint64_t next = 1;
};

behavior producer(stateful_actor<producer_state> *self, const actor &buffer, uint64_t last)
{
    self->send(buffer, room::value);
    return {
        [=](room) {
            self->send(buffer, item::value, self->state.next);
            if (self->state.next++ == last) {
                self->quit();
            } else {
                self->send(buffer, room::value);
            }
        },
    };
}

behavior consumer(stateful_actor<counter> *self, bench::run *run, const actor &buffer)
{
    self->state.run = run;
    self->send(buffer, want::value);
    return {
        [=](item, uint64_t value) {
            self->state.count += value;
            self->send(buffer, want::value);
        },
    };
}

struct buffer_state {
    std::deque<uint64_t> items;
    uint64_t promised = 0; ///< room for items that producers are making
    std::vector<actor> producers;
    std::vector<actor> consumers;
    uint64_t wants_left = 0;
};

void promise(stateful_actor<buffer_state> *self)
{
    auto &state = self->state;

    if (!state.producers.empty() && state.items.size() + state.promised < buffer_room) {
        state.promised++;
        self->send(state.producers.back(), room::value);
        state.producers.pop_back();
    }
}

void hand_over(stateful_actor<buffer_state> *self)
{
    auto &state = self->state;

    if (!state.consumers.empty() && !state.items.empty()) {
        self->send(state.consumers.back(), item::value, state.items.front());
        state.consumers.pop_back();
        state.items.pop_front();
        promise(self);
    }
}

behavior buffer(stateful_actor<buffer_state> *self, bench::run *run, uint64_t wants)
{
    self->state.wants_left = wants;
    return {
        [=](room) {
            self->state.producers.push_back(sender_of(self));
            promise(self);
        },
        [=](item, uint64_t value) {
            if (self->state.promised == 0) {
                bench::fail("an item came that there was no room for");
            }
            self->state.promised--;
            self->state.items.push_back(value);
            hand_over(self);
        },
        [=](want) {
            self->state.consumers.push_back(sender_of(self));
            if (--self->state.wants_left == 0) {
                run->part_done();
            }
            hand_over(self);
        },
    };
}

} // namespace

// ---- queens: a master deals boards to 20 workers, which find more to deal ----

namespace queens
{

constexpr unsigned size = 10;
constexpr unsigned shallow = 4;
constexpr uint64_t solutions_each = 724;
constexpr uint64_t worker_count = 20;

struct board {
    std::array<uint8_t, size> column{};
    uint8_t rows = 0;
};

} // namespace queens

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(queens::board)

namespace
{

bool is_safe(const queens::board &board, unsigned column)
{
    for (unsigned row = 0; row < board.rows; row++) {
        unsigned apart = board.rows - row;
        unsigned other = board.column[row];

        if (other == column || other + apart == column || column + apart == other) {
            return false;
        }
    }
    return true;
}

queens::board with_queen(queens::board board, unsigned column)
{
    board.column[board.rows++] = static_cast<uint8_t>(column);
    return board;
}

uint64_t search(const queens::board &board)
{
    uint64_t solutions = 0;

    if (board.rows == queens::size) {
        return 1;
    }
    for (unsigned column = 0; column < queens::size; column++) {
        if (is_safe(board, column)) {
            solutions += search(with_queen(board, column));
        }
    }
    return solutions;
}

behavior queens_worker(event_based_actor *self, const actor &master)
{
    return {
        [=](job, const queens::board &board) {
            if (board.rows >= queens::shallow) {
                self->send(master, done::value, search(board));
                return;
            }
            for (unsigned column = 0; column < queens::size; column++) {
                if (is_safe(board, column)) {
                    self->send(master, job::value, with_queen(board, column));
                }
            }
            self->send(master, done::value, uint64_t{0});
        },
    };
}

struct queens_state : counter {
    std::vector<actor> workers;
    uint64_t dealt = 0;
    uint64_t open = 0;

    ~queens_state()
    {
        sum += dealt;
    }
};

behavior queens_master(stateful_actor<queens_state> *self, bench::run *run, uint64_t searches)
{
    auto deal = [=](const queens::board &board) {
        auto &state = self->state;

        state.open++;
        self->send(state.workers[state.dealt++ % queens::worker_count], job::value, board);
    };

    self->state.run = run;
    for (uint64_t i = 0; i < queens::worker_count; i++) {
        self->state.workers.push_back(
            self->spawn<caf::linked>(queens_worker, caf::actor_cast<actor>(self)));
    }
    return {
        [=](go_on) {
            for (uint64_t i = 0; i < searches; i++) {
                deal({});
            }
        },
        [=](job, const queens::board &board) { deal(board); },
        [=](done, uint64_t solutions) {
            self->state.count += solutions;
            if (--self->state.open == 0) {
                run->part_done();
            }
        },
    };
}

} // namespace

bench::outcome bench::chameneos(run &run)
{
    uint64_t meetings = run.of(1000000);
    std::vector<actor> all{run.system.spawn(mall, &run, meetings)};

    run.begin(1);
    for (uint64_t i = 0; i < creatures; i++) {
        all.push_back(run.system.spawn(creature, &run, all.front(), static_cast<int>(i % colours)));
    }
    double seconds = run.wait();
    end(run, all);
    check("meetings of the creatures", run.tally, 2 * meetings);
    return {4 * meetings, seconds, ""};
}

bench::outcome bench::bank(run &run)
{
    uint64_t transfers = run.of(500000);
    std::vector<actor> all;

    for (uint64_t i = 0; i < accounts; i++) {
        all.push_back(run.system.spawn(account, &run));
    }
    actor first = run.system.spawn(teller, &run, all, transfers);
    run.begin(1);
    caf::anon_send(first, go_on::value);
    double seconds = run.wait();
    all.push_back(first);
    end(run, all);
    check("balance of all", sum, 0);
    check("deposits", run.tally, transfers);
    return {4 * transfers, seconds, ""};
}

bench::outcome bench::dictionary(run &run)
{
    uint64_t each = run.of(100000);
    std::vector<actor> all{run.system.spawn(dictionary_actor, &run)};

    for (uint64_t seed = 1; seed <= clients; seed++) {
        all.push_back(run.system.spawn(client, &run, all.front(), seed, each));
    }
    run.begin(clients);
    for (uint64_t i = 1; i <= clients; i++) {
        caf::anon_send(all[i], go_on::value);
    }
    double seconds = run.wait();
    end(run, all);
    check("requests handled", run.tally, clients * each);
    return {2 * clients * each, seconds, ""};
}

bench::outcome bench::logistic_map(run &run)
{
    uint64_t terms = run.of(10000);
    std::vector<double> last(series_count);
    std::vector<actor> all;

    for (uint64_t i = 0; i < series_count; i++) {
        actor whom = run.system.spawn(computer, rate_of(i));

        all.push_back(run.system.spawn(series, &run, whom, rate_of(i), terms, &last[i]));
        all.push_back(whom);
    }
    run.begin(series_count);
    for (uint64_t i = 0; i < series_count; i++) {
        caf::anon_send(all[2 * i], go_on::value);
    }
    double seconds = run.wait();
    for (uint64_t i = 0; i < series_count; i++) {
        double x = rate_of(i) / 10;

        for (uint64_t left = terms; left > 0; left--) {
            x = rate_of(i) * x * (1 - x);
        }
        check("a series is right", x == last[i], 1);
    }
    return {2 * series_count * terms, seconds, ""};
}

bench::outcome bench::radix_sort(run &run)
{
    uint64_t count = run.of(100000);
    uint64_t expected = 0;
    random draws{1};

    for (uint64_t i = 0; i < count; i++) {
        expected += draws.next() >> (64 - bits);
    }
    std::vector<actor> all{run.system.spawn(sink, &run, count)};
    for (unsigned bit = bits; bit-- > 0;) {
        all.push_back(run.system.spawn(stage, all.back(), uint64_t{1} << bit, count));
    }
    all.push_back(run.system.spawn(radix_source, all.back(), count));
    run.begin(1);
    caf::anon_send(all.back(), go_on::value);
    double seconds = run.wait();
    end(run, all);
    check("sum of the numbers", run.tally, expected);
    return {(bits + 1) * count, seconds, ""};
}

bench::outcome bench::sieve(run &run)
{
    uint64_t last = 1 + run.of(199999);
    foreseen expected = foresee(last);
    actor first = run.system.spawn(filter, &run);
    actor source = run.system.spawn(sieve_source, first, last);

    run.begin(1);
    caf::anon_send(source, go_on::value);
    double seconds = run.wait();
    check("primes", run.tally, expected.count);
    check("sum of the primes", sum, expected.sum);
    return {expected.messages, seconds, ""};
}

bench::outcome bench::philosophers(run &run)
{
    uint64_t meals = run.of(50000);
    actor first = run.system.spawn(waiter);
    std::vector<actor> all;

    for (uint64_t seat = 0; seat < seats; seat++) {
        all.push_back(run.system.spawn(philosopher, &run, first, seat, meals));
    }
    run.begin(seats);
    caf::anon_send(first, all);
    double seconds = run.wait();
    all.push_back(first);
    end(run, all);
    check("meals", run.tally, seats * meals);
    return {3 * seats * meals, seconds, ""};
}

bench::outcome bench::bounded_buffer(run &run)
{
    uint64_t each = run.of(25000);
    std::vector<actor> all{run.system.spawn(buffer, &run, side * each + side)};

    run.begin(1);
    for (uint64_t i = 0; i < side; i++) {
        all.push_back(run.system.spawn(consumer, &run, all.front()));
        run.system.spawn(producer, all.front(), each);
    }
    double seconds = run.wait();
    end(run, all);
    check("sum of the items", run.tally, side * (each * (each + 1) / 2));
    return {5 * side * each, seconds, ""};
}

bench::outcome bench::queens(run &run)
{
    uint64_t searches = run.of(40);
    actor master = run.system.spawn(queens_master, &run, searches);

    run.begin(1);
    caf::anon_send(master, go_on::value);
    double seconds = run.wait();
    end(run, {master});
    check("solutions", run.tally, ::queens::solutions_each * searches);
    return {3 * sum - searches, seconds, ""};
}
