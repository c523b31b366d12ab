/*
 * ool_timeline.h - a timeline of bounded length that keeps every peak.
 *
 * Points fall into buckets of equal numbers of operations. A bucket keeps the point where allocated
 * bytes are largest, the one where they are least, and those where reserved and device bytes are
 * largest. When the buckets are used up, neighbours are joined; since an extreme of two buckets is
 * an extreme of one of them, nothing that was kept is lost for a lesser point. O(1) per point.
 */
#ifndef OOL_TIMELINE_H
#define OOL_TIMELINE_H

#include "ool_run.h"

#define OOL_TIMELINE_BUCKETS 127 /* 127 buckets of 4 points and the last one are at most 509 */

struct ool_bucket {
    bool used;
    struct ool_point most, least, reserved, device;
};
struct ool_timeline {
    struct ool_bucket buckets[OOL_TIMELINE_BUCKETS];
    uint64_t width; /* operations per bucket */
    bool any;
    struct ool_point last;
};

void ool_timeline_init(struct ool_timeline *timeline);
/* Operation numbers must not go down. */
void ool_timeline_add(struct ool_timeline *timeline, const struct ool_point *point);
/* The points in order, without repeats; @points has room for OOL_TIMELINE_POINTS. Returns how many. */
size_t ool_timeline_points(const struct ool_timeline *timeline, struct ool_point *points);

#endif
