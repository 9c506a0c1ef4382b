# skopeo.py - skopeo through the gateway: login, push, overwrite, pull, refusals and the words it shows.
# SPDX-License-Identifier: Apache-2.0
import os
import subprocess

import images
import lab as labs


class Skopeo:
    def __init__(self, lab, gateway, who):
        self.auth = os.path.join(lab.dir, f"{gateway.name}-{who}.auth.json")
        self.certs = os.path.join(lab.dir, "skopeo-certs")
        os.makedirs(self.certs, exist_ok=True)
        with open(lab.ca, "rb") as source, open(os.path.join(self.certs, "ca.crt"), "wb") as f:
            f.write(source.read())
        self.host = f"localhost:{gateway.port}"
        with open(self.auth, "w") as f:
            f.write("{}")

    def run(self, *args, data=None):
        """(did it succeed, what it said)"""
        p = subprocess.run(["skopeo", *args], input=data, capture_output=True, text=True, timeout=120,
                           env={**os.environ, "REGISTRY_AUTH_FILE": self.auth, "DOCKER_CONFIG": "/nonexistent"})
        return p.returncode == 0, p.stdout + p.stderr

    def login(self, token):
        return self.run("login", "-u", "jwt", "--password-stdin", "--cert-dir", self.certs, self.host, data=token)

    def push(self, layout, tag, name):
        return self.run("copy", "--preserve-digests", "--dest-cert-dir", self.certs, f"oci:{layout}:{tag}",
                        f"docker://{self.host}/{name}")

    def pull(self, name, target):
        return self.run("copy", "--src-cert-dir", self.certs, f"docker://{self.host}/{name}", f"dir:{target}")


def puts(gateway, tag):
    return [e for e in gateway.requests() if e["action"] == "manifest.put" and e["registry"]["tag"] == tag]


def one(lab, report, scheme):
    registry, url = lab.registry(f"skopeo-registry-{scheme}", tls=scheme == "tls")
    g = labs.Gateway(lab, f"skopeo-{scheme}", url, ca_file=lab.ca if scheme == "tls" else None).start()
    ci, dev = Skopeo(lab, g, "ci"), Skopeo(lab, g, "dev")
    first, changed = (os.path.join(lab.dir, f"layout-{scheme}-{n}") for n in ("first", "changed"))
    digest = images.oci_layout(first, "v1", note="first")
    images.oci_layout(changed, "v1", note="changed")

    def check(result, good, name, words=""):
        report.ok(result[0] == good and words in result[1], f"skopeo, {scheme} upstream: {name}", result[1][-400:])
    check(ci.login(lab.signer.token("ci")), True, "login as ci")
    check(dev.login(lab.signer.token("dev")), True, "login as dev")
    check(Skopeo(lab, g, "bad").login(lab.signer.token("ci")[:-6] + "AAAAAA"), False, "login with a bad token", "invalid username/password")
    check(ci.push(first, "v1", "app:v1"), True, "push")
    check(ci.push(first, "v1", "app:v1"), True, "the same push again")
    before = len(puts(g, "v1"))
    check(ci.push(changed, "v1", "app:v1"), False, "a changed image is refused, in our words", "tag exists and is immutable")
    report.ok(labs.wait_for(lambda: len(puts(g, "v1")) > before) and len(puts(g, "v1")) == before + 1,
              f"skopeo, {scheme} upstream: ... with one PUT", repr(puts(g, "v1")))
    check(ci.push(changed, "v1", "app:v2"), True, "under a new tag it is taken")
    check(dev.pull("app:v1", os.path.join(lab.dir, f"pull-{scheme}-tag")), True, "pull by tag")
    check(dev.pull(f"app@{digest}", os.path.join(lab.dir, f"pull-{scheme}-digest")), True, "pull by digest")
    check(dev.push(changed, "v1", "app:v3"), False, "a push by dev is refused", "denied")
    check(ci.push(first, "v1", "elsewhere:v1"), False, "a push elsewhere is refused", "Forbidden")
    listed = ci.run("list-tags", "--cert-dir", ci.certs, f"docker://{ci.host}/app")
    check(listed, True, "list of tags", '"v2"')
    seen = dev.run("inspect", "--raw", "--cert-dir", dev.certs, f"docker://{dev.host}/app:v1")
    report.ok(seen[0] and labs.digest_of(seen[1].encode()) == digest, f"skopeo, {scheme} upstream: the digest is what was pushed", seen[1][:200])
    # without our CA it must not talk to us
    untrusting = Skopeo(lab, g, "untrusting")
    ok, said = untrusting.run("inspect", f"docker://{untrusting.host}/app:v1")
    report.ok(not ok and "unknown authority" in said, f"skopeo, {scheme} upstream: without the CA it refuses us", said[-300:])
    ok, said = g.verify()
    report.ok(ok, f"skopeo, {scheme} upstream: audit verify: {said}")
    g.stop()
    registry.stop()


def run(lab, report):
    for scheme in ("plain", "tls"):
        one(lab, report, scheme)
