/*
 * Long work behind a call, on a thread of its own: hashes, snapshots, defragmentation. See internal.h.
 */
#include "kvstore/etcd/internal.h"
#include "base/mem.h"
#include "base/signals.h"

void etcd_jobs_init(struct etcd_jobs *j)
{
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->none, NULL);
    list_init(&j->jobs);
}

static void job_left(struct etcd_jobs *j)
{
    pthread_mutex_lock(&j->lock);
    if (--j->running == 0)
        pthread_cond_broadcast(&j->none);
    pthread_mutex_unlock(&j->lock);
}

static void job_arrives(struct loop_task *task)
{
    struct etcd_job *job = container_of(task, struct etcd_job, task);
    struct etcd_jobs *j = &job->server->jobs;
    pthread_mutex_lock(&j->lock);
    list_remove(&job->link);
    pthread_mutex_unlock(&j->lock);
    job->done(job); /* may free the job */
    job_left(j);
}

static void *job_main(void *arg)
{
    struct etcd_job *job = arg;
    job->run(job);
    job->task.fn = job_arrives;
    loop_post(job->loop, &job->task);
    return NULL;
}

bool etcd_job_start(struct etcd_server *s, struct loop *loop, struct etcd_job *job)
{
    struct etcd_jobs *j = &s->jobs;
    pthread_attr_t detached;
    pthread_t thread;
    sigset_t before;
    job->server = s;
    job->loop = loop;
    pthread_mutex_lock(&j->lock);
    bool go = j->running < ETCD_JOBS_MAX && !j->closing;
    if (go)
        list_push_back(&j->jobs, &job->link);
    j->running += go;
    pthread_mutex_unlock(&j->lock);
    if (!go)
        return false;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    signals_block(&before);
    go = pthread_create(&thread, &detached, job_main, job) == 0;
    signals_restore(&before);
    pthread_attr_destroy(&detached);
    if (!go) {
        pthread_mutex_lock(&j->lock);
        list_remove(&job->link);
        pthread_mutex_unlock(&j->lock);
        job_left(j);
    }
    return go;
}

void etcd_jobs_close(struct etcd_jobs *j)
{
    pthread_mutex_lock(&j->lock);
    j->closing = true;
    list_for_each (it, &j->jobs)
        atomic_store(&list_entry(it, struct etcd_job, link)->stop, true);
    while (j->running)
        pthread_cond_wait(&j->none, &j->lock);
    pthread_mutex_unlock(&j->lock);
    pthread_cond_destroy(&j->none);
    pthread_mutex_destroy(&j->lock);
}
