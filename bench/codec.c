/*
 * Codecs on a pod of about 2.8 KB of JSON, as a cluster's pods are: how often in a second of CPU time, and
 * microseconds each. `bench_codec [SECONDS per row [ROW]]`; the last line is the figure of the budget (stored bytes → JSON, which
 * is what a GET costs).
 */
#include "api/codec.h"
#include "api/defaults/defaults.h"
#include "api/validation.h"
#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char manifest[] =
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-7c5ddbdf54-x8k2p\","
    "\"generateName\":"
    "\"web-7c5ddbdf54-\",\"namespace\":\"default\",\"uid\":\"7b1e6a52-6f0d-4c43-9c0e-"
    "1f6f3b8f2d11\","
    "\"creationTimestamp\":\"2026-11-21T08:15:49Z\",\"labels\":{\"app\":\"web\",\"pod-template-"
    "hash\":"
    "\"7c5ddbdf54\",\"tier\":\"front\"},\"annotations\":{\"checksum/"
    "config\":\"9f86d081884c7d659a2feaa0c55ad015\"},"
    "\"ownerReferences\":[{\"apiVersion\":\"apps/"
    "v1\",\"kind\":\"ReplicaSet\",\"name\":\"web-7c5ddbdf54\",\"uid\":"
    "\"0a3c2d1e-6f0d-4c43-9c0e-1f6f3b8f2d11\",\"controller\":true,\"blockOwnerDeletion\":true}]},"
    "\"spec\":{"
    "\"containers\":[{\"name\":\"web\",\"image\":\"nginx:1.25\",\"ports\":[{\"name\":\"http\","
    "\"containerPort\":80}],"
    "\"env\":[{\"name\":\"POD_NAME\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}"
    "},{\"name\":"
    "\"LEVEL\",\"value\":\"info\"},{\"name\":\"PASSWORD\",\"valueFrom\":{\"secretKeyRef\":{"
    "\"name\":\"db\",\"key\":"
    "\"password\"}}}],\"resources\":{\"limits\":{\"cpu\":\"500m\",\"memory\":\"256Mi\"},"
    "\"requests\":{\"cpu\":"
    "\"100m\",\"memory\":\"128Mi\"}},\"volumeMounts\":[{\"name\":\"config\",\"mountPath\":\"/etc/"
    "web\"},{\"name\":"
    "\"cache\",\"mountPath\":\"/var/cache\"}],\"livenessProbe\":{\"httpGet\":{\"path\":\"/"
    "live\",\"port\":\"http\"},"
    "\"periodSeconds\":5},\"readinessProbe\":{\"httpGet\":{\"path\":\"/"
    "ready\",\"port\":80}}},{\"name\":\"log\","
    "\"image\":\"fluent-bit:3\",\"args\":[\"-c\",\"/etc/"
    "log.conf\"],\"volumeMounts\":[{\"name\":\"cache\","
    "\"mountPath\":\"/var/"
    "cache\",\"readOnly\":true}]}],\"volumes\":[{\"name\":\"config\",\"configMap\":{\"name\":"
    "\"web\"}},{\"name\":\"cache\",\"emptyDir\":{}}],\"nodeName\":\"node-1\","
    "\"serviceAccountName\":\"default\","
    "\"tolerations\":[{\"key\":\"node.kubernetes.io/"
    "not-ready\",\"operator\":\"Exists\",\"effect\":\"NoExecute\","
    "\"tolerationSeconds\":300}]},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.244.1.17\","
    "\"podIPs\":[{\"ip\":"
    "\"10.244.1.17\"}],\"hostIP\":\"10.88.0.21\",\"startTime\":\"2026-11-21T08:15:49Z\","
    "\"conditions\":[{\"type\":"
    "\"PodScheduled\",\"status\":\"True\",\"lastTransitionTime\":\"2026-11-21T08:15:49Z\"},{"
    "\"type\":\"Ready\","
    "\"status\":\"True\",\"lastTransitionTime\":\"2026-11-21T08:15:52Z\"}],\"containerStatuses\":[{"
    "\"name\":\"web\","
    "\"ready\":true,\"restartCount\":0,\"image\":\"nginx:1.25\",\"imageID\":\"docker.io/library/"
    "nginx@sha256:a484819eb60211f5299034ac80f6a681b06f89e65866ce91f356ed7c72af059c\","
    "\"containerID\":\"containerd://"
    "4b0f7d0c4b1d8e1c2f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90\",\"started\":true,"
    "\"state\":{\"running\":{\"startedAt\":\"2026-11-21T08:15:51Z\"}}}]}}";

