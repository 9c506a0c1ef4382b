# issuers.py - issuers whose keys are fetched: real providers, rotation, providers that are down, slow or lie, restarts.
#
# The providers are oidc-provider and oauth2-mock-server (npm/provider.mjs); those that misbehave are a few lines of Python.
# SPDX-License-Identifier: Apache-2.0
import http.client
import http.server
import json
import os
import re
import signal
import socket
import threading
import time

import lab as labs
import signatures
import stub as stubs

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
COOLDOWN = 30       # seconds between two fetches for keys that are not known
POLICY = {"Version": "2026-11-01", "Statement": [
    {"Sid": "Pulls", "Effect": "Allow", "Principal": ["subject:idp/*"], "Action": ["registry:Pull*"], "Resource": ["repo:up/app"]}]}


class Provider:
    """A provider of npm's, in a process of its own."""

    def __init__(self, lab, kind, name):
        self.lab, self.kind = lab, kind
        self.port, self.control_port = labs.free_port(), labs.free_port()
        self.name = name
        self.issuer = f"https://localhost:{self.port}"
        self.start()

    def start(self):
        self.process = self.lab.process(
            ["node", os.path.join(signatures.MODULES, "provider.mjs"), self.kind, str(self.port), str(self.control_port), self.lab.cert,
             self.lab.key, labs.AUDIENCE], self.name, {"NODE_EXTRA_CA_CERTS": self.lab.ca})
        if not labs.wait_for(lambda: labs.port_open(self.port) and labs.port_open(self.control_port), 30):
            raise RuntimeError(f"{self.kind} did not start:\n{self.process.tail()}")

    def tell(self, path, what=None):
        c = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=30)
        c.request("POST", path, None if what is None else json.dumps(what))
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        if r.status != 200:
            raise RuntimeError(f"{self.kind} {path}: {text}")
        return text

    def publish(self, *kids, alg="ES256"):
        self.tell("/keys", [{"kid": k, "alg": alg} for k in kids])

    def token(self, kid, **claims):
        return self.tell("/token", {"kid": kid, "claims": {"sub": "ci", **claims}})

    def asked(self):
        return json.loads(self.tell("/asked"))


class Liar(http.server.ThreadingHTTPServer):
    """One issuer for each path, and what each does wrong. `modes` may change while it runs."""
    daemon_threads = True

    def __init__(self, lab, signer):
        super().__init__(("127.0.0.1", labs.free_port()), Answer)
        self.jwks, self.modes, self.asked, self.sent = open(signer.jwks, "rb").read(), {}, [], 0
        self.context = lab.server_context()
        self.origin = f"https://localhost:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def get_request(self):
        raw, peer = self.socket.accept()
        raw.settimeout(20)
        return self.context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False), peer

    def handle_error(self, request, client_address):
        pass        # the gateway hangs up on much of this


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, body, status=200, headers=()):
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def flood(self, chunked):
        """A gibibyte, if somebody takes it."""
        self.send_response(200)
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(1 << 30))))
        self.end_headers()
        piece = b" " * 65536
        for _ in range((1 << 30) // len(piece)):
            self.wfile.write(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
            self.server.sent += len(piece)

    def do_GET(self):
        s = self.server
        name, _, path = self.path[1:].partition("/")
        s.asked.append(self.path)
        mode = s.modes.get(name, name)
        issuer = f"{s.origin}/{name}"
        keys = f"{issuer}/keys"
        if mode == "slow":
            time.sleep(15)
        elif mode == "broken":
            self.reply(b"oops", 500)
        elif mode == "html":
            self.reply(b"<html><body>Please sign in</body></html>", 200, [("Content-Type", "text/html")])
        elif mode == "redirect":
            self.reply(b"", 302, [("Location", f"{s.origin}/good/{path}")])
        elif mode == "hangup":
            self.close_connection = True
        elif path == ".well-known/openid-configuration":
            document = {"issuer": issuer, "jwks_uri": keys}
            if mode == "other":
                document["issuer"] = f"{s.origin}/good"
            if mode == "slash":
                document["issuer"] += "/"
            if mode == "http":
                document["jwks_uri"] = keys.replace("https:", "http:")
            if mode == "elsewhere":
                document["jwks_uri"] = f"https://127.0.0.1:{s.server_port}/good/keys"
            if mode == "hugediscovery":
                return self.flood(True)
            self.reply(json.dumps(document).encode())
        elif mode in ("huge", "hugechunked"):
            self.flood(mode == "hugechunked")
        elif mode == "many":
            one = json.loads(s.jwks)["keys"][0]
            self.reply(json.dumps({"keys": [{**one, "kid": f"k{i}"} for i in range(200)]}).encode())
        elif mode == "secret":
            self.reply(json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "test-1"}]}).encode())
        elif mode == "twice":
            self.reply(b'{"keys": [], "keys": ' + json.dumps(json.loads(s.jwks)["keys"]).encode() + b"}")
        elif mode == "none":
            self.reply(b'{"keys": []}')
        else:
            self.reply(s.jwks, 200, [("Cache-Control", "max-age=300")])


