/*
 * cal.c - a fixed piece of work on this CPU: AES-GCM over 128 MiB, copying 256 MiB, 100,000 system calls.
 *
 * Prints the CPU milliseconds of each. How far they spread over a run says how far to trust its figures.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BLOCK	16384
#define AREA	(1u << 24)

static double
cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int
main(void)
{
	unsigned char *a = malloc(AREA), *b = malloc(AREA), key[16] = { 1 }, iv[12] = { 0 };
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	double t[4];
	int n;

	if (a == NULL || b == NULL || c == NULL || EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, key, iv) != 1)
		return 1;
	memset(a, 1, AREA);
	memset(b, 1, AREA);
	t[0] = cpu_ms();
	for (int i = 0; i < (128 << 20) / BLOCK; i++)
		if (EVP_EncryptInit_ex(c, NULL, NULL, NULL, iv) != 1 || EVP_EncryptUpdate(c, a, &n, a, BLOCK) != 1)
			return 1;
	t[1] = cpu_ms();
	for (int i = 0; i < 16; i++)
		memcpy(b, a, AREA - (size_t)i);
	t[2] = cpu_ms();
	for (int i = 0; i < 100000; i++)
		syscall(SYS_getppid);
	t[3] = cpu_ms();
	printf("{\"aes_ms\":%.2f,\"copy_ms\":%.2f,\"syscall_ms\":%.2f,\"byte\":%d}\n", t[1] - t[0], t[2] - t[1],
	    t[3] - t[2], b[AREA / 2]);
	return 0;
}
