# reload.py - SIGHUP: everything or nothing, no request dropped, nothing half old and half new.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import shutil
import signal
import socket
import ssl
import threading
import time

import lab as labs
import stub as stubs

BLOB = os.urandom(1 << 20) * 24     # more than all the buffers on the way of a client that does not read
HELD = 4 << 20                      # taken before the reload


def policy(pulls=("ci", "dev"), message=None, deny=()):
    pull = {"Sid": "Pulls", "Effect": "Allow", "Principal": [f"subject:test/{s}" for s in pulls],
            "Action": ["registry:Pull*", "registry:List*"], "Resource": ["repo:up/app", "repo:up/app/*"]}
    push = {"Sid": "Pushes", "Effect": "Allow", "Principal": ["subject:test/ci"],
            "Action": ["registry:Push*"], "Resource": ["repo:up/app", "repo:up/app/*"]}
    out = [pull, push]
    if message:
        out.append({"Sid": "Says", "Effect": "Deny", "Principal": ["subject:test/other"], "Action": ["registry:*"],
                    "Resource": ["repo:*"], "Message": message})
    for who in deny:
        out.append({"Sid": "Denies" + who.title(), "Effect": "Deny", "Principal": [f"subject:test/{who}"],
                    "Action": ["registry:*"], "Resource": ["repo:*"]})
    return {"Version": "2026-11-01", "Statement": out}


class Scene:
    def __init__(self, lab, report, name, **kw):
        self.lab, self.report, self.stub = lab, report, stubs.Stub()
        self.gateway = labs.Gateway(lab, name, self.stub.origin, policy(), **kw).start()
        self.ci, self.dev = lab.signer.token("ci"), lab.signer.token("dev")

    def ok(self, condition, name, why=""):
        return self.report.ok(condition, name, why)

    def write_policy(self, document):
        path = os.path.join(self.gateway.dir, "policy.json")
        with open(path + ".new", "w") as f:
            f.write(document if isinstance(document, str) else json.dumps(document))
        os.rename(path + ".new", path)

    def edit(self, old, new):
        with open(self.gateway.conf) as f:
            text = f.read()
        assert old in text, old
        with open(self.gateway.conf, "w") as f:
            f.write(text.replace(old, new))

    def metric(self, name):
        m = re.search(rf"(?m)^{re.escape(name)} (\S+)$", self.gateway.admin("/metrics")[1])
        return int(m.group(1)) if m else None

    def reloads(self):
        return [e for e in self.gateway.events("reload.") if e["event"].startswith("reload.")]

    def reload(self, seconds=10):
        """Once, and what came of it: the event."""
        n = len(self.reloads())
        self.gateway.process.child.send_signal(signal.SIGHUP)
        labs.wait_for(lambda: len(self.reloads()) > n, seconds)
        found = self.reloads()
        return found[n] if len(found) > n else {"event": "none", "detail": self.gateway.process.tail()}

    def end(self):
        ok, said = self.gateway.verify()
        self.ok(ok, "audit verify", said)
        self.gateway.stop()
        self.stub.close()


def serial_of(client):
    return ssl.DER_cert_to_PEM_cert(client.sock.getpeercert(True))


def certificates(s):
    """A new certificate is shown to new connections; kept ones go on."""
    lab, g = s.lab, s.gateway
    kept = labs.Client(g)
    s.ok(kept.request("GET", "/v2/", s.ci).status == 200, "a kept connection")
    before = serial_of(kept)
    d = lab.dir
    labs.openssl("x509", "-req", "-in", f"{d}/server.csr", "-CA", lab.ca, "-CAkey", f"{d}/ca.key", "-CAcreateserial",
                 "-days", "3", "-extfile", f"{d}/server.ext", "-out", f"{d}/renewed.crt")
    shutil.copy(f"{d}/renewed.crt", lab.cert)
    e = s.reload()
    s.ok(e["event"] == "reload.done" and e["decision"] == "allow" and e["policy"] == e["old_policy"], "reload.done", repr(e))
    fresh = labs.Client(g)
    s.ok(serial_of(fresh) != before and fresh.request("GET", "/v2/", s.ci).status == 200, "new connections see the new certificate")
    s.ok(kept.request("GET", "/v2/", s.ci).status == 200 and serial_of(kept) == before, "the kept connection goes on")
    fresh.close()
    kept.close()


