/*
 * Credentials that are objects: see authn_stored.h.
 */
#include "apiserver/auth/authn_stored.h"
#include "api/codec.h"
#include "base/clock.h"
#include "base/mem.h"
#include "kvstore/kv.h"
#include "proto/core_v1.pb-c.h"
#include <stdio.h>
#include <time.h>

#define ID_LEN 6
#define SECRET_LEN 16
#define GROUP_PREFIX "system:bootstrappers:"

static bool is_token_text(struct str s, size_t n)
{
    if (s.n != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9')))
            return false;
    return true;
}

bool bootstrap_token_split(struct str token, struct str *id, struct str *secret)
{
    if (token.n != ID_LEN + 1 + SECRET_LEN || token.p[ID_LEN] != '.')
        return false;
    *id = str_slice(token, 0, ID_LEN);
    *secret = str_slice(token, ID_LEN + 1, token.n);
    return is_token_text(*id, ID_LEN) && is_token_text(*secret, SECRET_LEN);
}

bool bootstrap_group_valid(const char *group)
{
    struct str s = str_from(group);
    if (!str_has_prefix(s, STR(GROUP_PREFIX)))
        return false;
    s = str_slice(s, sizeof GROUP_PREFIX - 1, s.n);
    for (size_t i = 0; i < s.n; i++) {
        bool plain = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9');
        bool inner = s.p[i] == ':' || s.p[i] == '-';
        if (!plain && !(inner && i + 1 < s.n))
            return false;
    }
    return s.n > 0 && s.n <= 256;
}

/* ---- reading ---- */

static void *load(struct kv *kv, struct arena *a, const char *key)
{
    struct kv_range_request rq = {.key = str_from(key)};
    struct kv_range_result out;
    struct error err;
    void *object;
    if (kv_range(kv, &rq, a, &out, &err) < 0 || out.pairs_len == 0 ||
        stored_decode(a, out.pairs[0].value, out.pairs[0].mod_rev, NULL, &object, &err) < 0)
        return NULL;
    return object;
}

static struct str data_of(const Core__V1__Secret *s, const char *key)
{
    for (size_t i = 0; i < s->n_data; i++)
        if (strcmp(s->data[i]->key, key) == 0)
            return str_make(s->data[i]->value.data, s->data[i]->value.len);
    return STR_NONE;
}

/* ---- bootstrap tokens ---- */

/* RFC 3339 to seconds; -1: not one. */
static int64_t parse_time(struct arena *a, struct str text)
{
    struct tm tm = {0};
    const char *s = arena_strndup(a, text.p ? text.p : "", text.n);
    const char *end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!end)
        return -1;
    int64_t at = timegm(&tm);
    if (*end == '.')
        for (end++; *end >= '0' && *end <= '9'; end++)
            ;
    int hours, minutes;
    if (strcmp(end, "Z") == 0)
        return at;
    if ((*end == '+' || *end == '-') && sscanf(end + 1, "%2d:%2d", &hours, &minutes) == 2)
        return at - (*end == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
    return -1;
}

static const char *reason_against(struct arena *a, const Core__V1__Secret *s, struct str id,
                                  struct str secret)
{
    struct str expires = data_of(s, "expiration");
    if (s->metadata->deletion_timestamp)
        return "is being deleted";
    if (strcmp(s->type, "bootstrap.kubernetes.io/token") != 0)
        return "is no bootstrap token";
    if (!str_eq_constant_time(data_of(s, "token-secret"), secret) ||
        !str_eq(data_of(s, "token-id"), id))
        return "is another token";
    if (expires.n && parse_time(a, expires) <= clock_wall_s())
        return "has expired";
    if (!str_eqz(data_of(s, "usage-bootstrap-authentication"), "true"))
        return "is not for authentication";
    return NULL;
}

/* A set, sorted. */
static void add_group(struct user *u, const char *group)
{
    size_t i = u->groups_len;
    while (i > 0 && strcmp(u->groups[i - 1], group) > 0)
        i--;
    if (i > 0 && strcmp(u->groups[i - 1], group) == 0)
        return;
    memmove(u->groups + i + 1, u->groups + i, (u->groups_len - i) * sizeof *u->groups);
    u->groups[i] = group;
    u->groups_len++;
}

const struct user *bootstrap_token_user(struct kv *kv, struct str id, struct str secret,
                                        struct arena *a, struct error *err)
{
    const Core__V1__Secret *s = load(
        kv, a, arena_printf(a, "/registry/secrets/kube-system/bootstrap-token-%.*s", STR_ARG(id)));
    const char *why = s ? reason_against(a, s, id, secret) : "is unknown";
    if (why) {
        error_set(err, ERR_DENIED, "bootstrap token %.*s %s", STR_ARG(id), why);
        return NULL;
    }
    struct user *u = arena_new(a, struct user);
    struct str extra = data_of(s, "auth-extra-groups"), group;
    u->name = arena_printf(a, "system:bootstrap:%.*s", STR_ARG(id));
    u->uid = "";
    u->groups = arena_array(a, const char *, extra.n / 2 + 4);
    u->groups[u->groups_len++] = "system:bootstrappers";
    while (extra.n && str_split(&extra, ',', &group)) {
        const char *text = arena_strndup(a, group.p, group.n);
        if (!bootstrap_group_valid(text)) {
            error_set(err, ERR_DENIED, "bootstrap token %.*s gives a bad group", STR_ARG(id));
            return NULL;
        }
        add_group(u, text);
    }
    u->groups[u->groups_len++] = "system:authenticated";
    return u;
}

/* ---- service accounts ---- */

bool secret_holds_token(struct kv *kv, const char *ns, const char *name, struct str token)
{
    struct arena a;
    arena_init(&a);
    const Core__V1__Secret *s = load(kv, &a, arena_printf(&a, "/registry/secrets/%s/%s", ns, name));
    bool holds =
        s && !s->metadata->deletion_timestamp && str_eq_constant_time(data_of(s, "token"), token);
    arena_free(&a);
    return holds;
}

int stored_uid(void *ctx, const char *resource, const char *ns, const char *name, char uid[64],
               int64_t *deleted_s)
{
    struct arena a;
    struct error err;
    struct kv_range_result out;
    arena_init(&a);
    const char *key = strcmp(resource, "nodes") == 0
                          ? arena_printf(&a, "/registry/minions/%s", name)
                          : arena_printf(&a, "/registry/%s/%s/%s", resource, ns, name);
    struct kv_range_request rq = {.key = str_from(key)};
    int rc = kv_range(ctx, &rq, &a, &out, &err);
    struct stored_meta m;
    if (rc == 0 && out.pairs_len == 1 && stored_meta(out.pairs[0].value, &m)) {
        snprintf(uid, 64, "%.*s", STR_ARG(m.uid));
        *deleted_s = m.deletion_timestamp;
        rc = 1;
    }
    arena_free(&a);
    return rc;
}
