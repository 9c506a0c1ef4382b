# signatures.py - tags that grow: attestations of @sigstore/oci, cosign signatures of skopeo, and what may not be done to them.
#
# docker-registry has no referrers API, so the first keeps an index under sha256-<hex>; the second keeps a manifest under
# sha256-<hex>.sig, with a layer for each signature and a config that lists them all, so that it is another each time. Both read what is there, put theirs behind it and PUT the whole.
# SPDX-License-Identifier: Apache-2.0
import base64
import fcntl
import hashlib
import json
import os
import shutil
import threading

import adapters
import lab as labs
import stub as stubs

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "npm")
MODULES = os.path.join(labs.ROOT, "build", "npm")
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
# `signer` may append, `ci` only push
POLICY = {**labs.POLICY, "Statement": labs.POLICY["Statement"] + [
    {"Sid": "SignerSigns", "Effect": "Allow", "Principal": ["subject:test/signer"],
     "Action": ["registry:Push*", "registry:Pull*", "registry:AppendReferrer"], "Resource": ["repo:up/app"]}]}


def install(report):
    """What package-lock.json names, into build/npm, once for each lock, by one part at a time. No script of a package is run."""
    os.makedirs(MODULES, exist_ok=True)
    with open(os.path.join(MODULES, "lock"), "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        return install_now(report)


def install_now(report):
    with open(os.path.join(HERE, "package-lock.json"), "rb") as f:
        wanted = hashlib.sha256(f.read()).hexdigest()
    stamp = os.path.join(MODULES, "installed")
    if not (os.path.exists(stamp) and open(stamp).read() == wanted):
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(HERE, name), MODULES)
        ok, said = adapters.command(["npm", "ci", "--prefix", MODULES, "--ignore-scripts", "--no-audit", "--no-fund"], seconds=300)
        if not report.ok(ok, "npm installs the packages of tests/e2e/npm", said[-1000:]):
            return False
        with open(stamp, "w") as f:
            f.write(wanted)
    for name in ("attach.js", "verify.js", "provider.mjs"):
        shutil.copy(os.path.join(HERE, name), MODULES)        # beside the modules, where they find them
    return True


class Tag:
    """A growing tag as the gateway shows it."""

    def __init__(self, g, token, name):
        self.g, self.token, self.name = g, token, name

    def get(self):
        return self.g.request("GET", f"/v2/app/manifests/{self.name}", self.token,
                              {"Accept": f"{labs.OCI_INDEX}, {labs.OCI_MANIFEST}"})

    def entries(self):
        r = self.get()
        document = json.loads(r.body) if r.status == 200 else {}
        return document.get("manifests", document.get("layers", []))

    def put(self, document, token=None):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        kind = labs.OCI_INDEX if b'"manifests"' in body else labs.OCI_MANIFEST
        return self.g.request("PUT", f"/v2/app/manifests/{self.name}", token or self.token, {"Content-Type": kind}, body)


def blob(g, data, token):
    r = g.upload("app", data, token)
    assert r.status == 201, r
    return {"digest": labs.digest_of(data), "size": len(data)}


def pushed(g, token):
    """A small image. Its digest."""
    layer, config = os.urandom(1000), b"{}"
    for data in (layer, config):
        blob(g, data, token)
    body = labs.manifest(layer, config=config, note="signed")
    r = g.request("PUT", "/v2/app/manifests/v1", token, {"Content-Type": labs.OCI_MANIFEST}, body)
    assert r.status == 201, r
    return labs.digest_of(body)


def tampered(report, g, tag, what, other):
    """What may not become of the tag, tried with its present document; `other` is an entry that may be added."""
    now = tag.get()
    document, bytes_ = json.loads(now.body), now.body
    name = "manifests" if "manifests" in document else "layers"
    first, *rest = document[name]

    def with_entries(entries):
        return {**document, name: entries}
    rows = (
        ("an entry dropped", with_entries(rest)),
        ("all dropped but a new one", with_entries([other])),
        ("an entry changed", with_entries([{**first, "annotations": {**first.get("annotations", {}), "more": "x"}}, *rest, other])),
        ("entries in another order", with_entries([*rest, first, other])),
        ("a new one in front", with_entries([other, first, *rest])),
        ("another type of document", {**document, "mediaType": labs.OCI_MANIFEST if name == "manifests" else labs.OCI_INDEX}),
        ("another image under its tag", labs.manifest(note="evil")),
    )
    for what_, changed in rows:
        r = tag.put(changed)
        report.ok(400 <= r.status < 500 and r.code() in ("DENIED", "MANIFEST_INVALID") and len(r.message() or "") > 20,
                  f"{what}: {what_} is refused", repr(r))
    report.ok(tag.get().body == bytes_, f"{what}: ... and nothing of it was stored")
    r = tag.put(bytes_)
    report.ok(r.status == 201, f"{what}: the same again is taken", repr(r))
    report.ok(g.request("PUT", f"/v2/app/manifests/{tag.name}", g.lab.signer.token("ci"),
                        {"Content-Type": now.header("content-type")}, bytes_[:-1] + b" }").status == 403,
              f"{what}: who may not append may not change it")


