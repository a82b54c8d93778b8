/* SPDX-License-Identifier: MIT */
/* faults.c - what can fail, and how; the functions that come in between. */
#include "faults.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

/** Innermost frames by which two passes of one site are told apart. */
#define PATH_FRAMES 10

/*
 * Errors are those that Linux gives for these calls as the library makes them.  EAGAIN is not here: it is an answer,
 * and comes by itself.  For the same reason no read or write is cut short: what a descriptor still has or takes,
 * edge-triggered readiness would not tell again, and the kernel does not do that.  A close
 * may say what it likes: the descriptor is closed, and all that could come of it is that errno is another one than what
 * came before had left.
 */
static const struct fault_call calls[] = {
    {"trp_memory_alloc", .ways = {{ENOMEM, FAULT_MEMORY}}},
    {"fault_block", .ways = {{ENOMEM, FAULT_MEMORY}}},
    {"malloc", .ways = {{ENOMEM, FAULT_MEMORY}}},
    {"aligned_alloc", .ways = {{ENOMEM, FAULT_MEMORY}}},
    {"_cds_lfht_new", .ways = {{ENOMEM, FAULT_MEMORY}}},
    {"accept4", .ways = {{EMFILE, FAULT_DESCRIPTORS}, {ENOMEM, FAULT_KERNEL},
                    {ECONNABORTED, FAULT_NOTHING}, {EINTR, FAULT_NOTHING}}},
    {"bind", .ways = {{EADDRINUSE, FAULT_NOTHING}, {EACCES, FAULT_NOTHING}}},
    {"connect", .ways = {{ENOMEM, FAULT_KERNEL}, {ECONNREFUSED, FAULT_NOTHING}}},
    {"close", .follows = true, .ways = {{EIO, FAULT_NOTHING}}},
    {"epoll_create1", .ways = {{EMFILE, FAULT_DESCRIPTORS}, {ENOMEM, FAULT_KERNEL}}},
    {"epoll_ctl", .ways = {{ENOMEM, FAULT_KERNEL}, {ENOSPC, FAULT_KERNEL}}},
    {"epoll_wait", .ways = {{EINTR, FAULT_NOTHING}}},
    {"eventfd", .ways = {{EMFILE, FAULT_DESCRIPTORS}, {ENOMEM, FAULT_KERNEL}}},
    {"fcntl64", .ways = {{EBADF, FAULT_NOTHING}}},
    {"fgets", .ways = {{EIO, FAULT_NOTHING}}},
    {"fopen64", .ways = {{EMFILE, FAULT_DESCRIPTORS}, {ENOMEM, FAULT_KERNEL}}},
    {"__isoc99_fscanf", .ways = {{EIO, FAULT_NOTHING}}},
    {"getrandom", .ways = {{EINTR, FAULT_NOTHING}, {ENOSYS, FAULT_FEATURE}}},
    {"getsockopt", .ways = {{ENOBUFS, FAULT_KERNEL}}},
    {"getsockname", .ways = {{ENOBUFS, FAULT_KERNEL}}},
    {"listen", .ways = {{EADDRINUSE, FAULT_NOTHING}}},
    {"madvise", .ways = {{EINVAL, FAULT_FEATURE}, {ENOMEM, FAULT_KERNEL}}},
    {"mmap64", .ways = {{ENOMEM, FAULT_MEMORY}}},
    {"mprotect", .ways = {{ENOMEM, FAULT_KERNEL}}},
    {"munmap", .follows = true, .ways = {{ENOMEM, FAULT_NOTHING}}},
    {"open64", .ways = {{EMFILE, FAULT_DESCRIPTORS}, {ENOENT, FAULT_NOTHING}}},
    {"poll", .ways = {{EINTR, FAULT_NOTHING}, {ENOMEM, FAULT_NOTHING}}},
    {"pthread_atfork", .ways = {{ENOMEM, FAULT_MEMORY}}},
    {"pthread_create", .ways = {{EAGAIN, FAULT_THREADS}}},
    {"pthread_key_create", .ways = {{EAGAIN, FAULT_THREADS}}},
    {"pthread_setname_np", .ways = {{ERANGE, FAULT_NOTHING}}},
    {"pthread_setspecific", .ways = {{ENOMEM, FAULT_MEMORY}}},
    {"read", .ways = {{EINTR, FAULT_NOTHING}}},
    {"recv", .ways = {{EINTR, FAULT_NOTHING}, {ECONNRESET, FAULT_NOTHING}, {ENOMEM, FAULT_KERNEL}}},
    {"sched_getaffinity", .ways = {{EINVAL, FAULT_NOTHING}}},
    {"send", .ways = {{EINTR, FAULT_NOTHING}, {EPIPE, FAULT_NOTHING}, {ENOBUFS, FAULT_KERNEL}}},
    {"setsockopt", .ways = {{ENOMEM, FAULT_KERNEL}}},
    {"shutdown", .ways = {{ENOTCONN, FAULT_NOTHING}}},
    {"signalfd", .ways = {{EMFILE, FAULT_DESCRIPTORS}, {ENOMEM, FAULT_KERNEL}}},
    {"socket", .ways = {{EMFILE, FAULT_DESCRIPTORS}, {ENOBUFS, FAULT_KERNEL}}},
    {"syscall", .ways = {{EINTR, FAULT_NOTHING}, {EAGAIN, FAULT_NOTHING}, {ENOSYS, FAULT_FEATURE}}},
    {"write", .ways = {{EINTR, FAULT_NOTHING}}},
};

