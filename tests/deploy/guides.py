# guides.py - deploy/guides: every command in them is run, every file in them is used, with the real clients.
#
# What differs from the page: the gateway's name and port, sudo (there is none), and directories of the system, which lie below
# the lab.
# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import subprocess

import adapters
import containers
import lab as labs
import sample as samples
import yaml

GUIDES = "deploy/guides/"


class Page:
    """A guide, told for one gateway."""

    def __init__(self, name, sample, directory):
        self.name, self.sample, self.dir = name, sample, directory
        self.document = GUIDES + name
        self.changes = {"registry.example.com:5443": f"localhost:{sample.port}"}
        os.makedirs(directory, exist_ok=True)
        shutil.copy(sample.ca, os.path.join(directory, "ca.crt"))
        with open(os.path.join(directory, "token.jwt"), "w") as f:
            f.write(sample.token())

    def told(self, text):
        for a, b in self.changes.items():
            text = text.replace(a, b)
        return text

    def blocks(self, info="sh"):
        return [self.told(b) for b in samples.blocks(self.document, info)]

    def file(self, info, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(self.told(samples.block(self.document, info)))

    def run(self, report, text, env):
        """Each line of a block by itself, so that a failure has a name."""
        for line in text.replace("\\\n", " ").splitlines():
            p = subprocess.run(["sh", "-c", line], cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                               env={**os.environ, **env})
            said = p.stdout.decode(errors="replace")
            if not report.ok(p.returncode == 0, f"{self.name}: {' '.join(line.split())}", said[-1000:]):
                return

    def refused(self, report, ok, said):
        """The refusal that the page shows, as this client says it."""
        words = "tag exists and is immutable; push under a new tag"
        with open(os.path.join(labs.ROOT, self.document)) as f:
            text = f.read()
        report.ok(not ok and words in said and words in text, f"{self.name}: a refusal, in the words of the page", said[-1000:])
        return text


def shims(directory, **commands):
    """A directory of commands to put first on PATH: name=what it stands for."""
    os.makedirs(directory, exist_ok=True)
    for name, argv in {"sudo": "", **commands}.items():
        path = os.path.join(directory, name)
        with open(path, "w") as f:
            f.write(f'#!/bin/sh\nexec {argv} "$@"\n')
        os.chmod(path, 0o755)
    return directory + ":" + os.environ["PATH"]


def docker(lab, report, sample):
    daemon = containers.start(lab, report, "docker.md")
    if daemon is None:
        return
    page = Page("docker.md", sample, os.path.join(lab.dir, "docker-page"))
    # the daemon trusts a loopback address without it: here the copy is tried, not what it is for
    page.changes["/etc/docker"] = os.path.join(page.dir, "etc-docker")
    env = {**daemon.env(), "DOCKER_CONFIG": page.dir + "/config", "PATH": shims(page.dir + "/shims", docker="/usr/bin/docker")}
    for note, name in (("first", "app"), ("other", "other")):
        daemon.run("tag", daemon.make(note), name)
    for block in page.blocks():
        page.run(report, block, env)
    again = page.told("docker login -u jwt --password-stdin registry.example.com:5443 < token.jwt >/dev/null 2>&1; "
                      "docker tag other registry.example.com:5443/shop/app:v1; docker push registry.example.com:5443/shop/app:v1")
    page.refused(report, *adapters.command(["sh", "-c", f"cd {page.dir}; {again}"], env))
    daemon.close()


def podman(lab, report, sample):
    page = Page("podman.md", sample, os.path.join(lab.dir, "p"))    # podman wants short paths
    # podman packs layers its own way: to the gateway it is another image, and docker's has the tag
    page.changes["/shop/app"] = "/shop/podman"
    tool = adapters.Podman(lab)
    options = f"--root {page.dir}/root --runroot {page.dir}/run --storage-driver vfs --cgroup-manager cgroupfs --events-backend file"
    env = {"HOME": page.dir, "XDG_RUNTIME_DIR": page.dir, "REGISTRY_AUTH_FILE": f"{page.dir}/auth.json", "DOCKER_CONFIG": "/nonexistent",
           "CONTAINERS_REGISTRIES_CONF": f"{page.dir}/.config/containers/registries.conf",
           "PATH": shims(page.dir + "/shims", podman="/usr/bin/podman " + options)}
    page.file("toml registries.conf", f"{page.dir}/.config/containers/registries.conf")
    with open(f"{page.dir}/auth.json", "w") as f:
        f.write("{}")
    for note, name in (("first", "app"), ("other", "other")):
        layout = adapters.Tool.make(tool, note)
        ok, said = adapters.command(["sh", "-c", f"podman pull -q oci:{layout}:made"], env)
        adapters.command(["sh", "-c", f"podman tag {said.split()[-1]} {name}"], env)
    for block in page.blocks():
        page.run(report, block, env)
    ok, said = adapters.command(["sh", "-c", "podman pull docker.io/library/debian"], env)
    report.ok(not ok and "blocked" in said, "podman.md: a registry that is blocked there is not asked", said)
    again = page.told("podman tag other registry.example.com:5443/shop/app:v1; podman push registry.example.com:5443/shop/app:v1")
    page.refused(report, *adapters.command(["sh", "-c", again], env))


def containerd(lab, report, sample):
    tool = adapters.Ctr(lab)
    page = Page("containerd.md", sample, os.path.join(lab.dir, "containerd-page"))
    etc = os.path.join(page.dir, "etc")
    page.changes["/etc/containerd"] = etc
    host = f"localhost:{sample.port}"
    page.file("toml certs.d/registry.example.com:5443/hosts.toml", f"{etc}/certs.d/{host}/hosts.toml")
    page.file("toml certs.d/harbor.internal/hosts.toml", f"{etc}/certs.d/harbor.internal/hosts.toml")
    shutil.copy(sample.ca, f"{etc}/certs.d/{host}/ca.crt")
    page.file("toml config.toml", f"{etc}/config.toml")
    ok, said = adapters.command(["containerd", "--config", f"{etc}/config.toml", "config", "dump"])
    report.ok(ok and f'config_path = "{etc}/certs.d"' in said, "containerd.md: config.toml is understood", said[-1000:])
    if not report.ok(tool.ready(), "containerd starts", tool.daemon.tail()):
        return
    env = {"PATH": shims(page.dir + "/shims"), "CONTAINERD_ADDRESS": f"{tool.dir}/c.sock", "CONTAINERD_SNAPSHOTTER": "native"}
    for block in page.blocks():
        page.run(report, block, env)
    other = tool.make("changed")
    tool.load(other)
    again = page.told('ctr images push --hosts-dir /etc/containerd/certs.d --user "jwt:$(cat token.jwt)" '
                      f"registry.example.com:5443/shop/app:v1 {other}")
    page.refused(report, *adapters.command(["sh", "-c", f"cd {page.dir}; {again}"], env))
    tool.close()


def nodes(lab, report, sample):
    """The files and commands of a node; and a pod as Kubernetes would read it."""
    page = Page("kubernetes-nodes.md", sample, os.path.join(lab.dir, "nodes-page"))
    page.changes["/etc/containerd"] = os.path.join(page.dir, "etc")
    open(os.path.join(page.dir, "hosts.toml"), "w").close()
    first, second = page.blocks()
    page.run(report, first, {"PATH": shims(page.dir + "/shims")})
    create = second.replace("\\\n", " ").splitlines()[0]
    if shutil.which("kubectl"):
        ok, said = adapters.command(["sh", "-c", f"cd {page.dir}; {create} --dry-run=client -o yaml"], {"KUBECONFIG": "/dev/null"})
        report.ok(ok and ".dockerconfigjson:" in said, "kubernetes-nodes.md: kubectl makes the secret", said)
    else:
        print("  note   skipped: kubectl create secret (kubectl is not installed)")
    pod = yaml.safe_load(page.blocks("yaml")[0])
    report.ok(pod["spec"]["imagePullSecrets"][0]["name"] in create.split(), "kubernetes-nodes.md: the pod names that secret")


def run(lab, report):
    sample = samples.Sample(os.path.join(lab.dir, "sample"))
    sample.configure(sample.registry(lab, "guides-registry"))
    sample.state_here()
    p = lab.process([labs.BINARY, "run", "-c", f"{sample.dir}/gateway.conf"], "guides-gateway")
    if not report.ok(labs.wait_for(lambda: not p.alive() or labs.port_open(sample.port)) and p.alive(), "a gateway", p.tail()):
        return
    for part in (docker, podman, containerd, nodes):
        part(lab, report, sample)
    for name in sorted(os.listdir(os.path.join(labs.ROOT, GUIDES))):
        with open(os.path.join(labs.ROOT, GUIDES, name)) as f:
            lines = f.readlines()
        n, parts = len(lines), sum(line.startswith("## ") for line in lines)
        report.ok(n <= max(60, 20 * parts), f"{name} is short: {n} lines")
