/* A disk that keeps a record of what reaches it, or refuses, for the state's files only.
 *
 * SYNCD_DISK_FILES  how their paths begin
 * SYNCD_DISK_LOG    where to record, as lines "<W|T|S> <path> <offset or size> <bytes>", each W
 *                   followed by its bytes: a write, a file cut, a sync that was carried out
 * SYNCD_DISK_FAIL   "<W|S> <first> <last> <errno>": these calls of that kind, counted from 1, fail;
 *                   with 0 for errno the process is killed there
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static const char *files;
static int log_to = -1;
static char fail_kind;
static long fail_first, fail_last, seen;
static int fail_with;

__attribute__((constructor)) static void begin(void) {
    files = getenv("SYNCD_DISK_FILES");
    const char *log = getenv("SYNCD_DISK_LOG"), *fail = getenv("SYNCD_DISK_FAIL");
    if (log)
        log_to = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fail && sscanf(fail, "%c %ld %ld %d", &fail_kind, &fail_first, &fail_last, &fail_with) != 4)
        abort();
}

/* Whether fd is one of the files; its path. */
static int ours(int fd, char path[PATH_MAX]) {
    char link[40];
    if (!files)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strncmp(path, files, strlen(files)) == 0;
}

static int refused(char kind) {
    if (kind != fail_kind)
        return 0;
    seen++;
    if (seen < fail_first || seen > fail_last)
        return 0;
    if (!fail_with)
        kill(getpid(), SIGKILL);
    errno = fail_with;
    return 1;
}

static void record(char kind, const char *path, long at, const void *data, size_t size) {
    char head[PATH_MAX + 80];
    if (log_to < 0)
        return;
    int length = snprintf(head, sizeof head, "%c %s %ld %zu\n", kind, path, at, size);
    struct iovec both[2] = {{head, (size_t)length}, {(void *)data, size}};
    if (writev(log_to, both, 2) != length + (ssize_t)size)
        abort();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static ssize_t write_at(int fd, const void *data, size_t size, off_t at, int given) {
    char path[PATH_MAX];
    ssize_t done = -1;
    if (!ours(fd, path))
        return given ? REAL(pwrite)(fd, data, size, at) : REAL(write)(fd, data, size);
    pthread_mutex_lock(&turn);
    if (!refused('W')) {
        off_t place = given ? at : lseek(fd, 0, SEEK_CUR);
        done = REAL(pwrite)(fd, data, size, place);
        if (done > 0) {
            record('W', path, place, data, (size_t)done);
            if (!given)
                lseek(fd, place + done, SEEK_SET);
        }
    }
    int why = errno;
    pthread_mutex_unlock(&turn);
    errno = why;
    return done;
}

ssize_t write(int fd, const void *data, size_t size) { return write_at(fd, data, size, 0, 0); }

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return write_at(fd, data, size, at, 1);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return write_at(fd, data, size, at, 1);
}

static int cut(int fd, off_t size) {
    char path[PATH_MAX];
    if (!ours(fd, path))
        return REAL(ftruncate)(fd, size);
    pthread_mutex_lock(&turn);
    int done = REAL(ftruncate)(fd, size), why = errno;
    if (!done)
        record('T', path, size, "", 0);
    pthread_mutex_unlock(&turn);
    errno = why;
    return done;
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }

int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

static int sync_it(int fd) {
    char path[PATH_MAX];
    int done = -1;
    if (!ours(fd, path))
        return REAL(fsync)(fd);
    pthread_mutex_lock(&turn);
    if (!refused('S')) {
        done = 0; /* no power is cut: the record stands for the disk */
        record('S', path, 0, "", 0);
    }
    int why = errno;
    pthread_mutex_unlock(&turn);
    errno = why;
    return done;
}

int fsync(int fd) { return sync_it(fd); }

int fdatasync(int fd) { return sync_it(fd); }
