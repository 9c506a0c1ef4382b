# drift.py - a tag that is moved behind the gateway's back: noticed in every pull, and what tags.drift makes of it.
# SPDX-License-Identifier: Apache-2.0
import os

import lab as labs
import stub as stubs

KIND = {"Content-Type": labs.OCI_MANIFEST}
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
WIDE = {"Accept": f"{labs.OCI_INDEX}, {labs.OCI_MANIFEST}, {LIST}, application/vnd.docker.distribution.manifest.v2+json"}
NARROW = {"Accept": f"{labs.OCI_MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"}
OWNER = {"Version": "2026-11-01", "Statement": [
    {"Sid": "Owner", "Effect": "Allow", "Principal": ["subject:test/ci"], "Action": ["registry:*"], "Resource": ["repo:up/app"]}]}
ONE, TWO, THREE = (labs.manifest(note=n) for n in ("one", "two", "three"))


class Scene:
    def __init__(self, lab, report, name, mode=None):
        self.report, self.stub = report, stubs.Stub()
        self.gateway = labs.Gateway(lab, name, self.stub.origin, OWNER, tags={"drift": mode} if mode else None).start()
        self.token = lab.signer.token("ci")

    def push(self, tag, body):
        r = self.gateway.request("PUT", f"/v2/app/manifests/{tag}", self.token, KIND, body)
        self.report.ok(r.status == 201, f"push {tag}", repr(r))

    def pull(self, tag, headers=WIDE, method="GET"):
        return self.gateway.request(method, f"/v2/app/manifests/{tag}", self.token, headers)

    def drifts(self):
        return [e for e in self.gateway.events() if e["event"] == "tag.drifted"]

    def wait_drifts(self, n):
        labs.wait_for(lambda: len(self.drifts()) >= n, 5)
        return self.drifts()

    def metric(self):
        return int(self.gateway.admin("/metrics")[1].split("\ntidewaiter_tags_drifted_total ")[1].split("\n")[0])

    def end(self):
        ok, said = self.gateway.verify()
        self.report.ok(ok, "audit verify", said)
        self.gateway.stop()
        self.stub.close()


def alarm(lab, report):
    s = Scene(lab, report, "drift-alarm")
    for tag in ("v1", "v2", "narrow", "moved"):
        s.push(tag, ONE)
    s.push("moved", TWO)        # by right
    for tag in ("v1", "v2", "moved"):
        r = s.pull(tag)
        report.ok(r.status == 200, f"{tag} in order", repr(r))
    s.stub.put("app", "unknown", labs.OCI_MANIFEST, ONE)
    s.pull("unknown")
    report.ok(s.metric() == 0 and not s.drifts(), "no alarm while all is in order")
    for tag in ("v1", "v2", "narrow"):
        s.stub.put("app", tag, labs.OCI_MANIFEST, THREE)
    r = s.pull("v1")
    report.ok(r.status == 200 and r.body == THREE, "alarm: the pull goes on", repr(r))
    found = s.wait_drifts(1)
    e = found[0] if found else {}
    report.ok(len(found) == 1 and e["registry"]["tag"] == "v1" and e["registry"]["digest"] == labs.digest_of(THREE)
              and e["registry"]["old_digest"] == labs.digest_of(ONE) and e["actor"]["subject"] == "ci"
              and e["source"]["ip"] == "127.0.0.1" and e["registry"]["upstream"] == "up",
              "tag.drifted: both digests, and who saw it", repr(found))
    report.ok(e.get("detail") in {x["id"] for x in s.gateway.wait_requests(10)}, "it names the request", repr(e))
    report.ok(s.pull("v2", method="HEAD").status == 200 and len(s.wait_drifts(2)) == 2, "a HEAD notices, too", repr(s.drifts()))
    for _ in range(20):
        s.pull("v1")
    s.pull("narrow", NARROW)    # upstream may have answered for a child
    s.pull("narrow", {})
    # each worker tells once
    report.ok(2 <= len(s.drifts()) <= 4 and s.metric() == len(s.drifts()), "told once a minute, not once a pull", repr(s.drifts()))
    report.ok("narrow" not in {x["registry"]["tag"] for x in s.drifts()}, "an Accept without indexes proves nothing")
    s.end()


