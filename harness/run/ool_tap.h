/*
 * ool_tap.h - a device that passes everything on and tells an observer of each segment.
 */
#ifndef OOL_TAP_H
#define OOL_TAP_H

#include "ool_run.h"

/* @inner and @observer are borrowed; closing the tap leaves @inner open. */
enum ool_status ool_tap_open(struct ool_device *inner, const struct ool_run_observer *observer,
                             struct ool_device **dev, struct ool_error *err);

#endif
