# ready.py - /readyz: every part that a push needs, in one answer, also where there is no traffic.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import threading

import lab as labs
import stub as stubs


def run(lab, report):
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
    stub.close()
