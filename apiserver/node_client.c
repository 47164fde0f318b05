/*
 * Clients of node agents: see node_client.h.
 */
#include "apiserver/node_client.h"

struct http_client *node_client_get(struct worker *w, const char *url, struct error *err)
{
    struct http_client *c = map_get(w->node_clients, str_from(url));
    if (c)
        return c;
    struct http_client_options o = {.servers = (const char *const[]){url, NULL},
                                    .tls = w->server->node_tls};
    c = http_client_new(w->loop, &o, err);
    if (c)
        map_put(w->node_clients, str_from(url), c);
    return c;
}

void node_clients_free(struct map *clients)
{
    struct map_iter it = {0};
    while (map_next(clients, &it))
        http_client_free(it.value);
    map_free(clients);
}
