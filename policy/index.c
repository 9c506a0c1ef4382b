/*
 * index.c - which statements can speak of a request: one bucket a statement, by what is most particular about it.
 * Invariant: a statement that is left out cannot match; one that is offered is still asked.
 *
 * A statement is found by one of
 *   - each of its resources: the whole text, the text before its first wildcard or variable, or that behind its last;
 *   - each of its principals: the whole name, or the text before its first wildcard;
 *   - each value of one StringEquals on a key that is known from the head of a request (but not when near misses are
 *     looked for: they fail by that very value).
 * Which one is chosen when all statements are known: the one whose fullest bucket is the emptiest. A request asks for
 * its resource, the beginnings and ends of it that have a length in use, its principals, and the values of at most
 * EQUALITIES_MAX keys. Keys of buckets are hashes only: two of the same hash share a bucket.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/hash.h"

#define LENGTH_MAX     255u /* of a beginning or an end; a longer one is cut */
#define EQUALITIES_MAX 8u
#define KEYS_MAX       4096u /* buckets of one statement: with more it is found otherwise */

enum tag {
	TAG_WHOLE = 1,
	TAG_PREFIX,
	TAG_SUFFIX,
	TAG_PRINCIPAL,
	TAG_PRINCIPAL_PREFIX,
	TAG_VALUE, /* + number of the equality */
	TAG_VALUE_UNKNOWN = TAG_VALUE + EQUALITIES_MAX,
};

struct entry {
	uint64_t key; /* of its bucket: only while building */
	uint32_t number, actions;
};
struct bucket {
	uint64_t key;
	uint32_t first, n; /* n == 0: free */
};
struct slot {
	uint32_t number, actions;
};
/* Of beginnings or ends that are looked for. */
struct lengths {
	uint64_t bits[LENGTH_MAX / 64 + 1];
	size_t longest;
};
struct index {
	const struct statement *statements;
	struct bucket *buckets;
	size_t mask;
	struct slot *slots;
	struct lengths prefixes, suffixes, principals; /* in use */
	bool by_principals;
	struct key_ref equalities[EQUALITIES_MAX];
	bool used[EQUALITIES_MAX]; /* some statement is found by it */
	size_t n_equalities;
	struct index_stats stats;
};

/* ---- keys of buckets ---- */

static uint64_t
key_of(enum tag tag, uint64_t hash, size_t length)
{
	return hash_mix(hash ^ ((uint64_t)tag << 56) ^ ((uint64_t)length << 40));
}

static uint64_t
beginning_key(enum tag tag, struct span s, size_t length)
{
	uint64_t h = HASH_START;

	for (size_t i = 0; i < length; i++)
		h = hash_byte(h, s.p[i]);
	return key_of(tag, h, length);
}

static uint64_t
prefix_key(struct span s, size_t length)
{
	return beginning_key(TAG_PREFIX, s, length);
}

static uint64_t
suffix_key(struct span s, size_t length)
{
	uint64_t h = HASH_START;

	for (size_t i = 0; i < length; i++)
		h = hash_byte(h, s.p[s.n - 1 - i]);
	return key_of(TAG_SUFFIX, h, length);
}

static void
set_length(struct lengths *l, size_t n)
{
	l->bits[n / 64] |= (uint64_t)1 << (n % 64);
	l->longest = n > l->longest ? n : l->longest;
}

static bool
has_length(const struct lengths *l, size_t n)
{
	return l->bits[n / 64] >> (n % 64) & 1u;
}

static size_t
cut(size_t length)
{
	return length < LENGTH_MAX ? length : LENGTH_MAX;
}

/* ---- building: how full each bucket would be ---- */

struct count {
	uint64_t key;
	uint32_t n;
};
struct builder {
	struct index *x;
	bool deny, values;
	struct count *counts;
	size_t counts_mask, n_counts;
	struct entry *entries;
	size_t n, room;
	bool failed;
};

static struct count *
count_at(struct builder *b, uint64_t key)
{
	size_t i = (size_t)key & b->counts_mask;

	while (b->counts[i].n > 0 && b->counts[i].key != key)
		i = (i + 1) & b->counts_mask;
	return &b->counts[i];
}

static bool
counts_grow(struct builder *b)
{
	struct count *old = b->counts;
	size_t size = b->counts_mask + 1;

	b->counts = calloc(2 * size, sizeof *b->counts);
	if (b->counts == NULL) {
		b->counts = old;
		b->failed = true;
		return false;
	}
	b->counts_mask = 2 * size - 1;
	for (size_t i = 0; i < size; i++)
		if (old[i].n > 0)
			*count_at(b, old[i].key) = old[i];
	free(old);
	return true;
}

