/*
 * Syntax rules of names, labels, keys and addresses, with the published messages.
 */
#include "api/validation.h"
#include <arpa/inet.h>

#define LABEL_MAX 63
#define SUBDOMAIN_MAX 253

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

/* Starts and ends with `outer`, between them `outer` or one of `inner`. */
static bool matches(const char *s, size_t n, bool (*outer)(char), const char *inner)
{
    if (n == 0 || !outer(s[0]) || !outer(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!outer(s[i]) && !strchr(inner, s[i]))
            return false;
    }
    return true;
}

#define LABEL_MESSAGE                                                                            \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and " \
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "   \
    "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define SUBDOMAIN_MESSAGE                                                                         \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "  \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used " \
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define QUALIFIED_MESSAGE                                                                       \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " \
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "      \
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

const char *validate_dns1123_label(const char *s)
{
    size_t n = strlen(s);
    if (n > LABEL_MAX)
        return "must be no more than 63 bytes";
    return matches(s, n, is_lower, "-") ? NULL : LABEL_MESSAGE;
}

static bool subdomain_syntax(const char *s, size_t n)
{
    struct str rest = str_make(s, n), part;
    while (str_split(&rest, '.', &part)) {
        if (!matches(part.p, part.n, is_lower, "-"))
            return false;
    }
    return n > 0;
}

const char *validate_dns1123_subdomain(const char *s)
{
    size_t n = strlen(s);
    if (n > SUBDOMAIN_MAX)
        return "must be no more than 253 bytes";
    return subdomain_syntax(s, n) ? NULL : SUBDOMAIN_MESSAGE;
}

const char *validate_dns1035_label(const char *s)
{
    size_t n = strlen(s);
    if (n > LABEL_MAX)
        return "must be no more than 63 bytes";
    if (matches(s, n, is_lower, "-") && s[0] >= 'a')
        return NULL;
    return "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with "
           "an "
           "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
           "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
}

const char *validate_qualified_name(const char *s)
{
    const char *slash = strchr(s, '/'), *name = slash ? slash + 1 : s;
    if (slash && strchr(name, '/'))
        return "a valid label key " QUALIFIED_MESSAGE
               " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
    if (slash == s)
        return "prefix part must be non-empty";
    if (slash && slash - s > SUBDOMAIN_MAX)
        return "prefix part must be no more than 253 bytes";
    if (slash && !subdomain_syntax(s, (size_t)(slash - s)))
        return "prefix part " SUBDOMAIN_MESSAGE;
    size_t n = strlen(name);
    if (n == 0)
        return "name part must be non-empty";
    if (n > LABEL_MAX)
        return "name part must be no more than 63 bytes";
    return matches(name, n, is_alnum, "-_.") ? NULL : "name part " QUALIFIED_MESSAGE;
}

const char *validate_label_value(const char *s)
{
    size_t n = strlen(s);
    if (n > LABEL_MAX)
        return "must be no more than 63 bytes";
    if (n == 0 || matches(s, n, is_alnum, "-_."))
        return NULL;
    return "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' "
           "or "
           "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
           "'my_value',  or '12345', regex used for validation is "
           "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
}

const char *validate_config_map_key(const char *s)
{
    size_t n = strlen(s);
    if (n > SUBDOMAIN_MAX)
        return "must be no more than 253 bytes";
    if (strcmp(s, ".") == 0)
        return "must not be '.'";
    if (strcmp(s, "..") == 0)
        return "must not be '..'";
    if (strncmp(s, "..", 2) == 0)
        return "must not start with '..'";
    for (size_t i = 0; i < n; i++) {
        if (!is_alnum(s[i]) && !strchr("-._", s[i]))
            n = 0;
    }
    if (n > 0)
        return NULL;
    return "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
           "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
           "'[-._a-zA-Z0-9]+')";
}

/* Any printable ASCII but '=' (the relaxed rule, on since v1.34). */
const char *validate_env_var_name(const char *s)
{
    if (!*s)
        return "environment variable name must be non-empty";
    for (; *s; s++) {
        if (*s < ' ' || *s > '~' || *s == '=')
            return "a valid environment variable name must consist only of printable ASCII "
                   "characters "
                   "other than '='";
    }
    return NULL;
}

const char *validate_port_name(const char *s)
{
    size_t n = strlen(s);
    bool letter = false;
    if (n > 15)
        return "must be no more than 15 bytes";
    if (!matches(s, n, is_lower, "-"))
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
    for (size_t i = 0; i < n; i++)
        letter |= s[i] >= 'a' && s[i] <= 'z';
    if (!letter)
        return "must contain at least one letter (a-z)";
    return strstr(s, "--") ? "must not contain consecutive hyphens" : NULL;
}

const char *validate_port_number(int64_t port)
{
    return port >= 1 && port <= 65535 ? NULL : "must be between 1 and 65535, inclusive";
}

const char *validate_ip(const char *s)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, s, address) == 1 || inet_pton(AF_INET6, s, address) == 1)
        return NULL;
    return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
}

const char *validate_path_segment(const char *s)
{
    if (strcmp(s, ".") == 0)
        return "may not be '.'";
    if (strcmp(s, "..") == 0)
        return "may not be '..'";
    if (strchr(s, '/'))
        return "may not contain '/'";
    return strchr(s, '%') ? "may not contain '%'" : NULL;
}

/* --- by kind ------------------------------------------------------------------------------------
 */

static const char *cron_job_name(const char *s)
{
    /* Eleven characters go to the jobs' suffix. */
    return strlen(s) > 52 ? "must be no more than 52 characters" : validate_dns1123_subdomain(s);
}

static const char *any_name(const char *s)
{
    (void)s;
    return NULL;
}

/* Kinds that are not named by a DNS subdomain. */
static const struct {
    int message;
    const char *(*rule)(const char *s);
} rules[] = {
    {Core__V1__Namespace__SCHEMA, validate_dns1123_label},
    {Core__V1__Service__SCHEMA, validate_dns1035_label},
    {Batch__V1__CronJob__SCHEMA, cron_job_name},
    {Rbac__V1__Role__SCHEMA, validate_path_segment},
    {Rbac__V1__ClusterRole__SCHEMA, validate_path_segment},
    {Rbac__V1__RoleBinding__SCHEMA, validate_path_segment},
    {Rbac__V1__ClusterRoleBinding__SCHEMA, validate_path_segment},
    {Apiregistration__V1__APIService__SCHEMA, validate_path_segment},
    {Certificates__V1__CertificateSigningRequest__SCHEMA, any_name},
    {Networking__V1__IPAddress__SCHEMA, validate_ip},
};

const char *validate_name_of(const struct resource *r, const char *name, bool prefix)
{
    char shortened[SUBDOMAIN_MAX + 2];
    if (prefix) { /* what is appended makes a trailing hyphen or dot good */
        size_t n = strlen(name);
        if (n >= sizeof shortened)
            return "must be no more than 253 bytes";
        memcpy(shortened, name, n + 1);
        while (n > 1 && (shortened[n - 1] == '-'))
            shortened[--n] = 0;
        name = shortened;
    }
    const char *segment = validate_path_segment(name);
    if (segment)
        return segment;
    for (size_t i = 0; r && i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].message == r->message)
            return rules[i].rule(name);
    }
    return validate_dns1123_subdomain(name);
}
