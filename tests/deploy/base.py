# base.py - a base image out of this machine's own Debian packages: no network, no root file system of a third party.
#
# The files of the wanted packages and of all they depend on, as dpkg lists them, and dpkg's own records of just these,
# so that deploy/install-deps finds in the image what it would find on a machine. Maintainer scripts do not run.
# SPDX-License-Identifier: Apache-2.0
import io
import os
import re
import subprocess
import tarfile

MERGED = ("bin", "lib", "lib64", "sbin")        # Debian 12: links into /usr
# what keeps an image small and is of no use to a build
UNWANTED = re.compile(r"/usr/share/(doc|man|locale|info|lintian|bug)(/|$)")


def records():
    """{package: its paragraph} of what is installed."""
    with open("/var/lib/dpkg/status", encoding="utf-8", errors="replace") as f:
        paragraphs = f.read().split("\n\n")
    out = {}
    for p in paragraphs:
        name = re.search(r"(?m)^Package: (\S+)", p)
        if name and re.search(r"(?m)^Status: install ok installed", p):
            out[name.group(1)] = p
    return out


def field(paragraph, name):
    m = re.search(rf"(?m)^{name}: (.*)", paragraph)
    return m.group(1) if m else ""


def closure(wanted):
    """{package: paragraph} of wanted, of what is essential, and of what these depend on. Of alternatives, the one that is installed."""
    installed = records()
    provides = {}
    for name, p in installed.items():
        for virtual in re.findall(r"([a-z0-9][a-z0-9+.-]+)(?:\s*\([^)]*\))?(?:,|$)", field(p, "Provides")):
            provides.setdefault(virtual, name)
    essential = [n for n, p in installed.items() if field(p, "Essential") == "yes"]
    out, todo = {}, [*wanted, *essential]
    while todo:
        name = todo.pop()
        name = name if name in installed else provides.get(name)
        if name is None or name in out:
            continue
        out[name] = p = installed[name]
        for group in (field(p, "Depends") + ", " + field(p, "Pre-Depends")).split(","):
            names = [re.split(r"[\s:(]", a.strip())[0] for a in group.split("|")]
            found = next((n for n in names if n in installed or n in provides), None)
            if found:
                todo.append(found)
    missing = [w for w in wanted if w not in installed and w not in provides]
    if missing:
        raise RuntimeError(f"not installed: {' '.join(missing)} (deploy/install-deps test)")
    return out


def files(package):
    return subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True, check=True).stdout.splitlines()


def libraries(program):
    """The packages of the libraries that a program is linked to."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    found = set()
    for path in re.findall(r"(/\S+) \(0x", said):
        # a merged /usr is known to dpkg under either name
        for name in (path, "/usr" + path, path.removeprefix("/usr")):
            p = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True)
            if p.returncode == 0:
                found.add(p.stdout.split(":")[0])
                break
        else:
            raise RuntimeError(f"{path} belongs to no package")
    return sorted(found)


def in_image(path):
    """Where a listed path is once /bin, /lib ... are links into /usr; None when it is not wanted."""
    if not path.startswith("/") or path == "/." or UNWANTED.search(path):
        return None
    top, _, rest = path[1:].partition("/")
    if top in MERGED:
        return f"usr/{top}/{rest}" if rest else None
    return path[1:]


def add_text(tar, name, text, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(text.encode()), mode
    tar.addfile(info, io.BytesIO(text.encode()))


def write(target, wanted):
    """A tar file for `docker import`. The number of packages."""
    packages, seen = closure(wanted), set()
    with tarfile.open(target, "w") as tar:
        for name in MERGED:
            link = tarfile.TarInfo(name)
            link.type, link.linkname, link.mode = tarfile.SYMTYPE, f"usr/{name}", 0o777
            tar.addfile(link)
        for name in sorted(packages):
            for path in files(name):
                where = in_image(path)
                if where and where not in seen and os.path.lexists(path):
                    seen.add(where)
                    tar.add(path, where, recursive=False)
        for name, mode in (("tmp", 0o1777), ("var/lib/dpkg/info", 0o755), ("var/lib/dpkg/updates", 0o755)):
            if name in seen:
                continue
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        add_text(tar, "var/lib/dpkg/status", "\n\n".join(packages[n] for n in sorted(packages)) + "\n")
        if "var/lib/dpkg/info/format" not in seen:
            add_text(tar, "var/lib/dpkg/info/format", "1\n")       # lists of libraries carry the architecture
        for name in sorted(packages):
            multi = field(packages[name], "Multi-Arch") == "same"
            lists = name + (":" + field(packages[name], "Architecture") if multi else "")
            add_text(tar, f"var/lib/dpkg/info/{lists}.list", "\n".join(files(name)) + "\n")
    return len(packages)
