/*
 * Reading a bbolt file (bolt/bolt.h). Every offset, count and page number is checked against the bytes at
 * hand before use; a page may be visited once per page that the file has, so that no cycle lasts.
 */
#include "bolt/bolt.h"
#include "bolt/bolt_format.h"
#include "base/mem.h"

#define PAGE_MIN 512u
#define PAGE_MAX 65536u

static int corrupt(struct error *err, const char *what)
{
    return error_set(err, ERR_CORRUPT, "bbolt file: %s", what);
}

static bool meta_read(struct str bytes, uint64_t at, struct bolt_meta *m)
{
    if (at + sizeof(struct bolt_page) + sizeof *m > bytes.n)
        return false;
    memcpy(m, bytes.p + at + sizeof(struct bolt_page), sizeof *m);
    return m->magic == BOLT_MAGIC && m->version == BOLT_VERSION && m->page_size >= PAGE_MIN &&
           m->page_size <= PAGE_MAX && (m->page_size & (m->page_size - 1)) == 0 &&
           m->checksum == bolt_checksum(m);
}

int bolt_open(struct str bytes, struct bolt *out, struct error *err)
{
    struct bolt_meta a, b, best = {0};
    bool found = meta_read(bytes, 0, &a);
    if (found)
        best = a;
    /* The second one lies a page further: where that is, the first one may not tell. */
    for (uint32_t size = PAGE_MIN; size <= PAGE_MAX; size *= 2)
        if (meta_read(bytes, size, &b) && b.page_size == size &&
            (!found || (best.page_size == size && b.txid > best.txid))) {
            best = b;
            found = true;
        }
    if (!found)
        return corrupt(err, "no valid meta page: not a snapshot of etcd, or damaged");
    if (best.pages < 2 || best.pages > bytes.n / best.page_size)
        return corrupt(err, "it is cut short");
    *out = (struct bolt){.bytes = str_make(bytes.p, best.pages * best.page_size),
                         .page_size = best.page_size,
                         .root = best.root.root,
                         .pages = best.pages,
                         .txid = best.txid};
    return 0;
}

/* A walk over one tree. `visit` gets each entry. */
struct walk {
    const struct bolt *b;
    uint64_t visits_left;
    struct str last; /* the key before */
    bool any;
    int (*visit)(void *ctx, uint32_t flags, struct str key, struct str value, struct error *err);
    void *ctx;
};

/* Bytes of an element, relative to its own place. */
static bool slice(struct str page, size_t element_at, uint64_t pos, uint64_t n, struct str *out)
{
    if (pos > page.n - element_at || n > page.n - element_at - pos)
        return false;
    *out = str_make(page.p + element_at + pos, n);
    return true;
}

static int in_order(struct walk *w, struct str key, struct error *err)
{
    if (w->any && str_cmp(w->last, key) >= 0)
        return corrupt(err, "keys out of order");
    w->last = key;
    w->any = true;
    return 0;
}

static int walk_leaf(struct walk *w, struct str page, unsigned count, struct error *err)
{
    int rc = 0;
    for (unsigned i = 0; i < count && rc == 0; i++) {
        struct bolt_leaf_element e;
        size_t at = sizeof(struct bolt_page) + i * sizeof e;
        struct str key, value;
        memcpy(&e, page.p + at, sizeof e);
        if (!slice(page, at, e.pos, e.key_size, &key) ||
            !slice(page, at, (uint64_t)e.pos + e.key_size, e.value_size, &value))
            return corrupt(err, "an entry leaves its page");
        rc = in_order(w, key, err);
        if (rc == 0)
            rc = w->visit(w->ctx, e.flags, key, value, err);
    }
    return rc;
}

static int walk_page(struct walk *w, uint64_t id, unsigned depth, struct error *err);

static int walk_branch(struct walk *w, struct str page, unsigned count, unsigned depth,
                       struct error *err)
{
    int rc = count ? 0 : corrupt(err, "a branch without children");
    for (unsigned i = 0; i < count && rc == 0; i++) {
        struct bolt_branch_element e;
        size_t at = sizeof(struct bolt_page) + i * sizeof e;
        struct str key;
        memcpy(&e, page.p + at, sizeof e);
        if (!slice(page, at, e.pos, e.key_size, &key))
            return corrupt(err, "a branch's key leaves its page");
        rc = walk_page(w, e.page, depth + 1, err);
    }
    return rc;
}

