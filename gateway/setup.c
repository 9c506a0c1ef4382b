/*
 * setup.c - from a configuration to what workers serve with.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/setup.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/stream/tls.h"

static bool
make_client(bool wanted, const char *ca_file, SSL_CTX **out, char *why, size_t why_size)
{
	if (wanted)
		*out = tls_client_new(ca_file, why, why_size);
	return !wanted || *out != NULL;
}

static bool
make_tls(struct setup *s, char *err, size_t err_size)
{
	const struct config *c = s->config;
	char why[256];

	s->listen_tls = calloc(c->n_listen, sizeof *s->listen_tls);
	s->upstream_tls = calloc(c->n_upstream, sizeof *s->upstream_tls);
	s->storage_tls = calloc(c->n_upstream, sizeof *s->storage_tls);
	if (s->listen_tls == NULL || s->upstream_tls == NULL || s->storage_tls == NULL) {
		snprintf(err, err_size, "out of memory");
		return false;
	}
	for (size_t i = 0; i < c->n_listen; i++) {
		const struct config_listen *l = &c->listen[i];

		s->listen_tls[i] = tls_server_new(l->certificates, l->private_keys, l->n_certificates, why, sizeof why);
		if (s->listen_tls[i] == NULL || !config_ask_clients(l, s->listen_tls[i], why, sizeof why)) {
			snprintf(err, err_size, "listen %s: %s", l->address, why);
			return false;
		}
	}
	for (size_t i = 0; i < c->n_upstream; i++) {
		const struct config_upstream *u = &c->upstream[i];

		if (!make_client(u->tls, u->ca_file, &s->upstream_tls[i], why, sizeof why) ||
		    !make_client(u->redirects == REDIRECT_FOLLOW || u->n_upload_hosts > 0,
			u->redirects == REDIRECT_FOLLOW ? u->redirect_ca_file : u->ca_file, &s->storage_tls[i], why, sizeof why)) {
			snprintf(err, err_size, "upstream %s: %s", u->alias, why);
			return false;
		}
	}
	return true;
}

struct setup *
setup_new(struct config *c, char *err, size_t err_size)
{
	struct setup *s = calloc(1, sizeof *s);

	if (s == NULL) {
		config_free(c);
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	s->refs = 1;
	s->config = c;
	s->lease_keys = lease_keys_new(c->cluster_keys, c->n_cluster_keys);
	if (s->lease_keys == NULL)
		snprintf(err, err_size, "cluster-key: needs at least 32 bytes");
	s->outcomes = calloc(c->n_upstream, sizeof *s->outcomes);
	s->issuers = issuer_view_new(c);
	if (s->outcomes == NULL || s->issuers == NULL)
		snprintf(err, err_size, "out of memory");
	if (c->token_key != NULL && c->token_service == NULL)
		snprintf(err, err_size, "token-service.signing-key: %s is not there", c->token_key);
	else if (s->lease_keys != NULL && s->outcomes != NULL && s->issuers != NULL && make_tls(s, err, err_size))
		return s;
	setup_unref(s);
	return NULL;
}

struct setup *
setup_ref(struct setup *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void
setup_unref(struct setup *s)
{
	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; s->listen_tls != NULL && i < s->config->n_listen; i++)
		SSL_CTX_free(s->listen_tls[i]);
	for (size_t i = 0; s->upstream_tls != NULL && i < s->config->n_upstream; i++)
		SSL_CTX_free(s->upstream_tls[i]);
	for (size_t i = 0; s->storage_tls != NULL && i < s->config->n_upstream; i++)
		SSL_CTX_free(s->storage_tls[i]);
	free(s->listen_tls);
	free(s->upstream_tls);
	free(s->storage_tls);
	free(s->outcomes);
	lease_keys_free(s->lease_keys);
	issuer_view_free(s->issuers);
	config_free(s->config);
	free(s);
}
