/* What the recorded traces do not hold: invariants, faults, errors, settings of single releases. The
 * traces themselves are replayed by the conformance test. */
#include "ool_allocator.h"
#include "ool_test.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define CARD MIB(256)

struct bed {
    uint64_t total; /* of the card */
    struct ool_device *dev;
    struct ool_allocator *allocator;
};

static enum ool_status open_bed(struct bed *bed, const char *version, const char *conf,
                                struct ool_error *err)
{
    struct ool_sim_config card = {.total_bytes = bed->total};
    struct ool_allocator_config config = {.kind = "torch", .version = version, .conf = conf};
    enum ool_status status;

    bed->dev = NULL;
    bed->allocator = NULL;
    status = ool_sim_open(&card, &bed->dev, err);
    if (status == OOL_OK)
        status = ool_allocator_open(&config, bed->dev, &bed->allocator, err);
    return status;
}

static uint64_t free_of(struct ool_device *dev)
{
    uint64_t free_bytes, total_bytes;

    dev->ops->info(dev, &free_bytes, &total_bytes);
    return free_bytes;
}

/* Whatever is live, the device has everything back afterwards. */
static void close_bed(struct bed *bed)
{
    ool_allocator_close(bed->allocator);
    if (bed->dev != NULL) {
        assert_true(free_of(bed->dev) == bed->total);
        bed->dev->ops->close(bed->dev);
    }
}

static struct ool_block must_alloc(struct bed *bed, uint64_t bytes, uint32_t stream)
{
    struct ool_block block;

    assert_int_equal(ool_allocator_alloc(bed->allocator, bytes, stream, &block, NULL), OOL_OK);
    return block;
}

/* The blocks of a segment follow each other, free neighbours are merged, the sums are the counters'. */
static void check_invariants(struct bed *bed, const struct ool_snapshot *snapshot)
{
    const struct ool_allocator_stats *stats = ool_allocator_stats(bed->allocator);
    uint64_t reserved = 0, allocated = 0, active = 0, total, cached;
    int64_t n_allocated = 0, n_active = 0;

    for (size_t i = 0; i < snapshot->n_segments; i++) {
        const struct ool_segment_info *segment = &snapshot->segments[i];
        uint64_t at = segment->address;
        enum ool_block_state before = OOL_BLOCK_ALLOCATED;
        for (size_t k = 0; k < segment->n_blocks; k++) {
            const struct ool_block_info *block = &snapshot->blocks[segment->first_block + k];
            assert_true(block->address == at && block->bytes >= 512);
            assert_false(before == OOL_BLOCK_FREE && block->state == OOL_BLOCK_FREE);
            before = block->state;
            at += block->bytes;
            allocated += block->state == OOL_BLOCK_ALLOCATED ? block->bytes : 0;
            active += block->state != OOL_BLOCK_FREE ? block->bytes : 0;
            n_allocated += block->state == OOL_BLOCK_ALLOCATED;
            n_active += block->state != OOL_BLOCK_FREE;
        }
        assert_true(at == segment->address + segment->bytes);
        assert_true(i == 0 || snapshot->segments[i - 1].address < segment->address);
        reserved += segment->bytes;
    }
    assert_true(reserved == bed->total - free_of(bed->dev));
    assert_true((int64_t)reserved == stats->reserved_bytes[OOL_POOL_ALL].current);
    assert_true((int64_t)allocated == stats->allocated_bytes[OOL_POOL_ALL].current);
    assert_true((int64_t)active == stats->active_bytes[OOL_POOL_ALL].current);
    assert_int_equal(n_allocated, stats->allocation[OOL_POOL_ALL].current);
    assert_int_equal(n_active, stats->active[OOL_POOL_ALL].current);
    ool_allocator_totals(bed->allocator, &total, &cached);
    assert_true(total == allocated && cached == reserved);
}

static enum ool_status check_state(struct bed *bed)
{
    struct ool_snapshot snapshot;
    enum ool_status status = ool_allocator_snapshot(bed->allocator, &snapshot, NULL);

    if (status == OOL_OK) {
        check_invariants(bed, &snapshot);
        ool_snapshot_fini(&snapshot);
    }
    return status;
}

/* ---- random work under many settings ---- */

struct work {
    const char *name, *version, *conf;
    uint32_t n_ops;
};

