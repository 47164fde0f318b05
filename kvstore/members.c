/*
 * Who the members are: ids, names and addresses, kept beside Raft's configuration.
 *
 * A founding member's id is drawn from its peer URLs and the cluster token, so that all founders
 * compute the same configuration without talking. The meta record "members" lists them all:
 *
 *     n, then per member: id, flags, name, n peer URLs, n client URLs     (varints and strings)
 */
#include "kvstore/store.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>
#include <inttypes.h>
#include <openssl/sha.h>

#define MEMBER_URLS_MAX 64

struct member_list {
    VEC(struct kv_member) items;
};

static void put_urls(struct buf *b, const struct str *urls, size_t n)
{
    buf_append_varint(b, n);
    for (size_t i = 0; i < n; i++) {
        buf_append_varint(b, urls[i].n);
        buf_append_str(b, urls[i]);
    }
}

static void members_encode(const struct member_list *l, struct buf *b)
{
    buf_append_varint(b, l->items.len);
    for (size_t i = 0; i < l->items.len; i++) {
        const struct kv_member *m = &l->items.items[i];
        buf_append_varint(b, m->id);
        buf_append_varint(b, m->name.n);
        buf_append_str(b, m->name);
        put_urls(b, m->peer_urls, m->peer_urls_len);
        put_urls(b, m->client_urls, m->client_urls_len);
    }
}

struct reader {
    const char *p, *end;
    struct arena *arena;
    bool failed;
};

static uint64_t get_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && r->p < r->end; shift += 7) {
        unsigned char c = (unsigned char)*r->p++;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80))
            return v;
    }
    r->failed = true;
    return 0;
}

static struct str get_str(struct reader *r)
{
    uint64_t n = get_varint(r);
    if (r->failed || n > (uint64_t)(r->end - r->p)) {
        r->failed = true;
        return STR_NONE;
    }
    struct str s = {arena_dup(r->arena, r->p, n), n};
    r->p += n;
    return s;
}

static struct str *get_urls(struct reader *r, size_t *len)
{
    uint64_t n = get_varint(r);
    if (n > MEMBER_URLS_MAX)
        r->failed = true;
    *len = r->failed ? 0 : (size_t)n;
    struct str *urls = arena_array(r->arena, struct str, *len);
    for (size_t i = 0; i < *len; i++)
        urls[i] = get_str(r);
    return urls;
}

static int members_decode(struct str in, struct arena *a, struct member_list *l, struct error *err)
{
    struct reader r = {in.p, in.p + in.n, a, false};
    uint64_t n = get_varint(&r);
    for (uint64_t i = 0; i < n && i < RAFT_MEMBERS_MAX && !r.failed; i++) {
        struct kv_member m = {.id = get_varint(&r)};
        m.name = get_str(&r);
        m.peer_urls = get_urls(&r, &m.peer_urls_len);
        m.client_urls = get_urls(&r, &m.client_urls_len);
        vec_push(&l->items, m);
    }
    if (r.failed || r.p != r.end || n > RAFT_MEMBERS_MAX)
        return error_set(err, ERR_CORRUPT, "the member list has a wrong form");
    return 0;
}

static int members_load(struct kv *kv, MDB_txn *txn, struct arena *a, struct member_list *l,
                        struct error *err)
{
    struct str s;
    int rc = logdb_get_meta(kv->db, txn, "members", &s);
    if (rc == ERR_NOT_FOUND)
        return 0;
    return rc < 0 ? rc : members_decode(s, a, l, err);
}

static int members_save(struct kv *kv, MDB_txn *txn, const struct member_list *l, struct error *err)
{
    struct buf b;
    buf_init(&b);
    members_encode(l, &b);
    int rc = logdb_put_meta(kv->db, txn, "members", buf_str(&b), err);
    buf_free(&b);
    return rc;
}

/* ---- founding ---- */

static uint64_t id_from(struct str token, const struct kv_member_config *m)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct buf b;
    uint64_t id = 0;
    buf_init(&b);
    for (size_t i = 0; m && i < m->peer_urls_len; i++) {
        buf_append_str(&b, m->peer_urls[i]);
        buf_append_char(&b, '\n');
    }
    if (m && m->peer_urls_len == 0)
        buf_append_str(&b, m->name);
    buf_append_char(&b, 0);
    buf_append_str(&b, token);
    SHA256((const unsigned char *)b.data, b.len, digest);
    buf_free(&b);
    for (int i = 0; i < 8; i++)
        id = id << 8 | digest[i];
    return id ? id : 1;
}

/* The member configurations to found from; one made up for a member that stands alone. */
static const struct kv_member_config *founders(struct kv *kv, size_t *n)
{
    if (kv->o.members_len) {
        *n = kv->o.members_len;
        return kv->o.members;
    }
    struct kv_member_config *m = arena_new(&kv->arena, struct kv_member_config);
    m->name = kv->o.name;
    *n = 1;
    return m;
}

