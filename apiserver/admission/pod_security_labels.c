/*
 * What a namespace's labels say about the security of its pods: see pod_security.h.
 */
#include "api/object.h"
#include "apiserver/admission/pod_security.h"
#include "base/str.h"

#define LABEL "pod-security.kubernetes.io/"

static const char *const level_names[] = {"privileged", "baseline", "restricted"};

bool pod_security_parse_level(const char *text, enum pod_security_level *out)
{
    for (int i = 0; i < 3; i++)
        if (strcmp(level_names[i], text) == 0) {
            *out = (enum pod_security_level)i;
            return true;
        }
    return false;
}

bool pod_security_parse_version(const char *text, struct pod_security_policy *p)
{
    int64_t minor;
    p->latest = true;
    if (strcmp(text, "latest") == 0)
        return true;
    if (strncmp(text, "v1.", 3) != 0 || text[3] < '0' || text[3] > '9' ||
        (text[3] == '0' && text[4]) || !str_to_i64(str_from(text + 3), &minor) || minor > 1 << 20)
        return false;
    p->latest = false;
    p->minor = (int)minor;
    return true;
}

static void say(struct pod_security_labels *out, const char *label, const char *value,
                const char *reason)
{
    out->errors[out->errors_len].label = label;
    out->errors[out->errors_len].value = value;
    out->errors[out->errors_len++].reason = reason;
}

/* Bad labels enforce the strictest level, and warn and audit nothing. */
void pod_security_labels_of(const Meta__V1__ObjectMeta *ns,
                            const struct pod_security_labels *defaults,
                            struct pod_security_labels *out)
{
    static const char *const level_labels[] = {LABEL "enforce", LABEL "audit", LABEL "warn"};
    static const char *const version_labels[] = {LABEL "enforce-version", LABEL "audit-version",
                                                 LABEL "warn-version"};
    *out = (struct pod_security_labels){
        .enforce.latest = true, .audit.latest = true, .warn.latest = true};
    if (defaults)
        *out = *defaults;
    struct pod_security_policy *policies[] = {&out->enforce, &out->audit, &out->warn};
    bool level_good[3] = {false};
    for (int i = 0; i < 3; i++) {
        const char *level = labels_get(ns, level_labels[i]);
        const char *version = labels_get(ns, version_labels[i]);
        level_good[i] = level && pod_security_parse_level(level, &policies[i]->level);
        if (level && !level_good[i]) {
            policies[i]->level = i == 0 ? POD_SECURITY_RESTRICTED : POD_SECURITY_PRIVILEGED;
            say(out, level_labels[i], level, "must be one of privileged, baseline, restricted");
        }
        if (version && !pod_security_parse_version(version, policies[i]))
            say(out, version_labels[i], version, "must be \"latest\" or \"v1.x\"");
    }
    if (!labels_get(ns, LABEL "warn") && level_good[0] && out->enforce.level > out->warn.level) {
        out->warn.level = out->enforce.level;
        if (!labels_get(ns, LABEL "warn-version")) {
            out->warn.latest = out->enforce.latest;
            out->warn.minor = out->enforce.minor;
        }
    }
}

const char *pod_security_policy_text(struct arena *a, const struct pod_security_policy *p)
{
    return p->latest ? arena_printf(a, "%s:latest", level_names[p->level])
                     : arena_printf(a, "%s:v1.%d", level_names[p->level], p->minor);
}
