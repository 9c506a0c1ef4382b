# credentials.py - how the gateway logs in at registries: the Bearer dance with a real docker-registry, and ECR, ACR and GAR
# as stubs that check every field of what they are sent, down to the signature of AWS, with code of their own.
# SPDX-License-Identifier: Apache-2.0
import base64
import datetime
import hashlib
import hmac
import http.server
import json
import os
import re
import subprocess
import threading
import time
import urllib.parse

import lab as labs
import stub as stubs

KIND = {"Content-Type": labs.OCI_MANIFEST}
ACCEPT = {"Accept": labs.OCI_MANIFEST}


class Service:
    """An HTTP server of a few routes: answer(method, path, query, headers, body) -> (status, body, headers)."""

    def __init__(self, answer, tls=None):
        self.calls, self.lock = [], threading.Lock()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                url = urllib.parse.urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
                headers = {k.lower(): v for k, v in self.headers.items()}
                query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
                with service.lock:
                    service.calls.append((self.command, url.path, query, headers, body))
                status, text, *more = answer(self.command, url.path, query, headers, body)
                self.send_response(status)
                for k, v in (more[0] if more else {}).items():
                    self.send_header(k, v)
                data = text.encode() if isinstance(text, str) else json.dumps(text).encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = serve

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
            self.origin = f"https://localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def start(lab, name, url, options, env=None, ca_file=None):
    g = labs.Gateway(lab, name, url, upstream_options=options, ca_file=ca_file)
    g.env = env
    return g.start()


def push_and_pull(report, name, g, tokens, repo="app"):
    layer = os.urandom(5000)
    for data in (layer, b"{}"):
        r = g.upload(repo, data, tokens["ci"])
        report.ok(r.status == 201, f"{name}: a blob is pushed", repr(r))
    body = labs.manifest(layer)
    r = g.request("PUT", f"/v2/{repo}/manifests/v1", tokens["ci"], KIND, body)
    report.ok(r.status == 201, f"{name}: a manifest is pushed", repr(r))
    r = g.request("GET", f"/v2/{repo}/manifests/v1", tokens["dev"], ACCEPT)
    report.ok(r.status == 200 and r.body == body, f"{name}: ... and pulled", repr(r))
    r = g.request("GET", f"/v2/{repo}/blobs/{labs.digest_of(layer)}", tokens["dev"])
    report.ok(r.status == 200 and r.body == layer, f"{name}: ... and its blob", repr(r))
    return layer, body


def no_secret(report, name, g, *secrets):
    with open(g.process.log, errors="replace") as f:
        text = f.read() + json.dumps(g.events())
    found = [s for s in secrets if s in text]
    report.ok(not found, f"{name}: no secret in the log or the audit log", repr(found))


# ---- the Bearer dance, with a real registry ----

class Realm(Service):
    """A token service that docker-registry believes: RS256, the certificate in the header."""

    def __init__(self, lab, name, password):
        self.dir, self.login = lab.dir, f"{name}:{password}"
        self.key, self.cert = os.path.join(lab.dir, "realm.key"), os.path.join(lab.dir, "realm.crt")
        labs.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=realm", "-keyout", self.key, "-out", self.cert)
        self.der = base64.b64encode(labs.openssl("x509", "-in", self.cert, "-outform", "DER")).decode()
        self.does = None
        super().__init__(self.answer, lab.server_context())

    def answer(self, method, path, query, headers, body):
        if self.does:
            return self.does(query)
        login = base64.b64decode(headers.get("authorization", "Basic ").split(" ", 1)[1]).decode()
        if path != "/token" or login != self.login or query.get("service") != ["lab"]:
            return 401, {"errors": [{"code": "UNAUTHORIZED"}]}
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT", "x5c": [self.der]}
        claims = {"iss": "lab-issuer", "sub": "robot", "aud": "lab", "iat": now, "nbf": now - 5, "exp": now + 300, "jti": os.urandom(8).hex(), "access": access}
        signed = (labs.b64(json.dumps(head).encode()) + "." + labs.b64(json.dumps(claims).encode())).encode()
        token = signed.decode() + "." + labs.b64(labs.openssl("dgst", "-sha256", "-sign", self.key, data=signed))
        return 200, {"token": token, "expires_in": 300}

    def scopes(self):
        return [c[2].get("scope", []) for c in self.calls]


