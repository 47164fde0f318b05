/*
 * The journal's files as a disk may give them back: records are written as the input says, then bytes are changed,
 * cut off or put in place of others. Opening must end, and give what was written up to some record, or refuse.
 *
 *     input:  number of records, number of changes, changes (what, where: 2, value), then the records' data
 */
#include "base/log.h"
#include "raft/journal.h"
#include "tests/fuzz/fuzz.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT 16384u
#define RECORDS_MAX 16

static char dir[64];

int LLVMFuzzerInitialize(int *argc, char ***argv);

static void remove_dir(void)
{
    rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    log_set_level(LOG_ERROR);
    snprintf(dir, sizeof dir, "%s/fuzz_journal.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    require(mkdtemp(dir) != NULL);
    atexit(remove_dir);
    return 0;
}

struct wanted {
    size_t len, seen;
    struct str data[RECORDS_MAX]; /* of its entry */
};

static int replay(void *ctx, const struct journal_record *record, struct error *err)
{
    struct wanted *w = ctx;
    (void)err;
    require(w->seen < w->len);
    require(record->entries_len == 1 && record->hard.term == w->seen + 1);
    require(str_eq(blob_str(record->entries[0].data), w->data[w->seen]));
    w->seen++;
    return 0;
}

static int remove_one(void *ctx, const char *name)
{
    char path[512];
    (void)ctx;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
    return 0;
}

static void write_all(struct wanted *w, struct str data, size_t records)
{
    const struct journal_options o = {.host = host_posix(), .dir = dir, .segment_bytes = SEGMENT};
    struct journal *j;
    struct error err;
    require(journal_open(&o, (struct journal_pos){0}, NULL, NULL, &j, NULL, &err) == 0);
    for (size_t i = 0; i < records; i++) {
        size_t from = data.n * i / records, to = data.n * (i + 1) / records;
        struct blob *b = blob_new(RAFT_PROPOSAL_HEADER + to - from);
        memset(b->data, 7, RAFT_PROPOSAL_HEADER);
        memcpy(b->data + RAFT_PROPOSAL_HEADER, data.p + from, to - from);
        w->data[w->len++] = str_make(mem_dup(b->data, b->len), b->len);
        struct raft_entry e = {.index = i + 1, .term = 1, .kind = RAFT_ENTRY_DATA, .data = b};
        journal_append(j, &(struct raft_hard_state){.term = i + 1}, &e, 1);
        require(journal_flush(j, &err) == 0);
        blob_unref(b);
    }
    journal_close(j);
}

struct change {
    uint8_t what, where[2], value;
};

/* The first segment whose number fits. */
static int damage_one(void *ctx, const char *name)
{
    const struct change *c = ctx;
    char path[512], old[64];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t at = c->where[0] << 8 | c->where[1];
    if (fd < 0)
        return 0;
    ssize_t n = pread(fd, old, sizeof old, at);
    if (c->what % 4 == 0 && n > 0) {
        old[0] = (char)(old[0] ^ c->value);
        require(pwrite(fd, old, 1, at) == 1);
    } else if (c->what % 4 == 1 && fstat(fd, &st) == 0 && at < st.st_size) {
        require(ftruncate(fd, at) == 0);
    } else if (c->what % 4 == 2 && n > 0) { /* bytes of elsewhere */
        require(pwrite(fd, old, (size_t)n, (at + c->value * 8) % SEGMENT) == n);
    } else if (c->what % 4 == 3 && c->value == 0xff) {
        unlink(path);
    }
    close(fd);
    return c->what & 0x80;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 + 3 * sizeof(struct change))
        return 0;
    struct host *h = host_posix();
    size_t records = 1 + data[0] % RECORDS_MAX, changes = data[1] % 4;
    struct change damage[3];
    struct wanted w = {0};
    memcpy(damage, data + 2, sizeof damage);
    struct str in = fuzz_input(data + 2 + sizeof damage, size - 2 - sizeof damage);
    write_all(&w, in, records);
    for (size_t i = 0; i < changes; i++)
        h->ops->list_dir(h, dir, damage_one, &damage[i]);
    const struct journal_options o = {.host = h, .dir = dir, .segment_bytes = SEGMENT};
    struct journal *j = NULL;
    struct error err = {0};
    int rc = journal_open(&o, (struct journal_pos){0}, replay, &w, &j, NULL, &err);
    require(rc == 0 || err.message[0] != '\0');
    require(changes || (rc == 0 && w.seen == records));
    if (rc == 0)
        journal_close(j);
    h->ops->list_dir(h, dir, remove_one, NULL);
    for (size_t i = 0; i < w.len; i++)
        mem_free((void *)w.data[i].p);
    fuzz_input_free(in);
    return 0;
}
