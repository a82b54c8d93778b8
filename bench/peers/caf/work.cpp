// SPDX-License-Identifier: MIT
//
// From the Savina suite, where something is worked at.  What is worked ends where all steps have been made.

#include "bench.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <queue>
#include <vector>

using caf::actor;
using caf::behavior;
using caf::event_based_actor;
using caf::stateful_actor;

namespace work
{

/// Numbers that belong to whoever has the message.
struct slice {
    uint64_t *first;
    uint64_t *last;
};

/// Where a search goes on.
struct step {
    uint32_t cell;
    uint32_t cost;
    uint32_t guess;
};

/// A square of the product.
struct block {
    size_t row;
    size_t column;
    size_t size;
    size_t inner;
};

} // namespace work

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(work::slice)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(work::step)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(work::block)

namespace
{

using bench::counter;
using bench::go_on;
using bench::job;
using bench::random;
using work::block;
using work::slice;
using work::step;

using ask = caf::atom_constant<caf::atom("ask")>;
using back = caf::atom_constant<caf::atom("back")>;
using cut = caf::atom_constant<caf::atom("cut")>;
using done = caf::atom_constant<caf::atom("done")>;
using enter = caf::atom_constant<caf::atom("enter")>;
using full = caf::atom_constant<caf::atom("full")>;
using grow = caf::atom_constant<caf::atom("grow")>;
using next = caf::atom_constant<caf::atom("next")>;
using sit = caf::atom_constant<caf::atom("sit")>;
using sorted = caf::atom_constant<caf::atom("sorted")>;
using taken = caf::atom_constant<caf::atom("taken")>;
using traverse = caf::atom_constant<caf::atom("traverse")>;

/// What is summed up beside the run's tally; of the one workload that this process runs.
std::atomic<uint64_t> sum{0};

volatile uint32_t nobody_reads_it;

template <class Self> actor sender_of(Self *self)
{
    return caf::actor_cast<actor>(self->current_sender());
}

uint32_t work_from(uint32_t seed, uint32_t steps)
{
    uint32_t x = seed;

    for (; steps > 0; steps--) {
        x = x * 69069 + 1;
    }
    return x;
}

// ---- sleeping_barber: 2000 customers, a waiting room with 1000 chairs, one barber ----

constexpr uint64_t customers = 2000;
constexpr size_t chairs = 1000;

uint32_t haircut_steps(uint32_t n)
{
    return 10 + n * 7919 % 1000;
}

struct customer_state : counter {
    uint64_t left = 0;
    bool is_sitting = false;
};

behavior customer(
    stateful_actor<customer_state> *self, bench::run *run, const actor &street, uint64_t haircuts)
{
    auto turn = [=](bool is_sitting) {
        if (self->state.is_sitting == is_sitting) {
            bench::fail("a customer was shorn by halves, or twice at once");
        }
        self->state.is_sitting = is_sitting;
    };

    self->state.run = run;
    self->state.left = haircuts;
    return {
        [=](go_on) { self->send(street, back::value); },
        [=](cut) { turn(true); },
        [=](done) {
            turn(false);
            self->state.count++;
            if (--self->state.left == 0) {
                run->part_done();
            } else {
                self->send(street, back::value);
            }
        },
    };
}

struct street_state {
    std::deque<actor> line;
    actor sent; ///< of whom we have not heard
    uint32_t count = 0;
};

behavior street(stateful_actor<street_state> *self, const actor &room)
{
    auto send_one = [=] {
        auto &state = self->state;

        if (!state.sent && !state.line.empty()) {
            state.sent = state.line.front();
            state.line.pop_front();
            nobody_reads_it = work_from(state.count, haircut_steps(state.count) / 2);
            state.count++;
            self->send(room, enter::value, state.sent);
        }
    };

    return {
        [=](back) {
            self->state.line.push_back(sender_of(self));
            send_one();
        },
        [=](full) {
            self->state.line.push_back(self->state.sent);
            self->state.sent = nullptr;
            send_one();
        },
        [=](taken) {
            self->state.sent = nullptr;
            send_one();
        },
    };
}

struct room_state {
    std::deque<actor> line;
    bool is_barber_asleep = true;
};

behavior waiting_room(stateful_actor<room_state> *self, const actor &barber)
{
    auto seat_one = [=] {
        auto &state = self->state;

        if (state.is_barber_asleep && !state.line.empty()) {
            state.is_barber_asleep = false;
            self->send(barber, sit::value, state.line.front());
            state.line.pop_front();
        }
    };

    return {
        [=](enter, const actor &customer) {
            if (self->state.line.size() == chairs) {
                self->send(sender_of(self), full::value);
                return;
            }
            self->state.line.push_back(customer);
            self->send(sender_of(self), taken::value);
            seat_one();
        },
        [=](next) {
            self->state.is_barber_asleep = true;
            seat_one();
        },
    };
}

struct barber_state {
    uint32_t haircuts = 0;
};

behavior barber(stateful_actor<barber_state> *self)
{
    return {
        [=](sit, const actor &customer) {
            uint32_t n = self->state.haircuts++;

            self->send(customer, cut::value);
            sum += work_from(n, haircut_steps(n));
            self->send(customer, done::value);
            self->send(sender_of(self), next::value);
        },
    };
}

// ---- cobwebbed_tree: nodes ask the root whether they may have children; then all work, and sums go up ----

constexpr uint64_t children = 10;

uint64_t tree_work(uint64_t number)
{
    return work_from(
        static_cast<uint32_t>(number), 400 + static_cast<uint32_t>(number * 7919 % 201));
}

struct node_state {
    std::vector<actor> below;
    uint64_t left = 0; ///< of those below, sums that have not come
    uint64_t sum = 0;
};

behavior node(
    stateful_actor<node_state> *self, const actor &root, const actor &parent, uint64_t number);

template <class Self> void spawn_children(Self *self, const actor &root, uint64_t first)
{
    for (uint64_t i = 0; i < children; i++) {
        self->state.below.push_back(
            self->spawn(node, root, caf::actor_cast<actor>(self), first + i));
    }
    self->state.left = children;
}

template <class Self> void work_through(Self *self, uint64_t number)
{
    self->state.sum = tree_work(number);
    for (const auto &child : self->state.below) {
        self->send(child, traverse::value);
    }
}

behavior node(
    stateful_actor<node_state> *self, const actor &root, const actor &parent, uint64_t number)
{
    auto finish = [=] {
        self->send(parent, self->state.sum);
        self->quit();
    };

    self->send(root, ask::value);
    return {
        [=](grow, uint64_t first) { spawn_children(self, root, first); },
        [=](traverse) {
            work_through(self, number);
            if (self->state.below.empty()) {
                finish();
            }
        },
        [=](uint64_t sum) {
            self->state.sum += sum;
            if (--self->state.left == 0) {
                finish();
            }
        },
    };
}

struct root_state : node_state {
    random draws{1};
    uint64_t nodes = 1;
    uint64_t open = 0; ///< nodes that have not asked
};

behavior root(stateful_actor<root_state> *self, bench::run *run, uint64_t most)
{
    auto count_children = [=] {
        uint64_t first = self->state.nodes;

        self->state.nodes += children;
        self->state.open += children;
        return first;
    };

    return {
        [=](go_on) { spawn_children(self, caf::actor_cast<actor>(self), count_children()); },
        [=](ask) {
            auto &state = self->state;
            bool is_last = --state.open == 0;

            if (state.nodes + children <= most && (is_last || state.draws.below(2) == 0)) {
                self->send(sender_of(self), grow::value, count_children());
            } else if (is_last) {
                work_through(self, 0);
            }
        },
        [=](uint64_t below) {
            self->state.sum += below;
            if (--self->state.left == 0) {
                run->tally = self->state.nodes;
                sum = self->state.sum;
                run->part_done();
                self->quit();
            }
        },
    };
}

// ---- quicksort: in place; an actor for each part above 2048 numbers ----

constexpr ptrdiff_t alone = 2048;

/// None of the first part is above a number of the second one; what is between belongs there.
std::array<slice, 2> split(slice whole)
{
    uint64_t a = *whole.first;
    uint64_t b = whole.first[(whole.last - whole.first) / 2];
    uint64_t c = whole.last[-1];
    uint64_t pivot = std::max(std::min(a, b), std::min(std::max(a, b), c));
    uint64_t *low = whole.first;
    uint64_t *high = whole.last; // the second part is from `low` on, the first one is before `high`

    while (low < high) {
        while (*low < pivot) {
            low++;
        }
        while (high[-1] > pivot) {
            high--;
        }
        if (low < high) {
            std::swap(*low++, *--high);
        }
    }
    return {slice{whole.first, high}, slice{low, whole.last}};
}

struct sorter_state {
    unsigned left = 0; ///< parts that are not sorted
};

/// Without a parent it is of all numbers.
behavior sorter(stateful_actor<sorter_state> *self, bench::run *run, const actor &parent)
{
    auto finish = [=] {
        if (parent) {
            self->send(parent, sorted::value);
        } else {
            run->part_done();
        }
        self->quit();
    };

    return {
        [=](slice numbers) {
            if (numbers.last - numbers.first <= alone) {
                std::sort(numbers.first, numbers.last);
                finish();
                return;
            }
            for (slice part : split(numbers)) {
                self->send(self->spawn(sorter, run, caf::actor_cast<actor>(self)), part);
                self->state.left++;
            }
        },
        [=](sorted) {
            if (--self->state.left == 0) {
                finish();
            }
        },
    };
}

// ---- a master deals jobs to 20 workers, which find more: for the two below ----

constexpr uint64_t worker_count = 20;

struct master_state {
    std::vector<actor> workers;
    uint64_t dealt = 0;
    uint64_t open = 0;
    uint64_t searches = 0;
};

template <class Worker> void spawn_workers(stateful_actor<master_state> *self, Worker worker)
{
    for (uint64_t i = 0; i < worker_count; i++) {
        self->state.workers.push_back(
            self->spawn<caf::linked>(worker, caf::actor_cast<actor>(self)));
    }
}

template <class Job> void deal(stateful_actor<master_state> *self, const Job &what)
{
    auto &state = self->state;

    state.open++;
    self->send(state.workers[state.dealt++ % worker_count], job::value, what);
}

// ---- a_star: 40 guided searches through a grid; what a cell has been reached for, all share ----

constexpr uint32_t side = 30;
constexpr uint32_t cells = side * side * side;
constexpr uint32_t target = cells - 1;
constexpr uint32_t unreached = 1U << 30;
constexpr unsigned threshold = 1024;

/// Where the master starts a search, nobody is at work.
uint64_t search_number;

/// relaxed, each: a number by itself, which only falls; the way on from it goes by message.
std::array<std::atomic<uint32_t>, cells> best;

uint32_t best_of(uint32_t cell)
{
    return best[cell].load(std::memory_order_relaxed);
}

bool lower(uint32_t cell, uint32_t cost)
{
    uint32_t before = best_of(cell);

    while (cost < before &&
           !best[cell].compare_exchange_weak(before, cost, std::memory_order_relaxed)) {
    }
    return cost < before;
}

uint32_t cost_of(uint64_t search, uint32_t cell)
{
    uint64_t x = (search * cells + cell + 1) * 2654435761U % 4294967291U;

    return 1 + static_cast<uint32_t>(x >> 8) % 9;
}

uint32_t distance_of(uint32_t cell)
{
    return 3 * (side - 1) - cell % side - cell / side % side - cell / (side * side);
}

template <class Function> void each_neighbour(uint32_t cell, Function function)
{
    for (uint32_t apart = 1; apart < cells; apart *= side) {
        uint32_t at = cell / apart % side;

        if (at > 0) {
            function(cell - apart);
        }
        if (at < side - 1) {
            function(cell + apart);
        }
    }
}

struct is_behind {
    bool operator()(const step &a, const step &b) const
    {
        return a.guess > b.guess;
    }
};

using steps = std::priority_queue<step, std::vector<step>, is_behind>;

bool is_promising(const step &step)
{
    return step.cost <= best_of(step.cell) && step.guess < best_of(target);
}

void go_on_from(const step &from, steps &open)
{
    each_neighbour(from.cell, [&](uint32_t cell) {
        uint32_t cost = from.cost + cost_of(search_number, cell);
        uint32_t guess = cost + distance_of(cell);

        if (guess < best_of(target) && lower(cell, cost) && cell != target) {
            open.push({cell, cost, guess});
        }
    });
}

behavior search_worker(event_based_actor *self, const actor &master)
{
    return {
        [=](job, const step &first) {
            steps open;

            open.push(first);
            for (unsigned i = 0; i < threshold && !open.empty(); i++) {
                step from = open.top();

                open.pop();
                if (is_promising(from)) {
                    go_on_from(from, open);
                }
            }
            for (; !open.empty(); open.pop()) {
                if (is_promising(open.top())) {
                    self->send(master, job::value, open.top());
                }
            }
            self->send(master, done::value);
        },
    };
}

void start_search(stateful_actor<master_state> *self)
{
    search_number = self->state.searches;
    for (uint32_t cell = 0; cell < cells; cell++) {
        best[cell].store(cell == 0 ? 0 : unreached, std::memory_order_relaxed);
    }
    deal(self, step{0, 0, distance_of(0)});
}

behavior search_master(stateful_actor<master_state> *self, bench::run *run, uint64_t searches)
{
    spawn_workers(self, search_worker);
    self->state.searches = searches;
    return {
        [=](go_on) { start_search(self); },
        [=](job, const step &more) { deal(self, more); },
        [=](done) {
            if (--self->state.open > 0) {
                return;
            }
            run->tally += best_of(target);
            if (--self->state.searches == 0) {
                run->part_done();
            } else {
                start_search(self);
            }
        },
    };
}

/// What the cheapest way costs, found the ordinary way: until no cell can be entered for less.
uint64_t foresee(uint64_t search)
{
    std::vector<uint32_t> costs(cells, unreached);
    bool is_changed = true;

    costs[0] = 0;
    while (is_changed) {
        is_changed = false;
        for (uint32_t cell = 1; cell < cells; cell++) {
            each_neighbour(cell, [&](uint32_t other) {
                uint32_t cost = costs[other] + cost_of(search, cell);

                is_changed |= cost < costs[cell];
                costs[cell] = std::min(cost, costs[cell]);
            });
        }
    }
    return costs[target];
}

// ---- matrix_multiply: whoever has a block's job has the block ----

constexpr size_t block_size = 128;

/// Of this process: set before the clock runs.
size_t matrix_side;
std::vector<double> left;
std::vector<double> right;
std::vector<double> product;

/// What must come out, exactly: with k from 0 to matrix_side - 1 the sum of (row + k) * (column - k).
double product_at(size_t row, size_t column)
{
    auto n = static_cast<double>(matrix_side);
    auto r = static_cast<double>(row);
    auto c = static_cast<double>(column);

    return n * r * c + (c - r) * n * (n - 1) / 2 - (n - 1) * n * (2 * n - 1) / 6;
}

/// Adds block_size products to each place of a small block.
void multiply(const block &block)
{
    for (size_t i = block.row; i < block.row + block.size; i++) {
        double *to = &product[i * matrix_side + block.column];

        for (size_t k = block.inner; k < block.inner + block_size; k++) {
            double factor = left[i * matrix_side + k];
            const double *from = &right[k * matrix_side + block.column];

            for (size_t j = 0; j < block.size; j++) {
                to[j] += factor * from[j];
            }
        }
    }
}

behavior matrix_worker(event_based_actor *self, const actor &master)
{
    return {
        [=](job, block what) {
            size_t half = what.size / 2;

            if (what.size > block_size) {
                for (size_t i = 0; i < 4; i++) {
                    self->send(master, job::value,
                        block{what.row + i / 2 * half, what.column + i % 2 * half, half, 0});
                }
            } else {
                multiply(what);
                what.inner += block_size;
                if (what.inner < matrix_side) {
                    self->send(master, job::value, what);
                }
            }
            self->send(master, done::value);
        },
    };
}

behavior matrix_master(stateful_actor<master_state> *self, bench::run *run)
{
    spawn_workers(self, matrix_worker);
    return {
        [=](go_on) {
            deal(self, block{0, 0, matrix_side, 0});
        },
        [=](job, const block &more) { deal(self, more); },
        [=](done) {
            if (--self->state.open == 0) {
                run->tally = self->state.dealt;
                run->part_done();
            }
        },
    };
}

/// Powers of two: the work grows with the third power of it.
size_t side_for(const bench::run &run)
{
    // Multiplications.
    double work = static_cast<double>(run.of(uint64_t{1024} * 1024 * 1024));
    size_t size = 2 * block_size;

    while (work >= 8.0 * static_cast<double>(size * size * size)) {
        size *= 2;
    }
    return size;
}

} // namespace

