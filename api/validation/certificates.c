/*
 * Validation of certificate signing requests. What an older server let in may stay as it is; who decides and who signs
 * come by their own subresources, and may change nothing else.
 */
#include "api/meta.h"
#include "api/validation/diff.h"
#include "api/validation/internal.h"
#include "api/validation/pem.h"
#include "base/encode.h"
#include "proto/certificates_v1.pb-c.h"

#define EXPIRATION_SECONDS_MIN 600
#define DOMAIN_MAX 253
#define SIGNER_NAME_MAX 571

typedef Certificates__V1__CertificateSigningRequest Csr;
typedef Certificates__V1__CertificateSigningRequestCondition Condition;

/* What is tolerated because it is there already. */
struct tolerance {
    bool both_decisions, legacy_signer, twice_conditions, empty_conditions, any_certificate,
        twice_usages, any_usages;
};

static const char *const known_usages[] = {"any",
                                           "cert sign",
                                           "client auth",
                                           "code signing",
                                           "content commitment",
                                           "crl sign",
                                           "data encipherment",
                                           "decipher only",
                                           "digital signature",
                                           "email protection",
                                           "encipher only",
                                           "ipsec end system",
                                           "ipsec tunnel",
                                           "ipsec user",
                                           "key agreement",
                                           "key encipherment",
                                           "microsoft sgc",
                                           "netscape sgc",
                                           "ocsp signing",
                                           "s/mime",
                                           "server auth",
                                           "signing",
                                           "timestamping",
                                           NULL};

/* ---- the signer: "example.com/name" ---- */

static void check_parts(struct field_errors *e, const struct path *at, const char *value,
                        const char *(*rule)(const char *))
{
    struct str rest = str_from(value), part;
    while (str_split(&rest, '.', &part)) {
        const char *label = arena_strndup(e->arena, part.p, part.n);
        const char *wrong = rule(label);
        struct str messages = str_from(wrong ? wrong : ""), line;
        while (wrong && str_split(&messages, '\n', &line))
            err_invalid(
                e, at, value,
                arena_printf(e->arena, "validating label \"%s\": %.*s", label, STR_ARG(line)));
        if (wrong)
            return;
    }
}

static void check_signer_name(struct field_errors *e, const struct path *at, const char *name)
{
    const char *slash = strchr(name, '/');
    if (!check_required(e, at, name))
        return;
    if (!slash || strchr(slash + 1, '/')) {
        err_invalid(
            e, at, name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'");
        return;
    }
    const char *domain = arena_strndup(e->arena, name, (size_t)(slash - name));
    if (strlen(domain) > DOMAIN_MAX)
        err_too_long(e, at, DOMAIN_MAX);
    check_parts(e, at, domain, validate_dns1123_label);
    if (!strchr(domain, '.'))
        err_invalid(e, at, domain,
                    "should be a domain with at least two segments separated by dots");
    check_parts(e, at, slash + 1, validate_dns1123_subdomain);
    if (strlen(name) > SIGNER_NAME_MAX)
        err_too_long(e, at, SIGNER_NAME_MAX);
}

/* ---- PEM ---- */

/* Bytes as JSON has them. */
static const char *bytes_text(struct arena *a, const ProtobufCBinaryData *data)
{
    if (data->len == 0)
        return "null";
    struct buf b;
    buf_init(&b);
    base64_encode(&b, str_make(data->data, data->len));
    const char *text = field_quote(a, buf_cstr(&b));
    buf_free(&b);
    return text;
}

static struct str bytes_of(const ProtobufCBinaryData *data)
{
    return str_make(data->data, data->len);
}

/* NULL when there are only certificates, or nothing. */
static const char *certificate_problem(struct arena *a, const ProtobufCBinaryData *pem)
{
    return pem->len ? pem_certificates_problem(a, bytes_of(pem)) : NULL;
}

/* ---- conditions ---- */

static size_t count_type(const Csr *csr, size_t n, const char *type)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += cstr_eq(csr->status->conditions[i]->type, type);
    return found;
}

