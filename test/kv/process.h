/* SPDX-License-Identifier: MIT */
/*
 * process.h - for tests: a server as a process of its own, what it writes, and how it ends.
 *
 * It dies with the test, however that ends.  What it writes to its standard error goes to a file, so that it never
 * waits for us, and is read when it has ended.
 */
#ifndef TEST_KV_PROCESS_H
#define TEST_KV_PROCESS_H

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESS_ARGUMENTS_MAX 12
#define PROCESS_TEXT_MAX 4096

struct process_options {
    const char *arguments[PROCESS_ARGUMENTS_MAX]; /* up to the first NULL */
    rlim_t descriptors;                           /* it may have; 0: as many as the test */
    bool may_not_bind;                            /* the system refuses bind(2): EACCES */
};

struct process {
    pid_t pid;
    uint16_t port; /* of a troupe-kv that is ready */
    int output;    /* what it prints */
    int messages;  /* a file: what it writes to its standard error */
    char text[PROCESS_TEXT_MAX];
};

/* As on a port for which one has no permission, but for every user and on every system. */
static inline void process_forbid_bind(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bind, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
        _exit(125);
    }
}

/* In the child, which has only its three descriptors then. */
static inline void process_become(
    const char *program, const struct process_options *options, int output, int messages)
{
    const char *arguments[PROCESS_ARGUMENTS_MAX + 2] = {program};
    struct rlimit limit = {options->descriptors, options->descriptors};

    memcpy(arguments + 1, options->arguments, sizeof options->arguments);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(messages, STDERR_FILENO) < 0 || close_range(STDERR_FILENO + 1, ~0U, 0) < 0 ||
        (options->descriptors > 0 && setrlimit(RLIMIT_NOFILE, &limit) < 0)) {
        _exit(126);
    }
    if (options->may_not_bind) {
        process_forbid_bind();
    }
    (void)execv(program, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/** Starts a program, and does not wait until it is ready. */
static inline void process_spawn(
    struct process *process, const char *program, const struct process_options *options)
{
    FILE *messages = tmpfile();
    int output[2];

    memset(process, 0, sizeof *process);
    cr_assert_not_null(program, "the program's path is missing in the environment");
    cr_assert_not_null(messages);
    cr_assert_eq(pipe(output), 0);
    process->messages = dup(fileno(messages));
    (void)fclose(messages);
    process->output = output[0];
    process->pid = fork();
    cr_assert_geq(process->pid, 0);
    if (process->pid == 0) {
        process_become(program, options, output[1], process->messages);
    }
    close(output[1]);
}

/** What it has written to its standard error so far. */
static inline const char *process_messages(struct process *process)
{
    ssize_t size = pread(process->messages, process->text, sizeof process->text - 1, 0);

    process->text[size > 0 ? size : 0] = '\0';
    return process->text;
}

/** The next line that it prints, without the line's end, or false if it prints no more. */
static inline bool process_line(struct process *process, char *line, size_t size)
{
    size_t length = 0;

    while (length + 1 < size) {
        ssize_t count = read(process->output, line + length, 1);

        if (count <= 0 || line[length] == '\n') {
            line[length] = '\0';
            return count > 0;
        }
        length++;
    }
    line[length] = '\0';
    return true;
}

/** Whether a troupe-kv says that it is ready; then its port is known. */
static inline bool process_is_ready(struct process *process)
{
    char line[256];
    const char *port;

    if (!process_line(process, line, sizeof line)) {
        return false;
    }
    port = strstr(line, " port ");
    cr_assert(
        port != NULL && sscanf(port, " port %hu", &process->port) == 1, "what is '%s'?", line);
    return true;
}

/** The troupe-kv that meson built, ready, on a port of its own. */
static inline void process_start(struct process *process, const struct process_options *options)
{
    process_spawn(process, getenv("TROUPE_KV"), options);
    cr_assert(process_is_ready(process), "%s", process_messages(process));
}

/** Waits for its end, by itself: its exit status, or -1 if a signal ended it.  Its messages are in `text`. */
static inline int process_wait(struct process *process)
{
    int status;

    cr_assert_eq(waitpid(process->pid, &status, 0), process->pid);
    (void)process_messages(process);
    close(process->output);
    close(process->messages);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/** Ends it as an operator would; it has to say that all went well. */
static inline void process_stop(struct process *process)
{
    cr_assert_eq(kill(process->pid, SIGTERM), 0);
    cr_assert_eq(process_wait(process), EXIT_SUCCESS, "%s", process->text);
}

/** A number of its /proc status, in KiB: "VmHWM", "VmData". */
static inline long process_kib(const struct process *process, const char *name)
{
    char path[64];
    char line[256];
    FILE *file;
    long kib = -1;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)process->pid);
    file = fopen(path, "r");
    cr_assert_not_null(file);
    while (kib < 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') {
            kib = strtol(line + strlen(name) + 1, NULL, 10);
        }
    }
    (void)fclose(file);
    cr_assert_geq(kib, 0, "%s is not in %s", name, path);
    return kib;
}

#endif
