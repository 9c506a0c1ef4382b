/*
 * tls.c - the two TLS contexts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/stream/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define CIPHERS_12 "ECDHE+AESGCM:ECDHE+CHACHA20"
static char groups[] = "X25519:P-256:P-384"; /* read only; the macro it goes to has no const */

static const unsigned char http11[] = "\x08http/1.1";

static void
reason(char *err, size_t err_size, const char *what, const char *name)
{
	unsigned long first = ERR_peek_error();	/* the later ones only say who had called whom */
	const char *text = ERR_SYSTEM_ERROR(first) ? strerror(ERR_GET_REASON(first)) : ERR_reason_error_string(first);

	snprintf(err, err_size, "%s %s: %s", what, name, text == NULL ? "unknown error" : text);
	ERR_clear_error();
}

static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in, unsigned in_n,
    void *arg)
{
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, n, http11, sizeof http11 - 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *
context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, CIPHERS_12) != 1 || SSL_CTX_set1_groups_list(ctx, groups) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

SSL_CTX *
tls_server_new(char *const *certificates, char *const *keys, size_t n, char *err, size_t err_size)
{
	SSL_CTX *ctx = context(TLS_server_method());

	if (ctx == NULL) {
		reason(err, err_size, "cannot set up", "TLS");
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		if (SSL_CTX_use_certificate_chain_file(ctx, certificates[i]) != 1) {
			reason(err, err_size, "cannot use certificate", certificates[i]);
			goto fail;
		}
		if (SSL_CTX_use_PrivateKey_file(ctx, keys[i], SSL_FILETYPE_PEM) != 1 ||
		    SSL_CTX_check_private_key(ctx) != 1) {
			reason(err, err_size, "cannot use private key", keys[i]);
			goto fail;
		}
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_PRIORITIZE_CHACHA |
	    SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	return ctx;
fail:
	SSL_CTX_free(ctx);
	return NULL;
}

/* ---- client certificates ---- */

#define CERTIFICATES_MAX	65536	/* bytes a client may send */

static bool
load_revocations(X509_STORE *store, const char *file)
{
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	/* every certificate of a chain must be covered: a missing or outdated list refuses */
	return lookup != NULL && X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) > 0 &&
	    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) == 1;
}

bool
tls_server_ask(SSL_CTX *ctx, const struct tls_clients *clients, char *err, size_t err_size)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(clients->ca_file);

	if (names == NULL || SSL_CTX_load_verify_file(ctx, clients->ca_file) != 1) {
		reason(err, err_size, "cannot use CA file", clients->ca_file);
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return false;
	}
	SSL_CTX_set_client_CA_list(ctx, names);	/* clients with many certificates choose by it */
	if (clients->crl_file != NULL && !load_revocations(SSL_CTX_get_cert_store(ctx), clients->crl_file)) {
		reason(err, err_size, "cannot use revocation lists", clients->crl_file);
		return false;
	}
	if (SSL_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) != 1) {
		reason(err, err_size, "cannot set up", "TLS");
		return false;
	}
	SSL_CTX_set_verify_depth(ctx, TLS_CLIENT_DEPTH);
	SSL_CTX_set_max_cert_list(ctx, CERTIFICATES_MAX);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (clients->required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
	return true;
}

bool
tls_chain_ok(SSL_CTX *ctx, STACK_OF(X509) *chain)
{
	X509_STORE_CTX *verification = X509_STORE_CTX_new();
	bool ok = verification != NULL && sk_X509_num(chain) > 0 &&
	    X509_STORE_CTX_init(verification, SSL_CTX_get_cert_store(ctx), sk_X509_value(chain, 0), chain) == 1 &&
	    X509_STORE_CTX_set_default(verification, "ssl_client") == 1;

	if (ok) {
		X509_STORE_CTX_set_depth(verification, TLS_CLIENT_DEPTH);
		ok = X509_verify_cert(verification) == 1;
	}
	X509_STORE_CTX_free(verification);
	ERR_clear_error();
	return ok;
}

SSL_CTX *
tls_client_new(const char *ca_file, char *err, size_t err_size)
{
	SSL_CTX *ctx = context(TLS_client_method());

	if (ctx == NULL) {
		reason(err, err_size, "cannot set up", "TLS");
		return NULL;
	}
	if ((ca_file != NULL ? SSL_CTX_load_verify_file(ctx, ca_file) : SSL_CTX_set_default_verify_paths(ctx)) != 1) {
		reason(err, err_size, "cannot use CA file", ca_file != NULL ? ca_file : "of the system");
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_alpn_protos(ctx, http11, sizeof http11 - 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);	/* the pool keeps the last session itself */
	return ctx;
}
