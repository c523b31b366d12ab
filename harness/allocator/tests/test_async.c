#include "ool_allocator.h"
#include "ool_test.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

static struct ool_device *card(uint64_t total)
{
    struct ool_sim_config config = {.total_bytes = total};
    struct ool_device *dev = NULL;

    assert_int_equal(ool_sim_open(&config, &dev, NULL), OOL_OK);
    return dev;
}

static struct ool_allocator *open_kind(struct ool_device *dev, const char *kind,
                                       const char *version, const char *conf)
{
    struct ool_allocator_config config = {.kind = kind, .version = version, .conf = conf};
    struct ool_allocator *allocator = NULL;

    assert_int_equal(ool_allocator_open(&config, dev, &allocator, NULL), OOL_OK);
    return allocator;
}

static uint64_t free_of(struct ool_device *dev)
{
    uint64_t free_bytes, total_bytes;

    dev->ops->info(dev, &free_bytes, &total_bytes);
    return free_bytes;
}

static struct ool_block get(struct ool_allocator *allocator, uint64_t bytes, uint32_t stream)
{
    struct ool_block block;

    assert_int_equal(ool_allocator_alloc(allocator, bytes, stream, &block, NULL), OOL_OK);
    return block;
}

static void refused(struct ool_allocator *allocator, uint64_t bytes)
{
    struct ool_block block;

    assert_int_equal(ool_allocator_alloc(allocator, bytes, 0, &block, NULL), OOL_E_DEV_OOM);
}

static uint64_t reserved_of(struct ool_allocator *allocator)
{
    uint64_t allocated, reserved;

    ool_allocator_totals(allocator, &allocated, &reserved);
    return reserved;
}

/* The first small request reserves 32 MiB, and it goes back at the next synchronisation once unused. */
static void a_pool_grows_and_is_trimmed(void **state)
{
    struct ool_device *dev = card(GIB(1));
    struct ool_allocator *allocator = open_kind(dev, "async", "2.11", "");
    const struct ool_allocator_stats *stats;
    struct ool_block a, b, c;

    (void)state;
    a = get(allocator, KIB(8), 0);
    assert_true(a.bytes == KIB(8) && reserved_of(allocator) == MIB(32));
    b = get(allocator, 1, 0);
    assert_true(b.bytes == 512 && b.segment == 0 && b.offset == KIB(8));
    c = get(allocator, MIB(33), 0);
    assert_true(c.segment == 1 && reserved_of(allocator) == MIB(96));
    assert_true(free_of(dev) == GIB(1) - MIB(96));
    ool_allocator_free(allocator, &c);
    assert_true(reserved_of(allocator) == MIB(96));
    ool_allocator_synchronize(allocator);
    assert_true(reserved_of(allocator) == MIB(32));
    stats = ool_allocator_stats(allocator);
    assert_int_equal(stats->allocation[OOL_POOL_ALL].current, 2);
    assert_int_equal(stats->requested_bytes[OOL_POOL_ALL].current, KIB(8) + 1);
    assert_int_equal(stats->allocated_bytes[OOL_POOL_ALL].peak, KIB(8) + 512 + MIB(33));
    assert_int_equal(stats->reserved_bytes[OOL_POOL_ALL].peak, MIB(96));
    ool_allocator_reset_peak(allocator);
    assert_int_equal(ool_allocator_stats(allocator)->reserved_bytes[OOL_POOL_ALL].peak, MIB(32));
    ool_allocator_free(allocator, &a);
    ool_allocator_free(allocator, &b);
    ool_allocator_synchronize(allocator);
    assert_true(reserved_of(allocator) == 0 && free_of(dev) == GIB(1));
    ool_allocator_close(allocator);
    dev->ops->close(dev);
}

