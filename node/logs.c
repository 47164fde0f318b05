/*
 * Container logs (see logs.h).
 */
#include "node/logs.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536
#define LINE_MAX_BYTES (1u << 20) /* a longer line without an end is passed over */

bool log_parse(struct str line, struct log_record *out)
{
    struct str stream, tag;
    int64_t seconds;
    int32_t nanos;

    *out = (struct log_record){0};
    if (!str_split(&line, ' ', &out->stamp) || !str_split(&line, ' ', &stream) ||
        !str_split(&line, ' ', &tag))
        return false;
    if (!clock_parse_rfc3339(out->stamp.p, out->stamp.n, &seconds, &nanos) || seconds < 0 ||
        seconds > LOG_TIME_MAX_S)
        return false;
    if (!str_eqz(stream, "stdout") && !str_eqz(stream, "stderr"))
        return false;
    if (tag.n < 1 || (tag.p[0] != 'F' && tag.p[0] != 'P'))
        return false;
    out->time_ns = seconds * (int64_t)NS_PER_S + nanos;
    out->is_stderr = str_eqz(stream, "stderr");
    out->partial = tag.p[0] == 'P';
    out->text = line.p ? line : STR_NONE;
    return true;
}

/* --------------------------------------------------------------------------------- reader --- */

struct log_reader {
    char *path;
    struct log_options o;
    int fd;
    ino_t inode;
    struct buf pending; /* read but not yet a whole line */
    bool overlong;      /* inside a line that is passed over */
    bool mid_line;      /* the last record was partial: no time stamp before the next */
    int64_t written;
};

/* Where the last n lines begin: counts line ends backwards. A partial record is a line of the file,
 * not of the container; the difference is at most the number of partial records among them, which
 * kubelet accepts, too. */
static off_t tail_offset(int fd, int64_t lines)
{
    char chunk[4096];
    struct stat st;
    off_t end;
    int64_t seen = 0;

    if (fstat(fd, &st) < 0)
        return 0;
    end = st.st_size;
    while (end > 0) {
        size_t want = (size_t)MIN(end, (off_t)sizeof chunk);
        ssize_t n = pread(fd, chunk, want, end - (off_t)want);

        if (n != (ssize_t)want)
            return 0;
        for (size_t i = want; i-- > 0;) {
            off_t at = end - (off_t)want + (off_t)i;
            /* The end of the last line does not begin another one. */
            if (chunk[i] == '\n' && at != st.st_size - 1 && ++seen == lines)
                return at + 1;
        }
        end -= (off_t)want;
    }
    return 0;
}

/* A log is a regular file that the runtime made. Whoever else may write there (a pod with the directory as a
 * hostPath) shall neither show another file by a link nor have the loop wait for a FIFO. */
