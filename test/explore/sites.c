/* SPDX-License-Identifier: MIT */
/*
 * sites.c - where in the code an address is.  libdw (elfutils) reads the debug information of this program; the code that
 * is explored is built without inlining, so that the function is the one that the source shows.
 */
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/explore/engine.h"

#define SITES (1U << 14)

static struct {
    uintptr_t pc;
    struct explore_site site;
} known[SITES];

static Dwfl *debug_information(void)
{
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_linux_proc_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
    };
    static Dwfl *dwfl;

    if (dwfl == NULL) {
        dwfl = dwfl_begin(&callbacks);
        if (dwfl == NULL || dwfl_linux_proc_report(dwfl, getpid()) != 0 ||
            dwfl_report_end(dwfl, NULL, NULL) != 0) {
            fprintf(stderr, "explore: no debug information: %s\n", dwfl_errmsg(-1));
            exit(2);
        }
    }
    return dwfl;
}

static struct explore_site look_up(uintptr_t pc)
{
    /* Before the address that is returned to: still in the call. */
    Dwfl_Module *module = dwfl_addrmodule(debug_information(), pc - 1);
    const char *function = module != NULL ? dwfl_module_addrname(module, pc - 1) : NULL;
    Dwfl_Line *line = module != NULL ? dwfl_module_getsrc(module, pc - 1) : NULL;
    struct explore_site site = {function != NULL ? function : "?", "?", 0, false};

    if (line != NULL) {
        const char *file = dwfl_lineinfo(line, NULL, &site.line, NULL, NULL, NULL);
        const char *slash = file != NULL ? strrchr(file, '/') : NULL;

        site.file = slash != NULL ? slash + 1 : "?";
        site.is_ours = file != NULL &&
                       (strstr(file, "sched/") != NULL || strstr(file, "lib/") != NULL) &&
                       strstr(file, "test/") == NULL && strncmp(file, "/usr/", 5) != 0;
    }
    /* A copy of the compiler's own has a dot in its name. */
    site.function = strndup(site.function, strcspn(site.function, "."));
    if (site.function == NULL) {
        abort();
    }
    return site;
}

const struct explore_site *explore_site_at(uintptr_t pc)
{
    size_t at = (pc * UINT64_C(0x9e3779b97f4a7c15)) >> 50;

    while (known[at].pc != 0 && known[at].pc != pc) {
        at = (at + 1) % SITES;
    }
    if (known[at].pc == 0) {
        known[at].pc = pc;
        known[at].site = look_up(pc);
    }
    return &known[at].site;
}
