/* The files of scenarios/profiles and scenarios/models: all can be read, facts have sources, counts come out. */
#include "ool_data.h"
#include "ool_test.h"

#define HERE "scenarios/here"

static void each_profile_states_its_sources(void **state)
{
    char **names = NULL;
    size_t n = 0;

    (void)state;
    assert_int_equal(ool_data_names("profiles", HERE, &names, &n, NULL), OOL_OK);
    assert_true(n >= 20);
    for (size_t i = 0; i < n; i++) {
        struct ool_card *card = NULL;
        struct ool_error err = {.status = OOL_OK};
        struct ool_text path;
        json_t *file, *sources, *value;
        const char *key;

        if (ool_card_find(names[i], HERE, &card, &err) != OOL_OK)
            fail_msg("%s", err.text);
        assert_string_equal(card->name, names[i]);
        assert_true(card->total_bytes > 0 && card->context_bytes < card->total_bytes);
        ool_card_close(card);
        ool_text_init(&path, 4096);
        assert_int_equal(ool_data_find("profiles", names[i], HERE, &path, NULL), OOL_OK);
        file = json_load_file(path.data, 0, NULL);
        sources = json_object_get(file, "sources");
        json_object_foreach(file, key, value)
        {
            bool fact = strcmp(key, "title") != 0 && strcmp(key, "sources") != 0;
            if (fact && json_is_null(value) == (json_object_get(sources, key) != NULL))
                fail_msg("%s: \"%s\" needs %s", names[i], key,
                         json_is_null(value) ? "no source" : "a source");
        }
        json_decref(file);
        ool_text_fini(&path);
    }
    ool_data_names_free(names, n);
}

static void each_preset_has_its_published_count(void **state)
{
    char **names = NULL;
    size_t n = 0;

    (void)state;
    assert_int_equal(ool_data_names("models", HERE, &names, &n, NULL), OOL_OK);
    for (size_t i = 0; i < n; i++) {
        struct ool_scenario_memory *memory = ool_scenario_memory_open();
        struct ool_preset preset;
        struct ool_workload_facts facts;
        struct ool_workload w;
        struct ool_error err = {.status = OOL_OK};
        struct ool_text path;
        enum ool_status status;

        ool_text_init(&path, 4096);
        assert_int_equal(ool_data_find("models", names[i], HERE, &path, NULL), OOL_OK);
        if (ool_data_preset(path.data, memory, &preset, &err) != OOL_OK)
            fail_msg("%s", err.text);
        ool_workload_init(&w);
        w.model = preset.model;
        w.seq = 16;
        w.task = OOL_TASK_INFER;
        status = ool_workload_count(&w, &facts, &err);
        if (status != OOL_OK || facts.params != preset.params)
            fail_msg("%s: %llu parameters, published %llu; %s", names[i],
                     (unsigned long long)facts.params, (unsigned long long)preset.params, err.text);
        ool_text_fini(&path);
        ool_scenario_memory_close(memory);
    }
    assert_true(n >= 24);
    ool_data_names_free(names, n);
}

static void a_misspelt_name_gets_a_suggestion(void **state)
{
    struct ool_card *card = NULL;
    struct ool_error err = {.status = OOL_OK};

    (void)state;
    assert_int_equal(ool_card_find("rtx-409", HERE, &card, &err), OOL_E_REFERENCE);
    assert_non_null(strstr(err.hint, "rtx-40"));
    assert_null(card);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_profile_states_its_sources),
        cmocka_unit_test(each_preset_has_its_published_count),
        cmocka_unit_test(a_misspelt_name_gets_a_suggestion),
    };

    return cmocka_run_group_tests_name("profiles", tests, NULL, NULL);
}
