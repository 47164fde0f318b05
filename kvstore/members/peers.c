/*
 * What the transport asks about peers (raft/peer_rules.h): who is let in, by the member list, by the
 * certificate shown and by feature level; and the answers to those who ask before they are members.
 *
 * A certificate must be that of a member, not just of the peers' CA:
 *   - it may be used for servers and for clients (a member is both; a client's certificate of the same CA
 *     is not enough),
 *   - its common name is options.peer_allowed_cn, and one of its names is one of
 *     options.peer_allowed_hostnames, when these are given,
 *   - of a member in the list it names a host of that member's peer URLs: so a member cannot speak as
 *     another one.
 */
#include "kvstore/members/members.h"
#include "kvstore/members/level.h"
#include "kvstore/store.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/varint.h"
#include "net/x509.h"
#include <inttypes.h>
#include <strings.h>

#define ANSWER_VERSION 1

int member_url_address(struct str url, char out[256], bool *secure, struct error *err)
{
    struct str rest;
    uint64_t port;
    *secure = str_has_prefix(url, STR("https://"));
    if (!*secure && !str_has_prefix(url, STR("http://")))
        return error_set(err, ERR_INVALID, "peer URL %.*s: must begin with http:// or https://",
                         STR_ARG(url));
    rest = str_slice(url, *secure ? 8 : 7, url.n);
    ptrdiff_t slash = str_find_char(rest, '/');
    if (slash >= 0 && (size_t)slash + 1 < rest.n)
        return error_set(err, ERR_INVALID, "peer URL %.*s: must not have a path", STR_ARG(url));
    if (slash >= 0)
        rest = str_slice(rest, 0, (size_t)slash);
    ptrdiff_t colon = -1;
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] == ':')
            colon = (ptrdiff_t)i;
    if (colon <= 0 || !str_to_u64(str_slice(rest, (size_t)colon + 1, rest.n), &port) ||
        port > 65535 || rest.n > 255)
        return error_set(err, ERR_INVALID, "peer URL %.*s: must name a host and a port",
                         STR_ARG(url));
    memcpy(out, rest.p, rest.n);
    out[rest.n] = 0;
    return 0;
}

/* ---- certificates ---- */

