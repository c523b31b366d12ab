/*
 * ool_torch_message.c - the texts of out-of-memory errors, as each release prints them.
 */
#include "ool_torch.h"

#include <inttypes.h>
#include <stdio.h>

/* PyTorch's format_size: no unit above GiB, and each limit belongs to the smaller unit. */
const char *ool_torch_format_size(uint64_t bytes, char out[OOL_SIZE_TEXT])
{
    static const char *const units[] = {"KiB", "MiB", "GiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes <= 1024) {
        snprintf(out, OOL_SIZE_TEXT, "%" PRIu64 " bytes", bytes);
        return out;
    }
    for (; value > 1024 && unit < 2; unit++)
        value /= 1024;
    snprintf(out, OOL_SIZE_TEXT, "%.2f %s", value, units[unit]);
    return out;
}

static void add_size(struct ool_text *text, const char *before, uint64_t bytes, const char *after)
{
    char size[OOL_SIZE_TEXT];

    ool_text_printf(text, "%s%s%s", before, ool_torch_format_size(bytes, size), after);
}

static void add_old_advice(struct ool_text *text, const char *address)
{
    ool_text_printf(text,
                    " If reserved but unallocated memory is large try setting "
                    "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See "
                    "documentation for Memory Management  (%s)",
                    address);
}

static void add_advice(struct ool_torch *torch, uint64_t segment_bytes, uint64_t total)
{
    struct ool_text *text = &torch->message;
    uint64_t range;

    if (torch->release->advice == OOL_ADVICE_OLD) {
        add_old_advice(text,
                       "https://pytorch.org/docs/stable/notes/cuda.html#environment-variables");
        return;
    }
    if (torch->release->advice == OOL_ADVICE_OPTIMIZE || !torch->conf.expandable) {
        add_old_advice(text, "https://docs.pytorch.org/docs/stable/notes/cuda.html"
                             "#optimizing-memory-usage-with-pytorch-cuda-alloc-conf");
        return;
    }
    range = ool_torch_range_bytes(torch);
    if (segment_bytes <= total && range < segment_bytes) {
        add_size(
            text, " This allocation exceeds the expandable-segment reserve of ", range,
            " for this stream, and a single allocation cannot span expandable segments. Raise "
            "PYTORCH_CUDA_ALLOC_CONF expandable_segments_reserve or "
            "expandable_segments_reserve_by_class (or unset it) so that a segment is at least ");
        add_size(text, "", segment_bytes, ".");
        return;
    }
    ool_text_puts(text, " expandable_segments is enabled. If instead the process is running out of "
                        "virtual address space (VSZ), expandable segments may be over-reserving VA "
                        "(each segment reserves ~9/8 of device memory, times the number of "
                        "streams); reduce it via PYTORCH_CUDA_ALLOC_CONF "
                        "expandable_segments_reserve / expandable_segments_reserve_by_class.");
}

static uint64_t current(const struct ool_torch *torch, enum ool_torch_stat stat)
{
    return (uint64_t)(torch->counters.current[0][stat] + torch->counters.current[1][stat]);
}

void ool_torch_message_oom(struct ool_torch *torch, uint64_t segment_bytes)
{
    struct ool_text *text = &torch->message;
    uint64_t allocated = current(torch, OOL_TORCH_ALLOCATED_BYTES), free_bytes, total_bytes;
    uint64_t private_free = 0;

    torch->dev->ops->info(torch->dev, &free_bytes, &total_bytes);
    ool_text_clear(text);
    add_size(text, "CUDA out of memory. Tried to allocate ", segment_bytes, ". ");
    ool_text_printf(text, "GPU %d", torch->device_index);
    add_size(text, " has a total capacity of ", total_bytes, "");
    add_size(text, " of which ", free_bytes, " is free. ");
    if (torch->release->allowed_told && torch->has_limit)
        add_size(text, "", torch->limit_bytes, " allowed; ");
    if (torch->release->private_pools_told)
        private_free = ool_torch_pools_free_bytes(torch);
    allocated += private_free; /* PyTorch counts them so */
    add_size(text, "Of the allocated memory ", allocated, " is allocated by PyTorch, ");
    if (private_free > 0)
        add_size(text, "with ", private_free, " allocated in private pools (e.g., CUDA Graphs), ");
    add_size(text, "and ", torch->reserved_bytes - allocated,
             " is reserved by PyTorch but unallocated.");
    add_advice(torch, segment_bytes, total_bytes);
}

void ool_torch_message_limit(struct ool_torch *torch)
{
    ool_text_clear(&torch->message);
    ool_text_puts(&torch->message, "CUDA out of memory. Tried to allocate more than 1EB memory.");
}

void ool_torch_message_refused(struct ool_torch *torch, uint64_t bytes)
{
    ool_text_clear(&torch->message);
    add_size(&torch->message,
             "CUDA out of memory. Allocation was preemptively rejected because it would exceed "
             "per_process_memory_fraction limit. Requested size: ",
             bytes, "");
}
