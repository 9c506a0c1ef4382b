# scenarios.py - the cases of several steps (SCN-*): each with a gateway and an upstream of its own.
#
# Steps that are plain requests are read from the case; the others have a function here, named by the case's id.
# SPDX-License-Identifier: Apache-2.0
import base64
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time
import zlib

import gate
import harborgate
import lab as labs
import samples
import stub as stubs

USES = ["registry:Push*", "registry:Pull*", "registry:ListTags", "registry:ListReferrers", "registry:MountBlob"]
READS = ["registry:Pull*", "registry:ListTags"]
POLICY = {"Version": "2026-11-01", "Statement": [
    {"Sid": "Dev", "Effect": "Allow", "Principal": ["subject:test/dev"], "Action": USES, "Resource": ["repo:up/app"]},
    {"Sid": "Ro", "Effect": "Allow", "Principal": ["subject:test/ro"], "Action": READS, "Resource": ["repo:up/app"]},
    {"Sid": "Cleaner", "Effect": "Allow", "Principal": ["subject:test/cleaner"],
     "Action": ["registry:Pull*", "registry:Delete*"], "Resource": ["repo:up/app"]},
    {"Sid": "Other", "Effect": "Allow", "Principal": ["subject:test/other"], "Action": READS, "Resource": ["repo:up/other"]}]}

BODIES = {f"manifest{n}": labs.manifest(note=f"manifest{n}") for n in range(50)}
BODIES["index1"] = json.dumps({"schemaVersion": 2, "mediaType": labs.OCI_INDEX, "manifests": [
    {"mediaType": labs.OCI_MANIFEST, "digest": labs.digest_of(BODIES["manifest1"]), "size": len(BODIES["manifest1"])}]}).encode()
BODIES["image manifest (not a signature)"] = BODIES["manifest2"]
BODIES["hello"] = b"hello"

EVENT = re.compile(rb'"event":"\w+"| \(event \w+\)')     # what differs from one refusal to the next

# What a case says about the upstream, as a hook of the stub.
DIGEST_A = "sha256:" + "a" * 64


def lies_about_v1(r):
    """HEAD names another digest than GET has."""
    if r.method == "HEAD" and r.target.endswith("/manifests/v1"):
        return 200, {"Docker-Content-Digest": DIGEST_A, "Content-Type": labs.OCI_MANIFEST, "Content-Length": "2"}, b""
    return None


def redirects_to_locked(r):
    return 301, {"Location": "/v2/locked/manifests/latest"}, b""


UPSTREAMS = {"HEAD returns digest A, GET digest B": lies_about_v1, "301 Location: /v2/locked/manifests/latest": redirects_to_locked}


class Scene:
    """A gateway, an upstream, and the identities of the cases."""

    def __init__(self, lab, case_id, policy=POLICY, start=True, **kw):
        self.lab = lab
        self.stub = stubs.Stub()
        self.gateway = labs.Gateway(lab, case_id, self.stub.origin, policy, **kw)
        if start:
            self.gateway.start()
        self.tokens = {}
        self.problems = []
        self.connection = None
        self.saved = {}

    def token(self, who):
        if who not in self.tokens:
            self.tokens[who] = self.lab.signer.token(who)
        return self.tokens[who]

    def expect(self, condition, said):
        if not condition:
            self.problems.append(said)

    def status(self, r, wanted, what):
        self.expect(r.status in (wanted if isinstance(wanted, list) else [wanted]), f"{what}: {r}, expected {wanted}")

    def as_who(self, who, method, target, headers=None, body=None, **kw):
        return self.gateway.request(method, target, self.token(who), headers, body, **kw)

    def end(self):
        ok, said = self.gateway.verify()
        self.expect(ok, f"audit verify: {said}")
        self.gateway.stop()
        self.stub.close()
        return self.problems

    # ---- the steps of the files ----

    def target(self, text):
        text = re.sub(r"\$digest\((\w+)\)", lambda m: labs.digest_of(BODIES[m.group(1)]), text)
        text = text.replace("$loc&", self.saved.get("loc", "") + "?")
        return text.replace("sha256:(other)", labs.digest_of(b"something else"))

    def send(self, step, client):
        body = BODIES.get(step.get("body"), step.get("body"))
        body = body.encode() if isinstance(body, str) else body
        kind = "image.index" if step.get("body") == "index1" else "image.manifest"
        headers = {}
        if "/manifests/" in step["target"] and step["method"] == "PUT":
            headers["Content-Type"] = step.get("ctype", f"application/vnd.oci.{kind}.v1+json")
        own = {k: v for k, v in step.get("headers", {}).items() if k != "Host"}
        token = None if "Authorization" in own else self.token(step["as"])
        return client.request(step["method"], self.target(step["target"]), token, {**headers, **own}, body,
                              host=step.get("headers", {}).get("Host", labs.HOST))

    def judge(self, step, r):
        wanted = step.get("expect")
        if isinstance(wanted, dict):
            self.status(r, wanted["status"], step["target"])
            if "digest" in wanted:
                self.expect(r.header("docker-content-digest") == self.target(wanted["digest"]),
                            f"digest {r.header('docker-content-digest')}")
        elif wanted is not None:
            self.status(r, wanted, f"{step['method']} {step['target']}")

    def play(self, steps):
        for step in steps:
            if "upstream" in step:
                self.stub.hook = UPSTREAMS[step["upstream"]]
            if "method" not in step:
                continue
            if not (step.get("same_connection") and self.connection):
                self.connection = self.gateway.client()
            r = self.send(step, self.connection)
            self.judge(step, r)
            if step.get("save"):
                self.saved[step["save"]] = r.header("location", "")
        return self


