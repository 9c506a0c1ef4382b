# manytags.py - PUT <digest>?tag=a&tag=b: all tags or none, each under its own claim, each sent and confirmed by itself.
# SPDX-License-Identifier: Apache-2.0
import threading
import time

import lab as labs
import stub as stubs

KIND = {"Content-Type": labs.OCI_MANIFEST}
POLICY = {**labs.POLICY, "Statement": labs.POLICY["Statement"] + [
    {"Sid": "NoProd", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:PushManifest"], "Resource": ["repo:up/app"],
     "Condition": {"StringLike": {"registry:Tag": "prod*"}}},
    {"Sid": "Floats", "Effect": "Allow", "Principal": ["subject:test/ci"], "Action": ["registry:OverwriteTag"],
     "Resource": ["repo:up/app"], "Condition": {"StringEquals": {"registry:Tag": "latest"}}}]}
ONE, TWO = (labs.manifest(note=n) for n in ("one", "two"))


class Scene:
    def __init__(self, lab, report, name, **kw):
        self.report, self.stub = report, stubs.Stub()
        self.gateway = labs.Gateway(lab, name, self.stub.origin, POLICY, **kw).start()
        self.token = lab.signer.token("ci")

    def put(self, body, *tags, digest=None):
        query = "&".join("tag=" + t for t in tags)
        return self.gateway.request("PUT", f"/v2/app/manifests/{digest or labs.digest_of(body)}?{query}", self.token, KIND, body)

    def one(self, body, tag):
        return self.gateway.request("PUT", f"/v2/app/manifests/{tag}", self.token, KIND, body)

    def tags(self):
        return {t: d for (_, t), d in self.stub.tags.items()}

    def states(self, name):
        return sorted(e["registry"]["tag"] for e in self.gateway.events() if e["event"] == name)

    def end(self):
        ok, said = self.gateway.verify()
        self.report.ok(ok, "audit verify", said)
        bad = [r.violations for c in self.stub.connections for r in c.requests if r.violations]
        self.report.ok(not bad, "upstream got what it should", repr(bad))
        self.gateway.stop()
        self.stub.close()


def together(lab, report):
    s = Scene(lab, report, "many")
    mark = s.stub.mark()
    r = s.put(ONE, "b", "a", "b")
    report.ok(r.status == 201 and r.header("oci-tag") == "a, b" and r.header("docker-content-digest") == labs.digest_of(ONE)
              and r.header("location") == f"/v2/app/manifests/{labs.digest_of(ONE)}", "two tags: 201 and OCI-Tag", repr(r.headers))
    puts = [q.target for q in s.stub.since(mark)[0] if q.method == "PUT"]
    report.ok(puts == ["/v2/app/manifests/a", "/v2/app/manifests/b"], "sent by tag, once each", repr(puts))
    report.ok(s.tags() == dict.fromkeys("ab", labs.digest_of(ONE)), "both are there", repr(s.tags()))
    report.ok(s.states("tag.claimed") == s.states("tag.confirmed") == ["a", "b"], "each is claimed and confirmed")
    events = s.gateway.wait_requests(1)
    report.ok(len(events) == 1 and events[0]["detail"] == "tags a, b" and events[0]["http"]["status"] == 201
              and events[0]["registry"]["digest"] == labs.digest_of(ONE), "one event, which names them", repr(events))
    r = s.put(ONE, "b", "a", "c")
    report.ok(r.status == 201 and r.header("oci-tag") == "a, b, c", "the same again, and one more", repr(r.headers))
    many = [f"t{n:02}" for n in range(17)]
    r = s.put(ONE, *many[:16])
    report.ok(r.status == 201 and r.header("oci-tag") == ", ".join(many[:16]), "16 tags", repr(r))
    r = s.put(TWO, *many)
    report.ok(r.status == 414, "17 are too many", repr(r))
    r = s.put(TWO, "x", digest=labs.digest_of(ONE))
    report.ok(r.status == 400 and r.code() == "DIGEST_INVALID", "the digest of the path is that of the body", repr(r))
    r = s.put(TWO, "x" * 129)
    report.ok(r.status == 400, "a tag that is too long", repr(r))
    report.ok(s.one(TWO, "x").status == 201, "nothing of these was claimed")
    s.end()


