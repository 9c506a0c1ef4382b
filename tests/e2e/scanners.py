# scanners.py - reports of vulnerabilities decide: what each source says, does not say, or says wrongly, through the gateway.
#
# The rule is one in all of it: absence is never "clean". A tag is created, and an image pulled, only when a report says so.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import time

import credentials
import lab as labs
import scanner_stub
import stub as stubs

KIND = {"Content-Type": labs.OCI_MANIFEST}
ACCEPT = {"Accept": labs.OCI_MANIFEST}
CONFIG = b'{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}'
CRITICAL, LOW = ("CVE-2026-1", "openssl", "Critical"), ("CVE-2026-2", "zlib1g", "Low")
POLICY = {
    "Version": "2026-11-01",
    "Statement": [
        {"Sid": "Ci", "Effect": "Allow", "Principal": ["subject:test/ci"], "Action": ["registry:Push*", "registry:Pull*"],
         "Resource": ["repo:up/app/*"]},
        {"Sid": "Dev", "Effect": "Allow", "Principal": ["subject:test/dev"], "Action": ["registry:Pull*"], "Resource": ["repo:up/app/*"]},
        {"Sid": "NoCritical", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:PullManifest", "registry:PushManifest"],
         "Resource": ["repo:up/app/*"], "Condition": {"NumericGreaterThan": {"scan:Critical": ["0"]}}, "Message": "critical vulnerabilities"},
        {"Sid": "NotScanned", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:PullManifest", "registry:PushManifest"],
         "Resource": ["repo:up/app/*"], "Condition": {"Null": {"scan:Critical": "true"}}, "Message": "not scanned"},
    ],
}


class Scene:
    """A gateway with one scanner, and images that are pushed one after the other."""

    def __init__(self, lab, report, name, scanner, upstream=None, options=None, env=None, more=""):
        self.lab, self.report, self.name, self.n = lab, report, name, 0
        self.up = upstream or stubs.Stub()
        key = os.path.join(lab.dir, f"token-{name}.pem")
        labs.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        os.chmod(key, 0o600)
        text = " ".join(f"{k} = {labs.quoted(v)};" for k, v in scanner.items())
        self.g = labs.Gateway(lab, "scanners-" + name, self.up.origin, POLICY, external="localhost",
                              upstream_options={"scanners": ["s"], **(options or {})},
                              more=f'scanner = {{ s = {{ {text} }}; }};\ntoken-service = {{ signing-key = "{key}"; }};\n'
                                   f'evidence = {{ push-wait = "20 s"; pull-wait = "10 s"; retry = "1 s"; {more} }};\n')
        self.g.env = env
        self.g.start()
        self.token = {who: lab.signer.token(who) for who in ("ci", "dev")}

    def image(self):
        """A new one, its blobs pushed: (repository, tag, bytes)."""
        self.n += 1
        layer, repo = os.urandom(2000), "app/" + self.name
        for blob in (layer, CONFIG):
            r = self.g.upload(repo, blob, self.token["ci"])
            if r.status != 201:
                self.report.ok(False, f"{self.name}: a blob is pushed", repr(r))
        return repo, f"v{self.n}", labs.manifest(layer, config=CONFIG, note=f"{self.name}-{self.n}")

    def push(self, repo, tag, body):
        return self.g.request("PUT", f"/v2/{repo}/manifests/{tag}", self.token["ci"], KIND, body)

    def has_tag(self, repo, tag):
        return (repo, tag) in self.up.tags

    def pull(self, repo, tag):
        return self.g.request("GET", f"/v2/{repo}/manifests/{tag}", self.token["dev"], ACCEPT)

    def good(self, name, says, knows):
        repo, tag, body = self.image()
        knows[labs.digest_of(body)] = says
        r = self.push(repo, tag, body)
        self.report.ok(r.status == 201, f"{self.name}: {name}: the tag is there", repr(r))
        r = self.pull(repo, tag)
        self.report.ok(r.status == 200 and r.body == body, f"{self.name}: {name}: ... and pulled", repr(r))

    def bad(self, name, says, knows, then=None):
        """Refused; and once `then` is what the source says, the same push goes through."""
        repo, tag, body = self.image()
        digest = labs.digest_of(body)
        if says is not None:
            knows[digest] = says
        r = self.push(repo, tag, body)
        self.report.ok(r.status in (403, 503), f"{self.name}: {name}: no tag", repr(r))
        for reference in (tag, digest):
            r = self.pull(repo, reference)
            self.report.ok(r.status in (403, 404, 503), f"{self.name}: {name}: not pulled by {reference[:8]}", repr(r))
        self.report.ok(not self.has_tag(repo, tag), f"{self.name}: {name}: upstream has no tag")
        if then is None:
            return
        knows[digest] = then
        ok = labs.wait_for(lambda: self.push(repo, tag, body).status == 201, 30, 1)
        self.report.ok(ok, f"{self.name}: {name}: ... and once it is clean, the same push is good", repr(self.push(repo, tag, body)))

    def end(self):
        ok, said = self.g.verify()
        self.report.ok(ok, f"{self.name}: the chain of events holds", said)
        self.g.stop()


