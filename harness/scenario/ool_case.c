/*
 * A case's program: its jobs, one after the other, in one list of operations.
 */
#include "ool_scenario_internal.h"

#include "ool_mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "2.11" as 211. The loader knows the versions that there are; mitigations do not change them. */
static int torch_release(const char *version)
{
    int major = 0, minor = 0;

    return sscanf(version, "%d.%d", &major, &minor) == 2 ? major * 100 + minor : 0;
}

/* Texts get the job's name before them; each text once. */
struct prefixer {
    struct ool_program *program;
    const char *name;
    uint32_t *renamed; /* of each text that was there; OOL_NONE = not yet */
    size_t n;
};

static bool prefix(struct prefixer *p, uint32_t *text)
{
    struct ool_text joined;
    bool ok = true;

    if (*text == OOL_NONE || *text >= p->n)
        return true;
    if (p->renamed[*text] == OOL_NONE) {
        const char *old = p->program->texts[*text];
        ool_text_init(&joined, 65536);
        ool_text_printf(&joined, "%s%s%s", p->name, old[0] != '\0' ? "/" : "", old);
        ok = joined.data != NULL && ool_program_text(p->program, joined.data, &p->renamed[*text]);
        ool_text_fini(&joined);
    }
    if (ok)
        *text = p->renamed[*text];
    return ok;
}

/* Marks and origins of what a job added: from @op and @storage on. */
static bool prefix_job(struct ool_program *program, const char *name, size_t op, size_t storage)
{
    struct prefixer p = {program, name, NULL, program->n_texts};
    bool ok = true;

    p.renamed = ool_reallocarray(NULL, p.n + 1, sizeof *p.renamed);
    if (p.renamed == NULL)
        return false;
    for (size_t i = 0; i < p.n; i++)
        p.renamed[i] = OOL_NONE;
    for (; ok && op < program->n_ops; op++)
        if (program->ops[op].kind == OOL_OP_MARK)
            ok = prefix(&p, &program->ops[op].id);
    for (; ok && storage < program->n_storages; storage++)
        ok = prefix(&p, &program->storages[storage].origin);
    ool_free(p.renamed);
    return ok;
}

static void add_facts(struct ool_workload_facts *sum, const struct ool_workload_facts *job)
{
    sum->params += job->params;
    sum->trainable += job->trainable;
    sum->param_bytes += job->param_bytes;
    sum->moved_bytes += job->moved_bytes;
}

static struct ool_tape_config tape_config(const struct ool_case *c)
{
    return (struct ool_tape_config){.torch = (enum ool_torch)torch_release(c->allocator.version),
                                    .capability = c->card.capability,
                                    .multiprocessors = c->card.multiprocessors,
                                    .threads_per_multiprocessor =
                                        c->card.threads_per_multiprocessor,
                                    .convolution_workspace = c->card.convolution_workspace};
}

/* The session of job @i's process, opened by the process's first workload: @sessions has it there. */
static struct ool_session *session_of(const struct ool_case *c, size_t i,
                                      struct ool_session **sessions, struct ool_program *program,
                                      struct ool_error *err)
{
    struct ool_tape_config config = tape_config(c);

    for (size_t j = 0; j < i; j++)
        if (sessions[j] != NULL && c->jobs[j].process == c->jobs[i].process)
            return sessions[j];
    config.process = c->jobs[i].process;
    sessions[i] = ool_session_open(&config, program, err);
    return sessions[i];
}

static enum ool_status lower_jobs(const struct ool_case *c, struct ool_session **sessions,
                                  struct ool_program *program, struct ool_workload_facts *sum,
                                  struct ool_error *err)
{
    for (size_t i = 0; i < c->n_jobs; i++) {
        const struct ool_job *job = &c->jobs[i];
        struct ool_workload_facts of_job = {0};
        size_t op = program->n_ops, storage = program->n_storages;
        enum ool_status status;

        if (job->explicit_operations) {
            status = ool_operations_lower(job, program, err);
        } else {
            struct ool_session *session = session_of(c, i, sessions, program, err);

            if (session == NULL)
                return err->status;
            status = ool_session_lower(session, &job->workload, &of_job, err);
        }
        if (status != OOL_OK)
            return status;
        if (c->n_jobs > 1 && !prefix_job(program, job->name, op, storage))
            return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the program of %.100s", c->id);
        add_facts(sum, &of_job);
    }
    return OOL_OK;
}

enum ool_status ool_case_lower(const struct ool_case *c, struct ool_program *program,
                               struct ool_workload_facts *facts, struct ool_error *err)
{
    struct ool_session **sessions = ool_calloc(c->n_jobs + 1, sizeof(struct ool_session *));
    struct ool_workload_facts sum = {0};
    struct ool_error first = {.status = OOL_OK};
    enum ool_status status;

    if (sessions == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the program of %.100s", c->id);
    status = lower_jobs(c, sessions, program, &sum, &first);
    for (size_t i = 0; i < c->n_jobs; i++)
        ool_session_close(sessions[i]);
    ool_free(sessions);
    if (status == OOL_OK && facts != NULL)
        *facts = sum;
    if (status != OOL_OK && err != NULL && err->status == OOL_OK)
        *err = first;
    return status;
}
