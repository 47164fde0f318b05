/*
 * Writing a bbolt file (bolt/bolt.h).
 */
#include "bolt/bolt.h"
#include "bolt/bolt_format.h"
#include "base/mem.h"
#include "base/vec.h"
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#define OUT_BYTES (256u * 1024) /* written at once */

/* A page being filled: its elements and their bytes grow apart from each other. */
struct page_builder {
    struct buf
        elements; /* struct bolt_leaf_element or bolt_branch_element; pos is set at the end */
    struct buf bytes;
    struct buf first_key;
    uint16_t count;
};

struct bucket_root {
    struct buf name;
    uint64_t root; /* 0: empty */
};

struct bolt_writer {
    int fd;
    uint64_t next_page;
    struct buf out; /* behind what is in the file */
    uint64_t file_bytes;
    VEC(struct bucket_root) buckets;
    bool in_bucket;
    struct buf last_key;
    struct page_builder levels[BOLT_DEPTH_MAX]; /* 0: the leaf */
    unsigned depth;                             /* levels in use */
};

static void builder_clear(struct page_builder *b)
{
    buf_clear(&b->elements);
    buf_clear(&b->bytes);
    buf_clear(&b->first_key);
    b->count = 0;
}

struct bolt_writer *bolt_writer_new(int fd)
{
    struct bolt_writer *w = mem_zalloc(sizeof *w);
    w->fd = fd;
    w->next_page = 2; /* behind the meta pages */
    buf_init(&w->out);
    memset(buf_reserve(&w->out, 2ul * BOLT_PAGE), 0, 2ul * BOLT_PAGE);
    w->out.len = 2ul * BOLT_PAGE;
    buf_init(&w->last_key);
    for (unsigned i = 0; i < BOLT_DEPTH_MAX; i++) {
        buf_init(&w->levels[i].elements);
        buf_init(&w->levels[i].bytes);
        buf_init(&w->levels[i].first_key);
    }
    return w;
}

void bolt_writer_free(struct bolt_writer *w)
{
    if (!w)
        return;
    for (unsigned i = 0; i < BOLT_DEPTH_MAX; i++) {
        buf_free(&w->levels[i].elements);
        buf_free(&w->levels[i].bytes);
        buf_free(&w->levels[i].first_key);
    }
    for (size_t i = 0; i < w->buckets.len; i++)
        buf_free(&w->buckets.items[i].name);
    vec_free(&w->buckets);
    buf_free(&w->last_key);
    buf_free(&w->out);
    mem_free(w);
}

uint64_t bolt_written(const struct bolt_writer *w)
{
    return w->file_bytes + w->out.len;
}

