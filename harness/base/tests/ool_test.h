/*
 * ool_test.h - what every test program includes, and the loop that fails allocation n for every n.
 */
#ifndef OOL_TEST_H
#define OOL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ool_error.h"
#include "ool_mem.h"

/**
 * ool_test_each_fault - run @body with the nth allocation failing, n = 0, 1, ... until none fails
 *
 * Both ways: only the nth fails, then the nth and all later ones. @body gets @state, does its work
 * from scratch, frees all, and returns its status: OOL_OK (a retry recovered) or OOL_E_HOST_OOM.
 * After each round no block of the round may be alive. Bounded by @most rounds.
 */
static inline void ool_test_each_fault(enum ool_status (*body)(void *state), void *state,
                                       uint64_t most)
{
    for (int persistent = 0; persistent < 2; persistent++) {
        for (uint64_t n = 0;; n++) {
            uint64_t before = ool_live_blocks();
            enum ool_status status;

            assert_true(n <= most);
            ool_fault_arm(n, persistent != 0);
            status = body(state);
            if (ool_fault_disarm() == 0) {
                assert_int_equal(status, OOL_OK);
                assert_int_equal(ool_live_blocks(), before);
                break;
            }
            if (status != OOL_OK)
                assert_int_equal(status, OOL_E_HOST_OOM);
            assert_int_equal(ool_live_blocks(), before);
        }
    }
}

#endif
