/* SPDX-License-Identifier: MIT */
/* RESP: the commands depend on the bytes, not on how they arrive; nothing is taken on trust. */
#include "../../examples/kv/resp.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A memory hook that counts, and fails at the k-th allocation. */
struct counter {
    size_t blocks;
    size_t allocations;
    size_t largest;
    size_t fail_at;
};

static void *counter_allocate(void *ctx, size_t bytes)
{
    struct counter *counter = ctx;

    counter->allocations++;
    if (counter->allocations == counter->fail_at) {
        return NULL;
    }
    counter->blocks++;
    counter->largest = bytes > counter->largest ? bytes : counter->largest;
    return malloc(bytes);
}

static void counter_release(void *ctx, void *block)
{
    struct counter *counter = ctx;

    counter->blocks -= block ? 1 : 0;
    free(block);
}

/* Appends what the parser has to say: `[a,bc]` for each command, `!text` for an error. */
static int take_all(struct kv_resp *resp, struct kv_bytes *log)
{
    const struct kv_slice *argv;
    size_t argc;
    size_t i;
    int err;

    while ((err = kv_resp_next(resp, &argc, &argv)) > 0) {
        for (i = 0; i < argc; i++) {
            kv_bytes_append(log, i ? "," : "[", 1);
            kv_bytes_append(log, argv[i].data, argv[i].len);
        }
        kv_bytes_append(log, "]", 1);
    }
    if (err < 0) {
        kv_bytes_append(log, "!", 1);
        kv_bytes_append(log, kv_resp_error_text(resp), strlen(kv_resp_error_text(resp)));
    }
    return err;
}

/* Feeds `input` in pieces of `piece` bytes and appends what comes out. */
static void parse_in_pieces(const struct kv_resp_options *options, const void *input, size_t len,
    size_t piece, struct kv_bytes *log)
{
    struct kv_resp resp;
    size_t at;
    size_t step;

    cr_assert_eq(kv_resp_init(&resp, options, NULL), KV_OK);
    for (at = 0; at < len; at += step) {
        step = len - at < piece ? len - at : piece;
        cr_assert_eq(kv_resp_feed(&resp, (const char *)input + at, step), KV_OK);
        if (take_all(&resp, log) < 0) {
            break;
        }
    }
    kv_resp_fini(&resp);
}

struct parse_case {
    const char *input;
    size_t len;
    const char *expected;
};

/* A literal with its length, so that it may hold zeros. */
#define INPUT(text) text, sizeof(text) - 1

#define ERR "!ERR Protocol error: "