class Scene:
    """A gateway that trusts some issuers: alias -> options."""

    def __init__(self, lab, report, name, upstream, issuers, **kw):
        self.report = report
        text = " ".join(f'{alias} = {{ audiences = ["{labs.AUDIENCE}"]; '
                        + " ".join(f"{k} = {labs.quoted(v)};" for k, v in options.items()) + " };" for alias, options in issuers.items())
        self.gateway = labs.Gateway(lab, name, upstream, issuer=False, **{"policy": POLICY, **kw})
        self.state = os.path.join(self.gateway.dir, "state")
        with open(self.gateway.conf, "a") as f:
            f.write(f'issuer = {{ {text} }};\nstate-directory = "{self.state}";\n')
        self.gateway.start()

    def pull(self, token, timeout=20.0):
        return self.gateway.request("GET", "/v2/app/manifests/v1", token, timeout=timeout)

    def issuer(self, alias):
        return json.loads(self.gateway.admin("/readyz")[1])["issuer"][alias]

    def events(self, event, alias=None):
        return [e for e in self.gateway.events(event) if e["event"] == event and alias in (None, e.get("actor", {}).get("issuer"))]

    def wait_events(self, event, alias=None, n=1, seconds=10.0):
        labs.wait_for(lambda: len(self.events(event, alias)) >= n, seconds)
        return self.events(event, alias)

    def metric(self, name):
        m = re.search(rf"(?m)^{re.escape(name)} (\S+)$", self.gateway.admin("/metrics")[1])
        return int(m.group(1)) if m else None

    def end(self):
        ok, said = self.gateway.verify()
        self.report.ok(ok, "audit verify", said)
        self.gateway.stop()


def fetched(lab, url, **more):
    return {"url": url, "ca-file": lab.ca, "algorithms": list(ALGORITHMS), **more}


# ---- real providers ----

def algorithms(report, lab, stub):
    for kind in ("oidc-provider", "oauth2-mock-server"):
        p = Provider(lab, kind, kind)
        p.tell("/keys", [{"kid": a.lower(), "alg": a} for a in ALGORITHMS])
        s = Scene(lab, report, "algorithms-" + kind, stub.origin, {"idp": fetched(lab, p.issuer)})
        e = s.wait_events("keys.refreshed", "idp")
        report.ok(len(e) == 1 and e[0]["detail"].startswith("4 keys: rs256 ps256 es256 eddsa"), f"{kind}: keys.refreshed with key ids", repr(e))
        for a in ALGORITHMS:
            token = p.tell("/token", {"alg": a}) if kind == "oidc-provider" else p.token(a.lower())
            r = s.pull(token)
            report.ok(r.status == 200, f"{kind}: a pull with {a}", repr(r))
        e = s.gateway.wait_requests(4)[-1]
        report.ok(e["actor"] == {"issuer": "idp", "subject": "ci", "method": "bearer"}, f"{kind}: the event names the caller", repr(e["actor"]))
        state = s.issuer("idp")
        report.ok(state["state"] == "fresh" and state["keys"] == 4 and 0 <= state["age"] < 60, f"{kind}: /readyz has the keys' age", repr(state))
        report.ok(s.metric('tidewaiter_issuer_keys{issuer="idp"}') == 4 and s.metric('tidewaiter_issuer_fresh{issuer="idp"}') == 1 and
                  s.metric('tidewaiter_courier_calls_total{kind="keys",outcome="ok"}') == 2, f"{kind}: and so do the metrics")
        if kind == "oauth2-mock-server":
            for name, claims in (("for another audience", {"aud": "https://other.test"}), ("that is over", {"exp": int(time.time()) - 300}),
                                 ("of another issuer", {"iss": p.issuer + "/"})):
                r = s.pull(p.token("es256", **claims))
                report.ok(r.status == 401, f"{kind}: a token {name}: 401", repr(r))
        s.end()
        p.process.stop()


