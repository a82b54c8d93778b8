/* SPDX-License-Identifier: MIT */
#include "contain_fault.h"

#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "core.h"
#include "worker.h"

/* ---- words ---- */

/* A text that grows, as far as there is room. */
struct words {
    char *text;
    size_t size;
    size_t length; /* without the NUL that always ends it */
};

static void begin(struct words *words, char *text, size_t size)
{
    *words = (struct words){.text = text, .size = size};
    text[0] = '\0';
}

static void add(struct words *words, const char *text)
{
    while (*text != '\0' && words->length + 1 < words->size) {
        words->text[words->length++] = *text++;
    }
    words->text[words->length] = '\0';
}

/* At least `width` digits, at most 20. */
static void add_digits(struct words *words, uint64_t number, unsigned base, unsigned width)
{
    char digits[21];
    unsigned at = sizeof digits - 1;

    digits[at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0 || sizeof digits - 1 - at < width);
    add(words, digits + at);
}

static void add_number(struct words *words, uint64_t number)
{
    add_digits(words, number, 10, 1);
}

static void add_address(struct words *words, uintptr_t address)
{
    add(words, "0x");
    add_digits(words, address, 16, 1);
}

static void add_pid(struct words *words, troupe_pid pid)
{
    add_digits(words, pid, 16, 16);
}

static void say(const struct words *words)
{
    /* Whether it can be written or not, there is nothing else to do. */
    ssize_t ignored = write(STDERR_FILENO, words->text, words->length);

    (void)ignored;
}

/* ---- what happened ---- */

static const char *name_of(int signal)
{
    switch (signal) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGFPE:
        return "SIGFPE";
    default:
        return "SIGILL";
    }
}

/* How the C library's struct link_map begins, as it promises to debuggers; its header has the name of one of ours. */
struct object {
    uintptr_t base; /* where it is, less where it was linked to be */
    const char *name;
};

/* As addr2line wants it: the object's name, and where in it. */
static void add_code(struct words *words, uintptr_t code)
{
    struct dl_find_object found;
    const struct object *object;
    const char *slash;

    if (_dl_find_object((void *)code, &found) != 0) {
        add_address(words, code);
        return;
    }
    object = (const struct object *)(const void *)found.dlfo_link_map;
    slash = strrchr(object->name, '/');
    if (object->name[0] == '\0') {
        add(words, "program");
    } else {
        add(words, slash != NULL ? slash + 1 : object->name);
    }
    add(words, "+");
    add_address(words, code - object->base);
}

static void add_overflow(struct words *words, const struct trp_fault *fault)
{
    add(words, fault->on_fiber ? "its stack of " : "its worker's stack of ");
    add_number(words, fault->stack_size);
    add(words, " bytes is used up");
}

static void add_access(struct words *words, const struct trp_fault *fault)
{
    if (fault->has_address && fault->address == fault->regs.pc) {
        add(words, "a call of ");
        add_address(words, fault->address);
    } else if (fault->has_address) {
        add(words, fault->regs.wrote ? "a write to " : "a read of ");
        add_address(words, fault->address);
    } else {
        add(words, "an address that no memory can have");
    }
}

static void add_event(struct words *words, const struct trp_fault *fault)
{
    add(words, name_of(fault->signal));
    add(words, ": ");
    if (fault->overflow) {
        add_overflow(words, fault);
    } else if (fault->signal == SIGFPE) {
        add(words, "arithmetic that has no result");
    } else if (fault->signal == SIGILL) {
        add(words, "an instruction that there is not");
    } else {
        add_access(words, fault);
    }
    add(words, ", by ");
    add_code(words, fault->code);
}

void trp_fault_describe(const struct trp_fault *fault, char *text, size_t size)
{
    struct words words;

    begin(&words, text, size);
    add_event(&words, fault);
}

/* ---- who it was ---- */

static void tell_who(const struct trp_fault *fault)
{
    const struct troupe_message *msg = fault->actor->taken ? NULL : fault->actor->current;
    char text[TRP_SEAT_TEXT];
    struct words words;

    begin(&words, text, sizeof text);
    add(&words, "troupe: in actor ");
    add(&words, fault->actor->behaviour->name);
    add(&words, ", pid ");
    add_pid(&words, trp_actor_pid(fault->actor));
    if (msg != NULL) {
        add(&words, ", handling ");
        add(&words, msg->type->name);
    }
    add(&words, ", on worker ");
    add_number(&words, fault->worker->index);
    add(&words, "\n");
    say(&words);
}

static void tell_what(const struct trp_fault *fault)
{
    char text[TRP_SEAT_TEXT];
    struct words words;

    begin(&words, text, sizeof text);
    add(&words, "troupe: ");
    add_event(&words, fault);
    add(&words, "\n");
    say(&words);
}

/* What to do about a stack that was too small. */
static void tell_remedy(const struct trp_fault *fault)
{
    struct words words;
    char text[TRP_SEAT_TEXT];

    if (!fault->overflow) {
        return;
    }
    begin(&words, text, sizeof text);
    add(&words, "troupe: use less of it, or give the ");
    add(&words, fault->on_fiber ? "behaviour a larger `stack_size`\n"
                                : "threads of the process larger stacks (RLIMIT_STACK)\n");
    say(&words);
}

static void tell_why(const struct trp_fault *fault)
{
    char text[TRP_SEAT_TEXT];
    struct words words;

    begin(&words, text, sizeof text);
    add(&words, "troupe: not contained: ");
    add(&words, fault->refusal);
    add(&words, "\n");
    say(&words);
}

/* What the worker did before, newest first; nothing where it was not noted. */
static void tell_trace(const struct trp_seat *seat)
{
    uint32_t count = seat->traced < TRP_SEAT_TRACE ? seat->traced : TRP_SEAT_TRACE;

    for (uint32_t i = 1; i <= count; i++) {
        const struct trp_seat_entry *entry = &seat->trace[(seat->traced - i) % TRP_SEAT_TRACE];
        char text[TRP_SEAT_TEXT];
        struct words words;

        begin(&words, text, sizeof text);
        add(&words, "troupe: this worker's last messages, ");
        add_number(&words, i);
        add(&words, ": ");
        add(&words, entry->behaviour);
        add(&words, ", pid ");
        add_pid(&words, entry->pid);
        add(&words, ", ");
        add(&words, entry->type);
        add(&words, "\n");
        say(&words);
    }
}

/* First what needs least: the actor's cell may be broken, and to read it be a fault itself, which ends the telling. */
void trp_fault_tell(const struct trp_fault *fault)
{
    tell_what(fault);
    tell_why(fault);
    tell_remedy(fault);
    tell_who(fault);
    tell_trace(&fault->worker->seat);
}
