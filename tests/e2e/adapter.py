# adapter.py - the gateway's own engine behind Harbor's Pluggable Scanner API, asked as Harbor asks: metadata, scan, report.
#
# Written from the specification (scanner-adapter-openapi-v1.1); the registry is Debian's docker-registry with a password.
# SPDX-License-Identifier: Apache-2.0
import base64
import http.client
import json
import signal
import ssl
import time

import lab as labs
import samples

METADATA = "application/vnd.scanner.adapter.metadata+json; version=1.0"
REQUEST = "application/vnd.scanner.adapter.scan.request+json; version=1.0"
REPORT = "application/vnd.security.vulnerability.report; version=1.1"
OLDER = "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"
SECRET = "Bearer " + "s3cret" * 5


class Harbor:
    """What Harbor's core does with a scanner that is registered with it."""

    def __init__(self, port, tls=None, authorization=SECRET):
        self.port, self.tls, self.authorization = port, tls, authorization

    def call(self, method, path, body=None, accept=None, kind=REQUEST, authorization=None, headers=None):
        c = http.client.HTTPSConnection("localhost", self.port, timeout=20, context=self.tls) if self.tls else \
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        fields = {"Authorization": authorization or self.authorization, **({"Accept": accept} if accept else {}), **(headers or {})}
        if not fields["Authorization"] or authorization == "none":
            del fields["Authorization"]
        if body is not None:
            fields["Content-Type"] = kind
        try:
            c.request(method, path, body, fields)
            r = c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        finally:
            c.close()

    def scan(self, registry, authorization, repository, digest, /, **more):
        return self.call("POST", "/api/v1/scan", json.dumps({
            "registry": {"url": registry, "authorization": authorization},
            "artifact": {"repository": repository, "digest": digest, "tag": "v1", "mime_type": labs.OCI_MANIFEST, **more}}))

    def report(self, name, accept=REPORT, seconds=60):
        """(status, headers, body) once it is there, how often it said to come again"""
        waits = 0
        end = time.monotonic() + seconds
        while True:
            status, headers, body = self.call("GET", f"/api/v1/scan/{name}/report", accept=accept)
            if status != 302 or time.monotonic() > end:
                return status, headers, body, waits
            if not headers.get("refresh-after", "").isdigit() or "location" in headers:
                return 0, headers, body, waits
            waits += 1
            time.sleep(0.1)


def put_image(url, login, image, repo):
    """Straight into the registry."""
    host = url.split("//")[1]
    auth = {"Authorization": login}

    def call(method, path, body=b"", headers=None):
        c = http.client.HTTPConnection(host, timeout=60)
        c.request(method, path, body, {**auth, **(headers or {})})
        r = c.getresponse()
        r.read()
        c.close()
        return r
    for data in image.blobs.values():
        where = call("POST", f"/v2/{repo}/blobs/uploads/").getheader("Location").split(host)[1]
        r = call("PUT", f"{where}&digest={labs.digest_of(data)}", data, {"Content-Type": "application/octet-stream"})
        assert r.status == 201, r.status
    r = call("PUT", f"/v2/{repo}/manifests/v1", image.body, {"Content-Type": labs.OCI_MANIFEST})
    assert r.status == 201, r.status


