/* SPDX-License-Identifier: MIT */
/*
 * lib/flow.h - what flow.c, flow_out.c, flow_put.c and flow_in.c share: an actor's flows and subscriptions, and the words that they
 * say to each other.
 *
 * An *outlet* is a flow as its producer has it, a *tap* one of its subscribers there, an *inlet* a subscription as its
 * subscriber has it.  Each belongs to its actor, whose token's holder alone touches it: what passes between two actors is
 * messages of kind FLOW, which hooks.c hands to trp_flow_open(), and which are reserved.
 *
 *        inlet                                                  tap
 *          SUBSCRIBE {number, flow, window, first credit}  --->  made
 *          CREDIT {number, count}  --------------------------->  credit += count; what is kept back is sent
 *          CANCEL {number}  ---------------------------------->  gone
 *          <-------------------  PARCEL {number, items, missed}  credit -= items
 *          <---------------------------------------  END {number, status}  gone
 *
 * Of an inlet, unless it is manual:  credit at the tap or on its way + items on their way + `queued` + lent + `owed` == window.
 * So no more than a window of items is ever on this side, and the tap never has more credit than that.
 *
 * The last word of each side (CANCEL, END) is set aside when the side is made, so that the end needs no memory; a SUBSCRIBE
 * that nobody takes becomes the END itself, in trp_flow_retire().  What waits in a tap waits in its parcel, so that sending it
 * later needs none either.
 *
 * Who waits for the other's next word publishes an edge to it (pressure.h, await.h).  So each side counts what it says to the
 * other, and what it hears: it lets the other's edge rest that waits for a word which it has sent.
 *
 * An actor's flows hang on its cleanups: troupe_defer() ends them, and they are found there.  The extra block has no room
 * for them, and few actors have any.
 */
#ifndef TRP_FLOW_H
#define TRP_FLOW_H

#include "core.h"
#include "trie.h"

#include <troupe/flow.h>

/* ---- the words: bodies of messages of kind FLOW ---- */

struct trp_flow_subscribe {
    uint64_t number; /* the subscriber's; 0: answered */
    uint64_t flow;   /* 0: the oldest */
    uint32_t credit;
    uint32_t window;
    uint32_t buffer; /* 0: the offer's */
    uint8_t policy;
    bool retained;
    int16_t status; /* why it is refused */
};

struct trp_flow_credit {
    uint64_t number;
    uint32_t count;
};

struct trp_flow_cancel {
    uint64_t number;
    int32_t status;
};

struct trp_flow_parcel {
    uint64_t number;
    struct trp_chain items;
    uint32_t count;
    uint32_t missed; /* before the first one */
};

struct trp_flow_end {
    uint64_t number;
    int32_t status;
    uint32_t missed; /* before the end */
};

static_assert(sizeof(struct trp_flow_parcel) <= TROUPE_BODY_INLINE, "a parcel is one line");
static_assert(sizeof(struct trp_flow_subscribe) <= TROUPE_BODY_INLINE, "and so is the question");
static_assert(sizeof(struct trp_flow_subscribe) >= sizeof(struct trp_flow_end),
    "a SUBSCRIBE can become an END");

static inline struct trp_flow_parcel *trp_flow_parcel_of(const struct troupe_message *word)
{
    return trp_message_body(word);
}

extern const struct troupe_type trp_flow_subscribe_type, trp_flow_credit_type, trp_flow_cancel_type,
    trp_flow_parcel_type, trp_flow_end_type;

/* ---- the records ---- */

/* All of one incarnation. */
struct trp_flows {
    struct troupe_actor *self;
    struct trp_trie *outlets;     /* by number */
    struct trp_trie *inlets;      /* by number */
    struct trp_trie *taps;        /* by trp_flow_tap_key() */
    struct trp_list outlet_list;  /* oldest first */
    struct trp_list gone_outlets; /* to be freed when no callback runs */
    struct trp_list gone_inlets;
    uint32_t count;  /* of outlets and inlets */
    uint32_t serial; /* of the one made last */
    uint32_t depth;  /* of callbacks that run */
    uint64_t ended;  /* the subscription of whose end troupe_flow_next() told last */
    uint32_t ended_missed;
};

