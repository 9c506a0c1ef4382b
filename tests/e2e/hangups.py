# hangups.py - clients and registries that go away at any byte and at any moment of any request.
#
# hangups:ROUNDS:SEED; without, a few hundred. Each round is one connection with a request of a kind (or two, pipelined), cut
# after some of what it says or hears, by FIN or by RST, while the registry behind may cut its own answer. Afterwards the
# gateway must be as it was: one event for each request, nothing held, no descriptor more, every tag to be pushed again.
# SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import os
import random
import resource
import signal
import socket
import struct
import threading
import time

import lab as labs
import stub as stubs

REPO = ["repo:up/app"]
POLICY = {"Version": "2026-11-01", "Statement": [
    {"Sid": "All", "Effect": "Allow", "Principal": ["subject:test/owner"], "Action": ["registry:*"], "Resource": REPO},
    {"Sid": "Once", "Effect": "Allow", "Principal": ["subject:test/ci"], "Resource": REPO,
     "Action": ["registry:Push*", "registry:Pull*", "registry:List*", "registry:MountBlob", "registry:Delete*"]}]}
ROUNDS, AT_ONCE = 400, 6
LIMITS = {"upstream-first-byte": "2 s", "body-idle": "2 s", "head-total": "2 s", "drain": "50 ms"}
SMALL = [labs.manifest(note=f"hang-up {i}") for i in range(6)]
# longer than what a worker reads by itself
LARGE = [labs.manifest(note=f"large {i} " + "x" * 100000) for i in range(3)]
BLOB = random.Random(1).randbytes(200000)
TAGS = [f"t{i}" for i in range(8)]


def head(method, target, token, body=None, more=""):
    length = f"Content-Length: {len(body)}\r\n" if body is not None else ""
    return (f"{method} {target} HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {token}\r\n{more}{length}\r\n").encode() \
        + (body or b"")


def put(rng, token):
    body = rng.choice(rng.choice((SMALL, SMALL, LARGE)))
    kind = f"Content-Type: {labs.OCI_MANIFEST}\r\n" + rng.choice(("", "", "Expect: 100-continue\r\n"))
    if rng.random() < 0.25:
        tags = "&".join("tag=" + t for t in rng.sample(TAGS, 3))
        return head("PUT", f"/v2/app/manifests/{labs.digest_of(body)}?{tags}", token, body, kind)
    return head("PUT", f"/v2/app/manifests/{rng.choice(TAGS)}", token, body, kind)


def delete(rng, token):
    return head("DELETE", f"/v2/app/manifests/{rng.choice(TAGS)}", token)


def blob_delete(rng, token):
    return head("DELETE", f"/v2/app/blobs/{labs.digest_of(b'nothing')}", token)


def mount(rng, token):
    return head("POST", f"/v2/app/blobs/uploads/?mount={labs.digest_of(BLOB)}&from=app", token, b"")


def upload(rng, token):
    return head("POST", "/v2/app/blobs/uploads/", token, b"")


def whole_upload(rng, token):
    data = rng.randbytes(rng.randrange(1, 50000))
    return head("POST", f"/v2/app/blobs/uploads/?digest={labs.digest_of(data)}", token, data)


def pull(rng, token):
    return head(rng.choice(("GET", "HEAD")), f"/v2/app/manifests/{rng.choice(TAGS)}", token,
                more=f"Accept: {labs.OCI_MANIFEST}, {labs.OCI_INDEX}\r\n")


def blob(rng, token):
    return head("GET", f"/v2/app/blobs/{labs.digest_of(BLOB)}", token)


def tags(rng, token):
    return head("GET", rng.choice(("/v2/app/tags/list", "/v2/_catalog", "/v2/many/tags/list")), token)


KINDS = (put, put, put, delete, blob_delete, mount, upload, whole_upload, pull, blob, tags)


def going(sock, how):
    """Away, by a FIN or by a RST."""
    if how == "RST":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        sock.close()
    except OSError:
        pass


