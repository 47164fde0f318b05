/*
 * Warnings that several kinds share: labels of nodes, fractions of bytes, addresses.
 */
#include "api/quantity.h"
#include "api/selector.h"
#include "api/validation/warner.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

const char *node_label_deprecated(const char *label)
{
    static const char *const old[][2] = {
        {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
        {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
        {"failure-domain.beta.kubernetes.io/region",
         "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
        {"failure-domain.beta.kubernetes.io/zone",
         "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
        {"beta.kubernetes.io/instance-type",
         "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
        {"app.kubernetes.io/created-by", "deprecated since v1.9"},
        {"scheduler.alpha.kubernetes.io/preferAvoidPods",
         "deprecated since v1.22; use Taints and Tolerations instead"},
        {"node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"},
    };
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        if (cstr_eq(old[i][0], label))
            return old[i][1];
    }
    return NULL;
}

void warn_node_selector_term(struct warner *w, const char *at,
                             const Core__V1__NodeSelectorTerm *term, bool values)
{
    for (size_t i = 0; i < term->n_match_expressions; i++) {
        const Core__V1__NodeSelectorRequirement *r = term->match_expressions[i];
        const char *why = node_label_deprecated(r->key);
        if (why)
            WARN(w, "%s.matchExpressions[%zu].key: %s is %s", at, i, r->key, why);
        for (size_t k = 0; values && k < r->n_values; k++) {
            const char *wrong = validate_label_value(r->values[k]);
            if (wrong)
                WARN(w, "%s.matchExpressions[%zu].values[%zu]: %s is invalid, %s", at, i, k,
                     r->values[k], wrong);
        }
    }
}

void warn_fraction(struct warner *w, const char *at, const char *name, const char *amount)
{
    const int64_t nano = 1000000000;
    if (quantity_of(amount).nanos % nano != 0)
        WARN(w, "%s[%s]: fractional byte value \"%s\" is invalid, must be an integer", at, name,
             amount);
}

void warn_claim_spec(struct warner *w, const char *at,
                     const Core__V1__PersistentVolumeClaimSpec *spec)
{
    const Core__V1__VolumeResourceRequirements *r = spec->resources;
    const char *request = r ? quantity_map_get(r->requests, r->n_requests, "storage") : NULL;
    const char *limit = r ? quantity_map_get(r->limits, r->n_limits, "storage") : NULL;
    if (request)
        warn_fraction(w, arena_printf(w->arena, "%s.resources.requests", at), "storage", request);
    if (limit)
        warn_fraction(w, arena_printf(w->arena, "%s.resources.limits", at), "storage", limit);
}

/* ---- addresses ---- */

struct address {
    unsigned char bytes[16];
    bool v6, mapped; /* mapped: an IPv4 address in IPv6's clothes */
    char text[INET6_ADDRSTRLEN];
};

static bool parse(const char *s, struct address *out)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    *out = (struct address){.v6 = strchr(s, ':') != NULL};
    if (inet_pton(out->v6 ? AF_INET6 : AF_INET, s, out->bytes) != 1)
        return false;
    out->mapped = out->v6 && memcmp(out->bytes, mapped, 12) == 0;
    if (out->mapped)
        inet_ntop(AF_INET, out->bytes + 12, out->text, sizeof out->text);
    else
        inet_ntop(out->v6 ? AF_INET6 : AF_INET, out->bytes, out->text, sizeof out->text);
    return true;
}

void warn_ip(struct warner *w, const char *at, const char *ip)
{
    struct address a;
    if (!parse(ip, &a))
        return;
    if (a.mapped)
        WARN(w,
             "%s: non-standard IP address \"%s\" will be considered invalid in a future Kubernetes "
             "release: use \"%s\"",
             at, ip, a.text);
    else if (a.v6 && strcmp(a.text, ip) != 0)
        WARN(w, "%s: IPv6 address \"%s\" should be in RFC 5952 canonical format (\"%s\")", at, ip,
             a.text);
}

void warn_cidr(struct warner *w, const char *at, const char *cidr)
{
    const char *slash = strchr(cidr, '/');
    struct address a, net;
    int64_t prefix;
    if (!slash || !parse(arena_strndup(w->arena, cidr, (size_t)(slash - cidr)), &a) ||
        !str_to_i64(str_from(slash + 1), &prefix) || prefix < 0 || prefix > (a.v6 ? 128 : 32))
        return;
    net = a;
    for (int bit = (int)prefix; bit < (a.v6 ? 128 : 32); bit++)
        net.bytes[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
    inet_ntop(a.v6 ? AF_INET6 : AF_INET, net.bytes, net.text, sizeof net.text);
    if (memcmp(a.bytes, net.bytes, sizeof a.bytes) != 0)
        WARN(w,
             "%s: CIDR value \"%s\" is ambiguous in this context (should be \"%s/%d\" or "
             "\"%s/%d\"?)",
             at, cidr, net.text, (int)prefix, a.text, a.v6 ? 128 : 32);
    else if (a.v6 && !a.mapped &&
             strcmp(arena_printf(w->arena, "%s/%d", a.text, (int)prefix), cidr) != 0)
        WARN(w, "%s: IPv6 CIDR value \"%s\" should be in RFC 5952 canonical format (\"%s/%d\")", at,
             cidr, a.text, (int)prefix);
}
