/*
 * Connections to node agents, kept per loop and address.
 */
#ifndef C8S_APISERVER_PROXY_NODE_CLIENT_H
#define C8S_APISERVER_PROXY_NODE_CLIENT_H

#include "apiserver/server.h"
#include "base/map.h"

/* The client for "https://host:port" on this loop; made on first use. `insecure`: whoever answers there is believed.
 * NULL with *err. */
struct http_client *node_client_get(struct worker *w, const char *url, bool insecure,
                                    struct error *err);
/* Close all of a worker's; any thread but the loop's. */
void node_clients_free(struct map *clients);

#endif
