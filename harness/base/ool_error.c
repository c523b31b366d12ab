#include "ool_error.h"

#include <stdarg.h>
#include <stdio.h>

enum ool_status ool_error_set(struct ool_error *err, enum ool_status status, const char *format,
                              ...)
{
    va_list args;

    if (err == NULL || err->status != OOL_OK)
        return status;
    err->status = status;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return status;
}

const char *ool_status_text(enum ool_status status)
{
    switch (status) {
#define XX(name, code, text) \
    case OOL_##name:         \
        return text;
        OOL_STATUS_MAP(XX)
#undef XX
    }
    return "unknown status";
}

const char *ool_status_name(enum ool_status status)
{
    switch (status) {
#define XX(name, code, text) \
    case OOL_##name:         \
        return #name;
        OOL_STATUS_MAP(XX)
#undef XX
    }
    return "E_UNKNOWN";
}