def all_or_nothing(lab, report):
    s = Scene(lab, report, "many-none")
    s.one(ONE, "m")
    s.one(ONE, "latest")
    mark = s.stub.mark()
    r = s.put(TWO, "z", "m", "a")
    report.ok(r.status == 403 and "m: tag exists and is immutable" in r.message() and "none of a, m, z" in r.message(),
              "one is locked: none is pushed, and it is said which", repr(r))
    e = s.gateway.wait_event(lambda e: e["reason"] == "tag_locked")
    report.ok(e["registry"]["tag"] == "m" and e["registry"]["old_digest"] == labs.digest_of(ONE), "... in the event, too", repr(e))
    r = s.put(TWO, "a", "prod1")
    report.ok(r.status == 403 and s.gateway.wait_event(lambda e: e["reason"] == "denied_by_policy")["registry"]["tag"] == "prod1",
              "policy is asked for each tag", repr(r))
    r = s.put(TWO, "a", "sha256-" + "0" * 64)
    report.ok(r.status == 403, "a tag that grows takes AppendReferrer here, too", repr(r))
    s.stub.put("app", "there", labs.OCI_MANIFEST, ONE)
    r = s.put(TWO, "a", "there")
    report.ok(r.status == 403, "one that upstream had before us", repr(r))
    report.ok(not [q for q in s.stub.since(mark)[0] if q.method == "PUT"], "nothing was sent")
    report.ok(s.one(labs.manifest(note="free"), "a").status == 201, "what was claimed is free again")
    r = s.put(TWO, "latest", "fresh")
    report.ok(r.status == 201 and s.tags()["latest"] == s.tags()["fresh"] == labs.digest_of(TWO), "OverwriteTag for one of them", repr(r))
    s.end()


def half_way(lab, report):
    """Upstream fails at the second of three: the first is stored, the second is as its own outcome says, the third free."""
    def refuses(r):
        return (400, {"Content-Type": "application/json"}, b'{"errors":[{"code":"MANIFEST_INVALID"}]}')

    def drops(r):
        s.stub.registry(r)
        return "drop"
    rows = (("refuses it", refuses, 400, "free"), ("drops the connection after storing it", drops, 502, "unresolved"),
            ("says 500", lambda r: (500, {}, b"oops"), 500, "unresolved"))
    for n, (what, hook, status, second) in enumerate(rows):
        s = Scene(lab, report, f"many-half-{n}", tags={"settle": "1 min"})
        s.stub.hook = lambda r, hook=hook: hook(r) if r.method == "PUT" and r.target.endswith("/b") else None
        r = s.put(ONE, "a", "b", "c")
        s.stub.hook = None
        report.ok(r.status == status and r.header("oci-tag") is None, f"upstream {what}: {status}", repr(r))
        report.ok("c" not in s.tags() and s.tags()["a"] == labs.digest_of(ONE), "... the third was not sent", repr(s.tags()))
        e = s.gateway.wait_requests(1)[0]
        report.ok(e["detail"] == "stored under a, not under b, c", "... the event says so", repr(e))
        if status == 502:
            report.ok("stored under a, not under b, c" in r.message(), "... the client is told", repr(r))
        report.ok(s.one(TWO, "a").status == 403, "... the first stands")
        report.ok(s.one(TWO, "c").status == 201, "... the third is free")
        r = s.one(TWO, "b")
        want = 201 if second == "free" else 403
        report.ok(r.status == want, f"... the second is {second}", repr(r))
        if second == "unresolved":
            r = s.put(ONE, "a", "b")
            report.ok(r.status == 201 and r.header("oci-tag") == "a, b", "... and the same again heals it", repr(r))
        s.end()


