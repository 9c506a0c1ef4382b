# signed.py - pulls that signatures decide: cosign's simple signing, bundles as referrers, attestations; and what is no signature.
#
# They are made here with openssl, as the formats say; gotools.py has cosign itself make them.
# SPDX-License-Identifier: Apache-2.0
import base64
import json
import time

import gate
import lab as labs
import samples

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE = "application/vnd.dsse.envelope.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
EMPTY = "application/vnd.oci.empty.v1+json"
CONFIG = b'{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":[]},"config":{}}'
PROVENANCE = "https://slsa.dev/provenance/v1"
SIGNED = {"Sid": "Signed", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:PullManifest"], "Resource": ["repo:up/app"],
          "Condition": {"StringNotEquals": {"sig:Status": "verified"}}}


def signed(key, data):
    return base64.b64encode(labs.openssl("dgst", "-sha256", "-sign", key, data=data)).decode()


def payload(digest, reference="localhost:5443/app"):
    return json.dumps({"critical": {"identity": {"docker-reference": reference}, "image": {"docker-manifest-digest": digest},
                                    "type": "cosign container image signature"}, "optional": None}).encode()


def simple(key, digest, **more):
    """(what is stored, annotations) of a layer."""
    data = payload(digest, **more)
    return data, {"dev.cosignproject.cosign/signature": signed(key, data)}


def envelope(key, digest, kind):
    data = json.dumps({"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "x", "digest": {"sha256": digest[7:]}}],
                       "predicateType": kind, "predicate": {"runDetails": {"builder": {"id": "https://builder.test"}}}}).encode()
    pae = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(data) + data
    return {"payloadType": "application/vnd.in-toto+json", "payload": base64.b64encode(data).decode(),
            "signatures": [{"keyid": "", "sig": signed(key, pae)}]}


def manifest(kind, layers, config=samples.CONFIG, config_bytes=CONFIG, **more):
    return json.dumps({"schemaVersion": 2, "mediaType": labs.OCI_MANIFEST, **more,
                       "config": {"mediaType": config, "digest": labs.digest_of(config_bytes), "size": len(config_bytes)},
                       "layers": [{"mediaType": kind, "digest": labs.digest_of(d), "size": len(d), "annotations": a}
                                  for d, a in layers]}).encode()


class Scene(gate.Ways):
    def __init__(self, lab, name, *statements):
        self.key, self.stranger = lab.signer.key, labs.Signer(lab.dir, name + "-stranger").key
        public = f"{lab.dir}/{name}.pub"
        with open(public, "wb") as f:
            f.write(labs.openssl("pkey", "-in", self.key, "-pubout"))
        super().__init__(lab, name, gate.policy(*statements), more=f'trust = {{ release = {{ keys = ["{public}"]; }}; }};\n'
                         'evidence = { signatures-fresh = "1 s"; retry = "1 s"; pull-wait = "5 s"; };')

    def image(self, note):
        i = gate.image(note=f"{self.gateway.name} {note}")
        self.behind(i)
        return i

    def store(self, *blobs):
        with self.stub.lock:
            self.stub.blobs.update({labs.digest_of(b): b for b in blobs})

    def sign(self, image, layers, suffix=".sig", kind=SIMPLE):
        self.store(CONFIG, *(d for d, _ in layers))
        self.stub.put("app", image.digest.replace(":", "-") + suffix, labs.OCI_MANIFEST, manifest(kind, layers))


def is_refused(report, w, image, name, why):
    r = w.get(image.digest)
    report.ok(r.status == 403 and why in (r.message() or ""), f"{name}: refused, and why", repr(r) + repr(r.body))


def is_pulled(report, w, image, name):
    r = w.get(image.digest)
    report.ok(r.status == 200 and r.body == image.body, f"{name}: pulled", repr(r) + repr(r.body)[:300])


def simple_signing(report, lab):
    w = Scene(lab, "simple", SIGNED)
    other = w.image("other")
    rows = (
        ("nothing", lambda d: None, "no signature"),
        ("another key", lambda d: [simple(w.stranger, d)], "release: no trusted key made it"),
        ("another digest", lambda d: [simple(w.key, other.digest)], "release: signed for another digest"),
        ("another repository", lambda d: [simple(w.key, d, reference="localhost:5443/app/other")], "release: signed for another repository"),
        ("one byte changed", lambda d: [(payload(d) + b" ", simple(w.key, d)[1])], "release: no trusted key made it"),
        ("no base64", lambda d: [(payload(d), {"dev.cosignproject.cosign/signature": "@"})], "not base64"),
        ("good", lambda d: [simple(w.key, d)], None),
        ("good, as the registry names it", lambda d: [simple(w.key, d, reference="registry.test/up/app")], None),
        ("a bad one beside a good one", lambda d: [simple(w.stranger, d), simple(w.key, d), simple(w.key, other.digest)], None),
        ("33 of them", lambda d: [simple(w.key, d)] * 33, "more than 32"),
    )
    for name, layers, why in rows:
        i = w.image(name)
        if layers(i.digest):
            w.sign(i, layers(i.digest))
        if why:
            is_refused(report, w, i, name, why)
        else:
            is_pulled(report, w, i, name)
    good, thief = w.image("signed"), w.image("thief")
    w.sign(good, [simple(w.key, good.digest)])
    w.sign(thief, [simple(w.key, good.digest)])
    is_pulled(report, w, good, "signed")
    is_refused(report, w, thief, "its signature under another image", "signed for another digest")
    del w.stub.tags["app", good.digest.replace(":", "-") + ".sig"]
    time.sleep(2.2)
    w.get(good.digest)
    time.sleep(0.5)
    is_refused(report, w, good, "the signature is taken away", "no signature")
    w.close(report)


