# ready.py - /readyz: every part that a push needs, in one answer, also where there is no traffic.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import resource
import signal
import threading
import time

import lab as labs
import stub as stubs


# what a push needs is known with its manifest only
LATER = {"Version": "2026-11-01", "Statement": [
    {"Sid": "Digests", "Effect": "Allow", "Principal": ["subject:test/ci"], "Action": ["registry:Push*", "registry:Pull*"],
     "Resource": ["repo:up/app"], "Condition": {"StringLike": {"registry:Digest": ["sha256:*"]}}},
    {"Sid": "Pulls", "Effect": "Allow", "Principal": ["subject:test/ci"], "Action": ["registry:Pull*"], "Resource": ["repo:up/app"]}]}


def audit_down(lab, report):
    """Events cannot be written: nothing changes that can be pulled, upstream does not hear of it, and pulls go on."""
    stub = stubs.Stub()
    g = labs.Gateway(lab, "ready-audit", stub.origin, LATER, workers=1).start()
    token, c = lab.signer.token("ci"), g.client()
    put = lambda tag: g.request("PUT", f"/v2/app/manifests/{tag}", token, {"Content-Type": labs.OCI_MANIFEST}, labs.manifest(note=tag))
    report.ok(put("before").status == 201, "a push")
    log = os.path.join(g.audit, "current.jsonl")
    # the audit log becomes the largest file by far, and then the only one that may not grow
    while os.path.getsize(log) < 3 * os.path.getsize(os.path.join(g.dir, "tags.db-wal")):
        for _ in range(100):
            c.request("GET", "/v2/app/manifests/before", token)
        time.sleep(0.1)
    c.close()
    soft, hard = resource.prlimit(g.process.pid, resource.RLIMIT_FSIZE)
    g.settled()
    resource.prlimit(g.process.pid, resource.RLIMIT_FSIZE, (os.path.getsize(log), hard))
    r = put("first")
    report.ok(r.status == 503 and "audit log" in (r.message() or ""), "the first push: no 201 without its event", repr(r))
    labs.wait_for(lambda: g.admin("/readyz")[0] == 503)
    report.ok(json.loads(g.admin("/readyz")[1])["audit"] == "down", "/readyz says so", g.admin("/readyz")[1])
    mark = stub.mark()
    r = put("second")
    report.ok(r.status == 503 and "audit log" in (r.message() or "") and not stub.since(mark)[0], "the next: upstream hears nothing of it",
              f"{r} {stub.since(mark)[0]}")
    r = g.request("GET", "/v2/app/manifests/before", token)
    report.ok(r.status == 200, "pulls go on", repr(r))
    resource.prlimit(g.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
    labs.wait_for(lambda: g.admin("/readyz")[0] == 200)
    report.ok(put("second").status == 201 and put("first").status == 201, "pushes again when it can be written")
    ok, said = g.verify()
    report.ok(ok, "audit verify", said)
    g.stop()
    stub.close()


def ended_at_once(lab, report, stub):
    """A signal that comes as soon as somebody listens finds the gateway prepared."""
    codes = []
    for i in range(5):
        g = labs.Gateway(lab, f"gateway-at-once-{i}", stub.origin).start()
        g.process.child.send_signal(signal.SIGTERM)
        codes.append(g.process.child.wait(30))
    report.ok(codes == [0] * 5, "SIGTERM right after the start: it ends well", repr(codes))


def run(lab, report):
    audit_down(lab, report)
    stub = stubs.Stub()
    g = labs.Gateway(lab, "ready", stub.origin, labs.POLICY).start()

    def ready(seconds=1):
        """(status, body) once it is 200, or at the end of the time."""
        labs.wait_for(lambda: g.admin("/readyz")[0] == 200, seconds, 0.1)
        status, text = g.admin("/readyz")
        return status, json.loads(text)

    def unready(seconds=15):
        labs.wait_for(lambda: g.admin("/readyz")[0] == 503, seconds, 0.1)
        status, text = g.admin("/readyz")
        return status, json.loads(text)

    def metric(name):
        m = re.search(rf"(?m)^{re.escape(name)} (\S+)$", g.admin("/metrics")[1])
        return m and m.group(1)
    status, said = ready(10)
    report.ok(status == 200 and said == {"ready": True, "draining": False, "ledger": "up", "audit": "up", "policy": said["policy"],
                                         "reload": "ok", "upstream": {"up": "up"},
                                         "issuer": {"test": {"state": "file", "keys": 1}}} and said["policy"].startswith("sha256:"),
              "ready without a request", f"{status} {said}")
    report.ok(metric("tidewaiter_ready") == "1" and metric('tidewaiter_upstream_up{upstream="up"}') == "1", "and in the metrics")
    asked = []
    stub.hook = lambda r: asked.append(r)
    labs.wait_for(lambda: asked, 15)
    report.ok(asked and asked[0].method == "GET" and asked[0].target == "/v2/" and not asked[0].violations, "upstream is asked for /v2/",
              repr(asked))
    stub.hook = lambda r: (401, {"WWW-Authenticate": "Basic"}, b"")
    report.ok(ready()[0] == 200, "a 401 is an answer")
    stub.hook = lambda r: "drop"
    status, said = unready()
    report.ok(status == 503 and said["upstream"] == {"up": "down"} and not said["ready"], "upstream hangs up: not ready", f"{status} {said}")
    report.ok(g.admin("/healthz")[0] == 200, "but healthy: a restart would not help")
    report.ok(metric("tidewaiter_ready") == "0" and metric('tidewaiter_upstream_up{upstream="up"}') == "0", "and in the metrics")
    stub.hook = None
    report.ok(ready(15)[0] == 200, "upstream is back")
    hung = threading.Event()
    stub.hook = lambda r: hung.wait(60) and None
    status, said = unready(20)
    report.ok(status == 503 and said["upstream"] == {"up": "down"}, "upstream takes questions and says nothing: not ready, and soon",
              f"{status} {said}")
    hung.set()
    stub.hook = None
    report.ok(ready(15)[0] == 200, "upstream is back")
    os.rename(os.path.join(g.dir, "tags.db"), os.path.join(g.dir, "elsewhere"))
    g.request("PUT", "/v2/app/manifests/v1", lab.signer.token("ci"), {"Content-Type": labs.OCI_MANIFEST}, labs.manifest(note="x"))
    status, said = unready()
    report.ok(status == 503 and said["ledger"] == "down", "without its ledger: not ready", f"{status} {said}")
    os.rename(os.path.join(g.dir, "elsewhere"), os.path.join(g.dir, "tags.db"))
    report.ok(ready(15)[0] == 200, "the ledger is back")
    g.stop()
    ended_at_once(lab, report, stub)
    stub.close()