def adapter(lab, report):
    scanner = scanner_stub.Adapter(lab.ca)
    key = os.path.join(lab.dir, "adapter-key")
    with open(key, "w") as f:
        f.write(scanner.key + "\n")
    os.chmod(key, 0o600)
    s = Scene(lab, report, "adapter", {"type": "adapter", "url": scanner.origin, "authorization-file": key, "timeout": "6 s"})
    s.good("clean", [], scanner.knows)
    report.ok(len(scanner.pulled) == 1 and not scanner.problems, "adapter: the scanner pulled the image with its pass", repr(scanner.problems))
    s.good("low ones", [LOW], scanner.knows)
    s.good("slow", "slow", scanner.knows)
    s.good("50 MB", "large", scanner.knows)
    s.bad("critical", [CRITICAL, LOW], scanner.knows)
    s.bad("severity unknown", [("CVE-2026-3", "p", "Unknown")], scanner.knows)
    s.bad("a report about another image", "lying", scanner.knows, [])
    s.bad("fails", "fails", scanner.knows, [])
    s.bad("forgets what it was asked", "forgets", scanner.knows)
    s.bad("no report", "broken", scanner.knows)
    s.bad("a report cut short", "cut", scanner.knows)
    s.bad("never done", "dead", scanner.knows, [])
    passes(report, s, scanner)
    scanner.away = True
    s.bad("gone", [], scanner.knows)
    s.end()
    scanner.close()


def passes(report, s, scanner):
    """A pass is for one image, by its digest, and for reading."""
    digest, authorization = scanner.passes[0]
    token = authorization.split(" ", 1)[1]
    repo = "app/adapter"
    get = lambda target: s.g.request("GET", target, token, ACCEPT).status
    report.ok(get(f"/v2/{repo}/manifests/{digest}") == 200, "adapter: a pass gives its image")
    other = scanner.passes[-1][0]
    report.ok(get(f"/v2/{repo}/manifests/{other}") in (401, 403), "adapter: ... no other one")
    report.ok(get(f"/v2/{repo}/manifests/v1") in (401, 403), "adapter: ... nothing by tag")
    report.ok(get(f"/v2/{repo}/tags/list") in (401, 403), "adapter: ... no list")
    report.ok(s.g.request("PUT", f"/v2/{repo}/manifests/v99", token, KIND, labs.manifest(config=CONFIG)).status in (401, 403), "adapter: ... no push")
    with open(s.g.process.log, errors="replace") as f:
        text = f.read() + json.dumps(s.g.events())
    report.ok(not any(a.split(" ", 1)[1] in text for _, a in scanner.passes) and scanner.key not in text,
              "adapter: neither a pass nor the scanner's key is in a log")