static struct work works[] = {
    {"default settings", "2.11", "", 3000},
    {"expandable segments", "2.11", "expandable_segments:True", 3000},
    {"oversize blocks", "2.13", "max_split_size_mb:20,max_non_split_rounding_mb:30", 3000},
    {"both", "2.11", "expandable_segments:True,max_split_size_mb:32", 3000},
    {"rounding", "2.15", "roundup_power2_divisions:[1:4,8:2,>:8]", 3000},
    {"garbage collection", "2.11",
     "garbage_collection_threshold:0.3,per_process_memory_fraction:0.8", 3000},
    {"large pages", "2.15", "expandable_segments:True,large_segment_size_mb:30", 3000},
    {"a small reserve", "2.15", "expandable_segments:True,expandable_segments_reserve:0.3", 3000},
    {"refusals", "2.13", "throw_on_cudamalloc_oom:True,per_process_memory_fraction:0.5", 3000},
    {"an old release", "2.2", "roundup_power2_divisions:[1:1,4:2]", 3000},
};

#define N_BLOCKS 64

static uint32_t next(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 8;
}

static void other_op(struct bed *bed, uint32_t what, uint32_t stream)
{
    if (what < 3)
        ool_allocator_stream_busy(bed->allocator, stream);
    else if (what < 5)
        ool_allocator_stream_step(bed->allocator, stream, what);
    else if (what < 8)
        ool_allocator_stream_idle(bed->allocator, stream);
    else if (what < 9)
        ool_allocator_synchronize(bed->allocator);
    else if (what < 10)
        ool_allocator_empty_cache(bed->allocator);
    else if (what < 11)
        ool_allocator_reset_peak(bed->allocator);
    else if (ool_allocator_pool_end(bed->allocator, NULL) != OOL_OK)
        (void)ool_allocator_pool_begin(bed->allocator, 1 + stream, stream % 2 == 0, NULL);
    else
        (void)ool_allocator_pool_release(bed->allocator, 1 + stream, stream % 3 == 0, NULL);
}

/* OOL_E_HOST_OOM if any call ran short; it goes on with the next one, as a program might. */
static enum ool_status do_work(struct bed *bed, uint32_t n_ops, uint32_t seed)
{
    struct ool_block blocks[N_BLOCKS] = {{NULL, 0, 0, 0, 0}};
    enum ool_status status, all = OOL_OK;
    uint32_t random = seed;

    for (uint32_t i = 0; i < n_ops; i++) {
        struct ool_block *block = &blocks[next(&random) % N_BLOCKS];
        uint32_t stream = next(&random) % 6, what = next(&random) % 100;
        uint64_t bytes = 1 + next(&random) % (UINT64_C(1) << (4 + next(&random) % 22));
        if (what < 14) {
            other_op(bed, what, stream);
        } else if (block->handle == NULL) {
            status = ool_allocator_alloc(bed->allocator, bytes, stream % 3, block, NULL);
            if (status != OOL_OK)
                block->handle = NULL;
            if (status == OOL_E_HOST_OOM)
                all = status;
            else
                assert_true(status == OOL_OK || status == OOL_E_DEV_OOM);
        } else if (what < 40) {
            ool_allocator_record_stream(bed->allocator, block, stream);
        } else {
            ool_allocator_free(bed->allocator, block);
            block->handle = NULL;
        }
        if (i % 97 == 0 && check_state(bed) != OOL_OK)
            all = OOL_E_HOST_OOM;
    }
    return all;
}

static void check_work(void **state)
{
    const struct work *work = *state;
    struct bed bed = {.total = CARD};

    assert_int_equal(open_bed(&bed, work->version, work->conf, NULL), OOL_OK);
    assert_int_equal(do_work(&bed, work->n_ops, 12345), OOL_OK);
    assert_int_equal(check_state(&bed), OOL_OK);
    close_bed(&bed);
}

static enum ool_status work_with_faults(void *conf)
{
    struct bed bed = {.total = CARD};
    enum ool_status status = open_bed(&bed, "2.11", conf, NULL);

    if (status == OOL_OK)
        status = do_work(&bed, 500, 99);
    close_bed(&bed);
    return status;
}

static void survives_every_fault(void **state)
{
    char plain[] = "", expandable[] = "expandable_segments:True";

    (void)state;
    ool_test_each_fault(work_with_faults, plain, 10000);
    ool_test_each_fault(work_with_faults, expandable, 10000);
}

/* ---- what a call may answer ---- */

