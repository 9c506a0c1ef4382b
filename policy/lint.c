/*
 * lint.c - the linter: what a statement says that its author will hardly have meant. Asked of compiled statements, when
 * all documents have been read without an error. Codes and their words are lint.def's.
 *
 * Which keys may be absent is told by key.def: those of the statement's actions that may have it (`on`) and do not have
 * it always. Tag, digest and mount are no gaps when they are absent: the request is of another kind then.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/lint.h"

#include <stdarg.h>
#include <stdio.h>

#include "policy/cover.h"

#define ATOMS_MAX 64u /* of a statement, compared with each other; of one with more nothing is said */
#define BIT(name) ((uint32_t)1 << ACTION_##name)
#define WRITES                                                                                                                     \
	(BIT(PushManifest) | BIT(OverwriteTag) | BIT(AppendReferrer) | BIT(PushBlob) | BIT(MountBlob) | BIT(DeleteManifest) |      \
	    BIT(DeleteTag) | BIT(DeleteBlob))

struct lint {
	const struct bundle *b;
	const struct policy_names *names;
	policy_problem *problem;
	void *ctx;
	struct cover *cover;
	const struct statement *s; /* being looked at */
	const struct document *gate_said; /* W209 was said of this document */
	bool open_blobs; /* some Allow lets blobs be pulled whatever manifest lists them */
	size_t errors;
};

/* fix NULL: that of the row. */
static void PRINTF(5, 6)
say(struct lint *l, enum lint_code code, int line, const char *fix, const char *fmt, ...)
{
	char reason[PATTERN_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof reason, fmt, ap);
	va_end(ap);
	l->errors += lint_row(code)->severity == SEVERITY_ERROR;
	finding_report(l->problem, l->ctx, code, l->s->document->file, line, l->s->sid, reason, fix);
}

/* ---- keys ---- */

/* What a request is of: absent, it is of another kind. */
static bool
is_selector(enum policy_key k)
{
	return k == KEY_REGISTRY_TAG || k == KEY_REGISTRY_DIGEST || k == KEY_REGISTRY_REFERENCE_TYPE || k == KEY_REGISTRY_MOUNT_FROM ||
	    k == KEY_REGISTRY_TAG_EXISTS || k == KEY_REGISTRY_TAG_UNCHANGED;
}

static bool
is_claimed(enum policy_key k)
{
	return k == KEY_CLIENT_USER_AGENT || k == KEY_CLIENT_PRODUCT || k == KEY_CLIENT_VERSION || k == KEY_CLIENT_OS;
}

/* Of the network, the token or the certificate: it tells one caller from another. */
static bool
is_of_caller(enum policy_key k)
{
	return (k >= KEY_PRINCIPAL_IDS && k <= KEY_CERT_DAYS_LEFT) || k == KEY_NET_SOURCE_IP || k == KEY_NET_PEER_IP ||
	    k == KEY_NET_ZONE || k == KEY_NET_CLIENT_CERTIFICATE || (k >= KEY_BREAKGLASS_ACTIVE && k <= KEY_BREAKGLASS_MINUTES_LEFT);
}

/* "corp" of a principal of an issuer, and what stands behind it; empty when it is none. */
static struct span
alias_of(const struct pattern *principal, struct span *name)
{
	static const char *const kinds[] = { "issuer:", "subject:", "group:", "role:" };
	struct span s = principal->source;

	*name = SPAN_NONE;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (span_starts(s, span_of(kinds[i]))) {
			struct span alias = span_skip(s, strlen(kinds[i]));
			const char *slash = alias.n == 0 ? NULL : memchr(alias.p, '/', alias.n);

			if (slash != NULL) {
				*name = span_skip(alias, (size_t)(slash - alias.p) + 1);
				alias.n = (size_t)(slash - alias.p);
			}
			return alias;
		}
	}
	return SPAN_NONE;
}

static bool
all_have_issuer(const struct statement *s)
{
	struct span name;
	size_t i = 0;

	while (i < s->n_principals && alias_of(&s->principals[i], &name).n > 0)
		i++;
	return i == s->n_principals;
}

/* The actions of the statement whose requests may come without the key though they could have it. */
static uint32_t
may_lack(const struct statement *s, const struct atom *a)
{
	const struct key_row *row = key_row(a->key.key);

	if (a->key.key == KEY_PRINCIPAL_ISSUER && all_have_issuer(s))
		return 0;
	return s->actions & row->on & ~row->always;
}

