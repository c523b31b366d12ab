/*
 * ool_ledger.h - who holds how much: bytes alive by origin and category, now and at the peak.
 *
 * Storages with the same origin and category are one account. The balances at the peak are brought
 * up to date lazily: a balance that changed since the last peak is on a list, and a new peak copies
 * the listed ones only. Every copy is paid for by the change that put it on the list: O(1) a change.
 */
#ifndef OOL_LEDGER_H
#define OOL_LEDGER_H

#include "ool_program.h"
#include "ool_run.h"

struct ool_account {
    uint32_t origin; /* text of the program */
    enum ool_category category;
    bool changed;       /* since the last peak */
    uint64_t now, peak; /* bytes */
};
struct ool_ledger {
    const struct ool_program *program;
    uint32_t *account_of; /* per storage */
    struct ool_account *accounts;
    size_t n_accounts;
    uint32_t *changed;
    size_t n_changed;
};

enum ool_status ool_ledger_init(struct ool_ledger *ledger, const struct ool_program *program,
                                struct ool_error *err);
void ool_ledger_fini(struct ool_ledger *ledger);

/* @bytes more (or, as a wrapped negative number, less) are held by @storage. */
static inline void ool_ledger_change(struct ool_ledger *ledger, uint32_t account, uint64_t bytes)
{
    struct ool_account *a = &ledger->accounts[account];

    a->now += bytes;
    if (!a->changed) {
        a->changed = true;
        ledger->changed[ledger->n_changed++] = account;
    }
}
void ool_ledger_peak(struct ool_ledger *ledger); /* the present is the new peak */

/**
 * ool_ledger_result - the largest accounts and the sums by category, at the peak or @now
 *
 * Fills @result's alive, n_alive and by_category; ties are ordered by origin.
 */
enum ool_status ool_ledger_result(const struct ool_ledger *ledger, bool now,
                                  struct ool_result *result, struct ool_error *err);

#endif