/* What redis-server 7.0.15 does with the same bytes, but where noted. */
static const struct parse_case parse_cases[] = {
    {INPUT("*1\r\n$4\r\nPING\r\n"), "[PING]"},
    {INPUT("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"), "[ECHO,]"},
    {INPUT("*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n*1\r\n$1\r\nA\r\n"), "[ECHO,\r\n\r\n][A]"},
    {INPUT("*0\r\nPING\r\n"), "[PING]"},
    {INPUT("*-1\r\nPING\r\n"), "[PING]"},
    {INPUT("*-5\r\n+PING\r\n"), "[+PING]"},
    {INPUT("\r\n\r\n  \nPING\r\n"), "[PING]"},
    {INPUT("PING\nPING\n"), "[PING][PING]"},
    {INPUT("   PING   \t a  \r\n"), "[PING,a]"},
    {INPUT("PING \v a\r\n"), "[PING,a]"},
    {INPUT("PING \"a b\" 'c d'\r\n"), "[PING,a b,c d]"},
    {INPUT("PING \"\"\r\n"), "[PING,]"},
    {INPUT("PI\"NG\"\r\n"), "[PING]"},
    {INPUT("PING 'a\\'b\\n'\r\n"), "[PING,a'b\\n]"},
    {INPUT("PING \"\\x41\\n\\t\\q\\\"\\xzz\\x4\"\r\n"), "[PING,A\n\tq\"xzzx4]"},
    {INPUT("*1\r\n$4\r\nPING\r\nget a\r\n*1\r\n$4\r\nPING\r\n"), "[PING][get,a][PING]"},
    {INPUT("PING \"a\r\n"), ERR "unbalanced quotes in request"},
    {INPUT("PING 'a\r\n"), ERR "unbalanced quotes in request"},
    {INPUT("PING \"a\\\r\n"), ERR "unbalanced quotes in request"},
    {INPUT("PING \"a\"b\r\n"), ERR "unbalanced quotes in request"},
    {INPUT("PI\"NG\"x\r\n"), ERR "unbalanced quotes in request"},
    {INPUT("*x\r\n"), ERR "invalid multibulk length"},
    {INPUT("*\r\n"), ERR "invalid multibulk length"},
    {INPUT("*01\r\n"), ERR "invalid multibulk length"},
    {INPUT("*+1\r\n"), ERR "invalid multibulk length"},
    {INPUT("*-0\r\n"), ERR "invalid multibulk length"},
    {INPUT("*1 \r\n"), ERR "invalid multibulk length"},
    {INPUT("*9223372036854775808\r\n"), ERR "invalid multibulk length"},
    {INPUT("*1\r\n+PING\r\n"), ERR "expected '$', got '+'"},
    {INPUT("*1\r\n*1\r\n$4\r\nPING\r\n"), ERR "expected '$', got '*'"},
    {INPUT("*1\r\n\r\n"), ERR "expected '$', got ' '"},
    {INPUT("*1\r\n\001\r\n"), ERR "expected '$', got '\001'"},
    {INPUT("*1\r\n$-1\r\n"), ERR "invalid bulk length"},
    {INPUT("*1\r\n$x\r\n"), ERR "invalid bulk length"},
    {INPUT("*1\r\n$\r\n"), ERR "invalid bulk length"},
    {INPUT("*1\r\n$04\r\n"), ERR "invalid bulk length"},
    {INPUT("*1\r\n$+4\r\n"), ERR "invalid bulk length"},
    {INPUT("*1\r\n$9223372036854775807\r\n"), ERR "invalid bulk length"},
    {INPUT("PING\r\n*1\r\n$x\r\nPING\r\n"), "[PING]" ERR "invalid bulk length"},
    /* Redis waits for ever, or does not look. */
    {INPUT("*1\n$4\nPING\n"), ERR "invalid multibulk length"},
    {INPUT("*1\r\n$4\n"), ERR "invalid bulk length"},
    {INPUT("*1\r\n$4\r\nPINGxx"), ERR "expected CRLF after bulk"},
};

Test(resp, input_is_read_as_redis_reads_it_in_pieces_of_any_size)
{
    size_t i;
    size_t piece;

    for (i = 0; i < sizeof parse_cases / sizeof parse_cases[0]; i++) {
        const struct parse_case *parse = &parse_cases[i];

        for (piece = 1; piece <= parse->len; piece++) {
            struct kv_bytes log;

            kv_bytes_init(&log, NULL, 0);
            parse_in_pieces(NULL, parse->input, parse->len, piece, &log);
            kv_bytes_append(&log, "", 1);
            cr_assert_str_eq(
                log.data, parse->expected, "case %zu in pieces of %zu: %s", i, piece, log.data);
            kv_bytes_fini(&log);
        }
    }
}

/* Limits. */

static void expect_limited(
    const struct kv_resp_options *options, const char *input, size_t len, const char *expected)
{
    size_t pieces[] = {1, 7, len};
    size_t i;

    for (i = 0; i < 3; i++) {
        struct kv_bytes log;

        kv_bytes_init(&log, NULL, 0);
        parse_in_pieces(options, input, len, pieces[i], &log);
        kv_bytes_append(&log, "", 1);
        cr_assert_str_eq(log.data, expected, "in pieces of %zu: %.100s", pieces[i], log.data);
        kv_bytes_fini(&log);
    }
}