def nothing_changes(s):
    """Whatever is wrong: the old configuration stays, and every problem is told."""
    g = s.gateway
    failed, done = s.metric('tidewaiter_reloads_total{outcome="failed"}'), s.metric('tidewaiter_reloads_total{outcome="done"}')
    with open(g.conf) as f:
        good = f.read()
    port = labs.free_port()
    wrong = (
        ("policy", lambda: s.write_policy('{"Version": "2026-11-01",\n "Statement": [{"Effect": "Perhaps"}]}'), "policy.json:2"),
        ("option", lambda: s.edit("tags = {", "tags = { colour = 1;"), "gateway.conf:"),
        ("certificate", lambda: s.edit(s.lab.cert, s.lab.ca), "private key"),
        ("listen", lambda: s.edit(f'address = "127.0.0.1:{g.port}"', f'address = "127.0.0.1:{port}"'), "listen.*.address"),
        ("ledger", lambda: s.edit("tags.db", "other.db"), "tags.ledger"),
        ("audit", lambda: s.edit(f'directory = "{g.audit}"', f'directory = "{g.audit}2"'), "audit.directory"),
        ("admin", lambda: s.edit(f"127.0.0.1:{g.admin_port}", f"127.0.0.1:{port}"), "admin.listen"),
        ("workers", lambda: s.edit("workers = 2", "workers = 3"), "workers"),
    )
    for name, spoil, says in wrong:
        spoil()
        e = s.reload()
        s.ok(e["event"] == "reload.failed" and e["decision"] == "error" and says in e.get("detail", ""), f"refused: {name}", repr(e))
        if name in ("listen", "ledger", "audit", "admin", "workers"):
            s.ok("needs a restart" in e.get("detail", ""), f"{name} needs a restart", repr(e))
        s.ok(g.request("GET", "/v2/app/tags/list", s.dev).status == 200, f"{name}: served as before")
        with open(g.conf, "w") as f:
            f.write(good)
        s.write_policy(policy())
    s.ok(not labs.port_open(port), "no new listener")
    s.ok(s.metric('tidewaiter_reloads_total{outcome="failed"}') == failed + len(wrong) and s.metric("tidewaiter_reload_ok") == 0,
         "failures are counted")
    os.rename(f"{g.dir}/cluster.key", f"{g.dir}/cluster.away")
    e = s.reload()
    s.ok(e["event"] == "reload.failed" and "cluster-key" in e["detail"] and not os.path.exists(f"{g.dir}/cluster.key"),
         "a lost cluster key is not replaced by another one", repr(e))
    os.rename(f"{g.dir}/cluster.away", f"{g.dir}/cluster.key")
    s.ok(s.reload()["event"] == "reload.done" and s.metric("tidewaiter_reload_ok") == 1
         and s.metric('tidewaiter_reloads_total{outcome="done"}') == done + 1, "and put right, it works again")


def keys(s):
    """An issuer's key that is gone is gone at once, cached tokens included; one that came is there."""
    g, kept = s.gateway, labs.Client(s.gateway)
    other = labs.Signer(s.lab.dir, "test-2")
    s.ok(kept.request("GET", "/v2/app/tags/list", s.dev).status == 200, "dev lists")
    s.ok(g.request("GET", "/v2/", other.token("dev")).status == 401, "an unknown key")
    shutil.copy(s.lab.signer.jwks, f"{g.dir}/both.json")
    with open(s.lab.signer.jwks) as a, open(other.jwks) as b:
        both = {"keys": json.load(a)["keys"] + json.load(b)["keys"]}
    shutil.copy(s.lab.signer.jwks, f"{s.lab.dir}/jwks.kept")
    with open(s.lab.signer.jwks, "w") as f:
        json.dump(both, f)
    s.reload()
    s.ok(g.request("GET", "/v2/", other.token("dev")).status == 200 and
         kept.request("GET", "/v2/app/tags/list", s.dev).status == 200, "a second key is taken up, the first one stays")
    shutil.copy(other.jwks, s.lab.signer.jwks)
    s.reload()
    s.ok(kept.request("GET", "/v2/app/tags/list", s.dev).status == 401, "a removed key stops working, on a kept connection, too")
    shutil.copy(f"{s.lab.dir}/jwks.kept", s.lab.signer.jwks)
    s.reload()
    s.ok(g.request("GET", "/v2/app/tags/list", s.dev).status == 200, "and works again when it is back")
    kept.close()


