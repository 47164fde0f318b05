/*
 * Content negotiation: see negotiate.h.
 */
#include "apiserver/rest/negotiate.h"
#include <stdlib.h>

static struct accept_clause clause_parse(struct str text)
{
    struct accept_clause c = {.q = 1};
    struct str part;
    if (!str_split(&text, ';', &part))
        return c;
    c.type = str_trim(part);
    while (str_split(&text, ';', &part)) {
        struct str value = part, key;
        str_split(&value, '=', &key);
        key = str_trim(key);
        value = str_trim(value);
        if (str_ieq(key, STR("as")))
            c.as = value;
        else if (str_ieq(key, STR("v")))
            c.version = value;
        else if (str_ieq(key, STR("g")))
            c.group = value;
        else if (str_ieq(key, STR("stream")))
            c.stream = value;
        else if (str_ieq(key, STR("pretty")))
            c.pretty = str_eqz(value, "1");
        else if (str_ieq(key, STR("q"))) {
            char digits[16] = {0};
            memcpy(digits, value.p ? value.p : "", value.n < 15 ? value.n : 15);
            c.q = atof(digits);
        }
    }
    return c;
}

bool accept_clause_next(struct str *rest, struct accept_clause *out)
{
    struct str part;
    if (!rest->n || !str_split(rest, ',', &part))
        return false;
    *out = clause_parse(part);
    return true;
}

bool negotiate_gzip(struct str header)
{
    struct accept_clause c;
    while (accept_clause_next(&header, &c))
        if (c.q > 0 && (str_ieq(c.type, STR("gzip")) || str_eqz(c.type, "*")))
            return true;
    return false;
}

static bool media_of(struct str type, enum media *out)
{
    if (str_ieq(type, STR("application/json")) || str_eqz(type, "*/*") ||
        str_ieq(type, STR("application/*")))
        *out = MEDIA_JSON;
    else if (str_ieq(type, STR("application/vnd.kubernetes.protobuf")))
        *out = MEDIA_PROTOBUF;
    else if (str_ieq(type, STR("application/yaml")))
        *out = MEDIA_YAML;
    else
        return false;
    return true;
}

static bool clause_serves(const struct accept_clause *c, bool discovery, struct accept *out)
{
    *out = (struct accept){0};
    if (!media_of(c->type, &out->media))
        return false;
    out->known_type = true;
    out->pretty = c->pretty;
    if (c->as.n == 0)
        return true;
    if (discovery) {
        if (!str_eqz(c->as, "APIGroupDiscoveryList") || !str_eqz(c->group, "apidiscovery.k8s.io") ||
            out->media != MEDIA_JSON)
            return false;
        out->aggregated_v2 = str_eqz(c->version, "v2");
        out->aggregated_v2beta1 = str_eqz(c->version, "v2beta1");
        return out->aggregated_v2 || out->aggregated_v2beta1;
    }
    if (!str_eqz(c->group, "meta.k8s.io"))
        return false;
    out->v1beta1 = str_eqz(c->version, "v1beta1");
    if (!out->v1beta1 && !str_eqz(c->version, "v1"))
        return false;
    out->as_list = str_eqz(c->as, "PartialObjectMetadataList");
    if (str_eqz(c->as, "Table") && out->media != MEDIA_PROTOBUF)
        out->transform = TRANSFORM_TABLE;
    else if (str_eqz(c->as, "PartialObjectMetadata") || out->as_list)
        out->transform = TRANSFORM_METADATA;
    else
        return false;
    return true;
}

static int specificity(struct str type)
{
    return str_eqz(type, "*/*") ? 0 : str_has_suffix(type, STR("/*")) ? 1 : 2;
}

/* What is asked for: not everything has every form. */
enum asked_of { OF_RESOURCE, OF_DISCOVERY, OF_CUSTOM, OF_TABLELESS };

static bool has_form(enum asked_of of, const struct accept *a)
{
    if (of == OF_CUSTOM) /* no protobuf form but that of their metadata */
        return a->media != MEDIA_PROTOBUF || a->transform == TRANSFORM_METADATA;
    return of != OF_TABLELESS || a->transform != TRANSFORM_TABLE;
}

/* The clause most wanted of those that can be served. */
static bool choose(struct str header, enum asked_of of, struct accept *out)
{
    *out = (struct accept){0};
    if (str_trim(header).n == 0)
        return true;
    struct accept_clause c;
    double best = 0;
    int how = 0;
    bool found = false, known = false;
    while (accept_clause_next(&header, &c)) {
        struct accept candidate;
        bool serves = clause_serves(&c, of == OF_DISCOVERY, &candidate) && has_form(of, &candidate);
        known |= candidate.known_type;
        if (!serves || c.q <= 0 || c.q < best ||
            (c.q == best && found && specificity(c.type) <= how))
            continue;
        best = c.q;
        how = specificity(c.type);
        *out = candidate;
        found = true;
    }
    out->known_type = known;
    return found;
}

bool negotiate_accept(struct str header, bool discovery, struct accept *out)
{
    return choose(header, discovery ? OF_DISCOVERY : OF_RESOURCE, out);
}

bool negotiate_accept_custom(struct str header, struct accept *out)
{
    return choose(header, OF_CUSTOM, out);
}

bool negotiate_accept_tableless(struct str header, struct accept *out)
{
    return choose(header, OF_TABLELESS, out);
}

bool negotiate_content_type(struct str header, enum media *out)
{
    *out = MEDIA_JSON;
    struct str type;
    if (str_trim(header).n == 0 || !str_split(&header, ';', &type))
        return true;
    type = str_trim(type);
    return str_find_char(type, '*') < 0 && media_of(type, out);
}

const char *media_type(enum media media)
{
    switch (media) {
    case MEDIA_JSON:
        return "application/json";
    case MEDIA_PROTOBUF:
        return "application/vnd.kubernetes.protobuf";
    case MEDIA_YAML:
        return "application/yaml";
    }
    return "application/json";
}
