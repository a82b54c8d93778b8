/* SPDX-License-Identifier: MIT */
/* Event: a wait ends when it is woken, or at its deadline, and neither early nor a second later. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>

#include "port.h"

static uint64_t wait_ns(struct trp_event *event, uint64_t delay_ns)
{
    uint64_t begin_ns = trp_port_now_ns();

    trp_event_wait(event, trp_event_value(event), begin_ns + delay_ns);
    return trp_port_now_ns() - begin_ns;
}

/* Every wait with a deadline lasted a second at least: the first sleep of the event count took no notice of it.  A machine
 * that is busy may be late now and then, but not each time. */
Test(event, a_wait_ends_at_its_deadline, .timeout = 60)
{
    static const uint64_t delays_ns[] = {1000000, 5000000, 20000000, 100000000};
    struct trp_event event;

    trp_event_init(&event);
    for (size_t i = 0; i < sizeof delays_ns / sizeof delays_ns[0]; i++) {
        uint64_t least_ns = UINT64_MAX;

        for (int try = 0; try < 5; try++) {
            uint64_t waited_ns = wait_ns(&event, delays_ns[i]);

            cr_assert_geq(waited_ns, delays_ns[i], "early");
            least_ns = waited_ns < least_ns ? waited_ns : least_ns;
        }
        cr_assert_lt(least_ns, delays_ns[i] + 400000000, "%.1f ms for %.1f ms",
            (double)least_ns / 1e6, (double)delays_ns[i] / 1e6);
    }
}

Test(event, a_deadline_that_has_passed_is_no_wait, .timeout = 60)
{
    struct trp_event event;

    trp_event_init(&event);
    trp_event_wait(&event, trp_event_value(&event), 0);
    trp_event_wait(&event, trp_event_value(&event), trp_port_now_ns());
}

Test(event, a_wake_before_the_wait_is_not_lost, .timeout = 60)
{
    struct trp_event event;
    uint32_t value;

    trp_event_init(&event);
    value = trp_event_value(&event);
    trp_event_wake(&event);
    trp_event_wait(&event, value, TRP_EVENT_FOREVER);
}

struct relay {
    struct trp_event ping;
    struct trp_event pong;
    _Atomic unsigned rounds;
};

#define ROUNDS 20000

static void *answer_pings(void *arg)
{
    struct relay *relay = arg;

    for (unsigned i = 1; i <= ROUNDS; i++) {
        for (;;) {
            uint32_t value = trp_event_value(&relay->ping);

            if (atomic_load(&relay->rounds) >= 2 * i - 1) {
                break;
            }
            trp_event_wait(&relay->ping, value, TRP_EVENT_FOREVER);
        }
        atomic_fetch_add(&relay->rounds, 1);
        trp_event_wake(&relay->pong);
    }
    return NULL;
}

Test(event, no_wake_is_lost_between_two_threads, .timeout = 60)
{
    static struct relay relay;
    pthread_t thread;

    trp_event_init(&relay.ping);
    trp_event_init(&relay.pong);
    cr_assert_eq(pthread_create(&thread, NULL, answer_pings, &relay), 0);
    for (unsigned i = 1; i <= ROUNDS; i++) {
        atomic_fetch_add(&relay.rounds, 1);
        trp_event_wake(&relay.ping);
        for (;;) {
            uint32_t value = trp_event_value(&relay.pong);

            if (atomic_load(&relay.rounds) >= 2 * i) {
                break;
            }
            trp_event_wait(&relay.pong, value, TRP_EVENT_FOREVER);
        }
    }
    pthread_join(thread, NULL);
    cr_assert_eq(relay.rounds, 2 * ROUNDS);
}
