#include "ool_fix.h"

#include <stdio.h>
#include <string.h>

static const struct ool_mitigation *const table[] = {
    &ool_fix_smaller_batch,
    &ool_fix_accumulation,
    &ool_fix_shorter_sequence,
    &ool_fix_amp,
    &ool_fix_half_weights,
    &ool_fix_checkpointing,
    &ool_fix_sdpa,
    &ool_fix_flash_attention,
    &ool_fix_chunked_loss,
    &ool_fix_no_grad,
    &ool_fix_inference_mode,
    &ool_fix_zero_grad,
    &ool_fix_optimizer,
    &ool_fix_foreach_off,
    &ool_fix_fused,
    &ool_fix_optimizer_in_backward,
    &ool_fix_lora,
    &ool_fix_freeze,
    &ool_fix_offload_weights,
    &ool_fix_offload_activations,
    &ool_fix_empty_cache,
    &ool_fix_collect_garbage,
    &ool_fix_expandable_segments,
    &ool_fix_max_split_size,
    &ool_fix_garbage_collection,
    &ool_fix_detach,
    &ool_fix_del_outputs,
    &ool_fix_unload,
    &ool_fix_static_cache,
};
#define N_MITIGATIONS (sizeof(table) / sizeof(table[0]))

const struct ool_mitigation *const *ool_mitigations(size_t *n)
{
    *n = N_MITIGATIONS;
    return table;
}

/* True if @name is one of the words of @list. */
static bool has_word(const char *list, const char *name)
{
    size_t length = strlen(name);

    while (length > 0 && *list != '\0') {
        size_t word = strcspn(list, " ");

        if (word == length && strncmp(list, name, length) == 0)
            return true;
        list += word + (list[word] == ' ' ? 1 : 0);
    }
    return false;
}

const struct ool_mitigation *ool_mitigation_find(const char *name)
{
    for (size_t i = 0; i < N_MITIGATIONS; i++)
        if (strcmp(table[i]->name, name) == 0 || has_word(table[i]->aliases, name))
            return table[i];
    return NULL;
}

#define NAME_LIMIT 48

/* Edit distance (Levenshtein) of two short names. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_LIMIT + 1];
    size_t n = strlen(b);

    if (strlen(a) > NAME_LIMIT || n > NAME_LIMIT)
        return NAME_LIMIT;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *ool_mitigation_suggest(const char *name)
{
    const char *nearest = NULL;
    size_t best = strlen(name) / 3 + 2;

    for (size_t i = 0; i < N_MITIGATIONS; i++) {
        size_t d = distance(name, table[i]->name);

        if (d < best) {
            best = d;
            nearest = table[i]->name;
        }
    }
    return nearest;
}

enum ool_status ool_mitigation_check(const struct ool_step *step, struct ool_error *err)
{
    const struct ool_mitigation *m = ool_mitigation_find(step->name);
    int64_t number = 0;
    size_t word;

    if (m == NULL) {
        const char *near = ool_mitigation_suggest(step->name);

        ool_error_set(err, OOL_E_REFERENCE, "no mitigation is called \"%s\"", step->name);
        if (err != NULL && near != NULL)
            snprintf(err->hint, sizeof err->hint, "%s", near);
        return OOL_E_REFERENCE;
    }
    if (*step->value == '\0')
        return OOL_OK;
    if (m->value == NULL)
        return ool_error_set(err, OOL_E_RANGE, "%s takes no value, found \"%s\"", m->name,
                             step->value);
    if (m->words != NULL && ool_fix_word(m->name, step->value, m->words, &word, NULL) == OOL_OK)
        return OOL_OK;
    if (m->least == 0)
        return ool_fix_word(m->name, step->value, m->words, &word, err);
    if (ool_fix_number(m->name, step->value, m->least, 0, &number, err) != OOL_OK)
        return OOL_E_RANGE;
    if (m->most > 0 && number > m->most)
        return ool_error_set(err, OOL_E_RANGE, "%s=%s: expected a whole number of at most %lld",
                             m->name, step->value, (long long)m->most);
    return OOL_OK;
}

/* The rules of a stack: each once, one of a group, the batch is changed before it is divided. */
static enum ool_status check_order(const struct ool_stack *stack, size_t at,
                                   const struct ool_mitigation *mitigation, struct ool_error *err)
{
    for (size_t i = 0; i < at; i++) {
        const struct ool_mitigation *earlier = ool_mitigation_find(stack->steps[i].name);

        if (earlier == mitigation)
            return ool_error_set(err, OOL_E_COMBINATION, "%s stands twice in the stack",
                                 mitigation->name);
        if (*mitigation->group != '\0' && strcmp(earlier->group, mitigation->group) == 0)
            return ool_error_set(err, OOL_E_COMBINATION,
                                 "%s and %s exclude each other: both choose the %s", earlier->name,
                                 mitigation->name, mitigation->group);
        if (earlier == &ool_fix_accumulation && mitigation == &ool_fix_smaller_batch)
            return ool_fix_refuse(
                err, mitigation->name,
                "stands after accumulation; change the batch first, then divide it");
    }
    return OOL_OK;
}

static enum ool_status apply_step(struct ool_case *c, size_t at, struct ool_price *price,
                                  struct ool_error *err)
{
    const struct ool_step *step = &c->steps.steps[at];
    const struct ool_mitigation *mitigation = ool_mitigation_find(step->name);
    struct ool_case before;
    enum ool_status status = ool_mitigation_check(step, err);

    if (status == OOL_OK)
        status = check_order(&c->steps, at, mitigation, err);
    if (status != OOL_OK)
        return status;
    status = ool_case_copy(c, &before, err);
    if (status != OOL_OK)
        return status;
    status = mitigation->apply(c, step->value, err);
    if (status == OOL_OK && price != NULL && mitigation->price != NULL)
        mitigation->price(&before, c, price);
    ool_case_fini(&before);
    return status;
}

enum ool_status ool_mitigation_apply(struct ool_case *c, struct ool_price *price,
                                     struct ool_error *err)
{
    if (price != NULL)
        *price = (struct ool_price){.quality = ""};
    for (size_t i = 0; i < c->steps.n_steps; i++) {
        enum ool_status status = apply_step(c, i, price, err);

        if (status != OOL_OK)
            return status;
    }
    return OOL_OK;
}
