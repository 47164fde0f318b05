/*
 * Rules that somebody holds, looked up by what they name: see rbac_held.h.
 */
#include "apiserver/auth/rbac_held.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include <string.h>

/* What looking a permission up costs, and seeing whether one rule allows it, in comparisons of short texts. */
#define PERMISSION_STEPS 32
#define CANDIDATE_STEPS 4

/* Rules that name one text in one of their lists. */
struct posting {
    VEC(uint32_t) rules;
};

struct held_rule {
    const struct rbac_rule *rule;
    size_t length; /* of all its lists */
};

struct rbac_held {
    VEC(struct held_rule) rules;
    struct map postings; /* tag and text → struct posting */
    size_t length;
};

/* ---- building ---- */

/* A list's tag and one of its texts. */
static struct str posting_key(struct buf *b, char tag, const char *text)
{
    buf_clear(b);
    buf_append_char(b, tag);
    buf_append_cstr(b, text);
    return buf_str(b);
}

static void file(struct rbac_held *h, char tag, const char *text)
{
    struct buf b;
    buf_init(&b);
    struct str key = posting_key(&b, tag, text);
    struct posting *p = map_get(&h->postings, key);
    if (!p) {
        p = mem_zalloc(sizeof *p);
        map_put(&h->postings, key, p);
    }
    uint32_t rule = (uint32_t)h->rules.len - 1;
    if (p->rules.len == 0 || p->rules.items[p->rules.len - 1] != rule)
        vec_push(&p->rules, rule);
    buf_free(&b);
}

static size_t file_all(struct rbac_held *h, char tag, const char *const *list)
{
    size_t n = 0;
    for (; list[n]; n++)
        file(h, tag, list[n]);
    return n;
}

/* URLs that end in '*' stand for many: they are all looked at. */
static size_t file_urls(struct rbac_held *h, const char *const *list)
{
    size_t n = 0;
    for (; list[n]; n++) {
        size_t length = strlen(list[n]);
        bool many = length > 0 && list[n][length - 1] == '*';
        file(h, many ? 'U' : 'u', many ? "" : list[n]);
    }
    return n;
}

struct rbac_held *rbac_held_new(void)
{
    struct rbac_held *h = mem_zalloc(sizeof *h);
    map_init(&h->postings);
    return h;
}

void rbac_held_add(struct rbac_held *h, const struct rbac_rule *rule)
{
    struct held_rule held = {.rule = rule};
    vec_push(&h->rules, held);
    size_t n = file_all(h, 'v', rule->verbs) + file_all(h, 'g', rule->groups) +
               file_all(h, 'r', rule->resources) + file_urls(h, rule->urls);
    if (rule->names[0])
        n += file_all(h, 'n', rule->names);
    else
        file(h, 'N', "");
    h->rules.items[h->rules.len - 1].length = n + 1;
    h->length += n + 1;
}

size_t rbac_held_length(const struct rbac_held *h)
{
    return h->length;
}

void rbac_held_free(struct rbac_held *h)
{
    if (!h)
        return;
    struct map_iter it = {0};
    while (map_next(&h->postings, &it)) {
        struct posting *p = it.value;
        vec_free(&p->rules);
        mem_free(p);
    }
    map_free(&h->postings);
    vec_free(&h->rules);
    mem_free(h);
}

/* ---- looking up ---- */

#define POSTINGS_MAX 3
#define LISTS_MAX 4

/* The rules that allow something as far as one of their lists goes: those of a few postings. */
struct candidates {
    const struct posting *of[POSTINGS_MAX];
    size_t postings, len;
};

/* A rule allows what all its lists allow. */
struct lookup {
    struct candidates lists[LISTS_MAX];
    size_t len;
};

