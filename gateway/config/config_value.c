/*
 * config_value.c - sizes, times, URLs and addresses as people write them. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

#include <arpa/inet.h>

struct unit {
	struct span name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{ { "", 0 }, 1 },
	{ { "B", 1 }, 1 },
	{ { "KiB", 3 }, 1u << 10 },
	{ { "MiB", 3 }, 1u << 20 },
	{ { "GiB", 3 }, 1u << 30 },
};

static const struct unit time_units[] = {
	{ { "ms", 2 }, 1 },
	{ { "s", 1 }, 1000 },
	{ { "min", 3 }, 60 * 1000 },
	{ { "h", 1 }, 60 * 60 * 1000 },
};

/* Decimal digits off the front; at most nine, so that no unit can make them overflow. */
static bool
take_number(struct span *s, uint64_t *out)
{
	size_t n = 0;

	*out = 0;
	for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++) {
		if (n == 9)
			return false;
		*out = *out * 10 + (uint64_t)(s->p[n] - '0');
	}
	*s = span_skip(*s, n);
	return n > 0;
}

static bool
measure(struct span s, const struct unit *units, size_t n, uint64_t *out)
{
	uint64_t number;

	if (!take_number(&s, &number))
		return false;
	if (s.n > 1 && s.p[0] == ' ')
		s = span_skip(s, 1);
	for (size_t i = 0; i < n; i++) {
		if (span_eq(s, units[i].name)) {
			*out = number * units[i].factor;
			return true;
		}
	}
	return false;
}

bool
config_size_parse(struct span s, uint64_t *bytes)
{
	return measure(s, size_units, sizeof size_units / sizeof *size_units, bytes);
}

bool
config_time_parse(struct span s, uint64_t *ms)
{
	return measure(s, time_units, sizeof time_units / sizeof *time_units, ms);
}

/* ---- hosts ---- */

static bool
is_address(int family, struct span s)
{
	unsigned char address[16];
	char text[INET6_ADDRSTRLEN];

	if (s.n == 0 || s.n >= sizeof text || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, address) == 1;
}

static bool
label_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

static bool
label_valid(struct span s)
{
	if (s.n == 0 || s.n > 63 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!label_byte(s.p[i]))
			return false;
	return true;
}

bool
config_host_valid(struct span s)
{
	struct span label = s;

	if (s.n == 0 || s.n > 253)
		return false;
	for (;;) {
		const char *dot = memchr(label.p, '.', label.n);
		size_t n = dot == NULL ? label.n : (size_t)(dot - label.p);

		if (!label_valid((struct span){ label.p, n }))
			return false;
		if (dot == NULL)
			break;
		label = span_skip(label, n + 1);
	}
	/* a last label that begins with a digit is an address or a mistake: no such top-level domain exists */
	return label.p[0] < '0' || label.p[0] > '9' || is_address(AF_INET, s);
}

bool
config_host_loopback(struct span s)
{
	return span_eq_nocase(s, SPAN("localhost")) || span_eq(s, SPAN("::1")) ||
	    (is_address(AF_INET, s) && span_starts(s, SPAN("127.")));
}

/* "[v6]" or a run up to ':' or '/'. */
static bool
take_host(struct span *s, struct span *host, bool *ipv6)
{
	size_t n = 0;

	*ipv6 = s->n > 0 && s->p[0] == '[';
	if (*ipv6) {
		const char *end = memchr(s->p, ']', s->n);

		if (end == NULL)
			return false;
		n = (size_t)(end - s->p);
		*host = (struct span){ s->p + 1, n - 1 };
		*s = span_skip(*s, n + 1);
		return is_address(AF_INET6, *host);
	}
	while (n < s->n && s->p[n] != ':' && s->p[n] != '/')
		n++;
	*host = (struct span){ s->p, n };
	*s = span_skip(*s, n);
	return config_host_valid(*host);
}

/* ":1" to ":65535". */
static bool
take_port(struct span *s, unsigned *port)
{
	uint64_t number;

	*s = span_skip(*s, 1);
	if (!take_number(s, &number) || number == 0 || number > 65535)
		return false;
	*port = (unsigned)number;
	return true;
}

static bool
path_valid(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!label_byte(c) && c != '/' && c != '.' && c != '_' && c != '~')
			return false;
		if (c == '/' && i + 1 < s.n && (s.p[i + 1] == '/' || s.p[i + 1] == '.'))
			return false;
	}
	return s.n <= 256;
}

const char *
config_url_parse(struct span s, struct config_url *out)
{
	*out = (struct config_url){ .port = 80 };
	if (span_starts(s, SPAN("https://"))) {
		out->tls = true;
		out->port = 443;
		s = span_skip(s, 8);
	} else if (span_starts(s, SPAN("http://"))) {
		s = span_skip(s, 7);
	} else {
		return "not an absolute URL: it must begin with https:// (or http:// where that is allowed)";
	}
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '@' || s.p[i] == '?' || s.p[i] == '#')
			return "user information, query and fragment are not allowed";
	if (!take_host(&s, &out->host, &out->ipv6))
		return "bad host";
	if (s.n > 0 && s.p[0] == ':' && !take_port(&s, &out->port))
		return "bad port";
	if (s.n > 0 && s.p[0] != '/')
		return "bad host or port";
	out->path = s;
	if (!path_valid(s))
		return "bad path: letters, digits and - . _ ~ between single slashes";
	return NULL;
}

char *
config_url_origin(struct config *c, const struct config_url *u)
{
	bool standard = u->port == (u->tls ? 443u : 80u);
	char port[8] = "";
	char *origin;

	if (!standard)
		snprintf(port, sizeof port, ":%u", u->port);
	origin = config_printf(c, "http%s://%s%.*s%s%s", u->tls ? "s" : "", u->ipv6 ? "[" : "", SPAN_FMT(u->host),
	    u->ipv6 ? "]" : "", port);
	for (char *p = origin; p != NULL && *p != '\0'; p++)
		*p = ascii_lower(*p);
	return origin;
}

const char *
config_address_check(const char *text)
{
	struct span s = span_of(text), host;
	unsigned port;
	bool ipv6;

	if (s.n > 0 && s.p[0] != '[' && memchr(s.p, ':', s.n) == NULL)
		return "no port: write address:port, as in 0.0.0.0:5443";
	if (!take_host(&s, &host, &ipv6) || (!ipv6 && !is_address(AF_INET, host)))
		return "not an IP address and port: write 0.0.0.0:5443 or [::]:5443";
	if (s.n == 0 || s.p[0] != ':' || !take_port(&s, &port) || s.n > 0)
		return "bad port";
	return NULL;
}
