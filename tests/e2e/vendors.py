# vendors.py - what the big registries do otherwise: one stub upstream with a profile per vendor, written from their
# documentation and from what clients had to learn, and the same push and pull through the gateway for each.
#
# Storage is a second server, with TLS: it refuses a request that carries credentials, as S3 does, or whose method is not
# the one that was signed.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import subprocess

import lab as labs
import stub as stubs

KIND = {"Content-Type": labs.OCI_MANIFEST}
SECRET = "X-Amz-Signature=5e7c0ffee"


class Storage(stubs.Stub):
    """Object storage: /bucket/<digest>?method=...&<signature>."""

    def __init__(self, lab, blobs):
        super().__init__(lab.server_context())
        self.blobs = blobs
        self.origin = f"https://localhost:{self.port}"
        self.does = None

    def url(self, digest, method="ANY"):
        return f"{self.origin}/bucket/{digest}?method={method}&{SECRET}"

    def registry(self, r):
        if self.does:
            return self.does(r)
        signed = re.fullmatch(r"/bucket/(sha256:[0-9a-f]{64})\?method=(\w+)&" + SECRET, r.target)
        if r.header("authorization") or r.header("cookie"):
            return 400, {}, b"<Error><Code>InvalidArgument</Code>Only one auth mechanism allowed</Error>"
        if not signed or signed.group(2) not in ("ANY", r.method):
            return 403, {}, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
        status, headers, body = self.blob(r, "", signed.group(1), "")
        headers.pop("Docker-Content-Digest", None)
        headers.update({"Content-Type": "binary/octet-stream", "ETag": '"abc"', "x-amz-request-id": "1",
                        "Set-Cookie": "storage=1", "Cache-Control": "public", "Server": "AmazonS3"})
        return status, headers, body


# profile: how blobs are redirected (GET and HEAD: status, what the URL is signed for), where uploads are told to go on, what
# a PATCH is answered with, what a manifest PUT of an existing tag is (the vendor's own immutability)
PROFILES = {
    "ecr": dict(get=(307, "GET"), location="{origin}/v2/{path}", patch=201, tag=300, cookie=False),
    "acr": dict(get=(307, "ANY"), head=(307, "ANY"), location="/v2/{path}"),
    "ghcr": dict(get=(307, "GET"), head=(307, "GET"), location="/v2/{path}", chunk=4 << 20),
    "gar": dict(get=(302, "GET"), location="/artifacts-uploads/namespaces/p/repositories/r/uploads/{id}"),
    "harbor": dict(location="http://{host}/v2/{path}", immutable=(412, "PRECONDITION"), cookie=True),
    "quay": dict(location="{origin}/v2/{path}", immutable=(409, "TAG_ALREADY_EXISTS"), ping=b"true"),
    "dockerhub": dict(get=(307, "GET"), location="//{host}/v2/{path}"),
    "artifactory": dict(get=(302, "ANY"), location="{elsewhere}/uploads/{id}", elsewhere=True),
    "zot": dict(location="/v2/{path}"),
}


class Vendor(stubs.Stub):
    """The registry of a profile."""

    def __init__(self, lab, profile):
        super().__init__()
        self.profile = profile
        self.storage = Storage(lab, self.blobs)
        self.storage_upload = None
        if profile.get("elsewhere"):
            self.storage.does = self.elsewhere

    def registry(self, r):
        p = self.profile
        path = r.target.partition("?")[0]
        redirect = p.get(r.method.lower())
        blob = stubs.BLOBS.match(path)
        if redirect and blob and blob.group(2) in self.blobs:
            return redirect[0], {"Location": self.storage.url(blob.group(2), redirect[1])}, b"<a>here</a>"
        if path == "/v2/" and "ping" in p:
            return 200, {"Content-Type": "application/json"}, p["ping"]
        m = stubs.MANIFESTS.match(path)
        if m and r.method == "PUT" and "immutable" in p and self.tags.get(m.groups(), labs.digest_of(r.body)) != labs.digest_of(r.body):
            status, code = p["immutable"]
            return status, KIND, json.dumps({"errors": [{"code": code, "message": "immutable"}]}).encode()
        gar = re.match(r"/artifacts-uploads/.*/uploads/([^/?]+)", path)
        if gar:
            return self.moved(self.upload(r, "app", gar.group(1), r.target.partition("?")[2]))
        if r.method == "PATCH" and len(r.body) > p.get("chunk", 1 << 62) and r.header("content-range"):
            return self.error(416, "BLOB_UPLOAD_INVALID")
        status, headers, body = self.moved(super().registry(r))
        if r.method == "PATCH" and status == 202:
            status = p.get("patch", 202)
        if p.get("cookie"):
            headers["Set-Cookie"] = "sid=secret; Path=/; HttpOnly"
        headers["Warning"] = '299 - "quota nearly used up"'
        return status, headers, body

    def moved(self, answer):
        """Its own form of an upload's Location."""
        status, headers, body = answer
        where = headers.get("Location", "")
        upload = re.search(r"/v2/((.*)/blobs/uploads/([^?]+)\?(.*))", where)
        if upload:
            form = self.profile["location"].format(
                origin=self.origin, host=f"127.0.0.1:{self.port}", path=upload.group(1), id=upload.group(3),
                elsewhere=self.storage.origin)
            headers["Location"] = form + ("" if "?" in form else "?_nouploadcache=false&_state=" + upload.group(4))
        return status, headers, body

    def elsewhere(self, r):
        """Uploads at a host that is not the registry's: no credentials may arrive there."""
        if r.header("authorization"):
            return 400, {}, b"who are you?"
        ref = re.match(r"/uploads/([^?]+)", r.target)
        if not ref:
            self.storage.does = None
            answer = self.storage.registry(r)
            self.storage.does = self.elsewhere
            return answer
        with self.lock:
            return self.moved(self.upload(r, "app", ref.group(1), r.target.partition("?")[2]))


