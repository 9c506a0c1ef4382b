/*
 * login.h - how the gateway logs in at a registry: which calls to make, one after the other, until there is an
 * Authorization to send. No socket, no clock: the caller makes the calls and says what came back.
 *
 * Sources: distribution "Token Authentication Specification"; Azure/acr AAD-OAuth.md; Amazon ECR API reference
 * (GetAuthorizationToken), AWS SDKs and tools "Standardized credential providers"; Google Artifact Registry
 * "Configure authentication to Docker".
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LOGIN_H
#define TW_LOGIN_H

#include "gateway/config/config.h"
#include "gateway/credentials/sigv4.h"

/* A call to make. Texts live in the login's arena. */
struct login_call {
	const char *method; /* GET, POST or PUT */
	struct span url;
	struct sigv4_pair headers[6];
	size_t n_headers;
	struct span body; /* of POST */
	enum login_target {
		LOGIN_ELSEWHERE = 0, /* https, a public address, the system's CAs */
		LOGIN_REGISTRY, /* the registry itself: as its upstream is configured */
		LOGIN_METADATA, /* a metadata service: http, a link-local or loopback address */
	} target;
};

struct login_answer {
	unsigned status; /* 0: none came; body says why */
	struct span body;
	struct span challenge; /* WWW-Authenticate */
};

enum login_next {
	LOGIN_FAILED = 0, /* see reason */
	LOGIN_CALL, /* make `call` */
	LOGIN_DONE, /* authorization until expires */
};

/* What is worth keeping between logins at one upstream. Zeroed at first; freed with login_memory_clear(). */
struct login_memory {
	char *realm, *service; /* of its Bearer challenge */
	int64_t realm_until;
	char *refresh; /* ACR: refresh token */
	int64_t refresh_until;
	char *access_key, *secret, *session; /* AWS, temporary */
	int64_t keys_until;
};
void login_memory_clear(struct login_memory *m) NONNULL(1);

/* The surroundings: environment variables and files, as arguments so that tests own them. */
struct login_world {
	const char *(*env)(void *ctx, const char *name); /* NULL when not set */
	/* A file's text without the newline at its end, in the arena; {NULL,0} with a reason. */
	struct span (*file)(void *ctx, const char *path, struct arena *a, char *err, size_t err_size);
	void *ctx;
};

/* The process's own: getenv(), and files read whole. */
extern const struct login_world login_process;

struct registry_login {
	/* to be set */
	const struct config_upstream *upstream;
	const struct login_world *world;
	struct login_memory *memory;
	struct arena *arena;
	struct span scope; /* "repository:a/b:pull,push", or several separated by blanks; may be empty */
	int64_t now; /* seconds since the epoch; kept up to date by the caller */
	/* results */
	struct login_call call;
	struct span authorization; /* value of the field; empty: none is needed */
	int64_t expires; /* seconds since the epoch */
	char reason[200];
	/* private */
	unsigned at;
	bool again; /* begun anew after something remembered was refused */
	struct sigv4_keys keys;
	struct span imds;
};

/*
 * Scopes that are no rights at the registry, for calls to the cloud that it belongs to. With ECR: the gateway's AWS keys, for
 * login_keys_read(). With ACR: "Bearer ..." for Azure's management, without a login at the registry.
 */
#define LOGIN_SCOPE_KEYS       "aws:keys"
#define LOGIN_SCOPE_MANAGEMENT "azure:management"
/* What the authorization of LOGIN_SCOPE_KEYS holds: views of it. */
bool login_keys_read(struct span authorization, struct sigv4_keys *out) NONNULL(2) WUNRES;

/* The first step (answer NULL), or the next one after a call. */
enum login_next login_step(struct registry_login *l, const struct login_answer *answer) NONNULL(1) WUNRES;

/*
 * realm and service of a Bearer challenge: RFC 9110 section 11.6.1, the first Bearer of the list. False when there is none
 * or it is not understood to the last byte. basic: a Basic challenge is there too.
 */
bool login_challenge(struct span field, struct arena *a, struct span *realm, struct span *service, bool *basic)
    NONNULL(2, 3, 4, 5) WUNRES;

/* "eu-west-1" of "123456789012.dkr.ecr.eu-west-1.amazonaws.com"; empty for another host. suffix: "amazonaws.com[.cn]". */
struct span login_ecr_region(struct span host, struct span *suffix) NONNULL(2);

/* ---- between the files of this folder ---- */
enum login_next login_token(struct registry_login *l, const struct login_answer *a) NONNULL(1);
enum login_next login_acr(struct registry_login *l, const struct login_answer *a) NONNULL(1);
enum login_next login_ecr(struct registry_login *l, const struct login_answer *a) NONNULL(1);
enum login_next login_gar(struct registry_login *l, const struct login_answer *a) NONNULL(1);
/* l->call: a signed call of ECR's API with l->keys, for l->upstream. Reads upstream, world, arena, now and keys. */
enum login_next login_ecr_call(struct registry_login *l, const char *action, struct span body) NONNULL(1, 2);
enum login_next login_fail(struct registry_login *l, const char *fmt, ...) NONNULL(1, 2) PRINTF(2, 3);
/* A call, without headers and body yet. */
enum login_next login_ask(struct registry_login *l, unsigned at, const char *method, enum login_target target, struct span url)
    NONNULL(1, 3);
void login_header(struct registry_login *l, const char *name, struct span value) NONNULL(1, 2);
/* "a=b&c=d" of pairs name, value ...; a pair with a value of p == NULL is left out. */
struct span login_form(struct registry_login *l, const struct sigv4_pair *pairs, size_t n) NONNULL(1, 2);
/* A form as the call's body. */
void login_post_form(struct registry_login *l, const struct sigv4_pair *pairs, size_t n) NONNULL(1, 2);
/* The object that a 200 holds; NULL after login_fail(), which says who `whose` is. */
json_t *login_object(struct registry_login *l, const struct login_answer *a, const char *whose) NONNULL(1, 2, 3) WUNRES;
/* A member that may stand in a header: visible ASCII, at most 16 KiB; a copy in the arena. {NULL,0}: none. */
struct span login_word(struct registry_login *l, const json_t *o, const char *name) NONNULL(1, 3);
/*
 * That member of the object that a 200 holds, as login_word(); lifetime (may be NULL): its expires_in, 0 for none. {NULL,0}
 * after login_fail().
 */
struct span login_token_of(struct registry_login *l, const struct login_answer *a, const char *whose, const char *name, int64_t *lifetime)
    NONNULL(1, 2, 3, 4);
/* Remember a copy; the old one is wiped. */
void login_keep(char **to, struct span text) NONNULL(1);
/* "exp" of a JWT that somebody else will verify; 0: it says none. */
int64_t login_jwt_expiry(struct span token) PURE;
/* "Basic <base64>" of "name:password". */
struct span login_basic(struct registry_login *l, struct span name, struct span password) NONNULL(1);

#endif
