/* SPDX-License-Identifier: MIT */
/* spare.c - ties set aside: see supervisor.h. */
#include "supervisor.h"

/* Puts a tie aside for another life, or gives it up if there are enough. */
void trp_spare_give(struct trp_supervisor *sup, struct trp_tie *tie)
{
    struct trp_spare *spare = &sup->spare;

    if (spare->count == TRP_SPARE_TIES_MAX) {
        trp_tie_free(trp_supervisor_context(sup), tie);
        return;
    }
    trp_tie_disown(tie);
    spare->ties[(spare->first + spare->count) % TRP_SPARE_TIES_MAX] = tie;
    spare->count++;
}

/* The oldest tie put aside, if there are more than `keep` and it is idle. */
static struct trp_tie *tie_reuse(struct trp_supervisor *sup, unsigned keep)
{
    struct trp_spare *spare = &sup->spare;
    struct trp_tie *tie = spare->ties[spare->first];

    if (spare->count <= keep || !trp_tie_is_idle(tie)) {
        return NULL;
    }
    spare->first = (spare->first + 1) % TRP_SPARE_TIES_MAX;
    spare->count--;
    return tie;
}

/* An idle tie; NULL without memory.  A first start takes a new one: those set aside are for restarts. */
struct trp_tie *trp_spare_take(struct trp_supervisor *sup)
{
    struct trp_tie *tie = tie_reuse(sup, TRP_SPARE_TIES);

    if (tie == NULL) {
        tie = trp_tie_new(trp_supervisor_context(sup));
    }
    return tie != NULL ? tie : tie_reuse(sup, 0);
}

int trp_spare_fill(struct trp_supervisor *sup)
{
    for (unsigned i = 0; i < TRP_SPARE_TIES; i++) {
        struct trp_tie *tie = trp_tie_new(trp_supervisor_context(sup));

        if (tie == NULL) {
            return TROUPE_ENOMEM;
        }
        trp_spare_give(sup, tie);
    }
    return TROUPE_OK;
}
