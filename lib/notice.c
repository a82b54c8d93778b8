/* SPDX-License-Identifier: MIT */
/*
 * notice.c - a notice reaches its receiver: what it is, and whether it still counts.
 *
 * Each kind is looked at by the file that made it.  Whether exits are trapped is asked here and now, not when the signal
 * was sent.
 */
#include "notice.h"

#include "exit_signal.h"
#include "link.h"
#include "monitor.h"
#include "tie.h"

/* Whether it is an exit signal that still counts. */
static bool is_exit(const struct troupe_actor *self, struct trp_notice *notice)
{
    switch (notice->kind) {
    case TRP_NOTICE_LINK:
        return trp_link_stands(self, trp_watch_of(notice));
    case TRP_NOTICE_SENT:
        return trp_exit_signal_is_meant_for(trp_watch_of(notice), self);
    case TRP_NOTICE_TIE_EXIT:
        return true;
    default:
        return false;
    }
}

bool trp_notice_condemns(const struct troupe_actor *self, const struct troupe_message *msg)
{
    struct trp_notice *notice = trp_notice_of(msg);

    return !self->trap_exit && !trp_notice_is_order(notice) && is_exit(self, notice) &&
           trp_exit_signal_is_deadly(self, notice);
}

bool trp_notice_commands(const struct troupe_actor *self, const struct troupe_message *msg)
{
    struct trp_notice *notice = trp_notice_of(msg);

    /* An order waits until what came before it is handled. */
    if (trp_notice_is_order(notice) || !is_exit(self, notice)) {
        return false;
    }
    return self->trap_exit ? trp_exit_signal_is_command(self, &notice->body.exited)
                           : trp_exit_signal_is_deadly(self, notice);
}

int trp_notice_open(struct troupe_actor *self, struct troupe_message *msg)
{
    struct trp_notice *notice = trp_notice_of(msg);
    bool counts = true;

    switch (notice->kind) {
    case TRP_NOTICE_MONITOR:
        return trp_monitor_open(self, trp_watch_of(notice));
    case TRP_NOTICE_LINK:
        counts = trp_link_open(self, trp_watch_of(notice));
        break;
    case TRP_NOTICE_SENT:
        counts = trp_exit_signal_has_its_turn(trp_watch_of(notice), self);
        break;
    case TRP_NOTICE_TIE_EXIT:
        break;
    default:
        return trp_tie_open(notice);
    }
    return counts ? trp_exit_signal_open(self, notice) : TROUPE_OK;
}
