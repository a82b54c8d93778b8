/* SPDX-License-Identifier: MIT */
/*
 * faults.h - makes the library's allocations and system calls fail, one at a time.
 *
 * The linker sends each such call of the program to a function of faults.c (--wrap).  It knows the place that called
 * from the return address: `sites` lists all places that call one, from the finished program's machine code, so that
 * what is never reached is seen.  Calls from elsewhere, as the scenarios' own, are let through.
 *
 * A *site* is one call in one line of source, however often the compiler wrote it down; a *pass* is one time that it is
 * made.  A trial fails one pass of one site in one *way*, either that one only, or from there on every call that wants
 * the same resource: who is out of descriptors stays so.
 */
#ifndef TEST_FAULTS_H
#define TEST_FAULTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULT_SITES_MAX 512
#define FAULT_PASSES_MAX 65536
#define FAULT_WAYS_MAX 5

/** What a call that fails for good has run out of. */
enum fault_resource {
    FAULT_NOTHING, /* an accident: never for good */
    FAULT_MEMORY,
    FAULT_DESCRIPTORS,
    FAULT_THREADS,
    FAULT_KERNEL,  /* memory of the system's own */
    FAULT_FEATURE, /* the system has no such call */
    FAULT_RESOURCES,
};

extern const char *const fault_resource_names[FAULT_RESOURCES];

/** One errno with which a call may fail. */
struct fault_way {
    int error;
    enum fault_resource resource;
};

/** What can fail: see `calls` in faults.c. */
struct fault_call {
    const char *name;
    bool follows;                          /* fails whenever another one has, and never by itself */
    struct fault_way ways[FAULT_WAYS_MAX]; /* ends with error 0 */
};

/** A place in the library that makes a call. */
struct fault_site {
    const struct fault_call *call;
    char where[64]; /* file:line */
};

/** Over all trials, of each site.  In memory that parent and children share, as what follows. */
struct fault_counts {
    _Atomic unsigned reached[FAULT_SITES_MAX];
    _Atomic unsigned failed[FAULT_SITES_MAX];
};

/** The passes of a run, as they came. */
struct fault_trace {
    uint16_t site[FAULT_PASSES_MAX];
    uint32_t path[FAULT_PASSES_MAX]; /* hash of the call stack */
};

/** What one trial is to do, and what came of it. */
struct fault_trial {
    /* Set before. */
    int site;                  /* that fails, at pass .. */
    unsigned pass;             /* .. counted from 1; 0: none */
    unsigned way;              /* index of fault_call.ways */
    enum fault_resource lasts; /* from then on all that wants it fails; FAULT_NOTHING: once only */
    struct fault_trace *trace; /* or NULL */
    struct fault_counts *counts;

    _Atomic unsigned passes[FAULT_SITES_MAX];
    _Atomic unsigned pass_count; /* of all sites */
    _Atomic unsigned hits;       /* calls that failed */
};

extern struct fault_site fault_sites[FAULT_SITES_MAX];
extern size_t fault_site_count;

/** Reads the list of sites; false, with a line to standard error, if it is no such list. */
bool fault_read_sites(const char *path);

/** From now on passes are counted, and fail, as `trial` says.  NULL: no more. */
void fault_begin(struct fault_trial *trial);

/** Whether a call has been made to fail in this trial. */
bool fault_has_hit(void);

/** Whether what failed in this trial goes on failing. */
bool fault_is_for_good(void);

/** From now on there is no memory, in every trial. */
void fault_take_memory(void);

/** Blocks that the library has from malloc and aligned_alloc. */
size_t fault_blocks_out(void);

/** Threads that were begun and not joined. */
size_t fault_threads_out(void);

#endif
