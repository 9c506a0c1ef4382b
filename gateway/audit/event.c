/*
 * event.c - one event as JSON, by hand: no allocation, no printf, no locale.
 * Invariant: what is written is printable ASCII and never more than the buffer holds; a line that did not fit is none.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/audit/event.h"

#define TEXT_MAX	1024u
#define TEXT_LEAST	128u	/* with every text at this length, all of it escaped, EVENT_MAX is enough */
#define DETAIL_MAX	512u
#define LAST_SECOND	INT64_C(253402300799)	/* 9999-12-31T23:59:59Z: four digits for the year */

struct out {
	char *p, *end;
	size_t cut;		/* texts are cut here */
	bool full, comma;	/* comma: something stands before the next member */
};

static void
put(struct out *o, const char *p, size_t n)
{
	if (o->full || n > (size_t)(o->end - o->p)) {
		o->full = true;
		return;
	}
	memcpy(o->p, p, n);
	o->p += n;
}

#define PUT(o, lit)	put((o), (lit), sizeof(lit) - 1)

/* ---- numbers and time ---- */

static void
put_number(struct out *o, uint64_t v)
{
	char digits[20];
	size_t i = sizeof digits;

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	put(o, digits + i, sizeof digits - i);
}

static void
put_digits(char *to, unsigned width, uint64_t v)
{
	while (width > 0) {
		to[--width] = (char)('0' + v % 10);
		v /= 10;
	}
}

struct date {
	unsigned year, month, day;
};

static bool
leap(unsigned y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

/* gmtime_r takes a lock that all workers would share; days fit: LAST_SECOND bounds them. */
static struct date
date_of(unsigned days)
{
	static const unsigned char length[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	struct date d = { 1970, 1, 0 };
	unsigned n;

	/* 146097 days are 400 years, whatever year they begin with */
	d.year += days / 146097 * 400;
	days %= 146097;
	while (days >= (n = leap(d.year) ? 366 : 365)) {
		days -= n;
		d.year++;
	}
	while (days >= (n = length[d.month - 1] + (d.month == 2 && leap(d.year) ? 1u : 0u))) {
		days -= n;
		d.month++;
	}
	d.day = days + 1;
	return d;
}

static void
put_time(struct out *o, int64_t us)
{
	char text[] = "0000-00-00T00:00:00.000000Z";
	int64_t s = us / 1000000;
	struct date d;
	unsigned day;

	if (us < 0)
		us = s = 0;
	if (s > LAST_SECOND)
		s = LAST_SECOND;
	d = date_of((unsigned)(s / 86400));
	day = (unsigned)(s % 86400);
	put_digits(text, 4, d.year);
	put_digits(text + 5, 2, d.month);
	put_digits(text + 8, 2, d.day);
	put_digits(text + 11, 2, day / 3600);
	put_digits(text + 14, 2, day / 60 % 60);
	put_digits(text + 17, 2, day % 60);
	put_digits(text + 20, 6, (uint64_t)(us % 1000000));
	put(o, text, sizeof text - 1);
}

/* ---- text ---- */

static bool
plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void
put_unit(struct out *o, unsigned u)
{
	static const char hex[] = "0123456789abcdef";
	const char text[6] = { '\\', 'u', hex[u >> 12 & 15], hex[u >> 8 & 15], hex[u >> 4 & 15], hex[u & 15] };

	put(o, text, sizeof text);
}

/* The character at p (n >= 1 bytes, p[0] >= 0x80) and its length; 0xfffd and 1 when it is not UTF-8 (RFC 3629 section 4). */
static uint32_t
decode(const unsigned char *p, size_t n, size_t *length)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t want = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t u = p[0] & (0x7fu >> want);

	*length = 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || want > n)
		return 0xfffd;
	for (size_t i = 1; i < want; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0xfffd;
		u = u << 6 | (p[i] & 0x3fu);
	}
	if (u < least[want] || u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff))
		return 0xfffd;
	*length = want;
	return u;
}

static void
put_character(struct out *o, uint32_t u)
{
	if (u == '"')
		PUT(o, "\\\"");
	else if (u == '\\')
		PUT(o, "\\\\");
	else if (u < 0x10000)
		put_unit(o, u);
	else {
		put_unit(o, 0xd800 + ((u - 0x10000) >> 10));
		put_unit(o, 0xdc00 + ((u - 0x10000) & 0x3ff));
	}
}

/* At most `cut` bytes of s, whole characters only. */
static void
put_escaped(struct out *o, struct span s, size_t cut)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t end = s.n < cut ? s.n : cut, i = 0, n;

	while (i < end && !o->full) {
		size_t run = i;
		uint32_t u;

		while (i < end && plain(p[i]))
			i++;
		put(o, s.p + run, i - run);
		if (i == end)
			return;
		n = 1;
		/* the whole text is looked at, so that a character across the cut is seen as one, and left out */
		u = p[i] < 0x80 ? p[i] : decode(p + i, s.n - i, &n);
		if (n > end - i)
			return;
		put_character(o, u);
		i += n;
	}
}

/* ---- members ---- */

static void
put_key(struct out *o, const char *key, const char *suffix)
{
	if (o->comma)
		PUT(o, ",");
	PUT(o, "\"");
	put(o, key, strlen(key));
	put(o, suffix, strlen(suffix));
	PUT(o, "\":");
	o->comma = true;
}

static void
must_text(struct out *o, const char *key, struct span s, size_t cut)
{
	put_key(o, key, "");
	PUT(o, "\"");
	put_escaped(o, s, cut);
	PUT(o, "\"");
	if (s.n > cut) {
		put_key(o, key, "_length");
		put_number(o, s.n);
	}
}