static void
count_key(struct builder *b, uint64_t key)
{
	struct count *c;

	if (2 * b->n_counts > b->counts_mask && !counts_grow(b))
		return;
	c = count_at(b, key);
	b->n_counts += c->n == 0;
	c->key = key;
	c->n++;
}

/* ---- the ways to find a statement ---- */

/* Principals that begin with something; never everybody. */
static bool
by_principal(const struct statement *s)
{
	for (size_t i = 0; i < s->n_principals; i++)
		if (pattern_prefix(&s->principals[i]).n == 0)
			return false;
	return s->n_principals > 0 && s->n_principals <= KEYS_MAX && !s->not_principal;
}

static uint64_t
principal_key(const struct pattern *p)
{
	struct span prefix = pattern_prefix(p);

	return pattern_is_literal(p) ? key_of(TAG_PRINCIPAL, hash_span(prefix), 0) :
				       beginning_key(TAG_PRINCIPAL_PREFIX, prefix, cut(prefix.n));
}

static bool
by_value(const struct atom *a)
{
	const struct key_row *key = key_row(a->key.key);

	if (a->row->kind != OPERATOR_STRING || (a->row->flags & (PATTERN_WILDCARDS | PATTERN_NOCASE)) || a->negated ||
	    a->if_exists || a->qualifier != QUALIFIER_NONE || a->sets != 0 || a->n > KEYS_MAX || a->key.key == KEY_OTHER ||
	    key->phase != 1 || key->cardinality == CARDINALITY_MANY)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!pattern_is_literal(&a->patterns[i]))
			return false;
	return a->n > 0;
}

/* The number of an equality, new when there is room; EQUALITIES_MAX: none. */
static size_t
equality_of(struct index *x, const struct key_ref *key)
{
	size_t i = 0;

	while (i < x->n_equalities && (x->equalities[i].key != key->key || !span_eq(x->equalities[i].param, key->param)))
		i++;
	if (i == x->n_equalities && i < EQUALITIES_MAX)
		x->equalities[x->n_equalities++] = *key;
	return i;
}

static uint64_t
value_key(size_t equality, struct span text)
{
	return key_of((enum tag)(TAG_VALUE + equality), hash_span(text), 0);
}

static uint64_t
unknown_key(size_t equality)
{
	return key_of((enum tag)(TAG_VALUE_UNKNOWN + equality), 0, 0);
}

/* Key i of an atom. */
static uint64_t
atom_key(const struct atom *a, size_t equality, size_t i)
{
	return value_key(equality, pattern_prefix(&a->patterns[i]));
}

/* Two ways for one resource: by its beginning, and by its end. A literal has one. */
static size_t
resource_keys(const struct pattern *p, uint64_t keys[static 2])
{
	struct span prefix = pattern_prefix(p), suffix = pattern_suffix(p);

	if (pattern_is_literal(p)) {
		keys[0] = key_of(TAG_WHOLE, hash_span(prefix), 0);
		return 1;
	}
	keys[0] = prefix_key(prefix, cut(prefix.n));
	keys[1] = suffix.n == 0 ? 0 : suffix_key(suffix, cut(suffix.n));
	return suffix.n == 0 ? 1 : 2;
}

/* Nothing in particular: offered always. */
static bool
is_general(const struct statement *s)
{
	return s->n_any_actions > 0 || s->not_resource || s->n_resources == 0 || s->n_resources > KEYS_MAX;
}

static void
count_statement(struct builder *b, const struct statement *s)
{
	uint64_t keys[2];

	if (is_general(s))
		return;
	for (size_t i = 0; i < s->n_resources; i++)
		for (size_t n = resource_keys(&s->resources[i], keys); n > 0; n--)
			count_key(b, keys[n - 1]);
	for (size_t i = 0; i < s->n_principals && by_principal(s); i++)
		count_key(b, principal_key(&s->principals[i]));
	for (size_t i = 0; b->values && i < s->n_atoms; i++) {
		size_t equality = by_value(&s->atoms[i]) ? equality_of(b->x, &s->atoms[i].key) : EQUALITIES_MAX;

		for (size_t k = 0; equality < EQUALITIES_MAX && k < s->atoms[i].n; k++)
			count_key(b, atom_key(&s->atoms[i], equality, k));
	}
}

/* ---- choosing ---- */

