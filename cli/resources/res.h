/*
 * What the resource verbs (get, apply, delete, describe, …) share: the global flags, a session with the cluster,
 * arguments that name resources, manifests, and printing. kubectl's flags, output and exit codes are the contract.
 *
 *     struct res_session s;
 *     res_session_init(&s);
 *     const struct flag flags[] = {RES_GLOBAL_FLAGS(&s), {"all", …}, FLAGS_END};
 *     flags_parse_or_exit(…, 1);
 *     if (res_connect(&s) == 0) …
 *     return res_end(&s);
 */
#ifndef C8S_CLI_RESOURCES_RES_H
#define C8S_CLI_RESOURCES_RES_H

#include "api/codec.h"
#include "base/flags.h"
#include "client/client.h"
#include "client/discovery.h"

/* One invocation. Errors are printed as they happen and remembered in exit_code. */
struct res_session {
    const char *kubeconfig, *context, *cluster, *user, *server, *token; /* global flags */
    const char *ns_flag;
    int64_t timeout_s; /* --request-timeout; 0: default */
    struct client *client;
    const char *ns;             /* the namespace that counts */
    struct arena arena;         /* of the whole invocation */
    struct discovery discovery; /* loaded when first needed */
    bool discovered;
    int exit_code;
};

#define RES_GLOBAL_FLAGS(s)                                                                     \
    {"kubeconfig",     0,      FLAG_STRING,                                                     \
     &(s)->kubeconfig, "FILE", "Which kubeconfig. Default: $KUBECONFIG, then ~/.kube/config."}, \
        {"context", 0, FLAG_STRING, &(s)->context, "NAME", "Which context of it."},             \
        {"cluster", 0, FLAG_STRING, &(s)->cluster, "NAME", "Which cluster of it."},             \
        {"user", 0, FLAG_STRING, &(s)->user, "NAME", "Which user of it."},                      \
        {"server", 's', FLAG_STRING, &(s)->server, "URL", "Address of an API server."},         \
        {"token", 0, FLAG_STRING, &(s)->token, "TOKEN", "Bearer token."},                       \
        {"namespace", 'n', FLAG_STRING, &(s)->ns_flag, "NAMESPACE", "Which namespace."},        \
    {                                                                                           \
        "request-timeout", 0, FLAG_SECONDS, &(s)->timeout_s, "TIME",                            \
            "How long one request may take; 0: the default."                                    \
    }

void res_session_init(struct res_session *s);
/* Load the configuration and make the client; prints why not. */
int res_connect(struct res_session *s);
/* Free everything; returns the exit code. */
int res_end(struct res_session *s);
/* "error: …" to standard error; exit code 1. Returns -1. */
int res_error(struct res_session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- requests --------------------------------------------------------------------------------- */

/* Any request; answers other than 2xx are printed as kubectl does (`Error from server (NotFound): …`) unless
 * `status` is given: then the caller decides (its http_status tells), and only failures to get any answer are
 * printed. NULL on failure; else the body, in the session's arena. */
const struct client_response *res_request(struct res_session *s, const struct client_request *q,
                                          struct client_status *status);
void res_print_status(struct res_session *s, const struct client_response *r);
/* "/api/v1/namespaces/x/pods[/name]"; ns NULL: none. In the session's arena. */
char *res_path(struct res_session *s, const struct resource *r, const char *ns, const char *name);
/* Append "?key=value" or "&key=value", escaped. */
char *res_query(struct res_session *s, char *path, const char *key, const char *value);
/* Decoded into the arena by the resource's type; NULL (and printed) on failure. */
void *res_get_object(struct res_session *s, const struct resource *r, const char *ns,
                     const char *name);
void *res_list_objects(struct res_session *s, const struct resource *r, const char *ns,
                       const char *label_selector, const char *field_selector);

/* --- naming resources ------------------------------------------------------------------------- */

/* What arguments name: `pods`, `pods,svc`, `pod a b`, `pod/a svc/b`. */
struct res_target {
    const struct resource *resource;
    const char *name; /* NULL: all of them */
};
struct res_targets {
    struct res_target *items; /* in the arena */
    size_t len;
    bool several_kinds;
};
/* NULL and a message when the server has no such resource. */
const struct resource *res_resource(struct res_session *s, const char *name);
int res_parse_targets(struct res_session *s, char *const *args, size_t len,
                      struct res_targets *out);
/* "deployment.apps", "pod": as in "deployment.apps/web created". */
const char *res_type_text(struct res_session *s, const struct resource *r);
/* The namespace for a resource: NULL when it has none. */
const char *res_namespace(const struct res_session *s, const struct resource *r);

/* --- manifests -------------------------------------------------------------------------------- */

struct res_document {
    const char *source; /* "web.yaml", "STDIN" */
    yyjson_val *object; /* lists are taken apart */
    const struct resource *resource;
    const char *name, *ns; /* ns NULL: cluster-scoped */
};
struct res_documents {
    struct res_document *items;
    size_t len;
};
/* All documents of files, directories (*.yaml, *.yml, *.json), and "-" (standard input), in order. Problems are
 * printed; returns -1 when any file could not be read. Documents of unknown kinds are printed and left out. */
int res_read_manifests(struct res_session *s, const struct flag_list *files, bool recursive,
                       struct res_documents *out);

/* --- printing --------------------------------------------------------------------------------- */

/* Columns that line up as kubectl's: three spaces between, widths remembered over flushes. */
struct res_table {
    struct arena *arena;
    size_t *widths;
    size_t widths_len;
    const char ***rows;
    size_t *row_lens;
    size_t rows_len;
};
void res_table_init(struct res_table *t, struct arena *a);
/* Cells are copied. */
void res_table_row(struct res_table *t, const char *const *cells, size_t len);
void res_table_flush(struct res_table *t);

/* Members sorted, metadata.managedFields left out: how kubectl prints objects. */
yyjson_mut_val *res_sorted(yyjson_mut_doc *doc, yyjson_val *value, bool keep_managed_fields);
void res_print_json(struct res_session *s, yyjson_val *value, bool keep_managed_fields);
void res_print_yaml(struct res_session *s, yyjson_val *value, bool keep_managed_fields);

/* A member by keys, NULL-terminated; NULL when absent. */
yyjson_val *res_member(yyjson_val *v, ...) __attribute__((sentinel));
const char *res_text(yyjson_val *v); /* "" when it is no string; numbers as their text */

/* The verbs; rows of cli/main.c. */
int res_get_main(int argc, char **argv);
int res_apply_main(int argc, char **argv);
int res_create_main(int argc, char **argv);
int res_delete_main(int argc, char **argv);
int res_describe_main(int argc, char **argv);
int res_logs_main(int argc, char **argv);
int res_scale_main(int argc, char **argv);
int res_rollout_main(int argc, char **argv);
int res_label_main(int argc, char **argv);
int res_annotate_main(int argc, char **argv);
int res_cordon_main(int argc, char **argv);
int res_uncordon_main(int argc, char **argv);
int res_api_resources_main(int argc, char **argv);

#endif