/* With a threshold a neighbour finds no room, without one it does. */
static void the_threshold_keeps(void **state)
{
    static const struct {
        const char *conf;
        uint64_t kept;
    } rows[] = {
        {"", 0},
        {"release_threshold:0", 0},
        {"release_threshold:1MiB", MIB(32)},
        {"release_threshold:100MiB", MIB(128)},
        {"release_threshold:max,opportunistic:False", GIB(1) - MIB(32)},
        {"internal_dependencies:False,release_threshold:992MiB", GIB(1) - MIB(32)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ool_device *dev = card(GIB(1));
        struct ool_allocator *allocator = open_kind(dev, "async", "2.11", rows[i].conf);
        struct ool_block block = get(allocator, GIB(1) - MIB(32), 0);

        ool_allocator_free(allocator, &block);
        ool_allocator_synchronize(allocator);
        assert_true(reserved_of(allocator) == rows[i].kept);
        assert_int_equal(ool_sim_hold(dev, MIB(512), NULL),
                         rows[i].kept > MIB(512) ? OOL_E_DEV_OOM : OOL_OK);
        ool_allocator_empty_cache(allocator);
        assert_true(reserved_of(allocator) == 0);
        ool_allocator_close(allocator);
        dev->ops->close(dev);
    }
}

static void settings_are_checked(void **state)
{
    static const char *const bad[] = {
        "release_threshold",       "release_threshold:",  ",",
        "release_threshold:1GB",   "opportunistic:true",  "internal_dependencies:",
        "backend:cudaMallocAsync", "release_threshold:0,"};
    struct ool_device *dev = card(GIB(1));

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ool_allocator_config config = {.kind = "async", .conf = bad[i]};
        struct ool_allocator *allocator = NULL;
        assert_int_equal(ool_allocator_open(&config, dev, &allocator, NULL), OOL_E_CONF);
        assert_null(allocator);
    }
    dev->ops->close(dev);
}

/* What a busy stream has still to free serves that stream at once, others once it got there. */
static void reuse_across_streams(void **state)
{
    struct ool_device *dev = card(GIB(1));
    struct ool_allocator *allocator = open_kind(dev, "async", "2.11", "");
    struct ool_block a, b;
    uint64_t first;

    (void)state;
    a = get(allocator, MIB(20), 1);
    first = a.address;
    ool_allocator_stream_busy(allocator, 1);
    ool_allocator_free(allocator, &a);
    b = get(allocator, MIB(20), 2);
    assert_true(b.address != first && reserved_of(allocator) == MIB(64));
    a = get(allocator, MIB(20), 1);
    assert_true(a.address == first);
    ool_allocator_free(allocator, &a);
    ool_allocator_free(allocator, &b);
    ool_allocator_stream_step(allocator, 1, 1); /* the free before the reuse */
    ool_allocator_stream_step(allocator, 1, 9);
    b = get(allocator, MIB(20), 2);
    assert_true(b.address == first);
    ool_allocator_free(allocator, &b);
    ool_allocator_stream_idle(allocator, 1);
    ool_allocator_close(allocator);
    dev->ops->close(dev);
}

/* A full card: the request waits for another stream's free, unless that is not allowed. */
static void reuse_by_waiting(void **state)
{
    static const char *const confs[] = {"", "internal_dependencies:False"};

    (void)state;
    for (int denied = 0; denied < 2; denied++) {
        struct ool_device *dev = card(MIB(64));
        struct ool_allocator *allocator = open_kind(dev, "async", "2.11", confs[denied]);
        struct ool_block a = get(allocator, MIB(60), 1), b;

        ool_allocator_stream_busy(allocator, 1);
        ool_allocator_free(allocator, &a);
        if (denied != 0) {
            refused(allocator, MIB(60));
            assert_string_equal(
                ool_allocator_message(allocator),
                "CUDA error: out of memory. cudaMallocAsync of 60.0 MiB failed on GPU 0, which has "
                "a total capacity of 64.0 MiB of which 0 B is free. The memory pool holds 64.0 "
                "MiB, "
                "of which 0 B is in use.");
            assert_int_equal(ool_allocator_stats(allocator)->num_ooms, 1);
        } else {
            b = get(allocator, MIB(60), 0);
            assert_true(b.address == a.address);
        }
        ool_allocator_close(allocator);
        assert_true(free_of(dev) == MIB(64));
        dev->ops->close(dev);
    }
}

