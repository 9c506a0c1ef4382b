/*
 * tls.h - the two TLS contexts: facing clients (and asking them for certificates), facing an upstream.
 *
 * TLS 1.2 and later, forward-secret AEAD suites, ALPN http/1.1 only, no session tickets or cache for clients, no
 * renegotiation, no compression, no early data.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TLS_H
#define TW_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "policy/attr.h"

/* certificates[i] belongs to keys[i]; an EC and an RSA pair may stand side by side. NULL with a reason. */
SSL_CTX *tls_server_new(char *const *certificates, char *const *keys, size_t n, char *err, size_t err_size)
    NONNULL(4) WUNRES;
/* Whom a listener asks for a certificate. */
struct tls_clients {
	const char *ca_file;	/* PEM: the only CAs believed, roots included */
	const char *crl_file;	/* PEM: revocation lists of every CA of ca_file; NULL: revocation is not checked */
	bool required;		/* without a certificate there is no handshake */
};
/*
 * Ask clients for a certificate, and verify it for the purpose of a TLS client: a whole chain, up to TLS_CLIENT_DEPTH
 * intermediates, nothing expired, and with crl_file nothing revoked and no list out of date. False with a reason.
 */
#define TLS_CLIENT_DEPTH 4
bool tls_server_ask(SSL_CTX *ctx, const struct tls_clients *clients, char *err, size_t err_size) NONNULL(1, 2, 3) WUNRES;
/* Does a chain that was verified once still verify by what `ctx` believes now (after a reload, say)? */
bool tls_chain_ok(SSL_CTX *ctx, STACK_OF(X509) *chain) NONNULL(1, 2) WUNRES;
/* Verifies the peer against ca_file only, or the system's store when it is NULL. NULL with a reason. */
SSL_CTX *tls_client_new(const char *ca_file, char *err, size_t err_size) NONNULL(2) WUNRES;

#endif
