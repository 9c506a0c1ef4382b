# service.py - the unit under a real systemd: installed, started, confined, reloaded, killed, stopped.
#
# systemd is the first process of a container here, which gets the rights that systemd needs to confine others. Limits that
# such a container cannot set (it may lack CAP_SYS_RESOURCE) systemd passes over.
# SPDX-License-Identifier: Apache-2.0
import os
import re
import shutil

import adapters
import base
import containers
import install
import lab as labs
import sample as samples

RIGHTS = ("SYS_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH")
MASKED = ("systemd-networkd", "systemd-networkd-wait-online", "systemd-resolved", "systemd-timesyncd", "systemd-firstboot",
          "systemd-sysctl", "systemd-modules-load", "systemd-udevd", "systemd-udev-trigger", "systemd-logind", "getty@tty1")


class Machine:
    """A container with systemd in it, on this machine's network."""

    def __init__(self, docker, lab):
        self.docker, self.lab = docker, lab

    def boot(self):
        d = self.docker
        ok, said = d.run("create", "--name", "machine", "--network", "host", *(x for r in RIGHTS for x in ("--cap-add", r)),
                         "--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined",
                         "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--env", "container=docker", "base-systemd",
                         "/lib/systemd/systemd")
        # the network is this machine's: nothing in there may touch it, or wait for it
        masked = os.path.join(self.lab.dir, "masked")
        os.makedirs(masked)
        for name in MASKED:
            os.symlink("/dev/null", os.path.join(masked, name + ".service"))
        for step in (("cp", masked + "/.", "machine:/etc/systemd/system"), ("start", "machine")):
            ok, said = (ok, said) if not ok else d.run(*step)
        up = lambda: self.sh("systemctl is-system-running")[1].strip() in ("running", "degraded")
        return ok and labs.wait_for(up, 30, 0.2), said + d.run("logs", "machine")[1]

    def sh(self, text):
        return self.docker.run("exec", "machine", "sh", "-c", text)

    def show(self, name):
        return self.sh(f"systemctl show -P {name} tidewaiter")[1].strip()

    def journal(self):
        return self.sh("journalctl --no-pager -n 40 -u tidewaiter")[1][-3000:]


def set_up(report, m, sample):
    """deploy/README.md, from `make install` on; the files of the configuration come with docker cp."""
    where = os.path.join(m.lab.dir, "installed")
    ok, said = install.make("install", where)
    report.ok(ok, "make install PREFIX=/usr", said)
    shutil.copy(samples.EXAMPLE, where)
    for source in (where + "/.", ):
        ok, said = m.docker.run("cp", source, "machine:/")
        report.ok(ok, "installed in the machine", said)
    lines = [s for s in samples.block("deploy/README.md", "sh systemd").splitlines() if not re.match(r"make|sudo make", s)]
    ok, said = m.sh("set -e; cd /; sudo() { \"$@\"; }; " + "\n".join(lines))
    report.ok(ok, "the lines of deploy/README.md: account, directories, key", said)
    os.unlink(f"{sample.dir}/cluster.key")     # the one that these lines made stays
    m.docker.run("cp", sample.dir + "/.", "machine:/etc/tidewaiter")
    ok, said = m.sh("cd /etc/tidewaiter && chown -R root:tidewaiter . && chmod -R u=rwX,g=rX,o= . && "
                    "chown tidewaiter: tls-ec.key harbor.password cluster.key && chmod 600 tls-ec.key harbor.password cluster.key")
    report.ok(ok, "configuration in place", said)
    lines = [s for s in samples.block("deploy/README.md", "sh systemctl").splitlines()]
    return m.sh("set -e; sudo() { \"$@\"; }; " + "\n".join(lines))


