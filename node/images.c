/*
 * Images (see images.h).
 */
#include "node/images.h"
#include "api/meta.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/mem.h"
#include <ctype.h>
#include <yyjson.h>

/* ---------------------------------------------------------------------------- credentials --- */

/* "registry.example:5000" of "registry.example:5000/a/b:1"; Docker Hub has no host in its names. */
static struct str registry_of(const char *image)
{
    struct str rest = str_from(image), first;

    str_split(&rest, '/', &first);
    if (rest.p && (str_find_char(first, '.') >= 0 || str_find_char(first, ':') >= 0 ||
                   str_eqz(first, "localhost")))
        return first;
    return STR("index.docker.io");
}

/* Keys of the file are host names, or URLs with the host in them. */
static bool key_matches(struct str key, struct str registry)
{
    static const struct str schemes[] = {{"https://", 8}, {"http://", 7}};
    struct str host;

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (str_has_prefix(key, schemes[i]))
            key = str_slice(key, schemes[i].n, key.n);
    }
    str_split(&key, '/', &host);
    return str_eq(host, registry) ||
           (str_eqz(registry, "index.docker.io") && str_eqz(host, "docker.io"));
}

static const char *text_member(yyjson_val *entry, const char *name, struct arena *a)
{
    const char *s = yyjson_get_str(yyjson_obj_get(entry, name));

    return s ? arena_strdup(a, s) : NULL;
}

bool image_credentials(struct str docker_config, const char *image, struct arena *a,
                       struct cri_auth *out)
{
    yyjson_doc *doc = yyjson_read(docker_config.p, docker_config.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *auths = yyjson_obj_get(root, "auths");
    yyjson_val *key, *entry;
    size_t i, n;
    bool found = false;

    if (!auths)
        auths = root; /* the older form of the file */
    if (!yyjson_is_obj(auths)) {
        yyjson_doc_free(doc);
        return false;
    }
    yyjson_obj_foreach (auths, i, n, key, entry) {
        if (!key_matches(str_make(yyjson_get_str(key), yyjson_get_len(key)), registry_of(image)))
            continue;
        *out = (struct cri_auth){.username = text_member(entry, "username", a),
                                 .password = text_member(entry, "password", a),
                                 .auth = text_member(entry, "auth", a),
                                 .identity_token = text_member(entry, "identitytoken", a)};
        found = true;
        break;
    }
    yyjson_doc_free(doc);
    return found;
}

/* The first of the pod's pull secrets that knows the registry. */
static bool pod_credentials(const struct pod_context *x, const char *image, struct arena *a,
                            struct cri_auth *out)
{
    for (size_t i = 0; i < x->pod->spec->n_image_pull_secrets; i++) {
        const char *name = x->pod->spec->image_pull_secrets[i]->name;
        const Core__V1__Secret *secret;

        if (x->secret(x->ctx, x->pod->metadata->namespace_, name, a, &secret, NULL) < 0)
            continue; /* kubelet tries without, too */
        for (size_t k = 0; k < secret->n_data; k++) {
            struct str content = str_make(secret->data[k]->value.data, secret->data[k]->value.len);
            bool config = cstr_eq(secret->data[k]->key, ".dockerconfigjson") ||
                          cstr_eq(secret->data[k]->key, ".dockercfg");
            if (config && image_credentials(content, image, a, out))
                return true;
        }
    }
    return false;
}

/* ---------------------------------------------------------------------------------- pulls --- */

static bool name_ok(const char *image)
{
    if (!image || !*image)
        return false;
    for (const char *s = image; *s; s++) {
        if (isspace((unsigned char)*s) || (unsigned char)*s < 32)
            return false;
    }
    return true;
}

static int fail(struct agent *g, const struct pod_context *x, const Core__V1__Container *c,
                struct image_failure *f, const char *reason, const char *message, struct arena *a)
{
    *f = (struct image_failure){reason, arena_strdup(a, message)};
    agent_event(g, x->pod, c->name, EVENT_WARNING, "Failed", "%s", message);
    agent_event(g, x->pod, c->name, EVENT_WARNING, "Failed", "Error: %s", reason);
    return ERR_UNAVAILABLE;
}

static int pull(struct agent *g, const struct pod_context *x, const Core__V1__Container *c,
                struct arena *a, struct image_failure *f)
{
    struct cri_auth auth;
    bool has_auth = pod_credentials(x, c->image, a, &auth);
    uint64_t began = clock_mono_ns(), took_ms;
    const char *ref;
    struct error err = {0};

    agent_event(g, x->pod, c->name, EVENT_NORMAL, "Pulling", "Pulling image \"%s\"", c->image);
    if (cri_pull_image(g->cri, c->image, has_auth ? &auth : NULL, NULL, a, &ref, &err) < 0)
        return fail(g, x, c, f, "ErrImagePull",
                    arena_printf(a, "Failed to pull image \"%s\": %s", c->image, err.message), a);
    took_ms = (clock_mono_ns() - began) / NS_PER_MS;
    agent_event(g, x->pod, c->name, EVENT_NORMAL, "Pulled",
                "Successfully pulled image \"%s\" in %llu.%03llus", c->image,
                (unsigned long long)(took_ms / 1000), (unsigned long long)(took_ms % 1000));
    return 0;
}

int image_ensure(struct agent *g, const struct pod_context *x, const Core__V1__Container *c,
                 struct arena *a, struct image_info *out, struct image_failure *f)
{
    bool always = cstr_eq(c->image_pull_policy, "Always");
    CriImage *image = NULL;
    struct error err = {0};

    if (!name_ok(c->image))
        return fail(g, x, c, f, "InvalidImageName",
                    arena_printf(a,
                                 "Failed to apply default image tag \"%s\": couldn't parse image "
                                 "name: invalid reference format",
                                 c->image ? c->image : ""),
                    a);
    if (cri_image_status(g->cri, c->image, a, &image, &err) < 0)
        return fail(g, x, c, f, "ImageInspectError",
                    arena_printf(a, "Failed to inspect image \"%s\": %s", c->image, err.message),
                    a);
    if (!image && cstr_eq(c->image_pull_policy, "Never"))
        return fail(g, x, c, f, "ErrImageNeverPull",
                    arena_printf(a,
                                 "Container image \"%s\" is not present with pull policy of Never",
                                 c->image),
                    a);
    if (!image || always) {
        int rc = pull(g, x, c, a, f);
        if (rc < 0)
            return rc;
        if (cri_image_status(g->cri, c->image, a, &image, &err) < 0 || !image)
            return fail(
                g, x, c, f, "ImageInspectError",
                arena_printf(a, "Failed to inspect image \"%s\": %s", c->image, err.message), a);
    } else {
        agent_event(g, x->pod, c->name, EVENT_NORMAL, "Pulled",
                    "Container image \"%s\" already present on machine", c->image);
    }
    *out = (struct image_info){
        .ref = image->id,
        .uid = image->uid ? image->uid->value : -1,
        .user = image->username ? image->username : "",
    };
    return 0;
}
