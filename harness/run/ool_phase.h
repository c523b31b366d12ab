/*
 * ool_phase.h - phases and training steps of a replay: what each ended with, its peaks, the growth.
 */
#ifndef OOL_PHASE_H
#define OOL_PHASE_H

#include "ool_replay.h"

/* What an operation of @process changed counts for its open phase. */
void ool_phase_note(struct ool_process *process);
/* A mark: the open phase of @process ends under this name. */
enum ool_status ool_phase_close(struct ool_replay *replay, struct ool_process *process,
                                const char *name);
/* A step of the workload ends. */
void ool_steps_end(struct ool_steps *steps);
/* The end of the program: closes what is still open; without a mark ahead it is called "end", or "run" if there is none. */
enum ool_status ool_phase_finish(struct ool_replay *replay);
/* The name of the phase under way at the operation replay->at: the process's next mark, else "end" (or "run"). */
const char *ool_phase_next(const struct ool_replay *replay, uint16_t process);

#endif
