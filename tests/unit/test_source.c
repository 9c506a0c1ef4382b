/*
 * test_source.c - limits per source address.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/source.h"
#include "tests/unit/check.h"

static unsigned
slot(const char *text)
{
	struct network address;

	CHECK(address_parse(span_of(text), &address));
	return source_slot(&address);
}

int
main(void)
{
	unsigned a = slot("192.0.2.1"), same = 0;

	CHECK(a < SOURCE_SLOTS);
	CHECK(a == slot("192.0.2.1"));
	/* one host owns a /64 */
	CHECK(slot("::ffff:192.0.2.1") == a);
	CHECK(slot("2001:db8:1:2::1") == slot("2001:db8:1:2:ffff::9"));
	for (int i = 0; i < 200; i++) {
		char text[32];

		snprintf(text, sizeof text, "198.51.100.%d", i);
		same += slot(text) == a;
	}
	CHECK(same < 5);

	CHECK(source_connect(a, 2));
	CHECK(source_connect(a, 2));
	CHECK(!source_connect(a, 2));
	CHECK(!source_connect(a, 2));
	source_disconnect(a);
	CHECK(source_connect(a, 2));
	CHECK(source_connect(a, 0));
	for (int i = 0; i < 3; i++)
		source_disconnect(a);

	for (int i = 0; i < 3; i++) {
		CHECK(!source_blocked(a, 100, 3));
		source_failed(a, 100);
	}
	CHECK(source_blocked(a, 100, 3));
	CHECK(!source_blocked(a, 100, 0));
	CHECK(!source_blocked(a, 101, 3));	/* the next minute starts anew */
	source_failed(a, 101);
	CHECK(!source_blocked(a, 101, 3));
	return check_done();
}
