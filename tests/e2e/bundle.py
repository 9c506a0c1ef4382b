# bundle.py - SIGHUP with bundles of 10,000 statements while requests run: none fails, none sees a mixture, none waits for it.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import signal
import threading
import time

import lab as labs
import stub as stubs

STATEMENTS, CLIENTS, RELOADS, SECONDS = 10000, 8, 10, 3
TAGS = ("a1", "a2", "b1", "b2")


def bundle(letter):
    """What it says it says in its own way: every Sid, the message of a Deny, and which tags a list shows."""
    def statement(sid, effect, who, action, resource, **more):
        return {"Sid": f"{letter}-{sid}", "Effect": effect, "Principal": [f"subject:test/{who}"], "Action": [f"registry:{action}"],
                "Resource": [f"repo:up/{resource}"], **more}
    out = [statement(f"other{i}", "Allow" if i % 10 else "Deny", f"user{i}", "Pull*", f"team{i}/*") for i in range(STATEMENTS - 3)]
    out[1000:1000] = [
        statement("pulls", "Allow", "dev", "PullManifest", "app"),
        statement("lists", "Allow", "dev", "ListTags", "app", Condition={"StringLike": {"registry:Tag": [letter.lower() + "*"]}}),
        statement("says", "Deny", "other", "*", "*", Message="it is " + letter)]
    return json.dumps({"Version": "2026-11-01", "Statement": out})


class Load:
    """Requests on kept connections, each of which tells a bundle; how long each took, and when."""

    def __init__(self, g, dev, other):
        self.g, self.dev, self.other = g, dev, other
        self.kept = threading.local()
        self.stop, self.wrong, self.times, self.seen = threading.Event(), [], [], {"A": 0, "B": 0}
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(CLIENTS)]

    def ask(self, target, token, status):
        begun = time.monotonic()
        kept = self.kept
        if getattr(kept, "client", None) is None:
            kept.client = labs.Client(self.g)
        r = kept.client.request("GET", target, token)
        if r.header("connection") == "close":     # each has its number of requests
            kept.client.close()
            kept.client = None
        self.times.append((time.monotonic(), time.monotonic() - begun))
        if r.status != status:
            self.wrong.append(f"{target}: {r!r}")
        return r

    def turn(self):
        self.ask("/v2/app/manifests/a1", self.dev, 200)
        said = labs.without_event(self.ask("/v2/app/manifests/a1", self.other, 403).message())
        if said not in ("it is A", "it is B"):
            self.wrong.append(said)
        r = self.ask("/v2/app/tags/list", self.dev, 200)
        tags = json.loads(r.body)["tags"]
        if tags not in (["a1", "a2"], ["b1", "b2"]):
            self.wrong.append(f"a list of two bundles: {tags}")
        else:
            self.seen[tags[0][0].upper()] += 1

    def run(self):
        try:
            while not self.stop.is_set():
                self.turn()
        except (labs.Closed, OSError, ValueError, KeyError) as e:
            self.wrong.append(repr(e))
        if getattr(self.kept, "client", None) is not None:
            self.kept.client.close()

    def start(self):
        for t in self.threads:
            t.start()

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(30)

    def between(self, windows):
        return sorted(took for at, took in self.times if any(a <= at < b for a, b in windows))


def percentiles(times):
    return f"{len(times)} requests, p50 {1e3 * times[len(times) // 2]:.1f} ms, p99 {1e3 * times[len(times) - 1 - len(times) // 100]:.1f} ms"


class Trail:
    """The reload events as they come; reading the whole log each time would take the clients' time."""

    def __init__(self, g):
        self.path, self.at, self.found = os.path.join(g.audit, "current.jsonl"), 0, []

    def read(self):
        with open(self.path, "rb") as f:
            f.seek(self.at if os.fstat(f.fileno()).st_size >= self.at else 0)
            lines = f.read().split(b"\n")
            self.at = f.tell() - len(lines[-1])
        self.found += [json.loads(line) for line in lines[:-1] if b'"reload.' in line]
        return self.found


def reload(g, trail, text):
    """The event, and the time it took: from the signal to it."""
    path = os.path.join(g.dir, "policy.json")
    with open(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)
    before, begun = len(trail.read()), time.monotonic()
    g.process.child.send_signal(signal.SIGHUP)
    labs.wait_for(lambda: len(trail.read()) > before, 60)
    return (trail.found[before:] or [{"event": "none"}])[0], (begun, time.monotonic())


def run(lab, report):
    stub, texts, hashes = stubs.Stub(), {x: bundle(x) for x in "AB"}, {}
    for tag in TAGS:
        stub.put("app", tag, labs.OCI_MANIFEST, labs.manifest())
    g = labs.Gateway(lab, "bundle", stub.origin, json.loads(texts["A"])).start()
    load = Load(g, lab.signer.token("dev"), lab.signer.token("other"))
    trail = Trail(g)
    e, _ = reload(g, trail, texts["A"])
    hashes["A"] = e.get("policy")
    report.ok(e["event"] == "reload.done", f"{STATEMENTS} statements are loaded", f"{e} {g.process.tail()}")
    load.start()
    quiet = (time.monotonic(), time.monotonic() + SECONDS)
    time.sleep(SECONDS)
    windows, failed = [], []
    for i in range(RELOADS):
        letter = "BA"[i % 2]
        e, window = reload(g, trail, texts[letter])
        hashes.setdefault(letter, e.get("policy"))
        windows.append(window)
        time.sleep(0.2)
        if e["event"] != "reload.done" or e.get("policy") != hashes[letter]:
            failed.append(repr(e))
    load.end()
    report.ok(not failed and len(set(hashes.values())) == 2, f"{RELOADS} reloads, two bundles in turn", "\n".join(failed[:3]))
    report.ok(not load.wrong, "no request failed, none saw a mixture", "\n".join(load.wrong[:5]))
    report.ok(min(load.seen.values()) > 10, f"both bundles were seen {load.seen}")
    alone, during = load.between([quiet]), load.between(windows)
    report.ok(alone and len(during) >= RELOADS, f"requests are answered while a bundle is loaded ({len(during)})")
    if alone and during:
        report.say(f"  note   without reload: {percentiles(alone)}")
        report.say(f"  note   from signal to event ({sum(b - a for a, b in windows) / len(windows):.2f} s each): {percentiles(during)}")
    g.settled(20)
    letters, mixed, named = {h: x for x, h in hashes.items()}, [], 0
    for e in g.requests():
        said = set(re.findall(r'"sid": ?"([AB])-', json.dumps(e)))
        named += len(said)
        if not said <= {letters.get(e["policy"])}:      # a list of tags has no statement of its own
            mixed.append(repr(e))
    report.ok(not mixed and named > len(load.times) / 3, f"{named} events name statements, each of the bundle that it names", "\n".join(mixed[:2]))
    ok, said = g.verify()
    report.ok(ok, "audit verify", said)
    g.stop()
    stub.close()
