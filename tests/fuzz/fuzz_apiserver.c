/*
 * A whole API server with its store, in this process: requests one after another on one connection, whose answers must
 * be whole, well formed and no 500. What a request leaves behind is there for the next inputs, too, until the server
 * is asked to remove it.
 *
 *     input:    requests, a NUL behind each
 *     request:  "POST /api/v1/namespaces/a/pods", header lines, an empty line, the body
 *
 * Requests that would make the server connect to somewhere (logs, exec, proxies) are left out.
 */
#include "api/codec.h"
#include "apiserver/server.h"
#include "apiserver/watch/hub.h"
#include "base/log.h"
#include "net/http_internal.h"
#include "net/x509.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUESTS_MAX 16
#define SILENT_MS 60000 /* no sign of an answer */
#define QUIET_MS 30     /* of a stream that has begun: a watch */

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0"; /* the server's own threads allocate meanwhile */
}

static char dir[64];
static struct loop *loop;
static struct apiserver *server;
static int connection = -1;

static const char *path_of(struct arena *a, const char *name)
{
    return arena_printf(a, "%s/%s", dir, name);
}

static void remove_dir(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", dir);
}

static void make_certificates(struct arena *a)
{
    static const char *const names[] = {"localhost", NULL};
    struct x509_spec spec = {.common_name = "fuzz", .alt_names = names, .usage = X509_USAGE_SERVER};
    struct x509_pair ca, pair;
    struct error err;
    require(x509_ca_new(&spec, &ca, &err) == 0 && x509_issue(&ca, &spec, &pair, &err) == 0);
    require(x509_write_cert(path_of(a, "crt"), pair.cert_pem, &err) == 0);
    require(x509_write_key(path_of(a, "key"), pair.key_pem, &err) == 0);
    x509_pair_free(&ca);
    x509_pair_free(&pair);
}

static void start(void)
{
    static struct arena a; /* the server's strings stay */
    struct apiserver_config config;
    struct error err;
    arena_init(&a);
    log_set_level(LOG_ERROR);
    snprintf(dir, sizeof dir, "%s/c8s-fuzz.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    require(mkdtemp(dir) != NULL);
    atexit(remove_dir);
    make_certificates(&a);
    struct kv_options options = {.data_dir = path_of(&a, "data"),
                                 .event_cache_free = watch_event_cache_free};
    struct kv *kv = kv_open(&options, &err);
    require(kv != NULL);
    apiserver_config_init(&config);
    config.bind_address = "127.0.0.1";
    config.secure_port = 0;
    config.tls_cert_file = path_of(&a, "crt");
    config.tls_key_file = config.sa_signing_key_file = path_of(&a, "key");
    config.always_allow = true;
    config.loops_len = 1;
    config.compaction_interval_s = 5;
    loop = loop_start("api");
    server = apiserver_start(&config, kv, &loop, &err);
    if (!server)
        fprintf(stderr, "%s\n", err.message);
    require(server != NULL);
    for (int i = 0; i < 3000 && !atomic_load(&server->bootstrapped); i++)
        usleep(20000);
    require(atomic_load(&server->bootstrapped));
}

static void accept_on_loop(void *arg)
{
    http_server_accept(server->http, loop, *(int *)arg, NULL);
}

static void connect_anew(void)
{
    int fds[2];
    if (connection >= 0)
        close(connection);
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    require(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
    loop_call(loop, accept_on_loop, &fds[0]);
    connection = fds[1];
}

/* ---- requests ---- */

/* The next line without its end; *rest goes behind it. */
static struct str take_line(struct str *rest)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    struct str line = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, MIN(n + 1, rest->n), rest->n);
    return line;
}

static bool is_text(struct str s, unsigned from)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < from || s.p[i] == 0x7f)
            return false;
    return true;
}

/* Would the server connect to somewhere? Escapes could hide it. */
static bool is_proxied(struct str path)
{
    static const char *const words[] = {"proxy", "log", "exec", "attach", "portforward", "%"};
    const char *query = memchr(path.p, '?', path.n);
    struct str plain = query ? str_slice(path, 0, (size_t)(query - path.p)) : path;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (memmem(plain.p, plain.n, words[i], strlen(words[i])))
            return true;
    return false;
}