static void check_request_conditions(struct field_errors *e, const Csr *csr,
                                     const struct tolerance *may)
{
    const struct path *at = AT(AT(NULL, "status"), "conditions");
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < csr->status->n_conditions; i++) {
        const Condition *c = csr->status->conditions[i];
        const struct path *type = AT(ITEM(at, i), "type"), *status = AT(ITEM(at, i), "status");
        if (!may->empty_conditions)
            check_required(e, type, c->type);
        if (is_one_of(c->type, ONE_OF("Approved", "Denied", "Failed")))
            check_required_one_of(e, status, c->status, ONE_OF("True"));
        else
            check_required_one_of(e, status, c->status, ONE_OF("False", "True", "Unknown"));
        if (!may->both_decisions && ((cstr_eq(c->type, "Approved") && seen_has(&seen, "Denied")) ||
                                     (cstr_eq(c->type, "Denied") && seen_has(&seen, "Approved"))))
            err_invalid(e, at, c->type, "Approved and Denied conditions are mutually exclusive");
        if (seen_again(&seen, c->type) && !may->twice_conditions)
            err_duplicate(e, type, c->type);
    }
}

/* ---- the whole ---- */

static void check_usages(struct field_errors *e, const struct path *at,
                         const Certificates__V1__CertificateSigningRequestSpec *spec,
                         const struct tolerance *may)
{
    if (spec->n_usages == 0)
        err_required(e, at, "");
    for (size_t i = 0; i < spec->n_usages && !may->any_usages; i++)
        check_one_of(e, ITEM(at, i), spec->usages[i], known_usages);
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_usages && !may->twice_usages; i++) {
        if (seen_again(&seen, spec->usages[i]))
            err_duplicate(e, ITEM(at, i), spec->usages[i]);
    }
}

static void check_request(struct field_errors *e, const Csr *csr, const struct tolerance *may)
{
    const Certificates__V1__CertificateSigningRequestSpec *spec = csr->spec;
    const struct path *signer = AT(SPEC, "signerName");
    const char *wrong = pem_request_problem(e->arena, bytes_of(&spec->request));
    if (wrong)
        err_invalid_raw(e, AT(SPEC, "request"), bytes_text(e->arena, &spec->request), wrong);
    check_usages(e, AT(SPEC, "usages"), spec, may);
    if (!may->legacy_signer && cstr_eq(spec->signer_name, "kubernetes.io/legacy-unknown"))
        err_invalid(e, signer, spec->signer_name,
                    "the legacy signerName is not allowed via this API version");
    else
        check_signer_name(e, signer, spec->signer_name);
    if (spec->has_expiration_seconds && spec->expiration_seconds < EXPIRATION_SECONDS_MIN)
        err_invalid_int(e, AT(SPEC, "expirationSeconds"), spec->expiration_seconds,
                        "may not specify a duration less than 600 seconds (10 minutes)");
    check_request_conditions(e, csr, may);
    wrong = may->any_certificate ? NULL : certificate_problem(e->arena, &csr->status->certificate);
    if (wrong)
        err_invalid(e, AT(AT(NULL, "status"), "certificate"), "<certificate data>", wrong);
}