/* Another condition of the statement is false when the key of this one is absent. */
static bool
is_guarded(const struct statement *s, const struct atom *a)
{
	if (s->n_atoms > ATOMS_MAX)
		return true;
	for (size_t i = 0; i < s->n_atoms; i++)
		if (&s->atoms[i] != a && atom_same_key(&s->atoms[i], a) && atom_when_absent(&s->atoms[i]) == TRI_NO)
			return true;
	return false;
}

/* The statement says in so many words that it means requests that have the key. */
static bool
says_present(const struct statement *s, const struct atom *a)
{
	for (size_t i = 0; i < s->n_atoms && s->n_atoms <= ATOMS_MAX; i++)
		if (s->atoms[i].row->kind == OPERATOR_NONE && s->atoms[i].negated && atom_same_key(&s->atoms[i], a))
			return true;
	return s->n_atoms > ATOMS_MAX;
}

static bool
has_key(const struct statement *s, enum policy_key k)
{
	for (size_t i = 0; i < s->n_atoms; i++)
		if (s->atoms[i].key.key == k)
			return true;
	return false;
}

/* ---- a condition of an Allow ---- */

static void
lint_allow_atom(struct lint *l, const struct atom *a)
{
	const struct statement *s = l->s;
	bool empty = a->key.key == KEY_NET_ZONE; /* always known, and often none */
	char fix[PATTERN_MAX + 128];

	if (is_claimed(a->key.key))
		say(l, LINT_W201, a->line, NULL, "Allow depends on %.*s, which every client sets as it likes", SPAN_FMT(a->name));
	if (a->row->kind == OPERATOR_NONE || atom_when_absent(a) == TRI_NO || is_guarded(s, a))
		return;
	snprintf(fix, sizeof fix, "write Null {\"%.*s\": \"false\"} beside it", SPAN_FMT(a->name));
	if (a->qualifier == QUALIFIER_ALL) {
		if (empty || may_lack(s, a) != 0)
			say(l, LINT_E107, a->line, fix, "%.*s is true of %.*s when it has no value at all: this Allow lets such requests in",
			    SPAN_FMT(a->op), SPAN_FMT(a->name));
	} else if (may_lack(s, a) != 0 && !is_selector(a->key.key)) {
		say(l, LINT_E109, a->line, fix, "%.*s is true when the optional key %.*s is absent: this Allow lets such requests in",
		    SPAN_FMT(a->op), SPAN_FMT(a->name));
	}
}

/* ---- a condition of a Deny ---- */

/* Manifests are had by digest as well. */
static void
lint_tag_deny(struct lint *l, const struct atom *a)
{
	uint32_t digest = l->s->actions & (BIT(PullManifest) | BIT(DeleteManifest));

	/* asked of each tag that would go with a manifest */
	if (l->s->actions & BIT(OverwriteTag))
		digest &= ~BIT(DeleteManifest);
	if (digest == 0 || says_present(l->s, a) || cover_of_absence(l->cover, l->s, a, digest))
		return;
	say(l, LINT_W205, a->line, NULL, "Deny by %.*s does not reach the same manifest when it is %s by its digest", SPAN_FMT(a->name),
	    digest == BIT(DeleteManifest) ? "deleted" : digest == BIT(PullManifest) ? "pulled" : "pulled or deleted");
}

static void
lint_deny_atom(struct lint *l, const struct atom *a)
{
	const struct statement *s = l->s;
	uint32_t lack = may_lack(s, a);
	bool name = is_claimed(a->key.key) && a->key.key != KEY_CLIENT_VERSION;
	char fix[2 * PATTERN_MAX + 256];

	if (a->row->kind == OPERATOR_NONE || atom_when_absent(a) == TRI_YES)
		return;
	if (a->key.key == KEY_REGISTRY_TAG)
		lint_tag_deny(l, a);
	/* which client is meant, not what is asked of it */
	if (lack == 0 || is_selector(a->key.key) || (name && has_key(s, KEY_CLIENT_VERSION)))
		return;
	if (says_present(s, a) || cover_of_absence(l->cover, s, a, lack))
		return;
	snprintf(fix, sizeof fix, "add a Deny with Null {\"%.*s\": \"true\"} for the same callers, actions and resources; or, where only "
	    "requests that have it are meant, say so here with Null {\"%.*s\": \"false\"}", SPAN_FMT(a->name), SPAN_FMT(a->name));
	if (name)
		say(l, LINT_W204, a->line, fix, "Deny by %.*s does not apply to a client that does not send it", SPAN_FMT(a->name));
	else
		say(l, LINT_E108, a->line, fix, "Deny on optional key %.*s does not apply when the key is absent: %.*s is false then",
		    SPAN_FMT(a->name), SPAN_FMT(a->op));
}

