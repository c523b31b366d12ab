/* Any bytes are results or a clean error; what was read can be written, and its reports made. */
#include "ool_junit.h"
#include "ool_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ool_junit_options options = {true, "2026-01-02T03:04:05", "localhost"};
    struct ool_results results;
    struct ool_error err = {0};
    struct ool_text text;

    if (ool_results_read("fuzz", (const char *)data, size, &results, &err) != OOL_OK)
        return 0;
    ool_text_init(&text, OOL_RESULTS_LIMIT);
    if (ool_results_write(&results, &text, &err) != OOL_OK ||
        ool_junit_write(&results, &options, &text, &err) != OOL_OK ||
        ool_table_write(&results, OOL_TABLE_TEXT, true, &text, &err) != OOL_OK)
        __builtin_trap();
    ool_text_fini(&text);
    ool_results_fini(&results);
    return 0;
}
