/*
 * serving.c - a setup in one worker.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/serving.h"

#include <stdlib.h>

#include "gateway/credentials/logins.h"

struct serving *
serving_new(struct setup *s, struct loop *loop, struct evdns_base *dns, struct metrics *m)
{
	struct upstream_env env = { loop, dns, &s->config->limits, m };
	struct serving *v = calloc(1, sizeof *v);

	if (v == NULL)
		return NULL;
	v->setup = setup_ref(s);
	v->config = s->config;
	v->refs = 1;
	v->issuers = issuer_view_take(s->issuers);
	v->upstreams = calloc(v->config->n_upstream, sizeof *v->upstreams);
	v->storage = storage_new(&env);
	v->logins = login_cache_new();
	if (v->upstreams == NULL || v->storage == NULL || v->logins == NULL)
		goto fail;
	for (size_t i = 0; i < v->config->n_upstream; i++) {
		v->upstreams[i] = upstream_new(&env, &v->config->upstream[i], s->upstream_tls[i]);
		if (v->upstreams[i] == NULL)
			goto fail;
		upstream_report(v->upstreams[i], &s->outcomes[i]);
	}
	return v;
fail:
	serving_unref(v);
	return NULL;
}

struct serving *
serving_ref(struct serving *v)
{
	v->refs++;
	return v;
}

void
serving_unref(struct serving *v)
{
	if (v == NULL || --v->refs > 0)
		return;
	for (size_t i = 0; v->upstreams != NULL && i < v->config->n_upstream; i++)
		upstream_free(v->upstreams[i]);
	free(v->upstreams);
	storage_free(v->storage);
	login_cache_free(v->logins);
	issuer_table_unref(v->issuers);
	setup_unref(v->setup);
	free(v);
}

void
serving_retire(struct serving *v)
{
	for (size_t i = 0; i < v->config->n_upstream; i++)
		upstream_retire(v->upstreams[i]);
	storage_retire(v->storage);
}

const struct issuer_table *
serving_issuers(struct serving *v)
{
	if (issuer_view_generation(v->setup->issuers) != issuer_table_generation(v->issuers)) {
		issuer_table_unref(v->issuers);
		v->issuers = issuer_view_take(v->setup->issuers);
	}
	return v->issuers;
}