static bool same_bytes(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static struct tolerance tolerance_of(struct arena *a, const Csr *csr, const Csr *old)
{
    const ProtobufCBinaryData *was = &old->status->certificate;
    size_t n = old->status->n_conditions;
    struct tolerance may = {
        .both_decisions = count_type(old, n, "Approved") > 0 && count_type(old, n, "Denied") > 0,
        .legacy_signer = cstr_eq(old->spec->signer_name, "kubernetes.io/legacy-unknown"),
        .empty_conditions = count_type(old, n, "") > 0,
        .any_certificate =
            same_bytes(&csr->status->certificate, was) || certificate_problem(a, was)};
    struct seen types = {.arena = a}, seen = {.arena = a};
    for (size_t i = 0; i < n; i++)
        may.twice_conditions |= seen_again(&types, old->status->conditions[i]->type);
    for (size_t i = 0; i < old->spec->n_usages; i++) {
        may.any_usages |= !is_one_of(old->spec->usages[i], known_usages);
        may.twice_usages |= seen_again(&seen, old->spec->usages[i]);
    }
    return may;
}

/* Conditions of a type, in their order, as they were? Both have as many. */
static bool same_of_type(const Csr *csr, const Csr *old, const char *type)
{
    size_t k = 0;
    for (size_t i = 0; i < csr->status->n_conditions; i++) {
        if (!cstr_eq(csr->status->conditions[i]->type, type))
            continue;
        while (!cstr_eq(old->status->conditions[k]->type, type))
            k++;
        if (!object_equal(csr->status->conditions[i], old->status->conditions[k++]))
            return false;
    }
    return true;
}

/* Those of one type; count_type() of them. */
static const void *const *conditions_of(struct arena *a, const Csr *csr, const char *type)
{
    const void **found = arena_array(a, const void *, csr->status->n_conditions + 1);
    size_t n = 0;
    for (size_t i = 0; i < csr->status->n_conditions; i++)
        if (cstr_eq(csr->status->conditions[i]->type, type))
            found[n++] = csr->status->conditions[i];
    return found;
}

static void check_decisions(struct field_errors *e, const Csr *csr, const Csr *old, bool may_set)
{
    static const char *const types[] = {"Approved", "Denied", "Failed"};
    const struct path *at = AT(AT(NULL, "status"), "conditions");
    size_t now[3], was[3];
    for (int i = 0; i < 3; i++) {
        now[i] = count_type(csr, csr->status->n_conditions, types[i]);
        was[i] = count_type(old, old->status->n_conditions, types[i]);
        if (now[i] < was[i])
            err_forbidden(e, at,
                          arena_printf(e->arena,
                                       "updates may not remove a condition of type \"%s\"",
                                       types[i]));
    }
    for (int i = 0; i < 2 && !may_set; i++) {
        if (now[i] > was[i])
            err_forbidden(
                e, at,
                arena_printf(e->arena, "updates may not add a condition of type \"%s\"", types[i]));
        else if (now[i] == was[i] && !same_of_type(csr, old, types[i]))
            err_forbidden(
                e, at,
                arena_printf(
                    e->arena, "updates may not modify a condition of type \"%s\"\n%s", types[i],
                    internal_list_diff(e->arena, conditions_of(e->arena, old, types[i]), was[i],
                                       conditions_of(e->arena, csr, types[i]), now[i])));
    }
}

static void check_change(struct field_errors *e, const Csr *csr, const Csr *old,
                         bool may_set_decisions, bool may_set_certificate)
{
    struct tolerance may = tolerance_of(e->arena, csr, old);
    const struct path *certificate = AT(AT(NULL, "status"), "certificate");
    check_request(e, csr, &may);
    check_decisions(e, csr, old, may_set_decisions);
    if (same_bytes(&csr->status->certificate, &old->status->certificate))
        return;
    if (!may_set_certificate)
        err_forbidden(e, certificate, "updates may not set certificate content");
    else if (old->status->certificate.len > 0)
        err_forbidden(e, certificate, "updates may not modify existing certificate content");
}

static void validate_request(const void *object, struct field_errors *e)
{
    check_request(e, object, &(struct tolerance){0});
}

static void validate_request_update(const void *object, const void *old, struct field_errors *e)
{
    check_change(e, object, old, false, false);
}

static void validate_approval(const void *object, const void *old, struct field_errors *e)
{
    check_change(e, object, old, true, false);
}

static void validate_signing(const void *object, const void *old, struct field_errors *e)
{
    check_change(e, object, old, false, true);
}

static const struct sub_rule subs[] = {{"approval", validate_approval}, {NULL}};

static const struct kind_rules rows[] = {
    {.message = Certificates__V1__CertificateSigningRequest__SCHEMA,
     .create = validate_request,
     .update = validate_request_update,
     .update_alone = true,
     .status = validate_signing,
     .subs = subs},
};
const struct rule_table certificate_rules = RULE_TABLE(rows);
