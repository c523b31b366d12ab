#include "ool_fix.h"

#include "ool_mem.h"
#include "ool_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ool_workload *ool_fix_workload(const struct ool_case *c, size_t i)
{
    return c->jobs[i].explicit_operations ? NULL : &c->jobs[i].workload;
}

enum ool_status ool_fix_refuse(struct ool_error *err, const char *name, const char *why)
{
    return ool_error_set(err, OOL_E_COMBINATION, "%s: %s", name, why);
}

enum ool_status ool_fix_number(const char *name, const char *value, int64_t least, int64_t fallback,
                               int64_t *number, struct ool_error *err)
{
    char *end = NULL;
    long long parsed = fallback;

    errno = 0;
    if (*value != '\0')
        parsed = strtoll(value, &end, 10);
    if (errno != 0 || (end != NULL && (*end != '\0' || end == value)) || parsed < least)
        return ool_error_set(err, OOL_E_RANGE, "%s=%s: expected a whole number of at least %lld",
                             name, value, (long long)least);
    *number = parsed;
    return OOL_OK;
}

enum ool_status ool_fix_word(const char *name, const char *value, const char *const *words,
                             size_t *index, struct ool_error *err)
{
    struct ool_text list;
    enum ool_status status;

    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(value, words[i]) == 0 || (*value == '\0' && i == 0)) {
            *index = i;
            return OOL_OK;
        }
    }
    ool_text_init(&list, 256);
    for (size_t i = 0; words[i] != NULL; i++)
        ool_text_printf(&list, "%s%s", i == 0 ? "" : ", ", words[i]);
    status = ool_error_set(err, OOL_E_CHOICE, "%s=%s: expected one of %s", name, value,
                           ool_text_data(&list));
    ool_text_fini(&list);
    return status;
}

/* Copies @conf without the entries of @option; brackets protect the commas of a list. */
static void add_other_options(struct ool_text *text, const char *conf, const char *option)
{
    size_t name_length = strlen(option);

    while (*conf != '\0') {
        size_t length = 0;
        int depth = 0;

        while (conf[length] != '\0' && (conf[length] != ',' || depth > 0)) {
            depth += conf[length] == '[' ? 1 : conf[length] == ']' ? -1 : 0;
            length++;
        }
        if (!(length > name_length && strncmp(conf, option, name_length) == 0 &&
              conf[name_length] == ':')) {
            if (text->length > 0)
                ool_text_puts(text, ",");
            ool_text_add(text, conf, length);
        }
        conf += length + (conf[length] == ',' ? 1 : 0);
    }
}

enum ool_status ool_fix_conf(struct ool_case *c, const char *option, const char *value,
                             struct ool_error *err)
{
    struct ool_text text;
    char *conf;

    ool_text_init(&text, 4096);
    add_other_options(&text, c->allocator.conf != NULL ? c->allocator.conf : "", option);
    ool_text_printf(&text, "%s%s:%s", text.length > 0 ? "," : "", option, value);
    conf = text.failed ? NULL : ool_strdup(ool_text_data(&text));
    ool_text_fini(&text);
    if (conf == NULL || !ool_grow(&c->owned, &c->owned_capacity, c->n_owned, sizeof(*c->owned))) {
        ool_free(conf);
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the settings string");
    }
    c->owned[c->n_owned++] = conf;
    c->allocator.conf = conf;
    return OOL_OK;
}

uint64_t ool_fix_moved(const struct ool_case *c)
{
    struct ool_workload_facts facts = {0};
    struct ool_program program;

    ool_program_init(&program);
    if (ool_case_lower(c, &program, &facts, NULL) != OOL_OK)
        facts.moved_bytes = 0; /* the case says why when it is run */
    ool_program_fini(&program);
    return facts.moved_bytes;
}
