/*
 * Which handler serves an authorised resource request.
 */
#include "apiserver/rest/rest.h"
#include "api/custom/custom.h"
#include "apiserver/custom/registry.h"
#include "apiserver/event_lease.h"

/* Resources without storage answer only what the request itself says. */
static bool is_review(const struct resource *r)
{
    return strcmp(r->group, "authentication.k8s.io") == 0 ||
           strcmp(r->group, "authorization.k8s.io") == 0;
}

static void dispatch_whole(struct rest *rq)
{
    switch (rq->info.verb) {
    case VERB_GET:
        rest_get(rq);
        return;
    case VERB_LIST:
        rest_list(rq);
        return;
    case VERB_WATCH:
        rest_watch(rq);
        return;
    case VERB_CREATE:
        rest_create(rq);
        return;
    case VERB_UPDATE:
        rest_update(rq);
        return;
    case VERB_PATCH:
        rest_patch(rq);
        return;
    case VERB_DELETE:
        rest_delete(rq);
        return;
    case VERB_DELETECOLLECTION:
        rest_delete_collection(rq);
        return;
    }
    rest_status(rq, status_method_not_allowed(rq->a, &rq->about, rq->info.verb_str));
}

static void dispatch_virtual(struct rest *rq)
{
    if (rq->r->message == Core__V1__ComponentStatus__SCHEMA)
        rest_component_status(rq);
    else if (rq->info.verb != VERB_CREATE)
        rest_status(rq, status_path_not_found(rq->a));
    else if (is_review(rq->r))
        rest_review(rq);
    else if (strcmp(rq->r->plural, "bindings") == 0)
        rest_binding(rq);
    else
        rest_status(rq, status_path_not_found(rq->a));
}

static void dispatch_sub(struct rest *rq)
{
    const char *sub = rq->sub->name;
    enum verb verb = rq->info.verb;
    if (strcmp(sub, "scale") == 0) {
        if (verb == VERB_GET)
            rest_scale_get(rq);
        else
            rest_scale_update(rq);
    } else if (strcmp(sub, "binding") == 0) {
        rest_binding(rq);
    } else if (strcmp(sub, "eviction") == 0) {
        rest_eviction(rq);
    } else if (strcmp(sub, "log") == 0) {
        rest_log(rq);
    } else if (strcmp(sub, "proxy") == 0) {
        rest_proxy(rq);
    } else if (request_is_connect(&rq->info)) {
        rest_connect(rq);
    } else if (strcmp(sub, "token") == 0) {
        rest_token(rq);
    } else if (strcmp(sub, "status") == 0 || strcmp(sub, "finalize") == 0 ||
               strcmp(sub, "approval") == 0 || strcmp(sub, "ephemeralcontainers") == 0 ||
               strcmp(sub, "resize") == 0) {
        if (verb == VERB_GET)
            rest_get(rq);
        else if (verb == VERB_PATCH)
            rest_patch(rq);
        else
            rest_update(rq);
    } else {
        rest_status(rq, status_new(rq->a, 501, "NotImplemented", "%s/%s is not served yet",
                                   rq->r->plural, sub));
    }
}

static void dispatch(struct rest *rq)
{
    if (rq->sub)
        dispatch_sub(rq);
    else if (!*rq->r->storage_prefix)
        dispatch_virtual(rq);
    else
        dispatch_whole(rq);
}

static bool writes_events(const struct rest *rq)
{
    return rq->r->stored_as == Core__V1__Event__SCHEMA &&
           (rq->info.verb & (VERB_CREATE | VERB_UPDATE | VERB_PATCH));
}

static void lease_ready(struct rest *rq, int code)
{
    struct error err;
    if (code == 0) {
        dispatch(rq);
        return;
    }
    error_set(&err, code, "no lease for events");
    rest_status(rq, status_from_error(rq->a, &err));
}

