/* SPDX-License-Identifier: MIT */
/* load_generate.h - the random commands of kv-load. */
#ifndef LOAD_GENERATE_H
#define LOAD_GENERATE_H

#include "load_connection.h"

/** The next random command on the keys of `connection`. */
struct load_command load_generate_command(struct load_connection *connection);

/**
 * Prints whose value the bytes are, if they carry the stamp of another connection, or of none of
 * the `key_count` keys of `command`.  Prints nothing if there is nothing strange about them.
 */
void load_generate_judge(FILE *to, const struct load_connection *connection,
    const struct load_command *command, const char *data, size_t len);

#endif
