/*
 * layout.c - see layout.h.
 * Invariant: what is written holds the same names, strings and numbers as what was read, in the tree's order.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/layout.h"

/* ---- reading ---- */

struct reader {
	struct arena *arena;
	const char *p, *end;
};

static void
skip_space(struct reader *r)
{
	while (r->p < r->end && strchr(" \t\r\n", *r->p) != NULL)
		r->p++;
}

static bool
at(struct reader *r, char c)
{
	skip_space(r);
	return r->p < r->end && *r->p == c;
}

static struct span
take_string(struct reader *r)
{
	const char *start = r->p++;

	while (r->p < r->end && *r->p != '"')
		r->p += *r->p == '\\' && r->end - r->p > 1 ? 2 : 1;
	r->p += r->p < r->end;
	return (struct span){ start, (size_t)(r->p - start) };
}

static struct span
take_word(struct reader *r)
{
	const char *start = r->p;

	while (r->p < r->end && strchr(" \t\r\n,:]}", *r->p) == NULL)
		r->p++;
	return (struct span){ start, (size_t)(r->p - start) };
}

static struct node *take_value(struct reader *r);

static struct node *
take_members(struct reader *r, enum node_kind kind, char close)
{
	struct node *out = arena_zalloc(r->arena, 1, sizeof *out), **to = out == NULL ? NULL : &out->first;

	if (out == NULL)
		return NULL;
	out->kind = kind;
	r->p++;
	while (!at(r, close) && r->p < r->end) {
		struct span name = SPAN_NONE;

		if (kind == NODE_OBJECT) {
			name = take_string(r);
			r->p += at(r, ':');
			skip_space(r);
		}
		*to = take_value(r);
		if (*to == NULL)
			return NULL;
		(*to)->name = name;
		to = &(*to)->next;
		out->n++;
		r->p += at(r, ',');
	}
	r->p += r->p < r->end;
	return out;
}

/* Recursion ends where json_strict() bounds the depth. */
static struct node *
take_value(struct reader *r)
{
	struct node *leaf;

	if (at(r, '{'))
		return take_members(r, NODE_OBJECT, '}');
	if (at(r, '['))
		return take_members(r, NODE_ARRAY, ']');
	leaf = arena_zalloc(r->arena, 1, sizeof *leaf);
	if (leaf != NULL)
		leaf->text = at(r, '"') ? take_string(r) : take_word(r);
	return leaf;
}

struct node *
layout_read(struct arena *a, struct span text)
{
	struct reader r = { a, text.p, text.p + text.n };

	return take_value(&r);
}

/* ---- writing ---- */

/* In characters, as an editor counts them. */
static size_t
width_of(struct span s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

/* The widths of a tree on one line, its name with it; what holds something open is open. */
static void
measure(struct node *node)
{
	bool empty = node->first == NULL;

	node->width = node->name.p == NULL ? 0 : width_of(node->name) + 2;
	if (node->kind == NODE_LEAF) {
		node->width += width_of(node->text);
		return;
	}
	/* [a, b] and { a, b } */
	node->width += node->kind == NODE_OBJECT && !empty ? 4 : 2;
	for (struct node *child = node->first; child != NULL; child = child->next) {
		measure(child);
		node->width += child->width + (child->next != NULL ? 2 : 0);
		node->open |= child->open;
	}
	node->open &= !empty;
}

struct writer {
	char *to; /* NULL: only count */
	size_t n, columns;
};

static void
put(struct writer *w, struct span s)
{
	if (w->to != NULL && s.n > 0)
		memcpy(w->to + w->n, s.p, s.n);
	w->n += s.n;
}

static void
new_line(struct writer *w, size_t depth)
{
	put(w, SPAN("\n"));
	for (; depth > 0; depth--)
		put(w, SPAN("  "));
}

static void
write_node(struct writer *w, const struct node *node, size_t depth, bool one_line)
{
	bool object = node->kind == NODE_OBJECT, broken;

	if (node->name.p != NULL) {
		put(w, node->name);
		put(w, SPAN(": "));
	}
	if (node->kind == NODE_LEAF) {
		put(w, node->text);
		return;
	}
	/* with the comma behind it */
	broken = !one_line && (node->open || 2 * depth + node->width + 1 > w->columns) && node->first != NULL;
	put(w, object ? SPAN("{") : SPAN("["));
	if (object && !broken && node->first != NULL)
		put(w, SPAN(" "));
	for (const struct node *child = node->first; child != NULL; child = child->next) {
		if (broken)
			new_line(w, depth + 1);
		write_node(w, child, depth + 1, !broken);
		if (child->next != NULL)
			put(w, broken ? SPAN(",") : SPAN(", "));
	}
	if (broken)
		new_line(w, depth);
	else if (object && node->first != NULL)
		put(w, SPAN(" "));
	put(w, object ? SPAN("}") : SPAN("]"));
}

struct span
layout_write(struct arena *a, struct node *root, size_t columns)
{
	struct writer w = { .columns = columns };

	measure(root);
	write_node(&w, root, 0, false);
	w.to = arena_alloc(a, w.n + 1);
	if (w.to == NULL)
		return SPAN_NONE;
	w.n = 0;
	write_node(&w, root, 0, false);
	put(&w, SPAN("\n"));
	return (struct span){ w.to, w.n };
}