def plain(lab, case, **kw):
    return Scene(lab, case["id"], **kw).play(case["steps"])


# ---- scenarios with a function ----

def scn_001(lab, case):
    s = plain(lab, case)
    refused = [e for e in s.gateway.wait_requests(3) if e["decision"] == "deny"]
    s.expect(len(refused) == 1 and refused[0]["reason"] == "tag_locked", f"one tag_locked event: {refused}")
    s.expect(refused and refused[0]["registry"]["old_digest"] == labs.digest_of(BODIES["manifest1"])
             and refused[0]["registry"]["digest"] == labs.digest_of(BODIES["manifest2"]), f"old and new digest: {refused}")
    return s


def scn_015(lab, case):
    """`dev` may even append: it is the shape that is refused."""
    grants = {"Sid": "Appends", "Effect": "Allow", "Principal": ["subject:test/dev"], "Action": ["registry:AppendReferrer"],
              "Resource": ["repo:up/app"]}
    s = plain(lab, case, policy={**POLICY, "Statement": POLICY["Statement"] + [grants]})
    refused = [e for e in s.gateway.wait_requests(2) if e["decision"] == "deny"]
    s.expect([e["reason"] for e in refused] == ["tag_append_only"], f"one tag_append_only event: {refused}")
    s.expect([t for _, t in s.stub.tags] == ["latest.sig"], f"tags upstream: {s.stub.tags}")
    return s


def scn_005(lab, case):
    """Neither who may not delete gets through, nor who may: the tag is immutable."""
    s = plain(lab, case)
    mark = s.stub.mark()
    for who, wanted in (("dev", "not_allowed"), ("cleaner", "tag_locked")):
        s.status(s.as_who(who, "DELETE", "/v2/app/manifests/v1"), 403, f"delete by {who}")
        reason = s.gateway.wait_event(lambda e, who=who: e["actor"].get("subject") == who and e["http"]["method"] == "DELETE")["reason"]
        s.expect(reason == wanted, f"{who}: {reason}, not {wanted}")
    s.expect(not s.stub.since(mark)[0], f"upstream heard of it: {s.stub.since(mark)[0]}")
    return s


def scn_006(lab, case):
    """Before an import which tags name the digest is not known; after it they are, and are immutable."""
    s = plain(lab, case)
    deletes = lambda: [e["reason"] for e in s.gateway.requests() if e["http"]["method"] == "DELETE"]
    s.gateway.wait_event(lambda e: e["http"]["method"] == "DELETE")
    s.expect(deletes() == ["not_imported"], f"before the import: {deletes()}")
    p = subprocess.run([labs.BINARY, "tag", "import", "-c", s.gateway.conf, "app"], capture_output=True, text=True)
    s.expect(p.returncode == 0, p.stderr)
    mark = s.stub.mark()
    for kind in ("manifests", "blobs"):
        r = s.as_who("cleaner", "DELETE", f"/v2/app/{kind}/{labs.digest_of(BODIES['manifest1'])}")
        s.status(r, 403, f"delete from {kind}")
    s.gateway.settled()
    s.expect(deletes() == ["not_imported", "tag_locked", "tag_locked"], f"after the import: {deletes()}")
    s.expect(not s.stub.since(mark)[0], f"upstream heard of it: {s.stub.since(mark)[0]}")
    return s


def scn_010(lab, case):
    s = Scene(lab, case["id"])
    slow, target = s.gateway.client(), "/v2/app/manifests/slow"
    head = (f"PUT {target} HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {s.token('dev')}\r\n"
            f"Content-Type: {labs.OCI_MANIFEST}\r\nContent-Length: {len(BODIES['manifest1'])}\r\n\r\n")
    slow.send(head.encode())
    s.gateway.client().request("GET", "/v2/", s.token("dev"))     # the head has arrived by now
    r = s.as_who("dev", "PUT", target, {"Content-Type": labs.OCI_MANIFEST}, BODIES["manifest2"])
    s.status(r, 201, "the fast push")
    slow.send(BODIES["manifest1"])
    s.status(slow.response("PUT"), [403, 409], "the slow push")
    return s


def scn_013(lab, case):
    s = Scene(lab, case["id"])
    s.stub.put("app", "v1", labs.OCI_MANIFEST, BODIES["manifest1"])
    return s.play(case["steps"])


def scn_017(lab, case):
    s = plain(lab, case)
    s.expect(not s.stub.connections, f"something reached upstream: {s.stub.connections}")
    return s


