/*
 * ool_commands.h - the commands of the command line, one file each.
 *
 * Each gets its own name as argv[0], prints results to standard output and words for people to
 * standard error, and returns an exit code.
 */
#ifndef OOL_COMMANDS_H
#define OOL_COMMANDS_H

enum ool_exit {
    OOL_EXIT_OK = 0,      /* as expected */
    OOL_EXIT_FAILED = 1,  /* an expectation failed */
    OOL_EXIT_USAGE = 2,   /* usage or scenario error */
    OOL_EXIT_INFRA = 3,   /* no device, disk full, host memory short */
    OOL_EXIT_NOTHING = 4, /* nothing selected */
    OOL_EXIT_SKIPPED = 77 /* everything skipped */
};

int ool_cmd_conform(int argc, char **argv);
int ool_cmd_run(int argc, char **argv);
int ool_cmd_plan(int argc, char **argv);
int ool_cmd_schema(int argc, char **argv);
int ool_cmd_explain(int argc, char **argv);
int ool_cmd_list(int argc, char **argv);
int ool_cmd_show(int argc, char **argv);

#endif
