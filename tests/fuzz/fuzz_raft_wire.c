/*
 * Raft's messages, configurations and changes, as peers send them and the log stores them. The
 * first byte chooses which.
 */
#include "raft/config.h"
#include "raft/message.h"
#include "tests/fuzz/fuzz.h"

static void message(struct str in)
{
    struct raft_message m, again;
    struct error err = {0};
    if (raft_message_decode(in, &m, &err) < 0) {
        require(err.message[0] != '\0');
        return;
    }
    struct buf first = {0}, second = {0};
    raft_message_encode(&m, &first);
    require(raft_message_decode(buf_str(&first), &again, NULL) == 0);
    raft_message_encode(&again, &second);
    require(str_eq(buf_str(&first), buf_str(&second)));
    raft_message_clear(&m);
    raft_message_clear(&again);
    buf_free(&first);
    buf_free(&second);
}

static void config(struct str in)
{
    struct raft_config c, again;
    if (raft_config_decode(in, &c, NULL) < 0)
        return;
    struct buf out = {0};
    require(raft_config_valid(&c));
    raft_config_encode(&c, &out);
    require(raft_config_decode(buf_str(&out), &again, NULL) == 0);
    require(raft_config_equal(&c, &again));
    buf_free(&out);
}

static void change(struct str in)
{
    struct raft_change c, again;
    if (raft_change_decode(in, &c, NULL) < 0)
        return;
    struct buf out = {0};
    raft_change_encode(&c, &out);
    require(raft_change_decode(buf_str(&out), &again, NULL) == 0);
    require(c.ops_len == again.ops_len && str_eq(c.context, again.context));
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str in = fuzz_input(data + 1, size - 1);
    if (data[0] % 3 == 0)
        message(in);
    else if (data[0] % 3 == 1)
        config(in);
    else
        change(in);
    fuzz_input_free(in);
    return 0;
}
