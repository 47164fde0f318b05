/*
 * Clients of node agents: see node_client.h.
 */
#include "apiserver/proxy/node_client.h"

#include <stdio.h>

struct http_client *node_client_get(struct worker *w, const char *url, bool insecure,
                                    struct error *err)
{
    char key[512]; /* the two do not share connections */
    int n = snprintf(key, sizeof key, "%s%s", insecure ? "insecure " : "", url);
    if (n < 0 || (size_t)n >= sizeof key) {
        error_set(err, ERR_INVALID, "the node's address is too long");
        return NULL;
    }
    struct http_client *c = map_get(w->node_clients, str_make(key, (size_t)n));
    if (c)
        return c;
    struct http_client_options o = {.servers = (const char *const[]){url, NULL},
                                    .tls = insecure ? w->server->node_insecure_tls
                                                    : w->server->node_tls};
    c = http_client_new(w->loop, &o, err);
    if (c)
        map_put(w->node_clients, str_make(key, (size_t)n), c);
    return c;
}

void node_clients_free(struct map *clients)
{
    struct map_iter it = {0};
    while (map_next(clients, &it))
        http_client_free(it.value);
    map_free(clients);
}