bench::outcome bench::sleeping_barber(run &run)
{
    uint64_t each = run.of(100);
    uint64_t expected = 0;

    for (uint32_t n = 0; n < customers * each; n++) {
        expected += work_from(n, haircut_steps(n));
    }
    actor cutter = run.system.spawn(barber);
    actor room = run.system.spawn(waiting_room, cutter);
    std::vector<actor> all{run.system.spawn(street, room)};
    run.begin(customers);
    for (uint64_t i = 0; i < customers; i++) {
        all.push_back(run.system.spawn(customer, &run, all.front(), each));
        caf::anon_send(all.back(), go_on::value);
    }
    double seconds = run.wait();
    all.push_back(cutter);
    all.push_back(room);
    end(run, all);
    check("haircuts", run.tally, customers * each);
    check("sum of the work", sum, expected);
    return {7 * customers * each, seconds, ""};
}

bench::outcome bench::cobwebbed_tree(run &run)
{
    uint64_t grown = std::max<uint64_t>(1, (run.of(200000) - 1) / children);
    uint64_t below = grown * children;
    uint64_t expected = 0;

    for (uint64_t number = 0; number <= below; number++) {
        expected += tree_work(number);
    }
    actor first = run.system.spawn(root, &run, below + 1);
    run.begin(1);
    caf::anon_send(first, go_on::value);
    double seconds = run.wait();
    check("nodes", run.tally, below + 1);
    check("sum of the work", sum, expected);
    return {3 * below + grown - 1, seconds, ""};
}

