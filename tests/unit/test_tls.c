/*
 * test_tls.c - which client certificates a listener accepts, and whether a chain still stands after a reload.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <openssl/pem.h>
#include <unistd.h>

#include "gateway/identity/certificate.h"
#include "gateway/stream/tls.h"
#include "tests/unit/certificates.h"
#include "tests/unit/check.h"

#define T(lit)	{ lit, sizeof(lit) - 1 }
#define NAMED(name)	.cns = { { V_ASN1_UTF8STRING, T(name) } }
#define CA(name)	{ NAMED(name), .constraints = "critical,CA:TRUE", .usage = "keyCertSign,cRLSign" }
#define LEAF	.constraints = "critical,CA:FALSE", .sans = { { GEN_URI, T("spiffe://td/x") } }

enum party { ROOT, OTHER_ROOT, MIDDLE, PARTIES };
static const struct certificate_spec cas[PARTIES] = { CA("root"), CA("other root"), CA("middle") };

static const struct {
	const char *name;
	struct certificate_spec spec;
	enum party signer;
	bool send_middle, good;
} rows[] = {
	{ "by the root", { NAMED("a"), LEAF }, ROOT, false, true },
	{ "by an intermediate that is sent", { NAMED("a"), LEAF }, MIDDLE, true, true },
	{ "by an intermediate that is not sent", { NAMED("a"), LEAF }, MIDDLE, false, false },
	{ "by another root", { NAMED("a"), LEAF }, OTHER_ROOT, false, false },
	{ "expired", { NAMED("a"), LEAF, .from = -7200, .until = -60 }, ROOT, false, false },
	{ "not valid yet", { NAMED("a"), LEAF, .from = 3600, .until = 7200 }, ROOT, false, false },
	{ "not for signatures", { NAMED("a"), LEAF, .usage = "keyEncipherment" }, ROOT, false, false },
	{ "ends soon", { NAMED("a"), LEAF, .from = -60, .until = 120 }, ROOT, false, true },
};

static char dir[] = "/tmp/test_tls.XXXXXX";
static EVP_PKEY *keys[PARTIES], *server_key, *client_key;
static X509 *certificates[PARTIES];

static char *
path(const char *name)
{
	static char all[4][64];
	static unsigned at;
	char *p = all[at++ % 4];

	snprintf(p, sizeof all[0], "%s/%s", dir, name);
	return p;
}

static void
write_pem(const char *name, X509 *x, EVP_PKEY *key)
{
	FILE *f = fopen(path(name), "w");

	if (f == NULL)
		exit(1);
	if (x != NULL)
		PEM_write_X509(f, x);
	if (key != NULL)
		PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
}

static SSL_CTX *
server_new(const char *ca, bool required)
{
	struct tls_clients clients = { path(ca), NULL, required };
	char *certs[] = { path("server.crt") }, *server_keys[] = { path("server.key") }, err[256];
	SSL_CTX *ctx = tls_server_new(certs, server_keys, 1, err, sizeof err);

	if (ctx == NULL || !tls_server_ask(ctx, &clients, err, sizeof err)) {
		fprintf(stderr, "%s\n", err);
		exit(1);
	}
	return ctx;
}

/* Both sides in memory. True when the server is content; *chain is then what it verified (NULL: no certificate). */
static bool
shake(SSL_CTX *server, SSL_CTX *client, STACK_OF(X509) **chain)
{
	SSL *s = SSL_new(server), *c = SSL_new(client);
	BIO *a, *b;
	bool ok;

	BIO_new_bio_pair(&a, 65536, &b, 65536);
	SSL_set_bio(s, a, a);
	SSL_set_bio(c, b, b);
	SSL_set_accept_state(s);
	SSL_set_connect_state(c);
	for (int i = 0; i < 10 && !SSL_is_init_finished(s); i++) {
		(void)SSL_do_handshake(c);
		(void)SSL_do_handshake(s);
	}
	ok = SSL_is_init_finished(s) == 1;
	*chain = ok && SSL_get0_peer_certificate(s) != NULL ? X509_chain_up_ref(SSL_get0_verified_chain(s)) : NULL;
	SSL_free(s);
	SSL_free(c);
	return ok;
}

static SSL_CTX *
client_new(X509 *x, bool send_middle, int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	if (x != NULL) {
		SSL_CTX_use_certificate(ctx, x);
		SSL_CTX_use_PrivateKey(ctx, client_key);
	}
	if (send_middle)
		SSL_CTX_add1_chain_cert(ctx, certificates[MIDDLE]);
	return ctx;
}

