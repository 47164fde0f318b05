/*
 * Snapshot streams: what is written while the stream is read does not show in it; a stream that is
 * damaged, cut or made up is refused and leaves nothing behind. (That a follower becomes equal by one is
 * shown in tests/integration/test_kv_cluster.c.)
 */
#include "kvstore/snapshot.h"
#include "kvstore/store.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_KEEP 20

static struct kv *open_store(char dir[STORE_DIR_MAX])
{
    store_dir_make(dir, "snapshot");
    struct kv_options o = {.data_dir = dir,
                           .log_keep_entries = LOG_KEEP,
                           .map_bytes = 64u << 20,
                           .quota_bytes = 32u << 20,
                           .journal_segment_bytes = 64u << 10};
    return store_open(&o);
}

static void close_store(struct kv *kv, const char *dir)
{
    kv_close(kv);
    store_dir_remove(dir);
}

static void put(struct kv *kv, int key, int value)
{
    char k[32], v[64];
    snprintf(k, sizeof k, "key/%03d", key);
    snprintf(v, sizeof v, "value %d", value);
    struct kv_op op = {.type = KV_OP_PUT, .put = {.key = str_from(k), .value = str_from(v)}};
    if (value % 11 == 10)
        op = (struct kv_op){.type = KV_OP_DELETE, .del = {.key = str_from(k)}};
    struct kv_txn_request t = {.then = &op, .then_len = 1};
    struct kv_txn_result *r = kv_txn_wait(kv, &t);
    assert_int_equal(r->code, 0);
    kv_txn_result_free(r);
}

/* The whole stream, in small chunks, with `writes` puts in between. */
static struct buf read_stream(struct kv *kv, struct raft_snapshot_meta *meta, int writes)
{
    struct raft_snapshot_reader *r;
    struct error err;
    struct buf out = {0};
    bool end = false;
    assert_int_equal(snapshot_reader_open(kv, &r, meta, &err), 0);
    for (int i = 0; !end; i++) {
        assert_int_equal(snapshot_reader_read(r, &out, 777, &end, &err), 0);
        if (i < writes)
            put(kv, i % 50, 100000 + i);
    }
    snapshot_reader_close(r);
    return out;
}

/* Feed it in pieces; 0: taken and finished. The stage is given up again. */
static int feed(struct kv *kv, const struct raft_snapshot_meta *meta, struct str stream,
                struct rng *rng)
{
    struct raft_snapshot_writer *w;
    struct error err;
    assert_int_equal(snapshot_writer_begin(kv, meta, &w, &err), 0);
    int rc = 0;
    for (size_t at = 0; at < stream.n && rc == 0;) {
        size_t n = MIN(stream.n - at, 1 + rng_below(rng, 2000));
        rc = snapshot_writer_write(w, str_slice(stream, at, at + n), &err);
        at += n;
    }
    if (rc == 0)
        rc = snapshot_writer_finish(w, &err);
    snapshot_writer_abort(w);
    return rc;
}