static void an_expandable_block_met_by_a_release(void **state)
{
    static const struct {
        const char *version;
        enum ool_status status;
        const char *line;
    } rows[] = {{"2.2", OOL_E_FRAMEWORK, "2525"},
                {"2.4", OOL_E_FRAMEWORK, "2586"},
                {"2.6", OOL_E_DEV_OOM, ""},
                {"2.11", OOL_E_DEV_OOM, ""}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ool_block first, no;
        struct ool_error err = {0};
        struct bed bed = {.total = CARD};

        assert_int_equal(
            open_bed(&bed, rows[i].version, "expandable_segments:True,max_split_size_mb:64", NULL),
            OOL_OK);
        first = must_alloc(&bed, MIB(100), 0);
        must_alloc(&bed, MIB(140), 0);
        ool_allocator_free(bed.allocator, &first);
        assert_int_equal(ool_allocator_alloc(bed.allocator, MIB(120), 0, &no, &err),
                         rows[i].status);
        assert_non_null(strstr(err.text, rows[i].line));
        if (rows[i].status == OOL_E_FRAMEWORK)
            assert_non_null(strstr(err.text, "!block->expandable_segment_ INTERNAL ASSERT FAILED"));
        assert_int_equal(check_state(&bed), OOL_OK);
        close_bed(&bed);
    }
}

static void a_segment_in_use_is_never_freed(void **state)
{
    struct ool_block first, no;
    struct ool_error err = {0};
    struct bed bed = {.total = CARD};

    (void)state;
    assert_int_equal(open_bed(&bed, "2.11", "", NULL), OOL_OK);
    first = must_alloc(&bed, MIB(200), 0);
    ool_allocator_free(bed.allocator, &first);
    must_alloc(&bed, MIB(50), 0); /* 150 are left of its segment */
    assert_int_equal(ool_allocator_set_conf(bed.allocator, "max_split_size_mb:100", NULL), OOL_OK);
    assert_int_equal(ool_allocator_alloc(bed.allocator, MIB(60), 0, &no, &err), OOL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "max_split_size_mb"));
    assert_int_equal(check_state(&bed), OOL_OK);
    close_bed(&bed);
}

static void settings_that_are_refused(void **state)
{
    struct ool_error err = {0};
    struct bed bed = {.total = CARD};

    (void)state;
    assert_int_equal(open_bed(&bed, "2.9", "", &err), OOL_E_UNSUPPORTED);
    close_bed(&bed);
    memset(&err, 0, sizeof err);
    assert_int_equal(open_bed(&bed, "2.11", "max_split_size_mb:1", &err), OOL_E_CONF);
    assert_string_equal(err.text,
                        "CachingAllocator option max_split_size_mb too small, must be >= 20");
    close_bed(&bed);
    assert_int_equal(open_bed(&bed, "2.11", NULL, NULL), OOL_OK);
    memset(&err, 0, sizeof err);
    assert_int_equal(ool_allocator_set_fraction(bed.allocator, 1.5, &err), OOL_E_RANGE);
    assert_string_equal(err.text, "Invalid fraction value: 1.5. Allowed range: 0~1");
    assert_int_equal(ool_allocator_set_fraction(bed.allocator, -0.1, NULL), OOL_E_RANGE);
    assert_int_equal(ool_allocator_set_fraction(bed.allocator, __builtin_nan(""), NULL),
                     OOL_E_RANGE);
    assert_int_equal(ool_allocator_set_conf(bed.allocator, "x", NULL), OOL_E_CONF);
    close_bed(&bed);
}

struct text {
    const char *name, *version, *conf;
    uint64_t first_mib, second_mib; /* the second fails */
    const char *message;            /* a part of it */
    int64_t n_ooms, n_rejections;
};

static const char range_too_small[] =
    " is reserved by PyTorch but unallocated. This allocation exceeds the expandable-segment "
    "reserve "
    "of 64.00 MiB for this stream, and a single allocation cannot span expandable segments. Raise "
    "PYTORCH_CUDA_ALLOC_CONF expandable_segments_reserve or expandable_segments_reserve_by_class "
    "(or "
    "unset it) so that a segment is at least 90.00 MiB.";
static const char refused[] =
    "CUDA out of memory. Allocation was preemptively rejected because it would exceed "
    "per_process_memory_fraction limit. Requested size: 150.00 MiB";

#define RESERVE(x) "expandable_segments:True,expandable_segments_reserve:" x
#define THROW "throw_on_cudamalloc_oom:True"

