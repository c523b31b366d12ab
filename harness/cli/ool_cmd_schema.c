/*
 * ool_cmd_schema.c - oomlab schema: the JSON schema of a scenario.
 */
#include "ool_commands.h"

#include "ool_scenario.h"

#include <stdio.h>
#include <string.h>

int ool_cmd_schema(int argc, char **argv)
{
    struct ool_text text;
    int code = OOL_EXIT_OK;

    if (argc > 1) {
        FILE *out = strcmp(argv[1], "--help") == 0 ? stdout : stderr;
        fputs("Usage: oomlab schema\n\n"
              "Prints the JSON schema (draft-07) of a scenario, format 1; editors complete and "
              "check with it.\n",
              out);
        return out == stdout ? OOL_EXIT_OK : OOL_EXIT_USAGE;
    }
    ool_text_init(&text, (size_t)1 << 24);
    if (ool_scenario_schema(&text) != OOL_OK || fputs(ool_text_data(&text), stdout) == EOF)
        code = OOL_EXIT_INFRA;
    ool_text_fini(&text);
    return code;
}
