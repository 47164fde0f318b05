/*
 * Secrets of type kubernetes.io/service-account-token hold a token of the account that an annotation
 * names: one that does not expire, and ends with the secret.
 */
#include "api/meta.h"
#include "apiserver/strategy/strategy.h"
#include "net/jwt.h"
#include "proto/core_v1.pb-c.h"

#define NAME "kubernetes.io/service-account.name"
#define UID "kubernetes.io/service-account.uid"

static void set_data(struct arena *a, Core__V1__Secret *s, const char *key, const char *value)
{
    Meta__V1__BytesEntry *e = api_new(a, Meta__V1__BytesEntry);
    for (size_t i = 0; i < s->n_data; i++)
        if (strcmp(s->data[i]->key, key) == 0)
            return;
    e->key = (char *)key;
    e->has_value = 1;
    e->value.data = (uint8_t *)value;
    e->value.len = strlen(value);
    api_append(a, s, data, e);
}

static void member(struct buf *b, const char *key, const char *value, const char *end)
{
    buf_printf(b, "\"%s\":", key);
    buf_append_json_string(b, str_from(value));
    buf_append_cstr(b, end);
}

static const char *make_token(struct write *w, const Core__V1__Secret *s,
                              const Meta__V1__ObjectMeta *account, struct error *err)
{
    struct arena *a = w->rq->a;
    struct buf b;
    buf_init(&b);
    buf_append_char(&b, '{');
    member(&b, "iss", "kubernetes/serviceaccount", ",");
    member(&b, "kubernetes.io/serviceaccount/namespace", w->ns, ",");
    member(&b, "kubernetes.io/serviceaccount/secret.name", s->metadata->name, ",");
    member(&b, "kubernetes.io/serviceaccount/service-account.name", account->name, ",");
    member(&b, "kubernetes.io/serviceaccount/service-account.uid", account->uid, ",");
    member(&b, "sub", arena_printf(a, "system:serviceaccount:%s:%s", w->ns, account->name), "}");
    const char *token = jwt_sign(w->rq->server->sa_signer, buf_str(&b), a, err);
    buf_free(&b);
    return token;
}

/* The cluster's CA, where its publisher has put it. */
static const char *root_ca(struct write *w)
{
    void *object;
    struct error err;
    if (rest_load(w->rq->server, w->rq->a, resource_of_message(Core__V1__ConfigMap__SCHEMA), w->ns,
                  "kube-root-ca.crt", &object, &err) != 1)
        return NULL;
    const Core__V1__ConfigMap *map = object;
    return string_map_get(map->data, map->n_data, "ca.crt");
}

struct status *legacy_token_fill(struct write *w, void *obj)
{
    Core__V1__Secret *s = obj;
    void *account;
    struct error err;
    const char *name = annotations_get(s->metadata, NAME);
    if (strcmp(s->type, "kubernetes.io/service-account-token") != 0 || !name ||
        !w->rq->server->sa_signer)
        return NULL;
    int rc =
        rest_load(w->rq->server, w->rq->a, resource_of_message(Core__V1__ServiceAccount__SCHEMA),
                  w->ns, name, &account, &err);
    if (rc < 0)
        return status_from_error(w->rq->a, &err);
    const char *uid = annotations_get(s->metadata, UID);
    const Meta__V1__ObjectMeta *meta = rc ? object_meta(account) : NULL;
    if (!meta || (uid && *uid && strcmp(uid, meta->uid) != 0))
        return NULL; /* nobody's: it stays empty */
    const char *token = make_token(w, s, meta, &err), *ca = root_ca(w);
    if (!token)
        return status_internal(w->rq->a, "%s", err.message);
    annotations_set(w->rq->a, s->metadata, UID, meta->uid);
    if (ca)
        set_data(w->rq->a, s, "ca.crt", ca);
    set_data(w->rq->a, s, "namespace", w->ns);
    set_data(w->rq->a, s, "token", token);
    return NULL;
}