static bool same_name(struct str a, struct str b)
{
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

/* One label of the name may be "*", the first. */
static bool name_matches(const char *pattern, struct str host)
{
    if (same_name(str_from(pattern), host))
        return true;
    ptrdiff_t dot = str_find_char(host, '.');
    return pattern[0] == '*' && pattern[1] == '.' && dot > 0 &&
           same_name(str_from(pattern + 1), str_slice(host, (size_t)dot, host.n));
}

static bool names_host(const struct tls_peer *tls, struct str host)
{
    for (size_t i = 0; i < tls->dns_names_len; i++)
        if (name_matches(tls->dns_names[i], host))
            return true;
    for (size_t i = 0; i < tls->ip_addresses_len; i++)
        if (str_eqz(host, tls->ip_addresses[i]))
            return true;
    return false;
}

/* "10.0.0.1:2380" → "10.0.0.1", "[::1]:2380" → "::1" */
static struct str host_of(const char *address)
{
    struct str s = str_from(address);
    size_t colon = s.n;
    while (colon > 0 && s.p[colon - 1] != ':')
        colon--;
    s = str_slice(s, 0, colon ? colon - 1 : 0);
    return s.n > 2 && s.p[0] == '[' ? str_slice(s, 1, s.n - 1) : s;
}

/* What holds for every peer's certificate. NULL tls: a plain connection, nothing to check. */
static bool certificate_of_a_peer(const struct kv *kv, const struct tls_peer *tls,
                                  struct error *why)
{
    const struct kv_options *o = &kv->o;
    const unsigned both = X509_USAGE_SERVER | X509_USAGE_CLIENT;
    if (!tls) /* nobody asked for one, or TLS is not in use */
        return true;
    if (tls->usage && (tls->usage & both) != both) {
        error_set(why, ERR_DENIED, "its certificate (%s) is not a member's: it is not for both %s",
                  tls->common_name, "servers and clients");
        return false;
    }
    if (o->peer_allowed_cn_len) {
        bool ok = false;
        for (size_t i = 0; i < o->peer_allowed_cn_len; i++)
            ok |= str_eqz(o->peer_allowed_cn[i], tls->common_name);
        if (!ok) {
            error_set(why, ERR_DENIED, "its certificate's common name %s is not allowed",
                      tls->common_name);
            return false;
        }
    }
    bool named = o->peer_allowed_hostnames_len == 0;
    for (size_t i = 0; i < o->peer_allowed_hostnames_len && !named; i++)
        named = names_host(tls, o->peer_allowed_hostnames[i]);
    if (!named)
        error_set(why, ERR_DENIED, "its certificate (%s) has none of the allowed host names",
                  tls->common_name);
    return named;
}

/* The certificate is that of this member's addresses. m->lock held. */
static bool certificate_of_member(const struct kv_member *member, const struct tls_peer *tls,
                                  struct error *why)
{
    char address[256];
    bool secure;
    if (!tls || tls->dns_names_len + tls->ip_addresses_len == 0)
        return true;
    for (size_t i = 0; i < member->peer_urls_len; i++)
        if (member_url_address(member->peer_urls[i], address, &secure, NULL) == 0 &&
            names_host(tls, host_of(address)))
            return true;
    error_set(why, ERR_DENIED,
              "its certificate (%s) is not of that member's address: it is somebody else",
              tls->common_name);
    return false;
}

/* ---- rules ---- */

unsigned members_heard(const struct members *m, uint64_t id)
{
    for (size_t i = 0; i < m->heard_len; i++)
        if (m->heard[i].id == id)
            return m->heard[i].level;
    return 0;
}

static void hear(struct members *m, uint64_t id, unsigned level)
{
    for (size_t i = 0; i < m->heard_len; i++)
        if (m->heard[i].id == id) {
            m->heard[i].level = level;
            return;
        }
    if (m->heard_len == MEMBERS_HEARD_MAX)
        memmove(&m->heard[0], &m->heard[1], --m->heard_len * sizeof m->heard[0]);
    m->heard[m->heard_len].id = id;
    m->heard[m->heard_len++].level = level;
}

static enum raft_admission admit(void *ctx, uint64_t from, unsigned level,
                                 const struct tls_peer *tls, struct error *why)
{
    struct kv *kv = ctx;
    struct members *m = &kv->members;
    if (!certificate_of_a_peer(kv, tls, why))
        return RAFT_ADMIT_REFUSE;
    enum raft_admission verdict = RAFT_ADMIT;
    pthread_mutex_lock(&m->lock);
    const struct kv_member *member = member_find(&m->now, from);
    if (member_removed(&m->now, from)) {
        verdict = RAFT_ADMIT_REMOVED;
    } else if (level < m->now.level) {
        verdict = RAFT_ADMIT_REFUSE;
        error_set(why, ERR_UNSUPPORTED, "its program knows feature level %u, the cluster is at %u",
                  level, m->now.level);
    } else if (member && !certificate_of_member(member, tls, why)) {
        verdict = RAFT_ADMIT_REFUSE;
    } else {
        hear(m, from, level);
        verdict = member ? RAFT_ADMIT : RAFT_ADMIT_STRANGER;
    }
    pthread_mutex_unlock(&m->lock);
    return verdict;
}

static bool is_member(void *ctx, uint64_t id, const struct tls_peer *tls, struct error *why)
{
    (void)id; /* the handshake has compared the certificate with the host that we called */
    return certificate_of_a_peer(ctx, tls, why);
}

static void on_removed(void *ctx, uint64_t by)
{
    members_self_removed(ctx, by);
}

/* The first of this member's peer URLs. */
static void identity(void *ctx, struct buf *out)
{
    struct kv *kv = ctx;
    pthread_mutex_lock(&kv->members.lock);
    const struct kv_member *own = member_find(&kv->members.now, kv->member_id);
    if (own && own->peer_urls_len)
        buf_append_str(out, own->peer_urls[0]);
    pthread_mutex_unlock(&kv->members.lock);
}

/* A member that we do not know of yet: answer it where it says that it is. */
static void on_identity(void *ctx, uint64_t id, struct str url)
{
    struct kv *kv = ctx;
    struct kv_member member = {.id = id, .peer_urls = &url, .peer_urls_len = 1};
    pthread_mutex_lock(&kv->members.lock);
    if (kv->driver && !member_find(&kv->members.now, id) && !member_removed(&kv->members.now, id))
        driver_set_peer(kv->driver, &member);
    pthread_mutex_unlock(&kv->members.lock);
}

/* ---- questions ---- */

static bool answer(void *ctx, struct str question, const struct tls_peer *tls, struct buf *out,
                   struct error *why)
{
    struct kv *kv = ctx;
    struct members *m = &kv->members;
    struct raft_node_status st;
    struct buf b;
    if (!certificate_of_a_peer(kv, tls, why))
        return false;
    if (!str_eq(question, MEMBERS_QUESTION))
        return error_set(why, ERR_INVALID, "it asks something unknown") == 0;
    buf_init(&b);
    pthread_mutex_lock(&m->lock);
    buf_append_varint(out, ANSWER_VERSION);
    buf_append_varint(out, kv->cluster_id);
    buf_append_varint(out, kv->member_id);
    buf_append_varint(out, atomic_load(&kv->applied));
    members_encode(&m->now, &b);
    buf_append_varint_bytes(out, buf_str(&b));
    buf_clear(&b);
    cluster_encode(&m->now, &b);
    buf_append_varint_bytes(out, buf_str(&b));
    buf_append_varint(out, m->heard_len);
    for (size_t i = 0; i < m->heard_len; i++)
        buf_append_varint(out, m->heard[i].id);
    buf_clear(&b);
    driver_status(kv->driver, &st);
    buf_append_varint(out, st.change);
    raft_config_encode(&m->config, &b);
    buf_append_varint_bytes(out, buf_str(&b));
    pthread_mutex_unlock(&m->lock);
    buf_free(&b);
    return true;
}

int member_answer_decode(struct str in, struct arena *a, struct member_answer *out,
                         struct error *err)
{
    struct varint_reader r = {.left = in};
    *out = (struct member_answer){0};
    if (varint_read(&r) != ANSWER_VERSION)
        return error_set(err, ERR_UNSUPPORTED, "an answer of another version");
    out->cluster_id = varint_read(&r);
    out->member_id = varint_read(&r);
    out->applied = varint_read(&r);
    struct str members = varint_read_bytes(&r), cluster = varint_read_bytes(&r);
    uint64_t n = varint_read(&r);
    r.failed |= n > MEMBERS_HEARD_MAX;
    for (uint64_t i = 0; i < n && !r.failed; i++)
        vec_push(&out->heard, varint_read(&r));
    bool old = !r.failed && r.left.n == 0; /* of a program that did not say the following */
    out->change = old ? 0 : varint_read(&r);
    struct str config = old ? STR_NONE : varint_read_bytes(&r);
    if (r.failed)
        return error_set(err, ERR_CORRUPT, "the answer has a wrong form");
    int rc = members_decode(members, a, &out->records, err);
    if (rc == 0)
        rc = cluster_decode(cluster, a, &out->records, err);
    if (rc == 0 && !old)
        rc = raft_config_decode(config, &out->config, err);
    for (size_t i = 0; rc == 0 && old && i < out->records.items.len; i++)
        raft_ids_add(&out->config.voters, out->records.items.items[i].id);
    return rc;
}

void member_answer_free(struct member_answer *a)
{
    member_records_free(&a->records);
    vec_free(&a->heard);
}

const struct raft_peer_rules kv_peer_rules = {.admit = admit,
                                              .is_member = is_member,
                                              .on_removed = on_removed,
                                              .identity = identity,
                                              .on_identity = on_identity,
                                              .answer = answer};
