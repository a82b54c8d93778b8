/* SPDX-License-Identifier: MIT */
/* Name table: its end.  What it is asked and told is tested with the registry and with groups. */
#include "name_table.h"

#include <stdio.h>

#include "test/support/stage.h"

#define NAMES 20000

static struct trp_name names[NAMES];
static char texts[NAMES][8];

static void fill_and_empty(struct trp_name_table *table)
{
    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(texts[i], sizeof texts[i], "%u", i);
        trp_name_init(&names[i], texts[i]);
        cr_assert_eq(trp_name_table_add(table, &names[i]), &names[i]);
    }
    for (unsigned i = 0; i < NAMES; i++) {
        trp_name_table_remove(table, &names[i]);
    }
}

/* The thread that shrinks it waits for a grace period, and so for us, who are in a read section as the end of a runtime is. */
Test(name_table, it_ends_while_it_shrinks, .timeout = 60)
{
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned round = 0; round < 50; round++) {
        struct trp_name_table *table;
        bool was_offline;

        cr_assert_eq(trp_name_table_create(stage.runtime, &table), TROUPE_OK);
        was_offline = trp_reclaim_enter();
        fill_and_empty(table);
        trp_name_table_destroy(table);
        trp_reclaim_leave(was_offline);
    }
    stage_close(&stage);
}
