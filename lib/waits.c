/* SPDX-License-Identifier: MIT */
/*
 * waits.c - who waits for whom.
 *
 * All slots are looked at, some in each read section, so that nothing is held up by the look.
 */
#include "core.h"

#include <stdarg.h>
#include <stdio.h>

#include <troupe/waits.h>

/** Slots that are looked at in one read section. */
#define PIECE 1024

/* What is done with each. */
struct look {
    void (*see)(struct look *look, const struct troupe_wait *wait);
};

static bool read_wait(struct troupe_runtime *runtime, uint32_t slot, struct troupe_wait *out_wait)
{
    troupe_pid pid;
    struct troupe_actor *actor = trp_actor_at(runtime, slot, &pid);
    struct troupe_actor *next = NULL;
    troupe_pid to;

    if (actor == NULL) {
        return false;
    }
    to = trp_pressure_awaited(runtime, pid);
    if (trp_pid_is_actor(to)) {
        next = trp_actor_find(runtime, to);
    }
    if (next == NULL) {
        return false;
    }
    *out_wait = (struct troupe_wait){
        .pid = pid, .to = to, .actor = actor->behaviour->name, .to_actor = next->behaviour->name};
    return true;
}

/* From `slot` on; where to go on, or 0 at the end. */
static int look_at_piece(struct troupe_runtime *runtime, struct look *look, uint32_t *in_out_slot)
{
    struct trp_visit visit;
    uint32_t slots;
    uint32_t end;

    TROUPE_TRY(trp_context_enter(runtime, &visit));
    slots = trp_actor_slots(runtime);
    end = slots - *in_out_slot > PIECE ? *in_out_slot + PIECE : slots;
    for (uint32_t slot = *in_out_slot; slot < end; slot++) {
        struct troupe_wait wait;

        if (read_wait(runtime, slot, &wait)) {
            look->see(look, &wait);
        }
    }
    trp_context_leave(&visit);
    *in_out_slot = end < slots ? end : 0;
    return TROUPE_OK;
}

static int look_at_all(struct troupe_runtime *runtime, struct look *look)
{
    uint32_t slot = 0;

    do {
        TROUPE_TRY(look_at_piece(runtime, look, &slot));
    } while (slot != 0);
    return TROUPE_OK;
}

/* ---- a list ---- */

struct list {
    struct look look;
    struct troupe_wait *waits;
    size_t most;
    size_t count;
};

static void add(struct look *look, const struct troupe_wait *wait)
{
    struct list *list = trp_container_of(look, struct list, look);

    if (list->count < list->most) {
        list->waits[list->count] = *wait;
    }
    list->count++;
}

int troupe_waits_list(
    struct troupe_runtime *runtime, struct troupe_wait *waits, size_t most, size_t *out_count)
{
    struct list list = {.look = {add}, .waits = waits, .most = most};

    if (runtime == NULL || (waits == NULL && most > 0) || out_count == NULL) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(look_at_all(runtime, &list.look));
    *out_count = list.count;
    return TROUPE_OK;
}

/* ---- text ---- */

struct writer {
    struct look look;
    char *text;
    size_t size;
    size_t length; /* of all, also of what does not fit */
};

__attribute__((format(printf, 2, 3))) static void put(
    struct writer *writer, const char *format, ...)
{
    bool fits = writer->length < writer->size;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(fits ? writer->text + writer->length : NULL,
        fits ? writer->size - writer->length : 0, format, arguments);
    va_end(arguments);
    writer->length += length > 0 ? (size_t)length : 0;
}

/* In a string of Graphviz. */
static void put_quoted(struct writer *writer, const char *name)
{
    for (; *name != '\0'; name++) {
        put(writer, *name == '"' || *name == '\\' ? "\\%c" : "%c", *name);
    }
}

static void put_node(struct writer *writer, const char *name, troupe_pid pid)
{
    put(writer, "\"");
    put_quoted(writer, name);
    put(writer, " (%llx)\"", (unsigned long long)pid);
}

static void put_line(struct look *look, const struct troupe_wait *wait)
{
    struct writer *writer = trp_container_of(look, struct writer, look);

    put(writer, "%s (%llx) waits for %s (%llx)\n", wait->actor, (unsigned long long)wait->pid,
        wait->to_actor, (unsigned long long)wait->to);
}

static void put_edge(struct look *look, const struct troupe_wait *wait)
{
    struct writer *writer = trp_container_of(look, struct writer, look);

    put(writer, "    ");
    put_node(writer, wait->actor, wait->pid);
    put(writer, " -> ");
    put_node(writer, wait->to_actor, wait->to);
    put(writer, ";\n");
}

static int write_picture(struct troupe_runtime *runtime, struct writer *writer)
{
    put(writer, "digraph waits {\n");
    TROUPE_TRY(look_at_all(runtime, &writer->look));
    put(writer, "}\n");
    return TROUPE_OK;
}

int troupe_waits_write(struct troupe_runtime *runtime, enum troupe_waits_format format, char *text,
    size_t size, size_t *out_length)
{
    bool draws = format == TROUPE_WAITS_GRAPHVIZ;
    struct writer writer = {.look = {draws ? put_edge : put_line}, .text = text, .size = size};

    if (runtime == NULL || (text == NULL && size > 0) || out_length == NULL ||
        (!draws && format != TROUPE_WAITS_TEXT)) {
        return TROUPE_EINVAL;
    }
    put(&writer, "%s", "");
    TROUPE_TRY(draws ? write_picture(runtime, &writer) : look_at_all(runtime, &writer.look));
    *out_length = writer.length;
    return TROUPE_OK;
}