# ---- @sigstore/oci ----

def attestations(lab, report, g, digest):
    signer = lab.signer.token("signer")
    tag = Tag(g, signer, digest.replace(":", "-"))

    def attach(text, who):
        return adapters.command(
            ["node", os.path.join(MODULES, "attach.js"), f"{labs.HOST}:{g.port}/app", digest, text],
            {"USER": "jwt", "PASSWORD": lab.signer.token(who), "NODE_EXTRA_CA_CERTS": lab.ca, "NO_UPDATE_NOTIFIER": "1"})
    for n, text in enumerate(("first", "second", "third")):
        ok, said = attach(text, "signer")
        report.ok(ok, f"@sigstore/oci attaches the {text} attestation", said)
        texts = [e.get("annotations", {}).get("text") for e in tag.entries()]
        report.ok(texts == ["first", "second", "third"][:n + 1], f"... the index has {n + 1}, in order", repr(texts))
    for e in tag.entries():
        r = g.request("GET", f"/v2/app/manifests/{e['digest']}", lab.signer.token("dev"), {"Accept": labs.OCI_MANIFEST})
        report.ok(r.status == 200 and labs.digest_of(r.body) == e["digest"], "an attestation can be pulled", repr(r))
    ok, said = attach("fourth", "ci")
    report.ok(not ok and "received 403" in said, "without AppendReferrer @sigstore/oci is refused", said)
    body = json.dumps({"schemaVersion": 2, "mediaType": labs.OCI_MANIFEST, "artifactType": "application/x",
                       "config": {"mediaType": "application/vnd.oci.empty.v1+json", **blob(g, b"{}", signer)},
                       "layers": [], "subject": {"mediaType": labs.OCI_MANIFEST, "digest": digest, "size": 1}}).encode()
    tampered(report, g, tag, "the index of attestations",
             {"mediaType": labs.OCI_MANIFEST, "digest": labs.digest_of(body), "size": len(body)})


# ---- what no real client does ----

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def artifact(g, token, subject, kind=BUNDLE, note="x", size=1):
    """A manifest that says it is about `subject`, pushed by digest. Its descriptor."""
    body = json.dumps({"schemaVersion": 2, "mediaType": labs.OCI_MANIFEST, "artifactType": kind,
                       "config": {"mediaType": "application/vnd.oci.empty.v1+json", **blob(g, b"{}", token)}, "layers": [],
                       **({"subject": {"mediaType": labs.OCI_MANIFEST, "digest": subject, "size": size}} if subject else {}),
                       "annotations": {"note": note}}).encode()
    digest = labs.digest_of(body)
    r = g.request("PUT", f"/v2/app/manifests/{digest}", token, {"Content-Type": labs.OCI_MANIFEST}, body)
    assert r.status == 201, r
    return {"mediaType": labs.OCI_MANIFEST, "digest": digest, "size": len(body), "artifactType": kind}


def index(*entries):
    return {"schemaVersion": 2, "mediaType": labs.OCI_INDEX, "manifests": list(entries)}


