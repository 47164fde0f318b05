/*
 * What the store reads back from its log and its disk: proposals and stored versions. The first byte
 * chooses which. Versions get their checksum put right, so that what lies behind it is reached.
 */
#include "base/encode.h"
#include "kvstore/proposal.h"
#include "kvstore/record.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

/* What is accepted is what the encoder writes. */
static void proposal(struct str in)
{
    struct arena a;
    struct proposal p, again;
    struct error err = {0};
    arena_init(&a);
    if (proposal_decode(in, &a, &p, &err) < 0) {
        require(err.message[0] != '\0');
        arena_free(&a);
        return;
    }
    if (p.kind == PROPOSAL_TXN) {
        txn_request_check(&p.txn, 128, NULL);
        txn_is_read_only(&p.txn);
    }
    struct buf first = {0}, second = {0};
    proposal_encode(&p, &first);
    require(proposal_decode(buf_str(&first), &a, &again, NULL) == 0);
    proposal_encode(&again, &second);
    require(str_eq(buf_str(&first), buf_str(&second)));
    buf_free(&first);
    buf_free(&second);
    arena_free(&a);
}

static void record(struct str in)
{
    struct kv_record r, again;
    if (in.n < 8)
        return;
    char *copy = malloc(in.n);
    memcpy(copy, in.p, in.n);
    uint32_t crc = crc32c(crc32c(0, "seed", 4), copy + 4, in.n - 4);
    memcpy(copy, &crc, sizeof crc);
    if (kv_record_read(str_make(copy, in.n), STR("seed"), &r, NULL) == 0 && !r.tombstone) {
        size_t n = kv_record_size(&r);
        char *p = malloc(n);
        kv_record_write(&r, STR("seed"), p, n);
        require(kv_record_read(str_make(p, n), STR("seed"), &again, NULL) == 0);
        require(again.id.rev == r.id.rev && again.version == r.version &&
                str_eq(again.value, r.value));
        require(kv_record_read(str_make(p, n), STR("elsewhere"), &again, NULL) < 0);
        free(p);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str in = fuzz_input(data + 1, size - 1);
    if (data[0] & 1)
        record(in);
    else
        proposal(in);
    fuzz_input_free(in);
    return 0;
}
