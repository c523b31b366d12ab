/*
 * ool_models_cfg.h - from a recorded row's cfg to a scenario's words, and to a case that can be run.
 */
#ifndef OOL_MODELS_CFG_H
#define OOL_MODELS_CFG_H

#include "ool_scenario.h"

#include <jansson.h>

/**
 * ool_models_workload - the scenario's "workload" object that says what @cfg says
 *
 * Gives a new reference. NULL: memory, or something in cfg has no word in a scenario (the text names it).
 */
json_t *ool_models_workload(const json_t *cfg, struct ool_error *err);

/* A row's case with one job; fini frees what belongs to it. */
struct ool_models_case {
    struct ool_case c;
    struct ool_job job;
    struct ool_scenario_memory *memory;
    char version[16];
};
/**
 * ool_models_case_open - the case of a row
 *
 * @root: the file, for the release of PyTorch and the cards; @batch: 0 = the cfg's own
 * Errors: OOL_E_UNSUPPORTED (no word for it), OOL_E_DATA, those of reading a workload.
 */
enum ool_status ool_models_case_open(const json_t *root, const json_t *cfg, int64_t batch,
                                     uint64_t total_mib, struct ool_models_case *mc,
                                     struct ool_error *err);
void ool_models_case_fini(struct ool_models_case *mc);

#endif
