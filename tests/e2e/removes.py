# removes.py - deletes of tags, manifests, blobs and uploads: who may, what it does to tags, and what is left behind.
# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import signal
import subprocess
import threading
import time

import images
import lab as labs
import stub as stubs

KIND = {"Content-Type": labs.OCI_MANIFEST}
REPO = ["repo:up/app"]
USES = ["registry:Push*", "registry:Pull*", "registry:List*"]
POLICY = {"Version": "2026-11-01", "Statement": [
    {"Sid": "All", "Effect": "Allow", "Principal": ["subject:test/owner"], "Action": ["registry:*"], "Resource": REPO},
    {"Sid": "Pushes", "Effect": "Allow", "Principal": ["subject:test/ci", "subject:test/cleaner"], "Action": USES, "Resource": REPO},
    {"Sid": "Blind", "Effect": "Allow", "Principal": ["subject:test/blind"], "Action": ["registry:DeleteManifest"], "Resource": REPO},
    {"Sid": "Deletes", "Effect": "Allow", "Principal": ["subject:test/cleaner"], "Action": ["registry:Delete*"], "Resource": REPO},
    {"Sid": "Sweeps", "Effect": "Allow", "Principal": ["subject:test/cleaner"], "Action": ["registry:OverwriteTag"],
     "Resource": REPO, "Condition": {"StringLike": {"registry:Tag": ["dev-*"]}}}]}
IMAGES = {n: labs.manifest(note=n) for n in ("one", "two", "three", "four", "five", "six")}


class Scene:
    def __init__(self, lab, report, name, **kw):
        self.lab, self.report, self.stub = lab, report, stubs.Stub()
        self.gateway = labs.Gateway(lab, name, self.stub.origin, POLICY, **kw).start()

    def ask(self, who, method, target, body=None):
        return self.gateway.request(method, target, self.lab.signer.token(who), KIND if method == "PUT" else {}, body)

    def push(self, tag, image, who="ci", status=201, what=None):
        r = self.ask(who, "PUT", f"/v2/app/manifests/{tag}", IMAGES[image])
        self.report.ok(r.status == status, what or f"{who} pushes {image} as {tag}: {status}", repr(r))
        return r

    def delete(self, ref, who, status, what, kind="manifests"):
        ref = labs.digest_of(IMAGES[ref]) if ref in IMAGES else ref
        mark = self.stub.mark()
        r = self.ask(who, "DELETE", f"/v2/app/{kind}/{ref}")
        asked = [x for x in self.stub.since(mark)[0] if x.method == "DELETE"]
        self.report.ok(r.status == status and (status != 403 or not asked), what, f"{r}; upstream was asked {asked}")
        return r

    def imports(self):
        p = subprocess.run([labs.BINARY, "tag", "import", "-c", self.gateway.conf, "app"], capture_output=True, text=True)
        self.report.ok(p.returncode == 0, "tag import app", p.stdout + p.stderr)

    def states(self, name):
        return [(e["registry"]["tag"], e["registry"].get("old_digest")) for e in self.gateway.events() if e["event"] == name]

    def end(self):
        ok, said = self.gateway.verify()
        self.report.ok(ok, "audit verify", said)
        self.gateway.stop()
        self.stub.close()


