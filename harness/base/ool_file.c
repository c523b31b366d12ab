#include "ool_file.h"

#include "ool_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static enum ool_status file_error(struct ool_error *err, const char *what, const char *path)
{
    return ool_error_set(err, OOL_E_FILE, "cannot %s %s: %s", what, path, strerror(errno));
}

enum ool_status ool_file_read(const char *path, size_t limit, char **data, size_t *length,
                              struct ool_error *err)
{
    enum ool_status status = OOL_OK;
    char *buffer = NULL;
    size_t used = 0, capacity = 0;
    struct stat info;
    gzFile file;
    int got;

    errno = 0;
    if (stat(path, &info) != 0)
        return file_error(err, "read", path);
    if (S_ISDIR(info.st_mode))
        return ool_error_set(err, OOL_E_FILE, "cannot read %s: it is a folder", path);
    file = gzopen(path, "rb");
    if (file == NULL)
        return file_error(err, "read", path);
    do {
        size_t wanted = capacity == 0 ? 65536 : capacity * 2;
        if (used + 1 >= capacity) {
            char *bigger = ool_realloc(buffer, wanted);
            if (bigger == NULL) {
                status = ool_error_set(err, OOL_E_HOST_OOM, "no memory to read %s", path);
                goto out;
            }
            buffer = bigger;
            capacity = wanted;
        }
        got = gzread(file, buffer + used,
                     (unsigned)(capacity - used - 1 > 1 << 30 ? 1 << 30 : capacity - used - 1));
        if (got < 0) {
            status = ool_error_set(err, OOL_E_FILE,
                                   "cannot read %s: damaged gzip data or a read error", path);
            goto out;
        }
        used += (size_t)got;
        if (used > limit) {
            status = ool_error_set(err, OOL_E_LIMIT, "%s is larger than the limit of %zu bytes",
                                   path, limit);
            goto out;
        }
    } while (got > 0);
    buffer[used] = '\0';
    *data = buffer;
    *length = used;
    buffer = NULL;
out:
    gzclose(file);
    ool_free(buffer);
    return status;
}

static int write_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        length -= (size_t)n;
    }
    return 0;
}

enum ool_status ool_file_write(const char *path, const char *data, size_t length,
                               struct ool_error *err)
{
    enum ool_status status = OOL_OK;
    size_t room = strlen(path) + 16;
    char *temporary;
    int fd;

    if (strcmp(path, "-") == 0)
        return write_all(STDOUT_FILENO, data, length) == 0
                   ? OOL_OK
                   : file_error(err, "write", "standard output");
    temporary = ool_malloc(room);
    if (temporary == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory to write %s", path);
    snprintf(temporary, room, "%s.XXXXXX", path);
    fd = mkstemp(temporary);
    if (fd < 0) {
        status = file_error(err, "write", path);
        goto out;
    }
    if (fchmod(fd, 0644) != 0 || write_all(fd, data, length) != 0 || fsync(fd) != 0)
        status = file_error(err, "write", path);
    if (close(fd) != 0 && status == OOL_OK)
        status = file_error(err, "write", path);
    if (status == OOL_OK && rename(temporary, path) != 0)
        status = file_error(err, "write", path);
    if (status != OOL_OK)
        unlink(temporary);
out:
    ool_free(temporary);
    return status;
}