static void
add(struct builder *b, const struct statement *s, uint64_t key)
{
	if (b->n == b->room) {
		size_t room = b->room == 0 ? 1024 : 2 * b->room;
		struct entry *grown = reallocarray(b->entries, room, sizeof *grown);

		if (grown == NULL) {
			b->failed = true;
			return;
		}
		b->entries = grown;
		b->room = room;
	}
	b->entries[b->n++] = (struct entry){ key, s->number, s->actions };
}

/* The emptier of a resource's ways. */
static uint64_t
resource_best(struct builder *b, const struct pattern *p, bool *suffix)
{
	uint64_t keys[2];
	size_t n = resource_keys(p, keys);

	*suffix = n == 2 && count_at(b, keys[1])->n < count_at(b, keys[0])->n;
	return keys[*suffix];
}

static uint32_t
resource_cost(struct builder *b, const struct statement *s)
{
	uint32_t worst = 0;

	for (size_t i = 0; i < s->n_resources; i++) {
		bool suffix;
		uint32_t n = count_at(b, resource_best(b, &s->resources[i], &suffix))->n;

		worst = n > worst ? n : worst;
	}
	return worst;
}

static uint32_t
principal_cost(struct builder *b, const struct statement *s)
{
	uint32_t worst = 0;

	for (size_t i = 0; i < s->n_principals; i++) {
		uint32_t n = count_at(b, principal_key(&s->principals[i]))->n;

		worst = n > worst ? n : worst;
	}
	return worst;
}

static uint32_t
atom_cost(struct builder *b, const struct atom *a, size_t equality)
{
	uint32_t worst = 0;

	for (size_t i = 0; i < a->n; i++) {
		uint32_t n = count_at(b, atom_key(a, equality, i))->n;

		worst = n > worst ? n : worst;
	}
	return worst;
}

static void
add_by_resource(struct builder *b, const struct statement *s)
{
	b->x->stats.by_resource++;
	for (size_t i = 0; i < s->n_resources; i++) {
		const struct pattern *p = &s->resources[i];
		bool suffix;

		add(b, s, resource_best(b, p, &suffix));
		if (suffix)
			set_length(&b->x->suffixes, cut(pattern_suffix(p).n));
		else if (!pattern_is_literal(p))
			set_length(&b->x->prefixes, cut(pattern_prefix(p).n));
	}
}

static void
add_by_principal(struct builder *b, const struct statement *s)
{
	b->x->stats.by_principal++;
	b->x->by_principals = true;
	for (size_t i = 0; i < s->n_principals; i++) {
		add(b, s, principal_key(&s->principals[i]));
		if (!pattern_is_literal(&s->principals[i]))
			set_length(&b->x->principals, cut(pattern_prefix(&s->principals[i]).n));
	}
	/* for those who may be in a group without its being known */
	for (size_t i = 0; i < s->n_principals; i++) {
		if (span_starts(pattern_prefix(&s->principals[i]), SPAN("group:"))) {
			add(b, s, key_of(TAG_PRINCIPAL, hash_span(SPAN("group:")), 0));
			break;
		}
	}
}

static void
add_by_value(struct builder *b, const struct statement *s, const struct atom *a, size_t equality)
{
	b->x->stats.by_value++;
	b->x->used[equality] = true;
	for (size_t i = 0; i < a->n; i++)
		add(b, s, atom_key(a, equality, i));
	/* asked when the value cannot be told */
	add(b, s, unknown_key(equality));
}

static void
add_statement(struct builder *b, const struct statement *s)
{
	const struct atom *best = NULL;
	size_t best_equality = 0;
	uint32_t cost;
	bool principal = false;

	if (is_general(s)) {
		set_length(&b->x->prefixes, 0);
		add(b, s, prefix_key(SPAN_NONE, 0));
		return;
	}
	cost = resource_cost(b, s);
	if (by_principal(s) && principal_cost(b, s) < cost) {
		principal = true;
		cost = principal_cost(b, s);
	}
	for (size_t i = 0; b->values && i < s->n_atoms; i++) {
		const struct atom *a = &s->atoms[i];
		size_t equality = by_value(a) ? equality_of(b->x, &a->key) : EQUALITIES_MAX;

		if (equality < EQUALITIES_MAX && atom_cost(b, a, equality) < cost) {
			best = a;
			best_equality = equality;
			cost = atom_cost(b, a, equality);
		}
	}
	if (best != NULL)
		add_by_value(b, s, best, best_equality);
	else if (principal)
		add_by_principal(b, s);
	else
		add_by_resource(b, s);
}

