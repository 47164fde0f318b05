/*
 * exec, attach and port-forward: the agent asks the runtime (CRI Exec, Attach, PortForward) for the address of a
 * stream, and passes the API server's connection on to it as bytes (net/http_pass.h).
 *
 *     GET or POST, with an upgrade to SPDY/3.1 or WebSocket
 *     /exec/NS/POD/CONTAINER?command=…&input=1&output=1&error=1&tty=1
 *     /attach/NS/POD/CONTAINER?input=1&output=1&error=1&tty=1
 *     /portForward/NS/POD?port=…
 */
#ifndef C8S_NODE_STREAMS_H
#define C8S_NODE_STREAMS_H

#include "net/http.h"
#include "node/agent.h"

struct node_streams;

struct node_streams *node_streams_new(struct agent *g);
/* Wait for calls to the runtime, free. Not on the agent's loop; no request comes any more. */
void node_streams_free(struct node_streams *s);

/* Whether the path is one of the above. */
bool node_streams_path(struct str path);
/* Answer such a request; on the agent's loop. */
void node_streams_serve(struct node_streams *s, struct http_exchange *x);

#endif
