/*
 * event.c - one event as JSON, by hand: no allocation, no printf, no locale.
 * Invariant: what is written is printable ASCII and never more than the buffer holds; a line that did not fit is none.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/audit/event.h"

#include "policy/json_write.h"

#define TEXT_MAX	1024u
#define TEXT_LEAST	128u	/* with every text at this length, all of it escaped, EVENT_MAX is enough */
#define DETAIL_MAX	512u
#define LAST_SECOND	INT64_C(253402300799)	/* 9999-12-31T23:59:59Z: four digits for the year */

struct out {
	struct json_writer w;
	size_t cut;		/* texts are cut here */
};

#define PUT(o, lit)	json_write_bytes(&(o)->w, (lit), sizeof(lit) - 1)

/* ---- time ---- */

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
	json_write_bytes(&o->w, text, sizeof text - 1);
}

/* ---- members ---- */

static void
must_text(struct out *o, const char *key, struct span s, size_t cut)
{
	char length[24];
	size_t n = strlen(key);

	json_write_key(&o->w, key);
	json_write_text(&o->w, s, cut);
	if (s.n <= cut || n + sizeof "_length" > sizeof length)
		return;
	memcpy(length, key, n);
	memcpy(length + n, "_length", sizeof "_length");
	json_write_key(&o->w, length);
	json_write_number(&o->w, s.n);
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
	json_write_key(&o->w, key);
	json_write_number(&o->w, v);
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
	char *mark = o->w.p;

	json_write_key(&o->w, key);
	json_write_open(&o->w, '{');
	return mark;
}

static void
group_end(struct out *o, char *mark)
{
	if (!o->w.comma)
		o->w.p = mark;
	else
		json_write_close(&o->w, '}');
	o->w.comma = true;
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
	o->w.comma = true;
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
	mark = group(o, "token");
	text(o, "id", e->token.id);
	text(o, "scope", e->token.scope);
	group_end(o, mark);
	mark = group(o, "upstream");
	number(o, "status", e->upstream.status);
	number(o, "duration_us", not_negative(e->upstream.duration_us));
	group_end(o, mark);
	json_write_key(&o->w, "duration_us");
	json_write_number(&o->w, not_negative(e->duration_us));
	text(o, "policy", e->policy);
	text(o, "old_policy", e->old_policy);
	if (e->record.n > 0) {
		json_write_key(&o->w, "policy_record");
		json_write_bytes(&o->w, e->record.p, e->record.n);
	}
}

size_t
event_write(const struct audit_event *e, char *buf, size_t size)
{
	/* only an event made of long hostile texts goes round again, with all of them shorter */
	for (size_t cut = TEXT_MAX; cut >= TEXT_LEAST; cut /= 2) {
		struct out o = { .w = { .p = buf, .end = buf + size }, .cut = cut };

		put_head(&o, e);
		put_client(&o, e);
		put_registry(&o, e);
		if (!o.w.full)
			return (size_t)(o.w.p - buf);
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
