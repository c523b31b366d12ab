#include "ool_file.h"
#include "ool_test.h"

#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/oomlab-test-XXXXXX";
static char path[64];

static int open_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails if a temporary file was left */
}

static void writes_then_reads(void **state)
{
    char *data = NULL;
    size_t length = 0;

    (void)state;
    assert_int_equal(ool_file_write(path, "first\n", 6, NULL), OOL_OK);
    assert_int_equal(ool_file_write(path, "second\n", 7, NULL), OOL_OK);
    assert_int_equal(ool_file_read(path, 7, &data, &length, NULL), OOL_OK);
    assert_int_equal(length, 7);
    assert_string_equal(data, "second\n");
    ool_free(data);
}

static void refuses_more_than_the_limit(void **state)
{
    struct ool_error err = {0};
    char *data = NULL;
    size_t length = 9;

    (void)state;
    assert_int_equal(ool_file_write(path, "12345", 5, NULL), OOL_OK);
    assert_int_equal(ool_file_read(path, 4, &data, &length, &err), OOL_E_LIMIT);
    assert_null(data);
    assert_int_equal(length, 9);
}

static void names_what_is_missing(void **state)
{
    struct ool_error err = {0};
    char *data = NULL;
    size_t length;

    (void)state;
    assert_int_equal(ool_file_read("/no/such/file", 4, &data, &length, &err), OOL_E_FILE);
    assert_non_null(strstr(err.text, "/no/such/file"));
    memset(&err, 0, sizeof err);
    assert_int_equal(ool_file_write("/no/such/file", "x", 1, &err), OOL_E_FILE);
    assert_int_equal(ool_file_read(folder, 4, &data, &length, NULL), OOL_E_FILE);
}

static enum ool_status round_trip(void *state)
{
    char *data = NULL;
    size_t length;
    enum ool_status status;

    (void)state;
    status = ool_file_write(path, "abc", 3, NULL);
    if (status == OOL_OK)
        status = ool_file_read(path, 100, &data, &length, NULL);
    ool_free(data);
    return status;
}

static void survives_every_fault(void **state)
{
    (void)state;
    ool_test_each_fault(round_trip, NULL, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_then_reads),
        cmocka_unit_test(refuses_more_than_the_limit),
        cmocka_unit_test(names_what_is_missing),
        cmocka_unit_test(survives_every_fault),
    };
    return cmocka_run_group_tests_name("file", tests, open_folder, close_folder);
}
