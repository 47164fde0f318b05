/*
 * Certificates, requests, URLs, addresses and kubeconfigs: text that people hand to us.
 */
#include "client/kubeconfig.h"
#include "net/address.h"
#include "net/http_client.h"
#include "net/x509.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size);
    struct x509_info info;
    if (x509_parse(in, &info, NULL) == 0)
        x509_info_free(&info);
    if (x509_parse_request(in, &info, NULL) == 0)
        x509_info_free(&info);

    char *text = mem_strndup(size ? in.p : "", size);
    struct net_address address;
    struct http_url url;
    net_address_parse(text, &address, NULL);
    if (http_url_parse(text, &url, NULL) == 0)
        require(url.port >= 0 && url.port <= 65535);
    mem_free(text);

    struct arena a;
    struct client_config config;
    arena_init(&a);
    if (kubeconfig_parse(in, "/nonexistent", NULL, &a, &config, NULL) == 0)
        require(config.servers_len >= 1);
    arena_free(&a);
    fuzz_input_free(in);
    return 0;
}