def one(g, token, seed, asked):
    """A connection of that seed's."""
    rng = random.Random(seed)
    said = b"".join(rng.choice(KINDS)(rng, token) for _ in range(rng.choice((1, 1, 1, 2, 3))))
    how, when = rng.choice(("FIN", "RST")), rng.choice(("sent", "sent", "asked", "answered", "answered"))
    cut = rng.choice((len(said), len(said), rng.randrange(len(said) + 1)))
    heard = rng.choice((1, 20, 2000, 200000))
    try:
        c = g.client(timeout=3)
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        c.send(said[:cut])
        if when == "asked":
            # upstream was asked something meanwhile: its answer, the claim or the event is on its way
            asked.wait(0.2)
        elif when == "answered":
            got = 0
            while got < heard:
                data = c.sock.recv(min(65536, heard - got))
                if not data:
                    break
                got += len(data)
        time.sleep(rng.choice((0, 0, rng.random() / 200, rng.random() / 50)))
        going(c.sock, how)
    except OSError:
        pass


def faulty(s, rng, lock, asked):
    """A registry that stalls for a moment, or goes away before, in, or after its answer."""
    def hook(r):
        with lock:
            what, at, wait = rng.random(), rng.random(), rng.random()
        asked.set()
        asked.clear()
        if what < 0.7:
            time.sleep(wait / 100 if what < 0.3 else 0)
            return None
        if what < 0.8:
            return "drop"
        with s.lock:
            status, headers, body = s.registry(r)
        if what < 0.85:
            return "drop"       # it did it, and says nothing
        text = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        if not any(k.lower() == "content-length" for k in headers):
            text += f"Content-Length: {len(body)}\r\n"
        text = text.encode() + b"\r\n" + (b"" if r.method == "HEAD" else body)
        return text[:int(len(text) * at)]
    return hook


def aftermath(report, s, g, token, files):
    s.hook = None
    report.ok(g.process.alive(), "it lives", g.process.tail(40))
    if not g.process.alive():
        return
    n = g.settled(10)
    ids = [e["id"] for e in g.requests()]
    report.ok(n == len(ids) == len(set(ids)), f"one event for each of {n} requests", f"{len(set(ids))} ids of {len(ids)}")
    ok, said = g.verify()
    report.ok(ok, "audit verify", said)
    # an unresolved claim lets its own digest through, and a tag that is held nothing at all
    bodies, bad = {labs.digest_of(b): b for b in SMALL + LARGE}, []
    for tag in TAGS:
        answers = [g.request("PUT", f"/v2/app/manifests/{tag}", token, {"Content-Type": labs.OCI_MANIFEST}, b)
                   for b in (*bodies.values(), SMALL[0])]
        if answers[-1].status != 201 or s.tags["app", tag] != labs.digest_of(SMALL[0]):
            bad.append((tag, answers[-1]))
    report.ok(not bad, "every tag can be pushed: nothing is held", repr(bad[:3]))
    labs.wait_for(lambda: g.descriptors() <= files + 8)     # pooled connections stay for a while
    report.ok(g.descriptors() <= files + 8, "no descriptor more", f"{files} before, {g.descriptors()} now")


def world(lab, name, seed, registry_too):
    s = stubs.Stub()
    # what each connection meets is the seed's; what happens at once is not
    rng, lock, asked = random.Random(seed), threading.Lock(), threading.Event()
    s.blobs[labs.digest_of(BLOB)] = BLOB
    for i in range(3000):
        s.tags["many", f"tag-{i}"] = "sha256:" + "0" * 64
    g = labs.Gateway(lab, name, s.origin, POLICY, limits=LIMITS, tags={"drift": rng.choice(("alarm", "refuse", "pin"))}).start()
    token = lab.signer.token("owner")
    g.request("GET", "/v2/", token)
    files = g.descriptors()
    s.hook = faulty(s, rng, lock, asked) if registry_too else lambda r: asked.set() or asked.clear()
    return s, g, token, files, asked


def storm(lab, report, name, rounds, seed, registry_too, reloads=False):
    s, g, token, files, asked = world(lab, name, seed, registry_too)
    over = threading.Event()

    def reload():
        while not over.wait(0.1):
            g.process.child.send_signal(signal.SIGHUP)
    other = threading.Thread(target=reload)
    if reloads:
        other.start()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda i: one(g, token, f"{seed} {i}", asked), range(rounds)))
    over.set()
    if reloads:
        other.join()
    aftermath(report, s, g, token, files)
    g.stop()
    s.close()