bench::outcome bench::quicksort(run &run)
{
    std::vector<uint64_t> numbers(run.of(1000000));
    random draws{1};
    uint64_t expected = 0;
    uint64_t is = 0;

    for (auto &number : numbers) {
        number = draws.next() >> 4;
        expected += number;
    }
    actor first = run.system.spawn(sorter, &run, actor{});
    run.begin(1);
    caf::anon_send(first, slice{numbers.data(), numbers.data() + numbers.size()});
    double seconds = run.wait();
    for (uint64_t number : numbers) {
        is += number;
    }
    check("sorted", std::is_sorted(numbers.begin(), numbers.end()), 1);
    check("sum of the numbers", is, expected);
    return {numbers.size(), seconds, ""};
}

bench::outcome bench::a_star(run &run)
{
    uint64_t searches = run.of(40);
    uint64_t expected = 0;

    for (uint64_t search = 1; search <= searches; search++) {
        expected += foresee(search);
    }
    actor master = run.system.spawn(search_master, &run, searches);
    run.begin(1);
    caf::anon_send(master, go_on::value);
    double seconds = run.wait();
    check("costs of the ways", run.tally, expected);
    return {searches * cells, seconds, ""};
}

bench::outcome bench::matrix_multiply(run &run)
{
    matrix_side = side_for(run);
    product.resize(matrix_side * matrix_side);
    for (size_t i = 0; i < matrix_side; i++) {
        for (size_t j = 0; j < matrix_side; j++) {
            left.push_back(static_cast<double>(i + j));
            right.push_back(static_cast<double>(j) - static_cast<double>(i));
        }
    }
    actor master = run.system.spawn(matrix_master, &run);
    run.begin(1);
    caf::anon_send(master, go_on::value);
    double seconds = run.wait();
    for (size_t i = 0; i < product.size(); i++) {
        check("a place of the product is right",
            product[i] == product_at(i / matrix_side, i % matrix_side), 1);
    }
    return {3 * run.tally - 1, seconds, ""};
}
