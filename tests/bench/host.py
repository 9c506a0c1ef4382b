# host.py - what the bench takes from the machine: places, ports, CPUs, processes and their clocks.
#
# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DIR = os.environ.get("BENCH_DIR", "/dev/shm/tidewaiter-bench")
PKI = DIR + "/pki"
BIN = DIR + "/bin"
ROW = DIR + "/row"          # of the row that runs; emptied for the next one
ISSUER = "https://issuer.bench"
QUICK = os.environ.get("BENCH_QUICK", "") not in ("", "0")
GATEWAY = os.path.abspath(os.path.join(ROOT, os.environ.get("TIDEWAITER", "build/tidewaiter")))

BASE = int(os.environ.get("BENCH_PORT", "21440"))
PORT, FILES, SINK, PLAIN, DATAGRAM = range(BASE, BASE + 5)

CPUS = sorted(os.sched_getaffinity(0))
PROXY_CPU = str(CPUS[0])
LOAD_CPUS = ",".join(map(str, CPUS[1:] or CPUS))

ENV = dict(os.environ, OPENSSL_CONF=HERE + "/openssl.cnf", SSL_CERT_FILE=PKI + "/ca.pem")
STARTED = []


class Failure(Exception):
    """A row or a tool did not do its work: its figures do not count."""


def values(**more):
    known = {"DIR": DIR, "PKI": PKI, "ROW": ROW, "ISSUER": ISSUER, "PORT": PORT, "FILES": FILES, "SINK": SINK,
             "PLAIN": PLAIN, "DATAGRAM": DATAGRAM, "THREADS": 1,
             "USER": "user root;" if os.geteuid() == 0 else ""}
    return {**known, **more}


def render(text, known):
    """@NAME@ by its value; values may hold further names."""
    for _ in range(4):
        text = re.sub(r"@([A-Z]+)@", lambda m: str(known.get(m.group(1), m.group(0))), text)
    left = re.search(r"@[A-Z]+@", text)
    if left:
        raise Failure(f"no value for {left.group(0)}")
    return text


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def raise_limits():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def tree(pid):
    """pid and its descendants."""
    children = {}
    for d in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            children.setdefault(int(read(f"/proc/{d}/stat").rsplit(")", 1)[1].split()[1]), []).append(int(d))
    found = [pid]
    for p in found:
        found += children.get(p, [])
    return found


def cpu_seconds(pid):
    """User and system time of a process tree by the process CPU clock: exact, and threads that ended are in it."""
    total = 0
    for p in tree(pid):
        with contextlib.suppress(OSError):
            total += time.clock_gettime_ns((~p << 3) | 2)
    return total / 1e9


def pss_kb(pid):
    total = 0
    for p in tree(pid):
        with contextlib.suppress(OSError):
            total += int(re.search(r"Pss:\s+(\d+)", read(f"/proc/{p}/smaps_rollup")).group(1))
    return total


def machine_busy(seconds=0.5):
    """Share of all CPU time that is not idle, 0 to 1, stolen time included."""
    def sample():
        ticks = [int(x) for x in read("/proc/stat").split("\n", 1)[0].split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]
    a = sample()
    time.sleep(seconds)
    b = sample()
    return 1 - (b[1] - a[1]) / max(1, b[0] - a[0])


def spawn(command, cpus, log, **pipes):
    with open(log, "ab") as out:
        p = subprocess.Popen(["taskset", "-c", cpus] + command, env=ENV, start_new_session=True,
                             **{"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, **pipes})
    STARTED.append(p)
    return p


def stop(p, patience=6):
    if p is None:
        return
    family = tree(p.pid) if p.poll() is None else []
    if family:
        p.terminate()
        try:
            p.wait(patience)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
    for child in family[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    for pipe in (p.stdin, p.stdout):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
    if p in STARTED:
        STARTED.remove(p)


def stop_all():
    for p in list(STARTED):
        stop(p)


def wait_port(p, port, seconds=15):
    """Until p listens on it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if p.poll() is not None:
            raise Failure(f"ended with status {p.returncode} before it listened on port {port}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 0.3).close()
            return
        time.sleep(0.02)
    raise Failure(f"nothing listens on port {port}")


def port_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def tool(name, *args, cpus=None, timeout=180, given=""):
    """Run a load tool to its end; the JSON in the last line it writes."""
    done = subprocess.run(["taskset", "-c", cpus or LOAD_CPUS, f"{BIN}/{name}", *map(str, args)], env=ENV,
                          capture_output=True, text=True, timeout=timeout, input=given)
    try:
        return json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
    except ValueError:
        raise Failure(f"{name} {args[0] if args else ''}: {done.stderr.strip() or done.stdout.strip()}") from None


def start_upstreams():
    conf = DIR + "/upstream.conf"
    write(conf, render(read(HERE + "/conf/upstream.conf"), values()))
    files = spawn(["nginx", "-c", conf], LOAD_CPUS, DIR + "/upstream.out")
    sink = spawn([BIN + "/sink", str(SINK), PKI + "/server.crt", PKI + "/server.key", str(DATAGRAM)], LOAD_CPUS,
                 DIR + "/sink.out")
    wait_port(files, FILES)
    wait_port(sink, SINK)


def start_row(name, row, upstream=FILES, wrap=(), patience=15):
    """The row's process, listening. wrap: words before its command."""
    shutil.rmtree(ROW, ignore_errors=True)
    os.makedirs(ROW)
    known = values(UP=upstream, **row.get("values", {}))
    if "conf" in row:
        write(ROW + "/conf", render(read(f"{HERE}/conf/{row['conf']}"), known))
    command = [render(word, known) for word in row["command"]]
    p = spawn(list(wrap) + command, PROXY_CPU, ROW + "/out")
    try:
        wait_port(p, PORT, patience)
    except Failure as e:
        stop(p)
        raise Failure(f"{name}: {e}: {read(ROW + '/out').strip()[-600:]}") from None
    time.sleep(0.2)
    return p
