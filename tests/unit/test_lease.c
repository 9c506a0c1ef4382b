/*
 * test_lease.c - upload leases: what is sealed opens for the same repository, key and time, and for nothing else.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/registry/lease.h"
#include "tests/unit/check.h"

#define NOW 1700000000

static const char secret_a[] = "0123456789abcdef0123456789abcdef", secret_b[] = "another secret of thirty-two byte";
static const unsigned char nonce[LEASE_NONCE] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };

static struct lease_keys *
keys(const char *one, const char *two)
{
	struct span secrets[] = { span_of(one), span_of(two) };

	return lease_keys_new(secrets, two == NULL ? 1 : 2);
}

static struct lease
sample(void)
{
	struct lease l = { .expires = NOW + 100, .upstream = SPAN("up"), .origin = SPAN("https://harbor.internal"),
		.url = SPAN("https://harbor.internal/v2/a/b/blobs/uploads/1?_state=xyz%3D") };

	CHECK(lease_holder(SPAN("gh"), SPAN("ci"), l.holder));
	return l;
}

static bool
opens(const struct lease_keys *k, struct span text, const char *repository, int64_t now)
{
	struct arena *a = arena_new(1 << 20);
	struct lease out;
	bool ok = lease_open(k, text, span_of(repository), now, a, &out);

	arena_free(a);
	return ok;
}

static void
test_round(struct arena *a)
{
	struct lease_keys *k = keys(secret_a, NULL);
	struct lease l = sample(), out;
	struct span text = lease_seal(k, &l, SPAN("a/b"), nonce, a);

	CHECK(text.p != NULL && text.n <= LEASE_MAX);
	for (size_t i = 0; i < text.n; i++)
		CHECK((text.p[i] >= '0' && text.p[i] <= '9') || (ascii_lower(text.p[i]) >= 'a' && ascii_lower(text.p[i]) <= 'z') ||
		    text.p[i] == '-' || text.p[i] == '_');
	CHECK(memmem(text.p, text.n, "harbor", 6) == NULL);
	CHECK(lease_open(k, text, SPAN("a/b"), NOW, a, &out));
	CHECK(out.expires == l.expires && span_eq(out.upstream, l.upstream) && span_eq(out.origin, l.origin));
	CHECK(span_eq(out.url, l.url) && memcmp(out.holder, l.holder, LEASE_HOLDER) == 0);
	CHECK(opens(k, text, "a/b", NOW + 99) && !opens(k, text, "a/b", NOW + 100));
	CHECK(!opens(k, text, "a/c", NOW) && !opens(k, text, "a", NOW) && !opens(k, text, "", NOW));
	lease_keys_free(k);
}

/* Every bit, every length. */
static void
test_changes(struct arena *a)
{
	struct lease_keys *k = keys(secret_a, NULL);
	struct lease l = sample();
	struct span text = lease_seal(k, &l, SPAN("a/b"), nonce, a);
	char *copy = arena_alloc(a, text.n + 2);
	size_t opened = 0;

	for (size_t i = 0; i < text.n; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(copy, text.p, text.n);
			copy[i] = (char)(copy[i] ^ (1 << bit));
			opened += opens(k, (struct span){ copy, text.n }, "a/b", NOW);
		}
	}
	for (size_t n = 0; n < text.n; n++)
		opened += opens(k, (struct span){ text.p, n }, "a/b", NOW);
	memcpy(copy, text.p, text.n);
	memcpy(copy + text.n, "AA", 2);
	opened += opens(k, (struct span){ copy, text.n + 1 }, "a/b", NOW) + opens(k, (struct span){ copy, text.n + 2 }, "a/b", NOW);
	opened += opens(k, SPAN_NONE, "a/b", NOW);
	CHECK(opened == 0);
	lease_keys_free(k);
}

static void
test_keys(struct arena *a)
{
	struct lease_keys *old = keys(secret_a, NULL), *both = keys(secret_b, secret_a), *new = keys(secret_b, NULL);
	struct lease l = sample();
	struct span by_old = lease_seal(old, &l, SPAN("a/b"), nonce, a), by_both = lease_seal(both, &l, SPAN("a/b"), nonce, a);
	struct span five[] = { SPAN(secret_a), SPAN(secret_a), SPAN(secret_a), SPAN(secret_a), SPAN(secret_a) };

	CHECK(opens(both, by_old, "a/b", NOW) && !opens(new, by_old, "a/b", NOW));	/* the old key opens as long as it is there */
	CHECK(opens(new, by_both, "a/b", NOW) && !opens(old, by_both, "a/b", NOW));	/* the first one seals */
	CHECK(keys("0123456789abcdef0123456789abcde", NULL) == NULL);	/* 31 bytes */
	CHECK(lease_keys_new(NULL, 0) == NULL && lease_keys_new(five, 5) == NULL);
	lease_keys_free(old);
	lease_keys_free(both);
	lease_keys_free(new);
	lease_keys_free(NULL);
}

static void
test_bounds(struct arena *a)
{
	static char url[LEASE_URL_MAX + 2];
	struct lease_keys *k = keys(secret_a, NULL);
	struct lease l = sample();
	unsigned char one[LEASE_HOLDER], other[LEASE_HOLDER];

	memset(url, 'u', sizeof url);
	l.url = (struct span){ url, LEASE_URL_MAX };
	CHECK(lease_seal(k, &l, SPAN("a/b"), nonce, a).p != NULL);
	l.url.n++;
	CHECK(lease_seal(k, &l, SPAN("a/b"), nonce, a).p == NULL);
	/* a name that ends later and a subject that begins earlier are another holder */
	CHECK(lease_holder(SPAN("ab"), SPAN("c"), one) && lease_holder(SPAN("a"), SPAN("bc"), other));
	CHECK(memcmp(one, other, LEASE_HOLDER) != 0);
	lease_keys_free(k);
}

int
main(void)
{
	struct arena *a = arena_new(1 << 22);

	test_round(a);
	test_changes(a);
	test_keys(a);
	test_bounds(a);
	arena_free(a);
	return check_done();
}
