# install.py - `make install` into a directory: what comes, how it may be used, and that systemd takes the unit.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import stat
import subprocess

import adapters
import lab as labs

EXPOSURE = 1.5      # of `systemd-analyze security`: 0 is a service that may do nothing, 10 one that may do everything
FILES = {"sbin/tidewaiter": 0o755, "lib/systemd/system/tidewaiter.service": 0o644, "lib/sysusers.d/tidewaiter.conf": 0o644,
         "lib/tmpfiles.d/tidewaiter.conf": 0o644}
DOCS = ("README.md", "CHANGELOG.md", "LICENSE", "gateway.conf.example", "guides/docker.md", "guides/podman.md",
        "guides/containerd.md", "guides/kubernetes-nodes.md", "guides/ci.md", "guides/issuers.md", "guides/registries.md", "guides/incidents.md",
        "guides/scanning.md", "guides/vulnerabilities.md", "guides/signatures.md", "guides/harbor-scanner.md",
        "policy/MANUAL.md", "policy/policy.schema.json")


def make(target, directory, prefix="/usr"):
    # the gateway under test is installed, whichever build it is; make finds nothing to do for it
    build = os.path.dirname(os.path.relpath(labs.BINARY, labs.ROOT))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    p = subprocess.run(["make", "-s", f"B={build}", f"DESTDIR={directory}", f"PREFIX={prefix}", target], cwd=labs.ROOT, env=env,
                       capture_output=True, text=True)
    return p.returncode == 0, p.stdout + p.stderr


def modes(directory):
    out = {}
    for root, _, names in os.walk(directory):
        for n in names:
            path = os.path.join(root, n)
            out[os.path.relpath(path, directory)] = stat.S_IMODE(os.lstat(path).st_mode)
    return out


def unit(report, directory):
    path = f"{directory}/usr/lib/systemd/system/tidewaiter.service"
    with open(path) as f:
        text = f.read()
    report.ok(not re.search(r"@[A-Z]+@", text) and "ExecStart=/usr/sbin/tidewaiter run " in text, "the unit names what is installed")
    # verify looks for the programs on this machine: here they lie below DESTDIR
    verified = os.path.join(directory, "tidewaiter.service")
    with open(verified, "w") as f:
        f.write(text.replace("/usr/sbin/tidewaiter", f"{directory}/usr/sbin/tidewaiter"))
    ok, said = adapters.command(["systemd-analyze", "verify", "--man=no", verified], {"SYSTEMD_LOG_LEVEL": "warning"})
    said = "\n".join(s for s in said.splitlines() if "tidewaiter" in s)
    report.ok(ok and not said, "systemd-analyze verify has nothing to say", said)
    ok, said = adapters.command(["systemd-analyze", "security", "--offline=true", "--json=short", path])
    report.ok(ok and len(json.loads(said)) > 60, "systemd-analyze security reads it")
    ok, said = adapters.command(["systemd-analyze", "security", "--offline=true", "--no-pager", path])
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    report.ok(level and float(level.group(1)) <= EXPOSURE, f"its exposure is {level and level.group(1)}, at most {EXPOSURE}", said[-500:])
    for line, tool in (("u tidewaiter - ", "sysusers"), ("d /etc/tidewaiter ", "tmpfiles")):
        with open(f"{directory}/usr/lib/{tool}.d/tidewaiter.conf") as f:
            report.ok(line in f.read(), f"{tool}.d makes {line.split()[1]}")


def run(lab, report):
    for prefix in ("/usr", "/usr/local"):
        where = os.path.join(lab.dir, prefix.replace("/", "-"))
        ok, said = make("install", where, prefix)
        report.ok(ok, f"make install PREFIX={prefix}", said[-2000:])
        wanted = {f"{prefix[1:]}/{k}": v for k, v in FILES.items()}
        wanted |= {f"{prefix[1:]}/share/doc/tidewaiter/{d}": 0o644 for d in DOCS}
        found = modes(where)
        report.ok(found == wanted, "... installs these files, with these modes, and no other",
                  repr(set(found.items()) ^ set(wanted.items())))
    where = os.path.join(lab.dir, "-usr")
    ok, said = adapters.command([f"{where}/usr/sbin/tidewaiter", "version"])
    report.ok(ok and said.startswith("tidewaiter "), "what is installed runs", said)
    unit(report, where)
    kept = os.path.join(where, "etc", "tidewaiter", "gateway.conf")
    os.makedirs(os.path.dirname(kept))
    open(kept, "w").close()
    os.unlink(os.path.join(where, "tidewaiter.service"))
    ok, said = make("uninstall", where)
    report.ok(ok and list(modes(where)) == ["etc/tidewaiter/gateway.conf"], "make uninstall leaves nothing but the configuration",
              said + repr(modes(where)))