def confined(report, m):
    pid = m.show("MainPID")
    status = dict(re.findall(r"(?m)^(\w+):\s*(.*)$", m.sh(f"cat /proc/{pid}/status")[1]))
    report.ok(status.get("Seccomp") == "2" and status.get("NoNewPrivs") == "1", "system calls are filtered, no new rights", repr(status))
    report.ok(all(set(status.get(c, "1")) == {"0"} for c in ("CapEff", "CapPrm", "CapBnd", "CapAmb")), "no capability", repr(status))
    report.ok(status.get("Uid", "0").split()[0] != "0", "not root")
    mounts = m.sh(f"cat /proc/{pid}/mounts")[1]
    root = [s.split() for s in mounts.splitlines() if s.split()[1] == "/"]
    report.ok(root and root[-1][3].startswith("ro"), "its root is read-only", mounts)
    # as the gateway, where the gateway is
    touch = lambda d: m.sh(f"nsenter --target {pid} --mount setpriv --reuid tidewaiter --regid tidewaiter --clear-groups "
                           f"touch {d}/touched")[0]
    writable = [d for d in ("/", "/etc", "/etc/tidewaiter", "/opt", "/root", "/run", "/run/lock", "/usr/sbin", "/var", "/var/lib",
                            "/var/log", "/run/tidewaiter", "/var/lib/tidewaiter", "/var/log/tidewaiter") if touch(d)]
    report.ok(writable == ["/run/tidewaiter", "/var/lib/tidewaiter", "/var/log/tidewaiter"],
              "it may write to its three directories, nowhere else", repr(writable))


def reload(report, m):
    pid = m.show("MainPID")
    ok, said = m.sh("systemctl reload tidewaiter")
    report.ok(ok and m.show("ActiveState") == "active" and m.show("MainPID") == pid, "systemctl reload", said + m.journal())
    m.sh("echo nonsense >>/etc/tidewaiter/gateway.conf")
    ok, said = m.sh("systemctl reload tidewaiter")
    report.ok(not ok and m.show("ActiveState") == "active" and m.show("MainPID") == pid,
              "a configuration with a mistake: systemctl reload fails, the gateway serves on", said)
    report.ok("gateway.conf:" in m.journal(), "... and the journal has file and line", m.journal())
    m.sh("sed -i '$d' /etc/tidewaiter/gateway.conf")


def death(report, m):
    pid = m.show("MainPID")
    m.sh(f"kill -9 {pid}")
    back = lambda: m.show("ActiveState") == "active" and m.show("MainPID") not in ("0", pid)
    report.ok(labs.wait_for(back, 30, 0.2), "killed, it comes back", m.journal())


def run(lab, report):
    docker = containers.start(lab, report, "the unit under systemd")
    if docker is None:
        return
    ok, said = docker.base("base-systemd", ["systemd", "procps", *base.libraries(labs.BINARY)])
    report.ok(ok, "a base image out of this machine's packages", said)
    m = Machine(docker, lab)
    ok, said = m.boot()
    if not ok:
        print("  note   skipped: the unit under systemd (systemd does not run in a container here: "
              f"{said.strip().splitlines()[-1:]})")
        return
    sample = samples.Sample(os.path.join(lab.dir, "etc"), "/etc/tidewaiter")
    sample.configure(sample.registry(lab, "service-registry"))
    ok, said = set_up(report, m, sample)
    if report.ok(ok and m.show("ActiveState") == "active", "enabled, started, and it said that it is ready", said + m.journal()):
        report.ok(labs.port_open(sample.port), "it serves once systemd calls it started")
        confined(report, m)
        containers.push_and_pull(report, lab, sample, sample.token(), "under systemd")
        if "SIGHUP" in adapters.command([labs.BINARY, "run", "-h"])[1]:
            reload(report, m)
        death(report, m)
        containers.push_and_pull(report, lab, sample, sample.token(), "after its death")
        ok, said = m.sh("setpriv --reuid tidewaiter --clear-groups tidewaiter audit verify /var/log/tidewaiter/audit")
        report.ok(ok, f"audit verify: {said.strip()}")
        ok, said = m.sh("systemctl stop tidewaiter")
        report.ok(ok and m.show("Result") == "success" and m.show("ExecMainStatus") == "0", "systemctl stop: it ends well", said + m.journal())
    docker.run("exec", "machine", "systemctl", "--force", "poweroff")
    docker.run("rm", "--force", "machine")
    docker.close()
