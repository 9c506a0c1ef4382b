# measure.py - the metrics: each starts a row, loads it and returns named figures.
#
# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import os
import subprocess
import time

import host
from host import DIR, FILES, LOAD_CPUS, PKI, PORT, SINK, Failure
from prepare import BLOB, ask
from rows import ROWS

GIB = 1 << 30
T2K = "/v2/app/manifests/t2k"
T512 = "/v2/app/manifests/t512"
CONNECTIONS = 64
IDLE = 2000 if host.QUICK else 5000
CROWD = 2000 if host.QUICK else 10000
STREAMS = 8
SECONDS = 1.0 if host.QUICK else 1.5


def header_file(row):
    return f"{PKI}/{row.get('header', 'none')}.header"


def rate(p, row, *more):
    """Load of the rate tool, and the CPU seconds it cost p; connecting and warming up are not counted."""
    load = host.spawn([host.BIN + "/rate", "-p", str(PORT), "-u", T2K, "-H", header_file(row), *map(str, more)],
                      LOAD_CPUS, DIR + "/load.out", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if load.stdout.readline() != "ready\n":
            raise Failure("rate: " + host.read(DIR + "/load.out").strip()[-200:])
        before = host.cpu_seconds(p.pid)
        load.stdin.write("\n")
        load.stdin.flush()
        line = load.stdout.readline()
        used = host.cpu_seconds(p.pid) - before
        if not line:
            raise Failure("rate: " + host.read(DIR + "/load.out").strip()[-200:])
        r = json.loads(line)
    finally:
        host.stop(load)
    if r["bad"]:
        raise Failure(f"{r['bad']} of {r['requests']} answers were not 200")
    return {"cpu_us": used / r["requests"] * 1e6, "rps": r["rps"], "p50_us": r["p50_us"], "p99_us": r["p99_us"]}


def get(p, row, known):
    return rate(p, row, "-c", CONNECTIONS, "-t", SECONDS)


def latency(p, row, known):
    r = rate(p, row, "-c", 1, "-t", SECONDS, "-w", 200)
    return {k: r[k] for k in ("p50_us", "p99_us")}


def new_tokens(p, row, known, alg):
    return rate(p, row, "-c", CONNECTIONS, "-T", f"{PKI}/{alg}.tokens")


def connect(p, row, known):
    host.tool("dial", "hs", "-p", PORT, "-u", T512, "-H", header_file(row), "-t", 0.2)
    before = host.cpu_seconds(p.pid)
    r = host.tool("dial", "hs", "-p", PORT, "-u", T512, "-H", header_file(row), "-t", SECONDS)
    if r["bad"]:
        raise Failure(f"{r['bad']} of {r['connections']} connections failed")
    return {"cpu_us": (host.cpu_seconds(p.pid) - before) / r["connections"] * 1e6,
            "per_s": r["connections"] / r["seconds"]}


def bulk(row, direction, path, streams=1, *more):
    return host.tool("bulk", direction, "-p", PORT, "-u", path, "-b", BLOB, "-H", header_file(row), "-c", streams, *more)


def body(p, row, direction, path):
    before = host.cpu_seconds(p.pid)
    r = bulk(row, direction, path)
    if r["bad"]:
        raise Failure(f"{direction} of {BLOB >> 20} MiB failed, last status {r['status']}")
    return {"cpu_s_gib": (host.cpu_seconds(p.pid) - before) * GIB / BLOB, "gib_s": BLOB / GIB / r["seconds"]}


def blob(p, row, known):
    return body(p, row, "get", "/v2/app/blobs/" + known["blob"])


def patch(p, row, known):
    return body(p, row, "put", "/v2/app/blobs/uploads/")


@contextlib.contextmanager
def held(row, n):
    """That many connections, each with one request made."""
    load = host.spawn([host.BIN + "/dial", "idle", "-p", str(PORT), "-u", T512, "-H", header_file(row), "-c", str(n)],
                      LOAD_CPUS, DIR + "/load.out", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = load.stdout.readline()
        if line != f"ready {n}\n":
            raise Failure(f"{n} idle connections cannot be had: {line.strip()}")
        time.sleep(0.3)
        yield
    finally:
        host.stop(load)


def idle(p, row, known):
    """Memory of a connection that has made one request; the first hundred fill pools and are not counted."""
    with held(row, 100):
        before = host.pss_kb(p.pid)
        with held(row, IDLE):
            return {"kb": (host.pss_kb(p.pid) - before) / IDLE, "base_mb": before / 1024}


def crowd(p, row, known):
    """A GET among many idle connections, to a GET among none."""
    alone = get(p, row, known)["cpu_us"]
    with held(row, CROWD):
        crowded = get(p, row, known)["cpu_us"]
    return {"ratio": crowded / alone, "cpu_us": crowded}


def files_mb():
    """What the row has written beside its audit trail."""
    total = 0
    for folder, _, names in os.walk(host.ROW):
        if not folder.startswith(host.ROW + "/audit"):
            total += sum(os.path.getsize(os.path.join(folder, n)) for n in names)
    return total / (1 << 20)


def growth(p, row, known, *more):
    """Peak memory over that before, with STREAMS blobs on their way."""
    path = "/v2/app/blobs/" + known["blob"]
    host.tool("dial", "hs", "-p", PORT, "-u", T512, "-H", header_file(row), "-t", 0.1)
    before, peak, written = host.pss_kb(p.pid), 0, 0
    load = host.spawn([host.BIN + "/bulk", "get", "-p", str(PORT), "-u", path, "-b", str(BLOB), "-H", header_file(row),
                       "-c", str(STREAMS), *more], LOAD_CPUS, DIR + "/load.out", stdout=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + (3 if more else 120)
        while load.poll() is None and time.monotonic() < end:
            peak, written = max(peak, host.pss_kb(p.pid)), max(written, files_mb())
            time.sleep(0.1)
        if load.poll() is not None and json.loads(load.stdout.readline() or '{"bad":1}')["bad"]:
            raise Failure("a stream failed")
    finally:
        host.stop(load)
    return {"mb": (peak - before) / 1024, "files_mb": written}


def slow(p, row, known):
    """The same with readers of 25 MB/s each, for three seconds."""
    return growth(p, row, known, "-r", "25")


# name: (function, upstream, first figure, rounds at most)
METRICS = {
    "get": (get, FILES, "cpu_us", None),
    "latency": (latency, FILES, "p50_us", None),
    "new-RS256": (lambda p, r, k: new_tokens(p, r, k, "RS256"), FILES, "cpu_us", None),
    "new-ES256": (lambda p, r, k: new_tokens(p, r, k, "ES256"), FILES, "cpu_us", None),
    "connect": (connect, FILES, "cpu_us", None),
    "blob": (blob, FILES, "cpu_s_gib", None),
    "patch": (patch, SINK, "cpu_s_gib", None),
    "idle": (idle, FILES, "kb", 3),
    "crowd": (crowd, FILES, "ratio", 3),
    "growth": (growth, FILES, "mb", 3),
    "slow": (slow, FILES, "mb", 3),
}


def one(metric, name, known):
    row = ROWS[name]
    function, upstream = METRICS[metric][:2]
    p = host.start_row(name, row, upstream)
    try:
        return function(p, row, known)
    except (Failure, subprocess.TimeoutExpired) as e:
        raise Failure(f"{name} {metric}: {e}: {host.read(host.ROW + '/out').strip()[-300:]}") from None
    finally:
        host.stop(p)


def verify(name):
    """A row that checks tokens says 200 with one, and refuses a changed and an absent one."""
    row = ROWS[name]
    if "header" not in row or name == "nginx-auth":
        return
    value = host.read(header_file(row)).split(" ", 1)[1].strip()
    changed = {"payload": value.split(".")[0] + "." + value.split(".", 1)[1][:60] +
               ("A" if value.split(".", 1)[1][60] != "A" else "B") + value.split(".", 1)[1][61:],
               "signature": value[:-20] + ("A" if value[-20] != "A" else "B") + value[-19:]}
    p = host.start_row(name, row)
    try:
        def status(token):
            return ask("GET", T2K, headers={"Authorization": token} if token else {})[0]
        if status(value) != 200:
            raise Failure(f"{name}: its own token is answered {status(value)}: {host.read(host.ROW + '/out')[-300:]}")
        for what, token in [*changed.items(), ("missing token", None)]:
            if status(token) not in (401, 403):
                raise Failure(f"{name}: {what} changed, and still {status(token)}")
    finally:
        host.stop(p)
