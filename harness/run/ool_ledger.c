#include "ool_ledger.h"

#include "ool_mem.h"

#include <string.h>

/* The account of a storage, made if it is new. @slots is a hash table of accounts. */
static uint32_t find_account(struct ool_ledger *ledger, uint32_t *slots, size_t mask,
                             const struct ool_storage *storage)
{
    uint64_t key = (uint64_t)storage->origin * OOL_N_CATEGORIES + storage->category;
    size_t slot = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & mask;
    struct ool_account *a;

    for (; slots[slot] != 0; slot = (slot + 1) & mask) {
        a = &ledger->accounts[slots[slot] - 1];
        if (a->origin == storage->origin && a->category == (enum ool_category)storage->category)
            return slots[slot] - 1;
    }
    a = &ledger->accounts[ledger->n_accounts++];
    a->origin = storage->origin;
    a->category = (enum ool_category)storage->category;
    slots[slot] = (uint32_t)ledger->n_accounts;
    return slots[slot] - 1;
}

enum ool_status ool_ledger_init(struct ool_ledger *ledger, const struct ool_program *program,
                                struct ool_error *err)
{
    size_t n = program->n_storages, size = 16;
    uint32_t *slots;

    memset(ledger, 0, sizeof *ledger);
    ledger->program = program;
    while (size < 2 * n)
        size *= 2;
    slots = ool_calloc(size, sizeof *slots);
    ledger->account_of = ool_calloc(n, sizeof *ledger->account_of);
    ledger->accounts = ool_calloc(n, sizeof *ledger->accounts);
    ledger->changed = ool_calloc(n, sizeof *ledger->changed);
    if (slots == NULL || ledger->account_of == NULL || ledger->accounts == NULL ||
        ledger->changed == NULL) {
        ool_free(slots);
        ool_ledger_fini(ledger);
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the accounts of %zu storages", n);
    }
    for (size_t i = 0; i < n; i++)
        ledger->account_of[i] = find_account(ledger, slots, size - 1, &program->storages[i]);
    ool_free(slots);
    return OOL_OK;
}

void ool_ledger_fini(struct ool_ledger *ledger)
{
    ool_free(ledger->account_of);
    ool_free(ledger->accounts);
    ool_free(ledger->changed);
    memset(ledger, 0, sizeof *ledger);
}

void ool_ledger_peak(struct ool_ledger *ledger)
{
    for (size_t i = 0; i < ledger->n_changed; i++) {
        struct ool_account *a = &ledger->accounts[ledger->changed[i]];

        a->peak = a->now;
        a->changed = false;
    }
    ledger->n_changed = 0;
}

static uint64_t balance(const struct ool_account *account, bool now)
{
    return now ? account->now : account->peak;
}

/* Larger first; by origin and category where the bytes are equal. */
static bool comes_before(const struct ool_ledger *ledger, const struct ool_account *a,
                         const struct ool_account *b, bool now)
{
    int order;

    if (balance(a, now) != balance(b, now))
        return balance(a, now) > balance(b, now);
    order = strcmp(ool_program_text_of(ledger->program, a->origin),
                   ool_program_text_of(ledger->program, b->origin));
    return order != 0 ? order < 0 : a->category < b->category;
}

enum ool_status ool_ledger_result(const struct ool_ledger *ledger, bool now,
                                  struct ool_result *result, struct ool_error *err)
{
    const struct ool_account *top[OOL_TOP_ALIVE];
    size_t n = 0;

    memset(result->by_category, 0, sizeof result->by_category);
    for (size_t i = 0; i < ledger->n_accounts; i++) {
        const struct ool_account *a = &ledger->accounts[i];
        size_t at = n;

        if (balance(a, now) == 0)
            continue;
        result->by_category[a->category] += balance(a, now);
        while (at > 0 && comes_before(ledger, a, top[at - 1], now))
            at--;
        if (at == OOL_TOP_ALIVE)
            continue;
        if (n < OOL_TOP_ALIVE)
            n++;
        memmove(&top[at + 1], &top[at], (n - 1 - at) * sizeof(const struct ool_account *));
        top[at] = a;
    }
    for (size_t i = 0; i < n; i++) {
        struct ool_alive_result *alive = &result->alive[i];

        alive->origin = ool_strdup(ool_program_text_of(ledger->program, top[i]->origin));
        if (alive->origin == NULL)
            return ool_error_set(err, OOL_E_HOST_OOM, "no memory for what is alive at the peak");
        alive->category = top[i]->category;
        alive->bytes = balance(top[i], now);
        result->n_alive = i + 1;
    }
    return OOL_OK;
}
