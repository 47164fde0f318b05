/*
 * OpenAPI: the parameters of operations. v2 defines those that many share once, under #/parameters; v3 writes
 * them where they are used.
 */
#include "api/openapi/internal.h"

static const struct parameter {
    const char *name, *where, *type, *description;
} parameters[] = {
    {"allowWatchBookmarks", "query", "boolean",
     "Ask for BOOKMARK events, which tell how far the watch has come."},
    {"command", "query", "string",
     "What to run: the program, then its arguments, each as a parameter of its own. No shell."},
    {"container", "query", "string",
     "Which container of the pod; may be left out when there is one only."},
    {"continue", "query", "string",
     "Token of the previous answer: continue the list where it ended."},
    {"dryRun", "query", "string", "With value All nothing is stored; every other step is done."},
    {"fieldManager", "query", "string",
     "Name of whoever makes the change, at most 128 printable characters."},
    {"fieldSelector", "query", "string", "Only objects whose fields have these values."},
    {"fieldValidation", "query", "string",
     "What to do about unknown and duplicate fields: Ignore, Warn or Strict."},
    {"follow", "query", "boolean", "Go on sending what is written to the log."},
    {"force", "query", "boolean",
     "Take over fields that other managers own. Only for apply patches."},
    {"gracePeriodSeconds", "query", "integer",
     "Seconds until the object is gone; zero is at once."},
    {"ignoreStoreReadErrorWithClusterBreakingPotential", "query", "boolean",
     "Delete also an object that cannot be read."},
    {"insecureSkipTLSVerifyBackend", "query", "boolean",
     "Do not check the certificate of the node that the log comes from."},
    {"labelSelector", "query", "string", "Only objects whose labels match."},
    {"limit", "query", "integer", "At most so many objects in one answer."},
    {"limitBytes", "query", "integer", "At most so many bytes of the log."},
    {"name", "path", "string", "Name of the object."},
    {"namespace", "path", "string", "Namespace of the object."},
    {"orphanDependents", "query", "boolean", "Deprecated: use propagationPolicy."},
    {"path", "path", "string", "Path of the resource behind the proxy."},
    {"path", "query", "string", "The part of the URL that the proxied request goes to."},
    {"ports", "query", "integer", "Which ports; needed for forwarding over WebSocket."},
    {"pretty", "query", "string", "With value true the answer is indented."},
    {"previous", "query", "boolean", "The log of the container that ended last."},
    {"propagationPolicy", "query", "string",
     "What becomes of dependents: Orphan, Background or Foreground."},
    {"resourceVersion", "query", "string",
     "How fresh the answer must be, or where the watch begins."},
    {"resourceVersionMatch", "query", "string",
     "How resourceVersion applies to a list: Exact or NotOlderThan."},
    {"sendInitialEvents", "query", "boolean", "Begin the watch with events for what exists."},
    {"sinceSeconds", "query", "integer", "Only what was logged in the last so many seconds."},
    {"stderr", "query", "boolean", "Connect the standard error output."},
    {"stdin", "query", "boolean", "Connect the standard input."},
    {"stdout", "query", "boolean", "Connect the standard output."},
    {"stream", "query", "string", "Which output of the container: All, Stdout or Stderr."},
    {"tailLines", "query", "integer", "Only so many lines from the end of the log."},
    {"timeoutSeconds", "query", "integer", "End the request after so long, whatever happens."},
    {"timestamps", "query", "boolean", "Put the time in front of every line."},
    {"tty", "query", "boolean", "Give the process a terminal."},
    {"watch", "query", "boolean", "Stream changes instead of a list."},
};

/* kubectl looks for these two in each PATCH and follows no reference; names differ by kind upstream. */
static bool is_inline(struct str name)
{
    return str_eqz(name, "dryRun") || str_eqz(name, "fieldValidation") || str_eqz(name, "name");
}

static void put_definition(struct openapi_writer *w, const struct parameter *p)
{
    buf_printf(w->out, "{\"name\":\"%s\",\"in\":\"%s\",\"description\":\"%s\",", p->name, p->where,
               p->description);
    if (strcmp(p->where, "path") == 0)
        put_text(w, "\"required\":true,");
    buf_printf(w->out,
               w->form == OPENAPI_V2 ? "\"type\":\"%s\",\"uniqueItems\":true}"
                                     : "\"schema\":{\"type\":\"%s\",\"uniqueItems\":true}}",
               p->type);
}

void openapi_put_parameter(struct openapi_writer *w, struct str name, const char *where)
{
    if (w->form == OPENAPI_V2 && !is_inline(name)) {
        buf_printf(w->out, "{\"$ref\":\"#/parameters/%.*s.%s\"}", STR_ARG(name), where);
        return;
    }
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        const struct parameter *p = &parameters[i];
        if (str_eqz(name, p->name) && strcmp(where, p->where) == 0)
            put_definition(w, p);
    }
}

static void body_parameter(struct openapi_writer *w, const char *name)
{
    openapi_piece_begin(w);
    put_text(w, "{\"name\":\"body\",\"in\":\"body\",");
    if (strcmp(name, "patch.body") == 0) {
        put_text(w, "\"required\":true,\"schema\":{");
        openapi_put_ref_extra(w, EXTRA_PATCH);
    } else {
        put_text(w, "\"schema\":{");
        openapi_put_ref(w, Meta__V1__DeleteOptions__SCHEMA);
    }
    put_text(w, "}}");
    openapi_piece_end(w, OPENAPI_PARAMETERS, name);
}

void openapi_shared_parameters(struct openapi_writer *w)
{
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        const struct parameter *p = &parameters[i];
        char name[128];
        if (is_inline(str_from(p->name)))
            continue;
        snprintf(name, sizeof name, "%s.%s", p->name, p->where);
        openapi_piece_begin(w);
        put_definition(w, p);
        openapi_piece_end(w, OPENAPI_PARAMETERS, name);
    }
    body_parameter(w, "delete.body");
    body_parameter(w, "patch.body");
}