def door(report, harbor):
    """Who comes in, and what is understood."""
    for wrong in ("none", "Bearer wrong", SECRET + "x", SECRET[:-1], "Basic " + SECRET[7:]):
        for method, path in (("GET", "/api/v1/metadata"), ("POST", "/api/v1/scan"), ("GET", f"/api/v1/scan/{'0' * 32}/report"), ("GET", "/x")):
            status, headers, _ = harbor.call(method, path, b"{}" if method == "POST" else None, authorization=wrong)
            report.ok(status == 401 and "www-authenticate" in headers, f"{wrong[:12]}: {method} {path[:14]} is 401", str(status))
    for method, path, wanted in (("GET", "/", 404), ("GET", "/api/v1/scan/x/report", 404), ("GET", f"/api/v1/scan/{'0' * 32}/report", 404),
                                 ("GET", "/api/v1/scan", 405), ("DELETE", "/api/v1/metadata", 405), ("POST", "/api/v1/metadata", 405),
                                 ("GET", "/api/v1/metadata/", 404)):
        status, _, body = harbor.call(method, path, b"{}" if method == "POST" else None)
        report.ok(status == wanted and "message" in json.loads(body)["error"], f"{method} {path[:20]} is {wanted}", f"{status} {body!r}")
    status, _, _ = harbor.call("GET", f"/api/v1/scan/{'0' * 32}/report", accept="application/vnd.security.sbom.report+json; version=1.0")
    report.ok(status == 406, "a report that is not made here is 406", str(status))
    for body, kind, wanted, name in ((b"{", REQUEST, 400, "no JSON"), (b'{"registry":{},"registry":{}}', REQUEST, 400, "a member twice"),
                                     (b"{}", REQUEST, 422, "nothing in it"), (b"{}", "text/plain", 415, "another type"),
                                     (b" " * 70000, REQUEST, 413, "too long")):
        status, _, said = harbor.call("POST", "/api/v1/scan", body, kind=kind)
        report.ok(status == wanted, f"scan of {name} is {wanted}", f"{status} {said!r}")


def where(report, harbor, url, login, image):
    """No other host than those the gateway stands in front of."""
    for other in ("http://127.0.0.1:9", "http://localhost:" + url.split(":")[-1], "https://169.254.169.254", "file:///etc/passwd", url + "/x",
                  url.replace("http://", "http://a@")):
        status, _, body = harbor.scan(other, login, "shop/app", image.digest)
        report.ok(status == 422, f"a scan at {other[:24]} is 422", f"{status} {body!r}")
    for more in ({"mime_type": labs.OCI_INDEX}, {"digest": "v1"}, {"repository": "../x"}):
        status, _, body = harbor.scan(url, login, "shop/app", image.digest, **more)
        report.ok(status == 422, f"a scan of {more} is 422", f"{status} {body!r}")


def scans(report, harbor, url, login, external):
    images = {
        "clean": (samples.clean("adapter clean"), "Negligible", None),
        "planted": (samples.planted("adapter planted"), "Critical", "TW-MALWARE-"),
        "zstd": (samples.planted("adapter zstd", how="zstd"), "Critical", "TW-MALWARE-"),
        "secret": (samples.planted("adapter secret", sample=samples.SECRET), "High", "TW-SECRET-"),
        "other": (samples.Image([("gzip", samples.tar_of({"a": b"a"}))], diff_ids=["sha256:" + "0" * 64]), "Critical", "TW-DIFF-ID"),
    }
    for name, (image, severity, found) in images.items():
        put_image(url, login, image, f"shop/{name}")
        status, headers, body = harbor.scan(external if name == "clean" else url, login, f"shop/{name}", image.digest)
        ok = report.ok(status == 202 and headers["content-type"].startswith("application/vnd.scanner.adapter.scan.response+json"),
                       f"{name}: a scan is accepted", f"{status} {body!r}")
        if not ok:
            continue
        scan = json.loads(body)["id"]
        status, headers, body, waits = harbor.report(scan)
        if not report.ok(status == 200 and headers["content-type"] == REPORT, f"{name}: a report ({waits} times: come again)", f"{status} {body!r}"):
            continue
        r = json.loads(body)
        ids = [v["id"] for v in r["vulnerabilities"]]
        report.ok(r["severity"] == severity and r["artifact"]["digest"] == image.digest and (not ids if found is None else ids[0].startswith(found)),
                  f"{name}: {severity} {ids}", body.decode())
        if name == "planted":
            v = r["vulnerabilities"][0]
            report.ok("sample" in v["package"] and v["version"] == labs.digest_of(image.layers[2]) and v["severity"] == "Critical",
                      f"{name}: file and layer are told", repr(v))
            status, headers, again, _ = harbor.report(scan, accept=OLDER)
            report.ok(status == 200 and headers["content-type"] == OLDER and again == body, f"{name}: under its older name, too")
    for what, args in (("a wrong password", (url, "Basic " + base64.b64encode(b"a:b").decode(), "shop/clean", images["clean"][0].digest)),
                       ("no password", (url, "", "shop/clean", images["clean"][0].digest)),
                       ("a digest that is not there", (url, login, "shop/clean", "sha256:" + "0" * 64))):
        status, _, body = harbor.scan(*args)
        status, _, body, _ = harbor.report(json.loads(body)["id"])
        report.ok(status == 500 and "message" in json.loads(body)["error"], f"{what}: 500, and no report", f"{status} {body!r}")
    gone = json.loads(harbor.scan(url, login, "shop/clean", images["clean"][0].digest)[2])["id"]
    many = [harbor.scan(url, login, "shop/planted", images["planted"][0].digest)[0] for _ in range(90)]
    report.ok(set(many) <= {202, 500}, f"90 scans at once: {many.count(202)} are taken, {many.count(500)} told to come later")
    status, _, body, _ = harbor.report(gone)
    report.ok(status == 200, "... and one from before has its report", f"{status} {body!r}")