class Puller(threading.Thread):
    """Pulls over and over, each time with the token of now."""

    def __init__(self, scene, tokens):
        super().__init__(daemon=True)
        self.scene, self.tokens, self.done, self.seen = scene, tokens, False, []

    def run(self):
        c = None
        while not self.done:
            token = self.tokens[-1]
            try:
                c = c or labs.Client(self.scene.gateway)
                self.seen.append((c.request("GET", "/v2/app/manifests/v1", token).status, token))
                time.sleep(0.05)
            except (labs.Closed, OSError) as e:
                self.seen.append((repr(e), token))
                c = None
        if c:
            c.close()


def rotation(report, lab, stub):
    """50 clients pull while the provider rotates as it should; then a key is gone."""
    p = Provider(lab, "oauth2-mock-server", "rotating")
    p.publish("k1")
    s = Scene(lab, report, "rotation", stub.origin, {"idp": fetched(lab, p.issuer)}, limits={"requests-per-connection": 100000})
    s.wait_events("keys.refreshed", "idp")
    k1 = p.token("k1")
    tokens = [k1]
    pullers = [Puller(s, tokens) for _ in range(50)]
    for x in pullers:
        x.start()
    time.sleep(1)
    p.publish("k1", "k2")
    tokens.append(p.token("k2"))    # nobody has told the gateway
    begun = time.monotonic()
    time.sleep(4)
    report.ok(len(s.events("keys.refreshed")) == 2, "one fetch for all who came with the new key", repr(s.events("keys.refreshed")))
    report.ok(s.pull(k1).status == 200, "the old key is still good: it is still published")
    time.sleep(max(0, begun + COOLDOWN + 1 - time.monotonic()))
    p.publish("k2", "k3")
    k3 = p.token("k3")
    r = s.pull(k3)
    report.ok(r.status == 200, "a third key: waited for", repr(r))
    r = s.pull(k1)
    e = s.gateway.wait_event(lambda e: e["decision"] == "deny")
    report.ok(r.status == 401 and e["detail"] == "key_unknown", "the first one is gone: its tokens stop at once, cached or not", f"{r} {e}")
    e = s.events("keys.refreshed")[-1]
    report.ok(e["detail"] == "2 keys: k2 k3; gone: k1", "keys.refreshed says so", repr(e))
    asked = p.asked()
    r = s.pull(p.token("k1", n=1))
    report.ok(r.status == 401 and p.asked() == asked, "within the cooldown an unknown key is refused without a fetch", repr(r))
    time.sleep(1)
    for x in pullers:
        x.done = True
    for x in pullers:
        x.join(20)
    seen = [y for x in pullers for y in x.seen]
    bad = [y[0] for y in seen if y[0] != 200]
    with_new = sum(y[1] != k1 for y in seen)
    report.ok(not bad and len(seen) > 1000 and with_new > 100 and all(x.seen for x in pullers),
              f"50 clients, {len(seen)} pulls over two rotations: none failed", f"{len(bad)} of {len(seen)}, {with_new} new: {bad[:5]}")
    s.end()
    p.process.stop()


# ---- providers that misbehave ----

# mode -> what the log says
LIES = {
    "other": "another issuer", "slash": "another issuer", "http": "not an https URL", "elsewhere": "on another host", "huge": "larger than 1048576",
    "hugechunked": "larger than 1048576", "hugediscovery": "larger than 1048576", "redirect": "redirects are not followed",
    "html": "'<'", "many": "200 keys, 64 at most", "broken": "status 500", "hangup": "", "slow": "no complete answer within",
    "secret": "kty oct", "twice": "duplicate",
}


