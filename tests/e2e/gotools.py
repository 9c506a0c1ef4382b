# gotools.py - crane, oras and cosign through the gateway: the scenario of clients.py, told in their own words.
#
# They are built by tests/go/install, and not part of `make test`.
# SPDX-License-Identifier: Apache-2.0
import io
import json
import os
import subprocess
import tarfile

import lab as labs

BIN = os.environ.get("GOTOOLS", os.path.join(labs.ROOT, "build/go/bin"))
LOCKED = "tag exists and is immutable; push under a new tag"
NOT_ALLOWED = "no policy allows this"

POLICY = {**labs.POLICY, "Statement": labs.POLICY["Statement"] + [
    {"Sid": "CiSigns", "Effect": "Allow", "Principal": ["subject:test/ci"], "Action": ["registry:AppendReferrer"], "Resource": ["repo:up/app", "repo:up/app/*"]},
    {"Sid": "AdminCleansUp", "Effect": "Allow", "Principal": ["subject:test/admin"],
     "Action": ["registry:Pull*", "registry:List*", "registry:Delete*", "registry:OverwriteTag"], "Resource": ["repo:up/app", "repo:up/app/*"]}]}


class Tool:
    """One program, logged in as somebody."""

    def __init__(self, lab, report, name, g, who):
        self.lab, self.report, self.name, self.host = lab, report, name, f"localhost:{g.port}"
        self.home = os.path.join(lab.dir, f"{name}-{who}-{g.port}")
        os.makedirs(self.home, exist_ok=True)
        self.token = lab.signer.token(who)
        self.env = {**os.environ, "HOME": self.home, "DOCKER_CONFIG": self.home, "SSL_CERT_FILE": lab.ca, "COSIGN_PASSWORD": "pw",
                    "NO_COLOR": "1"}

    def __call__(self, *argv, stdin=None):
        return subprocess.run([os.path.join(BIN, self.name), *argv], env=self.env, cwd=self.home, capture_output=True, text=True,
                              input=stdin, timeout=90)

    def works(self, what, *argv, stdin=None, has=""):
        p = self(*argv, stdin=stdin)
        self.report.ok(p.returncode == 0 and has in p.stdout + p.stderr, f"{self.name}: {what}", p.stdout + p.stderr)
        return p.stdout.strip()

    def refused(self, what, words, *argv):
        p = self(*argv)
        self.report.ok(p.returncode != 0 and words in p.stdout + p.stderr, f"{self.name}: {what}", p.stdout + p.stderr)


def layer(home, name, text):
    path = os.path.join(home, name)
    with tarfile.open(path, "w:gz") as t:
        info = tarfile.TarInfo("hello")
        info.size = len(text)
        t.addfile(info, io.BytesIO(text))
    return path


def crane(lab, report, g):
    ci, dev, admin = (Tool(lab, report, "crane", g, who) for who in ("ci", "dev", "admin"))
    host = ci.host
    for t in (ci, dev, admin):
        t.works("login", "auth", "login", "-u", "jwt", "--password-stdin", host, stdin=t.token)
    one, two = layer(ci.home, "one.tgz", b"one"), layer(ci.home, "two.tgz", b"two")
    ci.works("push", "append", "-f", one, "-t", f"{host}/app:crane", has="sha256:")
    ci.works("the same push again", "append", "-f", one, "-t", f"{host}/app:crane")
    ci.refused("another image under the tag", LOCKED, "append", "-f", two, "-t", f"{host}/app:crane")
    digest = dev.works("digest", "digest", f"{host}/app:crane", has="sha256:")
    dev.works("pull by tag", "pull", f"{host}/app:crane", "out.tar")
    dev.works("pull by digest", "pull", f"{host}/app@{digest}", "out.tar")
    dev.refused("a push without the right", NOT_ALLOWED, "append", "-f", two, "-t", f"{host}/app:dev")
    ci.works("copy to another repository, blobs mounted", "copy", f"{host}/app:crane", f"{host}/app/copy:crane")
    ci.works("a second tag", "tag", f"{host}/app:crane", "crane2")
    ci.refused("a tag moved by `crane tag`", LOCKED, "tag", f"{host}/app/copy@{ci.works('another image', 'append', '-f', two, '-t', f'{host}/app/copy:two').split('@')[-1]}", "crane")
    dev.works("list of tags", "ls", f"{host}/app", has="crane2")
    dev.refused("a delete without the right", NOT_ALLOWED, "delete", f"{host}/app@{digest}")
    admin.works("delete", "delete", f"{host}/app@{digest}")
    dev.refused("a pull of what is gone", "MANIFEST_UNKNOWN", "pull", f"{host}/app@{digest}", "out.tar")
    ci.refused("another image under the tag that is gone", "this tag was deleted; only the same image may return", "append", "-f", two, "-t", f"{host}/app:crane2")


