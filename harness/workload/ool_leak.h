/*
 * ool_leak.h - what a loop with a leak keeps: a list that grows, a sum that never lets go of its graph.
 */
#ifndef OOL_LEAK_H
#define OOL_LEAK_H

#include "ool_module.h"

struct ool_bag {
    struct ool_net *net;
    struct ool_tensor **kept; /* held until the process ends */
    size_t n, capacity;
    struct ool_tensor *total; /* the variable `total`; NULL = the number 0 */
};

/* Registers the forward hooks of the leaks that need them. */
void ool_bag_open(struct ool_bag *bag, struct ool_net *net);
void ool_bag_fini(
    struct ool_bag *bag); /* memory only; the tensors stay as the process leaves them */
void ool_bag_drop(struct ool_bag *bag); /* lets go of everything */
/* After the forward pass and after backward: what the workload's leak adds there. */
void ool_bag_forward(struct ool_bag *bag, const struct ool_output *out);
void ool_bag_backward(struct ool_bag *bag, const struct ool_output *out);
/* The loop of this leak never calls backward. */
bool ool_leak_has_no_backward(enum ool_leak leak);
bool ool_leak_retains_graph(enum ool_leak leak);

#endif