/* Recorded with 2.15.0 on a card of 1024 MiB; sizes here are a quarter. */
static struct text texts[] = {
    {"a range too small", "2.15", RESERVE("0.25"), 10, 90, range_too_small, 1, 0},
    {"larger than the card", "2.15", RESERVE("0.02G"), 10, 300,
     "unallocated. expandable_segments is enabled. If", 1, 0},
    {"refused beforehand", "2.15", THROW, 150, 150, refused, 0, 1},
    {"a limit comes first", "2.15", THROW ",per_process_memory_fraction:0.5", 100, 50,
     "is free. 128.00 MiB allowed; Of the", 1, 0},
    {"no limit told", "2.4", "", 200, 100, " which 56.00 MiB is free. Of the", 1, 0},
};

static void check_text(void **state)
{
    const struct text *text = *state;
    const struct ool_allocator_stats *stats;
    struct ool_block no;
    struct bed bed = {.total = CARD};

    assert_int_equal(open_bed(&bed, text->version, text->conf, NULL), OOL_OK);
    must_alloc(&bed, MIB(text->first_mib), 0);
    assert_int_equal(ool_allocator_alloc(bed.allocator, MIB(text->second_mib), 0, &no, NULL),
                     OOL_E_DEV_OOM);
    if (strstr(ool_allocator_message(bed.allocator), text->message) == NULL)
        fail_msg("%s", ool_allocator_message(bed.allocator));
    stats = ool_allocator_stats(bed.allocator);
    assert_int_equal(stats->num_ooms, text->n_ooms);
    assert_int_equal(stats->num_oom_rejections, text->n_rejections);
    close_bed(&bed);
}

/* ---- private pools ---- */

static void check_numbers(struct bed *bed, int64_t n_retries, int64_t n_ooms, int64_t n_syncs,
                          int64_t n_device_alloc, int64_t n_device_free, uint64_t reserved)
{
    const struct ool_allocator_stats *stats = ool_allocator_stats(bed->allocator);

    assert_int_equal(stats->num_alloc_retries, n_retries);
    assert_int_equal(stats->num_ooms, n_ooms);
    assert_int_equal(stats->num_sync_all_streams, n_syncs);
    assert_int_equal(stats->num_device_alloc, n_device_alloc);
    assert_int_equal(stats->num_device_free, n_device_free);
    assert_true(stats->reserved_bytes[OOL_POOL_ALL].current == (int64_t)reserved);
    assert_int_equal(check_state(bed), OOL_OK);
}

static void must_fail(struct bed *bed, uint64_t bytes, const char *message)
{
    struct ool_block no;

    assert_int_equal(ool_allocator_alloc(bed->allocator, bytes, 0, &no, NULL), OOL_E_DEV_OOM);
    if (strstr(ool_allocator_message(bed->allocator), message) == NULL)
        fail_msg("%s", ool_allocator_message(bed->allocator));
}

/* Fills the default pool's cache, then a MemPool: 30 MiB and 4 MiB live, 16 MiB free. */
static void fill_pool(struct bed *bed, bool first_fits, struct ool_block live[3])
{
    struct ool_block block = must_alloc(bed, MIB(600), 0);

    ool_allocator_free(bed->allocator, &block);
    assert_int_equal(ool_allocator_pool_begin(bed->allocator, 1, false, NULL), OOL_OK);
    live[2].handle = NULL;
    if (first_fits)
        live[2] = must_alloc(bed, MIB(500), 0);
    else
        must_fail(bed, MIB(500), "of which 424.00 MiB is free. Of the allocated memory 0 bytes is");
    live[0] = must_alloc(bed, MIB(30), 0);
    block = must_alloc(bed, MIB(5), 0);
    ool_allocator_free(bed->allocator, &block);
    live[1] = must_alloc(bed, MIB(4), 0);
    assert_int_equal(ool_allocator_pool_end(bed->allocator, NULL), OOL_OK);
}