def bad_tokens(signer):
    """(name, token) as in SCN-022 and SCN-023; more of them are a table in the unit tests."""
    good = signer.token("dev")
    head, body, signature = good.split(".")
    public = labs.openssl("pkey", "-in", signer.key, "-pubout")

    def hs256(header):
        signed = labs.b64(json.dumps(header).encode()) + "." + body
        mac = labs.openssl("dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:" + public.hex(), "-binary", data=signed.encode())
        return signed + "." + labs.b64(mac)

    def payload(text):
        signed = head + "." + labs.b64(text.encode())
        return signed + "." + labs.b64(signer.sign(signed.encode()))

    now = int(time.time())
    claims = f'"iss":"{labs.ISSUER}","aud":"{labs.AUDIENCE}","iat":{now}'
    yield "alg=none", labs.b64(b'{"alg":"none","typ":"JWT"}') + "." + body + "."
    yield "alg=none, signature kept", labs.b64(b'{"alg":"none","typ":"JWT"}') + "." + body + "." + signature
    yield "HS256 keyed with the public key", hs256({"alg": "HS256", "typ": "JWT", "kid": signer.kid})
    yield "kid path", signer.token("dev", {"kid": "../../etc/passwd"})
    yield "jku", signer.token("dev", {"jku": "http://127.0.0.1:9/jwks"})
    yield "embedded jwk", signer.token("dev", {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}})
    yield "x5c", signer.token("dev", {"x5c": ["MIIB"]})
    yield "crit", signer.token("dev", {"crit": ["x"], "x": 1})
    yield "b64=false", signer.token("dev", {"b64": False})
    yield "duplicate sub", payload('{"sub":"dev","sub":"ci",%s,"exp":%d}' % (claims, now + 600))
    yield "exp as string", signer.token("dev", exp="9999999999")
    yield "exp=1e400", payload('{"sub":"dev",%s,"exp":1e400}' % claims)
    yield "no exp", signer.token("dev", exp=None)
    yield "expired", signer.token("dev", iat=now - 7200, exp=now - 3600)
    yield "aud substring", signer.token("dev", aud=["registry.test.evil", "egistry.test"])
    yield "nbf far future", signer.token("dev", nbf=now + 86400)
    yield "iat future", signer.token("dev", iat=now + 86400, exp=now + 90000)
    yield "sub with NUL", payload('{"sub":"dev\\u0000x",%s,"exp":%d}' % (claims, now + 600))
    yield "other issuer", signer.token("dev", iss="https://evil.test")
    yield "JWE", ".".join([labs.b64(b'{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF"}'), "AA", "AA", "AA", "AA"])
    yield "PBES2", ".".join([labs.b64(b'{"alg":"PBES2-HS256+A128KW","p2c":2147483648,"enc":"A128GCM"}'), "AA", "AA", "AA", "AA"])
    yield "signature of another token", head + "." + labs.b64(b'{"sub":"ci",%s}' % claims.encode()) + "." + signature


def scn_020(lab, case):
    """Each scope by the grammar: what is in the token is what the policy of `dev` can allow, and no pattern is one."""
    name = case["id"]
    s = Scene(lab, name, more=f'token-service = {{ signing-key = "{lab.dir}/{name}.pem"; }};')
    login = {"Authorization": "Basic " + base64.b64encode(b"jwt:" + s.token("dev").encode()).decode()}
    granted = []
    for step in case["steps"]:
        r = s.gateway.request("GET", "/token?" + step["token_request"], headers=login)
        s.status(r, 200, step["token_request"])
        part = json.loads(r.body)["token"].split(".")[1]
        granted.append([(a["name"], a["actions"]) for a in json.loads(base64.urlsafe_b64decode(part + "=="))["access"]])
    s.expect(granted == [[("app", ["pull"])], [], []], f"granted: {granted}")
    for text in ("repository:app:pull%0Arepository:locked:pull", "repository:app:pull%09x", "repository:app:pull%00"):
        r = s.gateway.request("GET", "/token?scope=" + text, headers=login)
        s.status(r, 400, text)
    s.expect(not s.stub.connections, "something reached upstream")
    return s


def scn_022(lab, case):
    s = Scene(lab, case["id"])
    tokens = list(bad_tokens(lab.signer))
    for name, token in tokens:
        r = s.gateway.request("GET", "/v2/app/manifests/v1", token)
        s.expect(r.status == 401 and r.code() == "UNAUTHORIZED", f"{name}: {r}")
    s.expect(not s.stub.connections, "a bad token reached upstream")
    events = s.gateway.wait_requests(len(tokens))
    s.expect(len(events) == len(tokens) and all(e["reason"] in ("bad_token", "bad_credentials") for e in events),
             f"one event each: {[e['reason'] for e in events]}")
    return s


def scn_023(lab, case):
    """Encrypted and compressed tokens, and bombs in them, cost as little as any bad token."""
    s = Scene(lab, case["id"])
    bomb = zlib.compress(b"\0" * (64 << 20), 9)
    tokens = [(n, t) for n, t in bad_tokens(lab.signer) if n in ("JWE", "PBES2")]
    tokens.append(("JWE, zip=DEF", ".".join([labs.b64(b'{"alg":"dir","enc":"A256GCM","zip":"DEF"}'), "", labs.b64(b"0" * 12),
                                             labs.b64(bomb[:6000]), labs.b64(b"0" * 16)])))
    before = s.gateway.resident_kib()
    for name, token in tokens:
        r = s.gateway.request("GET", "/v2/app/manifests/v1", token)
        s.expect(r.status == 401 and r.code() == "UNAUTHORIZED", f"{name}: {r}")
    s.expect(s.gateway.resident_kib() - before < 16384, "memory grew")
    s.expect(not s.stub.connections, "a bad token reached upstream")
    s.gateway.wait_requests(len(tokens))
    return s


