/* SPDX-License-Identifier: MIT */
/*
 * barber.c - 2000 customers, a waiting room with 1000 chairs, and one barber, who sleeps when there is nobody.
 *
 *           enter            sit              cut, done             back
 *   street -------> room ----------> barber -----------> customer -------> street
 *      ^   <-------      <----------
 *            taken,           next
 *            full
 *
 * The street sends one customer after the other, with some work before each, and the barber works twice as much at each: the
 * room fills up, and then turns customers away, who try again behind all others.  The street knows how the last one fared
 * before it sends the next one, so that it and the barber take turns at the room, whatever the scheduler does.
 */
#include "harness.h"
#include "work.h"

#define CUSTOMERS 2000U
#define CHAIRS 1000U
#define HAIRCUTS 100U /* of a customer */
#define STEPS_MIN 10U
#define STEPS_RANGE 1000U

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type enter = TROUPE_TYPE(troupe_pid); /* body: the customer */
static const struct troupe_type sit = TROUPE_TYPE(troupe_pid);   /* body: the customer */
static const struct troupe_type next = TROUPE_SIGNAL;
static const struct troupe_type taken = TROUPE_SIGNAL; /* has a chair */
static const struct troupe_type full = TROUPE_SIGNAL;
static const struct troupe_type cut = TROUPE_SIGNAL;
static const struct troupe_type done = TROUPE_SIGNAL;
static const struct troupe_type back = TROUPE_SIGNAL;

/* First in, first out.  Nobody stands in one twice. */
struct line {
    troupe_pid customers[CUSTOMERS];
    unsigned first;
    unsigned count;
};

struct customer {
    struct bench_run *run;
    troupe_pid street;
    uint64_t left;
    uint64_t haircuts;
    bool is_sitting;
};

struct street {
    troupe_pid room;
    struct line line;
    troupe_pid sent; /* of whom we have not heard; or NOBODY */
    uint32_t count;
};

struct room {
    troupe_pid barber;
    struct line line;
    bool is_barber_asleep;
};

struct barber {
    struct bench_run *run;
    uint32_t haircuts;
    uint64_t sum; /* of where the work at each led */
};

static void join(struct line *line, troupe_pid customer)
{
    line->customers[(line->first + line->count++) % CUSTOMERS] = customer;
}

static troupe_pid leave(struct line *line)
{
    troupe_pid customer = line->customers[line->first];

    line->first = (line->first + 1) % CUSTOMERS;
    line->count--;
    return customer;
}

/* Of the n-th haircut; half of it for the n-th customer that is sent. */
static uint32_t steps_of(uint32_t n)
{
    return STEPS_MIN + n * 7919U % STEPS_RANGE;
}

/* ---- customers ---- */

static int customer_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct customer *)state = *(const struct customer *)arg;
    return TROUPE_OK;
}

static int customer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct customer *customer = state;

    if (customer->is_sitting != troupe_is(msg, &done)) {
        return bench_fail(customer->run, "a customer was shorn by halves, or twice at once");
    }
    if (troupe_is(msg, &cut)) {
        customer->is_sitting = true;
        return TROUPE_OK;
    }
    if (troupe_is(msg, &done)) {
        customer->is_sitting = false;
        customer->haircuts++;
        if (--customer->left == 0) {
            bench_part_done(customer->run);
            return TROUPE_OK;
        }
    }
    return troupe_send(self, customer->street, &back, NULL);
}

static void customer_destroy(void *state)
{
    struct customer *customer = state;

    bench_tally(customer->run, customer->haircuts, 0);
}

/* ---- the street ---- */

static int street_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct street *)state = *(const struct street *)arg;
    return TROUPE_OK;
}

/* The next one, if there is somebody and the last one is off our hands. */
static int send_one(struct troupe_actor *self, struct street *street)
{
    if (street->sent != TROUPE_NOBODY || street->line.count == 0) {
        return TROUPE_OK;
    }
    street->sent = leave(&street->line);
    bench_work(steps_of(street->count++) / 2);
    return troupe_send(self, street->room, &enter, &street->sent);
}

static int street_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct street *street = state;

    if (troupe_is(msg, &back)) {
        join(&street->line, troupe_sender(msg));
        return send_one(self, street);
    }
    if (troupe_is(msg, &full)) {
        join(&street->line, street->sent);
    }
    street->sent = TROUPE_NOBODY;
    return send_one(self, street);
}