def oras(lab, report, g):
    ci, dev, admin = (Tool(lab, report, "oras", g, who) for who in ("ci", "dev", "admin"))
    host, tls = ci.host, ("--plain-http=false", "--ca-file", lab.ca)
    for t in (ci, dev, admin):
        t.works("login", "login", *tls, "-u", "jwt", "--password-stdin", host, stdin=t.token)
    for text in ("one", "two"):
        with open(f"{ci.home}/{text}.txt", "w") as f:
            f.write(text)
    stamp = ("--annotation", "org.opencontainers.image.created=2026-11-27T00:00:00Z")
    push = lambda what, tag: ("push", *tls, *stamp, "--artifact-type", "application/vnd.example", f"{host}/app:{tag}", f"{what}.txt:text/plain")
    ci.works("push", *push("one", "oras"))
    ci.works("the same push again", *push("one", "oras"))
    ci.refused("another artifact under the tag", LOCKED, *push("two", "oras"))
    dev.works("pull by tag", "pull", *tls, f"{host}/app:oras", "-o", "out", has="one.txt")
    digest = json.loads(dev.works("resolve", "manifest", "fetch", *tls, "--descriptor", f"{host}/app:oras"))["digest"]
    dev.works("pull by digest", "pull", *tls, f"{host}/app@{digest}", "-o", "out2")
    dev.refused("a push without the right", NOT_ALLOWED, *[a.replace("one.txt", f"{ci.home}/one.txt") for a in push("one", "mine")], "--disable-path-validation")
    ci.works("attach a referrer", "attach", *tls, "--artifact-type", "application/vnd.example.report", f"{host}/app:oras", "one.txt:text/plain")
    ci.works("attach a second one", "attach", *tls, "--artifact-type", "application/vnd.example.report", f"{host}/app:oras", "two.txt:text/plain")
    ci.refused("attach what artifact-types does not list", "artifact-types", "attach", *tls, "--artifact-type", "application/vnd.other", f"{host}/app:oras",
               "two.txt:text/plain")
    found = dev.works("discover both", "discover", *tls, "--format", "json", f"{host}/app:oras")
    report.ok(found.count("application/vnd.example.report") >= 2, "oras: ... and both are there", found)
    src, to = ("--from-plain-http=false", "--from-ca-file", lab.ca), ("--to-plain-http=false", "--to-ca-file", lab.ca)
    ci.works("copy to another repository", "copy", *src, *to, f"{host}/app:oras", f"{host}/app/other:oras")
    dev.works("list of tags", "repo", "tags", *tls, f"{host}/app", has="oras")
    admin.works("delete", "manifest", "delete", *tls, "-f", f"{host}/app/other:oras")


def cosign(lab, report, g):
    ci, dev = (Tool(lab, report, "cosign", g, who) for who in ("ci", "dev"))
    host, crane_ci = ci.host, Tool(lab, report, "crane", g, "ci")
    for t in (ci, dev):
        t.works("login", "login", host, "-u", "jwt", "-p", t.token)
    crane_ci.works("an image to be signed", "append", "-f", layer(crane_ci.home, "signed.tgz", b"signed"), "-t", f"{host}/app/signed:v1")
    digest = crane_ci.works("its digest", "digest", f"{host}/app/signed:v1")
    ci.works("a key pair", "generate-key-pair")
    image, quiet = f"{host}/app/signed@{digest}", ("--tlog-upload=false", "--yes")
    old = ("--new-bundle-format=false", "--use-signing-config=false")
    sign = lambda *more: ("sign", *quiet, *old, "--key", "cosign.key", *more, image)
    ci.works("sign", *sign("-a", "who=first"))
    ci.works("sign again: the .sig tag grows", *sign("-a", "who=second"))
    for who in ("first", "second"):
        ci.works(f"verify the {who} signature", "verify", "--insecure-ignore-tlog=true", "--key", "cosign.pub", "-a", f"who={who}", image, has=who)
    with open(f"{ci.home}/predicate.json", "w") as f:
        f.write('{"builder":{"id":"https://ci.test"}}')
    ci.works("attest", "attest", *quiet, *old, "--key", "cosign.key", "--predicate", "predicate.json", "--type", "custom", image)
    ci.works("verify the attestation", "verify-attestation", "--insecure-ignore-tlog=true", "--key", "cosign.pub", "--type", "custom", image)
    tag = digest.replace(":", "-") + ".sig"
    crane_ci.refused("a signature tag replaced by an image", "DENIED", "append", "-f", layer(crane_ci.home, "evil.tgz", b"evil"), "-t", f"{host}/app/signed:{tag}")


def run(lab, report, which=None):
    chosen = which or ["crane", "oras", "cosign"]
    missing = [n for n in chosen if not os.access(os.path.join(BIN, n), os.X_OK)]
    if missing:
        report.ok(False, f"{', '.join(missing)} in {BIN}", "run: tests/go/install " + " ".join(missing))
        return
    # with the token itself as the password, and with the gateway's own token service
    for way in ("basic", "bearer"):
        _, url = lab.registry("registry-" + way)
        service = f'token-service = {{ signing-key = "{lab.dir}/token.pem"; }};' if way == "bearer" else ""
        g = labs.Gateway(lab, "gateway-" + way, url, policy=POLICY, tags={"artifact-types": ["application/vnd.example.*"]}, external="localhost",
                         more=service).start()
        p = subprocess.run([labs.BINARY, "tag", "import", "-c", g.conf, "up/app", "up/app/copy", "up/app/other", "up/app/signed"],
                           capture_output=True, text=True)
        report.ok(p.returncode == 0, f"{way}: repositories imported while they are empty", p.stdout + p.stderr)
        for name in chosen:
            {"crane": crane, "oras": oras, "cosign": cosign}[name](lab, report, g)
        tokens = sum(e["action"] == "token.issue" for e in g.requests())
        report.ok((tokens > 0) == (way == "bearer"), f"{way}: {tokens} tokens of the gateway's own")
        ok, said = g.verify()
        report.ok(ok, f"{way}: audit verify: {said}")
        g.stop()