def over_tls(lab, report, url):
    """The same with a certificate, and a reload with another secret."""
    port = labs.free_port()
    secret = lab.dir + "/adapter-tls-secret"
    with open(secret, "w") as f:
        f.write(SECRET + "\n")
    g = labs.Gateway(lab, "adapter-tls", url, more=f'malware = {{ {samples.rules(lab)} }};\nadapter = {{ listen = "0.0.0.0:{port}"; '
                     f'authorization-file = "{secret}"; certificate = "{lab.cert}"; private-key = "{lab.key}"; }};').start()
    tls = ssl.create_default_context(cafile=lab.ca)
    harbor = Harbor(port, tls)
    report.ok(harbor.call("GET", "/api/v1/metadata")[0] == 200, "over TLS")
    try:
        plain = Harbor(port).call("GET", "/api/v1/metadata")[0]
    except (OSError, http.client.HTTPException):
        plain = 0
    report.ok(plain == 0, "... and not without")
    with open(secret, "w") as f:
        f.write("Bearer another-secret\n")
    g.process.child.send_signal(signal.SIGHUP)
    ok = labs.wait_for(lambda: harbor.call("GET", "/api/v1/metadata", authorization="Bearer another-secret")[0] == 200)
    report.ok(ok and harbor.call("GET", "/api/v1/metadata")[0] == 401, "a reload takes over another secret")
    g.stop()


def run(lab, report):
    login = "Basic " + base64.b64encode(b"harbor:robot").decode()
    _, url = lab.registry("registry", login=("harbor", "robot"))
    port = labs.free_port()
    secret = lab.dir + "/adapter-secret"
    with open(secret, "w") as f:
        f.write(SECRET + "\n")
    g = labs.Gateway(lab, "adapter", url, more=f'malware = {{ {samples.rules(lab)} }};\n'
                     f'adapter = {{ listen = "127.0.0.1:{port}"; authorization-file = "{secret}"; }};').start()
    harbor = Harbor(port)
    status, headers, body = harbor.call("GET", "/api/v1/metadata", accept=METADATA)
    about = json.loads(body)
    report.ok(status == 200 and headers["content-type"] == METADATA and about["scanner"]["name"] == "Tidewaiter" and
              REPORT in about["capabilities"][0]["produces_mime_types"] and labs.OCI_MANIFEST in about["capabilities"][0]["consumes_mime_types"],
              f"metadata: {about.get('scanner', {}).get('version', '')[:40]}", f"{status} {body!r}")
    door(report, harbor)
    where(report, harbor, url, login, samples.clean("adapter clean"))
    scans(report, harbor, url, login, f"https://{labs.HOST}:{g.port}")
    g.stop()
    over_tls(lab, report, url)
