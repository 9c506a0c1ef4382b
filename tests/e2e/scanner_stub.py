# scanner_stub.py - sources of vulnerability reports, from their documented protocols: an adapter with Harbor's Pluggable Scanner
# API, Harbor's own API, ECR's DescribeImageScanFindings, and Azure Resource Graph with a token of Entra ID.
#
# What they say of an image stands in `knows`, by digest: a list of (id, package, severity), or a word for what goes wrong.
# SPDX-License-Identifier: Apache-2.0
import datetime
import http.client
import json
import re
import ssl
import threading
import time
import urllib.parse

import credentials
import lab as labs

REPORT = "application/vnd.security.vulnerability.report; version=1.1"
METADATA = "application/vnd.scanner.adapter.metadata+json; version=1.0"
REQUEST = "application/vnd.scanner.adapter.scan.request+json; version=1.0"
RESPONSE = "application/vnd.scanner.adapter.scan.response+json; version=1.0"
ERROR = "application/vnd.scanner.adapter.error+json; version=1.0"


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Adapter(credentials.Service):
    """knows[digest]: findings, or slow, dead, lying, large, forgets, fails, broken, cut. Pulls the image with the pass it was given."""

    def __init__(self, ca, key="Bearer adapter-key"):
        self.ca, self.key, self.knows, self.scans, self.pulled, self.problems, self.passes = ca, key, {}, {}, [], [], []
        self.away = False       # no call is answered any more
        super().__init__(self.answer)
        self.server.handle_error = lambda *_: None

    def pull(self, request):
        """As a scanner does: the manifest by digest, and all that it lists."""
        registry, artifact = request["registry"], request["artifact"]
        url = urllib.parse.urlsplit(registry["url"])

        def get(path):
            c = http.client.HTTPSConnection(url.hostname, url.port, context=ssl.create_default_context(cafile=self.ca), timeout=20)
            c.request("GET", path, headers={"Authorization": registry["authorization"], "Accept": labs.OCI_MANIFEST})
            r = c.getresponse()
            data = r.read()
            c.close()
            return r.status, data
        name = artifact["repository"]
        status, data = get(f"/v2/{name}/manifests/{artifact['digest']}")
        if status != 200 or labs.digest_of(data) != artifact["digest"]:
            self.problems.append(f"pull of the manifest: {status} {data[:200]}")
            return
        manifest = json.loads(data)
        for blob in [manifest["config"], *manifest["layers"]]:
            status, data = get(f"/v2/{name}/blobs/{blob['digest']}")
            if status != 200 or labs.digest_of(data) != blob["digest"]:
                self.problems.append(f"pull of a blob: {status} {data[:200]}")
        self.pulled.append(artifact["digest"])

    def report(self, digest, findings):
        return {"generated_at": now(), "artifact": {"repository": "x", "digest": digest},
                "scanner": {"name": "Stub", "vendor": "tests", "version": "1.0"}, "severity": findings[0][2] if findings else "Unknown",
                "vulnerabilities": [{"id": i, "package": p, "version": "1.0", "fix_version": "1.1", "severity": s, "description": "",
                                     "links": []} for i, p, s in findings]}

    def answer(self, method, path, query, headers, body):
        if self.away:
            raise ConnectionError
        if headers.get("authorization") != self.key:
            return 401, {"error": {"message": "who are you?"}}, {"Content-Type": ERROR}
        if (method, path) == ("GET", "/api/v1/metadata"):
            return 200, {"scanner": {"name": "Stub", "vendor": "tests", "version": "1.0"},
                         "capabilities": [{"consumes_mime_types": [labs.OCI_MANIFEST], "produces_mime_types": [REPORT]}],
                         "properties": {"harbor.scanner-adapter/vulnerability-database-updated-at": now()}}, {"Content-Type": METADATA}
        if (method, path) == ("POST", "/api/v1/scan"):
            return self.scan(headers, json.loads(body))
        m = re.fullmatch(r"/api/v1/scan/(\d+)/report", path)
        if method != "GET" or not m or m[1] not in self.scans:
            return 404, {"error": {"message": "no such scan"}}, {"Content-Type": ERROR}
        return self.result(m[1])

    def scan(self, headers, request):
        if headers.get("content-type") != REQUEST or set(request) != {"registry", "artifact"}:
            self.problems.append(f"scan request {headers} {request}")
            return 422, {"error": {"message": "no scan request"}}, {"Content-Type": ERROR}
        number = str(len(self.scans) + 1)
        digest = request["artifact"]["digest"]
        self.passes.append((digest, request["registry"]["authorization"]))
        self.scans[number] = {"digest": digest, "begun": time.monotonic(), "asked": 0}
        if self.knows.get(digest) != "dead":
            self.pull(request)
        return 202, {"id": number}, {"Content-Type": RESPONSE}

    def result(self, number):
        scan = self.scans[number]
        scan["asked"] += 1
        says = self.knows.get(scan["digest"], [])
        how = {"Content-Type": REPORT}
        if scan["asked"] == 1 or says == "dead" or (says == "slow" and scan["asked"] < 4):
            return 302, "", {"Refresh-After": "1"}
        if says == "fails":
            return 500, {"error": {"message": "the database is broken"}}, {"Content-Type": ERROR}
        if says == "forgets":
            del self.scans[number]
            self.scans["gone" + number] = scan
            return 404, "", {}
        if says == "lying":
            return 200, self.report("sha256:" + "0" * 64, []), how
        if says == "broken":
            return 200, {"vulnerabilities": {"Critical": 0}}, how
        if says == "cut":
            return 200, json.dumps(self.report(scan["digest"], []))[:-3], how
        if says == "large":
            some = self.report(scan["digest"], [(f"CVE-2026-{n}", "p", "Low") for n in range(20000)])
            for v in some["vulnerabilities"]:
                v["description"] = "x" * 2500
            return 200, some, how
        return 200, self.report(scan["digest"], [] if says == "slow" else says), how


