/*
 * Fibers: threads of simulated members. One runs at a time, until it waits; the scheduler (run.c) then
 * takes the next event. Stacks are kept for the fibers to come.
 */
#include "fiber_sync.h"
#include "whole.h"

#include "base/mem.h"
#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES (1024 * 1024)
#else
#define STACK_BYTES (256 * 1024)
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

struct stack {
    struct stack *next;
    char *bytes;
#if !defined(__x86_64__)
    ucontext_t context;
#endif
};

static struct {
    struct fiber *current;
    void *scheduler_sp;
    struct stack *idle;
    const void *scheduler_stack; /* for AddressSanitizer */
    size_t scheduler_stack_size;
    void *scheduler_fake;
    struct fiber *ended;
#if !defined(__x86_64__)
    ucontext_t scheduler_context;
#endif
} F;

struct fiber *fiber_current(void)
{
    return F.current;
}

struct member *member_current(void)
{
    return F.current ? F.current->member : NULL;
}

/* ---- switching ---- */

#if defined(__x86_64__)
/* Saves what a call preserves, leaves the stack pointer in *from and goes on at `to`. */
void fiber_switch(void **from, void *to);
__asm__(".text\n"
        ".globl fiber_switch\n"
        ".type fiber_switch, @function\n"
        "fiber_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size fiber_switch, .-fiber_switch\n");
#endif

static void to_scheduler(bool for_good)
{
    struct fiber *f = F.current;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_good ? NULL : &f->asan_stack, F.scheduler_stack,
                                   F.scheduler_stack_size);
#else
    (void)for_good;
#endif
#if defined(__x86_64__)
    fiber_switch(&f->sp, F.scheduler_sp);
#else
    swapcontext(&f->stack->context, &F.scheduler_context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(f->asan_stack, &F.scheduler_stack, &F.scheduler_stack_size);
#endif
}

static void fiber_main(void)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(NULL, &F.scheduler_stack, &F.scheduler_stack_size);
#endif
    struct fiber *f = F.current;
    f->fn(f->arg);
    f->done = true;
    if (f->joiner)
        fiber_wake(f->joiner);
    F.ended = f;
    to_scheduler(true);
    assert(!"an ended fiber goes on");
}

static void to_fiber(struct fiber *f)
{
    F.current = f;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&F.scheduler_fake, f->stack->bytes, STACK_BYTES);
#endif
#if defined(__x86_64__)
    fiber_switch(&F.scheduler_sp, f->sp);
#else
    swapcontext(&F.scheduler_context, &f->stack->context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(F.scheduler_fake, NULL, NULL);
#endif
    F.current = NULL;
}

/* ---- stacks ---- */

static struct stack *stack_take(void)
{
    struct stack *s = F.idle;
    if (s) {
        F.idle = s->next;
        return s;
    }
    s = mem_zalloc(sizeof *s);
    s->bytes = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    assert(s->bytes != MAP_FAILED);
    int rc = mprotect(s->bytes, 4096, PROT_NONE); /* an overflow is a fault, not a riddle */
    assert(rc == 0);
    (void)rc;
    return s;
}

static void stack_give(struct stack *s)
{
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(s->bytes + 4096, STACK_BYTES - 4096);
#endif
    s->next = F.idle;
    F.idle = s;
}

static void stack_prepare(struct fiber *f)
{
#if defined(__x86_64__)
    void **sp = (void **)(void *)(f->stack->bytes + STACK_BYTES - 64);
    *--sp = NULL; /* where fiber_main would return to; keeps the alignment of a call */
    *--sp = (void *)fiber_main;
    for (int i = 0; i < 6; i++)
        *--sp = NULL;
    f->sp = sp;
#else
    getcontext(&f->stack->context);
    f->stack->context.uc_stack.ss_sp = f->stack->bytes;
    f->stack->context.uc_stack.ss_size = STACK_BYTES;
    f->stack->context.uc_link = NULL;
    makecontext(&f->stack->context, fiber_main, 0);
#endif
}

/* ---- life ---- */

static void fiber_free(struct fiber *f)
{
    event_cancel(&f->wake);
    list_remove(&f->in_member);
    if (f->stack)
        stack_give(f->stack);
    mem_free(f);
}

static void run(struct event *e)
{
    struct fiber *f = container_of(e, struct fiber, wake);
    struct member *m = f->member;
    if (m->paused_until > now_us()) {
        event_in(e, m->paused_until - now_us() + chance_below(200));
        return;
    }
    to_fiber(f);
    if (m->dying) {
        F.ended = NULL;
        member_crash(m, m->how);
        return;
    }
    if (F.ended) {
        stack_give(F.ended->stack);
        F.ended->stack = NULL;
        if (F.ended->detached)
            fiber_free(F.ended);
        F.ended = NULL;
    }
}

struct fiber *fiber_start(struct member *m, const char *name, void *(*fn)(void *arg), void *arg)
{
    struct fiber *f = mem_zalloc(sizeof *f);
    f->member = m;
    f->fn = fn;
    f->arg = arg;
    f->wake.fn = run;
    f->stack = stack_take();
    snprintf(f->name, sizeof f->name, "%s", name);
    list_init(&f->waiting);
    list_init(&f->in_member);
    list_push_back(&m->fibers, &f->in_member);
    stack_prepare(f);
    event_in(&f->wake, chance_below(50));
    return f;
}

void fibers_drop(struct member *m)
{
    assert(!F.current);
    while (!list_empty(&m->fibers))
        fiber_free(list_first(&m->fibers, struct fiber, in_member));
}

void fiber_wait(void)
{
    assert(F.current && !F.current->done);
    F.current->timed_out = false;
    to_scheduler(false);
}

void fiber_wait_for(uint64_t us)
{
    struct fiber *f = F.current;
    assert(f);
    f->timed_out = true;
    event_in(&f->wake, us);
    to_scheduler(false);
}

void fiber_wake(struct fiber *f)
{
    f->timed_out = false;
    event_in(&f->wake, chance_below(W.weather.slow ? 40 : 10));
}

void fiber_die(void)
{
    assert(F.current);
    F.current->member->dying = true;
    to_scheduler(true);
    __builtin_unreachable();
}

/* ---- threads' interface ---- */

int fiber_thread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *arg),
                        void *arg)
{
    (void)attr;
    assert(F.current);
    *out = (pthread_t)fiber_start(F.current->member, "thread", fn, arg);
    return 0;
}

int fiber_thread_join(pthread_t thread, void **result)
{
    struct fiber *f = (struct fiber *)thread;
    (void)result;
    assert(f != F.current && !f->joiner);
    while (!f->done) {
        f->joiner = F.current;
        fiber_wait();
    }
    fiber_free(f);
    return 0;
}

int fiber_thread_detach(pthread_t thread)
{
    struct fiber *f = (struct fiber *)thread;
    f->detached = true;
    if (f->done)
        fiber_free(f);
    return 0;
}

pthread_t fiber_thread_self(void)
{
    return (pthread_t)F.current;
}

int fiber_thread_setname(pthread_t thread, const char *name)
{
    snprintf(((struct fiber *)thread)->name, sizeof((struct fiber *)0)->name, "%s", name);
    return 0;
}