def rights(lab, report):
    s = Scene(lab, report, "removes-rights")
    for tag, image in (("v1", "one"), ("dev-1", "two"), ("dev-2", "three"), ("v3", "three")):
        s.push(tag, image)
    s.delete("v1", "ci", 403, "no right to delete: 403")
    r = s.delete("v1", "cleaner", 403, "the right to delete is no right to overwrite")
    report.ok("immutable" in (r.message() or "") and "OverwriteTag" in r.reason, "it says what is missing", repr(r))
    s.delete("dev-1", "cleaner", 202, "a tag that may be overwritten goes")
    report.ok(("app", "dev-1") not in s.stub.tags and s.states("tag.deleted") == [("dev-1", labs.digest_of(IMAGES["two"]))],
              "it is gone, and there is an event", repr(s.states("tag.deleted")))
    e = s.gateway.wait_event(lambda e: e["action"] == "tag.delete" and e["http"]["status"] == 202)
    report.ok(e["decision"] == "allow" and e["registry"]["tag"] == "dev-1", "the request's event", repr(e))
    r = s.push("dev-1", "one", status=403, what="another image does not take its place")
    report.ok("deleted" in (r.message() or ""), "the tombstone is named", repr(r))
    s.push("dev-1", "two", what="the same image returns")
    r = s.delete("three", "cleaner", 403, "by digest, before an import: refused")
    report.ok("tag import" in (r.message() or ""), "it says what to do", repr(r))
    s.imports()
    s.delete("three", "cleaner", 403, "by digest: one of its tags is immutable")
    s.delete("one", "cleaner", 403, "as a blob: the same", kind="blobs")
    r = s.delete("three", "blind", 403, "by digest, of tags that the caller may not list")
    report.ok("immutable" in (r.message() or "") and b"v3" not in r.body and "v3" not in r.reason and b"dev-2" not in r.body,
              "they are not named", repr(r))
    report.ok(("app", "dev-2") in s.stub.tags and len(s.states("tag.deleted")) == 1, "nothing went")
    s.delete("two", "cleaner", 202, "by digest: all its tags may go")
    report.ok(("app", "dev-1") not in s.stub.tags and s.states("tag.deleted")[-1][0] == "dev-1", "tombstone of each")
    s.delete("three", "owner", 202, "who may overwrite deletes all")
    report.ok({t for t, _ in s.states("tag.deleted")[-2:]} == {"dev-2", "v3"}, "two tombstones", repr(s.states("tag.deleted")))
    s.gateway.settled()
    e = [e for e in s.gateway.requests() if e["action"] == "manifest.delete"][-1].get("policy_record", {})
    report.ok(e.get("action") == "registry:DeleteManifest" and {(a["action"], a["context"].get("registry:Tag"), a["decision"])
                                                               for a in e.get("also", [])} ==
              {("registry:OverwriteTag", t, "Allow") for t in ("dev-2", "v3")}, "and two decisions beside the one", repr(e))
    s.push("v3", "one", who="owner", what="OverwriteTag may put another image there")
    untagged = s.ask("ci", "PUT", f"/v2/app/manifests/{labs.digest_of(IMAGES['six'])}", IMAGES["six"])
    report.ok(untagged.status == 201, "an untagged manifest", repr(untagged))
    s.delete("six", "cleaner", 202, "untagged: the right to delete is enough")
    s.stub.blobs[labs.digest_of(b"layer")] = b"layer"
    s.delete(labs.digest_of(b"layer"), "ci", 403, "a blob: no right", kind="blobs")
    s.delete(labs.digest_of(b"layer"), "cleaner", 202, "a blob", kind="blobs")
    s.end()


def many(lab, report):
    """A digest with very many tags: each would be a question to policy and an event."""
    s = Scene(lab, report, "removes-many")
    for i in range(2049):
        s.stub.put("app", f"t{i}", labs.OCI_MANIFEST, IMAGES["one"])
    s.imports()
    r = s.delete("one", "owner", 403, "more than 2048 tags: not at once")
    report.ok("2048" in (r.message() or ""), "it says what to do", repr(r))
    s.delete("t7", "owner", 202, "one of them")
    s.end()


def unknown_tags(lab, report):
    """Tags that the ledger does not know are asked about first."""
    s = Scene(lab, report, "removes-unknown")
    s.delete("nosuch", "owner", 404, "a tag that is nowhere")
    s.stub.put("app", "v9", labs.OCI_MANIFEST, IMAGES["one"])
    s.delete("v9", "cleaner", 403, "found upstream: immutable like all")
    s.delete("v9", "owner", 202, "found upstream, and it may go")
    s.push("v9", "two", status=403, what="its digest is remembered")
    s.push("v9", "one")
    s.stub.put("app", "v8", labs.OCI_MANIFEST, IMAGES["one"])
    s.stub.hook = lambda r: (500, {}, b"") if r.method == "GET" else None
    s.delete("v8", "owner", 503, "whether it is there cannot be learned")
    s.stub.hook = None
    report.ok(("app", "v8") in s.stub.tags, "it stands")
    s.end()


def faults(lab, report):
    """However the DELETE ends: a tombstone, unless upstream refused in so many words."""
    s = Scene(lab, report, "removes-faults", limits={"upstream-first-byte": "1 s"}, workers=1)
    asked = []

    def once(r):
        """Does it on the kept connection, which it closes, and refuses what comes on the next one."""
        asked.append(r)
        return (s.stub.registry(r), "drop")[1] if len(asked) == 1 else s.stub.error(405, "UNSUPPORTED")
    rows = [    # what upstream does, what the client hears, may another image come?
        ("400 DIGEST_INVALID, as docker-registry 2.8", lambda r: s.stub.error(400, "DIGEST_INVALID"), 400, "confirmed"),
        ("405 UNSUPPORTED", lambda r: s.stub.error(405, "UNSUPPORTED"), 405, "confirmed"),
        ("404", lambda r: s.stub.error(404, "MANIFEST_UNKNOWN"), 404, "deleted"),
        ("500 after doing it", lambda r: (s.stub.registry(r), (500, {}, b""))[1], 500, "deleted"),
        ("hangs up after doing it", lambda r: (s.stub.registry(r), "drop")[1], 502, "deleted"),
        ("too late", lambda r: (time.sleep(2), s.stub.registry(r))[1], 504, "deleted"),
        ("hangs up after doing it, and refuses the second time", once, 405, "deleted"),
        ("401", lambda r: (401, {}, b""), 502, "confirmed"),
    ]
    for i, (name, does, status, state) in enumerate(rows):
        tag = f"dev-{i}"
        s.push(tag, "one")
        s.stub.hook = lambda r, does=does: does(r) if r.method == "DELETE" else None
        s.delete(tag, "cleaner", status, f"upstream: {name}: {status}")
        s.stub.hook = None
        p = subprocess.run([labs.BINARY, "tag", "show", "--json", "-c", s.gateway.conf, f"app:{tag}"], capture_output=True, text=True)
        report.ok(f'"{state}"' in p.stdout, f"... and the tag is {state}", p.stdout + p.stderr)
        r = s.ask("ci", "PUT", f"/v2/app/manifests/{tag}", IMAGES["two"])
        report.ok(r.status == 403, "... and another image is refused", repr(r))
        s.push(tag, "one", what="... and the same one may return")
    report.ok(len(s.states("tag.delete_undone")) == 3 and len(s.states("tag.delete_unresolved")) == 4, "events",
              f"{s.states('tag.delete_undone')} {s.states('tag.delete_unresolved')}")
    s.end()