def harbor(lab, report):
    api = scanner_stub.Harbor()
    s = Scene(lab, report, "harbor", {"type": "harbor", "url": api.origin, "timeout": "8 s"})
    s.good("scanned when it is told to", [LOW], api.knows)
    report.ok(len(api.scanned) == 1 and not api.problems, "harbor: told to scan once", repr(api.problems))
    s.bad("critical", [CRITICAL], api.knows)
    s.bad("no overview, and none comes (its hole: not scannable is pulled)", "none", api.knows)
    s.bad("not scannable", "unscannable", api.knows)
    s.bad("error", "Error", api.knows, [])
    s.bad("stopped", "Stopped", api.knows)
    s.bad("running for ever", "Running", api.knows)
    s.end()
    api.close()


def ecr(lab, report):
    aws = scanner_stub.Ecr()
    up = credentials.Guarded(lambda a, r: bool(aws.passwords) and a == "Basic " + aws.passwords[-1])
    s = Scene(lab, report, "ecr", {"type": "ecr", "timeout": "4 s"}, up,
              {"credentials": "ecr", "region": "eu-west-1", "endpoint": aws.origin},
              {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "secret-env"})
    s.good("clean", [], aws.knows)
    s.good("low ones on two pages", [LOW, LOW, LOW], aws.knows)
    s.bad("critical on the second page", [LOW, LOW, CRITICAL], aws.knows)
    s.bad("never scanned", None, aws.knows, [])
    for status in ("IN_PROGRESS", "FAILED", "UNSUPPORTED_IMAGE", "SCAN_ELIGIBILITY_EXPIRED", "FINDINGS_UNAVAILABLE", "LIMIT_EXCEEDED"):
        s.bad(status + " with an empty list", status, aws.knows)
    report.ok(not aws.problems, "ecr: every call is signed as it must be", repr(aws.problems))
    credentials.no_secret(report, "ecr", s.g, *aws.secrets.values(), *aws.passwords)
    s.end()
    aws.close()


def azure(lab, report):
    graph = scanner_stub.Azure()
    key = os.path.join(lab.dir, "azure-key")
    with open(key, "w") as f:
        f.write(graph.token + "\n")
    os.chmod(key, 0o600)
    s = Scene(lab, report, "azure", {"type": "defender", "url": graph.origin, "authorization-file": key, "subscriptions": ["sub"], "timeout": "4 s"})
    s.good("healthy", "healthy", graph.knows)
    s.good("low ones on two pages", [LOW, LOW], graph.knows)
    s.bad("critical on the second page", [LOW, CRITICAL], graph.knows)
    s.bad("no row", None, graph.knows, "healthy")
    report.ok(not graph.problems, "azure: the calls are as documented", repr(graph.problems))
    s.end()
    graph.close()


def exceptions(lab, report):
    """What does not count, and for how long: no scan is made anew for it."""
    scanner = scanner_stub.Adapter(lab.ca)
    key, path = os.path.join(lab.dir, "adapter-key-2"), os.path.join(lab.dir, "exceptions.json")
    with open(key, "w") as f:
        f.write(scanner.key + "\n")
    os.chmod(key, 0o600)
    until = time.time() + 12
    with open(path, "w") as f:
        json.dump({"exceptions": [{"cve": "CVE-2026-1", "images": ["up/app/*"], "owner": "team-a", "reason": "not reachable",
                                   "expires": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until))}]}, f)
    s = Scene(lab, report, "exceptions", {"type": "adapter", "url": scanner.origin, "authorization-file": key, "timeout": "6 s"},
              more=f'exceptions = "{path}";')
    repo, tag, body = s.image()
    scanner.knows[labs.digest_of(body)] = [CRITICAL]
    r = s.push(repo, tag, body)
    report.ok(r.status == 201, "exceptions: a critical one that is excepted does not count", repr(r))
    scans = len(scanner.scans)
    labs.wait_for(lambda: s.pull(repo, tag).status != 200, 30, 0.5)
    r = s.pull(repo, tag)
    report.ok(time.time() >= until - 1 and r.status == 403, "exceptions: when it ends the image is not pulled any more", repr(r))
    report.ok(len(scanner.scans) == scans, "exceptions: ... without another scan")
    s.end()
    scanner.close()


def run(lab, report, which=None):
    for part in (adapter, harbor, ecr, azure, exceptions):
        if not which or part.__name__ in which:
            part(lab, report)
