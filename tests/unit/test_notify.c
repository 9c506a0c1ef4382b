/*
 * test_notify.c - what a service manager hears, over a socket of its own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/operator/notify.h"
#include "tests/unit/check.h"

/* A bound datagram socket under this name, as a manager has it; -1 when it cannot be made. */
static int
manager(const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(un.sun_path, name, strlen(name));
	if (*name == '@')
		un.sun_path[0] = '\0';
	return bind(fd, (struct sockaddr *)&un, n) == 0 ? fd : -1;
}

static bool
hears(int fd, const char *head, size_t exactly)
{
	char text[256] = "";
	ssize_t n = recv(fd, text, sizeof text - 1, 0);

	return n > 0 && strncmp(text, head, strlen(head)) == 0 && (exactly == 0 || (size_t)n == exactly);
}

static void
test_sent(const char *name)
{
	int fd = manager(name);

	CHECK_ROW(fd >= 0, name);
	setenv("NOTIFY_SOCKET", name, 1);
	CHECK_ROW(notify("READY=1"), name);
	CHECK_ROW(hears(fd, "READY=1", 7), name);
	CHECK_ROW(notify_reloading(), name);
	CHECK_ROW(hears(fd, "RELOADING=1\nMONOTONIC_USEC=", 0), name);
	CHECK_ROW(!hears(fd, "", 0), name);
	close(fd);
	CHECK_ROW(!notify("READY=1"), name);	/* nobody listens any more */
}

static void
test_not_sent(void)
{
	static const char *const bad[] = { "relative", "@", "/", "vsock:2:1234" };
	char longer[sizeof((struct sockaddr_un *)0)->sun_path + 1];

	unsetenv("NOTIFY_SOCKET");
	CHECK(notify("READY=1"));
	setenv("NOTIFY_SOCKET", "", 1);
	CHECK(notify("READY=1"));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		setenv("NOTIFY_SOCKET", bad[i], 1);
		CHECK_ROW(!notify("READY=1") && errno == EINVAL, bad[i]);
	}
	memset(longer, 'x', sizeof longer - 1);
	longer[0] = '/';
	longer[sizeof longer - 1] = '\0';
	setenv("NOTIFY_SOCKET", longer, 1);
	CHECK(!notify("READY=1") && errno == EINVAL);
}

/* A manager that reads nothing holds nobody up: its socket fills, then messages are lost. */
static void
test_full(const char *name)
{
	int fd = manager(name);
	unsigned sent = 0;

	setenv("NOTIFY_SOCKET", name, 1);
	while (sent < 100000 && notify("READY=1"))
		sent++;
	CHECK(sent > 0 && sent < 100000 && errno == EAGAIN);
	close(fd);
}

int
main(void)
{
	char directory[] = "/tmp/tidewaiter-XXXXXX", path[64], name[64];

	if (mkdtemp(directory) == NULL)
		return 1;
	snprintf(path, sizeof path, "%s/notify", directory);
	snprintf(name, sizeof name, "@%s", directory);
	test_sent(path);
	test_sent(name);
	test_not_sent();
	unlink(path);
	test_full(path);
	unlink(path);
	rmdir(directory);
	return check_done();
}
