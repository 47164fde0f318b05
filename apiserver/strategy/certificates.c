/*
 * Certificate signing requests: who asks is recorded, and then nothing of the request changes; approval
 * writes conditions only; signing writes the certificate, and cannot approve.
 */
#include "api/meta.h"
#include "apiserver/strategy/strategy.h"
#include "base/map.h"
#include "proto/certificates_v1.pb-c.h"

typedef Certificates__V1__CertificateSigningRequest Csr;
typedef Certificates__V1__CertificateSigningRequestCondition Condition;

static void complete_create(struct write *w, void *obj)
{
    Csr *csr = obj;
    struct arena *a = w->rq->a;
    const struct user *u = w->rq->user;
    csr->spec->username = (char *)u->name;
    csr->spec->uid = (char *)u->uid;
    csr->spec->n_groups = csr->spec->n_extra = 0;
    for (size_t i = 0; i < u->groups_len; i++)
        api_append(a, csr->spec, groups, (char *)u->groups[i]);
    for (size_t i = 0; i < u->extra_len; i++) {
        Certificates__V1__ExtraValueEntry *e = api_new(a, Certificates__V1__ExtraValueEntry);
        e->key = (char *)u->extra[i].key;
        for (size_t k = 0; k < u->extra[i].values_len; k++)
            api_append(a, e->value, items, (char *)u->extra[i].values[k]);
        api_append(a, csr->spec, extra, e);
    }
}

static void prepare_update(struct write *w, void *obj, const void *old)
{
    (void)w;
    object_share_member(obj, old, "spec");
}

/* ---- conditions ---- */

static struct str name_of(struct arena *a, const Condition *c)
{
    return str_from(arena_printf(a, "%s\n%s", c->type, c->status));
}

static void stamp(struct arena *a, Csr *csr, const Csr *old)
{
    struct map known; /* nobody has counted them yet */
    map_init(&known);
    for (size_t i = old->status->n_conditions; i-- > 0;) /* of equal ones the first */
        map_put(&known, name_of(a, old->status->conditions[i]), old->status->conditions[i]);
    for (size_t i = 0; i < csr->status->n_conditions; i++) {
        Condition *c = csr->status->conditions[i];
        if (time_is_zero(c->last_update_time))
            c->last_update_time = time_now(a);
        if (!time_is_zero(c->last_transition_time))
            continue;
        const Condition *was = map_get(&known, name_of(a, c));
        c->last_transition_time = was && !time_is_zero(was->last_transition_time)
                                      ? was->last_transition_time
                                      : time_now(a);
    }
    map_free(&known);
}

/* Conditions of a type stay as they are: to approve or deny is not for who signs. Where there are more or fewer of
 * them than before, validation refuses that. */
static void keep_conditions(Csr *csr, const Csr *old, const char *type)
{
    size_t now = 0, before = 0;
    for (size_t i = 0; i < csr->status->n_conditions; i++)
        now += strcmp(csr->status->conditions[i]->type, type) == 0;
    for (size_t i = 0; i < old->status->n_conditions; i++)
        before += strcmp(old->status->conditions[i]->type, type) == 0;
    for (size_t i = 0, k = 0; now == before && i < csr->status->n_conditions; i++) {
        if (strcmp(csr->status->conditions[i]->type, type) != 0)
            continue;
        while (strcmp(old->status->conditions[k]->type, type) != 0)
            k++;
        csr->status->conditions[i] = old->status->conditions[k++];
    }
}

static void prepare_status(struct write *w, void *obj, const void *old)
{
    Csr *csr = obj;
    const Csr *before = old;
    if (w->rq->sub && strcmp(w->rq->sub->name, "approval") == 0) {
        csr->status->has_certificate = before->status->has_certificate;
        csr->status->certificate = before->status->certificate;
    } else {
        keep_conditions(csr, before, "Approved");
        keep_conditions(csr, before, "Denied");
    }
    stamp(w->rq->a, csr, before);
}

const struct strategy strategy_certificate_request = {
    .message = Certificates__V1__CertificateSigningRequest__SCHEMA,
    .complete_create = complete_create,
    .prepare_update = prepare_update,
    .prepare_status = prepare_status,
};
