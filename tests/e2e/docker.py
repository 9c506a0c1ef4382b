# docker.py - Debian's dockerd and docker through the gateway.
#
# The daemon is started here, without networks, with everything below the lab's directory. A registry on a loopback
# address is trusted by dockerd without a CA, so what is shown here is not that certificates are checked (skopeo's is).
# SPDX-License-Identifier: Apache-2.0
import os
import subprocess

import images
import lab as labs


class Docker:
    def __init__(self, lab):
        self.dir = os.path.join(lab.dir, "docker")
        os.makedirs(self.dir)
        self.socket = f"unix://{self.dir}/d.sock"
        self.daemon = lab.process(["dockerd", "--iptables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false",
                                   "--storage-driver", "vfs", "--data-root", f"{self.dir}/data", "--exec-root",
                                   f"{self.dir}/exec", "--pidfile", f"{self.dir}/pid", "-H", self.socket], "dockerd")
        # the image may bring another docker command: the one that belongs to the daemon is meant
        self.command = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"

    def ready(self):
        return labs.wait_for(lambda: not self.daemon.alive() or self.run("ci", "version")[0], 60, 0.5) and self.daemon.alive()

    def run(self, who, *args, data=None):
        """(did it succeed, what it said), with the logins of `who`"""
        p = subprocess.run([self.command, *args], input=data, capture_output=True, timeout=180,
                           env={**os.environ, "DOCKER_HOST": self.socket, "DOCKER_CONFIG": f"{self.dir}/{who}",
                                "DOCKER_BUILDKIT": "0", "HOME": self.dir})
        return p.returncode == 0, (p.stdout + p.stderr).decode(errors="replace")

    def build(self, name, note):
        """Two layers from scratch. What it said when it failed."""
        context = os.path.join(self.dir, "context")
        os.makedirs(context, exist_ok=True)
        for i, data in enumerate((b"the same in all" * 1000, note.encode() * 1000)):
            with open(os.path.join(context, f"file{i}"), "wb") as f:
                f.write(data)
        with open(os.path.join(context, "Dockerfile"), "w") as f:
            f.write('FROM scratch\nCOPY file0 /file0\nCOPY file1 /file1\nCMD ["/file0"]\n')
        return self.run("ci", "build", "-q", "-t", name, context)


def one(lab, report, docker, scheme):
    registry, url = lab.registry(f"docker-registry-{scheme}", tls=scheme == "tls")
    g = labs.Gateway(lab, f"docker-{scheme}", url, ca_file=lab.ca if scheme == "tls" else None).start()
    host = f"localhost:{g.port}"
    image = f"{host}/app"

    def check(result, good, name, words=""):
        return report.ok(result[0] == good and words in result[1], f"docker, {scheme} upstream: {name}", result[1][-500:])

    def login(who, token):
        return docker.run(who, "login", "-u", "jwt", "--password-stdin", host, data=token.encode())

    def puts(tag):
        return [e for e in g.requests() if e["action"] == "manifest.put" and e["registry"]["tag"] == tag]
    check(login("ci", lab.signer.token("ci")), True, "login as ci", "Login Succeeded")
    check(login("dev", lab.signer.token("dev")), True, "login as dev", "Login Succeeded")
    check(login("bad", "not-a-token"), False, "login with a bad token", "401 Unauthorized")
    tar = images.tar_of({"hello": b"hello " * 1000})
    check(docker.run("ci", "import", "-", f"{image}:v1", data=tar), True, "image made by import")
    check(docker.build(f"{image}:two", f"two {scheme}"), True, "image of two layers made by build")
    check(docker.run("ci", "push", f"{image}:v1"), True, "push")
    check(docker.run("ci", "push", f"{image}:two"), True, "push of two layers")
    check(docker.run("ci", "push", f"{image}:two"), True, "the same push again")
    before = len(puts("two"))
    check(docker.build(f"{image}:two", f"changed {scheme}"), True, "the image is changed")
    check(docker.run("ci", "push", f"{image}:two"), False, "a changed image is refused, in our words",
          "denied: tag exists and is immutable")
    report.ok(labs.wait_for(lambda: len(puts("two")) > before) and len(puts("two")) == before + 1,
              f"docker, {scheme} upstream: ... with one PUT", repr(puts("two")))
    pushed = next((e["registry"]["digest"] for e in puts("two") if e["decision"] == "allow"), "sha256:none")
    docker.run("ci", "rmi", "-f", f"{image}:two", f"{image}:v1")
    check(docker.run("dev", "pull", f"{image}:two"), True, "pull by tag, as dev", pushed)
    check(docker.run("dev", "pull", f"{image}@{pushed}"), True, "pull by digest, as dev", pushed)
    check(docker.run("dev", "tag", f"{image}:two", f"{image}:dev"), True, "tag")
    check(docker.run("dev", "push", f"{image}:dev"), False, "a push by dev is refused", "denied")
    check(docker.run("nobody", "pull", f"{image}:two"), False, "a pull without login is refused")
    ok, said = g.verify()
    report.ok(ok, f"docker, {scheme} upstream: audit verify: {said}")
    g.stop()
    registry.stop()


def run(lab, report):
    if os.geteuid() != 0:
        report.ok(False, "docker: the daemon needs root; run the tests as root")
        return
    docker = Docker(lab)
    if not report.ok(docker.ready(), "dockerd starts", docker.daemon.tail()):
        return
    for scheme in ("plain", "tls"):
        one(lab, report, docker, scheme)
    docker.daemon.stop(seconds=30)