Test(resp, each_limit_holds_to_the_byte)
{
    struct kv_resp_options options = {
        .argument_count_max = 3, .bulk_max = 5, .inline_max = 10, .command_max = 28};

    expect_limited(&options, INPUT("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"), "[a,b,c]");
    expect_limited(&options, INPUT("*4\r\n"), ERR "invalid multibulk length");
    expect_limited(&options, INPUT("*1\r\n$5\r\nabcde\r\n"), "[abcde]");
    expect_limited(&options, INPUT("*1\r\n$6\r\n"), ERR "invalid bulk length");
    expect_limited(&options, INPUT("0123456789\r\n"), "[0123456789]");
    expect_limited(&options, INPUT("01234567890\r\n"), ERR "too big inline request");
    expect_limited(&options, INPUT("01234567890\n"), "[01234567890]");
    expect_limited(&options, INPUT("a b c\r\n"), "[a,b,c]");
    expect_limited(&options, INPUT("a b c d\r\n"), ERR "too many arguments in request");
    expect_limited(
        &options, INPUT("*3\r\n$4\r\nabcd\r\n$1\r\nb\r\n$2\r\ncd\r\n"), ERR "too big command");
    expect_limited(&options, INPUT("*3\r\n$3\r\nabc\r\n$1\r\nb\r\n$2\r\ncd\r\n"), "[abc,b,cd]");
}

Test(resp, a_line_without_end_is_refused)
{
    static char line[70000];
    char expected[100];
    const char starts[] = {'A', '*', '$'};
    const char *texts[] = {
        "too big inline request", "too big mbulk count string", "too big bulk count string"};
    size_t i;

    for (i = 0; i < 3; i++) {
        memset(line, '1', sizeof line);
        memcpy(line, i == 2 ? "*1\r\n$" : &starts[i], i == 2 ? 5 : 1);
        snprintf(expected, sizeof expected, ERR "%s", texts[i]);
        expect_limited(NULL, line, sizeof line, expected);
    }
}

Test(resp, limits_that_make_no_sense_are_refused)
{
    struct kv_resp_options many = {.argument_count_max = KV_RESP_ARGUMENT_COUNT_LIMIT + 1};
    struct kv_resp_options bulk = {.bulk_max = KV_STRING_MAX + 1, .command_max = SIZE_MAX / 16};
    struct kv_resp_options command = {.command_max = 1000};
    struct kv_resp_options huge = {.command_max = SIZE_MAX};
    struct kv_resp resp;
    const struct kv_slice *argv;
    size_t argc;

    cr_assert_eq(kv_resp_init(&resp, &many, NULL), KV_EINVAL);
    cr_assert_eq(kv_resp_init(&resp, &bulk, NULL), KV_EINVAL);
    cr_assert_eq(kv_resp_init(&resp, &command, NULL), KV_EINVAL);
    cr_assert_eq(kv_resp_init(&resp, &huge, NULL), KV_EINVAL);
    cr_assert_eq(kv_resp_init(NULL, NULL, NULL), KV_EINVAL);
    cr_assert_eq(kv_resp_init(&resp, NULL, NULL), KV_OK);
    cr_assert_eq(kv_resp_feed(NULL, "x", 1), KV_EINVAL);
    cr_assert_eq(kv_resp_feed(&resp, NULL, 1), KV_EINVAL);
    cr_assert_eq(kv_resp_next(&resp, NULL, &argv), KV_EINVAL);
    cr_assert_eq(kv_resp_next(&resp, &argc, NULL), KV_EINVAL);
    cr_assert_eq(kv_resp_next(NULL, &argc, &argv), KV_EINVAL);
    kv_resp_fini(&resp);
    kv_resp_fini(NULL);
}

Test(resp, memory_grows_with_what_arrives_not_with_what_is_announced)
{
    struct counter counter = {0};
    struct kv_memory memory = {counter_allocate, counter_release, NULL, &counter};
    struct kv_resp resp;
    const struct kv_slice *argv;
    size_t argc;
    const char announce[] = "*1024\r\n$1048576\r\nabc";

    cr_assert_eq(kv_resp_init(&resp, NULL, &memory), KV_OK);
    cr_assert_eq(counter.allocations, 0);
    cr_assert_eq(kv_resp_feed(&resp, announce, strlen(announce)), KV_OK);
    cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 0);
    cr_assert_leq(kv_resp_held(&resp), 1024);
    cr_assert_leq(counter.largest, 1024);
    kv_resp_fini(&resp);
    cr_assert_eq(counter.blocks, 0);
}

