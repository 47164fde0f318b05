/*
 * The wire form of messages, and what they own.
 *
 *   version:1 type:1 flags:1 reject:1  from:8 to:8 term:8 index:8 log_term:8 commit:8 hint:8 context:8
 *   APPEND:   entries:4 ( kind:1 0:3 term:8 length:4 data )*
 *   SNAPSHOT: index:8 term:8 config (raft_config_encode)
 */
#include "raft/message.h"

#include "base/mem.h"
#include "raft/wire.h"
#include <assert.h>

#define MESSAGE_VERSION 1

const char *raft_message_name(enum raft_message_type t)
{
    static const char *const names[] = {
        [RAFT_MSG_PRE_VOTE] = "pre-vote",
        [RAFT_MSG_PRE_VOTE_REPLY] = "pre-vote-reply",
        [RAFT_MSG_VOTE] = "vote",
        [RAFT_MSG_VOTE_REPLY] = "vote-reply",
        [RAFT_MSG_APPEND] = "append",
        [RAFT_MSG_APPEND_REPLY] = "append-reply",
        [RAFT_MSG_HEARTBEAT] = "heartbeat",
        [RAFT_MSG_HEARTBEAT_REPLY] = "heartbeat-reply",
        [RAFT_MSG_SNAPSHOT] = "snapshot",
        [RAFT_MSG_TIMEOUT_NOW] = "timeout-now",
        [RAFT_MSG_READ_INDEX] = "read-index",
        [RAFT_MSG_READ_INDEX_REPLY] = "read-index-reply",
    };
    return t >= 1 && t <= RAFT_MSG_TYPE_MAX ? names[t] : "unknown";
}

void raft_message_clear(struct raft_message *m)
{
    for (size_t i = 0; i < m->entries_len; i++)
        blob_unref(m->entries[i].data);
    mem_free(m->entries);
    mem_free(m->snapshot);
    m->entries = NULL;
    m->entries_len = 0;
    m->snapshot = NULL;
}

void raft_message_copy(struct raft_message *dst, const struct raft_message *src)
{
    *dst = *src;
    dst->entries = NULL;
    if (src->entries_len) {
        dst->entries = mem_dup(src->entries, src->entries_len * sizeof *src->entries);
        for (size_t i = 0; i < dst->entries_len; i++)
            blob_ref(dst->entries[i].data);
    }
    dst->snapshot = src->snapshot ? mem_dup(src->snapshot, sizeof *src->snapshot) : NULL;
}

void raft_message_encode(const struct raft_message *m, struct buf *out)
{
    assert(m->type >= 1 && m->type <= RAFT_MSG_TYPE_MAX);
    assert(m->entries_len <= RAFT_MESSAGE_ENTRIES_MAX);
    buf_append_char(out, MESSAGE_VERSION);
    buf_append_char(out, (char)m->type);
    buf_append_char(out, (char)m->flags);
    buf_append_char(out, m->reject);
    const uint64_t fields[] = {m->from,     m->to,     m->term, m->index,
                               m->log_term, m->commit, m->hint, m->context};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        buf_append_be64(out, fields[i]);
    if (m->type == RAFT_MSG_APPEND) {
        buf_append_be32(out, (uint32_t)m->entries_len);
        for (size_t i = 0; i < m->entries_len; i++) {
            const struct raft_entry *e = &m->entries[i];
            assert(e->index == m->index + 1 + i);
            buf_append_be32(out, (uint32_t)e->kind << 24);
            buf_append_be64(out, e->term);
            buf_append_be32(out, e->data ? (uint32_t)e->data->len : 0);
            buf_append_str(out, blob_str(e->data));
        }
    }
    if (m->type == RAFT_MSG_SNAPSHOT) {
        buf_append_be64(out, m->snapshot->index);
        buf_append_be64(out, m->snapshot->term);
        raft_config_encode(&m->snapshot->config, out);
    }
}