def gateway(lab, name, vendor, redirects="follow", **options):
    up = {"redirects": redirects, **options}
    p = vendor.profile
    if redirects != "deny":
        up["redirect-hosts"] = [f"localhost:{vendor.storage.port}"]
    if redirects == "follow":
        up.setdefault("redirect-ca-file", lab.ca)
    if p.get("elsewhere"):
        up["upload-hosts"] = [vendor.storage.origin]
    if "tag" in p:
        up["tag-max"] = p["tag"]
    return labs.Gateway(lab, name, vendor.origin, upstream_options={**lab.credentials("robot", "pw-of-the-gateway"), **up}).start()


def push(g, token, tag, note=""):
    layer = os.urandom(100000)
    for data in (layer, b"{}"):
        r = g.upload("app", data, token)
        if r.status != 201:
            return r, layer, b""
    body = labs.manifest(layer, note=note)
    return g.request("PUT", f"/v2/app/manifests/{tag}", token, KIND, body), layer, body


def followed(lab, report, name, vendor, g, tokens):
    """Every vendor's blobs, in one way for clients."""
    r, layer, body = push(g, tokens["ci"], "v1")
    report.ok(r.status == 201, f"{name}: push", repr(r))
    digest = labs.digest_of(layer)
    where = f"/v2/app/blobs/{digest}"
    r = g.request("GET", where, tokens["dev"])
    report.ok(r.status == 200 and r.body == layer and r.header("docker-content-digest") == digest and
              r.header("location") is None, f"{name}: a blob, from wherever it is", repr(r))
    report.ok(not [k for k, _ in r.headers if k in ("set-cookie", "etag", "x-amz-request-id", "server")],
              f"{name}: ... and nothing of storage's", repr(r.headers))
    r = g.request("GET", where, tokens["dev"], {"Range": "bytes=10-19"})
    report.ok(r.status == 206 and r.body == layer[10:20] and r.header("content-range") == f"bytes 10-19/{len(layer)}",
              f"{name}: a part of it", repr(r))
    r = g.request("HEAD", where, tokens["dev"])
    report.ok(r.status == 200 and r.header("content-length") == str(len(layer)) and r.header("docker-content-digest") == digest,
              f"{name}: HEAD", repr(r))
    r = g.request("HEAD", f"/v2/app/blobs/sha256:{'0' * 64}", tokens["dev"])
    report.ok(r.status == 404, f"{name}: HEAD of what is not there", repr(r))
    r = g.request("GET", "/v2/app/manifests/v1", tokens["dev"], {"Accept": labs.OCI_MANIFEST})
    report.ok(r.status == 200 and r.body == body and "quota" in r.header("warning", ""), f"{name}: its Warning is passed on", repr(r))
    r, _, _ = push(g, tokens["ci"], "v1", note="other")
    report.ok(r.status == 403, f"{name}: an overwrite is refused here, whatever the vendor would do", repr(r))
    seen = [q for c in vendor.storage.connections for q in c.requests]
    report.ok(not any(q.header("authorization") or q.header("cookie") or q.header("x-forwarded-for") for q in seen),
              f"{name}: storage is told no credentials ({len(seen)} requests)")
    bad = [v for c in vendor.connections for q in c.requests for v in q.violations]
    # an upload's target is whatever the vendor said
    report.ok(not [v for v in bad if not v.startswith("target /artifacts")], f"{name}: heads are canonical", repr(bad[:3]))
    text = json.dumps(g.events())
    report.ok("Signature" not in text and "pw-of-the-gateway" not in text, f"{name}: no signed URL in the audit log")