/* ---- any condition ---- */

static void
lint_regexes(struct lint *l, const struct atom *a)
{
	for (size_t i = 0; i < a->n_values && a->row->kind == OPERATOR_REGEX; i++)
		if (regex_repeats_repetition(a->values[i]))
			say(l, LINT_W206, a->line, NULL, "\"%.*s\" repeats a repetition: some texts take it too long to judge",
			    SPAN_FMT(a->values[i]));
}

static void
lint_networks(struct lint *l, const struct atom *a)
{
	for (size_t i = 0; i < a->n && a->row->kind == OPERATOR_IP; i++)
		if (a->networks[i].bits == 0)
			say(l, LINT_W214, a->line, NULL, "%.*s is every address", SPAN_FMT(a->values[i]));
}

static void
lint_atoms(struct lint *l)
{
	for (size_t i = 0; i < l->s->n_atoms; i++) {
		const struct atom *a = &l->s->atoms[i];

		if ((l->s->actions & key_row(a->key.key)->on) == 0)
			say(l, LINT_W213, a->line, NULL, "no request of these actions has %.*s: this condition is always %s", SPAN_FMT(a->name),
			    atom_when_absent(a) == TRI_YES ? "true" : "false");
		else if (l->s->deny)
			lint_deny_atom(l, a);
		else
			lint_allow_atom(l, a);
		lint_regexes(l, a);
		lint_networks(l, a);
	}
}

/* ---- conditions against each other ---- */

/* From where to where a number may lie; a bound that is not given is NULL. */
struct range {
	const struct number *low, *high;
	bool open; /* without the bounds themselves */
};

static struct range
range_of(const struct atom *a)
{
	const struct number *least = a->numbers, *most = a->numbers;

	for (size_t i = 1; i < a->n; i++) {
		if (number_compare(&a->numbers[i], least) < 0)
			least = &a->numbers[i];
		if (number_compare(&a->numbers[i], most) > 0)
			most = &a->numbers[i];
	}
	switch (a->row->compare) {
	case COMPARE_EQUAL:
		return (struct range){ least, most, false };
	case COMPARE_LESS:
	case COMPARE_LESS_EQUAL:
		return (struct range){ NULL, most, a->row->compare == COMPARE_LESS };
	case COMPARE_GREATER:
	case COMPARE_GREATER_EQUAL:
		return (struct range){ least, NULL, a->row->compare == COMPARE_GREATER };
	}
	return (struct range){ NULL, NULL, false };
}

static bool
lies_below(const struct range *a, const struct range *b)
{
	int order = a->high == NULL || b->low == NULL ? -1 : number_compare(b->low, a->high);

	return order > 0 || (order == 0 && (a->open || b->open));
}

static bool
ranges_exclude(const struct atom *a, const struct atom *b)
{
	struct range x, y;

	if (a->row->kind != b->row->kind || (a->row->kind != OPERATOR_NUMBER && a->row->kind != OPERATOR_DATE))
		return false;
	if (a->negated || b->negated || a->qualifier != QUALIFIER_NONE || b->qualifier != QUALIFIER_NONE || a->if_exists || b->if_exists)
		return false;
	x = range_of(a);
	y = range_of(b);
	return lies_below(&x, &y) || lies_below(&y, &x);
}

/* Exactly these texts and no others. */
static bool
is_plain(const struct atom *a)
{
	return a->row->kind == OPERATOR_STRING && a->row->flags == PATTERN_VARIABLES && a->sets == 0 && a->qualifier == QUALIFIER_NONE &&
	    !a->if_exists && a->n <= ATOMS_MAX;
}

/* a: one of these texts; b: none of these. */
static bool
texts_exclude(const struct atom *a, const struct atom *b)
{
	if (!is_plain(a) || !is_plain(b) || a->negated || !b->negated)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		size_t k = 0;

		while (k < b->n && !span_eq(a->patterns[i].source, b->patterns[k].source))
			k++;
		if (k == b->n)
			return false;
	}
	return true;
}