def races(lab, report):
    """A delete and a push of one tag: one after the other, and nothing is left held."""
    s = Scene(lab, report, "removes-races")
    s.push("dev-1", "one")
    slow = threading.Event()
    s.stub.hook = lambda r: (slow.set(), time.sleep(1), s.stub.registry(r))[2] if r.method == "DELETE" else None
    out = []
    t = threading.Thread(target=lambda: out.append(s.ask("cleaner", "DELETE", "/v2/app/manifests/dev-1")))
    t.start()
    slow.wait(5)
    r = s.ask("cleaner", "DELETE", "/v2/app/manifests/dev-1")
    report.ok(r.status == 503, "a second delete meanwhile: 503", repr(r))
    s.push("dev-1", "one", what="a push of the same image waits for the delete, and is stored")
    t.join(10)
    report.ok(out and out[0].status == 202 and ("app", "dev-1") in s.stub.tags, "the delete was first", repr(out))
    s.stub.hook = lambda r: (time.sleep(0.5), None)[1] if r.method == "DELETE" else None
    c = s.gateway.client()
    c.send(f"DELETE /v2/app/manifests/dev-1 HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer "
           f"{lab.signer.token('cleaner')}\r\n\r\n".encode())
    time.sleep(0.2)
    c.close()
    time.sleep(1)
    s.stub.hook = None
    s.push("dev-1", "one", what="after a client that hung up in the middle")
    s.gateway.stop(signal.SIGKILL)
    s.gateway.start()
    s.push("dev-1", "two", status=403, what="after a crash: still immutable")
    s.end()


def cancel(lab, report):
    s = Scene(lab, report, "removes-cancel")
    for who, status in (("ci", 403), ("owner", 204)):
        where = s.ask(who, "POST", "/v2/app/blobs/uploads/", b"").header("location")
        r = s.ask(who, "DELETE", where)
        report.ok(r.status == status, f"{who} cancels an upload: {status}", repr(r))
        r = s.ask("owner" if who == "ci" else "ci", "DELETE", where)
        report.ok(r.status in (403, 404), "another's upload cannot be cancelled", repr(r))
    report.ok(len(s.stub.uploads) == 1, "one was, one was not")
    s.end()


def real(lab, report):
    """Debian's docker-registry, and skopeo."""
    _, url = lab.registry("removes-registry")
    g = labs.Gateway(lab, "removes-real", url, POLICY).start()
    data, certs = os.path.join(lab.dir, "removes-image"), os.path.join(lab.dir, "removes-certs")
    images.oci_layout(data, tag="made", note="removed")
    os.makedirs(certs)
    shutil.copy(lab.ca, os.path.join(certs, "ca.crt"))
    token = lab.signer.token("owner")
    ref = f"docker://localhost:{g.port}/app:v1"
    skopeo = lambda *a: subprocess.run(["skopeo", *a], capture_output=True, text=True)
    p = skopeo("copy", "--dest-cert-dir", certs, "--dest-creds", f"jwt:{token}", f"oci:{data}:made", ref)
    report.ok(p.returncode == 0, "skopeo copy", p.stderr)
    p = skopeo("delete", "--cert-dir", certs, "--creds", f"jwt:{token}", ref)
    report.ok(p.returncode != 0 and "tag import" in p.stderr, "skopeo delete before an import says what to do", p.stderr)
    p = subprocess.run([labs.BINARY, "tag", "import", "-c", g.conf, "app"], capture_output=True, text=True)
    report.ok(p.returncode == 0, "tag import", p.stdout + p.stderr)
    p = skopeo("delete", "--cert-dir", certs, "--creds", f"jwt:{token}", ref)
    report.ok(p.returncode == 0, "skopeo delete", p.stderr)
    r = g.request("GET", "/v2/app/manifests/v1", token)
    report.ok(r.status == 404, "it is gone", repr(r))
    g.stop()


def run(lab, report):
    for part in (rights, many, unknown_tags, faults, races, cancel, real):
        part(lab, report)