def lies(report, lab, stub):
    liar = Liar(lab, lab.signer)
    options = {m: fetched(lab, f"{liar.origin}/{m}") for m in (*LIES, "good", "none")}
    options["nobody"] = fetched(lab, f"https://localhost:{labs.free_port()}/nobody")
    options["untrusted"] = {"url": f"{liar.origin}/untrusted", "algorithms": ["ES256"]}      # the system's CAs do not know ours
    options["listed"] = fetched(lab, f"{liar.origin}/listed", **{"jwks-hosts": [f"127.0.0.1:{liar.server_port}"]})
    liar.modes["listed"] = "elsewhere"
    liar.modes["untrusted"] = "good"
    expect = {**LIES, "nobody": "", "untrusted": ""}
    name = socket.gethostname()
    try:
        private = socket.gethostbyname(name).startswith(("10.", "172.", "192.168.", "127."))
    except OSError:
        private = False
    if private:
        options["private"] = fetched(lab, f"https://{name}:{liar.server_port}/private")
        expect["private"] = "private or of special use"
    policy = {"Version": "2026-11-01", "Statement": [
        {"Sid": "All", "Effect": "Allow", "Principal": ["issuer:" + m for m in options], "Action": ["registry:*"], "Resource": ["repo:*"]}]}
    begun = time.monotonic()
    s = Scene(lab, report, "lies", stub.origin, options, policy=policy)
    token = lambda m: lab.signer.token("ci", iss=options[m]["url"])
    r = s.pull(token("slow"))
    took = time.monotonic() - begun
    report.ok(r.status == 503 and r.code() == "UNAVAILABLE" and took < 9, "a provider that stalls: 503 when the fetch is over, 5 s at most",
              f"{took:.1f} s {r}")
    report.ok(s.pull(token("good")).status == 200, "... and others are not kept waiting")
    for m, says in expect.items():
        r = s.pull(token(m))
        e = s.gateway.wait_event(lambda e: e["http"]["status"] == 503)
        report.ok(r.status == 503 and e["reason"] == "issuer_unavailable" and e["decision"] == "error", f"{m}: 503 issuer_unavailable", f"{r} {e}")
        failed = s.wait_events("keys.failed", m)
        report.ok(len(failed) == 1 and says in failed[0]["detail"] and failed[0]["decision"] == "error" and
                  s.issuer(m) == {"state": "none", "keys": 0, "age": -1}, f"... one event, which says why: {says or 'anything'}", repr(failed))
    r = s.pull(token("none"))
    report.ok(r.status == 401 and s.issuer("none")["state"] == "fresh", "no keys at all: 401", f"{r} {s.issuer('none')}")
    report.ok(s.pull(token("listed")).status == 200, "keys on another host that jwks-hosts names")
    report.ok(s.pull(lab.signer.token("ci", iss="https://unknown.test")).status == 401, "an issuer nobody configured: 401, and nobody is asked")
    report.ok(liar.sent < 64 << 20, f"of gibibytes {liar.sent >> 20} MiB were sent")
    report.ok(s.gateway.resident_kib() < 200 << 10 or "tsan" in labs.BINARY or "asan" in labs.BINARY,
              f"the gateway has {s.gateway.resident_kib() >> 10} MiB")
    report.ok(not [x for x in liar.asked if x.startswith("/good/") and "redirect" in x], "redirects were not followed")
    # keys that were good stay when the provider goes wrong
    liar.modes["good"] = "html"
    other = labs.Signer(s.gateway.dir, "other-1")
    r = s.pull(other.token("ci", iss=options["good"]["url"]))
    report.ok(r.status == 401, "an unknown key while the provider lies: 401", repr(r))
    report.ok(s.pull(lab.signer.token("ci2", iss=options["good"]["url"])).status == 200, "the keys of before stay good")
    report.ok(s.issuer("good")["state"] == "stale" and len(s.wait_events("keys.failed", "good")) == 1, "... stale, with an event")
    waiting(report, s, liar, options)
    s.end()
    liar.shutdown()


