# tokens.py - the token service: what is asked, granted, carried and refused; attacks; other programs that read our tokens;
# accounts; docker, podman, skopeo, buildah and ctr with a large JWT as the password.
#
# tokens: raw clients, docker-registry and jose. tokens:docker,ctr ...: these clients.
# SPDX-License-Identifier: Apache-2.0
import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.parse

import adapters
import identity
import lab as labs
import signatures
import stub as stubs

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ALL = ["registry:Push*", "registry:Pull*", "registry:List*", "registry:MountBlob"]
POLICY = {"Version": "2026-11-01", "Statement": [
    {"Sid": "Developers", "Effect": "Allow", "Principal": ["subject:test/ci", "group:test/developers"], "Action": ALL,
     "Resource": ["repo:up/app", "repo:up/app/*", "repo:up/public"]},
    {"Sid": "Readers", "Effect": "Allow", "Principal": ["subject:test/dev"],
     "Action": ["registry:Pull*", "registry:List*"], "Resource": ["repo:up/app"]},
    {"Sid": "Cleaners", "Effect": "Allow", "Principal": ["subject:test/admin"],
     "Action": ["registry:Pull*", "registry:List*", "registry:Delete*"], "Resource": ["repo:up/*"]},
    {"Sid": "Catalog", "Effect": "Allow", "Principal": ["subject:test/admin"], "Action": ["registry:ListRepositories"],
     "Resource": ["registry:up"]},
    {"Sid": "OnlyReleases", "Effect": "Allow", "Principal": ["subject:test/release"], "Action": ["registry:Push*"],
     "Resource": ["repo:up/app"], "Condition": {"StringLike": {"registry:Tag": ["v*"]}}},
    {"Sid": "Elsewhere", "Effect": "Allow", "Principal": ["subject:test/away"], "Action": ["registry:Pull*"],
     "Resource": ["repo:up/app"], "Condition": {"IpAddress": {"net:SourceIp": ["192.0.2.0/24"]}}},
    {"Sid": "Robots", "Effect": "Allow", "Principal": ["group:basic/deploy"], "Action": ALL, "Resource": ["repo:up/app"]},
    {"Sid": "Public", "Effect": "Allow", "Principal": ["anonymous"], "Action": ["registry:Pull*", "registry:List*"],
     "Resource": ["repo:up/public"]},
    {"Sid": "NoTokens", "Effect": "Deny", "Principal": ["subject:test/banned"], "Action": ["registry:IssueToken"],
     "Resource": ["*"], "Message": "no tokens for you"}]}


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def basic(user, password):
    return {"Authorization": "Basic " + b64(f"{user}:{password}")}


def payload(token):
    return json.loads(unb64(token.split(".")[1]))


def header(token):
    return json.loads(unb64(token.split(".")[0]))


def access(token):
    return {(a["type"], a["name"]): set(a["actions"]) for a in payload(token)["access"]}


class Scene:
    """A gateway with the token service, in front of a stub."""

    def __init__(self, lab, name, options="", more="", policy=POLICY, upstream=None, external="localhost", **kw):
        self.lab, self.stub = lab, stubs.Stub() if upstream is None else None
        self.key = os.path.join(lab.dir, name + "-token.pem")
        self.revoked = os.path.join(lab.dir, name + "-revoked")
        self.htpasswd, self.groups = os.path.join(lab.dir, name + "-htpasswd"), os.path.join(lab.dir, name + "-groups")
        self.write(self.revoked, "# nobody yet\n")
        self.accounts({"robot": "secret"})
        self.write(self.groups, "deploy: robot\n")
        self.gateway = labs.Gateway(
            lab, name, upstream or self.stub.origin, policy, external=external, **kw,
            more=f'token-service = {{ signing-key = "{self.key}"; {options} }};\nrevoked = "{self.revoked}";\n'
                 f'accounts = {{ file = "{self.htpasswd}"; groups = "{self.groups}"; }};\n{more}').start()
        self.service = f"{external}:{self.gateway.port}"
        if self.stub:
            for repo in ("app", "public", "other"):
                self.stub.put(repo, "v1", labs.OCI_MANIFEST, labs.manifest(note=repo))

    def write(self, path, text):
        with open(path + ".new", "w") as f:
            f.write(text)
        os.chmod(path + ".new", 0o600)
        os.rename(path + ".new", path)

    def accounts(self, people):
        lines = b"".join(subprocess.run(["htpasswd", "-Bbn", *p], capture_output=True, check=True).stdout.strip() + b"\n"
                         for p in people.items())
        self.write(self.htpasswd, lines.decode())

    def edit(self, path, old, new):
        with open(path) as f:
            text = f.read()
        assert old in text, old
        self.write(path, text.replace(old, new))

    def reload(self):
        g = self.gateway
        events = lambda: [e["event"] for e in g.events() if e["event"].startswith("reload.")]
        before = len(events())
        g.process.child.send_signal(signal.SIGHUP)
        labs.wait_for(lambda: len(events()) > before)
        return events()[-1] == "reload.done"

    def get(self, query="", headers=None, **kw):
        return self.gateway.request("GET", "/token" + ("?" + query if query else ""), headers=headers, **kw)

    def post(self, fields, headers=None):
        body = fields if isinstance(fields, bytes) else urllib.parse.urlencode(fields).encode()
        return self.gateway.request("POST", "/token", headers={**FORM, **(headers or {})}, body=body)

    def ask(self, who, *scopes, **kw):
        """The answer to GET /token, with a JWT as the password (who: a subject, or a token)."""
        jwt = who if "." in who else self.lab.signer.token(who, **kw)
        return self.get("&".join([f"service={self.service}"] + ["scope=" + urllib.parse.quote(s, safe="") for s in scopes]),
                        basic("jwt", jwt))

    def token(self, who, *scopes, **kw):
        r = self.ask(who, *scopes, **kw)
        if r.status != 200:
            raise RuntimeError(f"no token for {who}: {r}")
        return json.loads(r.body)["token"]

    def status(self, target, token, method="GET"):
        return self.gateway.request(method, target, token).status


