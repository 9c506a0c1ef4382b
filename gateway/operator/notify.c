/*
 * notify.c - see notify.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/operator/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The address of $NOTIFY_SOCKET, a path or @ and an abstract name; its length, 0 if it is neither. */
static socklen_t
address_of(const char *name, struct sockaddr_un *un)
{
	size_t n = strlen(name);

	if ((*name != '/' && *name != '@') || n < 2 || n >= sizeof un->sun_path)
		return 0;
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(un->sun_path, name, n);
	if (*name == '@')
		un->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

bool
notify(const char *state)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un;
	socklen_t length;
	ssize_t sent;
	int fd, saved;

	if (name == NULL || *name == '\0')
		return true;
	length = address_of(name, &un);
	if (length == 0) {
		errno = EINVAL;
		return false;
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&un, length);
	saved = errno;
	close(fd);
	errno = saved;
	return sent >= 0;
}

bool
notify_reloading(void)
{
	char state[64];
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
	    (int64_t)ts.tv_sec * 1000000 + (int64_t)ts.tv_nsec / 1000);
	return notify(state);
}
