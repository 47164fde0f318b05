/*
 * Heads of long records: see record_heads.h.
 */
#include "kvstore/record_heads.h"
#include "base/map.h"
#include "base/mem.h"
#include <pthread.h>

struct head {
    size_t record_size, key_len, head_len;
    char bytes[]; /* the key, then the head */
};

struct record_heads {
    pthread_mutex_t lock;
    struct head *slots[RECORD_HEADS_SLOTS];
};

struct record_heads *record_heads_new(void)
{
    struct record_heads *h = mem_zalloc(sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

void record_heads_free(struct record_heads *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < RECORD_HEADS_SLOTS; i++)
        mem_free(h->slots[i]);
    pthread_mutex_destroy(&h->lock);
    mem_free(h);
}

static bool is_kept(const struct head *head, struct str in, struct str key)
{
    return head && head->record_size == in.n && head->key_len == key.n &&
           memcmp(head->bytes, key.p, key.n) == 0 &&
           memcmp(head->bytes + key.n, in.p, head->head_len) == 0;
}

static struct head *head_new(struct str in, struct str key, size_t head_len)
{
    struct head *head = mem_alloc(sizeof *head + key.n + head_len);
    *head = (struct head){.record_size = in.n, .key_len = key.n, .head_len = head_len};
    memcpy(head->bytes, key.p, key.n);
    memcpy(head->bytes + key.n, in.p, head_len);
    return head;
}

int record_heads_read(struct record_heads *h, struct str in, struct str key, struct kv_record *out,
                      struct error *err)
{
    if (!h || in.n < RECORD_HEADS_FROM || key.n >= RECORD_HEADS_FROM)
        return kv_record_read(in, key, out, err);
    struct head **slot = &h->slots[hash_bytes(key.p, key.n) % RECORD_HEADS_SLOTS];
    pthread_mutex_lock(&h->lock);
    bool kept = is_kept(*slot, in, key);
    pthread_mutex_unlock(&h->lock);
    if (kept)
        return kv_record_parse(in, out, err);
    int rc = kv_record_read(in, key, out, err);
    /* A key within the record would make its head long: those of history, which nobody reads so. */
    if (rc < 0 || out->key.n)
        return rc;
    struct head *now = head_new(in, key, (size_t)(out->value.p - in.p)), *before;
    pthread_mutex_lock(&h->lock);
    before = *slot;
    *slot = now;
    pthread_mutex_unlock(&h->lock);
    mem_free(before);
    return 0;
}
