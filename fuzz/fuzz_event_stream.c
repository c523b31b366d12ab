/* Any text is an event stream that equals itself, or a clean error. */
#include "ool_mem.h"
#include "ool_models_stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = ool_strndup((const char *)data, size);
    struct ool_stream stream;
    struct ool_text detail;
    struct ool_error err = {0};

    if (!text)
        return 0;
    ool_text_init(&detail, 4096);
    if (ool_stream_parse(&stream, text, &err) == OOL_OK) {
        if (!ool_stream_compare(&stream, &stream, NULL, true, &detail))
            abort();
    } else if (err.status != OOL_E_DATA) {
        abort();
    }
    ool_stream_fini(&stream);
    ool_text_fini(&detail);
    ool_free(text);
    return 0;
}