def scn_024(lab, case):
    """Keys are a file here: a key id that nobody knows makes the gateway fetch nothing, and wait for nothing."""
    s = Scene(lab, case["id"])
    s.stub.put("app", "v1", labs.OCI_MANIFEST, BODIES["manifest1"])
    tokens = [lab.signer.token("dev", {"kid": os.urandom(8).hex()}) for _ in range(200)]
    answers = []
    threads = [threading.Thread(target=lambda part=tokens[i::8]: answers.extend(
        s.gateway.request("GET", "/v2/app/manifests/v1", t) for t in part)) for i in range(8)]
    for t in threads:
        t.start()
    for _ in range(10):
        s.status(s.as_who("dev", "GET", "/v2/app/manifests/v1"), 200, "another client meanwhile")
    for t in threads:
        t.join(60)
    s.expect(len(answers) == 200 and all(r.status == 401 and r.code() == "UNAUTHORIZED" for r in answers),
             f"{[r.status for r in answers if r.status != 401]} of {len(answers)}")
    s.expect(all("manifests/v1" in r.target for r in s.stub.since([])[0]), "something else was fetched")
    s.gateway.wait_requests(210)
    return s


def scn_026(lab, case):
    """The policy is another one between two requests of one connection."""
    s = Scene(lab, case["id"])
    s.stub.put("app", "v1", labs.OCI_MANIFEST, BODIES["manifest1"])
    first, _, second = case["steps"]
    s.play([first])
    path = os.path.join(s.gateway.dir, "policy.json")
    with open(path + ".new", "w") as f:
        json.dump({**POLICY, "Statement": [x for x in POLICY["Statement"] if x["Sid"] != "Dev"]}, f)
    os.rename(path + ".new", path)
    s.gateway.process.child.send_signal(signal.SIGHUP)
    s.expect(labs.wait_for(lambda: any(e["event"] == "reload.done" for e in s.gateway.events())), "no reload")
    return s.play([second])


def scn_027(lab, case):
    s = Scene(lab, case["id"])
    s.stub.put("app", "v1", labs.OCI_MANIFEST, BODIES["manifest1"])
    return s.play(case["steps"])


def scn_028(lab, case):
    s = Scene(lab, case["id"])
    big = os.urandom(4 << 20)
    s.stub.blobs[labs.digest_of(big)] = big
    own = s.stub.put("other", "x", labs.OCI_MANIFEST, labs.manifest(note="other"))
    for _ in range(8):
        c = s.gateway.client()
        c.send(f"GET /v2/app/blobs/{labs.digest_of(big)} HTTP/1.1\r\nHost: {labs.HOST}\r\n"
               f"Authorization: Bearer {s.token('dev')}\r\n\r\n".encode())
        c.exactly(1024)
        c.close()
        r = s.as_who("other", "GET", "/v2/other/manifests/x")
        s.expect(r.status == 200 and labs.digest_of(r.body) == own, f"another's answer: {r}")
    events = s.gateway.wait_requests(16)
    s.expect(len(events) == 16, f"{len(events)} events for 16 requests")
    return s


def scn_048(lab, case):
    """The catalog holds what may be read; tags that may not be listed sound the same whether they are there or not."""
    lists = {"Sid": "Lists", "Effect": "Allow", "Principal": ["subject:test/ro"], "Action": ["registry:ListRepositories"],
             "Resource": ["registry:up"]}
    s = Scene(lab, case["id"], {**POLICY, "Statement": POLICY["Statement"] + [lists]})
    for name in ("aardvark", "app", "locked", "other", "zebra"):
        s.stub.put(name, "latest", labs.OCI_MANIFEST, BODIES["manifest1"])
    for step in case["steps"]:
        mark = s.stub.mark()
        r = s.as_who(step["as"], step["method"], step["target"])
        if step["expect"] == "only readable names":
            s.expect(r.status == 200 and json.loads(r.body) == {"repositories": ["app"]}, f"catalog for {step['as']}: {r}")
        else:
            s.status(r, step["expect"], step["target"])
            s.expect(s.stub.since(mark) == ([], 0), f"{step['target']}: asked upstream")
    answers = [s.as_who("other", "GET", f"/v2/{repo}/tags/list") for repo in ("locked", "nosuch")]
    said = [(a.status, labs.without_event(a.reason), EVENT.sub(b"", a.body), sorted(k for k, _ in a.headers)) for a in answers]
    s.expect(said[0] == said[1] and answers[0].status == 403, f"forbidden and absent: {said}")
    return s


