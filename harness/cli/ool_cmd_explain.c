/*
 * ool_cmd_explain.c - oomlab explain: what an error code means and how to mend it.
 */
#include "ool_commands.h"

#include "ool_scenario.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int codes[] = {
#define XX(name, code, text) code,
    OOL_STATUS_MAP(XX)
#undef XX
};
#define N_CODES (sizeof codes / sizeof *codes)

/* "E203", "e203", "203" or "error[E203]"; -1 = none of these. */
static int read_code(const char *text)
{
    char *end;
    long code;

    if (strncmp(text, "error[", 6) == 0)
        text += 6;
    if (toupper((unsigned char)*text) == 'E')
        text++;
    if (!isdigit((unsigned char)*text))
        return -1;
    code = strtol(text, &end, 10);
    if (*end != '\0' && strcmp(end, "]") != 0)
        return -1;
    for (size_t i = 1; i < N_CODES; i++)
        if (codes[i] == code)
            return codes[i];
    return -1;
}

static void list_codes(FILE *out)
{
    for (size_t i = 1; i < N_CODES; i++)
        fprintf(out, "E%03d  %s\n", codes[i], ool_status_text((enum ool_status)codes[i]));
}

int ool_cmd_explain(int argc, char **argv)
{
    int code;

    if (argc == 1) {
        list_codes(stdout);
        return OOL_EXIT_OK;
    }
    if (argc > 2 || strcmp(argv[1], "--help") == 0) {
        FILE *out = argc == 2 ? stdout : stderr;
        fputs("Usage: oomlab explain [CODE]\n\n"
              "Says what an error code such as E203 means, what causes it and how to mend it; "
              "without a code\n"
              "lists them all.\n",
              out);
        return out == stdout ? OOL_EXIT_OK : OOL_EXIT_USAGE;
    }
    code = read_code(argv[1]);
    if (code < 0) {
        fprintf(stderr, "oomlab explain: \"%s\" is no error code; these are:\n", argv[1]);
        list_codes(stderr);
        return OOL_EXIT_USAGE;
    }
    printf("E%03d: %s\n\n%s", code, ool_status_text((enum ool_status)code),
           ool_explain((enum ool_status)code));
    return OOL_EXIT_OK;
}