def waiting(report, s, liar, options):
    """Many wait for a provider that stalls; some hang up; the rest of the gateway goes on."""
    g, url = s.gateway, options["listed"]["url"]
    liar.modes["listed"] = "slow"
    other = labs.Signer(g.dir, "other-2")
    token = other.token("ci", iss=url)
    asked = lambda: [x for x in liar.asked if x.startswith("/listed/")]
    before = len(asked())
    clients = [g.client() for _ in range(60)]
    begun = time.monotonic()
    for c in clients:
        c.send(f"GET /v2/app/manifests/v1 HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    for c in clients[:20]:
        c.close()
    quick = s.pull(s.gateway.lab.signer.token("ci3", iss=url))
    report.ok(quick.status == 200 and time.monotonic() - begun < 4, "known keys do not wait for unknown ones", repr(quick))
    got = [c.response().status for c in clients[20:]]
    took = time.monotonic() - begun
    report.ok(set(got) == {401} and 3 < took < 8, f"40 who waited hear 401 after {took:.1f} s", repr(got))
    report.ok(len(asked()) - before == 1, "one fetch for all of them", repr(asked()[before:]))
    for c in clients[20:]:
        c.close()


# ---- restarts and reloads ----

def restarts(report, lab, stub):
    p = Provider(lab, "oauth2-mock-server", "restarting")
    p.publish("k1")
    s = Scene(lab, report, "restarts", stub.origin, {"idp": fetched(lab, p.issuer)})
    g = s.gateway
    s.wait_events("keys.refreshed", "idp")
    token = p.token("k1")
    report.ok(s.pull(token).status == 200, "a pull")
    kept = os.path.join(s.state, "keys-idp.json")
    labs.wait_for(lambda: os.path.exists(kept))
    report.ok(os.stat(kept).st_mode & 0o777 == 0o600 and os.listdir(s.state) == ["keys-idp.json"], "the set is kept, for nobody else to read")
    p.process.stop()
    g.process.child.send_signal(signal.SIGHUP)
    labs.wait_for(lambda: s.events("reload.done"))
    report.ok(s.pull(token).status == 200 and s.issuer("idp")["keys"] == 1, "a reload while the provider is down keeps the keys")
    with open(g.conf) as f:
        text = f.read()
    with open(g.conf, "w") as f:
        f.write(text.replace(f'audiences = ["{labs.AUDIENCE}"]', 'audiences = ["another"]'))
    g.process.child.send_signal(signal.SIGHUP)
    labs.wait_for(lambda: len(s.events("reload.done")) == 2)
    report.ok(s.pull(token).status == 401 and s.issuer("idp")["keys"] == 1, "another audience is in force at once, with the keys of before")
    with open(g.conf, "w") as f:
        f.write(text)

    def again(spoil=None):
        g.stop()
        if spoil:
            spoil()
        g.start()
        return s.pull(token)
    r = again()
    e = s.wait_events("keys.restored", "idp")
    report.ok(r.status == 200 and len(e) == 1 and "1 keys kept" in e[0]["detail"], "a restart while the provider is down uses the kept set", f"{r} {e}")
    report.ok(s.issuer("idp")["state"] == "stale" and len(s.wait_events("keys.failed", "idp", 2)) >= 1, "... and says that it is stale")
    with open(kept) as f:
        good = f.read()

    def write(t):
        with open(kept, "w") as f:
            f.write(t)
    old = json.loads(good)
    old["fetched"] -= 25 * 3600
    for name, t in (("cut", good[:len(good) // 2]), ("garbled", good.replace("keys", "kyes", 1)), ("empty", ""),
                    ("older than stale-limit", json.dumps(old)),
                    ("of another issuer", json.dumps({**json.loads(good), "issuer": "https://other.test"}))):
        r = again(lambda t=t: write(t))
        report.ok(r.status == 503, f"a kept set that is {name}: not used, 503", repr(r))
    write(good)
    g.stop()
    p.start()
    p.publish("k2")
    g.start()
    r = s.pull(p.token("k2"))
    report.ok(r.status == 200, "the provider is back with another key", repr(r))
    report.ok(labs.wait_for(lambda: s.pull(token).status == 401), "... and the kept one is gone")
    s.end()
    p.process.stop()


class Expiring:
    """Keys of a provider that goes wrong: fetched again by themselves at 80 %, and forgotten at stale-limit. It takes a minute."""

    def __init__(self, report, lab, stub):
        self.report, self.liar = report, Liar(lab, lab.signer)
        url = f"{self.liar.origin}/expiring"
        self.scene = Scene(lab, report, "expiring", stub.origin, {"idp": fetched(lab, url, **{"stale-limit": "1 min"})})
        self.scene.wait_events("keys.refreshed", "idp")
        self.token = lab.signer.token("ci", iss=url)
        self.begun = time.monotonic()
        report.ok(self.scene.pull(self.token).status == 200, "stale-limit of a minute: a pull")
        self.liar.modes["expiring"] = "broken"
        self.asked = len(self.liar.asked)

    def end(self):
        s = self.scene
        e = s.wait_events("keys.failed", "idp", 2, self.begun + 75 - time.monotonic())
        self.report.ok([x["reason"] for x in e] == ["keys_failed", "keys_expired"] and len(self.liar.asked) > self.asked,
                       "before the set is old it is fetched again, with nobody asking; that fails, and at stale-limit it is forgotten", repr(e))
        r = s.pull(self.token)
        self.report.ok(r.status == 503 and s.issuer("idp")["state"] == "none", "... a token that was good before, cached or not: 503", repr(r))
        self.liar.modes["expiring"] = "good"
        self.report.ok(labs.wait_for(lambda: s.pull(self.token).status == 200, 70, 0.5), "... and fetched again when the provider is back")
        s.end()
        self.liar.shutdown()


# ---- a Kubernetes API: its own CA, a token to be shown ----

def bearer(report, lab, stub):
    seen = []

    class Api(Answer):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            if self.headers.get("Authorization") != "Bearer of-the-gateway":
                return self.reply(b"", 401)
            self.reply(self.server.jwks)
    liar = Liar(lab, lab.signer)
    liar.RequestHandlerClass = Api
    path = os.path.join(lab.dir, "bearer")
    with open(path, "w") as f:
        f.write("of-the-gateway\n")
    url = "https://kubernetes.default.svc.cluster.local"
    s = Scene(lab, report, "kubernetes", stub.origin, {"idp": fetched(lab, url, **{
        "preset": "kubernetes", "algorithms": ["ES256"], "jwks-url": f"{liar.origin}/openid/v1/jwks", "bearer-token-file": path})})
    s.wait_events("keys.refreshed", "idp")
    pod = {"kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "puller", "uid": "1"}}}
    account = "system:serviceaccount:shop:puller"
    for name, claims, want in (("a service account's token", pod, 200), ("without the namespace", {}, 401),
                               ("a legacy token", {"iss": "kubernetes/serviceaccount", "kubernetes.io/serviceaccount/namespace": "shop"}, 401)):
        r = s.pull(lab.signer.token(account, **{"iss": url, **claims}))
        report.ok(r.status == want, f"Kubernetes, {name}: {want}", repr(r))
    report.ok(set(seen) == {("/openid/v1/jwks", "Bearer of-the-gateway")}, "the API was shown the gateway's token", repr(seen))
    with open(os.path.join(s.gateway.dir, "log")) as f:
        report.ok("of-the-gateway" not in f.read() and "of-the-gateway" not in json.dumps(s.gateway.events()), "which is in no log")
    s.end()
    liar.shutdown()


def run(lab, report):
    if not signatures.install(report):
        return
    stub = stubs.Stub()
    stub.put("app", "v1", labs.OCI_MANIFEST, labs.manifest(note="v1"))
    expiring = Expiring(report, lab, stub)
    algorithms(report, lab, stub)
    bearer(report, lab, stub)
    lies(report, lab, stub)
    restarts(report, lab, stub)
    rotation(report, lab, stub)
    expiring.end()
    stub.close()