def scn_050(lab, case):
    """Known identity: 403 for both; none: 401 for both. The same words, and no upstream."""
    s = Scene(lab, case["id"])
    s.stub.put("locked", "latest", labs.OCI_MANIFEST, BODIES["manifest1"])
    for token, status in ((s.token("other"), 403), (None, 401)):
        for method in ("HEAD", "GET"):
            answers = [s.gateway.request(method, f"/v2/{repo}/manifests/latest", token) for repo in ("locked", "nosuch")]
            said = [(a.status, labs.without_event(a.reason), a.code(), labs.without_event(a.message()), sorted(k for k, _ in a.headers)) for a in answers]
            s.expect(said[0] == said[1] and answers[0].status == status, f"{method}: {said}")
            bodies = [EVENT.sub(b"", a.body) for a in answers]
            s.expect(bodies[0] == bodies[1], f"bodies differ: {bodies}")
    s.expect(not s.stub.connections, "asked upstream")
    return s


def scn_051(lab, case):
    """A byte every 300 ms keeps no connection open for longer than the timer of the whole head; others are served."""
    s = Scene(lab, case["id"], limits={"head-total": "1500 ms", "first-byte": "1500 ms"})
    slow = [s.gateway.client() for _ in range(40)]
    ended = [False] * len(slow)

    def drip(i):
        for b in b"GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nX-Slow: " + b"a" * 200:
            try:
                slow[i].send(bytes([b]))
            except OSError:
                break
            if slow[i].at_end(0.3) or slow[i].buffer:
                break
        ended[i] = True
    threads = [threading.Thread(target=drip, args=(i,)) for i in range(len(slow))]
    for t in threads:
        t.start()
    for _ in range(10):
        s.status(s.as_who("dev", "GET", "/v2/"), 200, "another client meanwhile")
    for t in threads:
        t.join(20)
    s.expect(all(ended), f"{ended.count(False)} of {len(slow)} slow heads are still open")
    return s


def scn_052(lab, case):
    s = Scene(lab, case["id"], limits={"body-grace": "1 s", "body-idle": "30 s", "body-min-rate": "1 KiB"})
    where = s.as_who("dev", "POST", "/v2/app/blobs/uploads/").header("location")
    c = s.gateway.client(timeout=20)
    c.send(f"PATCH {where} HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {s.token('dev')}\r\n"
           "Content-Length: 100000\r\n\r\n".encode())
    r, closed = None, False
    for _ in range(60):
        try:
            c.send(b"x")
            closed = c.at_end(0.25)
        except OSError:
            closed = True
        if closed or c.buffer:
            break
    if c.buffer:
        r = c.response("PATCH")
    s.expect(r is not None and r.status == 408 or r is None and closed, f"a trickling body: {r}, closed {closed}")
    s.expect(labs.wait_for(lambda: s.stub.since([])[0][-1].complete is False), "upstream saw the end of the body")
    return s


def scn_055(lab, case):
    s = Scene(lab, case["id"])
    p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{s.gateway.port}", "-servername", labs.HOST, "-tls1_2"],
                       input=b"R\n", capture_output=True, timeout=20)
    said = (p.stdout + p.stderr).decode(errors="replace")
    s.expect("RENEGOTIATING" in said and "no renegotiation" in said.lower(), f"renegotiation: {said[-300:]}")
    s.status(s.as_who("dev", "GET", "/v2/"), 200, "afterwards")
    return s


class SmallDisk:
    """A gateway whose audit log is on 4 MiB of its own: a file system in its own mount namespace."""

    def __init__(self, gateway):
        self.gateway, self.outside = gateway, gateway.audit
        os.makedirs(gateway.audit, exist_ok=True)

    def start(self):
        g = self.gateway
        script = f'mount -t tmpfs -o size=4m,mode=0700 tmpfs "{self.outside}" && exec "{labs.BINARY}" run -c "{g.conf}"'
        namespaces = ["-m"] if os.getuid() == 0 else ["-r", "-m"]
        g.process = g.lab.process(["unshare", *namespaces, "sh", "-c", script], g.name)
        if not labs.wait_for(lambda: not g.process.alive() or labs.port_open(g.port)) or not g.process.alive():
            raise RuntimeError(f"the gateway did not start: {g.process.tail()}")
        g.audit = f"/proc/{g.process.pid}/root{self.outside}"

    def fill(self):
        with open(os.path.join(self.gateway.audit, "ballast"), "wb", buffering=0) as f:
            for size in (65536, 1):
                try:
                    while True:
                        f.write(b"x" * size)
                except OSError:
                    pass

    def clear(self):
        os.unlink(os.path.join(self.gateway.audit, "ballast"))


