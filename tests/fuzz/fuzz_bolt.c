/*
 * Snapshot files of etcd's, as `snapshot restore` reads them: any bytes, with the checksums of their meta pages put right
 * so that what lies behind is reached.
 */
#include "bolt/bolt.h"
#include "bolt/bolt_format.h"
#include "kvstore/backup/schema.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

static void touch(struct str s)
{
    volatile char sink = 0;
    for (size_t i = 0; i < s.n; i++)
        sink = (char)(sink ^ s.p[i]);
}

static int entry(void *ctx, struct str key, struct str value, struct error *err)
{
    struct schema_rev rev;
    struct kv_record r;
    struct schema_lease lease;
    struct kv_alarm alarm;
    int64_t mod;
    (void)ctx;
    touch(key);
    touch(value);
    if (schema_rev_read(key, &rev, err) == 0) {
        char again[SCHEMA_REV_KEY_MAX];
        size_t n = schema_rev_key(again, rev.id, rev.tombstone);
        require(str_eq(key, str_make(again, n)));
    }
    if (schema_kv_read(value, &r, &mod, err) == 0)
        touch(r.value);
    schema_lease_read(value, &lease, err);
    schema_alarm_read(key, &alarm, err);
    return 0;
}

static int bucket(void *ctx, struct str name, struct error *err)
{
    int rc = bolt_each(ctx, name, entry, NULL, err);
    return rc == ERR_CORRUPT ? 0 : rc;
}

static void fix_meta(char *p, size_t n, size_t at)
{
    struct bolt_meta m;
    if (at + sizeof(struct bolt_page) + sizeof m > n)
        return;
    memcpy(&m, p + at + sizeof(struct bolt_page), sizeof m);
    m.checksum = bolt_checksum(&m);
    memcpy(p + at + sizeof(struct bolt_page), &m, sizeof m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bolt b;
    struct error err = {0};
    char *copy = malloc(size + 1);
    memcpy(copy, data, size);
    fix_meta(copy, size, 0);
    fix_meta(copy, size, 512);
    fix_meta(copy, size, 4096);
    if (bolt_open(str_make(copy, size), &b, &err) == 0)
        bolt_each_bucket(&b, bucket, &b, &err);
    else
        require(err.message[0] != '\0');
    free(copy);
    return 0;
}
