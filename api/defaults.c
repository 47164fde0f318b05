/*
 * Defaults, by kind.
 */
#include "api/defaults.h"

void defaults_apply(struct arena *a, void *object)
{
    (void)a;
    (void)object;
}
