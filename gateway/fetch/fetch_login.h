/*
 * fetch_login.h - logins at registries for operators' commands.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_FETCH_LOGIN_H
#define TW_FETCH_LOGIN_H

#include "gateway/credentials/login.h"

/* upstream is to be set, the rest zero. */
struct fetch_login {
	const struct config_upstream *upstream;
	struct login_memory memory;
	char *text, *scope; /* the last one, and what it is for */
	int64_t until;
};

/*
 * The value of Authorization for GET /v2/<path>; NULL: none is needed. Logs in first when it has to, which takes as long as it
 * takes. False after saying why on standard error.
 */
bool fetch_login(struct fetch_login *f, const char *path, const char **authorization) NONNULL(1, 2, 3) WUNRES;
void fetch_login_clear(struct fetch_login *f) NONNULL(1);

#endif