/* a: absent; b: some value. */
static bool
absence_excludes(const struct atom *a, const struct atom *b)
{
	return a->row->kind == OPERATOR_NONE && !a->negated && atom_when_absent(b) == TRI_NO;
}

static void
lint_contradictions(struct lint *l)
{
	const struct statement *s = l->s;

	for (size_t i = 0; i < s->n_atoms && s->n_atoms <= ATOMS_MAX; i++) {
		for (size_t k = 0; k < s->n_atoms; k++) {
			const struct atom *a = &s->atoms[i], *b = &s->atoms[k];

			if (i == k || !atom_same_key(a, b))
				continue;
			if (absence_excludes(a, b) || texts_exclude(a, b) || (i < k && ranges_exclude(a, b)))
				say(l, LINT_W212, b->line, NULL, "%.*s and %.*s are never both true of %.*s: this statement matches nothing",
				    SPAN_FMT(a->op), SPAN_FMT(b->op), SPAN_FMT(a->name));
		}
	}
}

/* ---- resources ---- */

static bool
is_declared(const struct part *part)
{
	const struct claim_row *claim = part->key.key == KEY_JWT ? claim_row(part->key.param) : NULL;

	/* what nobody knows is taken for one segment, and looked at when it is put in */
	return part->path || part->segment || (part->key.key == KEY_JWT ? claim == NULL || claim->shape != SHAPE_TEXT :
									  key_row(part->key.key)->phase == 1 && !is_claimed(part->key.key));
}

static void
lint_resource(struct lint *l, const struct pattern *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct part *part = &p->parts[i];

		if (part->kind != PART_VARIABLE)
			continue;
		if (!l->s->deny && is_claimed(part->key.key))
			say(l, LINT_W201, l->s->line, NULL, "Allow depends on %s, which every client sets as it likes", key_row(part->key.key)->name);
		if (!is_declared(part))
			say(l, LINT_E116, l->s->line, NULL, "\"%.*s\": %s%.*s may hold anything", SPAN_FMT(p->source),
			    key_row(part->key.key)->name, SPAN_FMT(part->key.param));
		if (!l->s->deny && i + 1 < p->n && (p->parts[i + 1].kind == PART_ANY || p->parts[i + 1].kind == PART_ONE))
			say(l, LINT_W203, l->s->line, NULL, "\"%.*s\" allows the repositories of every name that begins with the value, too",
			    SPAN_FMT(p->source));
	}
}

static void
lint_resources(struct lint *l)
{
	for (size_t i = 0; i < l->s->n_resources; i++)
		if (l->s->resources[i].variables)
			lint_resource(l, &l->s->resources[i]);
}

/* ---- who ---- */

/* Issuers whose tokens anybody can have, and what such an issuer is mostly called where its URL is not known. */
static const struct {
	const char *url, *alias;
} public_issuers[] = {
	{ "https://token.actions.githubusercontent.com", "github" },
	{ "https://gitlab.com", "gitlab" },
};

/* Claims that say whose workflow or project it is. */
static const char *const owner_claims[] = { "sub", "repository", "repository_id", "repository_owner", "repository_owner_id", "enterprise",
	"enterprise_id", "job_workflow_ref", "workflow_ref", "project_path", "project_id", "namespace_path", "namespace_id",
	"ci_config_ref_uri" };

static const char *
url_of(const struct policy_names *names, struct span alias)
{
	for (size_t i = 0; i < names->n_issuers && names->issuers != NULL && names->issuer_urls != NULL; i++)
		if (span_eq(span_of(names->issuers[i]), alias))
			return names->issuer_urls[i];
	return NULL;
}

static bool
is_public(const struct policy_names *names, struct span alias)
{
	const char *url = url_of(names, alias);

	for (size_t i = 0; i < sizeof public_issuers / sizeof *public_issuers; i++) {
		struct span known = span_of(public_issuers[i].url), name = span_of(public_issuers[i].alias), head = alias;

		if (url != NULL && span_starts(span_of(url), known) && (url[known.n] == '\0' || strcmp(url + known.n, "/") == 0))
			return true;
		head.n = head.n < name.n ? head.n : name.n;
		if (url == NULL && span_eq_nocase(head, name))
			return true;
	}
	return false;
}

