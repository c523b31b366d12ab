/*
 * main.c - the command table; each command is a file of its own.
 */
#include "ool_commands.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

struct command {
    const char *name, *arguments, *summary;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"run", "[PATH...]", "run scenarios, write results and reports; the exit code is the verdict",
     ool_cmd_run},
    {"plan", "SCENARIO",
     "predict without running: peak, what is alive there, largest batch or sequence", ool_cmd_plan},
    {"conform", "FILE...", "hold this build against recorded truth", ool_cmd_conform},
    {"list", "[WHAT]", "scenarios, cards, models, mitigations", ool_cmd_list},
    {"show", "NAME", "one of them in full", ool_cmd_show},
    {"schema", "", "the JSON schema of a scenario", ool_cmd_schema},
    {"explain", "CODE", "what an error code means and how to mend it", ool_cmd_explain},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
    fputs("Usage: oomlab COMMAND [ARGUMENT...]\n\n", out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-8s %-14s %s\n", commands[i].name, commands[i].arguments,
                commands[i].summary);
    fputs("\n\"oomlab COMMAND --help\" tells a command's options.\n"
          "Exit codes: 0 as expected, 1 an expectation failed, 2 usage or scenario error,\n"
          "3 infrastructure, 4 nothing selected, 77 everything skipped.\n",
          out);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        print_usage(stderr);
        return OOL_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return OOL_EXIT_OK;
    }
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        puts("oomlab " OOL_VERSION);
        return OOL_EXIT_OK;
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "oomlab: \"%s\" is no command; \"oomlab --help\" lists them\n", argv[1]);
    return OOL_EXIT_USAGE;
}