struct trp_outlet {
    struct trp_trie node;
    struct trp_list link; /* in outlet_list, or gone_outlets */
    uint64_t number;
    struct troupe_flow_options options; /* no zeros */
    struct trp_list taps;               /* oldest first */
    struct trp_list inlets;             /* that are piped into it */
    struct trp_list ready;              /* of these, those that hold items */
    struct troupe_message *retained;    /* a copy of the last item; or NULL */
    struct troupe_flow_facts facts;
    bool ended; /* takes no items, and no taps */
    bool gone;
};

struct trp_tap {
    struct trp_trie node;
    struct trp_list link; /* in outlet->taps */
    struct trp_outlet *outlet;
    troupe_pid subscriber;
    uint64_t number; /* the subscriber's */
    uint32_t window;
    uint32_t credit; /* 0 as long as anything waits */
    uint32_t buffer;
    uint32_t missed; /* behind all that waits */
    uint32_t told;   /* words that were sent to it */
    uint32_t heard;  /* words that came from it, since it was made */
    enum troupe_flow_policy policy;
    uint32_t waiting_count;
    struct trp_chain waiting;   /* parcels of one item each */
    struct trp_chain draft;     /* parcels of the items that are just being put */
    struct troupe_message *end; /* set aside */
};

struct trp_inlet {
    struct trp_trie node;
    struct trp_list link;  /* in gone_inlets, or in none */
    struct trp_list piped; /* in outlet->inlets */
    struct trp_list ready; /* in outlet->ready */
    uint64_t number;
    struct troupe_flow flow;
    struct trp_outlet *outlet; /* into which it is piped; or NULL */
    struct troupe_subscribe_options options;
    uint32_t granted; /* credit that has brought no item yet */
    uint32_t queued;
    uint32_t owed;          /* credit to be granted again */
    uint32_t missed;        /* before the item that is lent, or the end */
    uint32_t told;          /* words that were sent to the producer, since it subscribed */
    uint32_t heard;         /* words that came from it */
    struct trp_chain items; /* while they are here `sender` says how many were missed before them */
    struct troupe_message *current; /* the item that is lent, unless it was kept */
    bool lent;                      /* one is in the user's hands */
    struct troupe_message *credit;  /* the next word of this kind; or NULL */
    struct troupe_message *cancel;  /* set aside */
    uint32_t end_missed;
    bool ended; /* no more will come, for the reason `status` */
    int status;
    bool gone;
};

/* ---- flow.c ---- */

/** The flows of `self`, or NULL.  O(cleanups registered since the first one was made). */
struct trp_flows *trp_flow_of(struct troupe_actor *self);

/** The same, made if there are none, with room for one more.  TROUPE_ENOMEM, TROUPE_ELIMIT. */
TROUPE_CHECKED int trp_flow_need(struct troupe_actor *self, struct trp_flows **out_flows);

/** The number of the next flow or subscription: no life of this actor had it. */
uint64_t trp_flow_number(struct trp_flows *flows);

/** A word of one of the types above; NULL without memory. */
struct troupe_message *trp_flow_word(
    struct troupe_actor *self, const struct troupe_type *type, size_t size);

/** Sends the word number `count` of `flow`, which is trp_flow_down() or trp_flow_up(), to `to`; it ends if nobody is there.  Who
 * waits for it waits no longer. */
void trp_flow_send(struct troupe_actor *self, troupe_pid to, struct troupe_message *word,
    uint64_t flow, uint32_t count);

/** What is waited for (pressure.h): what a producer says to the subscription that its subscriber has numbered so; and what the
 * subscriber says.  A producer that waits hears all its subscribers. */
static inline uint64_t trp_flow_down(uint64_t number)
{
    return number << 1;
}

static inline uint64_t trp_flow_up(uint64_t number)
{
    return number << 1 | TRP_EDGE_OPEN;
}

/** Ends a word that was not sent, and what is in it. */
void trp_flow_discard(struct troupe_actor *self, struct troupe_message *word);

/** Ends the items of `chain`. */
void trp_flow_discard_items(struct troupe_actor *self, struct trp_chain *chain);

/** Ends the parcels of `chain`, and the items in them. */
void trp_flow_discard_parcels(struct troupe_actor *self, struct trp_chain *chain);

/** Frees what has gone, unless a callback runs. */
void trp_flow_sweep(struct trp_flows *flows);