const char *const fault_resource_names[FAULT_RESOURCES] = {
    "nothing", "memory", "descriptors", "threads", "kernel", "feature"};

struct fault_site fault_sites[FAULT_SITES_MAX];
size_t fault_site_count;

/* Where calls return to, in order. */
static struct return_address {
    uintptr_t address;
    int site;
} returns[FAULT_SITES_MAX];
static size_t return_count;

static struct fault_trial *_Atomic current;
static _Atomic size_t threads_out;

size_t fault_threads_out(void)
{
    return atomic_load(&threads_out);
}

/* ---- the list of sites ---- */

static const struct fault_call *call_of(const char *name)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (strcmp(calls[i].name, name) == 0) {
            return &calls[i];
        }
    }
    return NULL;
}

/* The site of a call in a line; a new one if it is the first of it. */
static int need_site(const struct fault_call *call, const char *where)
{
    size_t i = 0;

    while (i < fault_site_count &&
           (fault_sites[i].call != call || strcmp(fault_sites[i].where, where) != 0)) {
        i++;
    }
    if (i == fault_site_count) {
        fault_sites[i].call = call;
        snprintf(fault_sites[i].where, sizeof fault_sites[i].where, "%s", where);
        fault_site_count++;
    }
    return (int)i;
}

static int by_address(const void *a, const void *b)
{
    const struct return_address *left = a;
    const struct return_address *right = b;

    return (left->address > right->address) - (left->address < right->address);
}

bool fault_read_sites(const char *path)
{
    FILE *file = fopen(path, "r");
    char name[64];
    char where[64];
    unsigned long address;

    while (file != NULL && return_count < FAULT_SITES_MAX &&
           fscanf(file, "%lx %63s %63s", &address, name, where) == 3) {
        const struct fault_call *call = call_of(name);

        if (call == NULL) {
            fprintf(stderr, "%s calls %s, of which faults.c knows nothing\n", where, name);
            break;
        }
        returns[return_count++] = (struct return_address){address, need_site(call, where)};
    }
    if (file == NULL || !feof(file) || return_count == 0) {
        fprintf(stderr, "%s: not a list of sites, or too long\n", path);
        return false;
    }
    fclose(file);
    qsort(returns, return_count, sizeof *returns, by_address);
    return true;
}

/* The site whose call returns to `address`; -1: it is not the library's. */
static int site_at(const void *address)
{
    struct return_address key = {.address = (uintptr_t)address};
    const struct return_address *found =
        bsearch(&key, returns, return_count, sizeof *returns, by_address);

    return found != NULL ? found->site : -1;
}

/* ---- passes ---- */

void fault_begin(struct fault_trial *trial)
{
    void *frame;

    /* The first call of backtrace() loads a library. */
    (void)backtrace(&frame, 1);
    atomic_store(&current, trial);
}

bool fault_has_hit(void)
{
    struct fault_trial *trial = atomic_load(&current);

    return trial != NULL && atomic_load(&trial->hits) > 0;
}

/* Writes a pass down. */
static void note_pass(struct fault_trial *trial, int site)
{
    unsigned index = atomic_fetch_add(&trial->pass_count, 1);
    void *frames[PATH_FRAMES];
    uint32_t hash = 2166136261u;
    int count;

    if (trial->trace == NULL || index >= FAULT_PASSES_MAX) {
        return;
    }
    count = backtrace(frames, PATH_FRAMES);
    for (int i = 0; i < count; i++) {
        hash = (hash ^ (uint32_t)(uintptr_t)frames[i]) * 16777619u;
    }
    trial->trace->site[index] = (uint16_t)site;
    trial->trace->path[index] = hash;
}

bool fault_is_for_good(void)
{
    struct fault_trial *trial = atomic_load(&current);

    return trial != NULL && trial->lasts != FAULT_NOTHING;
}

void fault_take_memory(void)
{
    struct fault_trial *trial = atomic_load(&current);

    trial->lasts = FAULT_MEMORY;
    atomic_fetch_add(&trial->hits, 1);
}

