/*
 * What each status means, what causes it and how to mend it.
 */
#include "ool_scenario.h"

const char *ool_explain(enum ool_status status)
{
    switch (status) {
    case OOL_OK:
        return "Nothing is wrong.\n";
    case OOL_E_JSON:
        return "The text is not JSON: a comma, quote or bracket is missing or too many, or the "
               "file has comments,\n"
               "trailing commas, single quotes, a byte order mark or bytes that are no UTF-8.\n\n"
               "    {\"format\": 1, \"card\": \"rtx-4090\",}      the comma before } is one too "
               "many\n\n"
               "Mend the place that the message names. Remarks go into \"$comment\": \"...\" or a "
               "key that\n"
               "begins with \"x-\".\n";
    case OOL_E_KEY:
        return "An object has a key that nothing reads; most often it is misspelt or stands in the "
               "wrong object.\n\n"
               "    {\"workload\": {\"batchsize\": 4}}          the key is \"batch\"\n\n"
               "\"oomlab show workload\" lists the keys of an object. Keys that begin with \"x-\" "
               "are left alone.\n";
    case OOL_E_MISSING:
        return "A key that the object cannot do without is missing.\n\n"
               "    {\"format\": 1, \"card\": \"t4\"}            neither \"workload\" nor "
               "\"operations\" nor \"jobs\"\n\n"
               "The message says which one and what it is for.\n";
    case OOL_E_TYPE:
        return "A value has the wrong type: a text where a number belongs, an array where only one "
               "value is possible.\n\n"
               "    {\"batch\": \"4\"}                           a number has no quotes: 4\n\n"
               "An array makes a matrix only for keys of the card, the allocator, the workload and "
               "of operations.\n";
    case OOL_E_DUPLICATE:
        return "The same thing is given twice: a key in one object, a key under its own name and "
               "an alias, a value\n"
               "in a matrix, a job's name. JSON readers would silently drop one of the two.\n\n"
               "    {\"batch\": 4, \"batch\": 8}                 for both write \"batch\": [4, "
               "8]\n";
    case OOL_E_FORMAT:
        return "The file says a format number that this build does not read; it reads format 1.\n\n"
               "    {\"format\": 2, ...}\n\n"
               "A newer oomlab wrote the file, or the number is a mistake.\n";
    case OOL_E_LIMIT:
        return "Something is larger than a scenario may be: the file (16 MiB), its depth (64), "
               "values in it\n"
               "(1,000,000), operations (100,000), points of a matrix (10,000), cases (20,000), a "
               "text.\n\n"
               "Split the scenario. A loop of a million iterations is one \"loop\" operation.\n";
    case OOL_E_RANGE:
        return "A number is outside the range that makes sense for its key.\n\n"
               "    {\"batch\": 0}                             at least 1\n\n"
               "The message states the range.\n";
    case OOL_E_CHOICE:
        return "A text is none of the words that are allowed for its key.\n\n"
               "    {\"precision\": \"half\"}                    fp16 and bf16 are meant apart\n\n"
               "The message lists the words; \"oomlab show KEY\" says what each one means.\n";
    case OOL_E_SIZE:
        return "A size is malformed or can be read two ways. \"GB\" is 10^9 to some tools and 2^30 "
               "to others, 7 % apart.\n\n"
               "    {\"total\": \"24GB\"}                        write \"24GiB\" or 24000000000\n";
    case OOL_E_OVERFLOW:
        return "A size does not fit in 64 bits, or a product of dimensions does not.\n\n"
               "    {\"bytes\": \"99999999999TiB\"}\n";
    case OOL_E_NAME:
        return "A name has characters that are not allowed, is empty or too long. Names become "
               "parts of case ids and\n"
               "of file names: 1 to 128 of A-Z a-z 0-9 . _ -\n\n"
               "    {\"op\": \"alloc\", \"name\": \"my tensor\"}     write \"my-tensor\"\n";
    case OOL_E_REFERENCE:
        return "A name refers to nothing: no profile, preset or mitigation is called so, no "
               "operation allocates the\n"
               "name, or an expectation's pattern matches no case (it would pass for ever).\n\n"
               "    {\"card\": \"rtx4090\"}                      the profile is \"rtx-4090\"\n\n"
               "\"oomlab list cards\", \"list models\" and \"list mitigations\" show what there "
               "is.\n";
    case OOL_E_CONF:
        return "The allocator refuses its settings string, as PyTorch would when it starts; the "
               "text is PyTorch's.\n\n"
               "    {\"allocator\": {\"conf\": \"max_split_size_mb:8\"}}     must be above 20\n";
    case OOL_E_COMBINATION:
        return "Each setting is fine, but they cannot be combined.\n\n"
               "    {\"batch\": 2, \"accumulate\": 4}            four micro-batches need four "
               "samples\n\n"
               "The message says which ones and why.\n";
    case OOL_E_UNSUPPORTED:
        return "What is asked for is meaningful, but this build cannot express it, and it does not "
               "guess.\n\n"
               "The message says what is missing. Explicit \"operations\" can describe what no "
               "model does.\n";
    case OOL_E_PROGRAM:
        return "An operation uses something that does not exist at that point, or allocates a name "
               "that is alive.\n\n"
               "    [{\"op\": \"free\", \"name\": \"a\"}]            nothing allocated \"a\" "
               "before\n\n"
               "In a loop, what the body allocates must be freed in it, or the alloc says "
               "\"leak\": true.\n";
    case OOL_E_FILE:
        return "A file cannot be opened, read or written; the message has the system's reason.\n";
    case OOL_E_DATA:
        return "A data file (a profile, a preset, a recording, a trace) does not follow its "
               "format. The message names\n"
               "the file and the place in it.\n";
    case OOL_E_HOST_OOM:
        return "This machine is short of memory for oomlab itself. It says nothing about the "
               "simulated card.\n\n"
               "Run fewer jobs at once (--jobs 1) or split the scenario.\n";
    case OOL_E_DEV_OOM:
        return "The device has no room for an allocation. As the outcome of a case it is \"oom\", "
               "a result and not an\n"
               "error.\n";
    case OOL_E_DEVICE:
        return "The device failed for another reason than memory. The case has no result.\n";
    case OOL_E_INTERRUPTED:
        return "The run was interrupted (Ctrl-C or SIGTERM). What was complete by then is in the "
               "results, marked so.\n";
    case OOL_E_FRAMEWORK:
        return "The framework itself stops at this point with an error of its own that is not "
               "about memory; the\n"
               "message is the framework's. The case's outcome is \"error\".\n";
    case OOL_E_INTERNAL:
        return "A defect in oomlab itself. Please report it with the command and the file.\n";
    }
    return NULL;
}
