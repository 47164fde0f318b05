/*
 * What may become of objects that are there: updates of the whole, of the status, and rules that came late and so
 * hold for new objects only. Each case patches a good object twice: into what is there, and that into what is
 * asked for. Messages are those of kube-apiserver.
 */
#include "tests/unit/validation_test.h"

#define META "metadata: {name: x, namespace: d}"
#define TEMPLATE(spec_) "template: {metadata: {labels: {a: b}}, spec: {" spec_ "}}"
#define POD_TEMPLATE TEMPLATE("containers: [{name: c, image: i}]")

static const char pod[] =
    "{apiVersion: v1, kind: Pod, " META
    ", spec: {containers: [{name: c, image: i}], resourceClaims: [{name: gpu, "
    "resourceClaimName: gpus}]}}";
static const char service[] =
    "{apiVersion: v1, kind: Service, " META ", spec: {type: LoadBalancer, ports: [{port: 80}]}}";
static const char node[] = "{apiVersion: v1, kind: Node, metadata: {name: n}, spec: {podCIDRs: "
                           "[10.0.0.0/24]}}";
static const char secret[] =
    "{apiVersion: v1, kind: Secret, " META ", type: kubernetes.io/dockerconfigjson, data: "
    "{.dockerconfigjson: e30=}}";
static const char token[] = "{apiVersion: v1, kind: Secret, metadata: {name: x, namespace: d, "
                            "annotations: {kubernetes.io/service-account.name: sa}}, type: "
                            "kubernetes.io/service-account-token}";
static const char stateful_set[] =
    "{apiVersion: apps/v1, kind: StatefulSet, " META
    ", spec: {selector: {matchLabels: {a: b}}, serviceName: s, " TEMPLATE(
        "containers: [{name: c, image: i, volumeMounts: [{name: data, mountPath: /d}]}]") //
    ", volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], "
    "resources: {requests: {storage: 1Gi}}}}]}}";
#define JOB(more_)                                                                               \
    "{apiVersion: batch/v1, kind: Job, metadata: {name: x, namespace: d, uid: u}, spec: {" more_ \
        TEMPLATE("restartPolicy: Never, containers: [{name: c, image: i}]") "}}"
#define MANUAL "manualSelector: true, selector: {matchLabels: {a: b}}, "
static const char job[] = JOB(MANUAL);
static const char indexed[] = JOB(MANUAL "completionMode: Indexed, completions: 5, parallelism: 5, "
                                         "backoffLimitPerIndex: 1, ");
static const char generated[] =
    "{apiVersion: batch/v1, kind: Job, metadata: {name: x, namespace: d, uid: u}, spec: {selector: "
    "{matchLabels: {batch.kubernetes.io/controller-uid: u}}, template: {metadata: {labels: "
    "{controller-uid: u, job-name: x, batch.kubernetes.io/controller-uid: u, "
    "batch.kubernetes.io/job-name: x}}, spec: {restartPolicy: Never, containers: [{name: c, image: "
    "i}]}}}}";
static const char cron_job[] =
    "{apiVersion: batch/v1, kind: CronJob, " META
    ", spec: {schedule: '* * * * *', jobTemplate: {spec: {" TEMPLATE(
        "restartPolicy: Never, containers: [{name: c, image: i}]") "}}}}";

static const struct validation_case creates[] = {
    {service, "", ""},
    {service, "{spec: {ports: [{port: 10250}]}}",
     "spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used "
     "by "
     "kubelet"},
    {service,
     "{metadata: {annotations: {service.kubernetes.io/topology-mode: Auto, "
     "service.kubernetes.io/topology-aware-hints: Disabled}}}",
     "metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: \"Auto\": must "
     "match "
     "annotations[service.kubernetes.io/topology-aware-hints] when both are specified"},
    {node, "{spec: {podCIDRs: [10.0.0.0/24, 10.0.0.0/24]}}",
     "spec.podCIDRs[1]: Duplicate value: \"10.0.0.0/24\""},
    {secret, "", ""},
    {secret, "{data: {.dockerconfigjson: bnVsbA==}}", ""}, /* null */
    {secret, "{data: {.dockerconfigjson: W10=}}",          /* [] */
     "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": json: cannot "
     "unmarshal "
     "array into Go value of type map[string]interface {}"},
    {token, "", ""},
    {token, "{metadata: {annotations: {kubernetes.io/service-account.name: ''}}}",
     "metadata.annotations[kubernetes.io/service-account.name]: Required value"},
    /* stateful sets: pods may mount what is claimed */
    {stateful_set, "", ""},
    {stateful_set, "{spec: {volumeClaimTemplates: null}}",
     "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\""},
    {stateful_set, "{spec: {template: {spec: {containers: [{name: C, image: i}]}}}}",
     "spec.template.spec.containers[0].name: Invalid value: \"C\": a lowercase RFC 1123 label"},
    {stateful_set,
     "{spec: {volumeClaimTemplates: [{metadata: {name: data}, spec: {resources: {requests: "
     "{storage: "
     "1Gi}}}}]}}",
     "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is "
     "required"},
    /* jobs */
    {job, "", ""},
    {indexed, "", ""},
    {generated, "", ""},
    {generated, "{spec: {template: {metadata: {labels: {job-name: y}}}}}",
     "spec.template.metadata.labels[job-name]: Invalid value: {"},
    {generated, "{spec: {selector: {matchLabels: {a: b}}}}",
     "spec.selector: Invalid value: "
     "{\"matchLabels\":{\"a\":\"b\",\"batch.kubernetes.io/controller-uid\":\"u\"}}: `selector` not "
     "auto-generated"},
    {job, "{spec: {maxFailedIndexes: 1, backoffLimitPerIndex: 1}}",
     "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode"},
    {indexed, "{spec: {completions: 200000}}",
     "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000"},
    {indexed, "{spec: {completions: 200000, maxFailedIndexes: 10001}}",
     "spec.maxFailedIndexes: Invalid value: 10001: must be less than or equal to 10000 when "
     "completions are above 100000 and used with backoff limit per index"},
    {job,
     "{spec: {podFailurePolicy: {rules: [{action: Ignore, onExitCodes: {operator: In, values: [3, "
     "1]}}]}}}",
     "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,1]: must be ordered"},
    {cron_job, "", ""},
    {cron_job, "{spec: {schedule: 'TZ=UTC * * * * *'}}",
     "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, "
     "use "
     "timeZone field instead"},
};