static int walk_bytes(struct walk *w, struct str page, unsigned depth, struct error *err)
{
    struct bolt_page head;
    memcpy(&head, page.p, sizeof head);
    /* Both kinds of elements have 16 bytes. */
    if (head.count > (page.n - sizeof head) / sizeof(struct bolt_leaf_element))
        return corrupt(err, "a page with too many entries");
    if (head.flags == BOLT_LEAF)
        return walk_leaf(w, page, head.count, err);
    if (head.flags == BOLT_BRANCH)
        return walk_branch(w, page, head.count, depth, err);
    return corrupt(err, "a page of a wrong kind");
}

static int walk_page(struct walk *w, uint64_t id, unsigned depth, struct error *err)
{
    const struct bolt *b = w->b;
    struct bolt_page head;
    if (id < 2 || id >= b->pages)
        return corrupt(err, "a page outside of it");
    if (depth > BOLT_DEPTH_MAX || w->visits_left-- == 0)
        return corrupt(err, "its tree has no end");
    memcpy(&head, b->bytes.p + id * b->page_size, sizeof head);
    if (head.id != id || head.overflow >= b->pages - id)
        return corrupt(err, "a page's head is wrong");
    return walk_bytes(
        w, str_make(b->bytes.p + id * b->page_size, (head.overflow + 1ull) * b->page_size), depth,
        err);
}

/* ---- buckets ---- */

struct find {
    struct str name; /* p NULL: tell all */
    bolt_bucket_fn *fn;
    void *ctx;
    struct str value; /* of the bucket found */
};

static int on_root_entry(void *ctx, uint32_t flags, struct str key, struct str value,
                         struct error *err)
{
    struct find *f = ctx;
    if (flags != BOLT_BUCKET_ENTRY)
        return corrupt(err, "an entry outside of the buckets");
    if (f->fn)
        return f->fn(f->ctx, key, err);
    if (str_eq(key, f->name))
        f->value = value;
    return 0;
}

static int each_root(const struct bolt *b, struct find *f, struct error *err)
{
    struct walk w = {.b = b, .visits_left = b->pages, .visit = on_root_entry, .ctx = f};
    return walk_page(&w, b->root, 0, err);
}

int bolt_each_bucket(const struct bolt *b, bolt_bucket_fn *fn, void *ctx, struct error *err)
{
    return each_root(b, &(struct find){.fn = fn, .ctx = ctx}, err);
}

struct entries {
    bolt_entry_fn *fn;
    void *ctx;
};

static int on_entry(void *ctx, uint32_t flags, struct str key, struct str value, struct error *err)
{
    struct entries *e = ctx;
    return flags & BOLT_BUCKET_ENTRY ? 0 : e->fn(e->ctx, key, value, err);
}

int bolt_each(const struct bolt *b, struct str bucket, bolt_entry_fn *fn, void *ctx,
              struct error *err)
{
    struct find f = {.name = bucket};
    struct entries e = {fn, ctx};
    struct walk w = {.b = b, .visits_left = b->pages, .visit = on_entry, .ctx = &e};
    struct bolt_bucket head;
    int rc = each_root(b, &f, err);
    if (rc < 0)
        return rc;
    if (!f.value.p)
        return error_set(err, ERR_NOT_FOUND, "bbolt file: no bucket %.*s", STR_ARG(bucket));
    if (f.value.n < sizeof head)
        return corrupt(err, "a bucket's head is cut");
    memcpy(&head, f.value.p, sizeof head);
    if (head.root)
        return walk_page(&w, head.root, 0, err);
    struct str page = str_slice(f.value, sizeof head, f.value.n);
    if (page.n < sizeof(struct bolt_page))
        return corrupt(err, "an inline bucket is cut");
    struct bolt_page inline_head;
    memcpy(&inline_head, page.p, sizeof inline_head);
    if (inline_head.flags != BOLT_LEAF)
        return corrupt(err, "an inline bucket is not a leaf");
    return walk_bytes(&w, page, 0, err);
}