def once(lab, report, rounds, seed):
    """Who may not overwrite: whatever happens to clients, registry and gateway, a tag has one digest for ever."""
    s, g, _, _, asked = world(lab, "hangups-once", seed, True)
    token, rng = lab.signer.token("ci"), random.Random(f"once {seed}")
    for i in range(3):
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            all_ = [pool.submit(one, g, token, f"{seed} once {i} {n}", asked) for n in range(rounds // 3)]
            time.sleep(0.3 + rng.random() / 2)
            g.stop(rng.choice((signal.SIGKILL, signal.SIGTERM)))
            g.start()
            for x in all_:
                x.result()
    s.hook = None
    bodies, bad = {labs.digest_of(b): b for b in SMALL + LARGE}, []
    for tag in TAGS:
        confirmed = {e["registry"]["digest"] for e in g.events() if e["event"] == "tag.confirmed" and e["registry"]["tag"] == tag}
        put = lambda b: g.request("PUT", f"/v2/app/manifests/{tag}", token, {"Content-Type": labs.OCI_MANIFEST}, b).status
        good = [d for d, b in bodies.items() if put(b) == 201]
        good += [d for d, b in bodies.items() if put(b) == 201]
        if len(set(good)) != 1 or confirmed - set(good) or s.tags["app", tag] != good[0]:
            bad.append((tag, good, confirmed, s.tags.get(("app", tag))))
    report.ok(not bad, "without OverwriteTag each tag has had one digest", repr(bad))
    ok, said = g.verify()
    report.ok(ok, "audit verify", said)
    g.stop()
    s.close()


def ends(lab, report, seed, times):
    """The gateway's own end in the middle of it all, with no time for what is under way. Then what it acknowledged is there."""
    for i in range(times):
        s, g, token, _, asked = world(lab, f"hangups-end{i}", f"{seed} {i}", True)
        over, rng = threading.Event(), random.Random(f"end {seed} {i}")

        def load(n):
            k = 0
            while not over.is_set():
                one(g, token, f"{seed} {i} {n} {k}", asked)
                k += 1
        threads = [threading.Thread(target=load, args=(n,)) for n in range(AT_ONCE)]
        for t in threads:
            t.start()
        time.sleep(0.5 + rng.random() / 2)
        status = g.stop()
        over.set()
        for t in threads:
            t.join()
        ok, said = g.verify()
        report.ok(status == 0 and ok, f"its own end in the middle of it: {status}", said + g.process.tail(40))
        s.close()


def slow(lab, report):
    """A manifest is held in memory while it comes: it has limits.body-grace, at whatever rate. What is passed on has its rate."""
    s = stubs.Stub()
    g = labs.Gateway(lab, "hangups-slow", s.origin, POLICY, limits={"body-grace": "1 s", "body-min-rate": "1 KiB"}).start()
    token = lab.signer.token("owner")
    where = g.request("POST", "/v2/app/blobs/uploads/", token).header("location")
    for what, said in (("manifest", head("PUT", "/v2/app/manifests/slow", token, None,
                                         f"Content-Type: {labs.OCI_MANIFEST}\r\nContent-Length: {len(LARGE[0])}\r\n")),
                       ("blob", head("PATCH", where, token, None, f"Content-Length: {len(LARGE[0])}\r\n"))):
        c, begun, at = g.client(), time.monotonic(), 0
        c.send(said)
        try:
            while time.monotonic() - begun < 3:
                c.send(LARGE[0][at:at + 400])   # 4 KiB/s
                at += 400
                time.sleep(0.1)
                c.sock.settimeout(0.001)
                try:
                    c.more()
                    break
                except (TimeoutError, socket.timeout):
                    c.sock.settimeout(10)
        except (OSError, labs.Closed):
            pass
        refused = b" 408 " in c.buffer
        report.ok(refused == (what == "manifest"), f"a {what} at 4 KiB/s: {'408' if refused else 'goes on'}", repr(c.buffer[:200]))
        c.close()
    g.stop()
    s.close()


def never_reads(lab, report):
    """Who does not take what was asked for is let go, also when further requests keep coming."""
    s, data = stubs.Stub(), bytes(24 << 20)
    s.blobs[labs.digest_of(data)] = data
    for i in range(60000):
        s.tags["many", f"a-tag-with-a-name-of-some-length-{i}"] = "sha256:" + "0" * 64
    g = labs.Gateway(lab, "hangups-reads", s.origin, POLICY, limits={"write-idle": "1 s", "head-total": "2 s"}, workers=1).start()
    token = lab.signer.token("owner")
    for what, target in (("a blob", f"/v2/app/blobs/{labs.digest_of(data)}"), ("a list", "/v2/many/tags/list")):
        c = g.client()
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.send(head("GET", target, token))
        time.sleep(0.5)
        c.send(b"GET /v2/ HTTP/1.1\r\n")
        gone = labs.wait_for(lambda: "tidewaiter_connections 0" in g.admin("/metrics")[1], 10)
        report.ok(gone, f"{what} that nobody reads, and the next request behind it")
        c.close()
    g.stop()
    s.close()


def crowd(lab, report):
    """Too many connections of one address: they are closed without a word, but not without a trace."""
    s = stubs.Stub()
    g = labs.Gateway(lab, "hangups-crowd", s.origin, POLICY, limits={"connections-per-ip": 3}, workers=1).start()
    labs.wait_for(lambda: g.descriptors() and "tidewaiter_connections 0" in g.admin("/metrics")[1])     # the lab looked in
    kept, closed = [g.client() for _ in range(3)], 0
    for _ in range(5):
        try:
            g.client()
        except OSError:
            closed += 1
    text = g.admin("/metrics")[1]
    report.ok(closed == 5 and "tidewaiter_connections_crowded_total 5" in text, "counted",
              f"{closed} {[x for x in text.splitlines() if 'crowded' in x]}")
    log = g.process.tail(100)
    report.ok(log.count("source=127.0.0.1 msg=has as many connections as one address may have") == 1, "and told once a minute", log)
    for c in kept:
        c.close()
    g.stop()
    s.close()


def held(lab, report):
    """Manifests that are announced and do not come: all of them together hold no more than limits.manifests."""
    s = stubs.Stub()
    g = labs.Gateway(lab, "hangups-held", s.origin, POLICY, limits={"manifests": "8 MiB"}).start()
    token = lab.signer.token("owner")
    size = 4 << 20
    slow = []
    for _ in range(2):
        c = g.client()
        c.send(head("PUT", "/v2/app/manifests/slow", token, None,
                    f"Content-Type: {labs.OCI_MANIFEST}\r\nContent-Length: {size}\r\n") + b"{")
        slow.append(c)
    body = SMALL[0]
    tried = lambda: g.request("PUT", "/v2/app/manifests/t0", token, {"Content-Type": labs.OCI_MANIFEST}, body)
    refused = labs.wait_for(lambda: tried().status == 503)
    r = tried()
    report.ok(refused and "as many manifests as it may" in r.message(), "the next one is refused", repr(r))
    for c in slow:
        c.close()
    report.ok(labs.wait_for(lambda: tried().status == 201), "and taken when they are gone")
    g.stop()
    s.close()


def cpu(g):
    """Seconds of all its threads."""
    with open(f"/proc/{g.process.pid}/stat") as f:
        fields = f.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(lab, report):
    """More connections than there are descriptors: it waits for one, and does not run in circles; then it goes on."""
    s = stubs.Stub()
    g = labs.Gateway(lab, "hangups-descriptors", s.origin, POLICY, limits={"tls-handshake": "1 min"}, workers=1).start()
    token = lab.signer.token("owner")
    report.ok(g.request("GET", "/v2/", token).status == 200, "served")
    most = g.descriptors() + 20
    resource.prlimit(g.process.pid, resource.RLIMIT_NOFILE, (most, most))
    waiting = [socket.create_connection(("127.0.0.1", g.port)) for _ in range(40)]
    report.ok(labs.wait_for(lambda: g.descriptors() >= most), "all descriptors are taken", f"{g.descriptors()} of {most}")
    before, begun = cpu(g), time.monotonic()
    time.sleep(2)
    spent, wall = cpu(g) - before, time.monotonic() - begun
    report.ok(spent < wall / 4, "it does not run in circles", f"{spent:.2f} s of {wall:.2f} s")
    for w in waiting:
        w.close()
    r = g.request("GET", "/v2/", token)
    report.ok(r.status == 200, "and serves again", repr(r))
    g.stop()
    s.close()


def run(lab, report, which=None):
    rounds, _, seed = (which[0] if which else "").partition(":")
    rounds, seed = int(rounds or ROUNDS), int(seed or int.from_bytes(os.urandom(3)))
    print(f"  note   hangups:{rounds}:{seed}", flush=True)
    storm(lab, report, "hangups-clients", rounds, seed, False)
    storm(lab, report, "hangups-both", rounds, seed, True, reloads=True)
    once(lab, report, rounds, seed)
    slow(lab, report)
    never_reads(lab, report)
    crowd(lab, report)
    held(lab, report)
    descriptors(lab, report)
    ends(lab, report, seed, 1 + rounds // 50)