/* How long the body is, and whether the connection stays, is said by us. */
static bool is_framing(struct str line)
{
    static const char *const names[] = {
        "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "host"};
    const char *colon = memchr(line.p, ':', line.n);
    if (!colon || colon == line.p || !is_text(line, ' ') ||
        memchr(line.p, ' ', (size_t)(colon - line.p)))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if ((size_t)(colon - line.p) == strlen(names[i]) &&
            strncasecmp(line.p, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* False: no request, or one that is left out. */
static bool write_request(struct str in, struct buf *out)
{
    struct str line = take_line(&in);
    const char *space = line.n ? memchr(line.p, ' ', line.n) : NULL;
    if (!space || space == line.p)
        return false;
    struct str method = str_slice(line, 0, (size_t)(space - line.p));
    struct str path = str_slice(line, method.n + 1, line.n);
    if (!is_text(method, 'A') || !path.n || path.p[0] != '/' || !is_text(path, '!') ||
        is_proxied(path) || str_eqz(method, "HEAD") || str_eqz(method, "CONNECT"))
        return false;
    buf_append_str(out, line);
    buf_append_cstr(out, " HTTP/1.1\r\nhost: a\r\n");
    for (line = take_line(&in); line.n; line = take_line(&in))
        if (!is_framing(line)) {
            buf_append_str(out, line);
            buf_append_cstr(out, "\r\n");
        }
    buf_printf(out, "content-length: %zu\r\n\r\n", in.n);
    buf_append_str(out, in);
    return true;
}

static void send_all(struct str s)
{
    while (s.n) {
        ssize_t n = send(connection, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* refused in the middle: the answer says why */
        s = str_slice(s, (size_t)n, s.n);
    }
}

/* ---- answers ---- */

struct answer {
    int status;
    size_t head; /* bytes before the body; 0: not all of it is here */
    size_t length;
    bool chunked, json;
};

static struct answer answer_head(const struct buf *in)
{
    struct answer a = {0};
    const char *end = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return a;
    a.head = (size_t)(end - in->data) + 4;
    struct str rest = str_make(in->data, a.head), line = take_line(&rest);
    require(str_has_prefix(line, STR("HTTP/1.1 ")) && line.n > 12);
    a.status = atoi(line.p + 9);
    for (line = take_line(&rest); line.n > 1; line = take_line(&rest)) {
        if (str_has_prefix(line, STR("content-length: ")))
            a.length = strtoul(line.p + 16, NULL, 10);
        a.chunked |= str_has_prefix(line, STR("transfer-encoding: chunked"));
        a.json |= str_has_prefix(line, STR("content-type: application/json"));
    }
    return a;
}

static bool is_whole(const struct buf *in, const struct answer *a)
{
    if (!a->head)
        return false;
    return a->chunked
               ? in->len >= a->head + 5 && memcmp(in->data + in->len - 5, "0\r\n\r\n", 5) == 0
               : in->len >= a->head + a->length;
}

/* False: the server closed, or the answer is a stream. Nothing for long is a finding, the rest of a body of known
 * length too: only streams may be quiet. */
static bool receive(struct buf *in, struct answer *a)
{
    char piece[16384];
    while (!is_whole(in, a)) {
        struct pollfd p = {.fd = connection, .events = POLLIN};
        int ready = poll(&p, 1, a->chunked ? QUIET_MS : SILENT_MS);
        if (ready < 0 && errno == EINTR)
            continue; /* the fuzzer's own alarm */
        require(ready > 0 || a->chunked);
        ssize_t n = ready > 0 ? recv(connection, piece, sizeof piece, 0) : 0;
        if (n <= 0)
            return false;
        buf_append(in, piece, (size_t)n);
        if (!a->head)
            *a = answer_head(in);
    }
    return true;
}

static void check_answer(struct str request, const struct buf *in, const struct answer *a,
                         bool whole)
{
    struct arena arena;
    yyjson_val *tree;
    /* Upstream answers some patches that do not go with their object by 500, and so does this. */
    bool may_fail = str_has_prefix(request, STR("PATCH "));
    if (a->status < 200 || (a->status == 500 && !may_fail)) {
        fprintf(stderr, "%.*s\n\n%.*s\n", (int)request.n, request.p, (int)in->len, in->data);
        abort();
    }
    if (!whole || !a->json || a->chunked || a->length == 0)
        return;
    arena_init(&arena);
    require(json_read(&arena, str_make(in->data + a->head, a->length), &tree, NULL) == 0);
    arena_free(&arena);
}

static void ask(struct str in)
{
    struct buf request = {0}, answer = {0};
    struct answer a = {0};
    if (write_request(in, &request)) {
        send_all(buf_str(&request));
        bool whole = receive(&answer, &a);
        if (a.head)
            check_answer(buf_str(&request), &answer, &a, whole);
        if (!whole || a.status == 400 || a.status >= 408)
            connect_anew(); /* some of these close */
    }
    buf_free(&request);
    buf_free(&answer);
}

/* Pods wait for their namespace's account, which no controller makes here. */
static const char account[] = "POST /api/v1/namespaces/default/serviceaccounts\n\n"
                              "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\","
                              "\"metadata\":{\"name\":\"default\"}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size), rest = in;
    if (!server) {
        start();
        connect_anew();
        ask(str_from(account));
    }
    connect_anew();
    for (int i = 0; i < REQUESTS_MAX && rest.n; i++) {
        const char *end = memchr(rest.p, 0, rest.n);
        size_t n = end ? (size_t)(end - rest.p) : rest.n;
        ask(str_slice(rest, 0, n));
        rest = str_slice(rest, MIN(n + 1, rest.n), rest.n);
    }
    fuzz_input_free(in);
    return 0;
}