def entries_that_lie(lab, report, g):
    """Every new entry is fetched, and must be what its descriptor and the tag say."""
    token = lab.signer.token("signer")
    subject, other = ("sha256:" + hashlib.sha256(x).hexdigest() for x in (b"this", b"another"))
    tag = Tag(g, token, subject.replace(":", "-"))
    good = artifact(g, token, subject)
    rows = (
        ("about another image", artifact(g, token, other), "subject"),
        ("about nothing", artifact(g, token, None), "subject"),
        ("that is not there", {**good, "digest": other}, "push it first"),
        ("of another size", {**good, "size": good["size"] + 1}, "size"),
        ("of another artifactType", {**good, "artifactType": "application/vnd.in-toto+json"}, "artifactType"),
        ("of an artifactType that belongs nowhere", artifact(g, token, subject, "application/x"), "artifactType"),
        ("without artifactType", {k: v for k, v in good.items() if k != "artifactType"}, "artifactType"),
        ("that names itself an index", {**good, "mediaType": labs.OCI_INDEX}, "type"),
        ("with a place elsewhere", {**good, "urls": ["https://elsewhere.test/x"]}, "urls"),
    )
    for what, entry, word in rows:
        r = tag.put(index(good, entry))
        report.ok(r.status == 403 and r.code() == "DENIED" and word in r.message(), f"an entry {what} is refused", repr(r))
    report.ok(tag.get().status == 404, "... and nothing of it was stored")
    nine = [artifact(g, token, subject, note=str(n)) for n in range(9)]
    report.ok(tag.put(index(*nine)).status == 403, "nine new entries at once are too many")
    report.ok(tag.put(index(*nine[:8])).status == 201, "eight are not")
    r = tag.put(index(*nine[:8], good), lab.signer.token("ci"))
    report.ok(r.status == 403 and "only grows" not in r.message(), "who may not append is told so", repr(r))
    r = tag.put(labs.manifest(note="an image"))
    report.ok(r.status == 403, "an image instead of the index", repr(r))
    g.settled()
    events = [e for e in g.requests() if e["reason"] == "tag_append_only" and e["registry"]["tag"] == tag.name]
    report.ok(len(events) == len(rows) + 2 and all(e["decision"] == "deny" and e["detail"] for e in events),
              "each refusal is an event", repr(len(events)))


def at_once(lab, report, g):
    """Clients that read the same index, and each put their own behind it: one gets through at a time, nothing is lost."""
    token = lab.signer.token("signer")
    subject = "sha256:" + hashlib.sha256(b"raced").hexdigest()
    tag = Tag(g, token, subject.replace(":", "-"))
    mine = [artifact(g, token, subject, note=f"race {n}") for n in range(8)]
    told = []

    def push(entry):
        for _ in range(200):
            now = tag.get()
            r = tag.put(index(*(json.loads(now.body)["manifests"] if now.status == 200 else []), entry))
            told.append((r.status, r.message() or ""))
            if r.status == 201:
                return
    threads = [threading.Thread(target=push, args=(e,)) for e in mine]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    there = [e["digest"] for e in tag.entries()]
    report.ok(sorted(there) == sorted(e["digest"] for e in mine), "eight append at once: all are there, none twice", repr(there))
    report.ok(sum(s == 201 for s, _ in told) == 8 and all(s == 201 or "read it again and retry" in m or s == 503 for s, m in told),
              "... and who was too late is told to read again", repr(told))


def upstreams_that_fail(lab, report):
    """An append whose end nobody knows, an index that was moved behind the gateway, one that upstream lost."""
    stub = stubs.Stub()
    g = labs.Gateway(lab, "grow-faults", stub.origin, policy=POLICY, tags={"settle": "1 min"}).start()
    token = lab.signer.token("signer")
    subject = "sha256:" + hashlib.sha256(b"faults").hexdigest()
    tag = Tag(g, token, subject.replace(":", "-"))
    a, b, c = (artifact(g, token, subject, note=n) for n in "abc")
    report.ok(tag.put(index(a)).status == 201, "the first")

    def drops(r):
        if r.method == "PUT" and r.target.endswith(tag.name):
            stub.registry(r)
            return "drop"
        return None
    stub.hook = drops
    report.ok(tag.put(index(a, b)).status == 502, "upstream hangs up after storing the second")
    stub.hook = None
    r = tag.put(index(a, c))
    report.ok(r.status == 403 and "read it again" in r.message(), "who read before is told to read again", repr(r))
    report.ok(tag.put(index(a, b)).status == 201, "the second again is taken")
    stub.hook = lambda r: (500, {}, b"") if r.method == "PUT" and r.target.endswith(tag.name) else None
    report.ok(tag.put(index(a, b, c)).status == 500, "upstream fails without storing the third")
    stub.hook = None
    r = tag.put(index(a, b))
    report.ok(r.status == 403, "the old one may not be put back over what may still arrive", repr(r))
    report.ok(tag.put(index(a, b, c)).status == 201, "the third again is taken")
    for status in (404, 500):
        d = artifact(g, token, subject, note=f"d{status}")
        stub.hook = lambda r, d=d, status=status: (status, {}, b"") if r.method == "GET" and r.target.endswith(d["digest"]) else None
        r = tag.put(index(a, b, c, d))
        stub.hook = None
        report.ok(r.status == (403 if status == 404 else 503), f"a new entry that upstream answers {status} for", repr(r))
    body = json.dumps(index(a)).encode()
    stub.put("app", tag.name, labs.OCI_INDEX, body)
    r = tag.put(index(a, c))
    report.ok(r.status == 403 and "moved behind the gateway" in r.message(), "what was moved behind the gateway is not built on", repr(r))
    g.settled()
    report.ok([e["registry"]["digest"] for e in g.events() if e["event"] == "tag.drifted"] == [labs.digest_of(body)], "... tag.drifted")
    del stub.tags["app", tag.name]
    report.ok(tag.put(index(a, c)).status == 403, "nor what upstream lost")
    report.ok(tag.put(index(a, b, c)).status == 201, "what was there may return")
    ok, said = g.verify()
    report.ok(ok, f"audit verify: {said}")
    g.stop()
    stub.close()