Test(resp, a_feed_that_nobody_takes_out_is_refused_at_a_limit)
{
    struct kv_resp_options options = {.bulk_max = 1000, .inline_max = 1000, .command_max = 100000};
    struct kv_resp resp;
    static char lines[KV_RESP_FEED_MAX];
    const struct kv_slice *argv;
    size_t argc;
    size_t commands = 0;
    size_t feeds = 0;

    memset(lines, '\n', sizeof lines);
    memcpy(lines, "PING", 4);
    cr_assert_eq(kv_resp_init(&resp, &options, NULL), KV_OK);
    while (kv_resp_feed(&resp, lines, sizeof lines) == KV_OK) {
        feeds++;
        cr_assert_lt(feeds, 10);
    }
    cr_assert_eq(kv_resp_feed(&resp, lines, sizeof lines), KV_EFULL);
    while (kv_resp_next(&resp, &argc, &argv) > 0) {
        commands++;
    }
    cr_assert_eq(commands, feeds, "nothing was lost");
    cr_assert_eq(kv_resp_feed(&resp, lines, sizeof lines), KV_OK);
    cr_assert_leq(kv_resp_held(&resp), 4 * options.command_max);
    kv_resp_fini(&resp);
}

Test(resp, an_idle_parser_holds_nothing_after_a_trim)
{
    struct kv_resp resp;
    const struct kv_slice *argv;
    size_t argc;

    cr_assert_eq(kv_resp_init(&resp, NULL, NULL), KV_OK);
    cr_assert_eq(kv_resp_feed(&resp, "PING\r\nPI", 8), KV_OK);
    cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 1);
    kv_resp_trim(&resp);
    cr_assert_gt(kv_resp_held(&resp), 0, "half a command is not thrown away");
    cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 0);
    cr_assert_eq(kv_resp_feed(&resp, "NG\r\n", 4), KV_OK);
    cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 1);
    cr_assert(kv_slice_is(argv[0], "ping"));
    kv_resp_trim(&resp);
    cr_assert_eq(kv_resp_held(&resp), 0);
    cr_assert_eq(kv_resp_feed(&resp, "PING\r\n", 6), KV_OK);
    cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 1);
    kv_resp_fini(&resp);
}

Test(resp, slices_stay_until_the_next_feed)
{
    struct kv_resp resp;
    const struct kv_slice *argv;
    struct kv_slice first;
    size_t argc;

    cr_assert_eq(kv_resp_init(&resp, NULL, NULL), KV_OK);
    cr_assert_eq(kv_resp_feed(&resp, "one\r\n'two'\r\nth", 14), KV_OK);
    cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 1);
    first = argv[0];
    cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 1);
    cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 0);
    cr_assert(kv_slice_is(first, "one"));
    kv_resp_fini(&resp);
}

Test(resp, without_memory_the_command_waits)
{
    static const char input[] = "*9\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n"
                                "$1\r\nf\r\n$1\r\ng\r\n$1\r\nh\r\n$1\r\ni\r\nj \"k\" l\r\n";
    size_t failed = 0;
    size_t k;

    for (k = 1;; k++) {
        struct counter counter = {.fail_at = k};
        struct kv_memory memory = {counter_allocate, counter_release, NULL, &counter};
        struct kv_resp resp;
        struct kv_bytes log;
        size_t at;

        kv_bytes_init(&log, NULL, 0);
        cr_assert_eq(kv_resp_init(&resp, NULL, &memory), KV_OK);
        for (at = 0; at < sizeof input - 1; at++) {
            if (kv_resp_feed(&resp, input + at, 1) == KV_ENOMEM) {
                failed++;
                cr_assert_eq(kv_resp_feed(&resp, input + at, 1), KV_OK);
            }
            if (take_all(&resp, &log) == KV_ENOMEM) {
                failed++;
                log.len--; /* the mark of the error */
                cr_assert_eq(take_all(&resp, &log), 0);
            }
        }
        kv_bytes_append(&log, "", 1);
        cr_assert_str_eq(log.data, "[a,b,c,d,e,f,g,h,i][j,k,l]");
        kv_bytes_fini(&log);
        kv_resp_fini(&resp);
        cr_assert_eq(counter.blocks, 0);
        if (counter.allocations < k) {
            break;
        }
    }
    cr_assert_eq(failed, k - 1);
    cr_assert_geq(failed, 4);
}