/* Granules that are wholly free are remapped; a granule with one small block in it is not. */
static void fragments_are_remapped_by_granule(void **state)
{
    struct ool_device *dev = card(MIB(128));
    struct ool_allocator *allocator = open_kind(dev, "async", "2.11", "");
    struct ool_block parts[4], pins[4], all;

    (void)state;
    for (int i = 0; i < 4; i++)
        parts[i] = get(allocator, MIB(32), 0);
    ool_allocator_free(allocator, &parts[0]);
    ool_allocator_free(allocator, &parts[2]);
    all = get(allocator, MIB(64), 0); /* of two granules that are not neighbours */
    assert_true(all.segment == 4 && reserved_of(allocator) == MIB(128));
    ool_allocator_free(allocator, &all);
    ool_allocator_free(allocator, &parts[1]);
    ool_allocator_free(allocator, &parts[3]);
    ool_allocator_empty_cache(allocator);
    for (int i = 0; i < 4; i++) {
        parts[i] = get(allocator, MIB(32) - 512, 0);
        pins[i] = get(allocator, 512, 0);
    }
    for (int i = 0; i < 4; i++)
        ool_allocator_free(allocator, &parts[i]);
    refused(allocator, MIB(32));
    ool_allocator_free(allocator, &pins[1]);
    all = get(allocator, MIB(32), 0);
    ool_allocator_close(allocator);
    dev->ops->close(dev);
}

/* A block that two streams used is free when both got there. */
static void several_users(void **state)
{
    struct ool_device *dev = card(GIB(1));
    struct ool_allocator *allocator = open_kind(dev, "torch", "2.11", "backend:cudaMallocAsync");
    struct ool_snapshot snapshot;
    struct ool_block a, b;

    (void)state;
    a = get(allocator, MIB(32), 0);
    ool_allocator_record_stream(allocator, &a, 0); /* no effect */
    ool_allocator_record_stream(allocator, &a, 1);
    ool_allocator_record_stream(allocator, &a, 1);
    ool_allocator_record_stream(allocator, &a, 2);
    ool_allocator_stream_busy(allocator, 1);
    ool_allocator_stream_busy(allocator, 2);
    ool_allocator_free(allocator, &a);
    ool_allocator_stream_idle(allocator, 1);
    assert_int_equal(ool_allocator_snapshot(allocator, &snapshot, NULL), OOL_OK);
    assert_int_equal(snapshot.n_blocks, 1);
    assert_int_equal(snapshot.blocks[0].state, OOL_BLOCK_PENDING);
    ool_snapshot_fini(&snapshot);
    b = get(allocator, MIB(32), 0);
    assert_true(b.address != a.address);
    ool_allocator_free(allocator, &b);
    ool_allocator_stream_step(allocator, 2, 1);
    ool_allocator_empty_cache(allocator);
    assert_true(reserved_of(allocator) == 0);
    ool_allocator_close(allocator);
    dev->ops->close(dev);
}