/* Fill in r, sub and about from the path; false: answered. */
static bool resolve(struct rest *rq)
{
    const struct request_info *i = &rq->info;
    struct str group = str_from(i->group), version = str_from(i->version);
    rq->r = resource_find(group, version, str_from(i->resource));
    if (!rq->r) /* released with the exchange */
        rq->r = custom_resource_find(rq->server->custom, group, version, str_from(i->resource));
    bool bad_scope =
        rq->r && !rq->r->namespaced && *i->ns && strcmp(i->resource, "namespaces") != 0;
    bool proxied = strcmp(i->subresource, "proxy") == 0;
    bool no_ns = rq->r && rq->r->namespaced && !*i->ns;
    /* A list's name is that of its field selector, and the path has none. */
    bool named = *i->name && !(i->verb & (VERB_LIST | VERB_WATCH | VERB_DELETECOLLECTION));
    bad_scope |= no_ns && (named || (rq->r->custom && i->verb == VERB_CREATE));
    if (!rq->r || bad_scope || ((*i->rest || i->gaps) && !proxied)) {
        rest_page_not_found(rq);
        return false;
    }
    rq->about = (struct status_about){rq->r->group, rq->r->plural, rq->r->kind, i->name};
    uint32_t verbs = rq->r->verbs;
    if (*i->subresource) {
        rq->sub = resource_subresource(rq->r, str_from(i->subresource));
        if (!rq->sub) {
            rest_status(rq, status_path_not_found(rq->a));
            return false;
        }
        verbs = rq->sub->verbs;
        if (proxied && !i->verb && !str_eqz(rq->x->method, "TRACE"))
            return true; /* any other method */
        if (rq->r->custom && !(verbs & i->verb)) {
            rest_status(rq, status_method_not_allowed(rq->a, &rq->about, i->verb_str));
            return false;
        }
    }
    bool head = str_eqz(rq->x->method, "HEAD") && strcmp(i->subresource, "proxy") != 0;
    bool needs_ns = no_ns && i->verb == VERB_CREATE;
    bool nameless = (i->verb & (VERB_UPDATE | VERB_PATCH)) && !*i->name;
    if (!(verbs & i->verb) || needs_ns || head || nameless ||
        (i->verb == VERB_CREATE && *i->name && !*i->subresource)) {
        rest_status(rq, status_no_method(rq->a));
        return false;
    }
    return true;
}

/* What users of a built-in resource are told: of the stable ones, these two are deprecated. */
static const char *deprecation_of(const struct resource *r)
{
    if (r->message == Core__V1__Endpoints__SCHEMA)
        return "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
    if (r->message == Core__V1__ComponentStatus__SCHEMA)
        return "v1 ComponentStatus is deprecated in v1.19+";
    return NULL;
}

static bool negotiate(struct rest *rq)
{
    struct str header = http_header_get(rq->x, "accept");
    if (rq->r->custom)
        return negotiate_accept_custom(header, &rq->accept);
    if ((rq->sub ? rq->sub->verbs : rq->r->verbs) == VERB_CREATE)
        return negotiate_accept_tableless(header, &rq->accept);
    return negotiate_accept(header, false, &rq->accept);
}

void rest_dispatch(struct rest *rq)
{
    if (!resolve(rq))
        return;
    if (rq->sub && strcmp(rq->sub->name, "proxy") == 0) {
        dispatch(rq); /* what is acceptable is for whoever answers to say */
        return;
    }
    const struct custom_version *custom = rq->r->custom;
    if (!negotiate(rq)) {
        bool known = rq->accept.known_type || custom; /* of built-in ones the path decides first */
        struct str accept = http_header_get(rq->x, "accept");
        /* A Status has a protobuf form where custom resources have none. */
        if (!negotiate_accept(accept, false, &rq->accept) || rq->accept.transform != TRANSFORM_NONE)
            rq->accept = (struct accept){0};
        rest_status(rq,
                    known ? status_not_acceptable(rq->a, ACCEPTED_MEDIA) : status_no_media(rq->a));
        return;
    }
    const char *deprecated = custom ? custom->warning : deprecation_of(rq->r);
    if (deprecated)
        rest_warn(rq, deprecated);
    rq->warnings_kept = rq->warnings_len;
    if (writes_events(rq))
        event_lease_ensure(rq, lease_ready);
    else
        dispatch(rq);
}
