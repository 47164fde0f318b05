/*
 * What the node agent reads of others: log records, address ranges, registry credentials, resolver
 * settings, atomic paths, messages of the container runtime. The first byte chooses which.
 */
#include "node/atomic_dir.h"
#include "node/container_config.h"
#include "node/images.h"
#include "node/logs.h"
#include "node/network.h"
#include "tests/fuzz/fuzz.h"
#include <arpa/inet.h>

static void log_record(struct str in)
{
    struct log_record r;

    if (!log_parse(in, &r))
        return;
    require(r.text.n <= in.n && r.stamp.n <= in.n);
    require(r.text.n == 0 || (r.text.p >= in.p && r.text.p + r.text.n == in.p + in.n));
}

/* What is accepted is written again as the same range. */
static void range(struct str in)
{
    char *text = mem_strndup(in.p ? in.p : "", in.n), address[INET_ADDRSTRLEN], *again;
    struct cidr c, d;

    if (cidr_parse(text, &c, NULL) == 0) {
        require(c.prefix <= 32 && cidr_contains(&c, c.address));
        inet_ntop(AF_INET, &c.address, address, sizeof address);
        again = mem_printf("%s/%u", address, c.prefix);
        require(cidr_parse(again, &d, NULL) == 0 && d.prefix == c.prefix &&
                d.address.s_addr == c.address.s_addr);
        mem_free(again);
    }
    mem_free(text);
}

static void credentials(struct str in)
{
    struct cri_auth auth;
    struct arena a;

    arena_init(&a);
    image_credentials(in, "registry.example:5000/a/b", &a, &auth);
    arena_free(&a);
}

static void resolver(struct str in)
{
    struct flag_list none = {0};
    struct pod_dns dns;
    struct arena a;

    arena_init(&a);
    pod_dns(api_new(&a, Core__V1__Pod), &none, "cluster.local", in, &a, &dns);
    require(dns.servers_len <= 3 && dns.searches_len <= 32);
    arena_free(&a);
}

static void path(struct str in)
{
    char *text = mem_strndup(in.p ? in.p : "", in.n);

    if (atomic_path_ok(text))
        require(text[0] && text[0] != '/' && !strstr(text, "/../") && strncmp(text, "..", 2) != 0);
    mem_free(text);
}

static void runtime_message(struct str in)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(
        &runtime__v1__pod_sandbox_status_response__descriptor, NULL, in.n, (const uint8_t *)in.p);

    if (m)
        protobuf_c_message_free_unpacked(m, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct str) = {log_record, range, credentials,
                                                  resolver,   path,  runtime_message};
    struct str in;

    if (size == 0)
        return 0;
    in = fuzz_input(data + 1, size - 1);
    targets[data[0] % ARRAY_LEN(targets)](in);
    fuzz_input_free(in);
    return 0;
}
