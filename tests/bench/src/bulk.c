/*
 * bulk.c - large bodies: download a blob, or open an upload and PATCH its bytes, on some connections at once.
 *
 * bulk get -p PORT -u PATH -b BYTES -H HEADER-FILE [-c STREAMS] [-r MBYTES-A-SECOND, each stream]
 * bulk put -p PORT -u UPLOADS-PATH -b BYTES -H HEADER-FILE [-c STREAMS]
 * One JSON object.
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

#define STREAMS_MAX	64
#define CHUNK		131072u

static SSL_CTX *ctx;
static int port;
static const char *path, *header = "";
static long long bytes;
static double rate;	/* bytes a second; 0: as fast as it comes */
static _Atomic long bad;
static _Atomic int last_status;

static bool
ask(struct wire *w, const char *method, const char *target, long long length, struct reply *r)
{
	char head[65536], framing[96] = "";
	int n;

	if (length >= 0)
		snprintf(framing, sizeof framing, "Content-Length: %lld\r\n"
		    "Content-Type: application/octet-stream\r\n", length);
	n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench/1\r\nAccept: */*\r\n"
	    "%s%s\r\n", method, target, framing, header);
	return wire_send(w, head, (size_t)n) && (r == NULL || wire_reply(w, r));
}

static bool
read_body(struct wire *w, long long length)
{
	long long got = (long long)(w->have - w->at);
	double began = wire_now();
	char *buf = malloc(CHUNK);

	while (buf != NULL && got < length) {
		ssize_t n = wire_recv(w, buf, CHUNK);
		double ahead;

		if (n <= 0)
			break;
		got += n;
		ahead = rate > 0 ? (double)got / rate - (wire_now() - began) : 0;
		if (ahead > 0)
			usleep((useconds_t)(ahead * 1e6));
	}
	free(buf);
	return got == length;
}

static bool
download(struct wire *w)
{
	struct reply r;

	if (!ask(w, "GET", path, -1, &r))
		return false;
	last_status = r.status;
	return r.status == 200 && r.length == bytes && read_body(w, r.length);
}

static bool
upload(struct wire *w)
{
	static const char zero[CHUNK];
	struct reply r;
	char target[sizeof r.location];

	if (!ask(w, "POST", path, 0, &r))
		return false;
	last_status = r.status;
	if (r.status != 202 || r.location[0] == '\0' || !wire_skip(w, r.length))
		return false;
	memcpy(target, r.location, sizeof target);
	if (!ask(w, "PATCH", target, bytes, NULL))
		return false;
	for (long long left = bytes; left > 0; left -= CHUNK)
		if (!wire_send(w, zero, left < CHUNK ? (size_t)left : CHUNK))
			return false;
	if (!wire_reply(w, &r))
		return false;
	last_status = r.status;
	return r.status == 202;
}

static void *
stream(void *put)
{
	struct wire w;

	if (!wire_dial(&w, ctx, port)) {
		bad++;
		return NULL;
	}
	if (!(put != NULL ? upload(&w) : download(&w)))
		bad++;
	wire_close(&w);
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t t[STREAMS_MAX];
	int streams = 1, o;
	double began;
	bool put;

	signal(SIGPIPE, SIG_IGN);
	if (argc < 2)
		return 2;
	put = strcmp(argv[1], "put") == 0;
	optind = 2;
	while ((o = getopt(argc, argv, "p:u:b:H:c:r:")) != -1) {
		if (o == 'p')
			port = atoi(optarg);
		else if (o == 'u')
			path = optarg;
		else if (o == 'b')
			bytes = atoll(optarg);
		else if (o == 'H')
			header = wire_file(optarg);
		else if (o == 'c')
			streams = atoi(optarg);
		else if (o == 'r')
			rate = atof(optarg) * 1e6;
		else
			return 2;
	}
	if (path == NULL || streams < 1 || streams > STREAMS_MAX)
		return 2;
	ctx = wire_client(true);
	began = wire_now();
	for (int i = 0; i < streams; i++)
		if (pthread_create(&t[i], NULL, stream, put ? &put : NULL) != 0)
			wire_die("pthread_create");
	for (int i = 0; i < streams; i++)
		pthread_join(t[i], NULL);
	printf("{\"seconds\":%.4f,\"bytes\":%lld,\"bad\":%ld,\"status\":%d}\n", wire_now() - began,
	    bytes * streams, bad, last_status);
	return bad != 0;
}
