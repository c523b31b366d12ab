/*
 * einsum of two operands, as ATen does it: one bmm between operands that are permuted and reshaped.
 */
#include "ool_tape_internal.h"

#include <string.h>

#define LABELS 52
#define ABSENT (-1)

/* Where a label stands in each operand and in the result. */
struct label {
    int place[3];
};

static int label_of(char c)
{
    return c >= 'a' && c <= 'z' ? c - 'a' : c >= 'A' && c <= 'Z' ? c - 'A' + 26 : -1;
}

/* "bshd,bthd->bhst": false if it is anything but two operands and a result of single labels. */
static bool parse(const char *equation, struct label *labels, char order[3][OOL_MAX_DIMS + 1])
{
    static const char *const ends[] = {",", "->", ""};

    for (int i = 0; i < LABELS; i++)
        labels[i] = (struct label){{ABSENT, ABSENT, ABSENT}};
    for (int part = 0; part < 3; part++) {
        int n = 0;

        for (; label_of(*equation) >= 0; equation++) {
            int *place = &labels[label_of(*equation)].place[part];

            if (n == OOL_MAX_DIMS || *place != ABSENT)
                return false;
            *place = n;
            order[part][n++] = *equation;
        }
        order[part][n] = '\0';
        if (strncmp(equation, ends[part], strlen(ends[part])) != 0)
            return false;
        equation += strlen(ends[part]);
    }
    return *equation == '\0';
}

/* Appends the labels of @from that stand in the operands and the result as asked. */
static int pick(const struct label *labels, const char *from, bool in_x, bool in_y, bool in_out,
                char *out, int n)
{
    for (; *from != '\0'; from++) {
        const int *place = labels[label_of(*from)].place;

        if ((place[0] != ABSENT) == in_x && (place[1] != ABSENT) == in_y &&
            (place[2] != ABSENT) == in_out)
            out[n++] = *from;
    }
    out[n] = '\0';
    return n;
}

static int64_t size_of(struct ool_tensor *const *operands, const struct label *labels, char c)
{
    const int *place = labels[label_of(c)].place;

    return place[0] != ABSENT ? operands[0]->shape[place[0]] : operands[1]->shape[place[1]];
}

static int64_t product(struct ool_tensor *const *operands, const struct label *labels,
                       const char *text)
{
    int64_t n = 1;

    for (; *text != '\0'; text++)
        n *= size_of(operands, labels, *text);
    return n;
}

/* The operand as a batch of matrices: its dimensions in three groups, each joined. */
static struct ool_tensor *as_matrices(struct ool_tape *t, struct ool_tensor *const *operands,
                                      int which, const struct label *labels,
                                      const char *const groups[3])
{
    struct ool_tensor *result;
    int64_t dims[OOL_MAX_DIMS], shape[3];
    int n = 0;

    for (int g = 0; g < 3; g++) {
        shape[g] = product(operands, labels, groups[g]);
        for (const char *c = groups[g]; *c != '\0'; c++)
            dims[n++] = labels[label_of(*c)].place[which];
    }
    OOL_EXPRESSION(t, result, ool_reshape(t, ool_permute(t, operands[which], n, dims), 3, shape));
    return result;
}

/* The groups of labels: in both operands and the result, in x, in y, and those that are summed. */
struct groups {
    char both[OOL_MAX_DIMS + 1], x[OOL_MAX_DIMS + 1], y[OOL_MAX_DIMS + 1], summed[OOL_MAX_DIMS + 1];
};

static struct ool_tensor *multiply(struct ool_tape *t, struct ool_tensor *const *operands,
                                   const struct label *labels, const struct groups *g,
                                   const char *out)
{
    const char *const left_groups[] = {g->both, g->x, g->summed};
    const char *const right_groups[] = {g->both, g->summed, g->y};
    struct ool_tensor *left = NULL, *right = NULL, *result;
    int64_t shape[OOL_MAX_DIMS], dims[OOL_MAX_DIMS];
    char order[2 * OOL_MAX_DIMS + 1] = "";
    int n = 0;

    strcat(strcat(strcat(order, g->both), g->x), g->y);
    for (; order[n] != '\0'; n++)
        shape[n] = size_of(operands, labels, order[n]);
    for (int i = 0; i < n; i++)
        dims[i] = strchr(order, out[i]) - order;
    ool_set(t, &left, as_matrices(t, operands, 0, labels, left_groups));
    ool_set(t, &right, as_matrices(t, operands, 1, labels, right_groups));
    OOL_EXPRESSION(t, result,
                   ool_permute(t, ool_view(t, ool_bmm(t, left, right), n, shape), n, dims));
    ool_del(t, &right);
    ool_del(t, &left);
    return result;
}

struct ool_tensor *ool_einsum(struct ool_tape *t, const char *equation, struct ool_tensor *x,
                              struct ool_tensor *y)
{
    struct ool_tensor *operands[] = {x, y}, *result;
    struct label labels[LABELS];
    char order[3][OOL_MAX_DIMS + 1];
    struct groups g;
    int n;

    if (!ool_usable(t, OOL_T(x, y)))
        return NULL;
    if (!parse(equation, labels, order) || (int)strlen(order[0]) != x->n_dims ||
        (int)strlen(order[1]) != y->n_dims)
        return ool_fail(t, OOL_E_UNSUPPORTED, "einsum %.40s of these tensors", equation);
    n = pick(labels, order[2], true, true, true, g.both, 0);
    n += pick(labels, order[2], true, false, true, g.x, 0);
    n += pick(labels, order[2], false, true, true, g.y, 0);
    pick(labels, order[0], true, true, false, g.summed, 0);
    if (n != (int)strlen(order[2]) ||
        strlen(g.both) + strlen(g.x) + strlen(g.summed) != strlen(order[0]) ||
        strlen(g.both) + strlen(g.y) + strlen(g.summed) != strlen(order[1]))
        return ool_fail(t, OOL_E_UNSUPPORTED,
                        "einsum %.40s: a label that stands in one operand alone", equation);
    for (int i = 0; i < LABELS; i++)
        if (labels[i].place[0] != ABSENT && labels[i].place[1] != ABSENT &&
            x->shape[labels[i].place[0]] != y->shape[labels[i].place[1]])
            return ool_fail(t, OOL_E_RANGE, "einsum %.40s: sizes that differ", equation);
    ool_enter(t, x);
    ool_enter(t, y);
    result = multiply(t, operands, labels, &g, order[2]);
    ool_leave(t, x);
    ool_leave(t, y);
    return result;
}
