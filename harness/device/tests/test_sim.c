#include "ool_device.h"
#include "ool_test.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define PAGE OOL_DEVICE_PAGE

static struct ool_device *open_card(uint64_t total, uint64_t context, uint64_t other, bool sharing)
{
    struct ool_sim_config config = {total, context, other, sharing};
    struct ool_device *dev = NULL;

    assert_int_equal(ool_sim_open(&config, &dev, NULL), OOL_OK);
    assert_int_equal(dev->ops->api, OOL_DEVICE_API);
    return dev;
}

static uint64_t free_of(struct ool_device *dev)
{
    uint64_t free_bytes, total_bytes;

    dev->ops->info(dev, &free_bytes, &total_bytes);
    return free_bytes;
}

struct row {
    const char *name;
    uint64_t total, bytes, taken; /* taken UINT64_MAX: refused */
};

static struct row rows[] = {
    {"one byte takes a page", MIB(10), 1, PAGE},
    {"a page less one byte", MIB(10), PAGE - 1, PAGE},
    {"exactly a page", MIB(10), PAGE, PAGE},
    {"a page and a byte", MIB(10), PAGE + 1, 2 * PAGE},
    {"the whole card", MIB(10), MIB(10), MIB(10)},
    {"one byte too many", MIB(10), MIB(10) + 1, UINT64_MAX},
    {"rounds beyond an odd end", MIB(10) + 5, MIB(10) + 1, UINT64_MAX},
    {"fits below an odd end", MIB(10) + 5, MIB(10), MIB(10)},
    {"2 to the 60", MIB(10), 1ULL << 60, UINT64_MAX},
    {"largest number", MIB(10), UINT64_MAX, UINT64_MAX},
    {"largest less a page", MIB(10), UINT64_MAX - PAGE, UINT64_MAX},
    {"zero bytes", MIB(10), 0, 0},
};

static void check_row(void **state)
{
    struct row *row = *state;
    struct ool_device *dev = open_card(row->total, 0, 0, false);
    struct ool_error err = {0};
    uint64_t address = 7;

    if (row->taken == UINT64_MAX) {
        assert_int_equal(dev->ops->alloc(dev, row->bytes, &address, &err), OOL_E_DEV_OOM);
        assert_int_equal(err.status, OOL_OK); /* a failure that may be recovered leaves no trace */
        assert_true(address == 7);
        assert_true(free_of(dev) == row->total);
    } else {
        assert_int_equal(dev->ops->alloc(dev, row->bytes, &address, &err), OOL_OK);
        assert_true(free_of(dev) == row->total - row->taken);
        dev->ops->free(dev, address, row->bytes);
        assert_true(free_of(dev) == row->total);
    }
    dev->ops->close(dev);
}

static void others_hold_memory(void **state)
{
    struct ool_device *dev = open_card(MIB(100), MIB(10), MIB(20), false);
    uint64_t free_bytes, total_bytes;

    (void)state;
    dev->ops->info(dev, &free_bytes, &total_bytes);
    assert_true(total_bytes == MIB(100));
    assert_true(free_bytes == MIB(70));
    assert_int_equal(ool_sim_hold(dev, MIB(71), NULL), OOL_E_DEV_OOM);
    assert_int_equal(ool_sim_hold(dev, MIB(70), NULL), OOL_OK);
    assert_true(free_of(dev) == 0);
    ool_sim_give(dev, MIB(70));
    assert_true(free_of(dev) == MIB(70));
    dev->ops->close(dev);
}

static void refuses_more_than_the_card(void **state)
{
    struct ool_sim_config config = {MIB(100), MIB(60), MIB(41), false};
    struct ool_device *dev = NULL;
    struct ool_error err = {0};

    (void)state;
    assert_int_equal(ool_sim_open(&config, &dev, &err), OOL_E_RANGE);
    assert_null(dev);
    config.other_bytes = UINT64_MAX;
    assert_int_equal(ool_sim_open(&config, &dev, NULL), OOL_E_RANGE);
}

static void addresses_only_move_up(void **state)
{
    struct ool_device *dev = open_card(MIB(100), 0, 0, false);
    uint64_t first, second, range, third;

    (void)state;
    assert_int_equal(dev->ops->alloc(dev, 1, &first, NULL), OOL_OK);
    dev->ops->free(dev, first, 1);
    assert_int_equal(dev->ops->alloc(dev, 3 * PAGE, &second, NULL), OOL_OK);
    assert_true(second == first + PAGE);
    assert_int_equal(dev->ops->reserve(dev, MIB(1 << 20), &range, NULL), OOL_OK);
    assert_true(range == second + 3 * PAGE);
    dev->ops->release(dev, range, MIB(1 << 20));
    assert_int_equal(dev->ops->alloc(dev, 1, &third, NULL), OOL_OK);
    assert_true(third == range + MIB(1 << 20));
    dev->ops->close(dev);
}

static void addresses_run_out(void **state)
{
    struct ool_device *dev = open_card(MIB(100), 0, 0, false);
    struct ool_error err = {0};
    uint64_t range, before = free_of(dev);

    (void)state;
    assert_int_equal(dev->ops->reserve(dev, UINT64_MAX / 2, &range, NULL), OOL_OK);
    assert_int_equal(dev->ops->reserve(dev, UINT64_MAX / 2, &range, &err), OOL_E_DEVICE);
    assert_int_equal(dev->ops->reserve(dev, UINT64_MAX, &range, NULL), OOL_E_DEVICE);
    assert_true(free_of(dev) == before);
    dev->ops->close(dev);
}