def skopeo(lab, report, name, g, token):
    """A real client through it."""
    home = os.path.join(lab.dir, f"skopeo-{name}")
    os.makedirs(f"{home}/img/blobs/sha256", exist_ok=True)
    layer, config = os.urandom(50000), json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    body = labs.manifest(layer, config=config)
    for data in (layer, config, body):
        with open(f"{home}/img/blobs/sha256/{labs.digest_of(data)[7:]}", "wb") as f:
            f.write(data)
    with open(f"{home}/img/index.json", "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [{"mediaType": labs.OCI_MANIFEST, "digest": labs.digest_of(body), "size": len(body),
                                                      "annotations": {"org.opencontainers.image.ref.name": "v"}}]}, f)
    with open(f"{home}/img/oci-layout", "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    certs = f"{home}/certs"
    os.makedirs(certs, exist_ok=True)
    with open(lab.ca) as f, open(f"{certs}/ca.crt", "w") as to:
        to.write(f.read())
    with open(f"{home}/auth.json", "w") as f:
        f.write("{}")
    image = f"docker://localhost:{g.port}/app:skopeo"
    env = {**os.environ, "REGISTRY_AUTH_FILE": f"{home}/auth.json"}
    do = lambda *a: subprocess.run(["skopeo", *a], env=env, capture_output=True, text=True, timeout=60)
    up = do("copy", "--dest-cert-dir", certs, "--dest-creds", f"jwt:{token}", f"oci:{home}/img:v", image)
    down = do("copy", "--src-cert-dir", certs, "--src-creds", f"jwt:{token}", image, f"dir:{home}/out")
    report.ok(up.returncode == 0 and down.returncode == 0, f"{name}: skopeo pushes and pulls", up.stderr + down.stderr)


def passed_on(lab, report, tokens):
    """redirects = "pass": the client goes there itself."""
    vendor = Vendor(lab, PROFILES["ecr"])
    g = gateway(lab, "gateway-pass", vendor, "pass")
    r, layer, _ = push(g, tokens["ci"], "v" * 300)
    report.ok(r.status == 201, "pass: a tag of 300 characters", repr(r))
    r = g.request("GET", f"/v2/app/blobs/{labs.digest_of(layer)}", tokens["dev"])
    report.ok(r.status == 307 and r.header("location") == vendor.storage.url(labs.digest_of(layer), "GET"), "pass: Location untouched", repr(r))
    skopeo(lab, report, "pass", g, tokens["ci"])
    event = g.wait_event(lambda e: e["http"]["status"] == 307)
    text = json.dumps(g.events())
    report.ok("localhost" in json.dumps(event) and "Signature" not in text, "pass: the event names the host, not the URL", json.dumps(event))
    g.stop()
    g = gateway(lab, "gateway-deny", vendor, "deny")
    r = g.request("GET", f"/v2/app/blobs/{labs.digest_of(layer)}", tokens["dev"])
    report.ok(r.status == 502 and r.header("location") is None, "deny: 502", repr(r))
    g.stop()


def wrong_ways(lab, report, tokens):
    """Redirects that lead astray, and storage that fails."""
    vendor = Vendor(lab, PROFILES["ecr"])
    g = gateway(lab, "gateway-astray", vendor)
    r, layer, _ = push(g, tokens["ci"], "v1")
    digest = labs.digest_of(layer)
    storage, where = vendor.storage, f"/v2/app/blobs/{digest}"
    to = lambda url: lambda r: (307, {"Location": url}, b"") if r.method == "GET" and "/blobs/" in r.target else None
    for what, url in (("another host", "https://evil.test/x"), ("another port", f"https://localhost:{g.port}/x"),
                      ("plain http", f"http://localhost:{storage.port}/x"), ("a user name", f"https://localhost:{storage.port}@evil.test/"),
                      ("a backslash", f"https://localhost:{storage.port}\\@evil.test/"), ("a relative place", "/v2/secret/blobs/x"),
                      ("nowhere", ""), ("an IPv6 address", "https://[::1]:443/x"), ("a fragment", f"https://localhost:{storage.port}/x#y")):
        vendor.hook = to(url)
        n = len(storage.connections)
        r = g.request("GET", where, tokens["dev"])
        report.ok(r.status == 502 and r.header("location") is None and len(storage.connections) == n, f"a redirect to {what}: 502", repr(r))
    vendor.hook = to(storage.origin + "/loop")
    storage.does = lambda r: (307, {"Location": storage.origin + "/loop"}, b"x" * 1000)
    r = g.request("GET", where, tokens["dev"])
    hops = sum(q.target == "/loop" for c in storage.connections for q in c.requests)
    report.ok(r.status == 502 and hops == 3, "a circle of redirects: 502 after three", f"{r} {hops}")
    storage.does = lambda r: (307, {"Location": storage.url(digest, "GET")}, b"x" * 200000)
    r = g.request("GET", where, tokens["dev"])
    report.ok(r.status == 502, "a redirect with an endless body: 502", repr(r))
    vendor.hook = None
    for status in (403, 404, 500, 503, 204):
        storage.does = lambda r: (status, {}, b"" if status == 204 else b"<Error/>")
        r = g.request("GET", where, tokens["dev"])
        report.ok(r.status == 502 and r.code() == "UNAVAILABLE" and b"Error" not in r.body, f"storage answers {status}: 502", repr(r))
    event = g.wait_event(lambda e: e["reason"] == "storage")
    report.ok("storage at localhost answered" in json.dumps(event) and event["decision"] == "error", "... and the event says what it answered", json.dumps(event))
    storage.does = None
    storage.hook = lambda r: "drop"
    r = g.request("GET", where, tokens["dev"])
    report.ok(r.status == 502, "storage hangs up: 502", repr(r))
    storage.hook = lambda r: f"HTTP/1.1 200 OK\r\nContent-Length: {len(layer)}\r\n\r\n".encode() + layer[:5000]
    c = g.client()
    try:
        c.request("GET", where, tokens["dev"])
        report.ok(False, "storage hangs up in the middle: the client sees a cut")
    except labs.Closed:
        report.ok(True, "storage hangs up in the middle: the client sees a cut")
    storage.hook = None
    r = g.request("GET", where, tokens["dev"])
    report.ok(r.status == 200 and r.body == layer, "... and the next one is served", repr(r))
    g.stop()
    # whoever took the certificate's place hears nothing
    other = labs.Lab()
    g = gateway(lab, "gateway-other-ca", vendor, **{"redirect-ca-file": other.ca})
    n = sum(len(c.requests) for c in storage.connections)
    r = g.request("GET", where, tokens["dev"])
    report.ok(r.status == 502 and sum(len(c.requests) for c in storage.connections) == n, "storage with a wrong certificate: 502, nothing asked", repr(r))
    g.stop()
    other.close(report)


def vendors_own(lab, report, tokens):
    """What only one vendor does."""
    vendor = Vendor(lab, PROFILES["ghcr"])
    g = gateway(lab, "gateway-chunk", vendor, "deny")
    r = g.request("POST", "/v2/app/blobs/uploads/", tokens["ci"])
    big = bytes((4 << 20) + 1)
    r = g.request("PATCH", r.header("location"), tokens["ci"], {"Content-Range": f"0-{len(big) - 1}"}, big)
    report.ok(r.status == 416 and r.code() == "BLOB_UPLOAD_INVALID", "ghcr: a chunk that is too large: its own 416", repr(r))
    g.stop()
    for name in ("harbor", "quay"):
        vendor = Vendor(lab, PROFILES[name])
        g = gateway(lab, f"gateway-immutable-{name}", vendor, "deny")
        vendor.put("app", "v1", labs.OCI_MANIFEST, labs.manifest(note="there"))
        r = g.request("PUT", "/v2/app/manifests/v1", tokens["ci"], KIND, labs.manifest(note="new"))
        report.ok(r.status == 403, f"{name}: a tag that is there already is found, and kept", repr(r))
        r = g.request("GET", "/v2/", tokens["ci"])
        report.ok(r.status == 200 and r.body == vendor.profile.get("ping", b"{}"), f"{name}: ping", repr(r))
        g.stop()
    vendor = Vendor(lab, PROFILES["zot"])
    g = gateway(lab, "gateway-extras", vendor, "deny")
    r, _, body = push(g, tokens["ci"], "v1")
    r = g.request("GET", "/v2/app/manifests/v1?ns=docker.io", tokens["dev"], {"Accept": labs.OCI_MANIFEST})
    report.ok(r.status == 200 and r.body == body, "ns= of a mirror's client", repr(r))
    vendor.hook = lambda r: (202, {"Location": "/v2/app/blobs/uploads/1", "OCI-Chunk-Min-Length": "1048576"}, b"") if r.method == "POST" else None
    r = g.request("POST", "/v2/app/blobs/uploads/", tokens["ci"])
    report.ok(r.header("oci-chunk-min-length") == "1048576", "OCI-Chunk-Min-Length is passed on", repr(r))
    g.stop()


def run(lab, report, which=None):
    tokens = {who: lab.signer.token(who) for who in ("ci", "dev")}
    for name, profile in PROFILES.items():
        vendor = Vendor(lab, profile)
        g = gateway(lab, f"gateway-{name}", vendor, "follow" if "get" in profile else "deny")
        followed(lab, report, name, vendor, g, tokens)
        skopeo(lab, report, name, g, tokens["ci"])
        ok, said = g.verify()
        report.ok(ok, f"{name}: audit verify: {said}")
        g.stop()
    passed_on(lab, report, tokens)
    wrong_ways(lab, report, tokens)
    vendors_own(lab, report, tokens)
