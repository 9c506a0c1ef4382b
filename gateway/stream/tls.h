/*
 * tls.h - the two TLS contexts: facing clients, facing an upstream.
 *
 * TLS 1.2 and later, forward-secret AEAD suites, ALPN http/1.1 only, no session tickets or cache for clients, no
 * renegotiation, no compression, no early data.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TLS_H
#define TW_TLS_H

#include <openssl/ssl.h>

#include "policy/attr.h"

/* certificates[i] belongs to keys[i]; an EC and an RSA pair may stand side by side. NULL with a reason. */
SSL_CTX *tls_server_new(char *const *certificates, char *const *keys, size_t n, char *err, size_t err_size)
    NONNULL(1, 2, 4) WUNRES;
/* Verifies the peer against ca_file only, or the system's store when it is NULL. NULL with a reason. */
SSL_CTX *tls_client_new(const char *ca_file, char *err, size_t err_size) NONNULL(2) WUNRES;

#endif