# ---- asking ----

def challenges(report, s):
    g = s.gateway
    want = f'Bearer realm="https://{s.service}/token",service="{s.service}"'
    for method, target, scope in (
            ("GET", "/v2/", ""),
            ("GET", "/v2/app/manifests/v1", 'scope="repository:app:pull"'),
            ("HEAD", "/v2/app/manifests/v1", 'scope="repository:app:pull"'),
            ("GET", "/v2/team/app/tags/list", 'scope="repository:team/app:pull"'),
            ("POST", "/v2/app/blobs/uploads/", 'scope="repository:app:pull,push"'),
            ("POST", f"/v2/app/blobs/uploads/?mount={labs.digest_of(b'')}&from=other",
             'scope="repository:app:pull,push repository:other:pull"'),
            ("DELETE", "/v2/app/manifests/v1", 'scope="repository:app:delete"'),
            ("GET", "/v2/_catalog", 'scope="registry:catalog:*"')):
        r = g.request(method, target)
        report.ok(r.status == 401 and r.header("www-authenticate") == want + ("," + scope if scope else ""),
                  f"{method} {target.partition('?')[0]} without credentials asks for {scope or 'a token'}",
                  f"{r} {r.header('www-authenticate')}")
    for name, headers, kw in (("X-Forwarded-Host", {"X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "http"}, {}),
                              ("Forwarded", {"Forwarded": "host=evil.test;proto=http"}, {}),
                              ("another name of ours as Host", {}, {"host": "registry.test"}),
                              ("Host with another port", {}, {"host": "localhost:1"})):
        c = labs.Client(g, sni=None)
        r = c.request("GET", "/v2/", headers=headers, **kw)
        c.close()
        report.ok(r.header("www-authenticate") == want, f"{name} does not change the realm", repr(r.header("www-authenticate")))
    c = labs.Client(g, sni=None)
    r = c.request("GET", "/v2/", host="evil.test")
    c.close()
    report.ok(r.status == 421 and r.header("www-authenticate") is None, "a Host that is not ours gets no realm at all", repr(r))
    r = s.get()
    report.ok(r.status == 401 and r.header("www-authenticate") == 'Basic realm="localhost"', "/token itself asks for Basic", repr(r.headers))
    r = g.request("GET", "/v2/", "x.y.z")
    report.ok(r.status == 401 and 'error="invalid_token"' in r.header("www-authenticate"), "a bad token is called one", repr(r.headers))


def asking(report, s, g):
    r = s.ask("ci", "repository:app:pull,push")
    a = json.loads(r.body)
    t = a.get("token", "")
    report.ok(r.status == 200 and t and a["access_token"] == t and a["expires_in"] == 900 and "refresh_token" not in a and
              time.strptime(a["issued_at"], "%Y-%m-%dT%H:%M:%SZ"), "GET /token answers as clients want it", repr(r))
    report.ok(r.header("cache-control") == "no-store" and r.header("content-type") == "application/json", "... not to be stored",
              repr(r.headers))
    p, h = payload(t), header(t)
    report.ok(p["iss"] == f"https://{s.service}" and p["aud"] == s.service and p["sub"] == "ci" and p["exp"] - p["iat"] == 900 and
              p["nbf"] == p["iat"] and len(p["jti"]) == 22 and h["alg"] == "ES256" and h["cty"] == "reg+jwt",
              "iss, aud, sub, exp, nbf, jti, alg and cty are as documented", repr((h, p)))
    e = g.wait_event(lambda e: e["action"] == "token.issue" and e["decision"] == "allow")
    text = json.dumps(e)
    report.ok(e["token"] == {"id": p["jti"], "scope": "repository:app:pull,push"} and t not in text and t.split(".")[2] not in text and
              e["actor"] == {"issuer": "test", "subject": "ci", "method": "basic"}, "one event, with jti and scope, without the token", text)
    report.ok(s.status("/v2/", t) == 200 and s.status("/v2/app/manifests/v1", t) == 200, "the token is good")
    e = g.wait_event(lambda e: e["action"] == "manifest.get" and "token" in e)
    report.ok(e["token"] == {"id": p["jti"]} and e["actor"]["subject"] == "ci", "events of its uses name it", repr(e))
    wide = ["repository:app:pull,push", "repository:app/x:pull"]
    for name, r in (
            ("several scope parameters", s.ask("ci", *wide)),
            ("one with spaces", s.ask("ci", " ".join(wide))),
            ("POST", s.post({"grant_type": "password", "username": "x", "password": s.lab.signer.token("ci"), "service": s.service,
                             "client_id": "containerd-client", "scope": " ".join(wide)})),
            ("POST, chunked as containers/image sends it", chunked(g, {"grant_type": "password", "username": "x", "password":
                                                                      s.lab.signer.token("ci"), "scope": " ".join(wide)})),
            ("an IdP token as Bearer", s.get("scope=" + "&scope=".join(wide), {"Authorization": "Bearer " + s.lab.signer.token("ci")})),
            ("repeated and in another order", s.ask("ci", "repository:app:push", wide[1], "repository:app:push,pull", wide[1]))):
        report.ok(r.status == 200 and access(json.loads(r.body)["token"]) ==
                  {("repository", "app"): {"pull", "push"}, ("repository", "app/x"): {"pull"}}, f"scopes are a set: {name}", repr(r))
    r = s.get(f"account=jwt&client_id=docker&offline_token=true&service={s.service}", basic("jwt", s.lab.signer.token("ci")))
    a = json.loads(r.body)
    report.ok(r.status == 200 and access(a["token"]) == {} and "refresh_token" not in a and s.status("/v2/", a["token"]) == 200,
              "docker login: no scope, offline_token, no refresh token", repr(r))
    r = s.gateway.request("GET", "/v2/app/manifests/v1", s.lab.signer.token("ci"))
    b = s.gateway.request("GET", "/v2/app/manifests/v1", headers=basic("jwt", s.lab.signer.token("ci")))
    report.ok(r.status == 200 and b.status == 200, "tokens of an issuer are good on /v2/ as before, Bearer and Basic")


def chunked(g, fields):
    c = g.client()
    body = urllib.parse.urlencode(fields).encode()
    c.send(b"POST /token HTTP/1.1\r\nHost: registry.test\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
           b"Transfer-Encoding: chunked\r\n\r\n")
    for i in range(0, len(body), 100):
        c.send(b"%x\r\n%s\r\n" % (len(body[i:i + 100]), body[i:i + 100]))
    c.send(b"0\r\n\r\n")
    r = c.response("POST")
    c.close()
    return r


def granting(report, s):
    for who, asked, want in (
            ("dev", "repository:app:pull,push,delete", {"app": {"pull"}}),
            ("dev", "repository:other:pull", {}),
            ("other", "repository:app:pull", {}),
            ("admin", "repository:app:*", {"app": {"pull", "delete"}}),
            ("admin", "registry:catalog:*", {"catalog": {"*"}}),
            ("dev", "registry:catalog:*", {}),
            ("ci", "repository:*:* repository:app*:pull repository:App:pull repository:localhost:5000/app:pull", {}),
            ("ci", "plugin:x:pull repository(plugin):app:pull repository:app:pull", {"app": {"pull"}}),
            # which tag is not known yet: it is asked about again
            ("release", "repository:app:pull,push", {"app": {"push"}}),
            # where from is
            ("away", "repository:app:pull", {})):
        r = s.ask(who, asked)
        got = {k[1]: v for k, v in access(json.loads(r.body)["token"]).items()} if r.status == 200 else r
        report.ok(got == want, f"{who} asks for {asked}: {want or 'nothing'}", repr(got))
    r = s.ask("banned", "repository:app:pull")
    report.ok(r.status == 403 and "no tokens for you" in r.message() and r.code() == "DENIED", "a Deny of registry:IssueToken is 403", repr(r))
    r = s.get(f"service={s.service}&scope=repository:public:pull,push")
    a = json.loads(r.body)
    report.ok(r.status == 200 and access(a["token"]) == {("repository", "public"): {"pull"}}, "anonymous: what policy allows everybody", repr(r))
    report.ok(s.status("/v2/public/manifests/v1", a["token"]) == 200 and s.status("/v2/app/manifests/v1", a["token"]) == 401,
              "... and its token is good for that alone")
    r = s.get(f"service={s.service}&scope=repository:app:pull")
    report.ok(r.status == 401, "anonymous, and nothing granted: 401", repr(r))
    r = s.get(f"service={s.service}", {"Authorization": "Basic Og=="})
    report.ok(r.status == 401, "empty Basic credentials are none", repr(r))


def ceiling(report, s):
    pull, push = s.token("ci", "repository:app:pull"), s.token("ci", "repository:app:pull,push")
    none, release = s.token("ci"), s.token("release", "repository:app:push")
    for name, token, method, target, want in (
            ("pull", pull, "GET", "/v2/app/manifests/v1", 200),
            ("pull", pull, "GET", "/v2/app/tags/list", 200),
            ("pull", pull, "POST", "/v2/app/blobs/uploads/", 401),
            ("pull", pull, "PUT", "/v2/app/manifests/v2", 401),
            # what policy denies no other token will open: 403, not another round at the token service
            ("pull", pull, "DELETE", "/v2/app/manifests/v1", 403),
            ("pull", pull, "GET", "/v2/app/x/tags/list", 401),
            ("pull", pull, "GET", "/v2/_catalog", 403),
            ("push", push, "POST", "/v2/app/blobs/uploads/", 202),
            # in the token's scope, but policy is asked again
            ("push", push, "DELETE", "/v2/app/manifests/v1", 403),
            ("no scope", none, "GET", "/v2/", 200),
            ("no scope", none, "GET", "/v2/app/manifests/v1", 401)):
        r = s.gateway.request(method, target, token, KIND if method == "PUT" else None, labs.manifest(note="v2") if method == "PUT" else None)
        ok = r.status == want and (want != 401 or 'error="insufficient_scope"' in r.header("www-authenticate", ""))
        report.ok(ok, f"a token for {name}: {method} {target} is {want}", f"{r} {r.headers}")
    body = labs.manifest(note="tag")
    r = s.gateway.request("PUT", "/v2/app/manifests/latest", release, KIND, body)
    report.ok(r.status == 403, "what the token covers and policy does not allow: 403", repr(r))
    r = s.gateway.request("HEAD", "/v2/app/manifests/v1", release)
    report.ok(r.status in (200, 403), "HEAD is for pushers too", repr(r))
    r = s.gateway.request("POST", f"/v2/app/blobs/uploads/?mount={labs.digest_of(b'')}&from=app/x", push)
    report.ok(r.status == 202, "a mount from where the token does not reach is an upload", repr(r))
    admin = s.token("admin", "registry:catalog:*")
    r = s.gateway.request("GET", "/v2/_catalog", admin)
    report.ok(r.status == 200 and "app" in json.loads(r.body)["repositories"], "a token for the catalog shows what policy does", repr(r))


KIND = {"Content-Type": labs.OCI_MANIFEST}


# ---- refusing ----

def refusing(report, s):
    lab = s.lab
    jwt, now = lab.signer.token("ci"), int(time.time())
    good = {"grant_type": "password", "username": "x", "password": jwt, "service": s.service}
    for name, fields, status, error in (
            ("grant_type=refresh_token", {"grant_type": "refresh_token", "refresh_token": jwt, "service": s.service}, 400, "unsupported_grant_type"),
            ("grant_type=client_credentials", {**good, "grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
            ("no grant_type", {k: v for k, v in good.items() if k != "grant_type"}, 400, "invalid_request"),
            ("no password", {k: v for k, v in good.items() if k != "password"}, 400, "invalid_request"),
            ("no user name", {k: v for k, v in good.items() if k != "username"}, 400, "invalid_request"),
            ("another service", {**good, "service": "other"}, 400, "invalid_request"),
            ("password twice", urllib.parse.urlencode(good).encode() + b"&password=x", 400, "invalid_request"),
            ("a bad escape", b"grant_type=password&username=%zz&password=x", 400, "invalid_request"),
            ("a NUL", b"grant_type=password&username=a%00&password=x", 400, "invalid_request"),
            ("a scope with a newline", {**good, "scope": "repository:app:pull\nrepository:x:pull"}, 400, "invalid_request"),
            ("a scope that is none", {**good, "scope": "everything"}, 400, "invalid_request"),
            ("33 repositories", {**good, "scope": " ".join(f"repository:r{i}:pull" for i in range(33))}, 400, "invalid_request"),
            ("JSON", b'{"grant_type":"password"}', 400, "invalid_request"),
            ("an empty body", b"", 400, "invalid_request"),
            ("a bad password", {**good, "password": "nonsense"}, 401, "invalid_grant")):
        r = s.post(fields)
        report.ok(r.status == status and json.loads(r.body).get("error") == error, f"POST with {name}: {status} {error}", repr(r))
    r = s.post(good, basic("jwt", jwt))
    report.ok(r.status == 400, "credentials in the form and in Authorization: 400", repr(r))
    r = s.gateway.request("POST", "/token", headers={"Content-Type": "application/json"}, body=b"{}")
    report.ok(r.status == 415, "another content type: 415", repr(r))
    r = s.get("scope=" + "%20".join(f"repository:r{i}:pull" for i in range(33)), basic("jwt", jwt))
    report.ok(r.status == 400, "33 repositories in a query: 400", repr(r))
    r = s.get("password=" + jwt[:200], basic("jwt", "nonsense"))
    e = s.gateway.wait_event(lambda e: e["http"]["path"].startswith("/token?password"))
    report.ok(r.status == 401 and jwt[:50] not in json.dumps(e), "what stands in a query of /token is in no event", repr(e))
    c = s.gateway.client()
    try:
        c.send(b"POST /token HTTP/1.1\r\nHost: registry.test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1048576\r\n\r\n")
        r = c.response("POST")
    finally:
        c.close()
    report.ok(r.status == 413, "a form of 1 MiB: 413 from its head alone", repr(r))
    c = s.gateway.client()
    try:
        c.send(b"POST /token HTTP/1.1\r\nHost: registry.test\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(64):
                c.send(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")
        except OSError:
            pass
        r = c.response("POST")
    except labs.Closed:
        r = None
    finally:
        c.close()
    report.ok(r is None or r.status == 413, "... and chunked, when there is too much of it", repr(r))
    # every bad login has the same answer
    logins = [basic("jwt", p) for p in (lab.signer.token("ci", aud="other"), lab.signer.token("ci", exp=now - 3600, iat=now - 7200),
                                        "a.b.c", "nonsense", lab.signer.token("ci", iss="https://elsewhere"), jwt[:-10] + "AAAAAAAAAA")]
    logins += [basic("robot", "wrong"), basic("nobody", "secret"), basic("", "x"), basic("x", ""), {"Authorization": "Digest x"},
               {"Authorization": "Bearer x.y.z"}]
    answers = [s.get(f"service={s.service}", h) for h in logins]
    plain = {(r.status, r.header("www-authenticate"), strip(r.body), strip(r.reason.encode())) for r in answers}
    report.ok(len(plain) == 1 and answers[0].status == 401, f"{len(logins)} bad logins have one answer", repr(plain))
    s.gateway.settled()
    why = {(e["reason"], e.get("detail")) for e in s.gateway.requests() if e["action"] == "token.issue" and e["http"]["status"] == 401}
    report.ok({("bad_token", "audience"), ("bad_token", "expired"), ("bad_token", "issuer_unknown"), ("bad_credentials", None)} <= why,
              "... and the events say why", repr(why))


def strip(body):
    return labs.re.sub(rb"[0-9A-HJKMNP-TV-Z]{26}", b"", body)


def ending(report, s):
    now = int(time.time())
    for name, claims, want in (("59 s left", {"exp": now + 55}, None), ("in leeway", {"exp": now - 5}, None),
                               ("five minutes left", {"exp": now + 300}, 300)):
        r = s.ask("ci", "repository:app:pull", iat=now - 600, **claims)
        got = json.loads(r.body).get("expires_in") if r.status == 200 else None
        report.ok((r.status == 401 and want is None) or (want and want - 5 <= got <= want), f"an issuer's token with {name}: "
                  f"{want or 'none of ours'}", repr(r))


def sessions(report, lab):
    s = Scene(lab, "sessions")
    s.edit(s.gateway.conf, 'algorithms = ["ES256"];', 'algorithms = ["ES256"]; session = "2 h";')
    now = int(time.time())
    late = {"iat": now - 3600, "exp": now - 1800}
    report.ok(s.ask("ci", "repository:app:pull", **late).status == 401, "without a session a token that is over is over")
    report.ok(s.reload(), "reload with a session of two hours")
    r = s.ask("ci", "repository:app:pull", **late)
    report.ok(r.status == 200 and json.loads(r.body)["expires_in"] == 900, "an hour after it was issued it still gets one of ours", repr(r))
    r = s.ask("ci", "repository:app:pull", iat=now - 7200 + 300, exp=now - 1800)
    report.ok(r.status == 200 and 290 <= json.loads(r.body)["expires_in"] <= 300, "... not longer than the session", repr(r))
    r = s.ask("ci", "repository:app:pull", iat=now - 7200, exp=now - 1800)
    report.ok(r.status == 401, "when the session is over: 401", repr(r))
    r = s.gateway.request("GET", "/v2/app/manifests/v1", lab.signer.token("ci", **late))
    report.ok(r.status == 401, "on /v2/ a token that is over is over, session or not", repr(r))
    s.gateway.stop()


def signed(key, head, body):
    """A compact JWS of these, by openssl."""
    text = (labs.b64(json.dumps(head).encode()) + "." + labs.b64(json.dumps(body).encode())).encode()
    signer = labs.Signer.__new__(labs.Signer)
    signer.key = key
    return text.decode() + "." + labs.b64(signer.sign(text))


def attacks(report, s):
    lab = s.lab
    token = s.token("dev", "repository:app:pull")
    h, p = header(token), payload(token)
    parts = token.split(".")
    stranger = labs.Signer(lab.dir, "stranger")
    public = labs.openssl("pkey", "-in", s.key, "-pubout")
    wide = {**p, "access": [{"type": "repository", "name": "app", "actions": ["pull", "push", "delete"]}]}
    now = int(time.time())
    enc = lambda o: labs.b64(json.dumps(o).encode())

    def hs256(secret):
        text = enc({**h, "alg": "HS256"}) + "." + enc(wide)
        return text + "." + labs.b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())

    report.ok(signed(s.key, h, p) != token and s.status("/v2/app/manifests/v1", signed(s.key, h, p)) == 200,
              "what the tests sign with the right key is good: the refusals below are no accident")
    for name, t in (
            ("alg none", enc({**h, "alg": "none"}) + "." + enc(wide) + "."),
            ("alg none with a signature", enc({**h, "alg": "none"}) + "." + enc(wide) + "." + parts[2]),
            ("HS256 with our public key", hs256(public)),
            ("HS256 with an empty secret", hs256(b"")),
            ("tampered access", parts[0] + "." + enc(wide) + "." + parts[2]),
            ("another key under our kid", signed(stranger.key, h, wide)),
            ("a replica's key that is not known here", signed(stranger.key, {**h, "kid": "AAAA:" * 11 + "AAAA"}, wide)),
            ("a jwk in the header", signed(stranger.key, {**h, "jwk": json.load(open(stranger.jwks))["keys"][0]}, wide)),
            ("no kid", signed(s.key, {k: v for k, v in h.items() if k != "kid"}, p)),
            ("expired", signed(s.key, h, {**p, "iat": now - 1000, "nbf": now - 1000, "exp": now - 100})),
            ("not yet valid", signed(s.key, h, {**p, "nbf": now + 300})),
            ("too long", signed(s.key, h, {**p, "exp": now + 86400})),
            ("another audience", signed(s.key, h, {**p, "aud": "other"})),
            ("several audiences", signed(s.key, h, {**p, "aud": [p["aud"], "other"]})),
            ("another issuer", signed(s.key, h, {**p, "iss": "https://elsewhere"})),
            ("no cty", signed(s.key, {k: v for k, v in h.items() if k != "cty"}, p)),
            ("an issuer that is not configured", signed(s.key, h, {**p, "proof": {**p["proof"], "issuer": "other"}})),
            ("a key that the issuer has not", signed(s.key, h, {**p, "proof": {**p["proof"], "kid": "other"}})),
            ("an issuer's token with our cty", lab.signer.token("dev", header={"cty": "reg+jwt"})),
            ("an issuer's token with typ reg+jwt", lab.signer.token("dev", header={"typ": "reg+jwt"})),
            ("an issuer's token with our iss", lab.signer.token("dev", iss=f"https://{s.service}")),
            ("an issuer's token with our cty, kid and claims", lab.signer.token("dev", header=h, **wide))):
        report.ok(s.status("/v2/app/manifests/v1", t) == 401, f"attack: {name}: 401")
    # what an issuer says of access and proof means nothing
    r = s.gateway.request("PUT", "/v2/app/manifests/x", lab.signer.token("dev", access=wide["access"], proof={"type": "jwt"}), KIND, labs.manifest())
    report.ok(r.status == 403, "access in an issuer's token grants nothing", repr(r))
    report.ok(s.get("", {"Authorization": "Bearer " + token}).status == 401 and s.get("", basic("jwt", token)).status == 401 and
              s.post({"grant_type": "password", "username": "x", "password": token}).status == 401, "a token of ours gets no other one")
    r = s.gateway.request("GET", "/v2/app/manifests/v1", headers=basic("jwt", token))
    report.ok(r.status == 401, "... and is no password", repr(r))


# ---- what ends tokens ----

def dying(report, lab):
    s = Scene(lab, "dying")
    t, other = s.token("dev", "repository:app:pull"), s.token("ci", "repository:app:pull")
    idp = lab.signer.token("dev", jti="leaked-1")
    child = s.token(idp, "repository:app:pull")
    get = lambda token: s.status("/v2/app/manifests/v1", token)
    report.ok([get(x) for x in (t, other, idp, child)] == [200] * 4, "tokens before")
    s.write(s.revoked, f"jti:{payload(other)['jti']}\njti:leaked-1\n")
    report.ok(s.reload() and [get(x) for x in (t, other, idp, child)] == [200, 401, 401, 401],
              "the deny list: one of ours by its jti, an issuer's by its jti, and what was minted of it")
    s.write(s.revoked, "subject:test/dev\n")
    report.ok(s.reload() and [get(x) for x in (t, other, lab.signer.token("dev"))] == [401, 200, 401] and
              s.ask("dev", "repository:app:pull").status == 401, "... a person, by name, with every token: replays too")
    e = s.gateway.wait_event(lambda e: e["reason"] == "revoked")
    report.ok(e["http"]["status"] == 401 and e["actor"]["subject"] == "dev", "... and the event says so", repr(e))
    s.write(s.revoked, "")
    # the policy looks at more: what was reduced for the one before it is not enough
    policy = os.path.join(s.gateway.dir, "policy.json")
    s.write(policy, json.dumps({**POLICY, "Statement": POLICY["Statement"] + [
        {"Sid": "More", "Effect": "Deny", "Principal": ["group:test/contractors"], "Action": ["registry:Pull*"], "Resource": ["repo:up/app"]}]}))
    report.ok(s.reload() and get(t) == 401, "a policy that looks at another group: 401")
    report.ok(get(s.token("dev", "repository:app:pull")) == 200 and
              s.status("/v2/app/manifests/v1", s.token("dev", "repository:app:pull", groups=["contractors"])) in (401, 403),
              "... and a new token tells it")
    s.write(policy, json.dumps(POLICY))
    report.ok(s.reload() and get(t) == 200, "the same policy as before: the same token is good again")
    # keys
    new, old = labs.Signer(lab.dir, "next-key"), s.key
    s.edit(s.gateway.conf, f'signing-key = "{old}";', f'signing-key = "{old}"; next-keys = ["{new.key}"];')
    keys = lambda: json.loads(s.gateway.request("GET", "/.well-known/jwks.json").body)["keys"]
    report.ok(s.reload() and len(keys()) == 2 and header(s.token("dev"))["kid"] == keys()[0]["kid"], "a next key is published, the old one signs")
    s.edit(s.gateway.conf, f'signing-key = "{old}"; next-keys = ["{new.key}"];', f'signing-key = "{new.key}"; retiring-keys = ["{old}"];')
    report.ok(s.reload() and len(keys()) == 2 and get(t) == 200 and get(s.token("dev", "repository:app:pull")) == 200, "rotated: both are good")
    s.edit(s.gateway.conf, f' retiring-keys = ["{old}"];', "")
    report.ok(s.reload() and len(keys()) == 1 and get(t) == 401, "the old key is gone, and its tokens")
    t = s.token("dev", "repository:app:pull")
    # the issuer's key, then the issuer
    second = labs.Signer(lab.dir, "idp-2")
    s.edit(s.gateway.conf, lab.signer.jwks, second.jwks)
    report.ok(s.reload() and get(t) == 401, "the issuer's key is gone, and tokens minted of its signature")
    s.edit(s.gateway.conf, second.jwks, lab.signer.jwks)
    report.ok(s.reload() and get(t) == 200, "... and back")
    robot = json.loads(s.get("scope=repository:app:pull,push", basic("robot", "secret")).body)["token"]
    s.accounts({"robot": "changed"})
    report.ok(get(robot) == 200 and s.reload() and get(robot) == 401 and
              s.get("", basic("robot", "secret")).status == 401 and s.get("", basic("robot", "changed")).status == 200,
              "the account has another password: its tokens are over, and what was remembered of the login")
    shutil.move(s.key, s.key + ".gone")
    s.edit(s.gateway.conf, f'signing-key = "{new.key}";', f'signing-key = "{s.key}";')
    report.ok(not s.reload() and get(t) == 200, "a reload without its key changes nothing")
    s.gateway.stop()


def accounts(report, s):
    g = s.gateway
    r = g.request("GET", "/v2/app/manifests/v1", headers=basic("robot", "secret"))
    report.ok(r.status == 200, "an account: Basic on /v2/", repr(r))
    e = g.wait_event(lambda e: e["action"] == "manifest.get" and e["actor"].get("issuer") == "basic")
    report.ok(e["actor"] == {"issuer": "basic", "subject": "robot", "method": "basic"}, "its event names it", repr(e))
    for name, user, password in (("a wrong password", "robot", "Secret"), ("a name that nobody has", "nobody", "secret"),
                                 ("a long password", "robot", "x" * 300), ("a NUL", "robot", "secret\0x"), ("no name", "", "secret")):
        r = g.request("GET", "/v2/app/manifests/v1", headers=basic(user, password))
        report.ok(r.status == 401, f"{name}: 401", repr(r))
    r = s.post({"grant_type": "password", "username": "robot", "password": "secret", "scope": "repository:app:pull,push repository:other:pull"})
    t = json.loads(r.body)["token"]
    report.ok(r.status == 200 and access(t) == {("repository", "app"): {"pull", "push"}} and s.status("/v2/app/manifests/v1", t) == 200,
              "a token for an account", repr(r))
    # so many at once that some must wait, and some be told to come back; none may be let in
    clients = [g.client() for _ in range(60)]
    for i, c in enumerate(clients):
        c.send(f"GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Basic {b64(f'robot:wrong{i}')}\r\n\r\n".encode())
    got = [c.response().status for c in clients]
    for c in clients:
        c.close()
    report.ok(set(got) <= {401, 503} and 401 in got, f"60 wrong passwords at once: {got.count(401)} refused, {got.count(503)} told to come back", repr(got))
    # some hang up while theirs is checked
    for i in range(20):
        c = g.client()
        c.send(f"GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Basic {b64(f'robot:gone{i}')}\r\n\r\n".encode())
        c.close()
    report.ok(g.request("GET", "/v2/", headers=basic("robot", "secret")).status == 200, "... and the gateway goes on")


def certificates(report, lab):
    ca = identity.Authority(lab, "tokens-ca")
    node, twin = ca.issue("node", "DNS:node.test"), ca.issue("twin", "DNS:node.test")
    node_pulls = {"Sid": "Node", "Effect": "Allow", "Principal": ["subject:mtls/node.test"], "Action": ["registry:Pull*"],
                  "Resource": ["repo:up/app"]}
    s = Scene(lab, "certificates", policy={**POLICY, "Statement": POLICY["Statement"] + [node_pulls]}, listen={"client-certificate": "optional", "client-ca": ca.path + ".crt"})
    r = s.get(f"service={s.service}&scope=repository:app:pull", certificate=node)
    t = json.loads(r.body).get("token", "") if r.status == 200 else ""
    report.ok(r.status == 200 and "x5t#S256" in payload(t)["cnf"], "a token for a client certificate is bound to it", repr(r))
    for name, card, want in (("the same certificate", node, 200), ("another one of the same name", twin, 401), ("none", None, 401)):
        r = s.gateway.request("GET", "/v2/app/manifests/v1", t, certificate=card)
        report.ok(r.status == want, f"... used with {name}: {want}", repr(r))
    r = s.gateway.request("GET", "/v2/app/manifests/v1", s.token("dev", "repository:app:pull"), certificate=node)
    report.ok(r.status == 200, "a token for a JWT is good on any connection", repr(r))
    s.gateway.stop()


def limits(report, lab):
    s = Scene(lab, "failures", limits={"auth-failures": 5})
    seen = [s.get("", basic("robot", f"wrong{i}")).status for i in range(8)]
    seen += [s.ask("ci").status]
    if len(set(seen)) == 1:     # a minute ended between them
        seen = [s.get("", basic("robot", f"wrong{i}")).status for i in range(8)]
    report.ok(401 in seen and seen[-1] == 429, "failed logins at /token count for their source", repr(seen))
    s.gateway.stop()
    s = Scene(lab, "basic-realm", 'realm-mode = "basic";')
    r = s.gateway.request("GET", "/v2/")
    report.ok(r.header("www-authenticate") == 'Basic realm="localhost"' and s.ask("ci").status == 200,
              'realm-mode = "basic": 401s ask for credentials, /token works all the same', repr(r.headers))
    s.gateway.stop()
    g = labs.Gateway(lab, "no-service", "http://127.0.0.1:1").start()
    seen = [g.request("GET", t).status for t in ("/token", "/.well-known/jwks.json")]
    report.ok(seen == [404, 404], "without signing-key there is no token service", repr(seen))
    r = g.request("GET", "/v2/")
    report.ok(r.header("www-authenticate", "").startswith("Basic realm="), "... and 401s ask for credentials", repr(r.headers))
    g.stop()


def replicas(report, lab):
    """Two gateways that share the key, of one name: what one mints the other takes."""
    a = Scene(lab, "replica-a", 'service = "cluster";')
    b = Scene(lab, "replica-b", 'service = "cluster";')
    b.edit(b.gateway.conf, b.key, a.key)
    b.edit(b.gateway.conf, f'external-url = "https://localhost:{b.gateway.port}"', f'external-url = "https://localhost:{a.gateway.port}"')
    t = a_token = json.loads(a.get("service=cluster&scope=repository:app:pull", basic("jwt", lab.signer.token("dev"))).body)["token"]
    report.ok(b.status("/v2/app/manifests/v1", t) == 401, "a token of a stranger's key: 401")
    report.ok(b.reload() and b.status("/v2/app/manifests/v1", a_token) == 200, "a token of a replica's: good")
    a.gateway.stop()
    b.gateway.stop()


# ---- other programs ----

def in_docker_registry(report, s):
    """Debian's docker-registry, told to trust our key, takes our tokens: written by others, reads the same."""
    lab = s.lab
    port, data = labs.free_port(), os.path.join(lab.dir, "consumer")
    os.makedirs(data)
    bundle = os.path.join(data, "bundle.pem")
    labs.openssl("req", "-x509", "-new", "-key", s.key, "-subj", "/CN=tokens", "-days", "2", "-out", bundle)
    with open(os.path.join(data, "conf.yml"), "w") as f:
        f.write("version: 0.1\nlog: {level: warn}\n"
                f"storage: {{filesystem: {{rootdirectory: {data}/data}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
                f"auth: {{token: {{realm: 'https://{s.service}/token', service: '{s.service}', issuer: 'https://{s.service}', "
                f"rootcertbundle: {bundle}}}}}\n")
    p = lab.process(["docker-registry", "serve", os.path.join(data, "conf.yml")], "consumer")
    report.ok(labs.wait_for(lambda: labs.port_open(port)), "docker-registry starts with our key as rootcertbundle", p.tail())

    def ask(method, path, token):
        ok, said = adapters.command(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, "-H", f"Authorization: Bearer {token}",
                                     f"http://127.0.0.1:{port}{path}"])
        return said

    pull, push = s.token("ci", "repository:app:pull"), s.token("ci", "repository:app:pull,push")
    for name, token, method, path, want in (
            ("any of ours", pull, "GET", "/v2/", "200"), ("pull", pull, "GET", "/v2/app/tags/list", "404"),
            ("pull, used to push", pull, "POST", "/v2/app/blobs/uploads/", "401"), ("push", push, "POST", "/v2/app/blobs/uploads/", "202"),
            ("of another repository", push, "GET", "/v2/other/tags/list", "401"), ("an issuer's", lab.signer.token("ci"), "GET", "/v2/", "401"),
            ("a tampered one", pull[:-6] + "AAAAAA", "GET", "/v2/", "401")):
        got = ask(method, path, token)
        report.ok(got == want, f"docker-registry, a token for {name}: {method} {path} is {want}", got)
    p.stop()


def in_jose(report, s):
    """jose, from npm, against the published key set."""
    if not signatures.install(report):
        return
    jwks = s.gateway.request("GET", "/.well-known/jwks.json")
    report.ok(jwks.header("cache-control") == "public, max-age=900" and jwks.header("content-type") == "application/json",
              "the key set may be cached for 15 minutes", repr(jwks.headers))
    head = s.gateway.request("HEAD", "/.well-known/jwks.json")
    report.ok(head.status == 200 and head.header("content-length") == str(len(jwks.body)), "... and asked about with HEAD")
    token = s.token("ci", "repository:app:pull,push")
    stranger = labs.Signer(s.lab.dir, "jose-stranger")
    cases = [[token, True], [signed(stranger.key, header(token), payload(token)), False], [token[:-4] + "AAAA", False],
             [signed(s.key, header(token), {**payload(token), "aud": "other"}), False]]
    ok, said = adapters.command(["node", os.path.join(signatures.MODULES, "verify.js")], data=json.dumps(
        {"jwks": json.loads(jwks.body), "issuer": f"https://{s.service}", "audience": s.service, "cases": cases}).encode())
    report.ok(ok and json.loads(said.splitlines()[-1]) == [c[1] for c in cases], "jose verifies our token by our key set, and none of the others", said)


# ---- clients ----

def large_claims():
    """Of a directory with many groups: a token of at least 12 KiB."""
    groups = [f"{hashlib.sha256(str(i).encode()).hexdigest()[:32]}-cn=team-{i}" for i in range(190)]
    return {"groups": groups + ["developers"], "name": "x" * 200}


def login_robot(tool, session):
    """In each client's own words: a name of its own beside the password."""
    if tool.name == "ctr":
        session.user = ["--user", "robot:secret"]
        return True, ""
    more = [] if tool.name == "docker" else ["--cert-dir", tool.certs]
    return session.run("login", "-u", "robot", "--password-stdin", *more, session.host, data=b"secret")


def client(lab, report, kind):
    missing = [n for n in kind.needs if not shutil.which(n)]
    if not report.ok(not missing, f"{kind.name} is installed", f"missing: {missing}; deploy/install-deps test brings it"):
        return
    registry, url = lab.registry(f"registry-{kind.name}")
    s = Scene(lab, f"tokens-{kind.name}", upstream=url)
    tool = kind(lab)
    if report.ok(tool.ready(), f"{kind.name} is ready", tool.daemon.tail() if tool.daemon else ""):
        image = tool.make("one")
        big = lab.signer.token("someone", **large_claims())
        small = s.token(big, "repository:app:pull,push")
        report.ok(len(big) >= 12288 and len(small) <= 2048, f"{kind.name}: {len(big)} bytes of JWT, {len(small)} of ours")
        people = {who: tool.session(tool, s.gateway, who) for who in ("someone", "reader", "robot", "nobody")}
        reader = lab.signer.token("dev").encode()
        steps = [("login", lambda: people["someone"].login(big.encode()), True),
                 ("push", lambda: people["someone"].push(image, "app:v1"), True),
                 ("pull", lambda: people["someone"].pull("app:v1"), True),
                 ("mount into a second repository", lambda: people["someone"].push(image, "app/second:v1"), True),
                 ("login as reader", lambda: people["reader"].login(reader), True),
                 ("pull as reader", lambda: people["reader"].pull("app:v1"), True),
                 ("push as reader", lambda: people["reader"].push(image, "app:v2"), False),
                 ("login as a robot", lambda: login_robot(tool, people["robot"]), True),
                 ("pull as a robot", lambda: people["robot"].pull("app:v1"), True),
                 ("push of what all may pull", lambda: people["someone"].push(image, "public:v1"), True),
                 ("pull of it without login", lambda: people["nobody"].pull("public:v1"), True),
                 ("pull of anything else without login", lambda: people["nobody"].pull("app:v1"), False)]
        for name, do, good in steps:
            ok, said = do()
            report.ok(ok == good, f"{kind.name}: {name} {'works' if good else 'is refused'}", said[-1500:])
        s.gateway.settled()
        # what all may read containerd asks for as it is
        uses = [e for e in s.gateway.requests() if e["action"] not in ("ping", "token.issue") and e["decision"] == "allow" and
                e["actor"]["method"] != "anonymous"]
        report.ok(uses and all("token" in e and e["actor"]["method"] == "bearer" for e in uses),
                  f"{kind.name}: all of its {len(uses)} requests came with a token of ours", repr([e for e in uses if "token" not in e][:3]))
    tool.close()
    s.gateway.stop()
    registry.stop()


def raw(lab, report):
    s = Scene(lab, "tokens")
    with open(s.key) as f:
        report.ok(oct(os.stat(s.key).st_mode & 0o777) == "0o600" and "PRIVATE KEY" in f.read(), "the signing key was made, for its owner alone")
    challenges(report, s)
    asking(report, s, s.gateway)
    granting(report, s)
    ceiling(report, s)
    refusing(report, s)
    ending(report, s)
    attacks(report, s)
    accounts(report, s)
    in_docker_registry(report, s)
    in_jose(report, s)
    s.gateway.stop()
    report.ok(*s.gateway.verify()[:1], "audit verify")
    sessions(report, lab)
    dying(report, lab)
    certificates(report, lab)
    limits(report, lab)
    replicas(report, lab)


def run(lab, report, chosen=None):
    if not chosen:
        raw(lab, report)
        return
    if os.geteuid() != 0:
        report.ok(False, "the daemons and stores of these clients need root; run the tests as root")
        return
    for kind in adapters.ALL:
        if kind.name in chosen:
            client(lab, report, kind)