/* Recorded with 2.11.0: inside a pool nothing is given back for a retry. */
static void a_pool_in_2_11(void **state)
{
    struct bed bed = {.total = MIB(1024)};
    struct ool_block live[3], large;
    struct ool_snapshot snapshot;

    (void)state;
    assert_int_equal(open_bed(&bed, "2.11", "", NULL), OOL_OK);
    fill_pool(&bed, false, live);
    check_numbers(&bed, 0, 1, 0, 3, 0, MIB(650));
    assert_int_equal(ool_allocator_snapshot(bed.allocator, &snapshot, NULL), OOL_OK);
    assert_int_equal(snapshot.n_segments, 3);
    assert_int_equal(snapshot.segments[0].pool, 0);
    assert_int_equal(snapshot.segments[1].pool, 1);
    assert_int_equal(snapshot.segments[2].n_blocks, 2);
    ool_snapshot_fini(&snapshot);
    large = must_alloc(&bed, MIB(900), 0);
    check_numbers(&bed, 1, 1, 1, 4, 1, MIB(950));
    ool_allocator_empty_cache(bed.allocator);
    must_fail(&bed, MIB(900),
              "74.00 MiB is free. Of the allocated memory 950.00 MiB is allocated by PyTorch, with "
              "16.00 MiB allocated in private pools (e.g., CUDA Graphs), and 0 bytes is reserved");
    ool_allocator_free(bed.allocator, &large);
    ool_allocator_free(bed.allocator, &live[0]);
    ool_allocator_free(bed.allocator, &live[1]);
    assert_int_equal(ool_allocator_pool_release(bed.allocator, 1, true, NULL), OOL_OK);
    check_numbers(&bed, 2, 2, 4, 4, 3, MIB(900));
    ool_allocator_empty_cache(bed.allocator);
    check_numbers(&bed, 2, 2, 5, 4, 4, 0);
    close_bed(&bed);
}

/* Recorded with 2.13.0: a MemPool is no capture, the retry works. */
static void a_pool_in_2_13(void **state)
{
    struct bed bed = {.total = MIB(1024)};
    struct ool_block live[3];

    (void)state;
    assert_int_equal(open_bed(&bed, "2.13", "", NULL), OOL_OK);
    fill_pool(&bed, true, live);
    check_numbers(&bed, 1, 0, 1, 4, 1, MIB(550));
    must_fail(&bed, MIB(900), "550.00 MiB is allocated by PyTorch, with 16.00 MiB allocated in");
    check_numbers(&bed, 2, 1, 2, 4, 1, MIB(550));
    ool_allocator_free(bed.allocator, &live[2]);
    ool_allocator_empty_cache(bed.allocator);
    check_numbers(&bed, 2, 1, 3, 4, 1, MIB(550));
    must_fail(&bed, MIB(900), "550.00 MiB is allocated by PyTorch, with 516.00 MiB allocated in");
    ool_allocator_free(bed.allocator, &live[0]);
    ool_allocator_free(bed.allocator, &live[1]);
    assert_int_equal(ool_allocator_pool_release(bed.allocator, 1, true, NULL), OOL_OK);
    check_numbers(&bed, 3, 2, 5, 4, 4, 0);
    close_bed(&bed);
}

/* While a graph is captured, events are not looked at and cross-stream frees wait for its end. */
static void a_capture_defers_frees(void **state)
{
    struct bed bed = {.total = CARD};
    struct ool_block block, again;

    (void)state;
    assert_int_equal(open_bed(&bed, "2.15", "", NULL), OOL_OK);
    assert_int_equal(ool_allocator_pool_begin(bed.allocator, 7, true, NULL), OOL_OK);
    block = must_alloc(&bed, MIB(30), 0);
    ool_allocator_record_stream(bed.allocator, &block, 1);
    ool_allocator_free(bed.allocator, &block);
    assert_int_equal(ool_allocator_stats(bed.allocator)->active[OOL_POOL_ALL].current, 1);
    again = must_alloc(&bed, MIB(30), 0);
    assert_int_equal(again.segment, 1);
    assert_int_equal(check_state(&bed), OOL_OK);
    assert_int_equal(ool_allocator_pool_end(bed.allocator, NULL), OOL_OK);
    again = must_alloc(&bed, MIB(30), 0); /* of the default pool; the event is complete by now */
    assert_int_equal(again.segment, 2);
    assert_int_equal(ool_allocator_stats(bed.allocator)->active[OOL_POOL_ALL].current, 2);
    /* without a user the pool's free segment goes with the next empty_cache */
    ool_allocator_empty_cache(bed.allocator);
    assert_int_equal(ool_allocator_stats(bed.allocator)->num_device_free, 0);
    assert_int_equal(ool_allocator_pool_release(bed.allocator, 7, false, NULL), OOL_OK);
    ool_allocator_empty_cache(bed.allocator);
    assert_int_equal(ool_allocator_stats(bed.allocator)->num_device_free, 1);
    assert_int_equal(check_state(&bed), OOL_OK);
    close_bed(&bed);
}

