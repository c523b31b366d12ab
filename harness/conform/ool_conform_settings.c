/*
 * ool_conform_settings.c - recorded answers of PyTorch to settings strings.
 *
 * Two files: what each release said to a list of strings, given one after the other at run time, and
 * which settings of the traces a release refused at start.
 */
#include "ool_conform.h"

#include "ool_torch_conf.h"

#include <stdio.h>
#include <string.h>

#define SHORTEST_CUT 150 /* a recorded text that is shorter was not cut */

/* The recorder kept the first 200 bytes of a text and took the build's folder out of them. */
static bool same_answer(const char *recorded, const char *here)
{
    size_t length = strlen(recorded);

    if (strcmp(recorded, here) == 0)
        return true;
    return length >= SHORTEST_CUT && strncmp(recorded, here, length) == 0;
}

/* "ok", or type and text as Python shows them. */
static void answer(const struct ool_torch_fault *fault, char *out, size_t room)
{
    if (fault->type == NULL)
        snprintf(out, room, "ok");
    else if (strcmp(fault->type, "crash") == 0)
        snprintf(out, room, "crash (%s)", fault->text);
    else
        snprintf(out, room, "%s: %s", fault->type, fault->text);
}

static enum ool_status add_row(struct ool_conform *conform, const char *version, const char *id,
                               const char *recorded, const char *here, struct ool_error *err)
{
    bool same = same_answer(recorded, here);
    char name[200], detail[900];

    snprintf(name, sizeof name, "%s %s", version, *id != '\0' ? id : "(empty)");
    snprintf(detail, sizeof detail, "recorded %s\nhere     %s", recorded, here);
    return ool_conform_add(conform, name, same ? OOL_ROW_EXACT : OOL_ROW_MISSED, same ? 0 : 1,
                           same ? NULL : detail, err);
}

static enum ool_status skip_release(struct ool_conform *conform, const char *version,
                                    const struct ool_error *reason, struct ool_error *err)
{
    return ool_conform_add(conform, version, OOL_ROW_SKIPPED, 1, reason->text, err);
}

/* One string after the other, as in one process. */
static enum ool_status check_list(struct ool_conform *conform, const char *version, json_t *strings,
                                  struct ool_error *err)
{
    const struct ool_torch_release *release;
    struct ool_torch_fault fault;
    struct ool_torch_conf conf;
    struct ool_error unknown = {0};
    enum ool_status status = OOL_OK;
    const char *text;
    json_t *recorded;
    char here[400];

    if (ool_torch_release_find(version, &release, &unknown) != OOL_OK)
        return skip_release(conform, version, &unknown, err);
    ool_torch_conf_init(&conf);
    json_object_foreach(strings, text, recorded)
    {
        if (!json_is_string(recorded))
            return ool_error_set(err, OOL_E_DATA, "%s: no answer to \"%.80s\"", version, text);
        status = ool_torch_conf_parse(&conf, release, text, false, &fault, NULL);
        if (status == OOL_E_HOST_OOM)
            return ool_error_set(err, status, "no memory for the allocator's settings");
        answer(&fault, here, sizeof here);
        status = add_row(conform, version, text, json_string_value(recorded), here, err);
        if (status != OOL_OK)
            return status;
    }
    return OOL_OK;
}

/* {name: {conf, type, text}}: the traces that a release could not run. */
static enum ool_status check_refused(struct ool_conform *conform, const char *version,
                                     json_t *refused, struct ool_error *err)
{
    const struct ool_torch_release *release;
    struct ool_torch_fault fault;
    struct ool_torch_conf conf;
    struct ool_error unknown = {0};
    enum ool_status status;
    const char *name;
    json_t *row;
    char here[400], recorded[400];

    if (ool_torch_release_find(version, &release, &unknown) != OOL_OK)
        return skip_release(conform, version, &unknown, err);
    json_object_foreach(refused, name, row)
    {
        const char *text = json_string_value(json_object_get(row, "text"));
        const char *type = json_string_value(json_object_get(row, "type"));
        const char *conf_text = json_string_value(json_object_get(row, "conf"));
        if (text == NULL || type == NULL || conf_text == NULL)
            return ool_error_set(err, OOL_E_DATA, "%s: %s needs conf, type and text", version,
                                 name);
        ool_torch_conf_init(&conf);
        status = ool_torch_conf_parse(&conf, release, conf_text, true, &fault, NULL);
        if (status == OOL_E_HOST_OOM)
            return ool_error_set(err, status, "no memory for the allocator's settings");
        answer(&fault, here, sizeof here);
        snprintf(recorded, sizeof recorded, "%s: %s", type, text);
        status = add_row(conform, version, name, recorded, here, err);
        if (status != OOL_OK)
            return status;
    }
    return OOL_OK;
}

enum ool_status ool_conform_settings(const char *path, const json_t *root,
                                     struct ool_conform *conform, struct ool_error *err)
{
    const json_t *versions = json_object_get(root, "versions");
    enum ool_status status = OOL_OK;
    const char *version;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)(versions != NULL ? versions : root), version, value)
    {
        if (!json_is_object(value))
            return ool_error_set(err, OOL_E_DATA, "%s: %.40s holds no answers", path, version);
        if (versions != NULL)
            status =
                check_refused(conform, version, json_object_get(value, "refused_setting"), err);
        else
            status = check_list(conform, version, value, err);
        if (status != OOL_OK)
            break;
    }
    return status;
}