def under_load(s):
    """Many requests while two policies and two upstream configurations take turns: none fails, none is a mixture."""
    g, stop, wrong, counts = s.gateway, threading.Event(), [], {"A": 0, "B": 0}
    s.stub.put("app", "v1", labs.OCI_MANIFEST, labs.manifest())
    other = s.lab.signer.token("other")
    hashes = {}

    def run():
        c = labs.Client(g)
        while not stop.is_set():
            try:
                r = c.request("GET", "/v2/app/manifests/v1", s.dev)
                if r.status != 200:
                    wrong.append(repr(r))
                r = c.request("GET", "/v2/app/manifests/v1", other)
                said = labs.without_event(r.message())
                if r.status != 403 or said not in ("it is A", "it is B"):
                    wrong.append(repr(r))
                else:
                    counts[said[-1]] += 1
                if r.header("connection") == "close":
                    c.close()
                    c = labs.Client(g)
            except (labs.Closed, OSError) as e:
                wrong.append(repr(e))
                return
        c.close()

    with open(g.conf) as f:
        good = f.read()
    s.write_policy(policy(message="it is A"))
    hashes["A"] = s.reload()["policy"]
    threads = [threading.Thread(target=run, daemon=True) for _ in range(16)]
    for t in threads:
        t.start()
    for i in range(20):
        which = "BA"[i % 2]
        s.write_policy(policy(message="it is " + which))
        with open(g.conf, "w") as f:
            f.write(good.replace("redirects", "redirects") if which == "A" else good.replace("repositories", "repositories"))
        hashes[which] = s.reload()["policy"]
        time.sleep(0.05)
    stop.set()
    for t in threads:
        t.join(20)
    s.ok(not wrong, "20 reloads under load: no request failed", "\n".join(wrong[:5]))
    s.ok(counts["A"] > 20 and counts["B"] > 20, f"both policies were seen ({counts['A']}, {counts['B']})")
    g.settled(10)
    denied = [e for e in g.requests() if e.get("sid") == "Says"]
    s.ok(denied and {e["policy"] for e in denied} == set(hashes.values()), "each event names one of the two policies")
    burst = len(s.reloads())
    for _ in range(5):
        g.process.child.send_signal(signal.SIGHUP)
    s.ok(labs.wait_for(lambda: len(s.reloads()) > burst), "a burst of signals is at least one reload")
    time.sleep(0.3)
    s.write_policy(policy())
    s.reload()


def upload(s):
    """An upload that began before goes on after."""
    c, data = labs.Client(s.gateway), os.urandom(300000)
    r = c.request("POST", "/v2/app/blobs/uploads/", s.ci)
    c.send(f"PATCH {r.header('location')} HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {s.ci}\r\n"
           f"Content-Length: {len(data)}\r\n\r\n".encode() + data[:1000])
    time.sleep(0.1)
    s.write_policy(policy(deny=["ci"]))
    s.ok(s.reload()["event"] == "reload.done", "reload in the middle of an upload")
    c.send(data[1000:])
    r = c.response("PATCH")
    s.ok(r.status == 202, "the chunk under way is taken to its end", repr(r))
    where = r.header("location")
    r = c.request("PUT", f"{where}?digest={labs.digest_of(data)}", s.ci, body=b"")
    s.ok(r.status == 403, "the next request is the new policy's", repr(r))
    s.write_policy(policy())
    s.reload()
    r = c.request("PUT", f"{where}?digest={labs.digest_of(data)}", s.ci, body=b"")
    s.ok(r.status == 201, "its lease outlives reloads", repr(r))
    c.close()


