/*
 * Names and places of a local cluster, and the file that remembers what it was made of.
 */
#include "cli/cluster/cluster.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_DIR "/var/lib/c8s"
#define CLUSTERS_DIR STATE_DIR "/clusters"
#define RUN_DIR "/run/c8s"
#define LOCK_FILE RUN_DIR "/lock"

const char *cluster_path(struct cluster *c, const char *dir, const char *below)
{
    return arena_printf(&c->arena, "%s/%s", dir, below);
}

const char *cluster_name_problem(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > CLUSTER_NAME_MAX)
        return "must have 1 to 20 characters";
    for (size_t i = 0; i < n; i++) {
        char ch = name[i];
        bool alphanumeric = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
        if (!alphanumeric && (ch != '-' || i == 0 || i == n - 1))
            return "must be lower-case letters, digits and inner '-'";
    }
    return "";
}

/* --- layout --- */

static void layout_host(struct cluster *c, bool is_member, int number)
{
    struct host *h = &c->hosts[c->hosts_len++];
    struct arena *a = &c->arena;
    h->is_member = is_member;
    h->short_name = arena_printf(a, "%s%d", is_member ? "cp" : "node", number);
    h->name = arena_printf(a, "%s-%s", c->name, h->short_name);
    h->netns_name = arena_printf(a, "c8s-%s", h->name);
    h->netns = arena_printf(a, "/run/netns/%s", h->netns_name);
    h->address = arena_printf(a, "10.88.%d.%d", c->slot, (is_member ? 10 : 100) + number);
    h->veth = arena_printf(a, "c8s%d%s", c->slot, h->short_name);
    h->state_dir = cluster_path(c, c->state_dir, h->short_name);
    h->run_dir = cluster_path(c, c->run_dir, h->short_name);
}

void cluster_layout(struct cluster *c)
{
    struct arena *a = &c->arena;
    c->state_dir = arena_printf(a, CLUSTERS_DIR "/%s", c->name);
    c->run_dir = arena_printf(a, RUN_DIR "/%s", c->name);
    c->bridge = arena_printf(a, "c8sbr%d", c->slot);
    c->gateway = arena_printf(a, "10.88.%d.1", c->slot);
    c->host_cidr = arena_printf(a, "10.88.%d.0/24", c->slot);
    c->pod_cidr = arena_printf(a, "10.%d.0.0/16", 244 + c->slot);
    c->service_cidr = arena_printf(a, "10.%d.0.0/12", 96 + 16 * c->slot);
    c->service_ip = arena_printf(a, "10.%d.0.1", 96 + 16 * c->slot);
    c->dns_ip = arena_printf(a, "10.%d.0.10", 96 + 16 * c->slot);
    c->api_name = arena_printf(a, "%s-api.c8s.internal", c->name);
    c->admin_conf = cluster_path(c, c->state_dir, "admin.conf");
    c->hosts_len = 0;
    for (int i = 1; i <= c->members; i++)
        layout_host(c, true, i);
    for (int i = 1; i <= c->nodes; i++)
        layout_host(c, false, i);
}

/* The directory that this executable is in. */
static int find_bin_dir(struct cluster *c, struct error *err)
{
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return error_errno(err, ERR_IO, errno, "read /proc/self/exe");
    path[n] = '\0';
    *strrchr(path, '/') = '\0';
    c->bin_dir = arena_strdup(&c->arena, path);
    return 0;
}

static int cluster_init(struct cluster *c, const char *name, struct error *err)
{
    memset(c, 0, sizeof *c);
    arena_init(&c->arena);
    c->name = arena_strdup(&c->arena, name);
    const char *problem = cluster_name_problem(name);
    if (*problem)
        return error_set(err, ERR_INVALID, "cluster name \"%s\": %s", name, problem);
    return find_bin_dir(c, err);
}

void cluster_close(struct cluster *c)
{
    arena_free(&c->arena);
}

/* --- cluster.conf: "key value" lines --- */

static int read_conf(struct cluster *c, struct error *err)
{
    const char *path = arena_printf(&c->arena, CLUSTERS_DIR "/%s/cluster.conf", c->name);
    FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? error_set(err, ERR_NOT_FOUND, "no cluster named %s here", c->name)
                               : error_errno(err, ERR_IO, errno, "read %s", path);
    char key[32];
    int value, forward = 0;
    while (fscanf(f, "%31s %d", key, &value) == 2) {
        if (cstr_eq(key, "slot"))
            c->slot = value;
        else if (cstr_eq(key, "members"))
            c->members = value;
        else if (cstr_eq(key, "nodes"))
            c->nodes = value;
        else if (cstr_eq(key, "ip_forward_before"))
            forward = value;
    }
    fclose(f);
    c->forward_before = forward ? "1" : "0";
    if (c->slot < 0 || c->slot >= CLUSTER_SLOTS || c->members < 1 ||
        c->members > CLUSTER_MEMBERS_MAX || c->nodes < 0 || c->nodes > CLUSTER_NODES_MAX)
        return error_set(err, ERR_CORRUPT, "%s does not describe a cluster", path);
    return 0;
}