/* The first way of `call` that wants `resource`; NULL: none. */
static const struct fault_way *way_of(const struct fault_call *call, enum fault_resource resource)
{
    for (const struct fault_way *way = call->ways; way->error != 0; way++) {
        if (way->resource == resource) {
            return way;
        }
    }
    return NULL;
}

/* With what this pass of `site` fails; NULL: it does not. */
static const struct fault_way *choose(struct fault_trial *trial, unsigned pass, int site)
{
    const struct fault_call *call = fault_sites[site].call;

    if (trial->pass > 0 && site == trial->site && pass == trial->pass) {
        return &call->ways[trial->way];
    }
    if (atomic_load(&trial->hits) == 0) {
        return NULL;
    }
    if (call->follows) {
        return &call->ways[0];
    }
    return trial->lasts != FAULT_NOTHING ? way_of(call, trial->lasts) : NULL;
}

/* Counts a pass.  Whether it fails; then errno is set. */
static bool hit(const void *address)
{
    struct fault_trial *trial = atomic_load(&current);
    int site = trial != NULL ? site_at(address) : -1;
    const struct fault_way *way;

    if (site < 0) {
        return false;
    }
    atomic_fetch_add(&trial->counts->reached[site], 1);
    note_pass(trial, site);
    way = choose(trial, atomic_fetch_add(&trial->passes[site], 1) + 1, site);
    if (way == NULL) {
        return false;
    }
    atomic_fetch_add(&trial->hits, 1);
    atomic_fetch_add(&trial->counts->failed[site], 1);
    errno = way->error;
    return true;
}

#define HIT() hit(__builtin_return_address(0))

/* ---- in between: memory ---- */

struct trp_memory;
struct cds_lfht;

/* The names are the linker's. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

bool fault_block(void)
{
    return HIT();
}

void *__real_trp_memory_alloc(struct trp_memory *memory, size_t size, size_t align);
void *__wrap_trp_memory_alloc(struct trp_memory *memory, size_t size, size_t align)
{
    return HIT() ? NULL : __real_trp_memory_alloc(memory, size, align);
}

/* What the library has from the C library.  It is little: nearly all goes through the runtime's allocator. */
static struct {
    pthread_mutex_t lock;
    size_t count;
    void *blocks[1024];
} out = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *note_block(const void *address, void *block)
{
    if (block != NULL && site_at(address) >= 0) {
        pthread_mutex_lock(&out.lock);
        if (out.count == sizeof out.blocks / sizeof *out.blocks) {
            abort();
        }
        out.blocks[out.count++] = block;
        pthread_mutex_unlock(&out.lock);
    }
    return block;
}

size_t fault_blocks_out(void)
{
    size_t count;

    pthread_mutex_lock(&out.lock);
    count = out.count;
    pthread_mutex_unlock(&out.lock);
    return count;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    const void *address = __builtin_return_address(0);

    return hit(address) ? NULL : note_block(address, __real_malloc(size));
}

void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size)
{
    const void *address = __builtin_return_address(0);

    return hit(address) ? NULL : note_block(address, __real_aligned_alloc(align, size));
}

void __real_free(void *block);
void __wrap_free(void *block)
{
    pthread_mutex_lock(&out.lock);
    for (size_t i = 0; i < out.count; i++) {
        if (out.blocks[i] == block) {
            out.blocks[i] = out.blocks[--out.count];
            break;
        }
    }
    pthread_mutex_unlock(&out.lock);
    __real_free(block);
}

struct cds_lfht *__real__cds_lfht_new(unsigned long init, unsigned long least, unsigned long most,
    int flags, const void *memory, const void *flavor, pthread_attr_t *attr);
struct cds_lfht *__wrap__cds_lfht_new(unsigned long init, unsigned long least, unsigned long most,
    int flags, const void *memory, const void *flavor, pthread_attr_t *attr)
{
    return HIT() ? NULL : __real__cds_lfht_new(init, least, most, flags, memory, flavor, attr);
}

/* ---- in between: descriptors ---- */

int __real_accept4(int fd, struct sockaddr *peer, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *peer, socklen_t *size, int flags)
{
    return HIT() ? -1 : __real_accept4(fd, peer, size, flags);
}

int __real_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    return HIT() ? -1 : __real_bind(fd, address, size);
}

/* The descriptor is closed even so, as close(2) says of Linux. */
int __real_close(int fd);
int __wrap_close(int fd)
{
    int result = __real_close(fd);

    return HIT() ? -1 : result;
}

int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    return HIT() ? -1 : __real_connect(fd, address, size);
}

int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
    return HIT() ? -1 : __real_getsockopt(fd, level, option, value, size);
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags)
{
    return HIT() ? -1 : __real_epoll_create1(flags);
}

int __real_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    return HIT() ? -1 : __real_epoll_ctl(epoll, op, fd, event);
}