def scn_058(lab, case):
    """Disk full: writes are refused, reads go on (DESIGN section 8), it is said, and it ends by itself."""
    s = Scene(lab, case["id"], start=False)
    disk = SmallDisk(s.gateway)
    disk.start()
    s.stub.put("app", "v1", labs.OCI_MANIFEST, BODIES["manifest1"])
    put = lambda tag, body: s.as_who("dev", "PUT", f"/v2/app/manifests/{tag}", {"Content-Type": labs.OCI_MANIFEST}, BODIES[body])
    s.status(put("n0", "manifest0"), 201, "before")
    disk.fill()
    # what was free of the last page may take some events more
    labs.wait_for(lambda: put("n1", "manifest1").status == 503, 20)
    r = put("n2", "manifest2")
    s.expect(r.status == 503 and r.code() == "UNAVAILABLE" and "audit" in (r.message() or ""), f"a write: {r}")
    s.expect("n2" not in {tag for _, tag in s.stub.tags}, "a write without its event reached upstream")
    s.status(s.as_who("ro", "GET", "/v2/app/manifests/v1"), 200, "a read")
    s.expect(re.search(r"audit.*No space left", s.gateway.process.tail(1000)), "nothing in the log")
    s.expect(re.search(r"(?m)^tidewaiter_audit_up 0", s.gateway.admin("/metrics")[1]), "nothing in the metrics")
    disk.clear()
    s.expect(labs.wait_for(lambda: put("n3", "manifest3").status == 201, 20, 0.2), "it did not recover")
    s.expect(re.search(r"(?m)^tidewaiter_audit_up 1", s.gateway.admin("/metrics")[1]), "the metric did not recover")
    return s


def scn_059(lab, case):
    """Killed after upstream got the manifest and before the client heard of it: the claim stands."""
    s = Scene(lab, case["id"])
    stored, target = threading.Event(), "/v2/app/manifests/v1"

    def stall(r):
        if r.method == "PUT":
            with s.stub.lock:
                s.stub.registry(r)
            stored.set()
            time.sleep(30)
            return "drop"
        return None
    s.stub.hook = stall
    c = s.gateway.client()
    c.send(f"PUT {target} HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {s.token('dev')}\r\nContent-Type: "
           f"{labs.OCI_MANIFEST}\r\nContent-Length: {len(BODIES['manifest1'])}\r\n\r\n".encode() + BODIES["manifest1"])
    s.expect(stored.wait(10), "the manifest did not reach upstream")
    s.gateway.stop(signal.SIGKILL)
    s.stub.hook = None
    s.gateway.start()
    kind = {"Content-Type": labs.OCI_MANIFEST}
    r = s.as_who("dev", "PUT", target, kind, BODIES["manifest2"])
    s.status(r, [403, 409], "another image after the crash")
    r = s.as_who("dev", "PUT", target, kind, BODIES["manifest1"])
    s.status(r, 201, "the same image again")
    s.expect(s.stub.tags["app", "v1"] == labs.digest_of(BODIES["manifest1"]), "upstream moved")
    s.gateway.wait_requests(2)
    return s


def scn_062(lab, case):
    s = Scene(lab, case["id"])
    signer, now = lab.signer, int(time.time())
    head = signer.token("x").split(".")[0]
    for sub in (r'a\n{\"decision\":\"allow\"}', r"\ud800", r"\u001b[2J", r"caf\u00e9", r'q\"\\'):
        text = '{"sub":"%s","iss":"%s","aud":"%s","iat":%d,"exp":%d}' % (sub, labs.ISSUER, labs.AUDIENCE, now, now + 600)
        signed = head + "." + labs.b64(text.encode())
        r = s.gateway.request("GET", "/v2/app/manifests/v1", signed + "." + labs.b64(signer.sign(signed.encode())),
                              {"User-Agent": 'x"\\ \x9b\xff{"decision":"allow"}'})
        s.status(r, [401, 403], sub)
    s.expect(len(s.gateway.wait_requests(5)) == 5, "one JSON object a request")
    with open(os.path.join(s.gateway.audit, "current.jsonl"), "rb") as f:
        raw = f.read()
    s.expect(all(32 <= b < 127 or b == 10 for b in raw), "printable ASCII only")
    return s


def scn_063(lab, case):
    s = Scene(lab, case["id"])
    s.as_who("dev", "GET", "/v2/app/manifests/v1?token=SECRET")
    s.gateway.request("GET", "/v2/", "SECRET")
    where = s.as_who("dev", "POST", "/v2/app/blobs/uploads/").header("location")
    s.as_who("dev", "PATCH", where, body=b"x")
    s.gateway.wait_requests(4)
    with open(os.path.join(s.gateway.audit, "current.jsonl")) as f:
        text = f.read() + s.gateway.process.tail(1000)
    s.expect("SECRET" not in text, "a secret in the log: " + re.sub(r".*?(.{80}SECRET).*", r"\1", text)[:200])
    for name, secret in (("token", s.token("dev")), ("its signature", s.token("dev").split(".")[2]),
                         ("upload state", "_state=state"), ("lease", where.split("/")[-1])):
        s.expect(secret not in text, f"{name} in the log")
    return s


def scn_064(lab, case):
    s = plain(lab, case)
    # a name we do not serve in SNI, ours in Host
    r = s.as_who("dev", "GET", "/v2/", sni="localhost")
    s.status(r, 421, "SNI localhost, Host registry.test")
    return s


