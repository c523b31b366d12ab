/*
 * ool_error.h - status codes and the error value that every fallible call may fill.
 *
 * One list feeds the enum, the names, `oomlab explain` and the report legend. Numbers that were
 * released stay put; gaps are for later ones. E1xx: the text is no scenario. E2xx: a value is not
 * usable. E3xx: the combination makes no sense. E4xx: data files. E5xx: machine and device.
 */
#ifndef OOL_ERROR_H
#define OOL_ERROR_H

#include <stddef.h>

#define OOL_STATUS_MAP(XX)                                                                   \
    XX(OK, 0, "ok")                                                                          \
    XX(E_JSON, 100, "the text is not JSON")                                                  \
    XX(E_KEY, 101, "unknown key")                                                            \
    XX(E_MISSING, 102, "a required key is missing")                                          \
    XX(E_TYPE, 103, "a value has the wrong type")                                            \
    XX(E_DUPLICATE, 104, "a key appears twice in one object")                                \
    XX(E_FORMAT, 105, "the format number is not one that this build reads")                  \
    XX(E_LIMIT, 106, "a limit on size, depth or count is exceeded")                          \
    XX(E_RANGE, 201, "a number is out of range")                                             \
    XX(E_CHOICE, 202, "a value is none of the words allowed here")                           \
    XX(E_SIZE, 203, "a size is malformed or ambiguous")                                      \
    XX(E_OVERFLOW, 204, "a size does not fit in 64 bits")                                    \
    XX(E_NAME, 205, "a name has characters that are not allowed")                            \
    XX(E_REFERENCE, 206, "a name refers to nothing")                                         \
    XX(E_CONF, 207, "the allocator settings string is refused")                              \
    XX(E_COMBINATION, 301, "these settings cannot be combined")                              \
    XX(E_UNSUPPORTED, 302, "this build cannot express what is asked")                        \
    XX(E_PROGRAM, 303, "an operation refers to something that does not exist at that point") \
    XX(E_FILE, 401, "a file cannot be read or written")                                      \
    XX(E_DATA, 402, "a data file does not follow its format")                                \
    XX(E_HOST_OOM, 501, "host allocation failed")                                            \
    XX(E_DEV_OOM, 502, "device allocation failed")                                           \
    XX(E_DEVICE, 503, "the device failed for another reason than memory")                    \
    XX(E_INTERRUPTED, 504, "interrupted")                                                    \
    XX(E_FRAMEWORK, 505, "the framework itself stops here with an error of its own")         \
    XX(E_INTERNAL, 599, "a defect in oomlab itself")

enum ool_status {
#define XX(name, code, text) OOL_##name = (code),
    OOL_STATUS_MAP(XX)
#undef XX
};

struct ool_error {
    enum ool_status status;
    int line, column; /* 1-based position in the source; 0 = unknown; columns count characters */
    size_t offset;    /* bytes from the start of the source */
    size_t length;    /* bytes of the culprit; 0 = unknown */
    char source[160]; /* file name; a long one keeps its tail */
    char path[160];   /* JSON Pointer of the culprit, "/ops/3/shape"; empty = none */
    char text[320];   /* what was found and what was expected */
    char hint[160];   /* a suggestion, "" = none */
};

/**
 * ool_error_set - fill the error if it is still empty, and return the status
 *
 * @err: may be NULL. The first error is kept: later ones are usually consequences.
 * Text that is too long is cut, never overrun. Returns @status, so that `return ool_error_set(...)`
 * reads well.
 */
enum ool_status ool_error_set(struct ool_error *err, enum ool_status status, const char *format,
                              ...) __attribute__((format(printf, 3, 4)));

/* The meaning of a status, "host allocation failed"; never NULL. */
const char *ool_status_text(enum ool_status status);

/* The name of a status without its prefix, "E_HOST_OOM"; never NULL. */
const char *ool_status_name(enum ool_status status);

#endif