def bearer(lab, report, tokens):
    realm = Realm(lab, "robot", "s3cret-of-the-robot")
    auth = json.dumps({"token": {"realm": realm.origin + "/token", "service": "lab", "issuer": "lab-issuer", "rootcertbundle": realm.cert}})
    _, url = lab.registry("bearer", tls=True, auth=auth)
    login = {**lab.credentials("robot", "s3cret-of-the-robot"), "credentials": "token"}
    g = start(lab, "gateway-realm", url, login, ca_file=lab.ca)
    r = g.request("GET", "/v2/app/manifests/v1", tokens["dev"], ACCEPT)
    report.ok(r.status == 502 and not realm.calls, "a realm that is neither the registry's host nor in realm-hosts hears no password", repr(r))
    event = g.wait_event(lambda e: e["reason"] == "upstream_login")
    report.ok("realm-hosts" in json.dumps(event), "... and the event says what to do", json.dumps(event))
    g.stop()
    g = start(lab, "gateway-bearer", url, {**login, "realm-hosts": [f"localhost:{realm.port}"]}, ca_file=lab.ca)
    layer, body = push_and_pull(report, "token", g, tokens)
    want = {("repository:app:pull,push",), ("repository:app:pull",)}
    report.ok({tuple(s) for s in realm.scopes()} == want, "token: no scope but what is needed", repr(realm.scopes()))
    n = len(realm.calls)
    for _ in range(5):
        g.request("GET", "/v2/app/manifests/v1", tokens["dev"], ACCEPT)
    report.ok(len(realm.calls) == n, "token: the same token serves again")
    r = g.request("POST", f"/v2/app/b/blobs/uploads/?mount={labs.digest_of(layer)}&from=app", tokens["ci"])
    report.ok(r.status == 201 and realm.scopes()[-1] == ["repository:app/b:pull,push", "repository:app:pull"],
              "token: a mount asks for both repositories", f"{r} {realm.scopes()[-1]}")
    p = subprocess.run([labs.BINARY, "tag", "import", "-c", g.conf, "up/app"], capture_output=True, text=True, timeout=30)
    report.ok(p.returncode == 0 and ["repository:app:pull"] in realm.scopes(), "token: tag import logs in as well", p.stdout + p.stderr)
    realm.does = lambda q: (503, "down")
    r = g.request("GET", "/v2/app/c/tags/list", tokens["dev"])
    report.ok(r.status == 502 and "log in" in (r.message() or ""), "token: a token service that fails: 502", repr(r))
    n = len(realm.calls)
    for _ in range(5):
        g.request("GET", "/v2/app/c/tags/list", tokens["dev"])
    report.ok(len(realm.calls) - n <= 2, "token: ... and it is not asked at every request", str(len(realm.calls) - n))
    r = g.request("GET", "/v2/app/manifests/v1", tokens["dev"], ACCEPT)
    report.ok(r.status == 200, "token: what was got before serves on", repr(r))
    realm.does = None
    labs.wait_for(lambda: g.request("GET", "/v2/app/c/tags/list", tokens["dev"]).status != 502, 10)
    r = g.request("GET", "/v2/app/c/tags/list", tokens["dev"])
    report.ok(r.status == 404, "token: ... and it is asked again later", repr(r))
    no_secret(report, "token", g, "s3cret-of-the-robot", base64.b64encode(b"robot:s3cret-of-the-robot").decode())
    g.stop()
    realm.close()


# ---- Amazon ----