def scn_065(lab, case):
    """Two listeners of one process: a session of the open one opens nothing at the one that demands a certificate."""
    s = Scene(lab, case["id"])
    port = labs.free_port()
    with open(s.gateway.conf) as f:
        text = f.read()
    with open(s.gateway.conf, "w") as f:
        f.write(text.replace("listen = ( {", f'listen = ( {{ address = "127.0.0.1:{port}"; certificates = ["{lab.cert}"]; '
                             f'private-keys = ["{lab.key}"]; client-ca = "{lab.ca}"; client-certificate = "required"; }}, {{', 1))
    s.gateway.stop()
    s.gateway.start()
    ask = f"GET /v2/ HTTP/1.1\r\nHost: {labs.HOST}\r\nConnection: close\r\n\r\n".encode()
    for version in ("-tls1_2", "-tls1_3"):
        kept = os.path.join(lab.dir, "scn065" + version)
        argv = ["openssl", "s_client", version, "-servername", labs.HOST, "-ign_eof"]
        said = [subprocess.run([*argv, "-connect", f"127.0.0.1:{to}", *more], input=ask, capture_output=True, timeout=20).stdout
                for to, more in ((s.gateway.port, ("-sess_out", kept)),
                                 (port, ("-sess_in", kept) if os.path.exists(kept) else ()),
                                 (port, ("-cert", lab.cert, "-key", lab.key)))]
        s.expect(b"HTTP/1.1 401" in said[0], f"{version}: the open listener: {said[0][-200:]}")
        s.expect(b"Reused" not in said[1] and b"HTTP/1.1" not in said[1], f"{version}: resumed without a certificate: {said[1][-200:]}")
        s.expect(b"HTTP/1.1 200" in said[2] or b"HTTP/1.1 401" in said[2], f"{version}: with one: {said[2][-200:]}")
    return s


def scn_067(lab, case):
    s = Scene(lab, case["id"])
    # (what is offered, an option of openssl s_client). The client itself may refuse to offer some: then nothing is shown.
    for name, args in (("TLS 1.0", ["-tls1"]), ("TLS 1.1", ["-tls1_1"]), ("aNULL", ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"]),
                       ("CBC", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"]),
                       ("CBC-SHA256", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"])):
        if "-cipher" not in args:
            args = args + ["-cipher", "ALL:@SECLEVEL=0"]
        p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{s.gateway.port}", *args],
                           input=b"", capture_output=True, timeout=20)
        said = (p.stdout + p.stderr).decode(errors="replace")
        s.expect(p.returncode != 0 and "alert" in said, f"{name}: {said[:300]}")
    good = ssl.TLSVersion.TLSv1_2
    s.status(s.as_who("dev", "GET", "/v2/", versions=(good, good)), 200, "TLS 1.2 with a good suite")
    return s


def scn_069(lab, case):
    s = Scene(lab, case["id"])
    p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{s.gateway.port}", "-servername", labs.HOST, "-tls1_3",
                        "-ign_eof"], input=f"GET /v2/ HTTP/1.1\r\nHost: {labs.HOST}\r\nConnection: close\r\n\r\n".encode(),
                       capture_output=True, timeout=20)
    said = p.stdout.decode(errors="replace")
    s.expect("HTTP/1.1 401" in said, f"no answer: {said[-200:]}")
    s.expect("New Session Ticket" not in said and not re.search(r"Max Early Data: [1-9]", said), "a ticket for early data")
    return s


def scn_071(lab, case):
    """h2 is not offered: then it cannot be smuggled through."""
    s = Scene(lab, case["id"])
    p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{s.gateway.port}", "-servername", labs.HOST, "-alpn",
                        "h2,http/1.1"], input=b"", capture_output=True, timeout=20)
    said = (p.stdout + p.stderr).decode(errors="replace")
    s.expect("ALPN protocol: http/1.1" in said, f"ALPN: {re.findall('.*ALPN.*', said)}")
    c = s.gateway.client()
    try:
        c.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        r = c.response()
        s.status(r, [400, 405, 501, 505], "an HTTP/2 preface")
    except labs.Closed:
        pass
    s.expect(not s.stub.connections, "something reached upstream")
    return s


# ---- what evidence decides ----

ROOTLESS = {**POLICY, "Statement": POLICY["Statement"] + gate.denies("image:RunsAsRoot")}
GOOD, BAD = gate.image(note="scenario good"), gate.image("root", "scenario bad")


def behind(s, image, tag):
    """In the registry, past the gateway."""
    with s.stub.lock:
        s.stub.blobs.update(image.blobs)
    s.stub.put("app", tag, labs.OCI_MANIFEST, image.body)


def pull(s, ref, who="ro"):
    return s.as_who(who, "GET", f"/v2/app/manifests/{ref}", gate.ACCEPT)


def scn_041(lab, case):
    """A child of which nothing is known makes all of the index unknown; one that is bad, bad."""
    s = Scene(lab, case["id"], ROOTLESS)
    s.stub.put("app", "index1", labs.OCI_INDEX, BODIES["index1"])
    s.stub.put("app", "one", labs.OCI_MANIFEST, BODIES["manifest1"])      # its config is not there
    s.status(pull(s, "index1"), 403, "an index with a child of which nothing is known")
    s.status(pull(s, labs.digest_of(BODIES["manifest1"])), 403, "that child")
    behind(s, GOOD, "good")
    behind(s, BAD, "bad")
    s.stub.put("app", "both", labs.OCI_INDEX, samples.index_of(GOOD, BAD))
    s.stub.put("app", "fine", labs.OCI_INDEX, samples.index_of(GOOD))
    s.status(pull(s, "both"), 403, "an index with a bad child")
    s.status(pull(s, "fine"), 200, "one without")
    return s