static const struct validation_change changes[] = {
    {job, "", "", NULL, ""},
    /* what concerns the pod as a whole has a path without a name */
    {pod, "{metadata: {annotations: {kubernetes.io/config.mirror: x}}}",
     "{metadata: {labels: {a: b}}}", "ephemeralcontainers",
     "[]: Forbidden: static pods do not support ephemeral containers"},
    {pod, "{metadata: {annotations: {kubernetes.io/config.mirror: x}}}",
     "{metadata: {labels: {a: b}}}", "resize", "[]: Forbidden: static pods cannot be resized"},
    {job, "", "{spec: {template: {spec: {nodeSelector: {a: b}}}}}", NULL,
     "\"Spec\":{\"Volumes\":null,\"InitContainers\":null,\"Containers\":[{\"Name\":\"c\",\"Image\":"
     "\"i\",\"Command\":null,"},
    /* a suspended job that never ran may be sent elsewhere */
    {job,
     "{spec: {suspend: true, template: {spec: {affinity: {nodeAffinity: "
     "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: "
     "[{key: "
     "a, operator: Exists}]}]}}}}}}}",
     "{spec: {template: {spec: {nodeSelector: {a: b}, affinity: null}}}}", NULL, ""},
    {indexed, "", "{spec: {completions: 7, parallelism: 7}}", NULL, ""},
    {indexed, "", "{spec: {completions: 7}}", NULL,
     "spec.completions: Invalid value: 7: can only be modified in tandem with spec.parallelism"},
    {cron_job, "{spec: {schedule: 'TZ=UTC * * * * *'}}", "{spec: {suspend: true}}", NULL, ""},
    {cron_job, "{spec: {schedule: 'TZ=UTC * * * * *'}}", "{spec: {timeZone: UTC}}", NULL,
     "cannot use both timeZone field and TZ or CRON_TZ in schedule"},
    {cron_job, "{spec: {timeZone: Old/Zone}}", "{spec: {suspend: true}}", NULL, ""},
    {cron_job, "", "{spec: {timeZone: a..b//c}}", NULL,
     "spec.timeZone: Invalid value: \"a..b//c\": unknown time zone a..b//c"},
    /* what was bad may stay so; what was good may not become bad */
    {stateful_set, "{spec: {template: {spec: {containers: [{name: C, image: i}]}}}}",
     "{spec: {replicas: 3}}", NULL, ""},
    {stateful_set, "", "{spec: {template: {spec: {containers: [{name: C, image: i}]}}}}", NULL,
     "spec.template.spec.containers[0].name: Invalid value: \"C\""},
    {stateful_set, "{spec: {serviceName: Odd}}", "{spec: {replicas: 3}}", NULL, ""},
    {stateful_set, "", "{spec: {serviceName: t}}", NULL,
     "spec: Forbidden: updates to statefulset spec for fields other than"},
    /* the status of jobs */
    {job, "", "{status: {active: 1, ready: 1}}", "status", ""},
    {job, "", "{status: {active: 1, ready: 2}}", "status",
     "status.ready: Invalid value: 2: cannot set more ready pods than active"},
    {job, "", "{status: {active: -1}}", "status",
     "status.active: Invalid value: -1: must be greater than or equal to 0"},
    {job, "", "{status: {uncountedTerminatedPods: {succeeded: [u1, u1], failed: [u1, '']}}}",
     "status",
     "[status.uncountedTerminatedPods.succeeded[1]: Duplicate value: \"u1\", "
     "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"u1\", "
     "status.uncountedTerminatedPods.failed[1]: Invalid value: \"\": must not be empty]"},
    {job, "", "{status: {conditions: [{type: Complete, status: 'True'}]}}", "status",
     "[status.conditions: Invalid value: cannot set Complete=True condition without the "
     "SuccessCriteriaMet=true condition, status.completionTime: Required value: completionTime is "
     "required for Complete jobs, status.startTime: Required value: startTime is required for "
     "finished job]"},
    {job, "",
     "{status: {startTime: '2026-01-02T00:00:00Z', completionTime: '2026-01-01T00:00:00Z', "
     "conditions: [{type: SuccessCriteriaMet, status: 'True'}, {type: Complete, status: 'True'}]}}",
     "status",
     "status.completionTime: Invalid value: \"2026-01-01T00:00:00Z\": completionTime cannot be set "
     "before startTime"},
    {job, "",
     "{status: {startTime: '2026-01-01T00:00:00Z', completionTime: '2026-01-02T00:00:00Z', "
     "conditions: [{type: SuccessCriteriaMet, status: 'True'}, {type: Complete, status: 'True'}]}}",
     "status", ""},
    {job, "",
     "{status: {startTime: '2026-01-01T00:00:00Z', active: 1, terminating: 2, conditions: [{type: "
     "FailureTarget, status: 'True'}, {type: Failed, status: 'True'}]}}",
     "status",
     "[status.active: Invalid value: 1: active>0 is invalid for finished job, status.terminating: "
     "Invalid value: 2: terminating>0 is invalid for finished job]"},
    {job, "",
     "{status: {startTime: '2026-01-01T00:00:00Z', conditions: [{type: Failed, status: 'True'}]}}",
     "status",
     "status.conditions: Invalid value: cannot set Failed=True condition without the "
     "FailureTarget=true condition"},
    {job,
     "{status: {startTime: '2026-01-01T00:00:00Z', failed: 2, succeeded: 3, conditions: [{type: "
     "FailureTarget, status: 'True'}, {type: Failed, status: 'True'}]}}",
     "{status: {failed: 1, succeeded: 1, startTime: '2026-01-03T00:00:00Z', conditions: []}}",
     "status",
     "[status.conditions: Invalid value: cannot disable the terminal Failed=True condition, "
     "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition, "
     "status.startTime: Required value: startTime cannot be removed for unsuspended job, "
     "status.failed: Invalid value: 1: cannot decrease the failed counter, status.succeeded: "
     "Invalid "
     "value: 1: cannot decrease the succeeded counter]"},
    {indexed, "{status: {succeeded: 3}}", "{status: {succeeded: 1}}", "status", ""},
    {indexed, "", "{status: {completedIndexes: '0,2-3', failedIndexes: '4'}}", "status", ""},
    {indexed, "", "{status: {completedIndexes: '0,2-3', failedIndexes: '3-4'}}", "status",
     "status.failedIndexes: Invalid value: \"3-4\": failedIndexes and completedIndexes overlap at "
     "index: 3"},
    {indexed, "", "{status: {completedIndexes: '2-1'}}", "status",
     "status.completedIndexes: Invalid value: \"2-1\": error parsing completedIndexes: "
     "non-increasing order, previous: 2, current: 1"},
    {indexed, "", "{status: {completedIndexes: '1-2-3'}}", "status",
     "error parsing completedIndexes: the fragment \"1-2-3\" violates the requirement that an "
     "index "
     "interval can have at most two parts separated by '-'"},
    {job, "", "{status: {completedIndexes: '0'}}", "status",
     "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when "
     "non-indexed completion mode"},
    {job, "", "{status: {failedIndexes: '0'}}", "status",
     "status.failedIndexes: Invalid value: \"0\": cannot set non-null failedIndexes when "
     "backoffLimitPerIndex is null"},
    /* the status of pods */
    {pod, "", "{status: {resourceClaimStatuses: [{name: gpu, resourceClaimName: g1}]}}", "status",
     ""},
    {pod, "", "{status: {resourceClaimStatuses: [{name: tpu}, {name: gpu}, {name: gpu}]}}",
     "status",
     "[status.resourceClaimStatuses[0].name: Invalid value: \"tpu\": must match the name of an "
     "entry "
     "in `spec.resourceClaims`, status.resourceClaimStatuses[2].name: Duplicate value: \"gpu\"]"},
    {pod, "", "{status: {containerStatuses: [{name: c, user: {linux: {uid: -1, gid: 0}}}]}}",
     "status",
     "status.containerStatuses[0].linux.uid: Invalid value: -1: must be between 0 and 2147483647, "
     "inclusive"},
    {pod, "", "{metadata: {annotations: {kubernetes.io/config.mirror: m}}, status: {}}", "status",
     "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod "
     "annotation"},
};

CASES_TEST(creates, CREATE, PART)
CHANGES_TEST(changes)

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_creates),
                                       cmocka_unit_test(test_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
