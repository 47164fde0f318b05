/*
 * Where a webhook is called: the form of its URL, or of a reference to a service.
 */
#include "api/validation/admission.h"
#include "base/mem.h"
#include <ctype.h>

/* A URL taken apart; slices of it. */
struct url {
    struct str scheme, user, host, query, fragment;
    bool has_user;
};

/* `"text"` as Go quotes it, for what it says about a URL. */
static const char *problem(struct arena *a, const char *what, struct str value)
{
    return arena_printf(a, "%s %s", what, field_quote(a, arena_strndup(a, value.p, value.n)));
}

static struct str until(struct str s, const char *stops)
{
    size_t n = 0;
    while (n < s.n && !strchr(stops, s.p[n]))
        n++;
    return str_slice(s, 0, n);
}

/* A '%' is followed by two hexadecimal digits. */
static const char *escape_problem(struct arena *a, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%')
            continue;
        if (i + 2 >= s.n || !isxdigit((unsigned char)s.p[i + 1]) ||
            !isxdigit((unsigned char)s.p[i + 2]))
            return problem(a, "invalid URL escape", str_slice(s, i, MIN(i + 3, s.n)));
    }
    return NULL;
}

/* Of what is escaped in a host's name, only what is not ASCII is right. */
static const char *host_escape_problem(struct arena *a, struct str host)
{
    const char *wrong = escape_problem(a, host);
    for (size_t i = 0; !wrong && i < host.n; i++) {
        struct str escape = str_slice(host, i, MIN(i + 3, host.n));
        if (host.p[i] == '%' && host.p[i + 1] < '8' && !str_eqz(escape, "%25"))
            return problem(a, "invalid URL escape", escape);
    }
    return wrong;
}

static const char *host_problem(struct arena *a, struct str host)
{
    struct str port = {0};
    const char *wrong = host_escape_problem(a, host);
    if (wrong)
        return wrong;
    for (size_t i = 0; i < host.n; i++) {
        if ((unsigned char)host.p[i] <= ' ' || strchr("^`{}|\\", host.p[i]))
            return arena_printf(a, "%s in host name",
                                problem(a, "invalid character", str_slice(host, i, i + 1)));
    }
    if (host.n && host.p[0] == '[') {
        const char *end = memrchr(host.p, ']', host.n);
        if (!end)
            return "missing ']' in host";
        port = str_slice(host, (size_t)(end + 1 - host.p), host.n);
    } else {
        const char *colon = host.n ? memrchr(host.p, ':', host.n) : NULL;
        if (colon)
            port = str_slice(host, (size_t)(colon - host.p), host.n);
    }
    bool good = port.n == 0 || port.p[0] == ':';
    for (size_t i = 1; i < port.n; i++)
        good = good && isdigit((unsigned char)port.p[i]);
    return good ? NULL : arena_printf(a, "%s after host", problem(a, "invalid port", port));
}

/* NULL, or what is wrong. */
static const char *take_scheme(struct str *rest, struct url *out)
{
    size_t n = 0;
    while (n < rest->n && (isalnum((unsigned char)rest->p[n]) || strchr("+-.", rest->p[n])) &&
           (n > 0 || isalpha((unsigned char)rest->p[n])))
        n++;
    if (n == rest->n || rest->p[n] != ':')
        return NULL;
    if (n == 0)
        return "missing protocol scheme";
    out->scheme = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, n + 1, rest->n);
    return NULL;
}

static const char *take_authority(struct arena *a, struct str *rest, struct url *out)
{
    struct str authority = until(str_slice(*rest, 2, rest->n), "/");
    const char *at = authority.n ? memrchr(authority.p, '@', authority.n) : NULL;
    *rest = str_slice(*rest, 2 + authority.n, rest->n);
    out->host = authority;
    if (at) {
        out->has_user = true;
        out->user = str_slice(authority, 0, (size_t)(at - authority.p));
        out->host = str_slice(authority, out->user.n + 1, authority.n);
    }
    for (size_t i = 0; i < out->user.n; i++) {
        if (!isalnum((unsigned char)out->user.p[i]) &&
            !strchr("-._:~!$&'()*+,;=%@", out->user.p[i]))
            return "net/url: invalid userinfo";
    }
    return host_problem(a, out->host);
}