static void wrong_uses_of_pools(void **state)
{
    struct bed bed = {.total = CARD};

    (void)state;
    assert_int_equal(open_bed(&bed, "2.11", "", NULL), OOL_OK);
    assert_int_equal(ool_allocator_pool_begin(bed.allocator, 0, false, NULL), OOL_E_PROGRAM);
    assert_int_equal(ool_allocator_pool_end(bed.allocator, NULL), OOL_E_PROGRAM);
    assert_int_equal(ool_allocator_pool_release(bed.allocator, 1, false, NULL), OOL_E_PROGRAM);
    assert_int_equal(ool_allocator_pool_begin(bed.allocator, 1, false, NULL), OOL_OK);
    assert_int_equal(ool_allocator_pool_begin(bed.allocator, 2, false, NULL), OOL_E_PROGRAM);
    assert_int_equal(ool_allocator_pool_release(bed.allocator, 1, false, NULL), OOL_E_PROGRAM);
    must_alloc(&bed, MIB(1), 0);
    assert_int_equal(ool_allocator_pool_end(bed.allocator, NULL), OOL_OK);
    assert_int_equal(ool_allocator_pool_release(bed.allocator, 1, false, NULL), OOL_OK);
    assert_int_equal(ool_allocator_pool_release(bed.allocator, 1, false, NULL), OOL_E_PROGRAM);
    assert_int_equal(ool_allocator_pool_begin(bed.allocator, 1, false, NULL), OOL_E_PROGRAM);
    close_bed(&bed);
}

static void skipped_repetitions_are_counted(void **state)
{
    struct ool_allocator_stats before, growth;
    const struct ool_allocator_stats *after;
    struct bed bed = {.total = CARD};

    (void)state;
    assert_int_equal(open_bed(&bed, "2.11", "", NULL), OOL_OK);
    assert_true(ool_allocator_can_skip(bed.allocator));
    before = *ool_allocator_stats(bed.allocator);
    must_alloc(&bed, MIB(20), 0);
    growth = *ool_allocator_stats(bed.allocator); /* from nothing */
    ool_allocator_skip(bed.allocator, &growth, 3);
    after = ool_allocator_stats(bed.allocator);
    assert_int_equal(before.allocation[OOL_POOL_ALL].current, 0);
    assert_int_equal(after->allocation[OOL_POOL_ALL].current, 4);
    assert_int_equal(after->reserved_bytes[OOL_POOL_LARGE].current, MIB(80));
    assert_int_equal(after->reserved_bytes[OOL_POOL_LARGE].peak, MIB(20));
    assert_int_equal(after->num_device_alloc, 4);
    ool_allocator_close(bed.allocator);
    bed.dev->ops->close(bed.dev);
}

/* A million events on one allocator open no more than its two segments. */
static void many_events_open_no_segment(void **state)
{
    struct ool_block block;
    struct bed bed = {.total = CARD};

    (void)state;
    assert_int_equal(open_bed(&bed, "2.11", "", NULL), OOL_OK);
    for (int i = 0; i < 1000000; i++) {
        block = must_alloc(&bed, 512 + (uint64_t)(i % 4000) * 1000, 0);
        ool_allocator_free(bed.allocator, &block);
    }
    assert_int_equal(ool_allocator_stats(bed.allocator)->num_device_alloc, 2);
    close_bed(&bed);
}

int main(void)
{
    enum { N_WORKS = sizeof works / sizeof *works, N_TEXTS = sizeof texts / sizeof *texts };
    struct CMUnitTest tests[N_WORKS + N_TEXTS + 10];
    size_t n = 0;

    for (size_t i = 0; i < N_WORKS; i++)
        tests[n++] = (struct CMUnitTest){works[i].name, check_work, NULL, NULL, &works[i]};
    for (size_t i = 0; i < N_TEXTS; i++)
        tests[n++] = (struct CMUnitTest){texts[i].name, check_text, NULL, NULL, &texts[i]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(survives_every_fault);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(an_expandable_block_met_by_a_release);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_segment_in_use_is_never_freed);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(settings_that_are_refused);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_pool_in_2_11);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_pool_in_2_13);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_capture_defers_frees);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(wrong_uses_of_pools);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(skipped_repetitions_are_counted);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(many_events_open_no_segment);
    return cmocka_run_group_tests_name("torch", tests, NULL, NULL);
}
