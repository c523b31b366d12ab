#include "ool_allocator.h"
#include "ool_test.h"

#define MIB(n) ((uint64_t)(n) << 20)

static struct ool_device *card(uint64_t total)
{
    struct ool_sim_config config = {.total_bytes = total};
    struct ool_device *dev = NULL;

    assert_int_equal(ool_sim_open(&config, &dev, NULL), OOL_OK);
    return dev;
}

static uint64_t free_of(struct ool_device *dev)
{
    uint64_t free_bytes, total_bytes;

    dev->ops->info(dev, &free_bytes, &total_bytes);
    return free_bytes;
}

static void every_request_is_the_devices(void **state)
{
    struct ool_allocator_config config = {.kind = "direct", .version = "2.11"};
    struct ool_device *dev = card(MIB(100));
    struct ool_allocator *allocator = NULL;
    const struct ool_allocator_stats *stats;
    struct ool_block a, b, zero, no;
    struct ool_snapshot snapshot;
    uint64_t allocated, reserved;

    (void)state;
    assert_int_equal(ool_allocator_open(&config, dev, &allocator, NULL), OOL_OK);
    assert_string_equal(ool_allocator_message(allocator), "");
    assert_int_equal(ool_allocator_alloc(allocator, MIB(3), 0, &a, NULL), OOL_OK);
    assert_int_equal(ool_allocator_alloc(allocator, 100, 5, &b, NULL), OOL_OK);
    assert_int_equal(ool_allocator_alloc(allocator, 0, 0, &zero, NULL), OOL_OK);
    assert_null(zero.handle);
    assert_true(free_of(dev) == MIB(94));
    assert_true(a.bytes == MIB(3) && a.segment == 0 && b.segment == 1 && b.offset == 0);
    assert_int_equal(ool_allocator_alloc(allocator, MIB(95), 0, &no, NULL), OOL_E_DEV_OOM);
    assert_string_equal(ool_allocator_message(allocator),
                        "CUDA error: out of memory. cudaMalloc of 95.0 MiB failed on GPU 0, which "
                        "has a total capacity of 100.0 MiB of which 94.0 MiB is free. This process "
                        "holds 3.0 MiB in 2 allocations.");
    assert_int_equal(ool_allocator_snapshot(allocator, &snapshot, NULL), OOL_OK);
    assert_int_equal(snapshot.n_segments, 2);
    assert_int_equal(snapshot.n_blocks, 2);
    assert_true(snapshot.segments[0].address == a.address && snapshot.blocks[1].bytes == 100);
    assert_int_equal(snapshot.segments[1].stream, 5);
    ool_snapshot_fini(&snapshot);
    ool_allocator_totals(allocator, &allocated, &reserved);
    assert_true(allocated == MIB(3) + 100 && reserved == allocated);
    ool_allocator_free(allocator, &a);
    ool_allocator_free(allocator, &zero);
    ool_allocator_reset_peak(allocator);
    stats = ool_allocator_stats(allocator);
    assert_int_equal(stats->allocation[OOL_POOL_ALL].current, 1);
    assert_int_equal(stats->allocation[OOL_POOL_ALL].peak, 1);
    assert_int_equal(stats->allocated_bytes[OOL_POOL_ALL].freed, MIB(3));
    assert_int_equal(stats->num_ooms, 1);
    assert_int_equal(stats->num_device_alloc, 2);
    ool_allocator_close(allocator); /* gives back what is live */
    assert_true(free_of(dev) == MIB(100));
    dev->ops->close(dev);
}

/* Streams and the cache have no meaning here; the calls are harmless. */
static void the_rest_changes_nothing(void **state)
{
    struct ool_allocator_config config = {.kind = "direct"};
    struct ool_device *dev = card(MIB(100));
    struct ool_allocator *allocator = NULL;
    struct ool_block block;

    (void)state;
    assert_int_equal(ool_allocator_open(&config, dev, &allocator, NULL), OOL_OK);
    assert_int_equal(ool_allocator_alloc(allocator, 1, 0, &block, NULL), OOL_OK);
    ool_allocator_stream_busy(allocator, 1);
    ool_allocator_record_stream(allocator, &block, 1);
    ool_allocator_stream_step(allocator, 1, 1);
    ool_allocator_stream_idle(allocator, 1);
    ool_allocator_synchronize(allocator);
    ool_allocator_empty_cache(allocator);
    assert_true(free_of(dev) == MIB(98));
    ool_allocator_free(allocator, &block);
    assert_true(free_of(dev) == MIB(100));
    ool_allocator_close(allocator);
    dev->ops->close(dev);
}

static void what_it_cannot_do_is_refused(void **state)
{
    struct ool_allocator_config config = {.kind = "direct", .conf = "expandable_segments:True"};
    struct ool_device *dev = card(MIB(100));
    struct ool_allocator *allocator = NULL;
    struct ool_error err = {0};

    (void)state;
    assert_int_equal(ool_allocator_open(&config, dev, &allocator, &err), OOL_E_UNSUPPORTED);
    config.conf = "";
    assert_int_equal(ool_allocator_open(&config, dev, &allocator, NULL), OOL_OK);
    assert_int_equal(ool_allocator_set_fraction(allocator, 0.5, NULL), OOL_E_UNSUPPORTED);
    assert_int_equal(ool_allocator_set_conf(allocator, "x:1", NULL), OOL_E_UNSUPPORTED);
    assert_int_equal(ool_allocator_set_conf(allocator, "", NULL), OOL_OK);
    assert_int_equal(ool_allocator_pool_begin(allocator, 1, false, NULL), OOL_E_UNSUPPORTED);
    assert_int_equal(ool_allocator_pool_end(allocator, NULL), OOL_E_UNSUPPORTED);
    assert_int_equal(ool_allocator_pool_release(allocator, 1, false, NULL), OOL_E_UNSUPPORTED);
    ool_allocator_close(allocator);
    config.kind = "buddy";
    memset(&err, 0, sizeof err);
    assert_int_equal(ool_allocator_open(&config, dev, &allocator, &err), OOL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "torch, direct"));
    dev->ops->close(dev);
}

static enum ool_status work(void *state)
{
    struct ool_allocator_config config = {.kind = "direct"};
    struct ool_allocator *allocator = NULL;
    struct ool_device *dev = state;
    struct ool_snapshot snapshot;
    struct ool_block block, other;
    enum ool_status status;

    status = ool_allocator_open(&config, dev, &allocator, NULL);
    if (status != OOL_OK)
        return status;
    status = ool_allocator_alloc(allocator, MIB(2), 0, &block, NULL);
    if (status == OOL_OK)
        status = ool_allocator_alloc(allocator, MIB(200), 0, &other, NULL);
    if (status == OOL_E_DEV_OOM)
        status = ool_allocator_snapshot(allocator, &snapshot, NULL);
    if (status == OOL_OK)
        ool_snapshot_fini(&snapshot);
    ool_allocator_close(allocator);
    assert_true(free_of(dev) == MIB(100));
    return status;
}

static void survives_every_fault(void **state)
{
    struct ool_device *dev = card(MIB(100));

    (void)state;
    ool_test_each_fault(work, dev, 100);
    dev->ops->close(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_is_the_devices),
        cmocka_unit_test(the_rest_changes_nothing),
        cmocka_unit_test(what_it_cannot_do_is_refused),
        cmocka_unit_test(survives_every_fault),
    };
    return cmocka_run_group_tests_name("direct", tests, NULL, NULL);
}
