/*
 * The example application: busybox as a web server, in an image made here, so that trying c8s needs
 * no registry and no download.
 */
#include "base/mem.h"
#include "cli/cluster/cluster.h"
#include "node/oci_image.h"

#include <unistd.h>

#define REFERENCE "c8s.io/web:1"

/* The shell stays process 1 because a signal's default action does not apply to that process: it
 * ends at once on SIGTERM. The page is made at start, from the environment. */
static const char serve[] = "mkdir -p /www\n"
                            "echo \"${MESSAGE:-hello} from $(hostname)\" >/www/index.html\n"
                            "trap 'exit 0' TERM INT\n"
                            "echo \"listening on port ${PORT:-8080} as $(hostname)\"\n"
                            "httpd -f -v -p \"${PORT:-8080}\" -h /www &\n"
                            "wait\n";

/* Names by which busybox is called inside. */
static const char *const applets[] = {
    "sh",       "httpd",  "mkdir", "echo", "hostname", "cat",   "ls",    "ps",
    "env",      "wget",   "nc",    "ping", "ip",       "id",    "sleep", "kill",
    "touch",    "true",   "false", "date", "rm",       "mount", "df",    "grep",
    "nslookup", "printf", "test",  "head", "tar",      "stty",  "tail",  "wc"};

static const char *find_busybox(void)
{
    static const char *const places[] = {"/bin/busybox", "/usr/bin/busybox"};
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

int cluster_make_image(struct cluster *c, const char **archive, struct error *err)
{
    const char *busybox = find_busybox();
    if (!busybox)
        return error_set(err, ERR_NOT_FOUND,
                         "no busybox here for the example image (package busybox-static)");
    const char *dir = cluster_path(c, c->state_dir, "images");
    *archive = cluster_path(c, dir, "web.tar");
    if (access(*archive, R_OK) == 0)
        return 0;

    struct oci_file files[ARRAY_LEN(applets) + 2] = {
        {.path = "/bin/busybox", .source = busybox, .mode = 0755}, {.path = "/tmp", .mode = 01777}};
    for (size_t i = 0; i < ARRAY_LEN(applets); i++)
        files[i + 2] =
            (struct oci_file){.path = cluster_path(c, "/bin", applets[i]), .link = "busybox"};
    static const char *const entrypoint[] = {"/bin/sh", "-c", serve, NULL};
    static const char *const env[] = {"PATH=/bin", NULL};
    const struct oci_image image = {.reference = REFERENCE,
                                    .files = files,
                                    .files_len = ARRAY_LEN(files),
                                    .entrypoint = entrypoint,
                                    .env = env};
    int rc = cluster_mkdirs(dir, 0755, err);
    if (rc == 0)
        rc = oci_image_write(&image, *archive, err);
    return rc < 0 ? error_wrap(err, "image %s", REFERENCE) : 0;
}
