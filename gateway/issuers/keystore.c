/*
 * keystore.c - the last good key set of an issuer, in a file of its own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/issuers/keystore.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/file.h"
#include "policy/json.h"

#define VERSION	 1
#define FILE_MAX ((size_t)8 << 20)	/* a set of 1 MiB, every byte of it escaped */
#define FUTURE	 60			/* seconds a clock may have been put back */

static bool
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static bool
write_file(const char *path, struct span text, char *err, size_t err_size)
{
	char *new = NULL;
	bool ok;
	int fd, n;

	if (asprintf(&new, "%s.new", path) < 0) {
		snprintf(err, err_size, "out of memory");
		return false;
	}
	unlink(new);	/* of a gateway that ended while writing */
	fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	ok = fd >= 0 && write_all(fd, text.p, text.n) && fsync(fd) == 0;
	n = errno;
	if (fd >= 0 && close(fd) != 0 && ok) {
		n = errno;
		ok = false;
	}
	if (ok && rename(new, path) != 0) {
		n = errno;
		ok = false;
	}
	if (!ok) {
		snprintf(err, err_size, "%s: %s", path, strerror(n));
		unlink(new);
	}
	free(new);
	return ok;
}

bool
keystore_save(const char *path, const struct kept_keys *k, char *err, size_t err_size)
{
	json_t *o = json_pack("{s:i, s:s, s:s, s:I, s:s%}", "version", VERSION, "issuer", k->issuer, "source", k->source, "fetched",
	    (json_int_t)k->fetched, "keys", k->document, k->n);
	char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	bool ok = false;

	json_decref(o);
	if (text == NULL)
		snprintf(err, err_size, "the set cannot be written as JSON");
	else
		ok = write_file(path, span_of(text), err, err_size);
	free(text);
	return ok;
}

static bool
read_document(const json_t *o, struct kept_keys *k, int64_t now, char *err, size_t err_size)
{
	struct span issuer = json_span(o, "issuer"), source = json_span(o, "source"), keys = json_span(o, "keys");
	const json_t *version = json_object_get(o, "version"), *fetched = json_object_get(o, "fetched");

	if (!json_is_integer(version) || json_integer_value(version) != VERSION || !json_is_integer(fetched) || keys.n == 0) {
		snprintf(err, err_size, "not a key set that this release kept");
		return false;
	}
	if (!span_eq(issuer, span_of(k->issuer)) || !span_eq(source, span_of(k->source))) {
		snprintf(err, err_size, "of other options than those of today");
		return false;
	}
	k->fetched = json_integer_value(fetched);
	if (k->fetched < 0 || k->fetched > now + FUTURE) {
		snprintf(err, err_size, "from the future: is the clock right?");
		return false;
	}
	k->document = strndup(keys.p, keys.n);
	k->n = keys.n;
	if (k->document == NULL)
		snprintf(err, err_size, "out of memory");
	return k->document != NULL;
}

bool
keystore_load(const char *path, struct kept_keys *k, int64_t now, char *err, size_t err_size)
{
	char *text;
	json_t *o;
	size_t n;
	bool ok;

	k->document = NULL;
	err[0] = '\0';
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return false;
	text = file_read(path, FILE_MAX, &n, err, err_size);
	if (text == NULL)
		return false;
	o = json_strict((struct span){ text, n }, 2, err, err_size, NULL);
	ok = o != NULL && read_document(o, k, now, err, err_size);
	json_decref(o);
	free(text);
	return ok;
}