static int open_log(const char *path, struct stat *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

struct log_reader *log_reader_open(const char *path, const struct log_options *o, struct error *err)
{
    struct log_reader *r;
    struct stat st;
    int fd = open_log(path, &st);

    if (fd < 0) {
        error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open %s", path);
        return NULL;
    }
    r = mem_zalloc(sizeof *r);
    r->path = mem_strdup(path);
    r->o = *o;
    r->fd = fd;
    r->inode = st.st_ino;
    buf_init(&r->pending);
    if (o->tail_lines == 0)
        lseek(fd, 0, SEEK_END);
    else if (o->tail_lines > 0)
        lseek(fd, tail_offset(fd, o->tail_lines), SEEK_SET);
    return r;
}

void log_reader_free(struct log_reader *r)
{
    if (!r)
        return;
    close(r->fd);
    buf_free(&r->pending);
    mem_free(r->path);
    mem_free(r);
}

static void put_limited(struct log_reader *r, struct str s, struct buf *out)
{
    if (r->o.limit_bytes >= 0)
        s = str_slice(s, 0, (size_t)MAX(MIN((int64_t)s.n, r->o.limit_bytes - r->written), 0));
    buf_append_str(out, s);
    r->written += (int64_t)s.n;
}

static void put_record(struct log_reader *r, struct str line, struct buf *out)
{
    struct log_record rec;

    if (!log_parse(line, &rec) || rec.time_ns < r->o.since_ns ||
        (r->o.stream == 1 && rec.is_stderr) || (r->o.stream == 2 && !rec.is_stderr))
        return;
    if (r->o.timestamps && !r->mid_line) {
        put_limited(r, rec.stamp, out);
        put_limited(r, STR(" "), out);
    }
    put_limited(r, rec.text, out);
    if (!rec.partial)
        put_limited(r, STR("\n"), out);
    r->mid_line = rec.partial;
}

/* Whole lines out of what was read. */
static void take_lines(struct log_reader *r, struct buf *out)
{
    struct str rest = buf_str(&r->pending);
    size_t used = 0;

    for (;;) {
        ptrdiff_t end = str_find_char(rest, '\n');
        if (end < 0)
            break;
        if (!r->overlong)
            put_record(r, str_slice(rest, 0, (size_t)end), out);
        r->overlong = false;
        used += (size_t)end + 1;
        rest = str_slice(rest, (size_t)end + 1, rest.n);
    }
    buf_consume(&r->pending, used);
    if (r->pending.len > LINE_MAX_BYTES) {
        r->overlong = true;
        buf_clear(&r->pending);
    }
}

/* At the end of the file: has another one taken its place? */
static bool switch_file(struct log_reader *r)
{
    struct stat st;
    int fd;

    if (lstat(r->path, &st) < 0 || st.st_ino == r->inode)
        return false;
    fd = open_log(r->path, &st);
    if (fd < 0)
        return false;
    close(r->fd);
    r->fd = fd;
    r->inode = st.st_ino;
    buf_clear(&r->pending);
    return true;
}

int log_reader_read(struct log_reader *r, size_t max, struct buf *out, struct error *err)
{
    size_t began = out->len;

    while (out->len - began < max) {
        char *room = buf_reserve(&r->pending, CHUNK);
        ssize_t n = read(r->fd, room, CHUNK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ERR_IO, errno, "read %s", r->path);
        if (n == 0 && !switch_file(r))
            return 0;
        r->pending.len += (size_t)n;
        take_lines(r, out);
        if (r->o.limit_bytes >= 0 && r->written >= r->o.limit_bytes)
            return 2;
    }
    return 1;
}

const char *logs_tail(const char *path, size_t lines, size_t bytes, struct arena *a)
{
    struct log_options o = {.tail_lines = (int64_t)lines, .limit_bytes = -1};
    struct log_reader *r = log_reader_open(path, &o, NULL);
    struct buf out;
    const char *text = "";

    if (!r)
        return text;
    buf_init(&out);
    while (log_reader_read(r, CHUNK, &out, NULL) == 1)
        ;
    if (out.len > bytes)
        buf_consume(&out, out.len - bytes);
    if (out.len)
        text = arena_strndup(a, out.data, out.len);
    buf_free(&out);
    log_reader_free(r);
    return text;
}

/* ------------------------------------------------------------------------------- rotation --- */

/* Names of the rotated predecessors of a log, "0.log.20261121-081549", in order of age. */
typedef VEC(char *) name_vec;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void rotated(const char *path, name_vec *out)
{
    const char *slash = strrchr(path, '/');
    char *dir = mem_strndup(path, slash ? (size_t)(slash - path) : 0);
    const char *base = slash ? slash + 1 : path;
    size_t base_len = strlen(base);
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL) {
        if (strncmp(e->d_name, base, base_len) == 0 && e->d_name[base_len] == '.')
            vec_push(out, mem_printf("%s/%s", dir, e->d_name));
    }
    if (d)
        closedir(d);
    mem_free(dir);
    if (out->len)
        qsort(out->items, out->len, sizeof *out->items, by_name);
}

bool logs_rotate(const char *path, int64_t bytes_max, int64_t files_max)
{
    name_vec old = {0};
    struct timespec now;
    struct tm tm;
    char stamp[64], *to;
    struct stat st;
    bool renamed;
    size_t n;

    if (bytes_max <= 0 || lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= bytes_max)
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    n = strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
    snprintf(stamp + n, sizeof stamp - n, ".%03ld",
             now.tv_nsec / 1000000); /* two within a second */
    to = mem_printf("%s.%s", path, stamp);
    renamed = rename(path, to) == 0;
    mem_free(to);
    rotated(path, &old);
    for (size_t i = 0; i < old.len; i++) {
        if ((int64_t)(old.len - i) > MAX(files_max - 1, 0))
            unlink(old.items[i]);
        mem_free(old.items[i]);
    }
    vec_free(&old);
    return renamed;
}

void logs_remove(const char *path)
{
    name_vec old = {0};

    rotated(path, &old);
    for (size_t i = 0; i < old.len; i++) {
        unlink(old.items[i]);
        mem_free(old.items[i]);
    }
    vec_free(&old);
    unlink(path);
}
