/*
 * ool_health.h - after an out of memory: do the books agree, and does the allocator still serve?
 */
#ifndef OOL_HEALTH_H
#define OOL_HEALTH_H

#include "ool_replay.h"

/**
 * ool_health_check - the segments at the failure, then the check, which ends the replay
 *
 * Fills result->segments (of the process that failed) and result->healthy: the blocks of the
 * segments sum up to the counters, freeing what the program can reach lowers them by just that, and
 * a small request is served once the cache is empty. Frees every reachable storage.
 */
enum ool_status ool_health_check(struct ool_replay *replay);

#endif