def refuse(lab, report):
    s = Scene(lab, report, "drift-refuse", "refuse")
    big = labs.manifest(note="x" * 3000000)     # sent as the client takes it
    for tag, body in (("v1", ONE), ("lost", ONE), ("big", big)):
        s.push(tag, body)
    for headers in (WIDE, NARROW, {}):
        r = s.pull("v1", headers)
        report.ok(r.status == 200 and r.body == ONE and r.header("docker-content-digest") == labs.digest_of(ONE)
                  and r.header("content-type") == labs.OCI_MANIFEST and r.header("warning") is None, "in order", repr(r))
    r = s.pull("v1", method="HEAD")
    report.ok(r.status == 200 and r.header("content-length") == str(len(ONE)), "HEAD in order", repr(r))
    r = s.pull("big")
    report.ok(r.status == 200 and r.body == big, "3 MB in order", repr(r)[:200])
    s.stub.put("app", "unknown", labs.OCI_MANIFEST, TWO)
    report.ok(s.pull("unknown").body == TWO, "a tag that the ledger does not know")
    report.ok(s.pull("nosuch").status == 404, "a tag that nobody knows")
    s.stub.put("app", "v1", labs.OCI_MANIFEST, THREE)
    for method in ("GET", "HEAD"):
        r = s.pull("v1", method=method)
        report.ok(r.status == 403 and "moved behind the gateway" in r.reason and THREE not in r.body, f"{method} refused", repr(r))
    e = s.gateway.wait_event(lambda e: e["reason"] == "tag_drifted")
    report.ok(e["decision"] == "deny" and e["registry"]["old_digest"] == labs.digest_of(ONE), "its event", repr(e))
    found = s.wait_drifts(1)
    report.ok(found and found[0]["registry"]["digest"] == labs.digest_of(THREE), "tag.drifted", repr(found))
    del s.stub.tags["app", "lost"]
    report.ok(s.pull("lost").status == 404, "a tag that is gone is not found")
    s.stub.hook = lambda r: (200, {"Content-Type": labs.OCI_MANIFEST, "Docker-Content-Digest": labs.digest_of(ONE)}, THREE) \
        if r.method == "GET" else None
    r = s.pull("v1")
    report.ok(r.status == 403 and THREE not in r.body, "a header that lies does not help", repr(r))
    s.stub.hook = lambda r: (200, {"Content-Type": labs.OCI_MANIFEST, "Docker-Content-Digest": labs.digest_of(THREE)}, ONE) \
        if r.method == "GET" else None
    r = s.pull("v1")
    report.ok(r.status == 502, "right bytes under another name are not passed on", repr(r))
    s.stub.hook = lambda r: (307, {"Location": "https://elsewhere.test/x"}, b"")
    report.ok(s.pull("v1").status == 502, "a redirect cannot be checked")
    s.stub.hook = lambda r: (500, {}, b"oops")
    r = s.pull("v1")
    report.ok(r.status == 500 and r.body == b"oops", "upstream's own troubles are relayed", repr(r))
    s.stub.hook = lambda r: "drop"
    report.ok(s.pull("v1").status == 502, "upstream hangs up")
    s.end()


def pin(lab, report):
    s = Scene(lab, report, "drift-pin", "pin")
    for tag, body in (("v1", ONE), ("gone", ONE), ("lost", TWO)):
        s.push(tag, body)
    r = s.pull("v1")
    report.ok(r.status == 200 and r.body == ONE and r.header("warning") is None, "in order", repr(r))
    for tag in ("v1", "gone"):
        s.stub.put("app", tag, labs.OCI_MANIFEST, THREE)
    for method in ("GET", "HEAD"):
        r = s.pull("v1", method=method)
        report.ok(r.status == 200 and r.body == (ONE if method == "GET" else b"") and "moved" in (r.header("warning") or "")
                  and r.header("docker-content-digest") == labs.digest_of(ONE), f"{method}: what was pushed, and a warning", repr(r.headers))
    report.ok(len(s.wait_drifts(1)) >= 1, "tag.drifted")
    del s.stub.tags["app", "lost"]
    r = s.pull("lost")
    report.ok(r.status == 200 and r.body == TWO, "a tag that upstream lost", repr(r))
    body = s.stub.manifests.pop(("app", labs.digest_of(ONE)))
    r = s.pull("gone")
    report.ok(r.status == 403 and THREE not in r.body, "what was pushed is gone: no falling back", repr(r))
    s.stub.manifests["app", labs.digest_of(ONE)] = (body[0], THREE)
    r = s.pull("gone")
    report.ok(r.status == 502 and THREE not in r.body, "other bytes under the recorded digest", repr(r))
    s.end()


def claimed(lab, report):
    """A push that ended nobody knows how makes two digests possible, and no third one."""
    for mode in ("pin", "refuse", "alarm"):
        s = Scene(lab, report, f"drift-claimed-{mode}", mode)
        s.push("v1", ONE)
        s.stub.hook = lambda r: "drop" if r.method == "PUT" else None
        r = s.gateway.request("PUT", "/v2/app/manifests/v1", s.token, KIND, TWO)
        s.stub.hook = None
        report.ok(r.status == 502, f"{mode}: an overwrite is unresolved", repr(r))
        report.ok(s.pull("v1").body == ONE, "what was there", repr(s.pull("v1")))
        s.stub.put("app", "v1", labs.OCI_MANIFEST, TWO)
        report.ok(s.pull("v1").body == TWO and not s.drifts(), "what was sent", repr(s.pull("v1")))
        s.stub.put("app", "v1", labs.OCI_MANIFEST, THREE)
        r = s.pull("v1")
        report.ok((r.status, r.body) == (200, ONE) if mode == "pin" else (r.status, r.body) == (200, THREE) if mode == "alarm" else
                  r.status == 403 and THREE not in r.body, "a third: moved behind the gateway", repr(r))
        report.ok(len(s.wait_drifts(1)) == 1 and s.drifts()[0]["registry"]["old_digest"] == labs.digest_of(ONE), "tag.drifted",
                  repr(s.drifts()))
        s.end()


def ledger_down(lab, report):
    """Without its ledger `pin` cannot tell, and `alarm` goes on."""
    for mode, status in (("pin", 503), ("alarm", 200)):
        s = Scene(lab, report, f"drift-down-{mode}", mode)
        s.push("v1", ONE)
        os.rename(os.path.join(s.gateway.dir, "tags.db"), os.path.join(s.gateway.dir, "moved.db"))
        s.gateway.request("PUT", "/v2/app/manifests/v2", s.token, KIND, TWO)    # notices
        r = s.pull("v1")
        report.ok(r.status == status, f"{mode}: {status} while the ledger is down", repr(r))
        s.end()


def run(lab, report):
    alarm(lab, report)
    refuse(lab, report)
    pin(lab, report)
    claimed(lab, report)
    ledger_down(lab, report)