static int write_at(int fd, const char *p, size_t n, uint64_t offset, struct error *err)
{
    while (n > 0) {
        ssize_t done = pwrite(fd, p, n, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return error_errno(err, ERR_IO, done < 0 ? errno : ENOSPC, "write the snapshot file");
        p += done;
        n -= (size_t)done;
        offset += (uint64_t)done;
    }
    return 0;
}

static int flush(struct bolt_writer *w, struct error *err)
{
    int rc = write_at(w->fd, w->out.data, w->out.len, w->file_bytes, err);
    if (rc == 0)
        w->file_bytes += w->out.len;
    buf_clear(&w->out);
    return rc;
}

/* Append a page to the file: head, elements, bytes, padding. */
static int put_page(struct bolt_writer *w, uint16_t flags, uint16_t count, struct str elements,
                    struct str bytes, uint64_t *id, struct error *err)
{
    size_t used = sizeof(struct bolt_page) + elements.n + bytes.n;
    size_t pages = (used + BOLT_PAGE - 1) / BOLT_PAGE;
    struct bolt_page head = {w->next_page, flags, count, (uint32_t)(pages - 1)};
    *id = w->next_page;
    w->next_page += pages;
    buf_append(&w->out, &head, sizeof head);
    buf_append_str(&w->out, elements);
    buf_append_str(&w->out, bytes);
    size_t padding = pages * BOLT_PAGE - used;
    memset(buf_reserve(&w->out, padding + 1), 0, padding + 1);
    w->out.len += padding;
    return w->out.len >= OUT_BYTES ? flush(w, err) : 0;
}

/* ---- trees ---- */

static size_t element_size(unsigned level)
{
    return level == 0 ? sizeof(struct bolt_leaf_element) : sizeof(struct bolt_branch_element);
}

/* Elements hold the offset of their bytes among the bytes so far; on the page it counts from the element. */
static void settle_positions(struct page_builder *b, unsigned level)
{
    size_t size = element_size(level);
    for (size_t i = 0; i < b->count; i++) {
        char *e = b->elements.data + i * size + (level == 0 ? 4 : 0);
        uint32_t pos;
        memcpy(&pos, e, sizeof pos);
        pos += (uint32_t)(b->elements.len - i * size);
        memcpy(e, &pos, sizeof pos);
    }
}

static int add_child(struct bolt_writer *w, unsigned level, struct str key, uint64_t id,
                     struct error *err);

static int close_page(struct bolt_writer *w, unsigned level, uint64_t *id, struct error *err)
{
    struct page_builder *b = &w->levels[level];
    settle_positions(b, level);
    return put_page(w, level == 0 ? BOLT_LEAF : BOLT_BRANCH, b->count, buf_str(&b->elements),
                    buf_str(&b->bytes), id, err);
}

/* The page is full: write it, tell the level above. */
static int push_up(struct bolt_writer *w, unsigned level, struct error *err)
{
    uint64_t id;
    int rc = close_page(w, level, &id, err);
    if (rc == 0)
        rc = add_child(w, level + 1, buf_str(&w->levels[level].first_key), id, err);
    builder_clear(&w->levels[level]);
    return rc;
}

/* Make room for an element with `bytes` behind it. */
static int make_room(struct bolt_writer *w, unsigned level, size_t bytes, struct error *err)
{
    struct page_builder *b = &w->levels[level];
    size_t used = sizeof(struct bolt_page) + b->elements.len + b->bytes.len;
    /* However long the keys: a branch with one child would never come to an end. */
    if (b->count < (level == 0 ? 1 : 2) || used + element_size(level) + bytes <= BOLT_PAGE)
        return 0;
    return push_up(w, level, err);
}

static void begin_element(struct page_builder *b, struct str key)
{
    if (b->count++ == 0)
        buf_append_str(&b->first_key, key);
}

static int add_child(struct bolt_writer *w, unsigned level, struct str key, uint64_t id,
                     struct error *err)
{
    if (level >= BOLT_DEPTH_MAX)
        return error_set(err, ERR_LIMIT, "the snapshot's tree is too deep");
    w->depth = MAX(w->depth, level + 1);
    int rc = make_room(w, level, key.n, err);
    if (rc < 0)
        return rc;
    struct page_builder *b = &w->levels[level];
    struct bolt_branch_element e = {(uint32_t)b->bytes.len, (uint32_t)key.n, id};
    begin_element(b, key);
    buf_append(&b->elements, &e, sizeof e);
    buf_append_str(&b->bytes, key);
    return 0;
}

static int add_entry(struct bolt_writer *w, uint32_t flags, struct str key, struct str value,
                     struct error *err)
{
    assert(key.n > 0 && str_cmp(buf_str(&w->last_key), key) < 0);
    if (key.n > BOLT_KEY_MAX || value.n > BOLT_VALUE_MAX)
        return error_set(err, ERR_LIMIT, "an entry is too large for a snapshot file");
    int rc = make_room(w, 0, key.n + value.n, err);
    if (rc < 0)
        return rc;
    struct page_builder *b = &w->levels[0];
    struct bolt_leaf_element e = {flags, (uint32_t)b->bytes.len, (uint32_t)key.n,
                                  (uint32_t)value.n};
    begin_element(b, key);
    buf_append(&b->elements, &e, sizeof e);
    buf_append_str(&b->bytes, key);
    buf_append_str(&b->bytes, value);
    buf_clear(&w->last_key);
    buf_append_str(&w->last_key, key);
    return 0;
}

/* Close the tree begun; its root page. */
static int end_tree(struct bolt_writer *w, uint64_t *root, struct error *err)
{
    int rc = 0;
    for (unsigned level = 0; rc == 0 && level + 1 < w->depth; level++)
        if (w->levels[level].count)
            rc = push_up(w, level, err); /* may add a level */
    /* A branch with one child is as good as that child, but bbolt has no objection to it either. */
    if (rc == 0)
        rc = close_page(w, w->depth - 1, root, err);
    for (unsigned level = 0; level < BOLT_DEPTH_MAX; level++)
        builder_clear(&w->levels[level]);
    buf_clear(&w->last_key);
    w->depth = 1;
    return rc;
}

int bolt_bucket_begin(struct bolt_writer *w, struct str name)
{
    struct bucket_root b = {0};
    assert(!w->in_bucket && w->buckets.len < BOLT_BUCKETS_MAX);
    buf_init(&b.name);
    buf_append_str(&b.name, name);
    vec_push(&w->buckets, b);
    w->in_bucket = true;
    w->depth = 1;
    return 0;
}

int bolt_put(struct bolt_writer *w, struct str key, struct str value, struct error *err)
{
    assert(w->in_bucket);
    return add_entry(w, 0, key, value, err);
}

int bolt_bucket_end(struct bolt_writer *w, struct error *err)
{
    struct bucket_root *b = &w->buckets.items[w->buckets.len - 1];
    assert(w->in_bucket);
    w->in_bucket = false;
    if (w->depth == 1 && w->levels[0].count == 0)
        return 0; /* empty: inline, see put_root */
    return end_tree(w, &b->root, err);
}

/* ---- the end ---- */

/* The root tree: an entry for each bucket, sorted. */
static int put_root(struct bolt_writer *w, uint64_t *root, struct error *err)
{
    w->depth = 1;
    for (size_t i = 1; i < w->buckets.len; i++)
        for (size_t j = i; j > 0 && str_cmp(buf_str(&w->buckets.items[j - 1].name),
                                            buf_str(&w->buckets.items[j].name)) > 0;
             j--) {
            struct bucket_root t = w->buckets.items[j];
            w->buckets.items[j] = w->buckets.items[j - 1];
            w->buckets.items[j - 1] = t;
        }
    for (size_t i = 0; i < w->buckets.len; i++) {
        struct {
            struct bolt_bucket bucket;
            struct bolt_page empty;
        } value = {{w->buckets.items[i].root, 0}, {0, BOLT_LEAF, 0, 0}};
        size_t n = value.bucket.root ? sizeof value.bucket : sizeof value;
        int rc = add_entry(w, BOLT_BUCKET_ENTRY, buf_str(&w->buckets.items[i].name),
                           str_make(&value, n), err);
        if (rc < 0)
            return rc;
    }
    return end_tree(w, root, err);
}

int bolt_finish(struct bolt_writer *w, uint64_t *size, struct error *err)
{
    uint64_t root, freelist;
    assert(!w->in_bucket);
    int rc = put_root(w, &root, err);
    if (rc == 0)
        rc = put_page(w, BOLT_FREELIST, 0, STR_NONE, STR_NONE, &freelist, err);
    if (rc == 0)
        rc = flush(w, err);
    for (uint64_t id = 0; id < 2 && rc == 0; id++) {
        struct {
            struct bolt_page page;
            struct bolt_meta meta;
        } m = {{id, BOLT_META, 0, 0},
               {.magic = BOLT_MAGIC,
                .version = BOLT_VERSION,
                .page_size = BOLT_PAGE,
                .root = {root, 0},
                .freelist = freelist,
                .pages = w->next_page,
                .txid = id}};
        m.meta.checksum = bolt_checksum(&m.meta);
        rc = write_at(w->fd, (const char *)&m, sizeof m, id * BOLT_PAGE, err);
    }
    *size = w->file_bytes;
    assert(rc < 0 || *size == w->next_page * BOLT_PAGE);
    return rc;
}
