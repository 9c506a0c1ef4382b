/*
 * log.c - see log.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/commands/policy/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/commands/policy/tool.h"

/* ---- reading ---- */

bool
log_option(struct log *l, int opt, const char *value)
{
	l->reader.progress = isatty(STDERR_FILENO) == 1;
	if (opt == 'a')
		l->reader.path = value;
	else if (opt == 'j')
		l->json = true;
	else if (opt == 's')
		return tool_date(value, &l->reader.since);
	else if (opt == 'u')
		return tool_date(value, &l->reader.until);
	else
		return false;
	return true;
}

struct reading {
	struct log *log;
	log_event *each;
	void *ctx;
	uint64_t broken;
};

static void
note_time(struct log *l, const char *time)
{
	if (l->first[0] == '\0' || strcmp(time, l->first) < 0)
		snprintf(l->first, sizeof l->first, "%s", time);
	if (strcmp(time, l->last) > 0)
		snprintf(l->last, sizeof l->last, "%s", time);
}

static bool
on_line(void *ctx, struct span line)
{
	struct reading *g = ctx;
	json_t *event;
	bool more;

	if (g->log->only != NULL && memmem(line.p, line.n, g->log->only, strlen(g->log->only)) == NULL)
		return true;
	/* the log keeps hostile texts as they were: a NUL in one is no reason to lose the event */
	event = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	if (event == NULL) {
		g->broken++;
		return true;
	}
	g->log->events++;
	note_time(g->log, log_text(event, "time", NULL));
	more = g->each(g->ctx, event);
	json_decref(event);
	return more;
}

bool
log_read(struct log *l, const char *tool, log_event *each, void *ctx)
{
	struct reading g = { .log = l, .each = each, .ctx = ctx };
	char err[512];
	bool ok = audit_read(&l->reader, on_line, &g, err, sizeof err);

	if (!ok)
		fprintf(stderr, "tidewaiter policy %s: %s\n", tool, err);
	g.broken += l->reader.broken;
	if (g.broken > 0)
		fprintf(stderr, "tidewaiter policy %s: %" PRIu64 " lines are no events: see tidewaiter audit verify\n", tool, g.broken);
	return ok;
}

/* ---- looking at an event ---- */

const char *
log_text(const json_t *o, const char *member, ...)
{
	va_list ap;
	const char *text;

	va_start(ap, member);
	for (; member != NULL; member = va_arg(ap, const char *))
		o = json_object_get(o, member);
	va_end(ap);
	text = json_string_value(o);
	return text == NULL ? "" : text;
}

const char *
log_identity(const json_t *event, char *buf, size_t size)
{
	const char *issuer = log_text(event, "actor", "issuer", NULL), *subject = log_text(event, "actor", "subject", NULL);

	snprintf(buf, size, "%s%s%s", issuer, *issuer == '\0' ? "" : "/", *subject == '\0' ? "nobody" : subject);
	return buf;
}

const json_t *
log_record(const json_t *event, size_t i)
{
	const json_t *record = json_object_get(event, "policy_record");

	return i == 0 ? record : json_array_get(json_object_get(record, "also"), i - 1);
}

/* ---- asking again ---- */

static void
add_text(json_t *context, const char *key, const char *text)
{
	json_object_set_new(context, key, *text == '\0' ? json_null() : json_string(text));
}

/* What every event says of its connection; texts that were cut say nothing. */
static json_t *
context_of(const json_t *event)
{
	const json_t *http = json_object_get(event, "http"), *actor = json_object_get(event, "actor");
	const char *ip = log_text(event, "source", "ip", NULL), *peer = log_text(event, "source", "peer", NULL);
	json_t *c = json_object();

	if (*ip != '\0') {
		add_text(c, "net:SourceIp", ip);
		add_text(c, "net:PeerIp", *peer == '\0' ? ip : peer);
		json_object_set_new(c, "net:ViaTrustedProxy", json_boolean(*peer != '\0'));
	}
	if (json_object_get(http, "user_agent_length") == NULL)
		add_text(c, "client:UserAgent", log_text(http, "user_agent", NULL));
	add_text(c, "net:TlsVersion", log_text(event, "tls", "version", NULL));
	add_text(c, "net:TlsCipher", log_text(event, "tls", "cipher", NULL));
	if (json_object_get(json_object_get(event, "tls"), "sni_length") == NULL)
		add_text(c, "net:Sni", log_text(event, "tls", "sni", NULL));
	if (*log_text(actor, "issuer", NULL) != '\0' && json_object_get(actor, "subject_length") == NULL &&
	    strcmp(log_text(actor, "method", NULL), "certificate") != 0)
		add_text(c, "jwt:sub", log_text(actor, "subject", NULL));
	return c;
}

static bool
was_cut(const json_t *record, const char *member)
{
	const json_t *v;
	size_t i;

	json_array_foreach (json_object_get(record, "cut"), i, v)
		if (strcmp(json_string_value(v) == NULL ? "" : json_string_value(v), member) == 0)
			return true;
	return false;
}

json_t *
log_request(const json_t *event, size_t i)
{
	const json_t *main = log_record(event, 0), *record = log_record(event, i);
	json_t *context;

	if (record == NULL || was_cut(main, "principal"))
		return NULL;
	context = context_of(event);
	json_object_update(context, json_object_get(main, "context"));
	if (record != main)
		json_object_update(context, json_object_get(record, "context"));
	return json_pack("{s:O, s:O, s:O, s:o}", "principal", json_object_get(main, "principal"), "action",
	    json_object_get(record, "action"), "resource", json_object_get(record, "resource"), "context", context);
}
