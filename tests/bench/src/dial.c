/*
 * dial.c - what a connection costs.
 *
 * dial hs -p PORT -u PATH -H HEADER-FILE [-t SECONDS] [-c THREADS]: new TLS connection, one GET, close, again.
 *   One JSON object. Full handshakes: nothing is resumed.
 * dial idle -p PORT -u PATH -H HEADER-FILE -c CONNECTIONS [-n]: open that many, one GET on each (-n: none), print
 *   "ready N" and hold them until standard input ends.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire.h"

#define THREADS_MAX	64

static SSL_CTX *ctx;
static int port;
static char request[65536];
static size_t request_n;
static double ends;
static _Atomic long done, failed;

static bool
ask(struct wire *w)
{
	struct reply r;

	return wire_send(w, request, request_n) && wire_reply(w, &r) && r.status == 200 && wire_skip(w, r.length);
}

static void *
dial_and_ask(void *unused)
{
	(void)unused;
	while (wire_now() < ends) {
		struct wire w;
		bool ok = wire_dial(&w, ctx, port);

		if (ok) {
			ok = ask(&w);
			wire_close(&w);
		}
		if (ok)
			done++;
		else
			failed++;
	}
	return NULL;
}

static int
handshakes(double seconds, int threads)
{
	pthread_t t[THREADS_MAX];
	double began = wire_now();

	ends = began + seconds;
	for (int i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, dial_and_ask, NULL) != 0)
			wire_die("pthread_create");
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	printf("{\"connections\":%ld,\"seconds\":%.4f,\"bad\":%ld}\n", done, wire_now() - began, failed);
	return 0;
}

static int
idle(int n, bool silent)
{
	char line[16];
	int ready = 0;

	for (; ready < n; ready++) {
		struct wire w;	/* left open: the kernel closes it when we end */

		if (!wire_dial(&w, ctx, port))
			break;
		if (!silent && !ask(&w))
			break;
		free(w.buf);
	}
	printf("ready %d\n", ready);
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL)
		;
	return ready != n;
}

int
main(int argc, char **argv)
{
	const char *path = "/", *header = "", *command;
	int n = 4, o;
	bool silent = false, keep;
	double seconds = 1.5;

	signal(SIGPIPE, SIG_IGN);
	if (argc < 2)
		return 2;
	command = argv[1];
	optind = 2;
	while ((o = getopt(argc, argv, "p:u:H:c:t:n")) != -1) {
		if (o == 'p')
			port = atoi(optarg);
		else if (o == 'u')
			path = optarg;
		else if (o == 'H')
			header = wire_file(optarg);
		else if (o == 'c')
			n = atoi(optarg);
		else if (o == 't')
			seconds = atof(optarg);
		else if (o == 'n')
			silent = true;
		else
			return 2;
	}
	ctx = wire_client(false);
	keep = strcmp(command, "idle") == 0;
	request_n = (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n"
	    "User-Agent: bench/1\r\nAccept: application/vnd.oci.image.manifest.v1+json\r\n%s%s\r\n", path,
	    keep ? "" : "Connection: close\r\n", header);
	if (keep)
		return idle(n, silent);
	if (strcmp(command, "hs") != 0 || n < 1 || n > THREADS_MAX)
		return 2;
	return handshakes(seconds, n);
}
