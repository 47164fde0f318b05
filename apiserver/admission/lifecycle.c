/*
 * NamespaceLifecycle: objects are only made in namespaces that exist and are not going, nor are tokens, bindings and
 * evictions; the namespaces that a cluster cannot do without stay.
 */
#include "apiserver/admission/admission.h"
#include "proto/core_v1.pb-c.h"

static bool is_immortal(const char *name)
{
    return strcmp(name, "default") == 0 || strcmp(name, "kube-system") == 0 ||
           strcmp(name, "kube-public") == 0;
}

static struct status *terminating(struct admission *ad)
{
    struct status *s = admission_forbidden(
        ad, "unable to create new content in namespace %s because it is being terminated", ad->ns);
    status_cause_add(ad->a, s, "NamespaceTerminating", "metadata.namespace",
                     "namespace %s is being terminated", ad->ns);
    return s;
}

static struct str namespace_key(struct arena *a, const char *ns)
{
    static const char prefix[] = "/registry/namespaces/";
    size_t n = strlen(ns);
    char *key = arena_alloc(a, sizeof prefix - 1 + n);
    memcpy(key, prefix, sizeof prefix - 1);
    memcpy(key + sizeof prefix - 1, ns, n);
    return str_make(key, sizeof prefix - 1 + n);
}

static struct status *admit(struct admission *ad)
{
    if (ad->op == ADMIT_DELETE)
        return admission_is(ad, Core__V1__Namespace__SCHEMA, "") && is_immortal(ad->name)
                   ? admission_forbidden(ad, "this namespace may not be deleted")
                   : NULL;
    if (!ad->r->namespaced || ad->op != ADMIT_CREATE)
        return NULL;
    void *object;
    int64_t mod_rev;
    struct error err;
    int rc = admission_load(ad, CACHED_NAMESPACES, "", ad->ns, &object, &mod_rev, &err);
    if (rc < 0)
        return status_from_error(ad->a, &err);
    if (rc == 0) {
        struct status_about ns = {"", "namespaces", "Namespace", ad->ns};
        return status_not_found(ad->a, &ns);
    }
    const Core__V1__Namespace *ns = object;
    if (ns->metadata->deletion_timestamp)
        return terminating(ad);
    /* Nothing may be added once the emptying of the namespace has begun. What a subresource makes (a token, a binding, an
     * eviction) leaves nothing more behind. */
    if (!*ad->sub)
        write_extra_unchanged(ad->w, namespace_key(ad->a, ad->ns), mod_rev);
    return NULL;
}

const struct admission_plugin admission_namespace_lifecycle = {.name = "NamespaceLifecycle",
                                                               .mutate = admit};
