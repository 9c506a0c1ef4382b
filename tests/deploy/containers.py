# containers.py - a docker daemon that builds and runs images, and what the tests of this folder do in them.
#
# Base images are made of this machine's own packages (base.py) and kept as tar files below build/deploy until one of
# the packages changes.
# SPDX-License-Identifier: Apache-2.0
import hashlib
import os
import re
import subprocess

import adapters
import base
import lab as labs

CACHE = os.path.join(labs.ROOT, "build", "deploy")


class Daemon(adapters.Docker):
    driver = ""     # what docker thinks best: overlay2 if it can be; vfs copies a base image at every step

    def run(self, *args, data=None, seconds=300, **_):
        docker = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"
        return adapters.command([docker, *args], self.env(), data, seconds)

    def env(self):
        return {"DOCKER_HOST": self.socket, "DOCKER_CONFIG": "/nonexistent", "DOCKER_BUILDKIT": "0", "HOME": self.dir}

    def shell(self, text, directory):
        """Lines of a document, as they stand there."""
        # the docker command that belongs to the daemon, and no sudo where there may be none: we are root
        shims = os.path.join(self.dir, "shims")
        os.makedirs(shims, exist_ok=True)
        for name, argv in (("docker", "/usr/bin/docker"), ("sudo", "")):
            path = os.path.join(shims, name)
            with open(path, "w") as f:
                f.write(f'#!/bin/sh\nexec {argv} "$@"\n')
            os.chmod(path, 0o755)
        p = subprocess.run(["sh", "-euc", text], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           env={**os.environ, **self.env(), "PATH": shims + ":" + os.environ["PATH"]}, timeout=600)
        return p.returncode == 0, p.stdout

    def base(self, name, packages):
        """Import a base image of these packages."""
        versions = "".join(base.field(p, "Package") + base.field(p, "Version") + "\n" for p in base.closure(packages).values())
        mark = hashlib.sha256((versions + open(base.__file__).read()).encode()).hexdigest()[:16]
        os.makedirs(CACHE, exist_ok=True)
        tar = os.path.join(CACHE, f"{name}-{mark}.tar")
        if not os.path.exists(tar):
            for old in os.listdir(CACHE):
                if old.startswith(name + "-"):
                    os.unlink(os.path.join(CACHE, old))
            base.write(tar + ".part", packages)
            os.rename(tar + ".part", tar)
        return self.run("import", tar, name)


def image_packages():
    """What `deploy/install-deps image` would install: its own list."""
    with open(os.path.join(labs.ROOT, "deploy/install-deps")) as f:
        text = f.read()
    build = re.search(r'(?s)^BUILD="(.*?)"', text, re.M).group(1)
    return re.search(r'(?m)^image\) want="(.*?)"', text).group(1).replace("$BUILD", build).split()


def start(lab, report, what):
    """The daemon, or None: without root, or where the kernel lets no daemon run, and then says so."""
    if os.geteuid() != 0:
        print(f"  note   skipped: {what} (dockerd needs root)")
        return None
    daemon = Daemon(lab)
    if not daemon.ready():
        print(f"  note   skipped: {what} (dockerd does not run here: {daemon.daemon.tail(3)})")
        return None
    return daemon


class At:
    """What labs.Client wants to know of a gateway that was not started by the lab."""

    def __init__(self, sample):
        self.port, self.lab = sample.port, sample       # its .ca
        self.name = os.path.basename(sample.dir)


def push_and_pull(report, lab, sample, token, what, name="shop/app:v1"):
    """skopeo through the gateway: what is pushed comes back, and another image does not take its tag."""
    skopeo = lab.skopeo = getattr(lab, "skopeo", None) or adapters.Skopeo(lab)
    with open(sample.ca, "rb") as f, open(os.path.join(skopeo.certs, "ca.crt"), "wb") as g:
        g.write(f.read())
    session = adapters.SkopeoSession(skopeo, At(sample), "ci")
    first, other = skopeo.make("first"), skopeo.make("other")
    ok, said = session.login(token.encode())
    report.ok(ok, f"{what}: login", said)
    ok, said = session.push(first, name)
    report.ok(ok, f"{what}: push", said)
    ok, said = session.push(other, name)
    report.ok(not ok and "tag exists and is immutable" in said, f"{what}: another image under the tag is refused", said)
    ok, said = session.pull(name)
    report.ok(ok, f"{what}: pull", said)