Test(resp, bytewise_arrival_of_a_large_command_takes_linear_time, .timeout = 20)
{
    struct counter counter = {0};
    struct kv_memory memory = {counter_allocate, counter_release, NULL, &counter};
    struct kv_resp resp;
    const struct kv_slice *argv;
    size_t argc = 0;
    size_t len = 1000000;
    size_t i;

    cr_assert_eq(kv_resp_init(&resp, NULL, &memory), KV_OK);
    cr_assert_eq(kv_resp_feed(&resp, "*1\r\n$1000000\r\n", 14), KV_OK);
    for (i = 0; i < len + 1; i++) {
        cr_assert_eq(kv_resp_feed(&resp, i < len ? "x" : "\r", 1), KV_OK);
        cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 0);
    }
    cr_assert_eq(kv_resp_feed(&resp, "\n", 1), KV_OK);
    cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 1);
    cr_assert_eq(argv[0].len, len);
    cr_assert_leq(counter.allocations, 20);
    cr_assert_leq(kv_resp_held(&resp), 4 * len);
    kv_resp_fini(&resp);
}

/* Were the backlog moved by each feed, this would move a terabyte. */
Test(resp, a_backlog_taken_out_slowly_is_not_moved_each_time, .timeout = 20)
{
    static char lines[6 * 10000];
    struct kv_resp resp;
    const struct kv_slice *argv;
    size_t argc;
    size_t i;

    for (i = 0; i < sizeof lines; i += 6) {
        memcpy(lines + i, "PING\r\n", 6);
    }
    cr_assert_eq(kv_resp_init(&resp, NULL, NULL), KV_OK);
    for (i = 0; i < 200; i++) {
        cr_assert_eq(kv_resp_feed(&resp, lines, sizeof lines), KV_OK);
    }
    for (i = 0; i < 100000; i++) {
        cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 1);
        cr_assert_eq(kv_resp_feed(&resp, lines, 6), KV_OK);
    }
    cr_assert_leq(kv_resp_held(&resp), (size_t)64 << 20);
    kv_resp_fini(&resp);
}

/* Random input, cut anywhere. */

static uint64_t draw(uint64_t *random, uint64_t below)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random % below;
}

static void append_text(struct kv_bytes *bytes, const char *text)
{
    kv_bytes_append(bytes, text, strlen(text));
}

/* One command, or something close to one. */
static void append_random_command(struct kv_bytes *input, uint64_t *random)
{
    static const char *const pieces[] = {"*", "$", "1", "2", "-1", "\r\n", "\n", "\r", " ", "\"",
        "'", "\\", "\\x41", "a", "PING", "*1\r\n", "$3\r\n", "0", "\t"};
    char bulk[300];
    size_t count = draw(random, 5);
    size_t i;

    if (draw(random, 5) == 0) {
        for (i = 0; i < count; i++) {
            append_text(input, pieces[draw(random, sizeof pieces / sizeof pieces[0])]);
        }
        return;
    }
    if (draw(random, 4) == 0) {
        append_text(input, "GET \"a b\\n\" 'c' d\r\n");
        return;
    }
    kv_resp_put_array(input, count);
    for (i = 0; i < count; i++) {
        size_t len = draw(random, draw(random, 10) ? 12 : sizeof bulk);

        memset(bulk, (int)draw(random, 256), sizeof bulk);
        kv_resp_put_bulk(input, (struct kv_slice){bulk, len});
    }
}

/* Feeds the input in random pieces, taking commands out now and then. */
static void parse_at_random(
    const struct kv_bytes *input, uint64_t *random, struct kv_bytes *log, size_t most)
{
    struct kv_resp_options options = {
        .argument_count_max = 4, .bulk_max = 280, .inline_max = 300, .command_max = 900};
    struct kv_resp resp;
    size_t at = 0;
    int err = 0;

    cr_assert_eq(kv_resp_init(&resp, &options, NULL), KV_OK);
    while (at < input->len && err >= 0) {
        size_t step = 1 + draw(random, most);

        step = step < input->len - at ? step : input->len - at;
        cr_assert_eq(kv_resp_feed(&resp, input->data + at, step), KV_OK);
        at += step;
        if (at == input->len || draw(random, 3)) {
            err = take_all(&resp, log);
        }
    }
    kv_resp_fini(&resp);
}