class Harbor(credentials.Service):
    """knows[digest]: findings (scanned once asked to), or a status word. `scanned`: those it was told to scan."""

    def __init__(self, login=None):
        self.login, self.knows, self.scanned, self.problems = login, {}, [], []
        super().__init__(self.answer)

    def answer(self, method, path, query, headers, body):
        m = re.fullmatch(r"/api/v2\.0/projects/([^/]+)/repositories/([^/]+)/artifacts/(sha256:[0-9a-f]{64})(/scan|/additions/vulnerabilities)?", path)
        if not m:
            return 404, {"errors": [{"code": "NOT_FOUND", "message": "no such path"}]}
        if self.login and headers.get("authorization") != self.login:
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}
        if REPORT not in headers.get("x-accept-vulnerabilities", ""):
            self.problems.append("X-Accept-Vulnerabilities")
        digest, what = m[3], m[4]
        says = self.knows.get(digest)
        if what == "/scan":
            self.scanned.append(digest)
            return (422, {"errors": [{"code": "X", "message": "not scannable"}]}) if says == "unscannable" else (202, "")
        if isinstance(says, str):
            overview = None if says in ("none", "unscannable") else {REPORT: {"scan_status": says}}
        elif says is None or (digest not in self.scanned):
            overview = None
        else:
            by = {s: sum(1 for f in says if f[2] == s) for s in {f[2] for f in says}}
            overview = {REPORT: {"scan_status": "Success", "severity": "x", "end_time": now(), "scanner": {"name": "Trivy"},
                                 "summary": {"total": len(says), "fixable": len(says), "summary": by}}}
        if what is None:
            return 200, {"digest": digest, "type": "IMAGE", "scan_overview": overview}
        return 200, {REPORT: Adapter.report(self, digest, says)}


class Ecr(credentials.Amazon):
    """knows[digest]: findings, or a status of ECR's; absent: ScanNotFoundException. Two findings a page."""

    def __init__(self):
        self.knows = {}
        super().__init__()

    def ecr(self, method, path, headers, body):
        if not headers.get("x-amz-target", "").endswith(".DescribeImageScanFindings"):
            return super().ecr(method, path, headers, body)
        m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/ecr/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
                         headers.get("authorization", ""))
        key, day, region, signed, signature = m.groups()
        if credentials.sigv4(self.secrets.get(key, ""), method, path, headers, signed, body, headers["x-amz-date"], region, "ecr") != signature:
            self.problems.append("signature of DescribeImageScanFindings")
            return 403, {"__type": "InvalidSignatureException"}
        ask = json.loads(body)
        digest = ask["imageId"]["imageDigest"]
        says = self.knows.get(digest)
        if says is None:
            return 400, {"__type": "ScanNotFoundException", "message": "Image scan does not exist"}
        page = {"registryId": "1", "repositoryName": ask["repositoryName"], "imageId": {"imageDigest": digest},
                "imageScanStatus": {"status": says if isinstance(says, str) else "COMPLETE"},
                "imageScanFindings": {"imageScanCompletedAt": time.time(), "findings": [], "findingSeverityCounts": {}}}
        if not isinstance(says, str):
            at = int(ask.get("nextToken", "0"))
            page["imageScanFindings"]["findings"] = [
                {"name": i, "severity": s.upper(), "attributes": [{"key": "package_name", "value": p}]} for i, p, s in says[at:at + 2]]
            page["imageScanFindings"]["findingSeverityCounts"] = {s.upper(): sum(1 for f in says if f[2] == s) for s in {f[2] for f in says}}
            if at + 2 < len(says):
                page["nextToken"] = str(at + 2)
        return 200, page


class Azure(credentials.Service):
    """Resource Graph; knows[digest]: findings, or "healthy"; absent: no row. One row a page."""

    def __init__(self, token="Bearer azure-token"):
        self.token, self.knows, self.problems, self.queries = token, {}, [], []
        super().__init__(self.answer)

    def answer(self, method, path, query, headers, body):
        if path != "/providers/Microsoft.ResourceGraph/resources" or query.get("api-version") != ["2022-10-01"] or method != "POST":
            self.problems.append(f"{method} {path}")
            return 404, {"error": {"code": "NotFound", "message": "no"}}
        if headers.get("authorization") != self.token:
            return 401, {"error": {"code": "Unauthorized", "message": "no"}}
        ask = json.loads(body)
        self.queries.append(ask["query"])
        named = set(re.findall(r'"(sha256:[0-9a-f]{64})"', ask["query"]))
        says = self.knows.get(named.pop(), []) if len(named) == 1 else []
        digest = re.search(r'"(sha256:[0-9a-f]{64})"', ask["query"])[1]

        def row(i, s, code):
            return {"id": f"/x/{i}", "type": "microsoft.security/assessments/subassessments", "properties": {
                "id": i, "status": {"code": code, "severity": s}, "timeGenerated": now(),
                "additionalData": {"artifactDetails": {"digest": digest}, "vulnerabilityDetails": {"severity": s}}}}
        rows = [row("x", "Low", "Healthy")] if says == "healthy" else [row(i, s, "Unhealthy") for i, p, s in says]
        at = int(ask["options"].get("$skipToken", "0"))
        page = {"totalRecords": len(rows), "count": len(rows[at:at + 1]), "resultTruncated": "false", "data": rows[at:at + 1]}
        if at + 1 < len(rows):
            page["$skipToken"] = str(at + 1)
        return 200, page
