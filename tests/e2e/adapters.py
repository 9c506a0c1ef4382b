# adapters.py - five registry clients behind one interface: what clients.py asks of each, in that client's own commands.
#
# A Tool is one client on this machine (with its daemon, if it has one), everything below the lab's directory; a Session
# is the tool as one person towards one gateway. Each verb answers (did it succeed, what it said); a verb that a client
# does not have is None.
# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import subprocess

import images
import lab as labs


def command(argv, env=None, data=None, seconds=120):
    try:
        p = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                           env={**os.environ, **(env or {})})
    except subprocess.TimeoutExpired as e:
        return False, f"{argv[0]} did not end in {seconds} s: {(e.stdout or b'').decode(errors='replace')}"
    return p.returncode == 0, p.stdout.decode(errors="replace")


class Tool:
    name = needs = None

    def __init__(self, lab):
        self.lab = lab
        self.dir = os.path.join(lab.dir, self.name)
        os.makedirs(self.dir)
        self.certs = os.path.join(self.dir, "certs")    # *.crt only: a key without its certificate is an error
        os.makedirs(self.certs)
        shutil.copy(lab.ca, os.path.join(self.certs, "ca.crt"))
        self.daemon = None

    def ready(self):
        return True

    def make(self, note):
        """A local image that differs with the note: what push() takes. Raises when it cannot be made."""
        layout = os.path.join(self.dir, "layout-" + note)
        images.oci_layout(layout, "made", note=note)
        return layout

    def close(self):
        if self.daemon:
            self.daemon.stop(seconds=30)


class Session:
    """who: the name of this person's credentials; a new one has none."""

    logout = list = delete = None

    def __init__(self, tool, gateway, who):
        self.tool, self.host = tool, f"localhost:{gateway.port}"
        self.dir = os.path.join(tool.dir, f"{gateway.name}-{who}")
        os.makedirs(self.dir, exist_ok=True)
        self.auth = os.path.join(self.dir, "auth.json")
        if not os.path.exists(self.auth):
            with open(self.auth, "w") as f:
                f.write("{}")       # podman wants one to be there


# ---- skopeo, podman, buildah: three commands around one library ----

class SkopeoSession(Session):
    def run(self, *args, data=None):
        return command(["skopeo", *args], {"REGISTRY_AUTH_FILE": self.auth, "DOCKER_CONFIG": "/nonexistent"}, data)

    def login(self, token):
        return self.run("login", "-u", "jwt", "--password-stdin", "--cert-dir", self.tool.certs, self.host, data=token)

    def push(self, image, name):
        return self.run("copy", "--preserve-digests", "--dest-cert-dir", self.tool.certs, f"oci:{image}:made",
                        f"docker://{self.host}/{name}")

    def pull(self, name):
        target = os.path.join(self.dir, "pulled")
        shutil.rmtree(target, ignore_errors=True)
        ok, said = self.run("copy", "--src-cert-dir", self.tool.certs, f"docker://{self.host}/{name}", f"dir:{target}")
        if ok:
            with open(os.path.join(target, "manifest.json"), "rb") as f:
                said += labs.digest_of(f.read())
        return ok, said

    def list(self, name):
        return self.run("list-tags", "--cert-dir", self.tool.certs, f"docker://{self.host}/{name}")

    def delete(self, name):
        return self.run("delete", "--cert-dir", self.tool.certs, f"docker://{self.host}/{name}")


class Skopeo(Tool):
    name, needs, session = "skopeo", ("skopeo",), SkopeoSession


class StorageSession(Session):
    def run(self, *args, **kw):
        return self.tool.run(*args, env={"REGISTRY_AUTH_FILE": self.auth, "DOCKER_CONFIG": "/nonexistent", **kw.pop("env", {})}, **kw)

    def login(self, token):
        return self.run("login", "-u", "jwt", "--password-stdin", "--cert-dir", self.tool.certs, self.host, data=token)

    def push(self, image, name):
        return self.run("push", "--cert-dir", self.tool.certs, image, f"docker://{self.host}/{name}")

    def pull(self, name):
        store = os.path.join(self.tool.dir, "s")    # an empty one: all of the image must come. podman wants short paths
        shutil.rmtree(store, ignore_errors=True)
        ok, said = self.run("pull", "--cert-dir", self.tool.certs, f"docker://{self.host}/{name}", store=store)
        if ok:
            said += self.run("inspect", "--type", "image", f"{self.host}/{name}", store=store)[1]
        return ok, said


class Storage(Tool):
    """What has a store of its own, where layers lie unpacked: they are compressed anew when they are pushed."""

    options = ()

    def run(self, *args, env=None, data=None, store=None):
        store = store or self.dir
        return command([self.name, "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "vfs",
                        *self.options, *args], {"HOME": self.dir, **(env or {})}, data)

    def make(self, note):
        ok, said = self.run("pull", "-q", f"oci:{super().make(note)}:made")
        if not ok:
            raise RuntimeError(f"{self.name} pull of a local layout: {said}")
        return said.split()[-1]


class PodmanSession(StorageSession):
    def list(self, name):
        # search knows no --cert-dir
        return self.run("search", "--list-tags", f"{self.host}/{name}", env={"SSL_CERT_FILE": self.tool.lab.ca})


class Podman(Storage):
    name, needs, session = "podman", ("podman",), PodmanSession
    options = ("--cgroup-manager", "cgroupfs", "--events-backend", "file")


class Buildah(Storage):
    name, needs, session = "buildah", ("buildah",), StorageSession


# ---- docker ----

