/*
 * bench_allocator.c - how many allocations and frees a second the torch allocator does, on one thread.
 *
 *   bench_allocator [-r REPEATS] [TRACE...]
 *
 * A trace is a recorded one (JSON, maybe gzipped, with "conf" and "ops"). As in the program that times
 * PyTorch's own allocator on the same files, failed requests, streams and events are left out and the
 * card (80 GiB) is large enough for none to fail. Without a trace: a made-up mix of sizes, from 10^4 to
 * 10^7 events, with the time of one event, which must not grow with their number.
 */
#include "ool_allocator.h"
#include "ool_file.h"
#include "ool_mem.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CARD (UINT64_C(80) << 30)
#define MOST_REPEATS 1000

struct event {
    char kind; /* a, f or e */
    uint32_t id;
    uint64_t bytes;
};

struct events {
    struct event *list;
    size_t n, n_ids;
    char *conf;
};

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int fail(const char *what)
{
    fprintf(stderr, "bench_allocator: %s\n", what);
    return 2;
}

/* One pass over the events; everything is freed and given back after it. Seconds, or < 0. */
static double replay(struct ool_allocator *allocator, const struct events *events,
                     struct ool_block *blocks)
{
    double start = cpu_seconds(), seconds;

    for (size_t i = 0; i < events->n; i++) {
        const struct event *event = &events->list[i];
        struct ool_block *block = &blocks[event->id];
        if (event->kind == 'a') {
            if (ool_allocator_alloc(allocator, event->bytes, 0, block, NULL) != OOL_OK)
                return -1;
        } else if (event->kind == 'f') {
            ool_allocator_free(allocator, block);
            block->handle = NULL;
        } else {
            ool_allocator_empty_cache(allocator);
        }
    }
    seconds = cpu_seconds() - start;
    for (size_t i = 0; i < events->n_ids; i++) {
        ool_allocator_free(allocator, &blocks[i]);
        blocks[i].handle = NULL;
    }
    ool_allocator_empty_cache(allocator);
    return seconds;
}

static int measure(const char *name, const struct events *events, int repeats)
{
    struct ool_sim_config card = {.total_bytes = CARD};
    struct ool_allocator_config config = {.kind = "torch", .conf = events->conf};
    struct ool_block *blocks = ool_calloc(events->n_ids + 1, sizeof *blocks);
    struct ool_allocator *allocator = NULL;
    struct ool_device *sim = NULL;
    struct ool_error err = {0};
    double seconds[MOST_REPEATS], calls = 0;

    if (blocks == NULL || ool_sim_open(&card, &sim, &err) != OOL_OK ||
        ool_allocator_open(&config, sim, &allocator, &err) != OOL_OK)
        return fail(err.text);
    for (size_t i = 0; i < events->n; i++)
        calls += events->list[i].kind != 'e';
    for (int i = 0; i < repeats; i++) {
        seconds[i] = replay(allocator, events, blocks);
        if (seconds[i] < 0)
            return fail("a request failed");
    }
    qsort(seconds, (size_t)repeats, sizeof *seconds, by_value);
    printf("%-24s %9.0f calls  %6.1f ns a call (best %6.1f)  %6.2f million pairs a second\n", name,
           calls, seconds[repeats / 2] / calls * 1e9, seconds[0] / calls * 1e9,
           calls / 2 / seconds[repeats / 2] / 1e6);
    ool_allocator_close(allocator);
    sim->ops->close(sim);
    ool_free(blocks);
    return 0;
}

static bool add_op(struct events *events, size_t *capacity, uint32_t *ids, const json_t *op)
{
    const char *kind = json_string_value(json_array_get(op, 0));
    json_int_t id = json_integer_value(json_array_get(op, 1));
    struct event event = {kind[0], 0, 0};

    if (strchr("afe", kind[0]) == NULL || kind[1] != '\0')
        return true;
    if (kind[0] == 'a') {
        if (json_integer_value(json_array_get(op, 4)) == -1)
            return true;
        ids[id] = (uint32_t)events->n_ids++;
        event.bytes = (uint64_t)json_integer_value(json_array_get(op, 2));
    }
    if (kind[0] != 'e')
        event.id = ids[id];
    if (!ool_grow(&events->list, capacity, events->n, sizeof *events->list))
        return false;
    events->list[events->n++] = event;
    return true;
}

static int bench_trace(const char *path, int repeats)
{
    struct events events = {NULL, 0, 0, NULL};
    struct ool_error err = {0};
    const char *name = strrchr(path, '/');
    size_t length, capacity = 0;
    uint32_t *ids;
    json_t *root, *op;
    size_t i;
    char *data;
    int result;

    if (ool_file_read(path, (size_t)1 << 30, &data, &length, &err) != OOL_OK)
        return fail(err.text);
    root = json_loadb(data, length, 0, NULL);
    ool_free(data);
    ids = ool_calloc(2 * json_array_size(json_object_get(root, "ops")) + 1024, sizeof *ids);
    if (root == NULL || ids == NULL)
        return fail("not a trace, or no memory");
    json_array_foreach(json_object_get(root, "ops"), i, op)
    {
        if (!add_op(&events, &capacity, ids, op))
            return fail("no memory");
    }
    events.conf = (char *)(uintptr_t)json_string_value(json_object_get(root, "conf"));
    printf("conf=%s\n", events.conf);
    result = measure(name != NULL ? name + 1 : path, &events, repeats);
    json_decref(root);
    ool_free(ids);
    ool_free(events.list);
    return result;
}

/* Allocations of every order of size; about `live` blocks live at any moment. */
static int bench_made_up(size_t n, size_t live, char *conf, int repeats)
{
    struct events events = {ool_calloc(n, sizeof(struct event)), n, live, conf};
    bool *taken = ool_calloc(live, sizeof *taken);
    uint64_t random = 88172645463325252u;
    char name[40];
    int result;

    if (events.list == NULL || taken == NULL)
        return fail("no memory");
    for (size_t i = 0; i < n; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        struct event *event = &events.list[i];
        event->id = (uint32_t)(random % live);
        event->kind = taken[event->id] ? 'f' : 'a';
        event->bytes = 1 + (random >> 20) % (UINT64_C(1) << (random >> 8) % 24);
        taken[event->id] = !taken[event->id];
    }
    snprintf(name, sizeof name, "%zu events, %zu live", n, live / 2);
    result = measure(name, &events, repeats);
    ool_free(events.list);
    ool_free(taken);
    return result;
}

int main(int argc, char **argv)
{
    int repeats = 20, first = 1, result = 0;
    char none[] = "", expandable[] = "expandable_segments:True";

    if (argc > 2 && strcmp(argv[1], "-r") == 0) {
        repeats = atoi(argv[2]);
        first = 3;
    }
    if (repeats < 1 || repeats > MOST_REPEATS)
        return fail("REPEATS is 1 to 1000");
    for (int i = first; i < argc && result == 0; i++)
        result = bench_trace(argv[i], repeats);
    if (first < argc)
        return result;
    for (char *conf = none; result == 0; conf = expandable) {
        printf("conf=%s\n", conf);
        for (size_t n = 10000; n <= 10000000 && result == 0; n *= 10)
            result = bench_made_up(n, 2000, conf, n < 10000000 ? 5 : 1);
        if (conf == expandable)
            break;
    }
    for (size_t live = 200; live <= 200000 && result == 0; live *= 10)
        result = bench_made_up(1000000, live, none, 3);
    return result;
}