/* One entry; `previous` is the term before it. Fails the cursor on nonsense. */
static void entry_decode(struct wire *w, uint64_t index, uint64_t previous, uint64_t term_max,
                         struct raft_entry *e)
{
    uint32_t head = wire_be32(w);
    uint64_t term = wire_be64(w);
    uint32_t n = wire_be32(w);
    uint32_t kind = head >> 24;
    bool sized =
        kind == RAFT_ENTRY_EMPTY ? n == 0 : n >= RAFT_PROPOSAL_HEADER && n <= RAFT_ENTRY_DATA_MAX;
    if (head & 0xffffff || kind > RAFT_ENTRY_CONFIG || !sized || term < previous ||
        term > term_max || term == 0)
        wire_fail(w);
    struct str data = wire_bytes(w, n);
    *e = (struct raft_entry){index, term, (enum raft_entry_kind)kind, NULL};
    if (!w->failed && n > 0)
        e->data = blob_from(data.p, data.n);
}

static void entries_decode(struct wire *w, struct raft_message *m)
{
    uint32_t n = wire_be32(w);
    /* an entry takes at least 16 bytes: the count is bounded by what is there */
    if (n > RAFT_MESSAGE_ENTRIES_MAX || n > w->left / 16 || m->index > UINT64_MAX - n)
        wire_fail(w);
    if (w->failed || n == 0)
        return;
    m->entries = mem_alloc(n * sizeof *m->entries);
    uint64_t previous = m->log_term;
    for (uint32_t i = 0; i < n && !w->failed; i++) {
        entry_decode(w, m->index + 1 + i, previous, m->term, &m->entries[i]);
        previous = m->entries[i].term;
        m->entries_len = i + 1;
    }
}

static int snapshot_decode(struct wire *w, struct raft_message *m, struct error *err)
{
    struct raft_snapshot_meta meta = {.index = wire_be64(w), .term = wire_be64(w)};
    struct str config = wire_bytes(w, w->left);
    if (w->failed)
        return error_set(err, ERR_CORRUPT, "raft message: cut short");
    int rc = raft_config_decode(config, &meta.config, err);
    if (rc < 0)
        return error_wrap(err, "raft message: snapshot");
    if (meta.index == 0 || meta.term == 0 || meta.term > m->term || meta.config.voters.len == 0)
        return error_set(err, ERR_CORRUPT, "raft message: snapshot of nothing");
    m->snapshot = mem_dup(&meta, sizeof meta);
    return 0;
}

int raft_message_decode(struct str in, struct raft_message *out, struct error *err)
{
    struct wire w = wire_init(in);
    struct raft_message m = {0};
    uint8_t version = wire_u8(&w), type = wire_u8(&w), flags = wire_u8(&w), reject = wire_u8(&w);
    if (w.failed || version != MESSAGE_VERSION)
        return error_set(err, ERR_CORRUPT, "raft message: unknown version %u", version);
    if (type < 1 || type > RAFT_MSG_TYPE_MAX || flags > (RAFT_MSG_TRANSFER | RAFT_MSG_NO_REPLY) ||
        reject > 1)
        return error_set(err, ERR_CORRUPT, "raft message: bad type %u or flags", type);
    m.type = (enum raft_message_type)type;
    m.flags = flags;
    m.reject = reject;
    uint64_t *const fields[] = {&m.from,     &m.to,     &m.term, &m.index,
                                &m.log_term, &m.commit, &m.hint, &m.context};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        *fields[i] = wire_be64(&w);
    if (!w.failed && (m.from == 0 || m.to == 0))
        return error_set(err, ERR_CORRUPT, "raft message: without sender or receiver");
    if (m.type == RAFT_MSG_SNAPSHOT) {
        int rc = snapshot_decode(&w, &m, err);
        if (rc < 0)
            return rc;
    }
    if (m.type == RAFT_MSG_APPEND)
        entries_decode(&w, &m);
    if (!wire_done(&w)) {
        raft_message_clear(&m);
        return error_set(err, ERR_CORRUPT, "raft message: %s: bad entry or length",
                         raft_message_name((enum raft_message_type)type));
    }
    *out = m;
    return 0;
}