def dressed(report, lab):
    """An image that says it is a signature, and one that is attached to another."""
    w = Scene(lab, "dressed", SIGNED)
    i = w.image("dressed")
    layer = b"a layer"
    w.store(layer, CONFIG)
    w.stub.put("app", i.digest.replace(":", "-") + ".sig", labs.OCI_MANIFEST,
               manifest("application/vnd.oci.image.layer.v1.tar", [(layer, simple(w.key, i.digest)[1])], artifactType=BUNDLE))
    is_refused(report, w, i, "an image in place of the signature", "no signature")
    w.close(report)


def referrers(report, lab):
    attested = {**SIGNED, "Sid": "Attested", "Condition": {"ForAllValues:StringNotEquals": {"attest:Types": PROVENANCE}}}
    w = Scene(lab, "referrers", SIGNED)
    for name, key, subject, why in (("a bundle", w.key, None, None), ("a stranger's bundle", w.stranger, None, "no trusted key"),
                                    ("a bundle about another", w.key, "sha256:" + "1" * 64, "no signature")):
        i = w.image(name)
        bundle = json.dumps({"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": "x"}},
                             "dsseEnvelope": envelope(key, i.digest, "https://sigstore.dev/cosign/sign/v1")}).encode()
        w.store(bundle, b"{}")
        body = manifest(BUNDLE, [(bundle, {})], EMPTY, b"{}", artifactType=BUNDLE,
                        subject={"mediaType": labs.OCI_MANIFEST, "digest": subject or i.digest, "size": len(i.body)})
        with w.stub.lock:
            w.stub.manifests["app", labs.digest_of(body)] = (labs.OCI_MANIFEST, body)
        w.stub.put("app", i.digest.replace(":", "-"), labs.OCI_INDEX, json.dumps(
            {"schemaVersion": 2, "mediaType": labs.OCI_INDEX, "manifests": [{"mediaType": labs.OCI_MANIFEST, "artifactType": BUNDLE,
                                                                            "digest": labs.digest_of(body), "size": len(body)}]}).encode())
        index = w.stub.manifests["app", w.stub.tags["app", i.digest.replace(":", "-")]][1]
        for how, answer in (("by the API", (200, {"Content-Type": labs.OCI_INDEX}, index)), ("by its tag", (404, {}, b""))):
            w.stub.hook = lambda r, a=answer: a if "/referrers/" in r.target else None
            if why:
                is_refused(report, w, i, f"{name}, {how}", why)
            else:
                is_pulled(report, w, i, f"{name}, {how}")
            time.sleep(1.2)
    w.stub.hook = None
    w.close(report)
    w = Scene(lab, "attested", attested)
    for name, key, kind, good in (("provenance", w.key, PROVENANCE, True), ("a stranger's provenance", w.stranger, PROVENANCE, False),
                                  ("another attestation", w.key, "https://spdx.dev/Document", False)):
        i = w.image(name)
        w.sign(i, [(json.dumps(envelope(key, i.digest, kind)).encode(), {})], ".att", DSSE)
        if good:
            is_pulled(report, w, i, name)
        else:
            is_refused(report, w, i, name, "")
    w.close(report)


def failing(report, lab):
    """What could not be asked is no absence."""
    w = Scene(lab, "failing", {**SIGNED, "Condition": {"StringEquals": {"sig:Status": ["unsigned", "untrusted"]}}},
              {**SIGNED, "Sid": "Unknown", "Condition": {"StringEquals": {"sig:Status": "error"}}})
    for name, part in (("its referrers", "/referrers/"), ("tag sha256-....sig", ".sig"), ("tag sha256-....att", ".att")):
        i = w.image(name)
        w.sign(i, [simple(w.key, i.digest)])
        w.stub.hook = lambda r: (500, {}, b"") if part in r.target and r.method == "GET" else None
        is_refused(report, w, i, "the registry fails", name)
        w.stub.hook = None
        time.sleep(1.5)
        is_pulled(report, w, i, "... and answers again")
    w.close(report)


def children(report, lab):
    """A signature of an index is one of the images that it lists, once it is known here; and of no other."""
    w = Scene(lab, "children", SIGNED)
    listed, alone = w.image("listed"), w.image("alone")
    index = samples.index_of(listed)
    digest = w.stub.put("app", "all", labs.OCI_INDEX, index)
    data, annotations = simple(w.key, digest)
    w.store(CONFIG, data)
    w.stub.put("app", digest.replace(":", "-") + ".sig", labs.OCI_MANIFEST, manifest(SIMPLE, [(data, annotations)]))
    r = w.get("all")
    report.ok(r.status == 200 and r.body == index, "an index that is signed: pulled", repr(r))
    is_pulled(report, w, listed, "what it lists")
    is_refused(report, w, alone, "what it does not list", "no signature")
    w.close(report)


def run(lab, report):
    children(report, lab)
    simple_signing(report, lab)
    dressed(report, lab)
    referrers(report, lab)
    failing(report, lab)
