/*
 * ool_reader.h - the table of keys and what reads objects by it.
 *
 * One row a key: its name, kind, range, unit, words, default, what it means and the field that it
 * lands in. The reader, the JSON schema and `oomlab show` are made from the same rows.
 */
#ifndef OOL_READER_H
#define OOL_READER_H

#include "ool_locate.h"
#include "ool_problems.h"
#include "ool_scenario.h"

struct ool_reader;

/* A value and its place in the text. */
struct ool_cursor {
    json_t *value;
    uint32_t node;
};

struct ool_word {
    const char *text;
    int64_t value;
    const char *doc;
};

enum ool_key_kind {
    OOL_KEY_INTEGER, /* an integer, or one of `words`; any integer or enum field */
    OOL_KEY_NUMBER,  /* double */
    OOL_KEY_SIZE,    /* bytes as an integer or a text with a binary unit; uint64_t */
    OOL_KEY_BOOL,    /* bool, or an int that is -1 when the key is absent */
    OOL_KEY_WORD,    /* one of `words`: its value, or its text where the field is a pointer */
    OOL_KEY_TEXT,    /* any text of at most `max` characters; const char * */
    OOL_KEY_NAME,    /* 1 to 128 of A-Z a-z 0-9 . _ -; const char * */
    OOL_KEY_RELEASE, /* "5.23"; an int, major * `max` + minor */
    OOL_KEY_TEXTS,   /* an array of names; const char *const *, NULL-terminated */
    OOL_KEY_OBJECT,  /* one object by the table `object`, whose fields are relative to `offset` */
    OOL_KEY_LIST,    /* an array of such objects: pointer at `offset`, count at `count` */
    OOL_KEY_OPERATIONS, /* explicit operations: pointer and count */
    OOL_KEY_STACKS      /* mitigations: pointer and count */
};

struct ool_key {
    const char *name;
    enum ool_key_kind kind;
    const char *doc;
    size_t offset, width, count; /* where it lands; count: offset of a size_t, 0 = none */
    int64_t min, max;      /* integers; texts: characters; lists: elements; releases: see above */
    enum ool_status range; /* status of an integer out of range; OOL_OK = OOL_E_RANGE */
    double least, most;    /* numbers */
    bool above;            /* numbers: more than least, not least itself */
    bool required, matrix, once, nullable;
    const char *unit;             /* for people: "bytes", "tokens"; NULL = none */
    const char *fallback;         /* the default as JSON text; NULL = none or the family's own */
    const char *aliases;          /* names also accepted, separated by blanks; NULL = none */
    const struct ool_word *words; /* ends with a NULL text */
    const struct ool_keys *object;
    size_t size; /* LIST: bytes of an element */
    /* Takes the value instead of the field: a word's or integer's value, or a text. */
    void (*take)(struct ool_reader *reader, const struct ool_cursor *cursor, void *base,
                 int64_t value, const char *text);
};

struct ool_keys {
    const char *name; /* in the schema's $defs */
    const char *doc;
    const struct ool_key *keys;
    size_t n_keys;
    const char *shorthand;     /* the key that a plain value stands for; NULL = none */
    const char *const *one_of; /* exactly one of these keys; NULL-terminated; NULL = no such rule */
    const char *const *any_of; /* at least one of these */
    void (*begin)(void *base); /* defaults before reading */
    /* What the keys cannot say alone; called when no key of the object was wrong. */
    void (*finish)(struct ool_reader *reader, const struct ool_cursor *cursor, void *base);
};

/* An operation's word and its keys. */
struct ool_variant {
    const char *word;
    enum ool_operation_kind kind;
    const struct ool_keys *keys;
};

extern const struct ool_keys ool_keys_scenario, ool_keys_workload, ool_keys_model, ool_keys_card,
    ool_keys_profile, ool_keys_preset, ool_keys_allocator, ool_keys_job, ool_keys_expectation;
extern const struct ool_variant ool_variants[];
extern const size_t ool_n_variants;
const struct ool_key *ool_keys_find(const struct ool_keys *keys,
                                    const char *name); /* or an alias */

/* --- memory that lives as long as the scenario ------------------------------------------------- */

/* Zeroed, aligned for anything; NULL = host memory is short. */
void *ool_arena(struct ool_scenario_memory *memory, size_t count, size_t size);
char *ool_arena_text(struct ool_scenario_memory *memory, const char *text, size_t length);
struct ool_scenario_memory *ool_scenario_memory_open(void);

/* --- reading ------------------------------------------------------------------------------------ */

#define OOL_MAX_AXES 16
#define OOL_MAX_POINTS 10000
#define OOL_MAX_OPERATIONS 100000

/* One key that was given as an array. */
struct ool_axis {
    char *name;
    json_t *array;
    uint32_t node;
    size_t n, at;
};

struct ool_reader {
    const struct ool_layout *layout;
    json_t *root;          /* the document of the layout */
    const char *source;    /* the file's name in messages */
    const char *beside;    /* anchors the search for profiles and presets; NULL = none */
    ool_step_check *check; /* of mitigations; NULL = none */
    struct ool_scenario_memory *memory;
    struct ool_problems *problems;
    size_t n_problems; /* met, equal ones included */
    bool short_of_memory;
    bool matrix;     /* arrays make cases here */
    bool collecting; /* the first pass: axes are found, each element is checked */
    struct ool_axis axes[OOL_MAX_AXES];
    size_t n_axes;
    size_t n_operations;
    struct ool_operation_list *operations; /* being filled */
};

/* A problem with a value (or its key), with a suggestion (NULL = none). */
void ool_reader_problem(struct ool_reader *reader, uint32_t node, bool on_key,
                        enum ool_status status, const char *hint, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
bool ool_reader_memory(struct ool_reader *reader,
                       const void *pointer); /* false: notes that memory is short */
/* Reads by the table into @base. Problems are collected; returns whether there was none. */
bool ool_reader_object(struct ool_reader *reader, const struct ool_keys *keys,
                       const struct ool_cursor *cursor, void *base);
/* One value by one row. */
void ool_reader_value(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor, void *base);
/* False and a problem if @cursor is no array within the row's limits. */
bool ool_reader_array(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor);
/* Type words: "an object", "the text \"abc\"". Returns @out. */
const char *ool_reader_found(const json_t *value, char out[80]);
/* The first and each next child of an array's or object's node, with its value. False at the end. */
bool ool_reader_child(const struct ool_reader *reader, const struct ool_cursor *parent,
                      struct ool_cursor *child);

/* The same without a matrix: a value of its kind, or a problem. */
void ool_reader_plain(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor, void *base);
/* The problem of a value that has another type than @expected. */
void ool_reader_type(struct ool_reader *reader, const struct ool_key *key,
                     const struct ool_cursor *cursor, const char *expected);

/* The kinds that have files of their own. */
void ool_read_operations(struct ool_reader *reader, const struct ool_key *key,
                         const struct ool_cursor *cursor, void *base);
void ool_read_stacks(struct ool_reader *reader, const struct ool_key *key,
                     const struct ool_cursor *cursor, void *base);

/* Profiles and presets by name; a problem at @cursor if there is none or it is broken. False = no. */
bool ool_reader_profile(struct ool_reader *reader, const struct ool_cursor *cursor,
                        const char *name, struct ool_card *card);
bool ool_reader_preset(struct ool_reader *reader, const struct ool_cursor *cursor, const char *name,
                       struct ool_model *model);

/* A file of profiles/ or models/ read by its table. */
struct ool_preset {
    const char *title, *description;
    uint64_t params; /* published, 0 = not given */
    const char *source;
    struct ool_model model;
};

#endif
