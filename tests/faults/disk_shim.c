/* Simulates power loss and disk errors, as a library for LD_PRELOAD. After a power loss, a program can
 * only rely on the data of its last successful sync. At each sync this library therefore copies the file
 * to `<file>.synced`, and a test restores that copy. The first byte of the file that DISK_SHIM names
 * injects errors: `w` makes every write fail, `s` every sync, any other byte nothing. A test can change
 * it while the program runs. Only files whose names contain DISK_SHIM_FILE are affected. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile const char *fault;

__attribute__((constructor)) static void map(void) {
    const char *path = getenv("DISK_SHIM");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *mapped = mmap(0, 1, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) fault = mapped;
    close(file);
}

/* Finds the path of a file descriptor. Fails if the file is not affected. */
static int path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    const char *part = getenv("DISK_SHIM_FILE");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0 || !part) return 0;
    path[length] = 0;
    return path[0] == '/' && strstr(path, part) && !strstr(path, ".synced");
}

static int fails(int fd, char how) {
    char path[PATH_MAX];
    return fault && *fault == how && path_of(fd, path);
}

/* Copies a file, and replaces the previous copy by renaming. If others write to the file meanwhile, the
 * copy may or may not contain that, which is allowed: it was not synced. */
static void keep(int fd) {
    char path[PATH_MAX], next[PATH_MAX + 16], kept[PATH_MAX + 16];
    if (!path_of(fd, path)) return;
    snprintf(next, sizeof next, "%s.synced.new", path);
    snprintf(kept, sizeof kept, "%s.synced", path);
    int from = open(path, O_RDONLY | O_CLOEXEC);
    int to = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t at = 0;
    if (from >= 0 && to >= 0)
        while (sendfile(to, from, &at, 1 << 30) > 0) {}
    if (from >= 0) close(from);
    if (to >= 0) close(to);
    rename(next, kept);
}

static int sync_by(long call, int fd) {
    if (fails(fd, 's')) {
        errno = EIO;
        return -1;
    }
    int done = syscall(call, fd);
    if (done == 0) keep(fd);
    return done;
}

int fsync(int fd) { return sync_by(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_by(SYS_fdatasync, fd); }

static ssize_t full(void) {
    errno = ENOSPC;
    return -1;
}

ssize_t write(int fd, const void *from, size_t count) {
    return fails(fd, 'w') ? full() : syscall(SYS_write, fd, from, count);
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t at) {
    return fails(fd, 'w') ? full() : syscall(SYS_pwrite64, fd, from, count, at);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off_t at) {
    return fails(fd, 'w') ? full() : syscall(SYS_pwrite64, fd, from, count, at);
}
