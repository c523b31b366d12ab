/*
 * ool_xml.h - any bytes as XML text: what a report may contain comes from traces and messages.
 */
#ifndef OOL_XML_H
#define OOL_XML_H

#include "ool_text.h"

/**
 * ool_xml_escape - append @text so that every XML 1.0 parser reads it
 *
 * Markup is escaped; in attributes also quotes, tabs and line ends. Bytes that are not UTF-8 become
 * U+FFFD, characters that XML forbids a visible "\x1B", and terminal colour sequences vanish.
 */
void ool_xml_escape(struct ool_text *out, const char *text, bool attribute);

#endif
