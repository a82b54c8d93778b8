/* SPDX-License-Identifier: MIT */
#include "contain_seat.h"

#include "core.h"
#include "fiber.h"
#include "worker.h"

void trp_seat_note(const struct troupe_actor *self, const struct troupe_message *msg)
{
    struct trp_seat *seat = &self->context->worker->seat;

    seat->trace[seat->traced++ % TRP_SEAT_TRACE] = (struct trp_seat_entry){
        .pid = trp_actor_pid(self), .behaviour = self->behaviour->name, .type = msg->type->name};
}

int trp_seat_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    trp_seat_note(self, msg);
    return trp_fiber_is_wanted(self->behaviour) ? trp_fiber_receive(self, state, msg)
                                                : self->behaviour->receive(self, state, msg);
}