def sigv4(secret, method, path, headers, signed, body, date, region, service):
    """The signature, computed anew from what arrived."""
    lines = "".join(f"{h}:{' '.join(headers[h].split())}\n" for h in signed.split(";"))
    canonical = "\n".join([method, path, "", lines, signed, hashlib.sha256(body.encode()).hexdigest()])
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (date[:8], region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Amazon(Service):
    """ECR's API, STS, the container credentials endpoint and instance metadata, and the passwords they gave out."""

    def __init__(self):
        self.problems, self.passwords, self.secrets = [], [], {"AKIDENV": "secret-env"}
        super().__init__(self.answer)

    def keys(self, kind):
        key, secret, session = f"ASIA{kind}{os.urandom(3).hex().upper()}", os.urandom(8).hex(), f"session-{kind}=="
        self.secrets[key] = secret
        until = (datetime.datetime.utcnow() + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return key, secret, session, until

    def answer(self, method, path, query, headers, body):
        if path == "/sts/" and method == "POST":
            form = urllib.parse.parse_qs(body)
            if form.get("WebIdentityToken") != ["sa-token"] or form.get("RoleArn") != ["arn:aws:iam::1:role/gateway"] or \
                    form.get("Action") != ["AssumeRoleWithWebIdentity"] or "authorization" in headers:
                return 403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
            key, secret, session, until = self.keys("STS")
            return 200, (f"<R><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
                         f"<SessionToken>{session}</SessionToken><Expiration>{until}</Expiration></Credentials></R>")
        if path == "/pod/v1/credentials":
            if headers.get("authorization") != "pod-token":
                return 401, ""
            key, secret, session, until = self.keys("POD")
            return 200, {"AccessKeyId": key, "SecretAccessKey": secret, "Token": session, "Expiration": until}
        if path == "/imds/latest/api/token":
            return (200, "imds-token") if method == "PUT" and headers.get("x-aws-ec2-metadata-token-ttl-seconds") == "21600" else (400, "")
        if path.startswith("/imds/latest/meta-data/iam/security-credentials/"):
            if headers.get("x-aws-ec2-metadata-token") != "imds-token":
                return 401, ""
            if path.endswith("/"):
                return 200, "gateway-role\n"
            key, secret, session, until = self.keys("EC2")
            return 200, {"Code": "Success", "AccessKeyId": key, "SecretAccessKey": secret, "Token": session, "Expiration": until}
        return self.ecr(method, path, headers, body)

    def ecr(self, method, path, headers, body):
        m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/ecr/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
                         headers.get("authorization", ""))
        if not m or method != "POST" or path != "/" or body != "{}":
            self.problems.append(f"{method} {path} {headers}")
            return 400, {"__type": "IncompleteSignatureException"}
        key, day, region, signed, signature = m.groups()
        must = {"host", "content-type", "x-amz-date", "x-amz-target"} | ({"x-amz-security-token"} if key.startswith("ASIA") else set())
        want = sigv4(self.secrets.get(key, ""), method, path, headers, signed, body, headers["x-amz-date"], region, "ecr")
        if want != signature or not must <= set(signed.split(";")) or region != "eu-west-1" or \
                headers["x-amz-target"] != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" or \
                headers["content-type"] != "application/x-amz-json-1.1":
            self.problems.append(f"signature of {key}")
            return 403, {"__type": "InvalidSignatureException"}
        password = os.urandom(6).hex()
        token = base64.b64encode(f"AWS:{password}".encode()).decode()
        self.passwords.append(token)
        return 200, {"authorizationData": [{"authorizationToken": token, "expiresAt": time.time() + 43200, "proxyEndpoint": "https://x"}]}


class Guarded(stubs.Stub):
    """A registry that takes only what `good` says."""

    def __init__(self, good):
        super().__init__()
        self.good, self.refusals = good, []
        self.hook = self.guard

    def guard(self, r):
        if self.good(r.header("authorization"), r):
            return None
        self.refusals.append((r.method, r.target))
        return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b"{}"


def ecr(lab, report, tokens):
    aws = Amazon()
    up = Guarded(lambda a, r: a is not None and a.startswith("Basic ") and a[6:] == aws.passwords[-1] if aws.passwords else False)
    files = {name: os.path.join(lab.dir, name) for name in ("sa-token", "pod-token")}
    for name, path in files.items():
        with open(path, "w") as f:
            f.write(name + "\n")
    options = {"credentials": "ecr", "region": "eu-west-1", "endpoint": aws.origin}
    clean = {k: "" for k in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                             "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_REGION")}
    ways = {
        "environment": {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "secret-env"},
        "web identity": {"AWS_ROLE_ARN": "arn:aws:iam::1:role/gateway", "AWS_WEB_IDENTITY_TOKEN_FILE": files["sa-token"],
                         "AWS_ENDPOINT_URL_STS": aws.origin + "/sts"},
        "pod identity": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": aws.origin + "/pod/v1/credentials",
                         "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": files["pod-token"]},
        "instance role": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.origin + "/imds"},
    }
    for way, env in ways.items():
        before = len(aws.passwords)
        g = start(lab, "gateway-ecr-" + way.replace(" ", "-"), up.origin, options, {**clean, **env})
        push_and_pull(report, f"ecr, {way}", g, tokens, "app/" + way.replace(" ", "-"))
        report.ok(len(aws.passwords) == before + 1 and not aws.problems, f"ecr, {way}: one login for all of it", f"{len(aws.passwords) - before} {aws.problems}")
        # the password ends early: the registry says 401
        aws.passwords.append("changed")
        r = g.request("GET", "/v2/app/tags/list", tokens["dev"])
        report.ok(len(aws.passwords) == before + 3, f"ecr, {way}: after a 401 the gateway logs in once more", f"{r} {len(aws.passwords) - before}")
        no_secret(report, f"ecr, {way}", g, *aws.secrets.values(), *aws.passwords)
        g.stop()
    g = start(lab, "gateway-ecr-none", up.origin, options, {**clean, "AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.origin + "/nothing"})
    r = g.request("GET", "/v2/app/tags/list", tokens["dev"])
    event = g.wait_event(lambda e: e["reason"] == "upstream_login")
    report.ok(r.status == 502 and "no AWS keys" in json.dumps(event), "ecr: no keys anywhere: 502, and the event says so", f"{r} {event}")
    g.stop()
    aws.close()


# ---- Azure ----

def jwt(**claims):
    return ".".join(labs.b64(json.dumps(x).encode()) for x in ({"alg": "RS256"}, claims)) + "." + labs.b64(b"signature")


class Azure(Guarded):
    """A registry of Azure's with its /oauth2 endpoints, and the places its callers come from."""

    def __init__(self):
        self.refresh, self.access, self.problems, self.exchanges = set(), {}, [], 0
        super().__init__(self.may)
        self.identity = Service(self.identities)
        self.hook = self.oauth

    def identities(self, method, path, query, headers, body):
        form = urllib.parse.parse_qs(body)
        if path == "/metadata/identity/oauth2/token":
            good = headers.get("metadata") == "true" and query == {"api-version": ["2018-02-01"], "resource": ["https://containerregistry.azure.net/"], "client_id": ["cid"]}
        else:
            good = path == "/tid/oauth2/v2.0/token" and form.get("grant_type") == ["client_credentials"] and form.get("client_id") == ["cid"] and \
                form.get("scope") == ["https://containerregistry.azure.net/.default"] and (
                    form.get("client_secret") == ["the-secret"] or form.get("client_assertion") == ["federated"] and
                    form.get("client_assertion_type") == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"])
        return (200, {"access_token": "entra-token", "expires_in": 3600}) if good else (400, {"error": "invalid_request"})

    def oauth(self, r):
        form = urllib.parse.parse_qs(r.body.decode()) if r.target.startswith("/oauth2/") else {}
        if r.target == "/oauth2/exchange":
            self.exchanges += 1
            if form.get("grant_type") != ["access_token"] or form.get("access_token") != ["entra-token"] or form.get("service") != ["127.0.0.1"]:
                return 401, {}, b"{}"
            token = jwt(exp=int(time.time()) + 10800, jti=os.urandom(4).hex())
            self.refresh.add(token)
            return 200, {"Content-Type": "application/json"}, json.dumps({"refresh_token": token}).encode()
        if r.target == "/oauth2/token":
            if form.get("grant_type") != ["refresh_token"] or form["refresh_token"][0] not in self.refresh or form.get("service") != ["127.0.0.1"]:
                return 401, {}, b"{}"
            token = jwt(exp=int(time.time()) + 4500, jti=os.urandom(4).hex())
            self.access[token] = form["scope"][0]
            return 200, {"Content-Type": "application/json"}, json.dumps({"access_token": token}).encode()
        return self.guard(r)

    def may(self, authorization, r):
        scope = self.access.get((authorization or "")[len("Bearer "):], "")
        repo = re.match(r"/v2/(.+?)/(manifests|blobs|tags)/", r.target)
        need = "pull" if r.method in ("GET", "HEAD") else "push"
        return bool(repo) and any(s.split(":")[1] == repo.group(1) and need in s.split(":")[2].split(",") for s in scope.split() if s)


def acr(lab, report, tokens):
    for name, text in (("secret", "the-secret"), ("federated", "federated")):
        with open(os.path.join(lab.dir, name), "w") as f:
            f.write(text)
    clean = {k: "" for k in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST")}
    for way in ("managed identity", "workload identity", "service principal"):
        azure = Azure()
        options = {"credentials": "acr", "client-id": "cid"}
        env = {k: v for k, v in clean.items()}
        if way == "managed identity":
            env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = azure.identity.origin
            options = {"credentials": "acr", "client-id": "cid"}
            for k in clean:
                env.pop(k)
        elif way == "workload identity":
            env = {"AZURE_CLIENT_ID": "cid", "AZURE_TENANT_ID": "tid", "AZURE_FEDERATED_TOKEN_FILE": os.path.join(lab.dir, "federated"),
                   "AZURE_AUTHORITY_HOST": azure.identity.origin + "/"}
            options = {"credentials": "acr"}
        else:
            env = {}
            options.update({"tenant-id": "tid", "client-secret-file": os.path.join(lab.dir, "secret"), "authority": azure.identity.origin})
        g = start(lab, "gateway-acr-" + way.replace(" ", "-"), azure.origin, options, env)
        push_and_pull(report, f"acr, {way}", g, tokens)
        report.ok(azure.exchanges == 1 and len(azure.access) == 2, f"acr, {way}: one exchange, a token for each scope",
                  f"{azure.exchanges} {list(azure.access.values())}")
        # the pulse asks /v2/ without a login: any answer is one
        tried = [x for x in azure.refusals if x != ("GET", "/v2/")]
        report.ok(not tried, f"acr, {way}: nothing was tried without", repr(tried))
        azure.refresh.clear()
        azure.access.clear()
        r = g.request("GET", "/v2/app/manifests/v1", tokens["dev"], ACCEPT)
        report.ok(r.status == 200 and azure.exchanges == 2, f"acr, {way}: revoked tokens: all the way once more", f"{r} {azure.exchanges}")
        # a body that is on its way is not sent twice
        r = g.request("POST", "/v2/app/blobs/uploads/", tokens["ci"])
        where = r.header("location")
        azure.access.clear()
        r = g.request("PATCH", where, tokens["ci"], body=b"x" * 1000)
        patches = sum(m == "PATCH" for m, _ in azure.refusals)
        report.ok(r.status == 502 and patches == 1, f"acr, {way}: a streamed body is not sent again", f"{r} {patches}")
        no_secret(report, f"acr, {way}", g, "the-secret", "entra-token", *azure.refresh, *azure.access)
        g.stop()
        azure.identity.close()


# ---- Google ----

def gar(lab, report, tokens):
    given = []

    def answer(method, path, query, headers, body):
        if headers.get("metadata-flavor") != "Google" or path != "/computeMetadata/v1/instance/service-accounts/default/token":
            return 403, ""
        given.append("ya29." + os.urandom(4).hex())
        return 200, {"access_token": given[-1], "expires_in": 3599, "token_type": "Bearer"}

    metadata = Service(answer)
    up = Guarded(lambda a, r: bool(given) and a == "Basic " + base64.b64encode(b"oauth2accesstoken:" + given[-1].encode()).decode())
    g = start(lab, "gateway-gar", up.origin, {"credentials": "gar"}, {"GCE_METADATA_HOST": f"127.0.0.1:{metadata.port}"})
    push_and_pull(report, "gar", g, tokens)
    report.ok(len(given) == 1, "gar: one token for all", repr(given))
    p = subprocess.run([labs.BINARY, "tag", "import", "-c", g.conf, "up/app"], capture_output=True, text=True, timeout=30, env={**os.environ, **g.env})
    report.ok(p.returncode == 0 and len(given) == 2, "gar: tag import logs in by itself", p.stdout + p.stderr)
    no_secret(report, "gar", g, *given)
    # many at once, none there: one login
    given.clear()
    threads, got = [], []
    for i in range(20):
        t = threading.Thread(target=lambda: got.append(g.request("GET", "/v2/app/manifests/v1", tokens["dev"], ACCEPT).status))
        threads.append(t)
        t.start()
    for t in threads:
        t.join()
    report.ok(got == [200] * 20 and 1 <= len(given) <= 3, "gar: 20 requests after the token's end share a login", f"{got} {len(given)}")
    g.stop()
    metadata.close()


def run(lab, report, which=None):
    tokens = {who: lab.signer.token(who) for who in ("ci", "dev")}
    for part in (bearer, ecr, acr, gar):
        part(lab, report, tokens)