/* As recorded from each release: 100 bytes live on a card of 24564 MiB with a context of 450 MiB. */
static void torch_says_what_was_recorded(void **state)
{
    static const struct {
        const char *version;
        bool told;
    } rows[] = {{"2.2", true},  {"2.4", false}, {"2.6", false}, {"2.8", false},
                {"2.11", true}, {"2.13", true}, {"2.15", true}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ool_device *dev = card(MIB(24564));
        struct ool_allocator *allocator;
        const struct ool_allocator_stats *stats;
        struct ool_block a, b;

        assert_int_equal(ool_sim_hold(dev, MIB(450), NULL), OOL_OK);
        allocator = open_kind(dev, "torch", rows[i].version,
                              "backend:cudaMallocAsync,max_split_size_mb:1,nonsense:1");
        a = get(allocator, 100, 0);
        b = get(allocator, MIB(40), 0);
        ool_allocator_free(allocator, &b);
        stats = ool_allocator_stats(allocator);
        assert_int_equal(stats->allocated_bytes[OOL_POOL_ALL].current, 512);
        assert_int_equal(stats->active_bytes[OOL_POOL_ALL].peak, MIB(40) + 512);
        assert_int_equal(stats->allocation[OOL_POOL_ALL].current, 0);
        assert_int_equal(stats->allocated_bytes[OOL_POOL_ALL].allocated, 0);
        ool_allocator_synchronize(allocator); /* keeps all */
        assert_true(reserved_of(allocator) == MIB(96));
        ool_allocator_empty_cache(allocator);
        assert_true(reserved_of(allocator) == MIB(32));
        refused(allocator, GIB(30));
        if (rows[i].told)
            assert_string_equal(ool_allocator_message(allocator),
                                "Allocation on device 0 would exceed allowed memory. (out of "
                                "memory)\nCurrently allocated     : 100 bytes\n"
                                "Requested               : 30.00 GiB\n"
                                "Device limit            : 23.99 GiB\n"
                                "Free (according to CUDA): 23.52 GiB\n"
                                "PyTorch limit (set by user-supplied memory fraction)\n"
                                "                        : 17179869184.00 GiB");
        else
            assert_string_equal(ool_allocator_message(allocator), "Allocation on device ");
        refused(allocator, UINT64_C(1) << 60);
        assert_string_equal(ool_allocator_message(allocator),
                            "CUDA out of memory. Tried to allocate more than 1EB memory.");
        assert_int_equal(ool_allocator_stats(allocator)->num_ooms, 0);
        /* A fraction is of the bytes asked for, and cut to whole bytes. */
        assert_int_equal(ool_allocator_set_fraction(allocator, 0.7, NULL), OOL_OK);
        refused(allocator, UINT64_C(18030054605) - 100);
        b = get(allocator, UINT64_C(18030054604) - 100, 0);
        ool_allocator_free(allocator, &b);
        assert_int_equal(ool_allocator_set_fraction(allocator, 1.5, NULL), OOL_E_RANGE);
        ool_allocator_free(allocator, &a);
        ool_allocator_close(allocator);
        dev->ops->close(dev);
    }
}

static void torch_changes_settings(void **state)
{
    struct ool_device *dev = card(GIB(1));
    struct ool_error err = {0};
    struct ool_allocator *allocator = open_kind(dev, "torch", "2.11", "backend:cudaMallocAsync");

    (void)state;
    assert_int_equal(ool_allocator_set_conf(allocator, "max_split_size_mb:30", &err), OOL_OK);
    assert_int_equal(ool_allocator_set_conf(allocator, "backend:cudaMallocAsync", &err), OOL_OK);
    assert_int_equal(ool_allocator_set_conf(allocator, "nonsense:1", &err), OOL_E_CONF);
    memset(&err, 0, sizeof err);
    assert_int_equal(ool_allocator_set_conf(allocator, "backend:native", &err), OOL_E_CONF);
    assert_non_null(strstr(err.text, "parsed at load time, native"));
    assert_int_equal(ool_allocator_pool_begin(allocator, 1, false, &err), OOL_E_UNSUPPORTED);
    ool_allocator_close(allocator);
    /* The first backend named is loaded, and then another one is an error. */
    {
        struct ool_allocator_config config = {.kind = "torch",
                                              .conf = "backend:native,backend:cudaMallocAsync"};
        assert_int_equal(ool_allocator_open(&config, dev, &allocator, &err), OOL_E_CONF);
    }
    dev->ops->close(dev);
}