static void compare_splits(uint64_t *random)
{
    static const size_t mosts[] = {1, 2, 10, 100, 1000};
    struct kv_bytes input;
    struct kv_bytes whole;
    size_t count = 1 + draw(random, 12);
    size_t i;

    kv_bytes_init(&input, NULL, 0);
    kv_bytes_init(&whole, NULL, 0);
    for (i = 0; i < count; i++) {
        append_random_command(&input, random);
    }
    parse_at_random(&input, random, &whole, SIZE_MAX / 2);
    for (i = 0; i < sizeof mosts / sizeof mosts[0]; i++) {
        struct kv_bytes log;

        kv_bytes_init(&log, NULL, 0);
        parse_at_random(&input, random, &log, mosts[i]);
        cr_assert_eq(log.len, whole.len);
        cr_assert(log.len == 0 || memcmp(log.data, whole.data, log.len) == 0);
        kv_bytes_fini(&log);
    }
    kv_bytes_fini(&whole);
    kv_bytes_fini(&input);
}

/* KV_TEST_SEED sets the seed, KV_TEST_ROUNDS how long this goes on. */
Test(resp, the_same_input_split_anywhere_gives_the_same_commands, .timeout = 600)
{
    const char *seed_text = getenv("KV_TEST_SEED");
    const char *rounds_text = getenv("KV_TEST_ROUNDS");
    uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : (uint64_t)time(NULL);
    uint64_t rounds = rounds_text ? strtoull(rounds_text, NULL, 10) : 20000;
    uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;

    fprintf(stderr, "KV_TEST_SEED=%" PRIu64 "\n", seed);
    while (rounds-- > 0) {
        compare_splits(&random);
    }
}

/* Replies. */

static void expect_bytes(struct kv_bytes *out, const char *expected, size_t len)
{
    cr_assert_eq(out->error, KV_OK);
    cr_assert_eq(out->len, len, "%.*s", (int)out->len, out->data);
    cr_assert_arr_eq(out->data, expected, len);
    kv_bytes_clear(out);
}

static void put_one_of_each(struct kv_bytes *out, int protocol)
{
    kv_resp_put_simple(out, "OK");
    kv_resp_put_error(out, "ERR a\r\nb");
    kv_resp_put_integer(out, INT64_MIN);
    kv_resp_put_bulk(out, (struct kv_slice){"a\0b", 3});
    kv_resp_put_bulk(out, (struct kv_slice){NULL, 0});
    kv_resp_put_null(out, protocol);
    kv_resp_put_array(out, 2);
    kv_resp_put_map(out, protocol, 2);
    kv_resp_put_set(out, protocol, 2);
    kv_resp_put_double(out, protocol, 1.5);
    kv_resp_put_double(out, protocol, -INFINITY);
    kv_resp_put_bool(out, protocol, true);
    kv_resp_put_bool(out, protocol, false);
    kv_resp_put_verbatim(out, protocol, kv_slice_of("text"));
}

Test(resp, replies_are_written_for_both_protocols)
{
    struct kv_slice command[] = {kv_slice_of("GET"), kv_slice_of("")};
    struct kv_bytes out;

    kv_bytes_init(&out, NULL, 0);
    put_one_of_each(&out, 2);
    expect_bytes(&out, INPUT("+OK\r\n-ERR a  b\r\n:-9223372036854775808\r\n$3\r\na\0b\r\n$0\r\n\r\n"
                             "$-1\r\n*2\r\n*4\r\n*2\r\n$3\r\n1.5\r\n$4\r\n-inf\r\n:1\r\n:0\r\n"
                             "$4\r\ntext\r\n"));
    put_one_of_each(&out, 3);
    expect_bytes(&out, INPUT("+OK\r\n-ERR a  b\r\n:-9223372036854775808\r\n$3\r\na\0b\r\n$0\r\n\r\n"
                             "_\r\n*2\r\n%2\r\n~2\r\n,1.5\r\n,-inf\r\n#t\r\n#f\r\n"
                             "=8\r\ntxt:text\r\n"));
    kv_resp_put_command(&out, 2, command);
    expect_bytes(&out, INPUT("*2\r\n$3\r\nGET\r\n$0\r\n\r\n"));
    kv_bytes_fini(&out);
}