/* "repo:acme/" and more: something is fixed behind the first colon, or all of it is. */
static bool
subject_is_pinned(struct span name)
{
	size_t fixed = 0;
	const char *colon;

	while (fixed < name.n && name.p[fixed] != '*' && name.p[fixed] != '?')
		fixed++;
	colon = fixed == 0 ? NULL : memchr(name.p, ':', fixed);
	return name.n > 0 && (fixed == name.n || (colon != NULL && colon + 1 < name.p + fixed));
}

/* A condition that only the tokens of some owners can meet. */
static bool
pins_owner(const struct atom *a)
{
	if (a->key.key != KEY_JWT || atom_when_absent(a) == TRI_YES || a->negated)
		return false;
	for (size_t i = 0; i < sizeof owner_claims / sizeof *owner_claims; i++) {
		if (!span_eq(a->key.param, span_of(owner_claims[i])))
			continue;
		for (size_t k = 0; k < a->n && a->row->kind == OPERATOR_STRING; k++)
			if (a->patterns[k].n > 0 && pattern_prefix(&a->patterns[k]).n == 0)
				return false; /* "*" */
		return a->row->kind != OPERATOR_NONE;
	}
	return false;
}

static bool
pins_issuer(const struct atom *a)
{
	return (a->key.key == KEY_PRINCIPAL_ISSUER || a->key.key == KEY_PRINCIPAL_IDS) && a->row->kind == OPERATOR_STRING && !a->negated &&
	    atom_when_absent(a) == TRI_NO;
}

static bool
some_atom(const struct statement *s, bool (*is)(const struct atom *a))
{
	for (size_t i = 0; i < s->n_atoms; i++)
		if (is(&s->atoms[i]))
			return true;
	return false;
}

/* A claim that the statement depends on; empty: none. */
static struct span
claim_used(const struct statement *s)
{
	for (size_t i = 0; i < s->n_atoms; i++)
		if (s->atoms[i].key.key == KEY_JWT)
			return s->atoms[i].key.param;
	for (size_t i = 0; i < s->n_resources; i++)
		for (size_t k = 0; k < s->resources[i].n; k++)
			if (s->resources[i].parts[k].kind == PART_VARIABLE && s->resources[i].parts[k].key.key == KEY_JWT)
				return s->resources[i].parts[k].key.param;
	return SPAN_NONE;
}

static void
lint_issuers(struct lint *l)
{
	const struct statement *s = l->s;
	struct span claim = claim_used(s);

	for (size_t i = 0; i < s->n_principals; i++) {
		struct span name, alias = alias_of(&s->principals[i], &name);

		if (span_eq(s->principals[i].source, SPAN("*")) && claim.n > 0 && !some_atom(s, pins_issuer)) {
			say(l, LINT_E114, s->line, NULL, "Allow trusts the claim %.*s of whatever issuer: a claim means something only together "
			    "with its issuer", SPAN_FMT(claim));
			return;
		}
		if (alias.n == 0 || span_starts(s->principals[i].source, SPAN("group:")) ||
		    span_starts(s->principals[i].source, SPAN("role:")))
			continue;
		if (is_public(l->names, alias) && !subject_is_pinned(name) && !some_atom(s, pins_owner)) {
			say(l, LINT_E114, s->line, NULL, "Allow lets in the workflows of anybody: \"%.*s\" is every customer of a public service",
			    SPAN_FMT(s->principals[i].source));
			return;
		}
	}
}

static bool
narrows_caller(const struct atom *a)
{
	return is_of_caller(a->key.key) && atom_when_absent(a) == TRI_NO;
}

static void
lint_anybody(struct lint *l)
{
	const struct statement *s = l->s;
	bool all = false, anonymous = false;

	for (size_t i = 0; i < s->n_principals; i++) {
		all |= span_eq(s->principals[i].source, SPAN("*"));
		anonymous |= span_eq(s->principals[i].source, SPAN("anonymous"));
	}
	if (all && s->n_principals > 1)
		say(l, LINT_W215, s->line, NULL, "Principal names others beside *, which is everybody");
	if (s->deny || !(all || anonymous) || (s->actions & WRITES) == 0 || some_atom(s, narrows_caller))
		return;
	say(l, LINT_W207, s->line, NULL, "Allow of %s by %s, whoever it is",
	    (s->actions & (WRITES & ~(BIT(DeleteManifest) | BIT(DeleteTag) | BIT(DeleteBlob)))) != 0 ? "pushes" : "deletes",
	    all ? "everybody" : "anonymous callers");
}

