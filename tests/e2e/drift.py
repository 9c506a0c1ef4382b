# drift.py - a tag that is moved behind the gateway's back: noticed in every pull, and what tags.drift makes of it.
# SPDX-License-Identifier: Apache-2.0
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


def run(lab, report):
    alarm(lab, report)
