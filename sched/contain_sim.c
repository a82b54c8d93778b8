/* SPDX-License-Identifier: MIT */
/* contain_sim.c - the twin of contain.c for simulation: a fault there is a finding, and nothing is done about it. */
#include "contain.h"

bool trp_contain_can(void)
{
    return false;
}

void trp_contain_open(const struct troupe_runtime_options *options)
{
    (void)options;
}

void trp_contain_close(const struct troupe_runtime_options *options)
{
    (void)options;
}

int trp_contain_prepare(struct trp_worker *worker)
{
    (void)worker;
    return TROUPE_OK;
}

void trp_contain_release(struct trp_worker *worker)
{
    (void)worker;
}

void trp_contain_sit(struct trp_worker *worker, bool owned)
{
    (void)worker;
    (void)owned;
}

void trp_contain_rise(struct trp_worker *worker)
{
    (void)worker;
}