/* As Go's net/url does; NULL, or what is wrong in its words. */
static const char *take_apart(struct arena *a, const char *text, struct url *out)
{
    struct str rest = until(str_from(text), "#");
    const char *wrong;
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return "net/url: invalid control character in URL";
    }
    if (text[rest.n])
        out->fragment = str_from(text + rest.n + 1);
    if ((wrong = take_scheme(&rest, out)))
        return wrong;
    struct str path = until(rest, "?");
    if (path.n < rest.n)
        out->query = str_slice(rest, path.n + 1, rest.n);
    if (path.n == 0 || path.p[0] != '/') {
        bool colon = str_find_char(until(path, "/"), ':') >= 0;
        return out->scheme.n == 0 && colon ? "first path segment in URL cannot contain colon"
                                           : NULL;
    }
    if (str_has_prefix(path, STR("//")) && (wrong = take_authority(a, &path, out)))
        return wrong;
    return escape_problem(a, path);
}

void check_webhook_url(struct field_errors *e, const struct path *at, const char *url)
{
    static const char form[] = "; desired format: https://host[/path]";
    struct url u = {0};
    const char *wrong = take_apart(e->arena, url, &u);
    if (wrong) {
        err_required(e, at,
                     arena_printf(e->arena, "url must be a valid URL: parse %s: %s%s",
                                  field_quote(e->arena, url), wrong, form));
        return;
    }
    char *scheme = arena_strndup(e->arena, u.scheme.p, u.scheme.n);
    for (char *c = scheme; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (strcmp(scheme, "https") != 0)
        err_invalid(e, at, scheme,
                    arena_printf(e->arena, "'https' is the only allowed URL scheme%s", form));
    if (u.host.n == 0)
        err_invalid(e, at, "", arena_printf(e->arena, "host must be specified%s", form));
    if (u.has_user)
        err_invalid(e, at, arena_strndup(e->arena, u.user.p, u.user.n),
                    "user information is not permitted in the URL");
    if (u.fragment.n)
        err_invalid(e, at, arena_strndup(e->arena, u.fragment.p, u.fragment.n),
                    "fragments are not permitted in the URL");
    if (u.query.n)
        err_invalid(e, at, arena_strndup(e->arena, u.query.p, u.query.n),
                    "query parameters are not permitted in the URL");
}

static void check_service_path(struct field_errors *e, const struct path *at, const char *path)
{
    if (!*path || strcmp(path, "/") == 0)
        return;
    if (strcmp(path, "//") == 0) {
        err_invalid(e, at, path, "segment[0] may not be empty");
        return;
    }
    if (path[0] != '/')
        err_invalid(e, at, path, "must start with a '/'");
    struct str rest = str_from(path + 1), step; /* whatever it is that comes first */
    if (str_has_suffix(rest, STR("/")))
        rest = str_slice(rest, 0, rest.n - 1);
    for (size_t i = 0; str_split(&rest, '/', &step); i++) {
        if (step.n == 0) {
            err_invalid(e, at, path, arena_printf(e->arena, "segment[%zu] may not be empty", i));
            continue;
        }
        const char *wrong = validate_dns1123_subdomain(arena_strndup(e->arena, step.p, step.n));
        struct str messages = str_from(wrong ? wrong : ""), line;
        while (str_split(&messages, '\n', &line)) {
            if (line.n)
                err_invalid(e, at, path,
                            arena_printf(e->arena, "segment[%zu]: %.*s", i, STR_ARG(line)));
        }
    }
}

/* A missing name is reported at the namespace, and the other way round: as published. */
void check_webhook_service(struct field_errors *e, const struct path *at, const char *namespace_,
                           const char *name, const char *path, int64_t port)
{
    const char *wrong = validate_port_number(port);
    check_required(e, AT(at, "name"), namespace_);
    check_required(e, AT(at, "namespace"), name);
    if (wrong)
        err_invalid_int(e, AT(at, "port"), port,
                        arena_printf(e->arena, "port is not valid: %s", wrong));
    if (path)
        check_service_path(e, AT(at, "path"), path);
}