def gone(lab, report):
    """The client leaves, or is cut off, while the second is being sent."""
    s = Scene(lab, report, "many-gone", tags={"settle": "1 min"}, limits={"upstream-first-byte": "1 s"})

    def slow(r):
        if r.method == "PUT" and r.target.endswith("/b"):
            time.sleep(3)
        return None
    s.stub.hook = slow
    r = s.put(ONE, "a", "b", "c")
    report.ok(r.status == 504, "upstream answers too late", repr(r))
    s.gateway.wait_requests(1)
    report.ok(s.states("tag.unresolved") == ["b"] and s.states("tag.released") == ["c"], "b is unresolved, c released",
              repr([s.states("tag.unresolved"), s.states("tag.released")]))
    s.stub.hook = None
    s.stub.settle(2.5)
    r = s.put(ONE, "a", "b", "c")
    report.ok(r.status == 201, "the same again", repr(r))
    s.end()


def cut_off(lab, report):
    """The gateway ends, and cuts what does not end with it, while the second is being sent."""
    s = Scene(lab, report, "many-cut", limits={"drain": "1 s"})
    s.stub.hook = lambda r: time.sleep(4) if r.method == "PUT" and r.target.endswith("/e") else None
    client = s.gateway.client()
    client.send((f"PUT /v2/app/manifests/{labs.digest_of(TWO)}?tag=d&tag=e&tag=f HTTP/1.1\r\nHost: {labs.HOST}\r\n"
                 f"Authorization: Bearer {s.token}\r\nContent-Type: {labs.OCI_MANIFEST}\r\nContent-Length: {len(TWO)}\r\n\r\n").encode()
                + TWO)
    labs.wait_for(lambda: "d" in s.states("tag.confirmed"))
    s.stub.settle(0.2)
    s.gateway.stop()        # cuts what is under way
    client.close()
    s.gateway.start()
    s.stub.hook = None
    s.stub.settle(4)
    report.ok(s.states("tag.unresolved") == ["e"], "cut off: tag.unresolved for the one being sent", repr(s.states("tag.unresolved")))
    report.ok(s.one(ONE, "f").status == 201, "... what was not sent is free", repr(s.tags()))
    report.ok(s.one(ONE, "d").status == 403 and s.one(ONE, "e").status == 403, "... what was sent is not")
    report.ok(s.put(TWO, "d", "e").status == 201, "... and the same again is taken")
    s.end()


def race(lab, report):
    """Two images, overlapping tags named in opposite order: each tag has one image, and a 201 means all of them."""
    s = Scene(lab, report, "many-race")
    for n in range(20):
        names = [f"r{n}-{k}" for k in range(5)]
        told = {}
        bodies = {ONE: names, TWO: names[::-1]}

        def push(body, tags):
            told[body] = s.put(body, *tags).status
        threads = [threading.Thread(target=push, args=x) for x in bodies.items()]
        for t in threads:
            t.start()
        for t in threads:
            t.join(30)
        have = {s.tags().get(t) for t in names}
        won = [b for b, status in told.items() if status == 201]
        good = len(won) <= 1 and have == ({labs.digest_of(won[0])} if won else {None})
        if not report.ok(good and all(x in (201, 403) for x in told.values()), f"race {n}", f"{told.values()} {have}"):
            break
    s.end()


def real(lab, report):
    """docker-registry ignores ?tag= and says 201: it never sees it."""
    registry, url = lab.registry("many-registry")
    g = labs.Gateway(lab, "many-real", url, POLICY).start()
    token = lab.signer.token("ci")
    report.ok(g.upload("app", b"{}", token).status == 201, "a config")
    r = g.request("PUT", f"/v2/app/manifests/{labs.digest_of(ONE)}?tag=v1&tag=v1.0", token, KIND, ONE)
    report.ok(r.status == 201 and r.header("oci-tag") == "v1, v1.0", "docker-registry: two tags", repr(r))
    for tag in ("v1", "v1.0", labs.digest_of(ONE)):
        r = g.request("GET", f"/v2/app/manifests/{tag}", token, {"Accept": labs.OCI_MANIFEST})
        report.ok(r.status == 200 and r.body == ONE, f"... {tag[:12]} is there", repr(r))
    g.stop()
    registry.stop()


def run(lab, report):
    for part in (together, all_or_nothing, half_way, gone, cut_off, race, real):
        part(lab, report)