static void
text(struct out *o, const char *key, struct span s)
{
	if (s.n > 0)
		must_text(o, key, s, o->cut);
}

static void
number(struct out *o, const char *key, uint64_t v)
{
	if (v == 0)
		return;
	put_key(o, key, "");
	put_number(o, v);
}

static uint64_t
not_negative(int64_t v)
{
	return v < 0 ? 0 : (uint64_t)v;
}

/* Begin an object; the mark lets group_end() take it back when nothing came into it. */
static char *
group(struct out *o, const char *key)
{
	char *mark = o->p;

	put_key(o, key, "");
	PUT(o, "{");
	o->comma = false;
	return mark;
}

static void
group_end(struct out *o, char *mark)
{
	if (!o->comma)
		o->p = mark;
	else
		PUT(o, "}");
	o->comma = true;
}

/* ---- the event ---- */

static void
put_observed(struct out *o, const struct audit_event *e)
{
	char *mark;

	if (e->observed.reason == NULL)
		return;
	mark = group(o, "observed");
	text(o, "decision", SPAN("deny"));
	text(o, "reason", span_of(e->observed.reason));
	text(o, "sid", e->observed.sid);
	group_end(o, mark);
}

static void
put_head(struct out *o, const struct audit_event *e)
{
	static const struct span decision[] = {
		[AUDIT_DENY] = { "deny", 4 },
		[AUDIT_ALLOW] = { "allow", 5 },
		[AUDIT_ERROR] = { "error", 5 },
	};
	/* what is none of the three was not allowed */
	unsigned d = (unsigned)e->decision < sizeof decision / sizeof *decision ? (unsigned)e->decision : AUDIT_DENY;

	PUT(o, "{\"time\":\"");
	put_time(o, e->time_us);
	PUT(o, "\"");
	o->comma = true;
	must_text(o, "id", (struct span){ e->id, strnlen(e->id, EVENT_ID_LEN) }, o->cut);
	must_text(o, "event", span_of(e->event), o->cut);
	must_text(o, "action", e->action, o->cut);
	must_text(o, "decision", decision[d], o->cut);
	must_text(o, "reason", span_of(e->reason), o->cut);
	text(o, "sid", e->sid);
	put_observed(o, e);
	if (e->detail.n > 0)
		must_text(o, "detail", e->detail, o->cut < DETAIL_MAX ? o->cut : DETAIL_MAX);
}

static void
put_client(struct out *o, const struct audit_event *e)
{
	char *mark = group(o, "actor");

	text(o, "issuer", e->actor.issuer);
	text(o, "subject", e->actor.subject);
	text(o, "method", e->actor.method);
	group_end(o, mark);
	mark = group(o, "source");
	text(o, "ip", e->source.ip);
	number(o, "port", e->source.port);
	text(o, "peer", e->source.peer);
	group_end(o, mark);
	mark = group(o, "http");
	text(o, "method", e->http.method);
	text(o, "path", e->http.path);
	text(o, "version", e->http.version);
	number(o, "status", e->http.status);
	text(o, "user_agent", e->http.user_agent);
	number(o, "bytes_in", e->http.bytes_in);
	number(o, "bytes_out", e->http.bytes_out);
	group_end(o, mark);
	mark = group(o, "tls");
	text(o, "version", e->tls.version);
	text(o, "cipher", e->tls.cipher);
	text(o, "sni", e->tls.sni);
	group_end(o, mark);
}

static void
put_registry(struct out *o, const struct audit_event *e)
{
	char *mark = group(o, "registry");

	text(o, "upstream", e->registry.upstream);
	text(o, "repository", e->registry.repository);
	text(o, "reference", e->registry.reference);
	text(o, "tag", e->registry.tag);
	text(o, "digest", e->registry.digest);
	text(o, "old_digest", e->registry.old_digest);
	text(o, "media_type", e->registry.media_type);
	group_end(o, mark);
	mark = group(o, "upstream");
	number(o, "status", e->upstream.status);
	number(o, "duration_us", not_negative(e->upstream.duration_us));
	group_end(o, mark);
	put_key(o, "duration_us", "");
	put_number(o, not_negative(e->duration_us));
	text(o, "policy", e->policy);
	text(o, "old_policy", e->old_policy);
}

size_t
event_write(const struct audit_event *e, char *buf, size_t size)
{
	/* only an event made of long hostile texts goes round again, with all of them shorter */
	for (size_t cut = TEXT_MAX; cut >= TEXT_LEAST; cut /= 2) {
		struct out o = { .p = buf, .end = buf + size, .cut = cut };

		put_head(&o, e);
		put_client(&o, e);
		put_registry(&o, e);
		if (!o.full)
			return (size_t)(o.p - buf);
	}
	return 0;
}

void
event_id(int64_t ms, const unsigned char random[static 10], char out[static EVENT_ID_LEN + 1])
{
	static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t t = not_negative(ms) & UINT64_C(0xffffffffffff);
	uint64_t bits = 0;
	unsigned held = 0, from = 0;

	for (unsigned i = 10; i-- > 0; t >>= 5)	/* 48 bits in ten characters */
		out[i] = alphabet[t & 31];
	for (unsigned i = 10; i < EVENT_ID_LEN; i++) {
		while (held < 5) {
			bits = (bits << 8 | random[from++]) & 0xffff;
			held += 8;
		}
		held -= 5;
		out[i] = alphabet[bits >> held & 31];
	}
	out[EVENT_ID_LEN] = '\0';
}