/* ---- the table ---- */

static int
by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static struct bucket *
bucket_at(const struct index *x, uint64_t key)
{
	size_t i = (size_t)key & x->mask;

	while (x->buckets[i].n > 0 && x->buckets[i].key != key)
		i = (i + 1) & x->mask;
	return &x->buckets[i];
}

static bool
fill(struct builder *b, struct arena *a)
{
	struct index *x = b->x;
	size_t size = 16;

	if (b->n > 0)
		qsort(b->entries, b->n, sizeof *b->entries, by_key);
	for (size_t i = 0; i < b->n; i++)
		x->stats.buckets += i == 0 || b->entries[i].key != b->entries[i - 1].key;
	while (size < 2 * x->stats.buckets)
		size *= 2;
	x->mask = size - 1;
	x->buckets = arena_zalloc(a, size, sizeof *x->buckets);
	x->slots = arena_zalloc(a, b->n, sizeof *x->slots);
	if (x->buckets == NULL || x->slots == NULL)
		return false;
	for (size_t i = 0; i < b->n; i++) {
		struct bucket *to = bucket_at(x, b->entries[i].key);

		x->slots[i] = (struct slot){ b->entries[i].number, b->entries[i].actions };
		if (to->n == 0)
			*to = (struct bucket){ .key = b->entries[i].key, .first = (uint32_t)i };
		to->n++;
		x->stats.largest = to->n > x->stats.largest ? to->n : x->stats.largest;
	}
	x->stats.entries = b->n;
	x->stats.always = has_length(&x->prefixes, 0) ? bucket_at(x, prefix_key(SPAN_NONE, 0))->n : 0;
	return true;
}

struct index *
index_build(const struct statement *statements, size_t n, bool deny, bool values, struct arena *a)
{
	struct builder b = { .x = arena_zalloc(a, 1, sizeof *b.x), .deny = deny, .values = values, .counts_mask = 1023 };
	bool ok;

	b.counts = calloc(b.counts_mask + 1, sizeof *b.counts);
	if (b.x == NULL || b.counts == NULL) {
		free(b.counts);
		return NULL;
	}
	b.x->statements = statements;
	for (size_t i = 0; i < n; i++)
		if (statements[i].deny == deny)
			count_statement(&b, &statements[i]);
	for (size_t i = 0; i < n; i++) {
		if (statements[i].deny != deny)
			continue;
		b.x->stats.statements++;
		add_statement(&b, &statements[i]);
	}
	ok = !b.failed && fill(&b, a);
	free(b.counts);
	free(b.entries);
	return ok ? b.x : NULL;
}

/* ---- asking ---- */

struct asking {
	const struct index *x;
	struct evaluation *q;
	uint32_t action; /* its bit */
	index_visit *visit;
	void *ctx;
};

/* In a big bucket memory is what takes time: it is asked for before it is needed. */
#define AHEAD 2
static void
fetch_ahead(const struct statement *s)
{
	__builtin_prefetch(s);
	__builtin_prefetch((const char *)s + 64);
	__builtin_prefetch((const char *)s + 128);
}

static void
offer(const struct asking *a, uint64_t key)
{
	const struct bucket *b = bucket_at(a->x, key);

	for (const struct slot *s = a->x->slots + b->first, *end = s + b->n; s < end; s++) {
		if (s + AHEAD < end)
			fetch_ahead(&a->x->statements[s[AHEAD].number]);
		if ((s->actions & a->action) && !a->visit(a->ctx, &a->x->statements[s->number]))
			return;
	}
}

/* By the beginnings of a text whose length is in use. */
static void
offer_beginnings(const struct asking *a, enum tag tag, const struct lengths *lengths, struct span text)
{
	uint64_t h = HASH_START;
	size_t n = text.n < lengths->longest ? text.n : lengths->longest;

	for (size_t i = 0; i <= n; i++) {
		if (has_length(lengths, i))
			offer(a, key_of(tag, h, i));
		if (i < n)
			h = hash_byte(h, text.p[i]);
	}
}

static void
offer_resource(const struct asking *a, struct span resource)
{
	const struct index *x = a->x;
	uint64_t h = HASH_START;
	size_t n = resource.n < x->suffixes.longest ? resource.n : x->suffixes.longest;

	offer_beginnings(a, TAG_PREFIX, &x->prefixes, resource);
	for (size_t i = 0; i < n; i++) {
		h = hash_byte(h, resource.p[resource.n - 1 - i]);
		if (has_length(&x->suffixes, i + 1))
			offer(a, key_of(TAG_SUFFIX, h, i + 1));
	}
	offer(a, key_of(TAG_WHOLE, hash_span(resource), 0));
}