/* ---- the waiting room ---- */

static int room_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct room *)state = *(const struct room *)arg;
    return TROUPE_OK;
}

/* The next one, if there is somebody and the barber has nobody. */
static int seat_one(struct troupe_actor *self, struct room *room)
{
    troupe_pid customer;

    if (!room->is_barber_asleep || room->line.count == 0) {
        return TROUPE_OK;
    }
    room->is_barber_asleep = false;
    customer = leave(&room->line);
    return troupe_send(self, room->barber, &sit, &customer);
}

static int room_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct room *room = state;

    if (troupe_is(msg, &next)) {
        room->is_barber_asleep = true;
        return seat_one(self, room);
    }
    if (room->line.count == CHAIRS) {
        return troupe_send(self, troupe_sender(msg), &full, NULL);
    }
    join(&room->line, *(troupe_pid *)troupe_body(msg));
    TROUPE_TRY(troupe_send(self, troupe_sender(msg), &taken, NULL));
    return seat_one(self, room);
}

/* ---- the barber ---- */

static int barber_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct barber *)state = *(const struct barber *)arg;
    return TROUPE_OK;
}

static int barber_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct barber *barber = state;
    troupe_pid customer = *(troupe_pid *)troupe_body(msg);

    TROUPE_TRY(troupe_send(self, customer, &cut, NULL));
    barber->sum += bench_work_from(barber->haircuts, steps_of(barber->haircuts));
    barber->haircuts++;
    TROUPE_TRY(troupe_send(self, customer, &done, NULL));
    return troupe_send(self, troupe_sender(msg), &next, NULL);
}

static void barber_destroy(void *state)
{
    struct barber *barber = state;

    bench_tally(barber->run, 0, barber->sum);
}

static const struct troupe_behaviour customer_behaviour = {
    .name = "customer",
    .state_size = sizeof(struct customer),
    .init = customer_init,
    .receive = customer_receive,
    .destroy = customer_destroy,
};

/* Room for all customers at once. */
static const struct troupe_behaviour street_behaviour = {
    .name = "street",
    .state_size = sizeof(struct street),
    .init = street_init,
    .receive = street_receive,
    .capacity = 2 * CUSTOMERS,
};

static const struct troupe_behaviour room_behaviour = {
    .name = "room",
    .state_size = sizeof(struct room),
    .init = room_init,
    .receive = room_receive,
};

static const struct troupe_behaviour barber_behaviour = {
    .name = "barber",
    .state_size = sizeof(struct barber),
    .init = barber_init,
    .receive = barber_receive,
    .destroy = barber_destroy,
};

static int start(struct bench_run *run)
{
    uint64_t each = bench_scaled(run, HAIRCUTS);
    struct barber barber = {.run = run};
    struct room room = {.is_barber_asleep = true};
    struct street street = {.sent = TROUPE_NOBODY};
    struct customer customer = {.run = run, .left = each};
    troupe_pid pid;

    TROUPE_TRY(bench_spawn(run, &barber_behaviour, &barber, sizeof barber, &room.barber));
    TROUPE_TRY(bench_spawn(run, &room_behaviour, &room, sizeof room, &street.room));
    TROUPE_TRY(bench_spawn(run, &street_behaviour, &street, sizeof street, &customer.street));
    run->expected_count = CUSTOMERS * each;
    for (uint32_t i = 0; i < CUSTOMERS * each; i++) {
        run->expected_sum += bench_work_from(i, steps_of(i));
    }
    /* Of a haircut: enter, taken, sit, cut, done, next, and back, which is first said when the customer is new. */
    bench_begin(run, each * CUSTOMERS * 7, CUSTOMERS);
    for (unsigned i = 0; i < CUSTOMERS; i++) {
        TROUPE_TRY(bench_spawn(run, &customer_behaviour, &customer, sizeof customer, &pid));
        TROUPE_TRY(bench_signal(run, pid, &go_on));
    }
    return TROUPE_OK;
}

const struct bench_workload bench_sleeping_barber = {
    .name = "sleeping_barber",
    .about = "2000 customers, 1000 chairs, one barber, 100 haircuts each",
    .start = start,
};