/** What a callback returned: TROUPE_EUNKNOWN would say of an item that there is somebody else for it. */
static inline int trp_flow_status(int status)
{
    return status == TROUPE_EUNKNOWN ? TROUPE_OK : trp_open_status(status);
}

static inline uint32_t trp_flow_add(uint32_t a, uint32_t b)
{
    return b < UINT32_MAX - a ? a + b : UINT32_MAX;
}

static inline uint64_t trp_flow_tap_key(troupe_pid subscriber, uint64_t number)
{
    return trp_trie_mix(trp_trie_mix(subscriber) ^ number);
}

/* ---- for hooks.c ---- */

/** A message of kind FLOW was dequeued by `self`. */
int trp_flow_open(struct troupe_actor *self, struct troupe_message *msg);

/** The block of such a message is out of every queue.  `self`: as for struct trp_hooks. */
void trp_flow_retire(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg);

/* ---- for topic.c ---- */

/** An item that could not be put for want of memory: each subscriber has missed it. */
void trp_flow_note_missed(struct troupe_actor *self, struct troupe_flow flow);

/* ---- flow_out.c ---- */

struct trp_outlet *trp_outlet_find(struct trp_flows *flows, uint64_t number);
struct trp_tap *trp_tap_find(struct trp_flows *flows, troupe_pid subscriber, uint64_t number);

/** That of `self`, if it takes items; or NULL. */
struct trp_outlet *trp_outlet_find_own(struct troupe_actor *self, struct troupe_flow flow);

/** How many items it takes now. */
uint32_t trp_outlet_room(const struct trp_outlet *outlet);

/** A tap without which it takes none; NULL: there is none, or it does not wait for those that are there. */
const struct trp_tap *trp_outlet_awaited(const struct trp_outlet *outlet);

/** No more items; taps that have all get their END. */
void trp_outlet_end(struct trp_flows *flows, struct trp_outlet *outlet, int status);

/** Sends a parcel to a tap, or lets it wait there, or does with it as the policy says.  False: the tap is gone. */
bool trp_tap_accept(struct trp_flows *flows, struct trp_tap *tap, struct troupe_message *word);

/** The item that is retained ends. */
void trp_outlet_forget(struct trp_flows *flows, struct trp_outlet *outlet);

/** What a subscriber says. */
int trp_outlet_open_subscribe(struct trp_flows *flows, struct troupe_message *msg);
int trp_outlet_open_credit(struct trp_flows *flows, struct troupe_message *msg);
int trp_outlet_open_cancel(struct trp_flows *flows, struct troupe_message *msg);

/** The actor ends: all taps are told. */
void trp_outlet_end_all(struct trp_flows *flows);
void trp_outlet_free(struct trp_flows *flows, struct trp_outlet *outlet);

/* ---- flow_put.c ---- */

/** Whether items can have more than one owner. */
bool trp_flow_can_copy(const struct troupe_flow_options *options);

/** A second item; NULL without memory. */
struct troupe_message *trp_flow_copy(
    struct trp_flows *flows, const struct trp_outlet *outlet, const struct troupe_message *item);

/** An empty parcel for a tap; NULL without memory. */
struct troupe_message *trp_flow_parcel_new(struct trp_flows *flows, const struct trp_tap *tap);

/** One more item in a parcel. */
void trp_flow_parcel_fill(struct troupe_message *word, struct troupe_message *item);

/* ---- flow_in.c ---- */

struct trp_inlet *trp_inlet_find(struct trp_flows *flows, uint64_t number);

/** What a producer says. */
int trp_inlet_open_parcel(struct trp_flows *flows, struct troupe_message *msg);
int trp_inlet_open_end(struct trp_flows *flows, struct troupe_message *msg);

/** Gives `outlet` items of what is piped into it while it has room.  What a callback said. */
int trp_inlet_pump(struct trp_flows *flows, struct trp_outlet *outlet);

/** No callback of it is called any more; its producer is told, unless it has ended. */
void trp_inlet_cancel(struct trp_flows *flows, struct trp_inlet *inlet, int status);

/** The actor ends: all producers are told. */
void trp_inlet_end_all(struct trp_flows *flows);
void trp_inlet_free(struct trp_flows *flows, struct trp_inlet *inlet);

#endif