/* ---- tags and gates ---- */

/* "sha256-..." is written out among the tags that may be overwritten. */
static void
lint_overwrite(struct lint *l)
{
	for (size_t i = 0; i < l->s->n_atoms; i++) {
		const struct atom *a = &l->s->atoms[i];

		if (a->key.key != KEY_REGISTRY_TAG || a->negated || !(l->s->actions & BIT(OverwriteTag)))
			continue;
		for (size_t k = 0; k < a->n_values; k++) {
			if (!span_starts(a->values[k], SPAN("sha256-")))
				continue;
			say(l, LINT_W208, a->line, NULL, "OverwriteTag of \"%.*s\": who has it can take signatures away", SPAN_FMT(a->values[k]));
			break;
		}
	}
}

static bool
judges_image(const struct atom *a)
{
	return a->key.key >= KEY_SCAN_STATUS && a->key.key <= KEY_SBOM_PRESENT;
}

/* Once a document: the statement is one of several, mostly. */
static void
lint_gate(struct lint *l)
{
	const struct statement *s = l->s;

	if (!s->deny || s->shadow || !(s->actions & BIT(PullManifest)) || !l->open_blobs || l->gate_said == s->document ||
	    !some_atom(s, judges_image) || cover_by_key(l->cover, s, KEY_REGISTRY_BLOB_GRANTED, BIT(PullBlob)))
		return;
	l->gate_said = s->document;
	say(l, LINT_W209, s->line, NULL, "Deny judges manifests; the blobs of an image it refuses can still be pulled by their digest");
}

/* What has to be found out about an image, or about a tag. */
static bool
has_to_be_found(const struct atom *a)
{
	return key_row(a->key.key)->phase >= 2;
}

static void
lint_evidence(struct lint *l)
{
	const struct statement *s = l->s;
	bool asks = some_atom(s, has_to_be_found);

	if ((s->stale != 0 || s->on_push != ON_PUSH_STAGE) && !asks)
		say(l, LINT_W216, s->line, NULL, "%s has no use here", s->stale != 0 ? "OnUnknown" : "OnPush");
	if (s->open && s->deny && asks)
		say(l, LINT_W217, s->line, NULL, "OnUnknown is allow: whoever keeps the evidence from being learned is let through");
}

static void
lint_life(struct lint *l)
{
	const struct statement *s = l->s;
	const struct statement *deny = s->deny || s->shadow ? NULL : cover_whole(l->cover, s, s->actions);

	if (s->expires != 0 && l->names->now != 0 && s->expires <= l->names->now)
		say(l, LINT_W210, s->line, NULL, "the statement has expired");
	if (deny != NULL)
		say(l, LINT_W211, s->line, NULL, "the Deny %.*s (%s:%d) refuses all that this allows", SPAN_FMT(deny->sid), deny->document->file,
		    deny->line);
}

/* ---- all of it ---- */

static void
lint_statement(struct lint *l)
{
	lint_atoms(l);
	lint_evidence(l);
	lint_contradictions(l);
	lint_resources(l);
	if (!l->s->deny) {
		lint_issuers(l);
		lint_overwrite(l);
	}
	lint_anybody(l);
	lint_gate(l);
	lint_life(l);
}

size_t
lint_bundle(const struct bundle *b, const struct policy_names *names, policy_problem *problem, void *ctx)
{
	struct lint l = { .b = b, .names = names, .problem = problem, .ctx = ctx, .cover = cover_new(b) };

	if (l.cover == NULL) {
		finding_report(problem, ctx, LINT_E100, "policy", 1, SPAN_NONE, "out of memory", NULL);
		return 1;
	}
	for (size_t i = 0; i < b->n; i++)
		l.open_blobs |= !b->statements[i].deny && (b->statements[i].actions & BIT(PullBlob)) != 0 &&
		    !has_key(&b->statements[i], KEY_REGISTRY_BLOB_GRANTED);
	for (size_t i = 0; i < b->n; i++) {
		l.s = &b->statements[i];
		lint_statement(&l);
	}
	cover_free(l.cover);
	return l.errors;
}
