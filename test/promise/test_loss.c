/* SPDX-License-Identifier: MIT */
/* Promise 1: nothing is lost in silence. */
#include "test/promise/promise.h"

#include "test/support/clock.h"

#define CLERKS 5U     /* so that each of them has parcels of all four sorts */
#define PARCELS 4003U /* of which the first few are sent before the runtime starts */
#define PARCELS_EARLY 3U
#define PARCELS_AT_ONCE 5U
#define DESK_LIFE 200U

/* Clerks send parcels to a desk that is too small for them, and breaks when it has seen many. */
struct post {
    troupe_pid desk;
    _Atomic unsigned accepted; /* what the desk had room for */
    _Atomic unsigned asked;    /* requests of these */
    _Atomic unsigned refused;
    _Atomic unsigned entered; /* the desk's handler */
    _Atomic unsigned strange;
    _Atomic unsigned jobs;
    struct outcomes outcomes;
    _Atomic unsigned char handled[PARCELS];
    _Atomic unsigned char ended[PARCELS];
};

struct parcel {
    struct post *post;
    unsigned number;
};

static void parcel_destroy(void *body)
{
    const struct parcel *parcel = body;

    parcel->post->ended[parcel->number]++;
}

static const struct troupe_type parcel_type = TROUPE_TYPE_DESTROY(struct parcel, parcel_destroy);
static const struct troupe_type stranger = TROUPE_TYPE_DESTROY(struct parcel, parcel_destroy);

static int desk_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct parcel *parcel = troupe_body(msg);
    struct post *post = parcel->post;

    (void)state;
    post->entered++;
    post->handled[parcel->number]++;
    if (troupe_is(msg, &stranger)) {
        post->strange++;
        return TROUPE_EUNKNOWN;
    }
    if (troupe_is_request(msg)) {
        return troupe_reply(self, msg, &receipt, NULL);
    }
    return post->entered < DESK_LIFE ? TROUPE_OK : troupe_fail(self, TROUPE_EPROTO, "it broke");
}

static const struct troupe_behaviour desk = {
    .name = "desk", .receive = desk_receive, .capacity = 16};

/* Of four parcels one is a request, and one of a type that the desk does not know. */
static void post_parcel(struct troupe_actor *self, struct post *post, unsigned number)
{
    struct parcel parcel = {post, number};
    bool asks = number % 4 == 0;
    int error;

    if (asks) {
        error = troupe_request(self, post->desk, &parcel_type, &parcel, TROUPE_FOREVER,
            count_outcome, &post->outcomes);
    } else {
        error = troupe_send(self, post->desk, number % 4 == 1 ? &stranger : &parcel_type, &parcel);
    }
    if (error < 0) {
        post->refused++;
        parcel_destroy(&parcel); /* handed back: it is ours to end */
        return;
    }
    post->accepted++;
    post->asked += asks;
}

struct clerk {
    struct post *post;
    unsigned next; /* and from there each fifth */
};

static int clerk_work(struct troupe_actor *self, void *arg)
{
    struct clerk *clerk = arg;

    clerk->post->jobs++;
    for (unsigned i = 0; i < PARCELS_AT_ONCE && clerk->next < PARCELS; i++) {
        post_parcel(self, clerk->post, clerk->next);
        clerk->next += CLERKS;
    }
    return clerk->next < PARCELS ? go_on(self, clerk_work, clerk) : TROUPE_OK;
}

/* Whether the books say what we counted ourselves, column by column. */
static bool books_agree(struct stage *stage, const struct post *post)
{
    struct troupe_books books = stage_books(stage);
    unsigned outcomes = post->outcomes.answered + post->outcomes.died;

    return books_balance(&books) && outcomes == post->asked && books.refused == post->refused &&
           books.handled == post->entered + post->jobs + outcomes &&
           books.unknown == post->strange && books.bounced == post->outcomes.died &&
           books.shed == 0 && books.dead == post->accepted - post->entered - post->outcomes.died;
}

static void play_post(int workers)
{
    struct troupe_runtime_options options = {.workers = workers};
    static struct post post;
    struct clerk clerks[CLERKS];
    struct stage stage = {0};
    struct troupe_books books;

    /* Slices also end by time: it stands still where what happens shall depend on nothing else. */
    clock_frozen_ns = workers == TROUPE_NO_THREADS ? 1000000000 : 0;
    memset(&post, 0, sizeof post);
    post.accepted = PARCELS_EARLY;
    cr_assert_eq(stage_try_open(&stage, &options), TROUPE_OK);
    post.desk = stage_spawn(&stage, &desk, NULL);
    for (unsigned i = 0; i < PARCELS_EARLY; i++) {
        stage_send(&stage, post.desk, &parcel_type, &(struct parcel){&post, i});
    }
    books = stage_books(&stage);
    cr_assert(books.sent == PARCELS_EARLY && books.queued == PARCELS_EARLY, "nobody runs yet");
    for (unsigned i = 0; i < CLERKS; i++) {
        clerks[i] = (struct clerk){&post, PARCELS_EARLY + i};
        stage_tell(&stage, stage_spawn(&stage, &stage_roomy, NULL), clerk_work, &clerks[i]);
    }
    cr_assert_eq(troupe_runtime_start(stage.runtime), TROUPE_OK);
    STAGE_AWAIT(&stage, post.accepted + post.refused == PARCELS && books_agree(&stage, &post));
    books = stage_books(&stage);
    /* How much the desk sees is the schedule's business, and without threads and time always the same. */
    if (!stage.threads) {
        cr_assert(books.failures == 1 && books.dead > 0 && books.bounced > 0);
        cr_assert(books.unknown > 0 && post.outcomes.answered > 0);
    }
    stage_close(&stage);
    for (unsigned i = 0; i < PARCELS; i++) {
        cr_assert_eq(post.ended[i], 1, "parcel %u ended %u times", i, post.ended[i]);
        cr_assert_leq(post.handled[i], 1, "parcel %u was doubled", i);
    }
}

Test(promise, nothing_is_lost_in_silence, .timeout = 120)
{
    for (unsigned i = 0; i < TROUPE_COUNT(ways); i++) {
        play_post(ways[i]);
    }
}
