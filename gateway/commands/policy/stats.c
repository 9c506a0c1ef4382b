/*
 * stats.c - `tidewaiter policy stats`: what a bundle takes, and what the index makes of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <getopt.h>
#include <time.h>

#include "gateway/commands/policy/tool.h"
#include "policy/stats.h"

static const char usage[] =
    "usage: tidewaiter policy stats -p FILE... [--json]\n"
    "\n"
    "Says what documents that are read together take, and how requests find their statements:\n"
    "  memory of statements, index and regular expressions, and of sets; time to load\n"
    "  buckets of the index: a request is asked only about the statements of the few that fit it\n"
    "  residual statements: those that nearly every request is asked about, why, and what would change that\n"
    "\n"
    "  --json  one JSON object on standard output\n";

static double
seconds(void)
{
	struct timespec t;

	return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? (double)t.tv_sec + (double)t.tv_nsec / 1e9 : 0;
}

/* ---- as JSON ---- */

static json_t *
index_object(const struct index_stats *x)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "statements", (json_int_t)x->statements, "entries",
	    (json_int_t)x->entries, "buckets", (json_int_t)x->buckets, "largest", (json_int_t)x->largest, "always", (json_int_t)x->always,
	    "by_resource", (json_int_t)x->by_resource, "by_principal", (json_int_t)x->by_principal, "by_value", (json_int_t)x->by_value);
}

static json_t *
residual_array(const struct policy *p)
{
	json_t *out = json_array();

	for (size_t i = 0; i < policy_statements(p); i++) {
		const struct statement *s = policy_statement_at(p, i);
		struct residual why;
		json_t *lines;

		if (!statement_residual(p, s, &why))
			continue;
		lines = json_array();
		for (size_t k = 0; k < why.n; k++)
			json_array_append_new(lines, json_string(why.why[k]));
		json_array_append_new(out, json_pack("{s:s%, s:s, s:s, s:i, s:o}", "sid", s->sid.p, s->sid.n, "effect",
		    s->deny ? "Deny" : "Allow", "file", s->document->file, "line", s->line, "why", lines));
	}
	return out;
}

static json_t *
sets_array(const struct policy *p)
{
	json_t *out = json_array();

	for (size_t i = 0; i < p->bundle->n_sets; i++)
		json_array_append_new(out, json_pack("{s:s%, s:s%, s:I, s:I}", "name", p->bundle->sets[i].name.p,
		    p->bundle->sets[i].name.n, "file", p->bundle->sets[i].file.p, p->bundle->sets[i].file.n, "values",
		    (json_int_t)set_size(p->sets[i]), "bytes", (json_int_t)set_bytes(p->sets[i])));
	return out;
}

static json_t *
zones_array(const struct policy *p)
{
	json_t *out = json_array();

	for (size_t i = 0; i < p->bundle->n_zones; i++)
		json_array_append_new(out, json_pack("{s:s%, s:I}", "name", p->bundle->zones[i].name.p, p->bundle->zones[i].name.n,
		    "networks", (json_int_t)p->bundle->zones[i].n));
	return out;
}

static json_t *
whole(const struct policy *p, const struct policy_stats *s, size_t files, double load)
{
	json_t *bytes = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "statements", (json_int_t)s->statement_bytes, "index",
	    (json_int_t)s->index_bytes, "regular_expressions", (json_int_t)s->regex_bytes, "sum", (json_int_t)s->bytes, "each",
	    (json_int_t)s->bytes_each, "sets", (json_int_t)s->set_bytes);
	json_t *indexes = json_pack("{s:o, s:o}", "allow", index_object(&s->index[0]), "deny", index_object(&s->index[1]));

	return json_pack("{s:s, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "hash", policy_hash(p), "files",
	    (json_int_t)files, "load_ms", load * 1e3, "statements", (json_int_t)s->statements, "allow", (json_int_t)s->allow, "deny",
	    (json_int_t)s->deny, "shadow", (json_int_t)s->shadow, "conditions", (json_int_t)s->atoms, "regular_expressions",
	    (json_int_t)s->regexes, "bytes", bytes, "index", indexes, "sets", sets_array(p), "zones", zones_array(p), "residual",
	    residual_array(p));
}

/* ---- for people ---- */

static void
print_index(const char *name, const struct index_stats *x)
{
	printf("%-6s %8zu statements in %zu buckets, the largest of %zu; found by resource %zu, principal %zu, value %zu; always %zu\n",
	    name, x->statements, x->buckets, x->largest, x->by_resource, x->by_principal, x->by_value, x->always);
}

static void
print_residual(const struct policy *p)
{
	size_t n = 0;

	for (size_t i = 0; i < policy_statements(p); i++) {
		const struct statement *s = policy_statement_at(p, i);
		struct residual why;

		if (!statement_residual(p, s, &why))
			continue;
		if (n++ == 0)
			puts("\nNearly every request is asked about these:");
		printf("%s:%d: %.*s (%s)\n", s->document->file, s->line, SPAN_FMT(s->sid), s->deny ? "Deny" : "Allow");
		for (size_t k = 0; k < why.n; k++)
			printf("    %s\n", why.why[k]);
	}
	if (n == 0)
		puts("\nThe index finds every statement by something particular.");
}

static void
print_whole(const struct policy *p, const struct policy_stats *s, size_t files, double load)
{
	printf("%zu statements (%zu Allow, %zu Deny, %zu of them Shadow) with %zu conditions in %zu files, loaded in %.1f ms\n%s\n\n",
	    s->statements, s->allow, s->deny, s->shadow, s->atoms, files, load * 1e3, policy_hash(p));
	printf("memory %zu KiB: statements %zu, index %zu, %zu regular expressions %zu; %zu bytes a statement\n",
	    (s->bytes + 1023) / 1024, (s->statement_bytes + 1023) / 1024, (s->index_bytes + 1023) / 1024, s->regexes,
	    (s->regex_bytes + 1023) / 1024, s->bytes_each);
	printf("sets   %8zu with %zu values, %zu KiB\n", s->sets, s->values, (s->set_bytes + 1023) / 1024);
	printf("zones  %8zu with %zu networks\n", s->zones, s->networks);
	print_index("Allow", &s->index[0]);
	print_index("Deny", &s->index[1]);
	print_residual(p);
}

static int
stats(struct documents *d, struct paths *files, bool json)
{
	double before = seconds();
	struct policy *p = documents_load(d, files->path, files->n);
	double load = seconds() - before;
	struct policy_stats s;
	bool ok = p != NULL;

	if (ok) {
		policy_stats(p, &s);
		if (json)
			ok = tool_print(whole(p, &s, files->n, load));
		else
			print_whole(p, &s, files->n, load);
	}
	policy_unref(p);
	return fflush(stdout) == 0 && ok ? 0 : 1;
}

int
tool_stats(int argc, char **argv)
{
	static const struct option options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct paths files = { .n = 0 };
	struct documents *d;
	bool json = false;
	int opt, status;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "hp:", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(usage, stdout), 0;
		if (opt == 'j')
			json = true;
		else if (opt != 'p' || !paths_add(&files, optarg))
			return fputs(usage, stderr), 2;
	}
	/* -p a -p b, and -p a b */
	for (int i = optind; i < argc; i++)
		if (files.n == 0 || !paths_add(&files, argv[i]))
			return fputs(usage, stderr), 2;
	if (files.n == 0)
		return fputs(usage, stderr), 2;
	d = documents_new(false, LINTING_REPORTED);
	status = d == NULL ? 1 : stats(d, &files, json);
	documents_free(d);
	return status;
}