static void maps_all_pages_or_none(void **state)
{
    struct ool_device *dev = open_card(MIB(100), 0, 0, false);
    uint64_t range, created = 7;

    (void)state;
    assert_int_equal(dev->ops->reserve(dev, MIB(200), &range, NULL), OOL_OK);
    assert_int_equal(dev->ops->map(dev, range, MIB(20), 6, &created, NULL), OOL_E_DEV_OOM);
    assert_int_equal(created, 5);
    assert_true(free_of(dev) == MIB(100));
    assert_int_equal(dev->ops->map(dev, range, MIB(20), 5, &created, NULL), OOL_OK);
    assert_true(free_of(dev) == 0);
    dev->ops->unmap(dev, range + MIB(20), MIB(20), 2);
    assert_true(free_of(dev) == MIB(40));
    /* a page that is no multiple of 2 MiB takes whole ones */
    assert_int_equal(dev->ops->map(dev, range + MIB(20), MIB(11), 4, &created, NULL),
                     OOL_E_DEV_OOM);
    assert_int_equal(created, 3);
    assert_int_equal(dev->ops->map(dev, range + MIB(20), MIB(11), 3, &created, NULL), OOL_OK);
    assert_true(free_of(dev) == MIB(4));
    dev->ops->close(dev);
}

static void small_ones_share_a_page(void **state)
{
    struct ool_device *dev = open_card(MIB(6), 0, 0, true);
    uint64_t a, b, c, d, e;

    (void)state;
    assert_int_equal(dev->ops->alloc(dev, 1, &a, NULL), OOL_OK);
    assert_int_equal(dev->ops->alloc(dev, 513, &b, NULL), OOL_OK);
    assert_true(b == a + 512);
    assert_int_equal(dev->ops->alloc(dev, MIB(1), &c, NULL), OOL_OK);
    assert_true(c == b + 1024);
    assert_true(free_of(dev) == MIB(4));
    dev->ops->free(dev, b, 513);
    assert_int_equal(dev->ops->alloc(dev, 1024, &b, NULL), OOL_OK); /* the gap */
    assert_true(b == a + 512);
    assert_int_equal(dev->ops->alloc(dev, MIB(1), &d, NULL), OOL_OK); /* a second page */
    assert_true(free_of(dev) == MIB(2));
    assert_int_equal(dev->ops->alloc(dev, PAGE, &e, NULL), OOL_OK); /* shares nothing */
    assert_true(free_of(dev) == 0);
    dev->ops->free(dev, d, MIB(1));
    assert_true(free_of(dev) == MIB(2)); /* the page was empty */
    dev->ops->free(dev, a, 1);
    dev->ops->free(dev, b, 1024);
    dev->ops->free(dev, c, MIB(1));
    dev->ops->free(dev, e, PAGE);
    assert_true(free_of(dev) == MIB(6));
    dev->ops->close(dev);
}

/* Blocks never overlap, and what was taken comes back. */
static enum ool_status churn_small(void *state)
{
    enum { N = 400 };
    struct ool_sim_config config = {MIB(64), 0, 0, true};
    struct {
        uint64_t address, bytes;
    } blocks[N] = {{0, 0}};
    struct ool_device *dev = NULL;
    enum ool_status status = ool_sim_open(&config, &dev, NULL);
    uint32_t random = 1;

    (void)state;
    for (int i = 0; status == OOL_OK && i < 4000; i++) {
        random = random * 1664525 + 1013904223;
        size_t k = (random >> 8) % N;
        if (blocks[k].bytes != 0) {
            dev->ops->free(dev, blocks[k].address, blocks[k].bytes);
            blocks[k].bytes = 0;
            continue;
        }
        blocks[k].bytes = 1 + (random >> 4) % (1u << (random >> 28));
        status = dev->ops->alloc(dev, blocks[k].bytes, &blocks[k].address, NULL);
        for (size_t j = 0; status == OOL_OK && j < N; j++)
            assert_true(j == k || blocks[j].bytes == 0 ||
                        blocks[j].address + blocks[j].bytes <= blocks[k].address ||
                        blocks[k].address + blocks[k].bytes <= blocks[j].address);
        if (status != OOL_OK)
            blocks[k].bytes = 0;
    }
    for (size_t k = 0; dev != NULL && k < N; k++) {
        if (blocks[k].bytes != 0)
            dev->ops->free(dev, blocks[k].address, blocks[k].bytes);
    }
    if (dev != NULL) {
        assert_true(free_of(dev) == MIB(64));
        dev->ops->close(dev);
    }
    return status;
}

static void small_ones_survive_every_fault(void **state)
{
    (void)state;
    ool_test_each_fault(churn_small, NULL, 100);
}

int main(void)
{
    struct CMUnitTest tests[sizeof rows / sizeof *rows + 7];
    size_t n = 0;

    for (; n < sizeof rows / sizeof *rows; n++)
        tests[n] = (struct CMUnitTest){rows[n].name, check_row, NULL, NULL, &rows[n]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(others_hold_memory);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(refuses_more_than_the_card);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(addresses_only_move_up);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(addresses_run_out);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(maps_all_pages_or_none);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(small_ones_share_a_page);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(small_ones_survive_every_fault);
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