int cluster_load(const char *name, struct cluster *c, struct error *err)
{
    int rc = cluster_init(c, name, err);
    if (rc == 0)
        rc = read_conf(c, err);
    if (rc == 0)
        cluster_layout(c);
    return rc;
}

int cluster_save(const struct cluster *c, struct error *err)
{
    char path[512];
    struct buf text = {0};
    snprintf(path, sizeof path, "%s/cluster.conf", c->state_dir);
    buf_printf(&text, "slot %d\nmembers %d\nnodes %d\nip_forward_before %s\n", c->slot, c->members,
               c->nodes, c->forward_before);
    int rc = cluster_mkdirs(c->state_dir, 0755, err);
    if (rc == 0)
        rc = cluster_write_file(path, buf_str(&text), 0644, err);
    buf_free(&text);
    return rc;
}

/* Slots of the clusters that exist, as a bit set. */
static unsigned slots_taken(void)
{
    unsigned taken = 0;
    DIR *dir = opendir(CLUSTERS_DIR);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct cluster other;
        if (*cluster_name_problem(e->d_name))
            continue;
        if (cluster_load(e->d_name, &other, NULL) == 0)
            taken |= 1u << other.slot;
        cluster_close(&other);
    }
    if (dir)
        closedir(dir);
    return taken;
}

int cluster_new(const char *name, int members, int nodes, struct cluster *c, struct error *err)
{
    int rc = cluster_init(c, name, err);
    if (rc < 0)
        return rc;
    unsigned taken = slots_taken();
    while (c->slot < CLUSTER_SLOTS && (taken & 1u << c->slot))
        c->slot++;
    if (c->slot == CLUSTER_SLOTS)
        return error_set(err, ERR_LIMIT, "there are %d clusters on this machine already",
                         CLUSTER_SLOTS);
    c->members = members;
    c->nodes = nodes;
    c->forward_before = "0";
    cluster_layout(c);
    return 0;
}

/* Is the locked file still the one at that path? A `down` that ended meanwhile has removed it. */
static bool same_file(int fd, const char *path)
{
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
           mine.st_dev == there.st_dev;
}

int cluster_lock(struct error *err)
{
    for (;;) {
        int rc = cluster_mkdirs(RUN_DIR, 0755, err);
        if (rc < 0)
            return rc;
        int fd = open(LOCK_FILE, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0)
            return error_errno(err, ERR_IO, errno, "open %s", LOCK_FILE);
        if (flock(fd, LOCK_EX) < 0)
            return error_errno(err, ERR_IO, errno, "lock %s", LOCK_FILE);
        if (same_file(fd, LOCK_FILE))
            return 0; /* the descriptor stays open: the lock ends with the process */
        close(fd);
    }
}

void cluster_remove_shared(void)
{
    /* Each of these only when nothing is in it any more. */
    rmdir(CLUSTERS_DIR);
    rmdir(STATE_DIR);
    DIR *dir = opendir(RUN_DIR);
    bool others = false;
    for (struct dirent *e; dir && (e = readdir(dir));)
        others |= e->d_name[0] != '.' && !cstr_eq(e->d_name, "lock");
    if (dir)
        closedir(dir);
    if (!others) {
        unlink(LOCK_FILE);
        rmdir(RUN_DIR);
    }
}

/* --- files --- */

int cluster_mkdirs(const char *path, unsigned mode, struct error *err)
{
    char part[512];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return error_set(err, ERR_LIMIT, "path too long: %s", path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, i == n ? mode : 0755) < 0 && errno != EEXIST)
            return error_errno(err, ERR_IO, errno, "make directory %s", part);
    }
    return 0;
}

int cluster_write_file(const char *path, struct str text, unsigned mode, struct error *err)
{
    char *temporary = mem_printf("%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    int rc = 0;
    if (fd < 0 || fchmod(fd, mode) < 0 || write(fd, text.p, text.n) != (ssize_t)text.n ||
        rename(temporary, path) < 0)
        rc = error_errno(err, ERR_IO, errno, "write %s", path);
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        unlink(temporary);
    mem_free(temporary);
    return rc;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int cluster_remove_tree(const char *path, struct error *err)
{
    if (nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
        return error_errno(err, ERR_IO, errno, "remove %s", path);
    return 0;
}