static void
check_chain(size_t i, STACK_OF(X509) *chain, SSL_CTX *server, SSL_CTX *other)
{
	struct certificate_rule rule = { "mtls", CERTIFICATE_SUBJECT_SAN, CERTIFICATE_GROUPS_NONE };
	struct certificate *c = certificate_new(chain, &rule);
	int64_t end = 0;

	CHECK_ROW(tls_chain_ok(server, chain) && !tls_chain_ok(other, chain), rows[i].name);
	if (!CHECK_ROW(c != NULL && c->outcome == CERTIFICATE_OK, rows[i].name))
		return;
	CHECK_ROW(span_eq(c->subject, SPAN("CN=a")) && c->sha256.n == 64 && c->hosts.known && c->hosts.n == 0, rows[i].name);
	CHECK_ROW(c->uris.known && c->uris.n == 1 && span_eq(c->uris.texts[0], SPAN("spiffe://td/x")), rows[i].name);
	CHECK_ROW(certificate_end(chain, &end) && end == c->expires_at && end <= c->who->expires_at, rows[i].name);
	certificate_distrust(c);
	CHECK_ROW(c->who == NULL && c->outcome == CERTIFICATE_DISTRUSTED, rows[i].name);
	certificate_free(c);
}

static void
check_row(size_t i, int version, SSL_CTX *server, SSL_CTX *other)
{
	X509 *x = certificate_make(&rows[i].spec, client_key, certificates[rows[i].signer], keys[rows[i].signer]);
	SSL_CTX *client = client_new(x, rows[i].send_middle, version);
	STACK_OF(X509) *chain;

	CHECK_ROW(shake(server, client, &chain) == rows[i].good, rows[i].name);
	CHECK_ROW((chain != NULL) == rows[i].good, rows[i].name);
	if (chain != NULL)
		check_chain(i, chain, server, other);
	sk_X509_pop_free(chain, X509_free);
	SSL_CTX_free(client);
	X509_free(x);
}

static void
check_without(int version)
{
	SSL_CTX *optional = server_new("root.crt", false), *required = server_new("root.crt", true);
	SSL_CTX *client = client_new(NULL, false, version);
	STACK_OF(X509) *chain;

	CHECK(shake(optional, client, &chain) && chain == NULL);
	CHECK(!shake(required, client, &chain) && chain == NULL);
	SSL_CTX_free(client);
	SSL_CTX_free(optional);
	SSL_CTX_free(required);
}

static void
make_parties(void)
{
	for (unsigned p = 0; p < PARTIES; p++) {
		keys[p] = EVP_EC_gen("P-256");
		certificates[p] = p == MIDDLE ? certificate_make(&cas[p], keys[p], certificates[ROOT], keys[ROOT]) :
		    certificate_make(&cas[p], keys[p], NULL, NULL);
	}
	client_key = EVP_EC_gen("P-256");
	server_key = EVP_EC_gen("P-256");
	X509 *server = certificate_make(&(struct certificate_spec){ NAMED("server") }, server_key, NULL, NULL);

	write_pem("root.crt", certificates[ROOT], NULL);
	write_pem("other.crt", certificates[OTHER_ROOT], NULL);
	write_pem("middle.crt", certificates[MIDDLE], NULL);
	write_pem("server.crt", server, NULL);
	write_pem("server.key", NULL, server_key);
	X509_free(server);
}

int
main(void)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	static const char *const files[] = { "root.crt", "other.crt", "middle.crt", "server.crt", "server.key" };
	SSL_CTX *server, *other, *partial;

	if (mkdtemp(dir) == NULL)
		return 1;
	make_parties();
	server = server_new("root.crt", true);
	other = server_new("other.crt", true);
	for (size_t v = 0; v < 2; v++) {
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
			check_row(i, versions[v], server, other);
		check_without(versions[v]);
	}
	/* an intermediate alone is no anchor: the chain must reach a root that is believed */
	partial = server_new("middle.crt", true);
	X509 *x = certificate_make(&rows[1].spec, client_key, certificates[MIDDLE], keys[MIDDLE]);
	SSL_CTX *client = client_new(x, true, TLS1_3_VERSION);
	STACK_OF(X509) *chain;
	CHECK(!shake(partial, client, &chain));
	X509_free(x);
	SSL_CTX_free(client);
	SSL_CTX_free(partial);
	SSL_CTX_free(server);
	SSL_CTX_free(other);
	for (unsigned p = 0; p < PARTIES; p++) {
		X509_free(certificates[p]);
		EVP_PKEY_free(keys[p]);
	}
	EVP_PKEY_free(client_key);
	EVP_PKEY_free(server_key);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		unlink(path(files[i]));
	rmdir(dir);
	return check_done();
}
