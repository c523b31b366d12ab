/*
 * ool_chunked_loss.h - head and cross entropy on slices of the rows, so that the logits never exist whole.
 */
#ifndef OOL_CHUNKED_LOSS_H
#define OOL_CHUNKED_LOSS_H

#include "ool_module.h"

/* The mean loss over workload->chunked_loss slices (floating), each recomputed in backward unless the workload says no. */
struct ool_tensor *ool_chunked_loss(struct ool_net *net, const struct ool_call *call);

#endif