class DockerSession(Session):
    def run(self, *args, data=None):
        return self.tool.run(*args, config=self.dir, data=data)

    def login(self, token):
        return self.run("login", "-u", "jwt", "--password-stdin", self.host, data=token)

    def push(self, image, name):
        for step in (("load", "-q", "-i", os.path.join(self.tool.dir, image + ".tar")), ("tag", image, f"{self.host}/{name}"),
                     ("push", f"{self.host}/{name}")):
            ok, said = self.run(*step)
            if not ok:
                break
        return ok, said

    def pull(self, name):
        # nothing of it may be here, or nothing is fetched
        self.run("rmi", "-f", *self.run("images", "-q", "-a")[1].split())
        return self.run("pull", f"{self.host}/{name}")


class Docker(Tool):
    """
    Debian's daemon, without networks. It trusts a registry on a loopback address without a CA, so what is shown with
    it is not that certificates are checked (skopeo's is).
    """

    name, needs, session = "docker", ("dockerd",), DockerSession
    driver = "vfs"      # runs everywhere

    def __init__(self, lab):
        super().__init__(lab)
        self.socket = f"unix://{self.dir}/d.sock"
        self.daemon = lab.process(["dockerd", "--iptables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false",
                                   "--storage-driver", self.driver, "--data-root", f"{self.dir}/data", "--exec-root",
                                   f"{self.dir}/exec", "--pidfile", f"{self.dir}/pid", "-H", self.socket], "dockerd")

    def run(self, *args, config="/nonexistent", data=None):
        # another docker command may come first on PATH: the one that belongs to the daemon is meant
        docker = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"
        return command([docker, *args], {"DOCKER_HOST": self.socket, "DOCKER_CONFIG": config, "DOCKER_BUILDKIT": "0",
                                         "HOME": self.dir}, data)

    def ready(self):
        return labs.wait_for(lambda: not self.daemon.alive() or self.run("version")[0], 60, 0.2) and self.daemon.alive()

    def make(self, note):
        context = os.path.join(self.dir, "context-" + note)
        os.makedirs(context, exist_ok=True)
        for i, data in enumerate((b"the same in all" * 1000, note.encode() * 1000)):
            with open(os.path.join(context, f"file{i}"), "wb") as f:
                f.write(data)
        with open(os.path.join(context, "Dockerfile"), "w") as f:
            f.write(f'FROM scratch\nLABEL note={note}\nCOPY file0 /file0\nCOPY file1 /file1\nCMD ["/file0"]\n')
        for step in (("build", "-q", "-t", f"made:{note}", context),
                     ("save", "-o", os.path.join(self.dir, f"made:{note}.tar"), f"made:{note}")):
            ok, said = self.run(*step)
            if not ok:
                raise RuntimeError(f"docker {step[0]}: {said}")
        return f"made:{note}"


# ---- containerd ----

class CtrSession(Session):
    def __init__(self, tool, gateway, who):
        super().__init__(tool, gateway, who)
        hosts = os.path.join(tool.dir, "hosts", self.host)
        os.makedirs(hosts, exist_ok=True)
        with open(os.path.join(hosts, "hosts.toml"), "w") as f:
            f.write(f'server = "https://{self.host}"\ncapabilities = ["pull", "resolve", "push"]\nca = "{tool.lab.ca}"\n[host]\n')
        self.user = []

    def login(self, token):
        """ctr has no login: each command brings the credentials, so this only keeps them."""
        self.user = ["--user", "jwt:" + token.decode()]
        return True, ""

    def push(self, image, name):
        ok, said = self.tool.load(image)
        return (ok, said) if not ok else self.tool.run("images", "push", "--hosts-dir", f"{self.tool.dir}/hosts", *self.user, f"{self.host}/{name}", image)

    def pull(self, name):
        for image in self.tool.run("images", "ls", "-q")[1].split():
            self.tool.run("images", "rm", "--sync", image)
        ok, said = self.tool.run("images", "pull", "--hosts-dir", f"{self.tool.dir}/hosts", "--snapshotter", "native", *self.user,
                                 f"{self.host}/{name}")
        return ok, said + self.tool.run("images", "ls")[1]


class Ctr(Tool):
    name, needs, session = "ctr", ("containerd", "ctr"), CtrSession

    def __init__(self, lab):
        super().__init__(lab)
        conf = os.path.join(self.dir, "config.toml")
        disabled = ", ".join(f'"io.containerd.{p}"' for p in
                             ("grpc.v1.cri", "snapshotter.v1.btrfs", "snapshotter.v1.zfs", "snapshotter.v1.devmapper",
                              "snapshotter.v1.aufs"))
        with open(conf, "w") as f:
            f.write(f'version = 2\nroot = "{self.dir}/root"\nstate = "{self.dir}/state"\ndisabled_plugins = [{disabled}]\n'
                    f'[grpc]\naddress = "{self.dir}/c.sock"\n[ttrpc]\naddress = "{self.dir}/t.sock"\n')
        self.daemon = lab.process(["containerd", "-c", conf], "containerd")

    def run(self, *args):
        return command(["ctr", "--address", f"{self.dir}/c.sock", *args])

    def ready(self):
        return labs.wait_for(lambda: not self.daemon.alive() or self.run("version")[0], 30, 0.1) and self.daemon.alive()

    def load(self, image):
        return self.run("images", "import", "--no-unpack", "--base-name", image.partition(":")[0],
                        os.path.join(self.dir, image.replace("/", "-") + ".tar"))

    def make(self, note):
        image = f"made.test/{note}:made"
        ok, said = command(["tar", "-C", super().make(note), "-cf", os.path.join(self.dir, image.replace("/", "-") + ".tar"), "."])
        if not ok:
            raise RuntimeError("tar: " + said)
        return image


ALL = (Docker, Podman, Skopeo, Buildah, Ctr)
