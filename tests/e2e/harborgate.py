# harborgate.py - the five holes of Harbor's own gate (goharbor/harbor c50c7dd), each tried here: what it lets pass is refused, and
# what it should let pass is not.
#
# Scanner stands for Trivy: the server side of Harbor's Pluggable Scanner API, written from its specification.
# SPDX-License-Identifier: Apache-2.0
import base64
import http.server
import json
import threading
import time
import uuid

import gate
import lab as labs
import samples

REQUEST = "application/vnd.scanner.adapter.scan.request+json"
REPORT = "application/vnd.security.vulnerability.report; version=1.1"


class Scanner:
    """critical: digests of which it reports a critical vulnerability. mode: fine, busy (never done), failing, dead (no answer), lying."""

    def __init__(self, delay=0):
        self.critical, self.mode, self.delay, self.asked, self.jobs = set(), "fine", delay, [], {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def say(self, status, body=None, kind="application/json", **fields):
                data = json.dumps(body).encode() if body is not None else b""
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                for k, v in fields.items():
                    self.send_header(k.replace("_", "-"), v)
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                if self.path == "/api/v1/metadata":
                    self.say(200, {"scanner": {"name": "Stub", "vendor": "lab", "version": "1"}, "capabilities": [
                        {"consumes_mime_types": [labs.OCI_MANIFEST], "produces_mime_types": [REPORT]}], "properties": {}})
                    return
                job = outer.jobs.get(self.path.split("/")[4] if self.path.count("/") == 5 else "")
                if job is None:
                    self.say(404, {"error": {"message": "no such scan"}})
                elif outer.mode == "failing":
                    self.say(500, {"error": {"message": "database is broken"}})
                elif outer.mode == "busy" or time.monotonic() < job["at"]:
                    self.say(302, Refresh_After="1")
                else:
                    self.say(200, outer.report(job["artifact"]), REPORT)

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(body)
                if outer.mode == "dead":
                    self.close_connection = True
                    return
                name = uuid.uuid4().hex
                outer.jobs[name] = {"artifact": body["artifact"], "at": time.monotonic() + outer.delay}
                self.say(202, {"id": name})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def report(self, artifact):
        found = artifact["digest"] in self.critical
        digest = artifact["digest"] if self.mode != "lying" else "sha256:" + "0" * 64
        return {"generated_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "artifact": {**artifact, "digest": digest},
                "scanner": {"name": "Stub", "vendor": "lab", "version": "1"}, "severity": "Critical" if found else "Low",
                "vulnerabilities": [{"id": "CVE-2026-0001", "package": "openssl", "version": "3.0.0", "fix_version": "3.0.1",
                                     "severity": "Critical" if found else "Low", "description": "", "links": []}]}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


CRITICAL = {"NumericGreaterThan": {"scan:Critical": "0"}}


def scanned(action=("registry:PullManifest",)):
    common = {"Effect": "Deny", "Principal": ["*"], "Action": list(action), "Resource": ["repo:up/app"]}
    return [{"Sid": "NoCritical", **common, "Condition": CRITICAL}, {"Sid": "NoReport", **common, "Condition": {"Null": {"scan:Critical": "true"}}}]


def scene(lab, name, scanner, *statements, more="", **kw):
    """A gateway that asks this scanner."""
    return gate.Ways(lab, name, gate.policy(*statements), upstream_options={"scanners": ["stub"]}, more=f'''
token-service = {{ signing-key = "{lab.signer.key}"; }};
scanner = {{ stub = {{ type = "adapter"; url = "{scanner.url}"; timeout = "5 s"; }}; }};
evidence = {{ push-wait = "20 s"; pull-wait = "8 s"; retry = "1 s"; }};
{more}''', **kw)


def hole_1_blobs(report, lab, scanner):
    """Harbor gates GET and HEAD of manifests; whoever knows a digest gets the blobs."""
    w = scene(lab, "hole1", scanner, *scanned())
    bad, good = gate.image(note="hole 1 bad"), gate.image(note="hole 1 good")
    scanner.critical.add(bad.digest)
    w.push(bad, "bad")
    w.push(good, "good")
    report.ok(w.get("good").status == 200 and all(w.get(d, what="blobs").status == 200 for d in good.blobs), "hole 1: a good image, with its blobs")
    gate.refused(report, w.get("bad"), "hole 1: a vulnerable one is refused")
    for digest in bad.blobs:
        for method in ("GET", "HEAD"):
            gate.refused(report, w.get(digest, what="blobs", method=method), f"hole 1: ... and its blobs: {method}")
    w.close(report)


def hole_2_no_report(report, lab, scanner):
    """Harbor lets pass what has no report because it is not scannable, and when the scanner is away."""
    w = scene(lab, "hole2", scanner, *scanned())
    for mode in ("dead", "failing", "busy", "lying"):
        i = gate.image(note=f"hole 2 {mode}")
        w.behind(i, mode)
        scanner.mode = mode
        gate.refused(report, w.get(mode), f"hole 2: no report, the scanner is {mode}")
        scanner.mode = "fine"
        r = labs.wait_for(lambda: next((r for r in [w.get(mode)] if r.status == 200), None), 15, 0.3)
        report.ok(r is not None, f"hole 2: ... and once it is there again ({mode}) the image is pulled")
    odd = json.dumps({**json.loads(gate.image(note="hole 2 odd").body), "config": {
        "mediaType": "application/vnd.oci.empty.v1+json", "digest": labs.digest_of(b"{}"), "size": 2}}).encode()
    w.stub.put("app", "odd", labs.OCI_MANIFEST, odd)
    scanner.mode = "failing"
    gate.refused(report, w.get("odd"), "hole 2: what no scanner knows is not good for that")
    scanner.mode = "fine"
    w.close(report)


def hole_3_index(report, lab, scanner):
    """Harbor skips the check for an index."""
    w = scene(lab, "hole3", scanner, *scanned())
    good, bad = gate.image(note="hole 3 good"), gate.image(note="hole 3 bad")
    scanner.critical.add(bad.digest)
    for i in (good, bad):
        w.behind(i)
    for name, index in (("both", samples.index_of(good, bad)), ("fine", samples.index_of(good))):
        w.stub.put("app", name, labs.OCI_INDEX, index)
    gate.refused(report, w.get("both"), "hole 3: an index with a vulnerable child")
    gate.refused(report, w.get(labs.digest_of(samples.index_of(good, bad))), "hole 3: ... by digest")
    gate.refused(report, w.get(bad.digest), "hole 3: ... and the child")
    report.ok(w.get("fine").status == 200, "hole 3: one with good children is pulled")
    report.ok(all(a["artifact"].get("mime_type") != labs.OCI_INDEX for a in scanner.asked), "hole 3: children are scanned, never the index")
    w.close(report)


SIGNED = "application/vnd.dev.cosign.simplesigning.v1+json"


def signature(digest, key, payload_digest=None):
    """A cosign simple signing manifest and its blobs, with a real signature by the key, or rubbish."""
    payload = json.dumps({"critical": {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": payload_digest or digest},
                                       "type": "cosign container image signature"}, "optional": None}).encode()
    mark = labs.openssl("dgst", "-sha256", "-sign", key, data=payload) if key else b"this is not a signature"
    config = b'{"architecture":"","created":"0001-01-01T00:00:00Z","history":[],"os":"","rootfs":{"type":"layers","diff_ids":[]},"config":{}}'
    body = json.dumps({
        "schemaVersion": 2, "mediaType": labs.OCI_MANIFEST,
        "config": {"mediaType": samples.CONFIG, "digest": labs.digest_of(config), "size": len(config)},
        "layers": [{"mediaType": SIGNED, "digest": labs.digest_of(payload), "size": len(payload),
                    "annotations": {"dev.cosignproject.cosign/signature": base64.b64encode(mark).decode()}}]}).encode()
    return body, (payload, config)


def hole_4_content_trust(report, lab, scanner):
    """Harbor's content trust is that an accessory of the right type is there: nothing is verified."""
    theirs = labs.Signer(lab.dir, "their-key")
    public = lab.dir + "/release.pub"
    with open(public, "wb") as f:
        f.write(labs.openssl("pkey", "-in", lab.signer.key, "-pubout"))
    common = {"Effect": "Deny", "Principal": ["*"], "Action": ["registry:PullManifest"], "Resource": ["repo:up/app"]}
    w = gate.Ways(lab, "hole4", gate.policy({"Sid": "Signed", **common, "Condition": {"StringNotEquals": {"sig:Status": "verified"}}}),
                  more=f'trust = {{ release = {{ keys = ["{public}"]; }}; }};\nevidence = {{ signatures-fresh = "1 s"; retry = "1 s"; }};')
    other = gate.image(note="hole 4 other").digest
    for name, made in (("nothing", None), ("rubbish", lambda d: signature(d, None)), ("a stranger's key", lambda d: signature(d, theirs.key)),
                       ("another image's", lambda d: signature(d, lab.signer.key, other)), ("a good one", lambda d: signature(d, lab.signer.key))):
        i = gate.image(note=f"hole 4 {name}")
        tag = "t" + name.replace(" ", "-").replace("'", "")
        w.behind(i, tag)
        if made:
            body, blobs = made(i.digest)
            with w.stub.lock:
                w.stub.blobs.update({labs.digest_of(b): b for b in blobs})
            w.stub.put("app", i.digest.replace(":", "-") + ".sig", labs.OCI_MANIFEST, body)
        r = w.get(tag)
        if name == "a good one":
            report.ok(r.status == 200, "hole 4: a signature by a trusted key counts", repr(r))
        else:
            gate.refused(report, r, f"hole 4: {name} is no signature")
    w.close(report)


def hole_5_user_agent(report, lab, scanner):
    """Harbor skips its checks for who may push and calls himself cosign or notation."""
    w = scene(lab, "hole5", scanner, *scanned())
    bad = gate.image(note="hole 5")
    scanner.critical.add(bad.digest)
    w.push(bad, "bad")
    for agent in ("cosign/v2.4.0 (linux; amd64)", "notation/1.1.0", "Trivy", "harbor-scanner", "tidewaiter"):
        for who in (w.ci, w.dev):
            r = w.gateway.request("GET", "/v2/app/manifests/bad", who, {**gate.ACCEPT, "User-Agent": agent})
            gate.refused(report, r, f"hole 5: who calls himself {agent.split('/')[0]} is not let pass")
    w.close(report)


def passes(report, lab, scanner):
    """What the scanner is given is good for one image, and only as long as it may be."""
    w = scene(lab, "pass", scanner, *scanned())
    bad, other = gate.image(note="pass bad"), gate.image(note="pass other")
    scanner.critical.add(bad.digest)
    for i in (bad, other):
        w.push(i, "t" + i.digest[-8:])
    w.get(bad.digest)
    token = next((a["registry"]["authorization"] for a in scanner.asked if a["artifact"]["digest"] == bad.digest), "")
    report.ok(token.startswith("Bearer "), "a scanner is given a token", repr(scanner.asked[-1:]))
    token = token[len("Bearer "):]
    report.ok(w.get(bad.digest, token).status == 200, "... pulls with it what nobody else may")
    report.ok(all(w.get(d, token, what="blobs").status == 200 for d in bad.blobs), "... and its blobs")
    for what, ref in (("manifests", other.digest), ("manifests", "t" + bad.digest[-8:]), ("blobs", labs.digest_of(other.config))):
        r = w.get(ref, token, what=what)
        report.ok(r.status in (401, 403), f"... but not {what} {ref[:14]}", repr(r))
    r = w.put(other.body, "new", who=token or "none")
    report.ok(r.status in (401, 403), "... nor does it push", repr(r))
    w.close(report)


PARTS = {"1": hole_1_blobs, "2": hole_2_no_report, "3": hole_3_index, "4": hole_4_content_trust, "5": hole_5_user_agent, "pass": passes}


def run(lab, report, which=tuple(PARTS)):
    scanner = Scanner()
    for name in which:
        scanner.mode = "fine"
        PARTS[name](report, lab, scanner)
    scanner.close()