int members_bootstrap(struct kv *kv, struct raft_config *config, struct error *err)
{
    size_t n;
    const struct kv_member_config *m = founders(kv, &n);
    *config = (struct raft_config){0};
    if (n > RAFT_MEMBERS_MAX)
        return error_set(err, ERR_INVALID, "initial cluster has more than %d members",
                         RAFT_MEMBERS_MAX);
    kv->cluster_id = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t id = id_from(kv->o.cluster_token, &m[i]);
        if (raft_ids_has(&config->voters, id))
            return error_set(err, ERR_INVALID,
                             "two members of the initial cluster have the same peer URLs");
        raft_ids_add(&config->voters, id);
        kv->cluster_id ^= id * 0x9e3779b97f4a7c15ull;
        if (str_eq(m[i].name, kv->o.name))
            kv->member_id = id;
    }
    if (!kv->cluster_id)
        kv->cluster_id = 1;
    if (!kv->member_id)
        return error_set(err, ERR_INVALID, "name %.*s is not in the initial cluster",
                         STR_ARG(kv->o.name));
    return 0;
}

/* A new directory learns who it is; an old one says it. */
int members_store_initial(struct kv *kv, struct error *err)
{
    struct str s;
    MDB_txn *txn;
    uint64_t ids[2];
    if (!logdb_is_new(kv->db)) {
        int rc = logdb_read_begin(kv->db, &txn, err);
        if (rc < 0)
            return rc;
        rc = logdb_get_meta(kv->db, txn, "identity", &s);
        if (rc == 0 && s.n == sizeof ids) {
            memcpy(ids, s.p, sizeof ids);
            kv->cluster_id = ids[0];
            kv->member_id = ids[1];
        }
        logdb_read_end(kv->db, txn);
        if (rc == 0 || rc != ERR_NOT_FOUND)
            return rc ? error_set(err, rc, "read this member's identity") : 0;
        /* died between making the directory and the lines below: go on with them */
    }
    struct logdb_txn w;
    struct member_list l = {0};
    size_t n;
    const struct kv_member_config *m = founders(kv, &n);
    for (size_t i = 0; i < n && !kv->o.join_existing; i++)
        vec_push(&l.items, ((struct kv_member){.id = id_from(kv->o.cluster_token, &m[i]),
                                               .name = m[i].name,
                                               .peer_urls = (struct str *)m[i].peer_urls,
                                               .peer_urls_len = m[i].peer_urls_len}));
    int rc = logdb_begin(kv->db, &w, err);
    if (rc == 0) {
        ids[0] = kv->cluster_id;
        ids[1] = kv->member_id;
        rc = logdb_put_meta(kv->db, w.mdb, "identity", str_make(ids, sizeof ids), err);
        if (rc == 0)
            rc = members_save(kv, w.mdb, &l, err);
        if (rc == 0)
            rc = logdb_commit(&w, err);
        else
            logdb_abort(&w);
    }
    vec_free(&l.items);
    /* The identity must survive: it decides which votes are this member's. */
    return rc < 0 ? rc : logdb_checkpoint(kv->db, err);
}

int members_stored(struct kv *kv, struct arena *a, struct kv_member **members, size_t *n,
                   struct error *err)
{
    struct member_list l = {0};
    MDB_txn *txn;
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    rc = members_load(kv, txn, a, &l, err);
    logdb_read_end(kv->db, txn);
    if (rc < 0 || l.items.len == 0) {
        vec_clear(&l.items);
        const struct kv_member_config *m = founders(kv, n);
        for (size_t i = 0; i < *n; i++)
            vec_push(&l.items, ((struct kv_member){.id = id_from(kv->o.cluster_token, &m[i]),
                                                   .peer_urls = (struct str *)m[i].peer_urls,
                                                   .peer_urls_len = m[i].peer_urls_len}));
    }
    *n = l.items.len;
    *members = arena_dup(a, l.items.items, l.items.len * sizeof *l.items.items);
    vec_free(&l.items);
    return 0;
}

/* ---- changes and questions ---- */

int members_apply(struct kv *kv, struct apply *a, const struct proposal_member *m,
                  struct error *err)
{
    struct member_list l = {0};
    int rc = members_load(kv, a->txn.mdb, &kv->apply_arena, &l, err);
    for (size_t i = 0; i < l.items.len && rc == 0; i++) {
        if (l.items.items[i].id != m->id)
            continue;
        l.items.items[i].name = m->name;
        l.items.items[i].client_urls = m->client_urls;
        l.items.items[i].client_urls_len = m->client_urls_len;
        rc = members_save(kv, a->txn.mdb, &l, err);
    }
    vec_free(&l.items);
    return rc;
}

int kv_member_list(struct kv *kv, struct arena *a, struct kv_member **members, size_t *members_len,
                   struct error *err)
{
    struct member_list l = {0};
    struct raft_node_status st;
    MDB_txn *txn;
    *members = NULL;
    *members_len = 0;
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    rc = members_load(kv, txn, a, &l, err);
    logdb_read_end(kv->db, txn);
    if (rc == 0) {
        driver_status(kv->driver, &st);
        for (size_t i = 0; i < l.items.len; i++)
            l.items.items[i].is_learner = raft_config_is_learner(&st.config, l.items.items[i].id);
        *members = arena_dup(a, l.items.items, l.items.len * sizeof *l.items.items);
        *members_len = l.items.len;
    }
    vec_free(&l.items);
    return rc;
}