static void streams(void **state)
{
    (void)state;
    char dir_a[STORE_DIR_MAX], dir_b[STORE_DIR_MAX];
    struct kv *a = open_store(dir_a), *b = open_store(dir_b);
    struct raft_snapshot_meta meta, later;
    struct rng rng;
    rng_seed(&rng, 12);
    for (int i = 0; i < 300; i++)
        put(a, i % 50, i);
    struct buf quiet = read_stream(a, &meta, 0);
    assert_true(meta.index > 300 && meta.term > 0 && meta.config.voters.len == 1);
    struct buf busy = read_stream(a, &later, 30);
    assert_true(str_eq(buf_str(&quiet), buf_str(&busy)));
    assert_int_equal(meta.index, later.index);
    assert_int_equal(feed(b, &meta, buf_str(&quiet), &rng), 0);

    /* one byte changed: always noticed */
    for (int i = 0; i < 150; i++) {
        struct buf bad = {0};
        buf_append_str(&bad, buf_str(&quiet));
        bad.data[rng_below(&rng, bad.len)] ^= (char)(1 + rng_below(&rng, 255));
        assert_true(feed(b, &meta, buf_str(&bad), &rng) < 0);
        buf_free(&bad);
    }
    /* cut anywhere, or with something behind the end */
    for (int i = 0; i < 40; i++)
        assert_true(feed(b, &meta, str_make(quiet.data, rng_below(&rng, quiet.len)), &rng) < 0);
    buf_append_cstr(&quiet, "more");
    assert_true(feed(b, &meta, buf_str(&quiet), &rng) < 0);

    /* made up, with right checksums: refused or harmless */
    for (int i = 0; i < 150; i++) {
        struct buf bad = {0};
        buf_append_str(&bad, buf_str(&busy));
        size_t at = 8, target = rng_below(&rng, 300);
        for (size_t k = 0; at + 9 <= bad.len; k++) {
            uint32_t len;
            memcpy(&len, bad.data + at + 1, sizeof len);
            if (k == target && len > 0) {
                bad.data[at + 9 + rng_below(&rng, len)] ^= (char)(1 + rng_below(&rng, 255));
                uint32_t crc = crc32c(crc32c(0, bad.data + at, 5), bad.data + at + 9, len);
                memcpy(bad.data + at + 5, &crc, sizeof crc);
                break;
            }
            at += 9 + len;
        }
        feed(b, &meta, buf_str(&bad), &rng);
        buf_free(&bad);
    }
    put(b, 1, 1); /* it still works, and nothing of it is left on the disk */
    struct dirent *e;
    DIR *d = opendir(dir_b);
    while ((e = readdir(d)))
        assert_null(strstr(e->d_name, ".tmp"));
    closedir(d);
    buf_free(&quiet);
    buf_free(&busy);
    close_store(a, dir_a);
    close_store(b, dir_b);
}

static uint64_t base_index(struct kv *kv)
{
    struct logdb_info info;
    logdb_info(kv->db, &info);
    return info.base_index;
}

static void put_many(struct kv *kv, int *value, int n)
{
    while (n-- > 0)
        put(kv, 1, (*value)++);
}

/* The log is trimmed between writes, when there is time: put until it begins behind `index`. */
static void put_until_trimmed(struct kv *kv, int *value, uint64_t index)
{
    for (int i = 0; i < 5000 && base_index(kv) <= index; i++)
        put_many(kv, value, 1);
    assert_true(base_index(kv) > index);
}

/* Who takes a snapshot goes on with the log behind it, which therefore stays, however much is written meanwhile. */
static void the_log_behind_it_stays(void **state)
{
    (void)state;
    char dir[STORE_DIR_MAX];
    struct kv *kv = open_store(dir);
    struct raft_snapshot_reader *first, *second;
    struct raft_snapshot_meta meta, later;
    struct error err;
    int value = 0;
    put_many(kv, &value, 300);
    put_until_trimmed(kv, &value, 300 - 3 * LOG_KEEP); /* without one it is trimmed */
    assert_int_equal(snapshot_reader_open(kv, &first, &meta, &err), 0);
    put_many(kv, &value, 300);
    assert_true(base_index(kv) <= meta.index);
    assert_int_equal(snapshot_reader_open(kv, &second, &later, &err), 0);
    snapshot_reader_close(first);
    snapshot_reader_close(second);
    assert_true(later.index > meta.index);
    put_many(kv, &value, 300); /* the first one's follower is still catching up */
    assert_true(base_index(kv) <= meta.index);
    atomic_store(&kv->snapshot_log_until_ns, 0); /* as if long ago */
    put_until_trimmed(kv, &value, later.index);
    close_store(kv, dir);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {cmocka_unit_test(streams),
                                       cmocka_unit_test(the_log_behind_it_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
