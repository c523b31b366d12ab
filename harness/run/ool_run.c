#include "ool_run.h"

#include "ool_mem.h"
#include "ool_replay.h"

#include <string.h>

enum ool_status ool_run_program(const struct ool_program *program, const struct ool_case *c,
                                const struct ool_run_observer *observer, struct ool_result *result,
                                struct ool_error *err)
{
    struct ool_replay_config config = {.c = c, .observer = observer};

    return ool_replay_program(program, &config, result, err);
}

enum ool_status ool_run_needs(const struct ool_program *program, const struct ool_case *c,
                              struct ool_result *result, struct ool_error *err)
{
    struct ool_replay_config config = {.c = c, .unlimited = true, .brief = true};
    struct ool_result again, *needs = result;
    enum ool_status status;

    if (result->outcome == OOL_OUTCOME_OOM) {
        status = ool_replay_program(program, &config, &again, err);
        if (status != OOL_OK)
            return status;
        needs = &again;
    }
    result->has_needs = true;
    result->need_requested = needs->peak_requested;
    result->need_allocated = needs->peak_allocated;
    result->need_reserved = needs->peak_reserved;
    result->need_device = needs->peak_device;
    if (needs == &again)
        ool_result_fini(&again);
    return OOL_OK;
}

void ool_result_fini(struct ool_result *result)
{
    ool_free(result->reason);
    ool_free(result->phase);
    ool_free(result->origin);
    ool_free(result->message);
    for (size_t i = 0; i < result->n_alive; i++)
        ool_free(result->alive[i].origin);
    ool_free(result->timeline);
    for (size_t i = 0; i < result->n_phases; i++)
        ool_free(result->phases[i].name);
    ool_free(result->phases);
    ool_snapshot_fini(&result->segments);
    memset(result, 0, sizeof *result);
}