/* Random requests on three streams: books and snapshot agree at each step, and all goes back. */
static void books_agree(void **state)
{
    struct ool_device *dev = card(GIB(2));
    struct ool_allocator *allocator = open_kind(dev, "async", "2.11", "");
    struct ool_block live[64] = {{0}};
    uint64_t random = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 4000; i++) {
        struct ool_snapshot snapshot;
        uint64_t allocated, reserved, used = 0, mapped = 0;
        size_t k;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        k = (size_t)(random % 64);
        if (live[k].handle != NULL) {
            if (random >> 40 & 1)
                ool_allocator_record_stream(allocator, &live[k], (uint32_t)(random >> 50) % 3);
            ool_allocator_free(allocator, &live[k]);
            live[k].handle = NULL;
        } else if (ool_allocator_alloc(
                       allocator, 1 + ((random >> 8) & ((UINT64_C(1) << (random >> 58) % 32) - 1)),
                       (uint32_t)(random >> 50) % 3, &live[k], NULL) != OOL_OK) {
            live[k].handle = NULL;
        }
        if ((random >> 20) % 5 == 0)
            ool_allocator_stream_busy(allocator, (uint32_t)(random >> 30) % 3);
        if ((random >> 20) % 7 == 0)
            ool_allocator_stream_step(allocator, (uint32_t)(random >> 30) % 3, 2);
        if ((random >> 20) % 31 == 0)
            ool_allocator_stream_idle(allocator, (uint32_t)(random >> 30) % 3);
        if ((random >> 20) % 101 == 0)
            ool_allocator_synchronize(allocator);
        assert_int_equal(ool_allocator_snapshot(allocator, &snapshot, NULL), OOL_OK);
        for (size_t s = 0; s < snapshot.n_segments; s++)
            mapped += snapshot.segments[s].bytes;
        for (size_t s = 0; s < snapshot.n_blocks; s++)
            used += snapshot.blocks[s].state == OOL_BLOCK_ALLOCATED ? snapshot.blocks[s].bytes : 0;
        ool_snapshot_fini(&snapshot);
        ool_allocator_totals(allocator, &allocated, &reserved);
        assert_true(used == allocated && mapped == reserved && reserved <= GIB(2));
        assert_true(free_of(dev) == GIB(2) - reserved);
    }
    for (size_t k = 0; k < 64; k++)
        ool_allocator_free(allocator, &live[k]);
    ool_allocator_synchronize(allocator);
    assert_true(free_of(dev) == GIB(2));
    ool_allocator_close(allocator);
    dev->ops->close(dev);
}

static enum ool_status use_all(const struct ool_allocator_config *config, struct ool_device *dev)
{
    struct ool_allocator *allocator = NULL;
    struct ool_block a = {0}, b = {0}, c = {0};
    struct ool_snapshot snapshot;
    enum ool_status status;

    status = ool_allocator_open(config, dev, &allocator, NULL);
    if (status != OOL_OK)
        return status;
    status = ool_allocator_alloc(allocator, MIB(96), 0, &a, NULL);
    if (status == OOL_OK)
        status = ool_allocator_alloc(allocator, 1000, 1, &b, NULL);
    if (status == OOL_OK) {
        ool_allocator_stream_busy(allocator, 1);
        ool_allocator_record_stream(allocator, &b, 0);
        ool_allocator_free(allocator, &b);
        ool_allocator_free(allocator, &a);
        status = ool_allocator_alloc(allocator, MIB(40), 1, &c, NULL);
    }
    if (status == OOL_OK)
        status = ool_allocator_alloc(allocator, MIB(100), 2, &b, NULL);
    if (status == OOL_OK) {
        status = ool_allocator_alloc(allocator, MIB(999), 0, &b, NULL);
        status = status == OOL_E_DEV_OOM ? OOL_OK : status;
    }
    ool_allocator_synchronize(allocator);
    if (status == OOL_OK)
        status = ool_allocator_snapshot(allocator, &snapshot, NULL);
    if (status == OOL_OK)
        ool_snapshot_fini(&snapshot);
    if (status == OOL_OK && *ool_allocator_message(allocator) == '\0')
        status = OOL_E_HOST_OOM;
    ool_allocator_close(allocator);
    assert_true(free_of(dev) == MIB(320));
    return status;
}

static enum ool_status use_async(void *dev)
{
    struct ool_allocator_config config = {.kind = "async", .conf = "release_threshold:64MiB"};

    return use_all(&config, dev);
}

static enum ool_status use_torch(void *dev)
{
    struct ool_allocator_config config = {.kind = "torch", .conf = "backend:cudaMallocAsync"};

    return use_all(&config, dev);
}

static void each_fault_is_survived(void **state)
{
    struct ool_device *dev = card(MIB(320));

    (void)state;
    ool_test_each_fault(use_async, dev, 1000);
    ool_test_each_fault(use_torch, dev, 1000);
    dev->ops->close(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_grows_and_is_trimmed),
        cmocka_unit_test(the_threshold_keeps),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(reuse_across_streams),
        cmocka_unit_test(reuse_by_waiting),
        cmocka_unit_test(fragments_are_remapped_by_granule),
        cmocka_unit_test(several_users),
        cmocka_unit_test(torch_says_what_was_recorded),
        cmocka_unit_test(torch_changes_settings),
        cmocka_unit_test(books_agree),
        cmocka_unit_test(each_fault_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
