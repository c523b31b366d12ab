#include "ool_timeline.h"

#include <string.h>

void ool_timeline_init(struct ool_timeline *timeline)
{
    memset(timeline, 0, sizeof *timeline);
    timeline->width = 1;
}

static void join(struct ool_bucket *into, const struct ool_bucket *later)
{
    if (!later->used)
        return;
    if (!into->used) {
        *into = *later;
        return;
    }
    if (later->most.allocated > into->most.allocated)
        into->most = later->most;
    if (later->least.allocated < into->least.allocated)
        into->least = later->least;
    if (later->reserved.reserved > into->reserved.reserved)
        into->reserved = later->reserved;
    if (later->device.device > into->device.device)
        into->device = later->device;
}

static void halve(struct ool_timeline *timeline)
{
    struct ool_bucket *b = timeline->buckets;

    for (size_t i = 0; i < OOL_TIMELINE_BUCKETS; i += 2) {
        struct ool_bucket pair = b[i];

        if (i + 1 < OOL_TIMELINE_BUCKETS)
            join(&pair, &b[i + 1]);
        b[i / 2] = pair;
    }
    for (size_t i = (OOL_TIMELINE_BUCKETS + 1) / 2; i < OOL_TIMELINE_BUCKETS; i++)
        b[i].used = false;
    timeline->width *= 2;
}

void ool_timeline_add(struct ool_timeline *timeline, const struct ool_point *point)
{
    struct ool_bucket *b;

    while (point->op / timeline->width >= OOL_TIMELINE_BUCKETS)
        halve(timeline);
    timeline->any = true;
    timeline->last = *point;
    b = &timeline->buckets[point->op / timeline->width];
    if (!b->used) {
        *b = (struct ool_bucket){true, *point, *point, *point, *point};
        return;
    }
    if (point->allocated > b->most.allocated)
        b->most = *point;
    else if (point->allocated < b->least.allocated)
        b->least = *point;
    if (point->reserved > b->reserved.reserved)
        b->reserved = *point;
    if (point->device > b->device.device)
        b->device = *point;
}

/* Inserts by operation; an operation that is there already is the same point. */
static size_t insert(struct ool_point *points, size_t first, size_t n,
                     const struct ool_point *point)
{
    size_t at = n;

    while (at > first && points[at - 1].op > point->op)
        at--;
    if (at > first && points[at - 1].op == point->op)
        return n;
    memmove(points + at + 1, points + at, (n - at) * sizeof *points);
    points[at] = *point;
    return n + 1;
}

size_t ool_timeline_points(const struct ool_timeline *timeline, struct ool_point *points)
{
    size_t n = 0;

    for (size_t i = 0; i < OOL_TIMELINE_BUCKETS; i++) {
        const struct ool_bucket *b = &timeline->buckets[i];
        size_t first = n;

        if (!b->used)
            continue;
        n = insert(points, first, n, &b->most);
        n = insert(points, first, n, &b->least);
        n = insert(points, first, n, &b->reserved);
        n = insert(points, first, n, &b->device);
    }
    if (timeline->any && (n == 0 || points[n - 1].op != timeline->last.op))
        points[n++] = timeline->last;
    return n;
}