struct run {
    struct arena a;
    struct buf json, wire, stored, out;
    void *pod;
    const struct schema_message *m;
    const struct resource *r;
    const char *only; /* NULL: every row */
};

static void json_to_struct(struct run *run)
{
    struct field_problems problems = {0};
    void *pod;
    if (json_decode(&run->a, run->m, buf_str(&run->json), &problems, &pod, NULL) < 0)
        abort();
}

static void struct_to_json(struct run *run)
{
    json_encode(run->pod, JSON_DEFAULT, &run->out);
}

static void wire_to_struct(struct run *run)
{
    void *pod;
    if (wire_decode(&run->a, run->m, buf_str(&run->wire), &pod, NULL) < 0)
        abort();
}

static void struct_to_wire(struct run *run)
{
    wire_encode(run->pod, &run->out);
}

static void check(struct run *run)
{
    struct field_errors e = {.arena = &run->a};
    validate_create(run->r, run->pod, &e);
    if (e.len)
        abort();
}

static void stored_to_protobuf(struct run *run)
{
    stored_answer(run->r, buf_str(&run->stored), 123456, MEDIA_PROTOBUF, FORM_FULL, false,
                  &run->out, NULL);
}

static void stored_to_json(struct run *run)
{
    stored_answer(run->r, buf_str(&run->stored), 123456, MEDIA_JSON, FORM_FULL, false, &run->out,
                  NULL);
}

/* CPU time, not wall time: the figure must not depend on who else is running. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static double measure(struct run *run, const char *name, void (*once)(struct run *), double seconds)
{
    if (run->only && strcmp(run->only, name) != 0)
        return 0;
    uint64_t start = cpu_ns(), end = start + (uint64_t)(seconds * 1e9), n = 0, now;
    do {
        for (int i = 0; i < 100; i++, n++) {
            once(run);
            buf_clear(&run->out);
            arena_reset(&run->a);
        }
    } while ((now = cpu_ns()) < end);
    double us = (double)(now - start) / 1000.0 / (double)n;
    printf("%-22s %8.0f/s %8.2f us\n", name, 1e6 / us, us);
    return us;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 0.5;
    struct run run = {.m = schema_get(Core__V1__Pod__SCHEMA),
                      .r = resource_of_message(Core__V1__Pod__SCHEMA),
                      .only = argc > 2 ? argv[2] : NULL};
    struct arena keep;
    struct error err;
    arena_init(&run.a);
    arena_init(&keep);
    if (json_decode(&keep, run.m, STR(manifest), NULL, &run.pod, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    defaults_apply(&keep, run.pod);
    json_encode(run.pod, JSON_DEFAULT, &run.json);
    wire_encode(run.pod, &run.wire);
    stored_encode(run.pod, &run.stored);
    printf("pod: %zu bytes of JSON, %zu on the wire\n", run.json.len, run.wire.len);
    measure(&run, "JSON to struct, strict", json_to_struct, seconds);
    measure(&run, "struct to JSON", struct_to_json, seconds);
    measure(&run, "wire to struct", wire_to_struct, seconds);
    measure(&run, "struct to wire", struct_to_wire, seconds);
    measure(&run, "validate", check, seconds);
    measure(&run, "stored to protobuf", stored_to_protobuf, seconds);
    double us = measure(&run, "stored to JSON", stored_to_json, seconds);
    printf("stored pod to JSON: %.2f us\n", us);
    buf_free(&run.json);
    buf_free(&run.wire);
    buf_free(&run.stored);
    buf_free(&run.out);
    arena_free(&keep);
    arena_free(&run.a);
    return 0;
}
