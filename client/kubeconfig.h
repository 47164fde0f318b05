/*
 * How to reach a cluster and as whom: from a kubeconfig file, or from a pod's service account.
 *
 * Of a kubeconfig we read clusters (server, certificate-authority[-data], tls-server-name,
 * insecure-skip-tls-verify, extensions), users (client-certificate[-data], client-key[-data],
 * token, tokenFile), contexts and current-context. A cluster may name more servers, tried in order
 * and failed over to, in an extension of ours:
 *
 *     clusters:
 *     - name: prod
 *       cluster:
 *         server: https://10.0.0.1:6443
 *         extensions:
 *         - name: c8s.io/servers
 *           extension:
 *             servers: [https://10.0.0.1:6443, https://10.0.0.2:6443, https://10.0.0.3:6443]
 *
 * (a bare list as `extension` is read, too). What we do not support (exec plug-ins, proxies,
 * passwords) is an error that names the field, when the chosen context needs it.
 */
#ifndef C8S_CLIENT_KUBECONFIG_H
#define C8S_CLIENT_KUBECONFIG_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include <stdbool.h>

/* Strings live in the arena the config was loaded with; client_new copies what it needs. */
struct client_config {
    const char **servers; /* "https://host:port", at least one */
    size_t servers_len;
    struct str ca_pem;            /* empty: the system's roots */
    struct str cert_pem, key_pem; /* client certificate, both or neither */
    const char *token;            /* bearer token, or NULL */
    const char *token_file;       /* read again every minute (in-cluster tokens rotate), or NULL */
    const char *server_name; /* expected in the server's certificate instead of the URL's host */
    bool insecure;           /* no verification of the server */
    const char *ns;          /* the context's namespace; "default" when it names none */
    const char *user;        /* the user entry's name, for messages */
};

/* What kubectl's global flags override; all may be NULL. */
struct kubeconfig_overrides {
    const char *context, *cluster, *user, *server, *ns, *token;
};

/* path NULL: $KUBECONFIG (first existing of the list), then ~/.kube/config, then in-cluster, then
 * an error that tells the user what was looked for. */
int kubeconfig_load(const char *path, const struct kubeconfig_overrides *overrides, struct arena *a,
                    struct client_config *out, struct error *err);
/* From text; `dir` is what relative file names are relative to. */
int kubeconfig_parse(struct str yaml, const char *dir, const struct kubeconfig_overrides *overrides,
                     struct arena *a, struct client_config *out, struct error *err);
/* $KUBERNETES_SERVICE_HOST/PORT and /var/run/secrets/kubernetes.io/serviceaccount. */
int kubeconfig_in_cluster(struct arena *a, struct client_config *out, struct error *err);

#endif
