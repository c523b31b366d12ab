#include "ool_plan.h"

#include "ool_mem.h"
#include "ool_replay.h"

#include <string.h>

static enum ool_status no_memory(struct ool_error *err)
{
    return ool_error_set(err, OOL_E_HOST_OOM, "no memory for a plan");
}

/* The number of a text that the program is known to hold. */
static const char *own_text(const struct ool_program *program, const char *text)
{
    uint32_t id;

    if (!ool_program_text((struct ool_program *)program, text, &id))
        return NULL;
    return ool_program_text_of(program, id);
}

/* Peak, what is alive there, and what is needed, from the replay that reached the program's end. */
static enum ool_status take_needs(struct ool_plan *plan, struct ool_result *result,
                                  struct ool_error *err)
{
    plan->need_requested = result->peak_requested;
    plan->need_allocated = result->peak_allocated;
    plan->need_reserved = result->peak_reserved;
    plan->need_device = result->peak_device;
    plan->peak_phase = result->phase;
    result->phase = NULL;
    memcpy(plan->by_category, result->by_category, sizeof plan->by_category);
    for (size_t i = 0; i < result->n_alive && i < OOL_TOP; i++) {
        struct ool_alive *top = &plan->top[i];

        top->origin = own_text(plan->program, result->alive[i].origin);
        if (top->origin == NULL)
            return no_memory(err);
        top->category = result->alive[i].category;
        top->bytes = result->alive[i].bytes;
        plan->n_top++;
    }
    return OOL_OK;
}

static void take_verdict(struct ool_plan *plan, struct ool_result *result)
{
    plan->outcome = result->outcome;
    plan->peak_requested = result->peak_requested;
    plan->peak_allocated = result->peak_allocated;
    plan->peak_reserved = result->peak_reserved;
    plan->peak_device = result->peak_device;
    plan->capacity = result->capacity;
    if (result->outcome != OOL_OUTCOME_OOM && result->outcome != OOL_OUTCOME_HOST_OOM)
        return;
    plan->failed_phase = result->phase;
    plan->failed_origin = result->origin;
    plan->failed_bytes = result->failed_bytes;
    result->phase = result->origin = NULL;
}

static enum ool_status fill(struct ool_plan *plan, const struct ool_case *c, struct ool_error *err)
{
    struct ool_replay_config config = {.c = c, .brief = true};
    struct ool_liveness liveness;
    struct ool_result result;
    enum ool_status status = ool_replay_program(plan->program, &config, &result, err);

    if (status != OOL_OK)
        return status;
    take_verdict(plan, &result);
    status = ool_liveness_of(plan->program, &liveness, err);
    if (status != OOL_OK) {
        ool_result_fini(&result);
        return status;
    }
    if (result.outcome == OOL_OUTCOME_OOM) {
        ool_result_fini(&result);
        config.unlimited = true;
        status = ool_replay_program(plan->program, &config, &result, err);
        if (status != OOL_OK)
            return status;
    }
    status = take_needs(plan, &result, err);
    plan->growth = liveness.growth != 0 ? liveness.growth : result.leak;
    ool_result_fini(&result);
    return status;
}

enum ool_status ool_plan_program(struct ool_program *program, const struct ool_case *c,
                                 const struct ool_workload_facts *facts, struct ool_plan **plan,
                                 struct ool_error *err)
{
    struct ool_plan *made = ool_calloc(1, sizeof *made);
    enum ool_status status;

    if (made == NULL) {
        ool_program_fini(program);
        return no_memory(err);
    }
    made->program = ool_malloc(sizeof *made->program);
    if (made->program == NULL) {
        ool_program_fini(program);
        ool_free(made);
        return no_memory(err);
    }
    *made->program = *program;
    ool_program_init(program);
    made->context = c->card.context_bytes;
    made->n_ops = made->program->n_ops;
    if (facts != NULL) {
        made->params = facts->params;
        made->trainable = facts->trainable;
    }
    status = fill(made, c, err);
    if (status != OOL_OK) {
        ool_plan_close(made);
        return status;
    }
    *plan = made;
    return OOL_OK;
}

enum ool_status ool_plan_case(const struct ool_case *c, struct ool_plan **plan,
                              struct ool_error *err)
{
    struct ool_workload_facts facts = {0};
    struct ool_program program;
    enum ool_status status;

    ool_program_init(&program);
    status = ool_case_lower(c, &program, &facts, err);
    if (status != OOL_OK) {
        ool_program_fini(&program);
        return status;
    }
    return ool_plan_program(&program, c, &facts, plan, err);
}

void ool_plan_close(struct ool_plan *plan)
{
    if (plan == NULL)
        return;
    ool_free(plan->peak_phase);
    ool_free(plan->failed_phase);
    ool_free(plan->failed_origin);
    ool_program_fini(plan->program);
    ool_free(plan->program);
    ool_free(plan);
}
