/*
 * Decisions of the garbage collector (controllers/garbagecollector.h).
 */
#include "controllers/garbagecollector.h"

#include "api/meta.h"

static bool any(const struct gc_view *v, enum owner_state state)
{
    for (size_t i = 0; i < v->object->n_owner_references; i++)
        if (v->owners[i] == state)
            return true;
    return false;
}

enum gc_action gc_decide(const struct gc_view *v)
{
    if (!time_is_zero(v->object->deletion_timestamp)) {
        if (has_finalizer(v->object, FINALIZER_ORPHAN))
            return GC_ORPHAN;
        if (has_finalizer(v->object, FINALIZER_FOREGROUND))
            return v->blocking_dependents ? GC_AWAIT : GC_FINISH;
        return GC_NOTHING;
    }
    if (v->object->n_owner_references == 0)
        return GC_NOTHING;
    bool absent = any(v, OWNER_ABSENT), waiting = any(v, OWNER_WAITING);
    if (any(v, OWNER_SOLID))
        return absent || waiting ? GC_DROP_OWNERS : GC_NOTHING;
    return GC_DELETE;
}

const char *gc_propagation(const struct gc_view *v)
{
    if (has_finalizer(v->object, FINALIZER_ORPHAN))
        return "Orphan";
    if (has_finalizer(v->object, FINALIZER_FOREGROUND))
        return "Foreground";
    return any(v, OWNER_WAITING) && v->dependents ? "Foreground" : "Background";
}
