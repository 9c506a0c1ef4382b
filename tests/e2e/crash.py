# crash.py - kill -9 during 200 concurrent pushes, again and again: no tag moves, nothing that was acknowledged is lost.
#
# Upstream is a stub that takes its time before and after it stores, and keeps every digest that a tag ever had. A part of
# the pushes contends: two images for one tag, images for tags of earlier rounds, and at the start of a round images for the
# tags that the kill left open, while upstream may still store what it was sent before. The moments are of a seed that is
# printed; CRASH_SEED repeats them, CRASH_ROUNDS makes it longer.
# SPDX-License-Identifier: Apache-2.0
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter

import lab as labs
import pushers
import stub as stubs

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "20"))
CLIENTS = 200
EACH = 40           # more than a connection gets to before the kill
LATE = 1.5          # seconds that upstream may take to store
SETTLE = 4          # seconds


class Upstream(stubs.Stub):
    """Slow now and then, on both sides of storing; remembers all digests of a tag."""

    def __init__(self, rng):
        super().__init__()
        self.rng, self.had, self.turn = rng, {}, threading.Lock()
        self.hook = self.slowly

    def slowly(self, r):
        if r.method != "PUT":
            return None
        with self.turn:
            before, after = self.rng.choice((0, 0, 0, 0, 0, 0.005, 0.05, 0.2, LATE)), self.rng.choice((0, 0, 0, 0.01, 0.2))
        time.sleep(before)
        with self.lock:
            answer = self.registry(r)
            if "/manifests/" in r.target:
                self.had.setdefault(r.target.rpartition("/")[2], set()).add(stubs.digest_of(r.body))
        time.sleep(after)
        return answer


def image(note):
    body = labs.manifest(note=note)
    return labs.digest_of(body), body


def plan(rng, round_, known, cut):
    """For each connection its pushes: a tag that was cut, tags of its own, tags of two, tags of before, blobs."""
    lists = []
    for i in range(CLIENTS):
        pushes = [pushers.Push(t, *image(f"rival {round_} {i}")) for t in cut[i::CLIENTS]]
        for k in range(EACH):
            kind = rng.random()
            if kind < 0.10:
                body = f"blob {round_} {i} {k}".encode()
                pushes.append(pushers.Push("", labs.digest_of(body), body))
            elif kind < 0.25 and known:
                pushes.append(pushers.Push(rng.choice(known), *image(f"late {round_} {i} {k}")))
            elif i < CLIENTS // 2:
                pushes.append(pushers.Push(f"r{round_}-{i // 2}-{k}", *image(f"contended {round_} {i} {k}")))
            else:
                pushes.append(pushers.Push(f"r{round_}-{i}-{k}", *image(f"own {round_} {i} {k}")))
        lists.append(pushes)
    return lists


def unmoved(stub, told):
    """What is wrong upstream: a tag that had two digests, or not the one that a client was told of."""
    with stub.lock:
        moved = [t for t, digests in stub.had.items() if len(digests) > 1]
        lost = [p.name for p in told if p.name and stub.tags.get(("app", p.name)) != p.digest]
        lost += [p.digest for p in told if not p.name and p.digest not in stub.blobs]
    return moved, lost


def round_of(report, g, stub, crowd, token, rng, n, told, open_, cut):
    """One kill. The tags that were under way."""
    begin, moment = time.time() + 0.5, rng.uniform(0, 0.9)
    known = sorted({p.name for p in told if p.name})
    started = crowd.start(g, token, "app", plan(rng, n, known, cut), begin)
    time.sleep(max(0, begin + moment - time.time()))
    g.process.stop(signal.SIGKILL)
    begun = crowd.wait(started)
    told += [p for p in begun if p.status == 201]
    open_ |= {p.name for p in begun if p.name and p.status != 201}
    g.start()
    ok, said = g.verify()
    moved, lost = unmoved(stub, told)
    cut = [p.name for p in begun if p.status is None]
    report.ok(ok and not moved and not lost, f"killed after {moment * 1000:.0f} ms with {len(cut)} pushes under way, "
              f"{len(begun)} begun: no tag moved, audit verify", f"moved {moved[:5]}, lost {lost[:5]}, {said}")
    return cut


def resolve(report, g, stub, crowd, token, open_):
    """Whatever was left open is decided by a later push of another image: upstream's digest stands, or the tag is free."""
    time.sleep(SETTLE + 1)
    with stub.lock:
        before = {t: stub.tags.get(("app", t)) for t in open_}
    lists = [[pushers.Push(t, *image("later " + t))] for t in sorted(open_)]
    # one connection has some of them, so that they are 64 and not thousands
    lists = [[p for one in lists[i::64] for p in one] for i in range(64)]
    done = crowd.wait(crowd.start(g, token, "app", lists))
    bad = [(p.name, p.status, p.reason, before[p.name]) for p in done
           if p.status != (403 if before[p.name] else 201) or (p.status == 403 and "immutable" not in p.reason)]
    report.ok(len(done) == len(open_) and not bad, f"{len(open_)} tags without an answer are decided by the next push "
              f"({sum(p.status == 201 for p in done)} were free, {sum(p.status == 403 for p in done)} taken)", repr(bad[:5]))
    return [p for p in done if p.status == 201]


def events_of(report, g, told):
    have = Counter((e["registry"].get("tag") or "", e["registry"]["digest"]) for e in g.requests()
                   if e["decision"] == "allow" and e["http"]["status"] == 201)
    need = Counter((p.name, p.digest) for p in told)
    missing = need - have
    report.ok(not missing, f"each of {len(told)} answers with 201 has its event", repr(list(missing.items())[:5]))


def run(lab, report):
    seed = int(os.environ.get("CRASH_SEED", "0")) or int.from_bytes(os.urandom(4), "big")
    print(f"  note   CRASH_SEED={seed}", flush=True)
    rng = random.Random(seed)
    stub = Upstream(random.Random(seed + 1))
    g = labs.Gateway(lab, "crash", stub.origin, tags={"settle": f"{SETTLE} s"}).start()
    crowd, token = pushers.Pushers(), lab.signer.token("ci")
    told, open_, cut, cuts = [], set(), [], 0
    try:
        for n in range(ROUNDS):
            cut = round_of(report, g, stub, crowd, token, rng, n, told, open_, sorted({t for t in cut if t}))
            cuts += len(cut)
        told += resolve(report, g, stub, crowd, token, open_)
    finally:
        crowd.close()
    report.ok(cuts >= ROUNDS and len(told) > ROUNDS, f"it was worth it: {cuts} pushes cut, {len(told)} acknowledged")
    moved, lost = unmoved(stub, told)
    report.ok(not moved and not lost, "in the end no tag has moved", f"moved {moved[:5]}, lost {lost[:5]}")
    g.settled()
    events_of(report, g, told)
    g.stop()
    with sqlite3.connect(os.path.join(g.dir, "tags.db")) as ledger:
        left = ledger.execute("SELECT tag, digest FROM tag_record WHERE state = 'claimed'").fetchall()
    report.ok(not left, "no claim is left", repr(left[:5]))
    ok, said = g.verify()
    report.ok(ok, f"audit verify: {said}")
    stub.close()
