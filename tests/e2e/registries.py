# registries.py - Debian's docker-registry behind the gateway, over plain HTTP and over TLS: raw pushes and pulls.
# SPDX-License-Identifier: Apache-2.0
import os

import lab as labs


def push(g, repo, tag, layers, token, note=""):
    """A whole image. (response to the manifest, manifest)"""
    for data in (*layers, b"{}"):
        r = g.upload(repo, data, token)
        if r.status != 201:
            return r, b""
    body = labs.manifest(*layers, note=note)
    return g.request("PUT", f"/v2/{repo}/manifests/{tag}", token, {"Content-Type": labs.OCI_MANIFEST}, body), body


def one(lab, report, scheme):
    registry, url = lab.registry(f"registry-{scheme}", tls=scheme == "tls")
    g = labs.Gateway(lab, f"gateway-{scheme}", url, ca_file=lab.ca if scheme == "tls" else None).start()
    ci, dev = lab.signer.token("ci"), lab.signer.token("dev")
    layers = [os.urandom(200000), os.urandom(10), os.urandom(1000000)]
    accept = {"Accept": labs.OCI_MANIFEST}

    r, body = push(g, "app", "v1", layers, ci)
    report.ok(r.status == 201, f"{scheme}: push of three layers", repr(r))
    r, _ = push(g, "app", "v1", layers, ci)
    report.ok(r.status == 201, f"{scheme}: the same push again", repr(r))
    r, _ = push(g, "app", "v1", layers, ci, note="changed")
    report.ok(r.status == 403 and "tag exists and is immutable" in (r.message() or ""), f"{scheme}: a changed image is refused", repr(r))
    r = g.request("GET", "/v2/app/manifests/v1", dev, accept)
    report.ok(r.status == 200 and r.body == body, f"{scheme}: pull by tag", repr(r))
    r = g.request("GET", f"/v2/app/manifests/{labs.digest_of(body)}", dev, accept)
    report.ok(r.status == 200 and r.body == body, f"{scheme}: pull by digest", repr(r))
    r = g.request("GET", f"/v2/app/blobs/{labs.digest_of(layers[2])}", dev)
    report.ok(r.status == 200 and r.body == layers[2], f"{scheme}: pull of a blob")
    r = g.request("GET", f"/v2/app/blobs/{labs.digest_of(layers[2])}", dev, {"Range": "bytes=1000-1999"})
    report.ok(r.status == 206 and r.body == layers[2][1000:2000], f"{scheme}: a part of a blob", repr(r))
    r = g.request("GET", "/v2/app/tags/list", dev)
    report.ok(r.status == 200 and b'"v1"' in r.body, f"{scheme}: list of tags", repr(r))
    big = os.urandom(1 << 20) * 64
    r = g.upload("app", big, ci)
    report.ok(r.status == 201, f"{scheme}: upload of 64 MiB", repr(r))
    r = g.request("GET", f"/v2/app/blobs/{labs.digest_of(big)}", dev)
    report.ok(r.status == 200 and labs.digest_of(r.body) == labs.digest_of(big), f"{scheme}: download of 64 MiB")
    r = g.request("POST", f"/v2/app/b/blobs/uploads/?mount={labs.digest_of(big)}&from=app", ci)
    report.ok(r.status == 201, f"{scheme}: mount from a repository that may be read", repr(r))
    r = g.request("POST", f"/v2/app/b/blobs/uploads/?mount={labs.digest_of(big)}&from=elsewhere", ci)
    report.ok(r.status == 202, f"{scheme}: mount from one that may not is a plain upload", repr(r))
    registry.stop()
    r = g.request("GET", "/v2/app/manifests/v1", dev, accept)
    report.ok(r.status in (502, 503) and r.code() == "UNAVAILABLE", f"{scheme}: registry down", repr(r))
    ok, said = g.verify()
    report.ok(ok, f"{scheme}: audit verify: {said}")
    g.stop()


def wrong_ca(lab, report):
    """An upstream whose certificate is not of the configured CA hears nothing of us."""
    registry, url = lab.registry("registry-other", tls=True)
    other = labs.Lab()
    try:
        g = labs.Gateway(lab, "wrong-ca", url, ca_file=other.ca).start()
        r = g.request("GET", "/v2/app/manifests/v1", lab.signer.token("dev"))
        report.ok(r.status == 502 and "verify" in (r.message() or ""), "TLS upstream with another CA: 502", repr(r))
        g.stop()
    finally:
        other.close(report)
        registry.stop()


def run(lab, report):
    for scheme in ("plain", "tls"):
        one(lab, report, scheme)
    wrong_ca(lab, report)
