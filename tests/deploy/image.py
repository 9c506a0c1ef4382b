# image.py - the image: built without a network, held to what it promises, and run by the line of deploy/README.md.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import tarfile

import containers
import lab as labs
import sample as samples

README = "deploy/README.md"
NAME = "tidewaiter:0.1.0"


def build(report, docker):
    ok, said = docker.base("base-build", [*containers.image_packages(), "apt"])
    if not report.ok(ok, "a base image out of this machine's packages", said):
        return False
    line = samples.block(README, "sh docker-build").strip()
    line = line.replace("docker build ", "docker build --network none --build-arg BUILD_BASE=base-build ")
    ok, said = docker.shell(line, labs.ROOT)
    return report.ok(ok, f"built without a network: {line}", said[-3000:])


# what docker puts into every container
DOCKERS = {".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"}


def contents(docker):
    """{path: TarInfo} of the image."""
    path = os.path.join(docker.dir, "image.tar")
    for step in (("create", "--name", "contents", NAME), ("export", "-o", path, "contents")):
        ok, said = docker.run(*step)
        if not ok:
            raise RuntimeError(f"docker {step[0]}: {said}")
    with tarfile.open(path) as tar:
        return {m.name.rstrip("/"): m for m in tar.getmembers() if m.name not in DOCKERS}


def promises(report, docker):
    config = json.loads(docker.run("inspect", NAME)[1])[0]
    report.ok(config["Config"]["User"] == "65532:65532", "runs as a number that is not root's")
    files = contents(docker)
    programs = sorted(n for n, m in files.items() if m.isfile() and m.mode & 0o111 and ".so" not in n)
    report.ok(programs == ["usr/sbin/tidewaiter"], "one program, no shell", repr(programs))
    report.ok(not [n for n, m in files.items() if m.mode & 0o6000 or m.isfile() and m.mode & 0o022],
              "no set-uid file, nothing that others may write")
    own = [n for n, m in files.items() if m.uid == 65532]
    report.ok(sorted(own) == ["var/lib/tidewaiter", "var/log/tidewaiter"], "the account owns its two directories, nothing else", repr(own))
    report.ok({"var/lib/dpkg/status.d/libssl3", "var/lib/dpkg/status.d/libc6", "usr/share/doc/tidewaiter/LICENSE",
               "etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/Europe/Berlin"} <= set(files),
              "records of packages for scanners, certificates, time zones, the licence")
    print(f"  note   {config['Size'] / 1e6:.1f} MB, {len(files)} files")
    ok, said = docker.run("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", NAME, "version")
    report.ok(ok and said.startswith("tidewaiter "), "says its version", said)


def health(report, docker, sample):
    """Its own network: the ports of the example, and the image's health check as it is."""
    with open(samples.EXAMPLE) as f:
        sample.file("gateway.conf", f.read().encode())
    os.chown(f"{sample.dir}/gateway.conf", 65532, 65532)
    ok, said = docker.run("run", "--detach", "--name", "health", "--network", "none", "--read-only", "--cap-drop", "ALL",
                          "--health-interval", "1s", "--volume", f"{sample.dir}:/etc/tidewaiter:ro", NAME)
    state = lambda: docker.run("inspect", "--format", "{{.State.Health.Status}}", "health")[1].strip()
    labs.wait_for(lambda: state() in ("healthy", ""), 30, 0.5)
    report.ok(ok and state() == "healthy", "gateway.conf.example as it is, in the image: healthy", said + docker.run("logs", "health")[1])
    docker.run("stop", "health")
    code = docker.run("inspect", "--format", "{{.State.ExitCode}}", "health")[1].strip()
    report.ok(code == "0", "docker stop: it drains and ends well", code)


def serve(report, lab, docker, sample, url):
    """The line of the document, literally, from a directory with conf/."""
    sample.configure(url)
    line = samples.block(README, "sh docker-run")
    started = lambda: labs.wait_for(lambda: labs.port_open(sample.port), 20)
    ok, said = docker.shell(line, lab.dir)
    if not report.ok(ok and started(), "the docker run line of deploy/README.md", said + docker.run("logs", "tidewaiter")[1]):
        return
    token = sample.token(audience=samples.AUDIENCE)
    containers.push_and_pull(report, lab, sample, token, "in the container")
    ok, said = docker.run("exec", "tidewaiter", "/usr/sbin/tidewaiter", "audit", "verify", "/var/log/tidewaiter/audit")
    report.ok(ok, f"audit verify in the container: {said.strip()}")
    ok, said = docker.run("exec", "tidewaiter", "/bin/sh", "-c", "true")
    report.ok(not ok, "there is no shell to be had")
    ok, said = docker.run("diff", "tidewaiter")
    report.ok(ok and not [s for s in said.splitlines() if s[:1] in "ACD" and not s.startswith(("C /etc", "A /etc/mtab"))
                          and not s[2:].startswith(("/dev", "/proc", "/sys", "/run"))], "nothing is written but to its volumes", said)
    # a new container, the old volumes: the memory of tags is there
    docker.run("rm", "--force", "tidewaiter")
    ok, said = docker.shell(line, lab.dir)
    report.ok(ok and started(), "a new container on the same volumes", said)
    containers.push_and_pull(report, lab, sample, token, "in the new container")
    docker.run("stop", "tidewaiter")


def run(lab, report):
    docker = containers.start(lab, report, "the image")
    if docker is None or not build(report, docker):
        return
    promises(report, docker)
    sample = samples.Sample(os.path.join(lab.dir, "conf"), "/etc/tidewaiter")
    other = samples.Sample(os.path.join(lab.dir, "health"), "/etc/tidewaiter")
    for root, _, names in os.walk(other.dir):
        for n in [root] + [os.path.join(root, n) for n in names]:
            os.chown(n, 65532, 65532)
    health(report, docker, other)
    serve(report, lab, docker, sample, sample.registry(lab, "image-registry"))
    docker.close()