static void
offer_principals(const struct asking *a, const struct identity *who)
{
	for (size_t i = 0; i < who->n_ids; i++) {
		offer(a, key_of(TAG_PRINCIPAL, hash_span(who->ids[i]), 0));
		if (a->x->principals.longest > 0)
			offer_beginnings(a, TAG_PRINCIPAL_PREFIX, &a->x->principals, who->ids[i]);
	}
	if (who->groups_unknown)
		offer(a, key_of(TAG_PRINCIPAL, hash_span(SPAN("group:")), 0));
}

static void
offer_value(const struct asking *a, size_t equality)
{
	struct value v;
	struct span text;
	char buf[40];

	key_value(a->q, &a->x->equalities[equality], &v);
	if (v.state == FACT_ABSENT)
		return;
	if (v.state == FACT_PRESENT && !v.many && value_at(&v, 0, &text, buf) == FACT_PRESENT)
		offer(a, value_key(equality, text));
	else
		offer(a, unknown_key(equality));
}

void
index_each(const struct index *x, struct evaluation *q, index_visit *visit, void *ctx)
{
	uint32_t action = q->p->bundle->any_vocabulary ? UINT32_MAX : (uint32_t)1 << q->r->action;
	struct asking a = { x, q, action, visit, ctx };

	if (x->stats.entries == 0)
		return;
	offer_resource(&a, q->resource);
	if (x->by_principals)
		offer_principals(&a, q->r->who);
	for (size_t i = 0; i < x->n_equalities; i++)
		if (x->used[i])
			offer_value(&a, i);
}

void
index_stats(const struct index *x, struct index_stats *out)
{
	*out = x->stats;
}

/* ---- how a statement is found, told from the table ---- */

/* Whether the bucket holds the statement. */
static bool
held(const struct index *x, const struct statement *s, uint64_t key, struct index_way *out)
{
	const struct bucket *b = bucket_at(x, key);
	uint32_t low = 0, high = b->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (x->slots[b->first + middle].number < s->number)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == b->n || x->slots[b->first + low].number != s->number)
		return false;
	out->fullest = b->n > out->fullest ? b->n : out->fullest;
	return true;
}

static bool
way_by_value(const struct index *x, const struct statement *s, struct index_way *out)
{
	for (size_t i = 0; i < s->n_atoms; i++) {
		const struct atom *a = &s->atoms[i];
		size_t equality = 0;

		while (equality < x->n_equalities && (x->equalities[equality].key != a->key.key ||
							 !span_eq(x->equalities[equality].param, a->key.param)))
			equality++;
		if (equality == x->n_equalities || !x->used[equality] || !by_value(a) ||
		    !held(x, s, atom_key(a, equality, 0), out))
			continue;
		for (size_t k = 1; k < a->n; k++)
			(void)held(x, s, atom_key(a, equality, k), out);
		out->by = WAY_VALUE;
		out->atom = a;
		return true;
	}
	return false;
}

static void
way_by_resource(const struct index *x, const struct statement *s, struct index_way *out)
{
	out->by = WAY_RESOURCE;
	for (size_t i = 0; i < s->n_resources; i++) {
		const struct pattern *p = &s->resources[i];
		struct span prefix = pattern_prefix(p);
		uint64_t keys[2];
		bool by_end = resource_keys(p, keys) == 2 && held(x, s, keys[1], out);

		if (by_end || !held(x, s, keys[0], out))
			continue;
		if (prefix.n == 0)
			out->by = WAY_ALWAYS;
		out->vague |= span_starts(SPAN("repo:"), prefix) || span_starts(SPAN("registry:"), prefix);
	}
}

void
index_way(const struct index *x, const struct statement *s, struct index_way *out)
{
	*out = (struct index_way){ .by = WAY_ALWAYS };
	if (x->stats.entries == 0 || is_general(s)) {
		out->fullest = x->stats.always;
		return;
	}
	if (way_by_value(x, s, out))
		return;
	if (x->by_principals && by_principal(s) &&
	    held(x, s, principal_key(&s->principals[0]), out)) {
		for (size_t i = 1; i < s->n_principals; i++)
			(void)held(x, s, principal_key(&s->principals[i]), out);
		out->by = WAY_PRINCIPAL;
		return;
	}
	way_by_resource(x, s, out);
}