# ---- cosign's signatures, by skopeo ----

def signed_copy(tool, layout, name, signature):
    """A directory of skopeo's with the image and one cosign signature: Debian's build may carry them, but not make them."""
    directory = os.path.join(tool.dir, "signed-" + name)
    ok, said = adapters.command(["skopeo", "copy", "--preserve-digests", f"oci:{layout}:made", f"dir:{directory}"])
    assert ok, said
    with open(os.path.join(directory, "manifest.json"), "rb") as f:
        digest = labs.digest_of(f.read())
    payload = json.dumps({"critical": {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": digest},
                                       "type": "cosign container image signature"}, "optional": {"by": name}})
    with open(os.path.join(directory, "signature-1"), "wb") as f:
        f.write(b"\0sigstore-json\n" + json.dumps({
            "mimeType": SIMPLE_SIGNING, "payload": base64.b64encode(payload.encode()).decode(),
            "annotations": {"dev.cosignproject.cosign/signature": signature}}).encode())
    return directory, digest


def signatures(lab, report, g):
    tool = adapters.Skopeo(lab)
    (session, ci), token = (tool.session(tool, g, who) for who in ("signer", "ci")), lab.signer.token("signer")
    for s, who in ((session, "signer"), (ci, "ci")):
        ok, said = s.login(lab.signer.token(who).encode())
        report.ok(ok, f"skopeo logs in as {who}", said)
    attachments = os.path.join(tool.dir, "registries.d")
    os.makedirs(attachments)
    with open(os.path.join(attachments, "here.yaml"), "w") as f:
        f.write(f"docker:\n  {session.host}:\n    use-sigstore-attachments: true\n")
    layout = tool.make("signed")

    def push(who, name):
        directory, digest = signed_copy(tool, layout, name, "MEUCIQ" + name)
        ok, said = who.run("--registries.d", attachments, "copy", "--preserve-digests", "--dest-cert-dir", tool.certs,
                           f"dir:{directory}", f"docker://{session.host}/app:signed")
        return ok, said, Tag(g, token, digest.replace(":", "-") + ".sig")
    tag = None
    for n, name in enumerate(("one", "two", "three")):
        ok, said, tag = push(session, name)
        report.ok(ok, f"skopeo adds signature {name}", said[-500:])
        kinds = [e["mediaType"] for e in tag.entries()]
        report.ok(kinds == [SIMPLE_SIGNING] * (n + 1), f"... the .sig has {n + 1}", repr(tag.get()))
    ok, said, _ = push(ci, "four")
    report.ok(not ok and "denied: " in said, "without AppendReferrer skopeo is told that it may not sign", said[-500:])
    if tag.entries():
        more = {"mediaType": SIMPLE_SIGNING, **blob(g, b"payload", token),
                "annotations": {"dev.cosignproject.cosign/signature": "MEUCIQ"}}
        tampered(report, g, tag, "the .sig", more)


def run(lab, report):
    if not install(report):
        return
    registry, url = lab.registry("signatures")
    g = labs.Gateway(lab, "signatures", url, policy=POLICY).start()
    signatures(lab, report, g)
    entries_that_lie(lab, report, g)
    at_once(lab, report, g)
    attestations(lab, report, g, pushed(g, lab.signer.token("ci")))
    upstreams_that_fail(lab, report)
    ok, said = g.verify()
    report.ok(ok, f"audit verify: {said}")
    g.stop()
    registry.stop()
