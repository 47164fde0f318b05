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

#define TOO_LONG_63 "must be no more than 63 bytes"
#define TOO_LONG_253 "must be no more than 253 bytes"

/* None, one or both of two messages. */
#define MESSAGES(is_first, first, is_second, second) \
    ((is_first) ? (is_second) ? first "\n" second : first : (is_second) ? second : NULL)

#define LABEL_1035_MESSAGE                                                                       \
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an " \
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "         \
    "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
#define LABEL_VALUE_MESSAGE                                                                       \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "   \
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value'," \
    "  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
#define CONFIG_KEY_MESSAGE                                                               \
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. " \
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"

const char *validate_dns1123_label(const char *s)
{
    size_t n = strlen(s);
    return MESSAGES(n > LABEL_MAX, TOO_LONG_63, !matches(s, n, is_lower, "-"), LABEL_MESSAGE);
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
    return MESSAGES(n > SUBDOMAIN_MAX, TOO_LONG_253, !subdomain_syntax(s, n), SUBDOMAIN_MESSAGE);
}

const char *validate_dns1035_label(const char *s)
{
    size_t n = strlen(s);
    return MESSAGES(n > LABEL_MAX, TOO_LONG_63, !matches(s, n, is_lower, "-") || s[0] < 'a',
                    LABEL_1035_MESSAGE);
}

/* The part before the slash. */
static const char *check_prefix(const char *s, size_t n)
{
    if (n == 0)
        return "prefix part must be non-empty";
    return MESSAGES(n > SUBDOMAIN_MAX, "prefix part " TOO_LONG_253, !subdomain_syntax(s, n),
                    "prefix part " SUBDOMAIN_MESSAGE);
}

/* The part after it, in a prefixed name whose prefix is wrong in the way `PREFIX` says. */
#define NAME_PART(prefix)                                                        \
    (n == 0 ? prefix "name part must be non-empty\nname part " QUALIFIED_MESSAGE \
            : MESSAGES(n > LABEL_MAX, prefix "name part " TOO_LONG_63, !good,    \
                       prefix "name part " QUALIFIED_MESSAGE))

const char *validate_qualified_name(const char *s)
{
    const char *slash = strchr(s, '/'), *name = slash ? slash + 1 : s;
    if (slash && strchr(name, '/'))
        return "a valid label key " QUALIFIED_MESSAGE
               " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
    const char *prefix = slash ? check_prefix(s, (size_t)(slash - s)) : NULL;
    size_t n = strlen(name);
    bool good = matches(name, n, is_alnum, "-_.");
    const char *part = NAME_PART("");
    if (!prefix || !part)
        return prefix ? prefix : part;
    /* Both parts are wrong: the name's message follows the commonest of the prefix's. */
    if (slash == s)
        return NAME_PART("prefix part must be non-empty\n");
    return NAME_PART("prefix part " SUBDOMAIN_MESSAGE "\n");
}

const char *validate_label_value(const char *s)
{
    size_t n = strlen(s);
    return MESSAGES(n > LABEL_MAX, TOO_LONG_63, n > 0 && !matches(s, n, is_alnum, "-_."),
                    LABEL_VALUE_MESSAGE);
}

const char *validate_config_map_key(const char *s)
{
    size_t n = strlen(s);
    bool good = n > 0;
    for (size_t i = 0; i < n; i++)
        good = good && (is_alnum(s[i]) || strchr("-._", s[i]));
    if (strcmp(s, ".") == 0)
        return "must not be '.'";
    if (strcmp(s, "..") == 0)
        return "must not be '..'";
    if (good && strncmp(s, "..", 2) == 0)
        return MESSAGES(n > SUBDOMAIN_MAX, TOO_LONG_253, true, "must not start with '..'");
    if (strncmp(s, "..", 2) == 0)
        return CONFIG_KEY_MESSAGE "\nmust not start with '..'";
    return MESSAGES(n > SUBDOMAIN_MAX, TOO_LONG_253, !good, CONFIG_KEY_MESSAGE);
}

/* Any printable ASCII but '=' (the relaxed rule, on since v1.34). */
const char *validate_env_var_name(const char *s)
{
    if (!*s)
        return "environment variable name must be non-empty";
    for (; *s; s++) {
        if (*s < ' ' || *s > '~' || *s == '=')
            return "a valid environment variable name must consist only of printable ASCII "
                   "characters other than '='";
    }
    return NULL;
}

#define PORT_LONG "must be no more than 15 bytes"
#define PORT_CHARS "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
#define PORT_LETTER "must contain at least one letter (a-z)"
#define PORT_DOUBLE "must not contain consecutive hyphens"
#define PORT_EDGE "must not begin or end with a hyphen"

/* Every set of the five faults, by its bits: long, characters, letter, double hyphen, edge. */
#define P(l, c, t, d, e) l c t d e
#define P1(l, c, t, d) P(l, c, t, d, ""), P(l, c, t, d, PORT_EDGE "\n")
#define P2(l, c, t) P1(l, c, t, ""), P1(l, c, t, PORT_DOUBLE "\n")
#define P3(l, c) P2(l, c, ""), P2(l, c, PORT_LETTER "\n")
#define P4(l) P3(l, ""), P3(l, PORT_CHARS "\n")

const char *validate_port_name(const char *s)
{
    static const char *const faults[32] = {P4(""), P4(PORT_LONG "\n")};
    size_t n = strlen(s);
    bool letter = false, characters = n > 0;
    for (size_t i = 0; i < n; i++) {
        letter |= s[i] >= 'a' && s[i] <= 'z';
        characters = characters && (is_lower(s[i]) || s[i] == '-');
    }
    bool edge = n > 0 && (s[0] == '-' || s[n - 1] == '-');
    unsigned set = (n > 15 ? 16u : 0) | (characters ? 0 : 8u) | (letter ? 0 : 4u) |
                   (strstr(s, "--") ? 2u : 0) | (edge ? 1u : 0);
    return set ? faults[set] : NULL;
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
    return MESSAGES(strchr(s, '/'), "may not contain '/'", strchr(s, '%'), "may not contain '%'");
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
    {Core__V1__Event__SCHEMA, validate_path_segment},
    {Policy__V1__PodDisruptionBudget__SCHEMA, validate_path_segment},
    {Networking__V1__IPAddress__SCHEMA, any_name}, /* networking.c looks at it */
};

const char *validate_name_of(const struct resource *r, const char *name, bool prefix)
{
    char shortened[SUBDOMAIN_MAX + 2];
    if (prefix) { /* what is appended makes a trailing hyphen or dot good */
        size_t n = strlen(name);
        if (n >= sizeof shortened)
            return TOO_LONG_253;
        memcpy(shortened, name, n + 1);
        while (n > 1 && (shortened[n - 1] == '-'))
            shortened[--n] = 0;
        name = shortened;
    }
    const char *(*rule)(const char *) = validate_dns1123_subdomain;
    for (size_t i = 0; r && i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].message == r->message)
            rule = rules[i].rule;
    }
    const char *message = rule(name);
    return message ? message : validate_path_segment(name);
}