Test(resp, the_length_of_a_reply_is_that_of_its_items)
{
    static const char *const whole[] = {"+OK\r\n", "-ERR\r\n", ":1\r\n", "$-1\r\n", "$0\r\n\r\n",
        "$2\r\n\r\n\r\n", "*0\r\n", "*-1\r\n", "*2\r\n:1\r\n*1\r\n$1\r\na\r\n",
        "%1\r\n+a\r\n~1\r\n_\r\n", "=8\r\ntxt:text\r\n", ",1.5\r\n", "#t\r\n"};
    static const char *const wrong[] = {
        "x\r\n", "$x\r\n", "$1\r\nabc\r\n", "+a\n", "\r\n", "$-2\r\n"};
    char text[100];
    size_t i;
    size_t len;

    for (i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        snprintf(text, sizeof text, "%s+next\r\n", whole[i]);
        cr_assert_eq(kv_resp_reply_length(kv_slice_of(text)), (int64_t)strlen(whole[i]));
        for (len = 0; len < strlen(whole[i]); len++) {
            cr_assert_eq(kv_resp_reply_length((struct kv_slice){whole[i], len}), 0, "%s", whole[i]);
        }
    }
    for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_assert_eq(kv_resp_reply_length(kv_slice_of(wrong[i])), KV_EPROTOCOL, "%s", wrong[i]);
    }
}

Test(resp, a_buffer_without_memory_stays_as_it_was)
{
    struct counter counter = {.fail_at = 2};
    struct kv_memory memory = {counter_allocate, counter_release, NULL, &counter};
    struct kv_bytes out;
    char block[100] = {0};

    kv_bytes_init(&out, &memory, 0);
    kv_resp_put_simple(&out, "OK");
    cr_assert_eq(kv_bytes_reserve(&out, 1000), KV_ENOMEM);
    cr_assert_eq(out.error, KV_OK, "a reserve is only a question");
    counter.fail_at = 3;
    cr_assert_eq(kv_bytes_append(&out, block, sizeof block), KV_ENOMEM);
    kv_resp_put_simple(&out, "OK");
    cr_assert_eq(out.error, KV_ENOMEM, "sticky");
    cr_assert_eq(out.len, 5);
    kv_bytes_clear(&out);
    cr_assert_eq(kv_bytes_append(&out, block, sizeof block), KV_OK);
    kv_bytes_fini(&out);
    cr_assert_eq(counter.blocks, 0);
}

Test(resp, a_buffer_keeps_to_its_maximum)
{
    struct kv_bytes out;

    kv_bytes_init(&out, NULL, 8);
    cr_assert_eq(kv_bytes_append(&out, "12345678", 8), KV_OK);
    cr_assert_eq(kv_bytes_append(&out, "9", 1), KV_EFULL);
    cr_assert_eq(out.len, 8);
    cr_assert_eq(kv_bytes_reserve(&out, SIZE_MAX), KV_EFULL);
    kv_bytes_fini(&out);
}

struct integer_case {
    const char *text;
    int err;
    int64_t value;
};

Test(resp, integers_are_read_as_redis_reads_them)
{
    static const struct integer_case cases[] = {
        {"0", KV_OK, 0},
        {"-1", KV_OK, -1},
        {"10", KV_OK, 10},
        {"9223372036854775807", KV_OK, INT64_MAX},
        {"-9223372036854775808", KV_OK, INT64_MIN},
        {"9223372036854775808", KV_ENOTINT, 0},
        {"-9223372036854775809", KV_ENOTINT, 0},
        {"99999999999999999999", KV_ENOTINT, 0},
        {"", KV_ENOTINT, 0},
        {"-", KV_ENOTINT, 0},
        {"-0", KV_ENOTINT, 0},
        {"+1", KV_ENOTINT, 0},
        {"01", KV_ENOTINT, 0},
        {" 1", KV_ENOTINT, 0},
        {"1 ", KV_ENOTINT, 0},
        {"1.0", KV_ENOTINT, 0},
    };
    char text[KV_INTEGER_TEXT_MAX];
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 0;

        cr_assert_eq(kv_slice_integer(kv_slice_of(cases[i].text), &value), cases[i].err, "%s",
            cases[i].text);
        cr_assert_eq(value, cases[i].value);
        if (cases[i].err == KV_OK) {
            size_t len = kv_integer_text(value, text);

            cr_assert_eq(len, strlen(cases[i].text));
            cr_assert_arr_eq(text, cases[i].text, len);
        }
    }
}