int __real_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms)
{
    return HIT() ? -1 : __real_epoll_wait(epoll, events, count, timeout_ms);
}

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags)
{
    return HIT() ? -1 : __real_eventfd(value, flags);
}

int __real_fcntl64(int fd, int op, long arg);
int __wrap_fcntl64(int fd, int op, long arg)
{
    return HIT() ? -1 : __real_fcntl64(fd, op, arg);
}

int __real_getsockname(int fd, struct sockaddr *address, socklen_t *size);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    return HIT() ? -1 : __real_getsockname(fd, address, size);
}

int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog)
{
    return HIT() ? -1 : __real_listen(fd, backlog);
}

int __real_madvise(void *memory, size_t size, int advice);
int __wrap_madvise(void *memory, size_t size, int advice)
{
    return HIT() ? -1 : __real_madvise(memory, size, advice);
}

void *__real_mmap64(void *at, size_t size, int rights, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int rights, int flags, int fd, off_t offset)
{
    return HIT() ? MAP_FAILED : __real_mmap64(at, size, rights, flags, fd, offset);
}

int __real_mprotect(void *memory, size_t size, int rights);
int __wrap_mprotect(void *memory, size_t size, int rights)
{
    return HIT() ? -1 : __real_mprotect(memory, size, rights);
}

int __real_munmap(void *memory, size_t size);
int __wrap_munmap(void *memory, size_t size)
{
    int result = __real_munmap(memory, size);

    return HIT() ? -1 : result;
}

int __real_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode)
{
    return HIT() ? -1 : __real_open64(path, flags, mode);
}

int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    return HIT() ? -1 : __real_poll(fds, count, timeout_ms);
}

ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size)
{
    return HIT() ? -1 : __real_read(fd, data, size);
}

ssize_t __real_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags)
{
    return HIT() ? -1 : __real_recv(fd, data, size, flags);
}

ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
    return HIT() ? -1 : __real_send(fd, data, size, flags);
}

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    return HIT() ? -1 : __real_setsockopt(fd, level, name, value, size);
}

int __real_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how)
{
    return HIT() ? -1 : __real_shutdown(fd, how);
}

int __real_signalfd(int fd, const sigset_t *mask, int flags);
int __wrap_signalfd(int fd, const sigset_t *mask, int flags)
{
    return HIT() ? -1 : __real_signalfd(fd, mask, flags);
}

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol)
{
    return HIT() ? -1 : __real_socket(domain, type, protocol);
}

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    return HIT() ? -1 : __real_write(fd, data, size);
}

/* ---- in between: files, threads, the rest ---- */

/* Not every machine has control groups: here each has a quota. */
FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode)
{
    static char quota[] = "200000 100000\n";
    const char *name = strrchr(path, '/');

    if (HIT()) {
        return NULL;
    }
    if (name != NULL && strcmp(name, "/cpu.max") == 0) {
        return fmemopen(quota, strlen(quota), "r");
    }
    return __real_fopen64(path, mode);
}

char *__real_fgets(char *text, int size, FILE *file);
char *__wrap_fgets(char *text, int size, FILE *file)
{
    return HIT() ? NULL : __real_fgets(text, size, file);
}

int __wrap___isoc99_fscanf(FILE *file, const char *format, ...)
{
    va_list list;
    int count;

    if (HIT()) {
        return EOF;
    }
    va_start(list, format);
    count = vfscanf(file, format, list);
    va_end(list);
    return count;
}

ssize_t __real_getrandom(void *data, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *data, size_t size, unsigned flags)
{
    return HIT() ? -1 : __real_getrandom(data, size, flags);
}

int __real_sched_getaffinity(pid_t pid, size_t size, void *set);
int __wrap_sched_getaffinity(pid_t pid, size_t size, void *set)
{
    return HIT() ? -1 : __real_sched_getaffinity(pid, size, set);
}

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    return HIT() ? -1 : __real_syscall(number, a, b, c, d, e, f);
}

int __real_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    return HIT() ? errno : __real_pthread_atfork(before, parent, child);
}

int __real_pthread_create(
    pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_create(
    pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    int error = HIT() ? errno : __real_pthread_create(thread, attr, run, arg);

    if (error == 0) {
        atomic_fetch_add(&threads_out, 1);
    }
    return error;
}

int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result)
{
    atomic_fetch_sub(&threads_out, 1);
    return __real_pthread_join(thread, result);
}

int __real_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    return HIT() ? errno : __real_pthread_key_create(key, destroy);
}

int __real_pthread_setname_np(pthread_t thread, const char *name);
int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
    return HIT() ? errno : __real_pthread_setname_np(thread, name);
}

int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    return HIT() ? errno : __real_pthread_setspecific(key, value);
}