static bool is_in(const struct posting *p, uint32_t rule)
{
    size_t low = 0, high = p->rules.len;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (p->rules.items[mid] == rule)
            return true;
        if (p->rules.items[mid] < rule)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

static bool among(const struct candidates *c, uint32_t rule)
{
    for (size_t i = 0; i < c->postings; i++)
        if (is_in(c->of[i], rule))
            return true;
    return false;
}

static void take(const struct rbac_held *h, struct candidates *c, struct buf *b, char tag,
                 const char *text)
{
    const struct posting *p = map_get(&h->postings, posting_key(b, tag, text));
    if (!p)
        return;
    c->of[c->postings++] = p;
    c->len += p->rules.len;
}

static struct candidates of_text(const struct rbac_held *h, struct buf *b, char tag,
                                 const char *text)
{
    struct candidates c = {0};
    take(h, &c, b, tag, text);
    if (strcmp(text, "*") != 0)
        take(h, &c, b, tag, "*");
    return c;
}

/* "pods/log" is named by itself, "*" + "/log" and "*". */
static struct candidates of_resource(const struct rbac_held *h, struct buf *b, const char *full)
{
    struct candidates c = of_text(h, b, 'r', full);
    const char *slash = strchr(full, '/');
    if (!slash || (slash == full + 1 && *full == '*'))
        return c;
    buf_clear(b);
    buf_append_cstr(b, "r*");
    buf_append_cstr(b, slash);
    const struct posting *p = map_get(&h->postings, buf_str(b));
    if (p) {
        c.of[c.postings++] = p;
        c.len += p->rules.len;
    }
    return c;
}

static struct candidates of_name(const struct rbac_held *h, struct buf *b, const char *name)
{
    struct candidates c = {0};
    take(h, &c, b, 'N', "");
    if (*name)
        take(h, &c, b, 'n', name);
    return c;
}

static struct candidates of_url(const struct rbac_held *h, struct buf *b, const char *path)
{
    struct candidates c = {0};
    take(h, &c, b, 'u', path);
    take(h, &c, b, 'U', "");
    return c;
}

static void look_up(const struct rbac_held *h, const struct authz_attributes *at, struct lookup *l)
{
    struct buf b, full;
    buf_init(&b);
    buf_init(&full);
    *l = (struct lookup){.len = 2};
    l->lists[0] = of_text(h, &b, 'v', at->verb);
    if (at->is_resource) {
        l->len = LISTS_MAX;
        l->lists[1] = of_text(h, &b, 'g', at->group);
        buf_printf(&full, "%s%s%s", at->resource, *at->subresource ? "/" : "", at->subresource);
        l->lists[2] = of_resource(h, &b, buf_cstr(&full));
        l->lists[3] = of_name(h, &b, at->name);
    } else {
        l->lists[1] = of_url(h, &b, at->path);
    }
    buf_free(&full);
    buf_free(&b);
}

static const struct candidates *fewest(const struct lookup *l)
{
    const struct candidates *best = &l->lists[0];
    for (size_t i = 1; i < l->len; i++)
        if (l->lists[i].len < best->len)
            best = &l->lists[i];
    return best;
}

/* Take that many; false: there are not so many left. */
static bool pay(size_t *steps, size_t cost)
{
    if (!steps)
        return true;
    if (cost > *steps)
        return false;
    *steps -= cost;
    return true;
}

static bool all_lists(const struct lookup *l, uint32_t rule)
{
    for (size_t i = 0; i < l->len; i++)
        if (!among(&l->lists[i], rule))
            return false;
    return true;
}

enum rbac_answer rbac_held_allows(const struct rbac_held *h, const struct authz_attributes *at,
                                  size_t *steps)
{
    struct lookup l;
    if (!pay(steps, PERMISSION_STEPS))
        return RBAC_TOO_MUCH;
    look_up(h, at, &l);
    const struct candidates *c = fewest(&l);
    for (size_t p = 0; p < c->postings; p++)
        for (size_t i = 0; i < c->of[p]->rules.len; i++) {
            uint32_t rule = c->of[p]->rules.items[i];
            const struct held_rule *r = &h->rules.items[rule];
            if (!pay(steps, at->is_resource ? CANDIDATE_STEPS : CANDIDATE_STEPS + r->length))
                return RBAC_TOO_MUCH;
            /* That a URL is in the posting of those with '*' says nothing yet. */
            if (all_lists(&l, rule) && (at->is_resource || rbac_rule_allows(r->rule, at)))
                return RBAC_YES;
        }
    return RBAC_NO;
}

/* ---- a rule as a whole ---- */

typedef struct candidates candidates_fn(const struct rbac_held *h, struct buf *b, const char *text);

static struct candidates of_verb(const struct rbac_held *h, struct buf *b, const char *verb)
{
    return of_text(h, b, 'v', verb);
}

static struct candidates of_group(const struct rbac_held *h, struct buf *b, const char *group)
{
    return of_text(h, b, 'g', group);
}

/* Does the rule, as far as one list goes, allow every one of these? */
static bool each_among(const struct rbac_held *h, uint32_t rule, candidates_fn *of,
                       const char *const *wanted)
{
    struct buf b;
    bool all = true;
    buf_init(&b);
    for (; *wanted && all; wanted++) {
        const struct candidates c = of(h, &b, *wanted);
        all = among(&c, rule);
    }
    buf_free(&b);
    return all;
}

static bool allows_urls(const struct rbac_rule *held, const char *const *wanted, const char *verb)
{
    for (; *wanted; wanted++) {
        const struct authz_attributes at = {.verb = verb, .path = *wanted};
        if (!rbac_rule_allows(held, &at))
            return false;
    }
    return true;
}

/* One rule that allows it all: the usual case, and the only quick one where lists multiply. */
static bool allows_all(const struct rbac_held *h, uint32_t rule, const struct rbac_rule *w)
{
    static const char *const all_names[] = {"", NULL};
    if (!each_among(h, rule, of_verb, w->verbs))
        return false;
    if (w->urls[0] && !allows_urls(h->rules.items[rule].rule, w->urls, w->verbs[0]))
        return false;
    return !w->resources[0] || !w->groups[0] ||
           (each_among(h, rule, of_group, w->groups) &&
            each_among(h, rule, of_resource, w->resources) &&
            each_among(h, rule, of_name, w->names[0] ? (const char *const *)w->names : all_names));
}

static size_t count(const char *const *list)
{
    size_t n = 0;
    while (list[n])
        n++;
    return n;
}

struct question {
    const struct rbac_held *held;
    size_t *steps;
    permission_fn *missing;
    void *ctx;
    enum rbac_answer answer;
    struct lookup first; /* of the rule's first permission: who allows all allows that */
};

static enum rbac_answer as_a_whole(struct question *q, const struct rbac_rule *rule)
{
    const struct rbac_held *h = q->held;
    const struct candidates *c = fewest(&q->first);
    size_t urls = count(rule->urls);
    size_t length =
        count(rule->verbs) + count(rule->groups) + count(rule->resources) + count(rule->names) + 1;
    for (size_t p = 0; p < c->postings; p++)
        for (size_t i = 0; i < c->of[p]->rules.len; i++) {
            uint32_t held = c->of[p]->rules.items[i];
            if (!pay(q->steps, CANDIDATE_STEPS))
                return RBAC_TOO_MUCH;
            if (!all_lists(&q->first, held))
                continue;
            if (!pay(q->steps, CANDIDATE_STEPS * length + urls * h->rules.items[held].length))
                return RBAC_TOO_MUCH;
            if (allows_all(h, held, rule))
                return RBAC_YES;
        }
    return RBAC_NO;
}

static bool find_first(void *ctx, const struct authz_attributes *at)
{
    struct question *q = ctx;
    look_up(q->held, at, &q->first);
    return false;
}

static bool ask(void *ctx, const struct authz_attributes *at)
{
    struct question *q = ctx;
    enum rbac_answer answer = rbac_held_allows(q->held, at, q->steps);
    if (answer != RBAC_YES)
        q->answer = answer;
    return answer == RBAC_YES || (answer == RBAC_NO && q->missing(q->ctx, at));
}

enum rbac_answer rbac_held_covers(const struct rbac_held *h, const struct rbac_rule *rule,
                                  struct authz_attributes *at, size_t *steps,
                                  permission_fn *missing, void *ctx)
{
    struct question q = {
        .held = h, .steps = steps, .missing = missing, .ctx = ctx, .answer = RBAC_YES};
    if (rbac_rule_each(rule, at, find_first, &q))
        return RBAC_YES; /* it allows nothing */
    enum rbac_answer whole = q.first.len ? as_a_whole(&q, rule) : RBAC_NO;
    if (whole != RBAC_NO)
        return whole;
    if (!rbac_rule_each(rule, at, ask, &q) && q.answer == RBAC_YES)
        q.answer = RBAC_NO; /* it names what nothing is called */
    return q.answer;
}