def slow_push(lab, report):
    """A manifest whose body takes long is asked about again when it is there: who may push now, and who is it still?"""
    s, body = Scene(lab, report, "reload-push"), labs.manifest(note="slow")

    def begin(token, tag):
        c = labs.Client(s.gateway)
        c.send(f"PUT /v2/app/manifests/{tag} HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {token}\r\n"
               f"Content-Type: {labs.OCI_MANIFEST}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:100])
        return c

    def end(c, status, reason, name):
        c.send(body[100:])
        r = c.response("PUT")
        e = s.gateway.wait_event(lambda e: r.message() and e["id"] in r.message()) if status != 201 else None
        s.ok(r.status == status and (e is None or e["reason"] == reason), name, f"{r} {e}")
        c.close()
    denied, unknown, allowed = begin(s.ci, "slow1"), begin(s.ci, "slow2"), begin(s.ci, "slow3")
    labs.wait_for(lambda: s.metric("tidewaiter_connections") >= 3)
    time.sleep(0.2)
    s.write_policy(policy(deny=["ci"]))
    s.reload()
    end(denied, 403, "denied_by_policy", "a manifest under way when its pusher was denied")
    s.write_policy(policy())
    with open(s.lab.signer.jwks) as f:
        text = f.read()
    with open(labs.Signer(s.lab.dir, kid="third").jwks) as f:
        third = f.read()
    with open(s.lab.signer.jwks, "w") as f:
        f.write(third)
    s.reload()
    end(unknown, 401, "bad_token", "... when nobody vouches for its token any more")
    with open(s.lab.signer.jwks, "w") as f:
        f.write(text)
    s.reload()
    end(allowed, 201, None, "... when nothing changed in the end")
    s.edit('mode = "enforce"', 'mode = "observe"')
    s.reload()
    observed = begin(s.ci, "slow3")
    time.sleep(0.2)
    s.edit('mode = "observe"', 'mode = "enforce"')
    s.reload()
    body = labs.manifest(note="s2ow")
    end(observed, 403, "policy_changed", "an overwrite that began under observe does not end under enforce")
    body = labs.manifest(note="slow")
    mark = s.stub.mark()
    late = begin(s.lab.signer.token("ci", exp=int(time.time()) - 54), "slow4")      # a minute of leeway
    time.sleep(7)
    end(late, 401, "bad_token", "a token that expired while the manifest came")
    s.ok(not [x for x in s.stub.since(mark)[0] if x.method == "PUT"], "upstream heard of none of it")
    tags = {t for _, t in s.stub.tags}
    s.ok("slow3" in tags and not tags & {"slow1", "slow2", "slow4"}, "only the good one is there", repr(tags))
    s.end()


def downloads(s):
    """Live ones are asked about again: what is denied now ends, what is not goes on."""
    data = os.urandom(24 << 20)
    digest = labs.digest_of(data)
    s.stub.blobs[digest] = data

    def begin(token, size=100000):
        c = labs.Client(s.gateway)
        c.send(f"GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        c.until(b"\r\n\r\n")
        c.exactly(size)
        return c

    def rest(c, size=100000):
        try:
            return len(c.exactly(len(data) - size)) + size
        except labs.Closed:
            return 0
    held, goes_on = begin(s.dev), begin(s.ci)
    s.write_policy(policy(deny=["dev"]))
    s.ok(s.reload()["event"] == "reload.done", "reload in the middle of two downloads")
    s.ok(rest(held) == 0, "the one that is denied now is cut")
    s.ok(rest(goes_on) == len(data), "the other one goes on to its end")
    e = s.gateway.wait_event(lambda e: e["reason"] == "policy_changed")
    s.ok(e["decision"] == "deny" and e["sid"] == "DeniesDev" and e["actor"]["subject"] == "dev" and e["http"]["status"] == 200
         and e["http"]["bytes_out"] < len(data), "its one event says why", repr(e))
    s.write_policy(policy())
    s.reload()
    held = begin(s.dev)
    jwks = s.lab.signer.jwks
    with open(jwks) as f:
        text = f.read()
    other = labs.Signer(s.lab.dir, kid="another")
    with open(other.jwks) as f:
        fresh = f.read()
    with open(jwks, "w") as f:
        f.write(fresh)
    s.ok(s.reload()["event"] == "reload.done", "the issuer's key is another now")
    s.ok(rest(held) == 0, "a download of who was known by the old one is cut")
    with open(jwks, "w") as f:
        f.write(text)
    s.reload()
    for c in (held, goes_on):
        c.close()


def password(s):
    """A password file is read again."""
    seen = []

    def hook(r):
        seen.append(r.header("authorization"))
        return None
    path = os.path.join(s.lab.dir, "upstream-password")
    with open(path, "w") as f:
        f.write("one\n")
    os.chmod(path, 0o600)
    s.edit(f'url = "{s.stub.origin}";', f'url = "{s.stub.origin}"; credentials = "basic"; username = "robot"; password-file = "{path}";')
    s.stub.hook = hook
    s.reload()
    s.gateway.request("GET", "/v2/app/tags/list", s.dev)
    with open(path, "w") as f:
        f.write("two\n")
    s.reload()
    s.gateway.request("GET", "/v2/app/tags/list", s.dev)
    s.ok("Basic cm9ib3Q6b25l" in seen and seen[-1] == "Basic cm9ib3Q6dHdv", "the new password is sent", repr(seen))
    s.stub.hook = None


def manager(lab, report):
    """What a service manager hears."""
    path = os.path.join(lab.dir, "notify")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(path)
    sock.settimeout(10)
    os.environ["NOTIFY_SOCKET"] = path
    try:
        s = Scene(lab, report, "reload-manager")
    finally:
        del os.environ["NOTIFY_SOCKET"]
    s.ok(sock.recv(256) == b"READY=1", "ready")
    s.reload()
    said = [sock.recv(256), sock.recv(256)]
    s.ok(re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", said[0]) and said[1] == b"READY=1", "reloading, ready", repr(said))
    s.write_policy("no JSON")
    s.reload()
    said = [sock.recv(256), sock.recv(256)]
    s.ok(said[0].startswith(b"RELOADING=1") and said[1] == b"READY=1", "a failed reload ends, too", repr(said))
    s.gateway.stop()
    s.ok(sock.recv(256) == b"STOPPING=1", "stopping")
    s.stub.close()
    sock.close()


def run(lab, report):
    s = Scene(lab, report, "reload")
    certificates(s)
    nothing_changes(s)
    keys(s)
    under_load(s)
    upload(s)
    downloads(s)
    password(s)
    s.end()
    slow_push(lab, report)
    manager(lab, report)
