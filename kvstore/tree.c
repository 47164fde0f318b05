/*
 * Long keys as a trie of chunks in one LMDB tree (kvstore/tree.h).
 */
#include "kvstore/tree.h"
#include "base/mem.h"
#include "raft/log_touch.h"
#include "raft/sealed.h"
#include <assert.h>

enum { NODE_ROOT = 0, NODE_OTHER = 1, POINTER_MARK = 1 };

_Static_assert(1 + 8 + TREE_CHUNK + 1 <= TREE_KEY_MAX, "a pointer's key fits into LMDB");

struct raw_key {
    size_t n;
    char p[TREE_KEY_MAX + 1];
};

static void put_be64(char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (char)(v >> (56 - 8 * i));
}

static uint64_t get_be64(const char *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

static size_t node_prefix(char *p, uint64_t node)
{
    if (node == 0) {
        p[0] = NODE_ROOT;
        return 1;
    }
    p[0] = NODE_OTHER;
    put_be64(p + 1, node);
    return 9;
}

/* LMDB's key for what is left of a key in `node`: the record if it ends here, else the pointer. */
static MDB_val raw_make(struct raw_key *k, uint64_t node, struct str rest)
{
    k->n = node_prefix(k->p, node);
    size_t n = MIN(rest.n, TREE_CHUNK);
    if (n)
        memcpy(k->p + k->n, rest.p, n);
    k->n += n;
    if (rest.n > TREE_CHUNK)
        k->p[k->n++] = POINTER_MARK;
    return (MDB_val){k->n, k->p};
}

/* The node that a pointer leads to. */
static int pointer_open(const MDB_val *key, const MDB_val *value, uint64_t *node)
{
    struct str id;
    int rc = sealed_open(key, value, &id);
    if (rc == 0 && id.n != 8)
        rc = MDB_CORRUPTED;
    if (rc == 0)
        *node = get_be64(id.p);
    return rc;
}

int tree_get(MDB_txn *txn, MDB_dbi dbi, struct str key, MDB_val *value)
{
    uint64_t node = 0;
    for (;;) {
        struct raw_key k;
        MDB_val raw = raw_make(&k, node, key);
        int rc = mdb_get(txn, dbi, &raw, value);
        if (rc || key.n <= TREE_CHUNK)
            return rc;
        if ((rc = pointer_open(&raw, value, &node)) != 0)
            return rc;
        key = str_slice(key, TREE_CHUNK, key.n);
    }
}

int tree_reserve(MDB_txn *txn, MDB_dbi dbi, MDB_cursor *c, struct str key, size_t size,
                 void **place, uint64_t *next_node)
{
    uint64_t node = 0;
    struct raw_key k;
    MDB_val raw, value;
    while (key.n > TREE_CHUNK) {
        raw = raw_make(&k, node, key);
        int rc = mdb_get(txn, dbi, &raw, &value);
        if (rc == 0) {
            rc = pointer_open(&raw, &value, &node);
        } else if (rc == MDB_NOTFOUND) {
            char id[8];
            node = (*next_node)++;
            put_be64(id, node);
            rc = sealed_put(txn, dbi, str_make(raw.mv_data, raw.mv_size), str_make(id, sizeof id));
        }
        if (rc)
            return rc;
        key = str_slice(key, TREE_CHUNK, key.n);
    }
    raw = raw_make(&k, node, key);
    value = (MDB_val){size, NULL};
    logdb_touch(txn, dbi, &raw);
    int rc = mdb_cursor_put(c, &raw, &value, MDB_RESERVE);
    *place = value.mv_data;
    return rc;
}

/* Does `node` hold nothing? */
static int node_is_empty(MDB_txn *txn, MDB_dbi dbi, uint64_t node, bool *empty)
{
    MDB_cursor *c;
    struct raw_key k;
    MDB_val raw, value;
    int rc = mdb_cursor_open(txn, dbi, &c);
    if (rc)
        return rc;
    k.n = node_prefix(k.p, node);
    raw = (MDB_val){k.n, k.p};
    rc = mdb_cursor_get(c, &raw, &value, MDB_SET_RANGE);
    *empty = rc == MDB_NOTFOUND ||
             (rc == 0 && (raw.mv_size < k.n || memcmp(raw.mv_data, k.p, k.n) != 0));
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int tree_delete(MDB_txn *txn, MDB_dbi dbi, struct str key)
{
    struct raw_key k;
    MDB_val raw, value;
    if (key.n <= TREE_CHUNK) {
        raw = raw_make(&k, 0, key);
        logdb_touch(txn, dbi, &raw);
        return mdb_del(txn, dbi, &raw, NULL);
    }
    /* Down, remembering the nodes; then up, as long as they are empty. */
    size_t levels = (key.n - 1) / TREE_CHUNK; /* pointers followed */
    uint64_t *nodes = mem_alloc((levels + 1) * sizeof *nodes);
    int rc = 0;
    nodes[0] = 0;
    for (size_t i = 0; i < levels && rc == 0; i++) {
        raw = raw_make(&k, nodes[i], str_slice(key, i * TREE_CHUNK, key.n));
        rc = mdb_get(txn, dbi, &raw, &value);
        if (rc == 0)
            rc = pointer_open(&raw, &value, &nodes[i + 1]);
    }
    if (rc == 0) {
        raw = raw_make(&k, nodes[levels], str_slice(key, levels * TREE_CHUNK, key.n));
        logdb_touch(txn, dbi, &raw);
        rc = mdb_del(txn, dbi, &raw, NULL);
    }
    for (size_t i = levels; i > 0 && rc == 0; i--) {
        bool empty = false;
        rc = node_is_empty(txn, dbi, nodes[i], &empty);
        if (rc || !empty)
            break;
        raw = raw_make(&k, nodes[i - 1], str_slice(key, (i - 1) * TREE_CHUNK, key.n));
        logdb_touch(txn, dbi, &raw);
        rc = mdb_del(txn, dbi, &raw, NULL);
    }
    mem_free(nodes);
    return rc;
}

void tree_iter_init(struct tree_iter *it, MDB_cursor *cursor)
{
    *it = (struct tree_iter){.cursor = cursor};
    buf_init(&it->prefix);
    buf_init(&it->assembled);
}

void tree_iter_free(struct tree_iter *it)
{
    buf_free(&it->prefix);
    buf_free(&it->assembled);
    mem_free(it->levels);
}

static uint64_t current_node(const struct tree_iter *it)
{
    return it->depth ? it->levels[it->depth - 1].node : 0;
}

/* Enter the node behind full chunk `chunk`. */
static void descend(struct tree_iter *it, uint64_t node, struct str chunk)
{
    if (it->depth == it->cap) {
        it->cap = it->cap ? 2 * it->cap : 8;
        it->levels = mem_realloc_array(it->levels, it->cap, sizeof *it->levels);
    }
    it->levels[it->depth++] = (struct tree_level){node, it->prefix.len};
    buf_append_str(&it->prefix, chunk);
}

/* Leave the node; the cursor goes behind the pointer that led into it. */
static int ascend(struct tree_iter *it)
{
    size_t from = it->levels[--it->depth].prefix;
    struct raw_key k;
    k.n = node_prefix(k.p, current_node(it));
    memcpy(k.p + k.n, it->prefix.data + from, TREE_CHUNK);
    k.n += TREE_CHUNK;
    k.p[k.n++] = POINTER_MARK;
    k.p[k.n] = 0; /* the smallest key behind it */
    it->prefix.len = from;
    it->raw = (MDB_val){k.n + 1, k.p};
    return mdb_cursor_get(it->cursor, &it->raw, &it->value, MDB_SET_RANGE);
}

/* The cursor stands somewhere (rc of the move); go on until it stands on a record of the walk. */
static int settle(struct tree_iter *it, int rc)
{
    for (;;) {
        char head[9];
        size_t n = node_prefix(head, current_node(it));
        bool inside = rc == 0 && it->raw.mv_size >= n && memcmp(it->raw.mv_data, head, n) == 0;
        if (!inside) {
            if ((rc && rc != MDB_NOTFOUND) || it->depth == 0)
                return rc ? rc : MDB_NOTFOUND;
            rc = ascend(it);
            continue;
        }
        struct str rest = str_make((char *)it->raw.mv_data + n, it->raw.mv_size - n);
        if (rest.n > TREE_CHUNK) {
            uint64_t node;
            if (pointer_open(&it->raw, &it->value, &node))
                return MDB_CORRUPTED;
            descend(it, node, str_slice(rest, 0, TREE_CHUNK));
            struct raw_key k;
            k.n = node_prefix(k.p, current_node(it));
            it->raw = (MDB_val){k.n, k.p};
            rc = mdb_cursor_get(it->cursor, &it->raw, &it->value, MDB_SET_RANGE);
            continue;
        }
        it->key = rest;
        if (it->depth) {
            buf_clear(&it->assembled);
            buf_append_str(&it->assembled, buf_str(&it->prefix));
            buf_append_str(&it->assembled, rest);
            it->key = buf_str(&it->assembled);
        }
        return 0;
    }
}

int tree_seek(struct tree_iter *it, struct str key)
{
    struct raw_key k;
    it->depth = 0;
    buf_clear(&it->prefix);
    for (;;) {
        MDB_val want = raw_make(&k, current_node(it), key);
        it->raw = want;
        int rc = mdb_cursor_get(it->cursor, &it->raw, &it->value, MDB_SET_RANGE);
        bool exact = rc == 0 && it->raw.mv_size == want.mv_size &&
                     memcmp(it->raw.mv_data, want.mv_data, want.mv_size) == 0;
        if (key.n <= TREE_CHUNK || !exact)
            return settle(it, rc);
        uint64_t node;
        if (pointer_open(&it->raw, &it->value, &node))
            return MDB_CORRUPTED;
        descend(it, node, str_slice(key, 0, TREE_CHUNK));
        key = str_slice(key, TREE_CHUNK, key.n);
    }
}

int tree_next(struct tree_iter *it)
{
    int rc = mdb_cursor_get(it->cursor, &it->raw, &it->value, MDB_NEXT);
    return settle(it, rc);
}
