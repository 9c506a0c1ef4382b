# observe.py - policy.mode = "observe": policy refuses nothing, and every event says what it would have refused.
# SPDX-License-Identifier: Apache-2.0
import re

import lab as labs
import stub as stubs

KIND = {"Content-Type": labs.OCI_MANIFEST}
ONE, TWO = (labs.manifest(note=n) for n in ("one", "two"))
POLICY = {"Version": "2026-11-01", "Statement": [
    {"Sid": "Ci", "Effect": "Allow", "Principal": ["subject:test/ci"], "Action": ["registry:Push*", "registry:Pull*"],
     "Resource": ["repo:up/app"]},
    {"Sid": "NoFrozen", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:PushManifest"], "Resource": ["repo:up/app"],
     "Condition": {"StringEquals": {"registry:Tag": ["frozen"]}}, "Message": "frozen"},
    {"Sid": "Lists", "Effect": "Allow", "Principal": ["subject:test/lister"], "Action": ["registry:ListTags"], "Resource": ["repo:up/app"],
     "Condition": {"StringLike": {"registry:Tag": ["v*"]}}},
    {"Sid": "Catalog", "Effect": "Allow", "Principal": ["subject:test/lister"], "Action": ["registry:ListRepositories"],
     "Resource": ["*"]}]}


def run(lab, report):
    stub = stubs.Stub()
    stub.put("app/hidden", "v1", labs.OCI_MANIFEST, ONE)
    g = labs.Gateway(lab, "observe", stub.origin, POLICY, mode="observe").start()
    tokens = {who: lab.signer.token(who) for who in ("ci", "other", "lister")}
    report.ok("observe" in g.process.tail(100), "the log says so", g.process.tail())

    def ask(who, method, target, status, observed, body=None, sid=None, token=None):
        n = g.settled()
        r = g.request(method, target, token or tokens.get(who), KIND if method == "PUT" else {}, body)
        events = g.wait_requests(n + 1)
        e = events[-1] if len(events) > n else {}
        seen = e.get("observed", {})
        decision = "allow" if status < 400 or status == 404 else "deny"
        report.ok(r.status == status and e.get("decision") == decision and seen.get("reason") == observed and
                  (not observed or seen["decision"] == "deny") and seen.get("sid") == sid,
                  f"{who} {method} {target}: {status}, would be {observed or 'allowed'}", f"{r} {e}")
        return r
    ask("ci", "PUT", "/v2/app/manifests/v1", 201, None, ONE)
    ask("ci", "GET", "/v2/app/manifests/v1", 200, None)
    ask("other", "GET", "/v2/app/manifests/v1", 200, "not_allowed")
    ask("other", "PUT", "/v2/app/manifests/v2", 201, "not_allowed", ONE)
    ask("ci", "PUT", "/v2/app/manifests/frozen", 201, "denied_by_policy", ONE, sid="NoFrozen")
    ask("ci", "PUT", "/v2/app/manifests/v1", 201, "tag_locked", TWO)
    report.ok(stub.tags["app", "v1"] == labs.digest_of(TWO), "the overwrite passed")
    e = g.requests()[-1]
    report.ok(e["registry"]["old_digest"] == labs.digest_of(ONE), "and is recorded", repr(e))
    ask("ci", "DELETE", "/v2/app/manifests/v1", 202, "not_allowed")
    r = ask("other", "GET", "/v2/app/tags/list", 200, "not_allowed")
    report.ok(b"frozen" in r.body, "lists are whole", repr(r))
    # lists of which policy hides a part
    r = ask("lister", "GET", "/v2/app/tags/list", 200, "entries_hidden")
    report.ok(b"frozen" in r.body and b"v2" in r.body, "it is whole", repr(r))
    r = ask("lister", "GET", "/v2/_catalog", 200, "entries_hidden")
    report.ok(b'"app"' in r.body and b'"app/hidden"' in r.body, "so is the catalog", repr(r))
    # what is not policy's stands
    ask("nobody", "GET", "/v2/app/manifests/v1", 401, None)
    ask("bad", "GET", "/v2/app/manifests/v1", 401, None, token=tokens["ci"][:-8] + "AAAAAAAA")
    ask("ci", "GET", "/v2/app/manifests/%76", 400, None)
    ask("ci", "PUT", "/v2/app/manifests/v3", 400, None, b"{}")
    n = re.search(r"(?m)^tidewaiter_requests_observed_total (\d+)$", g.admin("/metrics")[1])
    report.ok(n and int(n.group(1)) == sum("observed" in e for e in g.requests()), "the metric counts them", repr(n))
    ok, said = g.verify()
    report.ok(ok, "audit verify", said)
    g.stop()
    stub.close()
