#include "ool_test.h"
#include "ool_timeline.h"

#include <stdlib.h>

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return *seed >> 33;
}

static void check_length(uint64_t n)
{
    struct ool_timeline timeline;
    struct ool_point points[OOL_TIMELINE_POINTS], most = {0}, reserved = {0}, last = {0};
    uint64_t seed = n;
    size_t kept;
    bool found_most = false, found_reserved = false;

    ool_timeline_init(&timeline);
    for (uint64_t op = 1; op <= n; op++) {
        struct ool_point p = {op, next(&seed) % 100000, next(&seed) % 100000, 7};

        if (p.allocated > most.allocated)
            most = p;
        if (p.reserved > reserved.reserved)
            reserved = p;
        ool_timeline_add(&timeline, &p);
        last = p;
    }
    kept = ool_timeline_points(&timeline, points);
    assert_true(kept <= OOL_TIMELINE_POINTS);
    if (n <= OOL_TIMELINE_BUCKETS - 1)
        assert_int_equal(kept, n);
    for (size_t i = 0; i < kept; i++) {
        found_most = found_most || points[i].op == most.op;
        found_reserved = found_reserved || points[i].op == reserved.op;
        if (i > 0)
            assert_true(points[i].op > points[i - 1].op);
    }
    assert_true(found_most && found_reserved);
    assert_int_equal(points[kept - 1].op, last.op);
    assert_int_equal(points[kept - 1].allocated, last.allocated);
}

static void test_peaks_stay(void **state)
{
    static const uint64_t lengths[] = {1, 2, 126, 127, 128, 129, 512, 513, 5000, 100001, 1000000};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        check_length(lengths[i]);
}

static void test_every_local_peak_of_a_saw_stays(void **state)
{
    struct ool_timeline timeline;
    struct ool_point points[OOL_TIMELINE_POINTS];
    size_t kept, peaks = 0, valleys = 0;

    (void)state;
    ool_timeline_init(&timeline);
    for (uint64_t op = 0; op < 100000; op++) {
        uint64_t in = op % 2000;
        struct ool_point p = {op, in < 1000 ? in : 2000 - in, 1000, 1000};

        ool_timeline_add(&timeline, &p);
    }
    kept = ool_timeline_points(&timeline, points);
    for (size_t i = 0; i < kept; i++) {
        peaks += points[i].allocated == 1000;
        valleys += points[i].allocated == 0;
    }
    assert_int_equal(peaks, 50);
    assert_int_equal(valleys, 50);
}

static void test_gap_after_counted_iterations(void **state)
{
    struct ool_timeline timeline;
    struct ool_point points[OOL_TIMELINE_POINTS];
    struct ool_point first = {3, 5, 8, 9}, far = {UINT64_C(1) << 59, 6, 7, 8};

    (void)state;
    ool_timeline_init(&timeline);
    assert_int_equal(ool_timeline_points(&timeline, points), 0);
    ool_timeline_add(&timeline, &first);
    ool_timeline_add(&timeline, &far);
    assert_int_equal(ool_timeline_points(&timeline, points), 2);
    assert_int_equal(points[0].op, 3);
    assert_true(points[1].op == far.op);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peaks_stay),
        cmocka_unit_test(test_every_local_peak_of_a_saw_stays),
        cmocka_unit_test(test_gap_after_counted_iterations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
