/*
 * TaintNodesByCondition: a new node takes no pods until it has said that it is ready.
 * DefaultTolerationSeconds: pods stay five minutes on a node that is not heard of.
 */
#include "apiserver/admission/admission.h"
#include "proto/core_v1.pb-c.h"

#define NOT_READY "node.kubernetes.io/not-ready"
#define UNREACHABLE "node.kubernetes.io/unreachable"
#define TOLERATION_S 300

static struct status *taint_node(struct admission *ad)
{
    if (ad->op != ADMIT_CREATE || !admission_is(ad, Core__V1__Node__SCHEMA, ""))
        return NULL;
    Core__V1__Node *node = ad->object;
    for (size_t i = 0; i < node->spec->n_taints; i++)
        if (strcmp(node->spec->taints[i]->key, NOT_READY) == 0 &&
            strcmp(node->spec->taints[i]->effect, "NoSchedule") == 0)
            return NULL;
    Core__V1__Taint *t = api_new(ad->a, Core__V1__Taint);
    t->key = (char *)NOT_READY;
    t->effect = (char *)"NoSchedule";
    api_append(ad->a, node->spec, taints, t);
    return NULL;
}

static bool tolerates(const Core__V1__PodSpec *spec, const char *taint)
{
    for (size_t i = 0; i < spec->n_tolerations; i++) {
        const Core__V1__Toleration *t = spec->tolerations[i];
        if ((!*t->key || strcmp(t->key, taint) == 0) &&
            (!*t->effect || strcmp(t->effect, "NoExecute") == 0))
            return true;
    }
    return false;
}

static void tolerate(struct arena *a, Core__V1__PodSpec *spec, const char *taint)
{
    if (tolerates(spec, taint))
        return;
    Core__V1__Toleration *t = api_new(a, Core__V1__Toleration);
    t->key = (char *)taint;
    t->operator_ = (char *)"Exists";
    t->effect = (char *)"NoExecute";
    api_set(t, toleration_seconds, TOLERATION_S);
    api_append(a, spec, tolerations, t);
}

static struct status *tolerate_pod(struct admission *ad)
{
    if (ad->op == ADMIT_DELETE || !admission_is(ad, Core__V1__Pod__SCHEMA, ""))
        return NULL;
    Core__V1__Pod *pod = ad->object;
    tolerate(ad->a, pod->spec, NOT_READY);
    tolerate(ad->a, pod->spec, UNREACHABLE);
    return NULL;
}

const struct admission_plugin admission_taint_nodes = {.name = "TaintNodesByCondition",
                                                       .mutate = taint_node};
const struct admission_plugin admission_tolerations = {.name = "DefaultTolerationSeconds",
                                                       .mutate = tolerate_pod};