def served(image, digest=None):
    return 200, {"Content-Type": labs.OCI_MANIFEST, "Docker-Content-Digest": digest or image.digest,
                 "Content-Length": str(len(image.body))}, image.body


def scn_042(lab, case):
    s = Scene(lab, case["id"], ROOTLESS)
    behind(s, GOOD, "v1")
    behind(s, BAD, "bad")
    s.status(pull(s, "v1"), 200, "the good one")
    s.stub.hook = lambda r: served(GOOD if r.method == "HEAD" else BAD) if r.target.endswith("/manifests/v1") else None
    r = pull(s, "v1")
    s.status(r, case["steps"][1]["expect"], "HEAD says the good one, GET brings the bad one")
    s.expect(r.body != BAD.body, "the bad one was given out")
    return s


def scn_043(lab, case):
    s = Scene(lab, case["id"], ROOTLESS)
    behind(s, GOOD, "v1")
    s.stub.hook = lambda r: served(BAD, GOOD.digest) if r.method == "GET" and "/manifests/" in r.target else None
    for ref in ("v1", GOOD.digest):
        s.status(pull(s, ref), case["steps"][1]["expect"], f"bytes that are not those of the digest: {ref[:6]}")
    return s


def scn_046(lab, case):
    """5000 of everything that could be a signature: few are looked at, and a good one does not help a stranger's."""
    public = os.path.join(lab.dir, "scn-046.pub")
    with open(public, "wb") as f:
        f.write(labs.openssl("pkey", "-in", lab.signer.key, "-pubout"))
    signed = {"Sid": "Signed", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:PullManifest"], "Resource": ["repo:up/app"],
              "Condition": {"StringNotEquals": {"sig:Status": "verified"}}}
    s = Scene(lab, case["id"], {**POLICY, "Statement": POLICY["Statement"] + [signed]},
              more=f'trust = {{ lab = {{ keys = ["{public}"]; }}; }};')
    behind(s, GOOD, "good")
    body, blobs = harborgate.signature(GOOD.digest, lab.signer.key)
    with s.stub.lock:
        s.stub.blobs.update({labs.digest_of(b): b for b in blobs})
    s.stub.put("app", GOOD.digest.replace(":", "-") + ".sig", labs.OCI_MANIFEST, body)
    s.status(pull(s, "good"), 200, "one with a good signature")
    behind(s, BAD, "flooded")
    flood = json.loads(harborgate.signature(BAD.digest, None)[0])
    many = {**flood, "layers": flood["layers"] * 500}
    s.stub.put("app", BAD.digest.replace(":", "-") + ".sig", labs.OCI_MANIFEST, json.dumps(many).encode())
    kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
    listed = json.dumps({"schemaVersion": 2, "mediaType": labs.OCI_INDEX, "manifests": [
        {"mediaType": labs.OCI_MANIFEST, "digest": labs.digest_of(b"%d" % n), "size": 700, "artifactType": kind}
        for n in range(case["steps"][0]["repeat"])]}).encode()
    s.stub.hook = lambda r: (200, {"Content-Type": labs.OCI_INDEX}, listed) if "/referrers/" in r.target else None
    mark, before = s.stub.mark(), s.gateway.resident_kib()
    s.status(pull(s, "flooded"), 403, "one with 5000 that are none")
    asked, grown = len(s.stub.since(mark)[0]), s.gateway.resident_kib() - before
    s.expect(asked <= 300, f"{asked} requests went upstream")
    s.expect(grown < 128 << 10, f"grew by {grown >> 10} MiB")
    return s


def scn_047(lab, case):
    s = Scene(lab, case["id"], {**POLICY, "Statement": POLICY["Statement"] + gate.denies("scan:Malware")},
              more=f"malware = {{ {samples.rules(lab)} }};")
    before = s.gateway.resident_kib()
    for image, tag, wanted in ((samples.clean("scenario"), "clean", 201), (samples.bomb(4), "bomb", 403)):
        for data in image.blobs.values():
            s.status(s.gateway.upload("app", data, s.token("dev")), 201, f"a blob of {tag}")
        r = s.as_who("dev", "PUT", f"/v2/app/manifests/{tag}", {"Content-Type": labs.OCI_MANIFEST}, image.body)
        s.status(r, wanted, tag)
    s.expect([t for _, t in s.stub.tags] == ["clean"], f"tags upstream: {s.stub.tags}")
    s.expect(s.gateway.resident_kib() - before < 256 << 10, "the bomb went off in memory")
    return s


def run(lab, report, ids, load):
    for case_id in ids:
        case = load(case_id)
        play = globals().get(case_id.lower().replace("-", "_"), plain)
        try:
            problems = play(lab, case).end()
        except Exception as e:      # one broken scenario must not hide the others
            problems = [f"{type(e).__name__}: {e}"]
        report.ok(not problems, f"{case_id} {case['title']}", "\n         ".join(problems))
