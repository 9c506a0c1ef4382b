# soak.py - a mixed load for some time: correct all along, and in the end no more memory and descriptors than in the middle.
#
# soak:MINUTES; without, half an hour. In batches: new connections, pushes of many tags, two images for one tag, pulls of what
# is there and of what is not, bad tokens, clients that go away in the middle.
# SPDX-License-Identifier: Apache-2.0
import os
import random
import time

import lab as labs
import pushers
import stub as stubs

CLIENTS = 60
EACH = 12
ROOM_KIB, ROOM_FILES = 8 << 10, 8       # what the last third may have above the one before


def batch(rng, n, known):
    """What each connection does. The last of a pair contends with the first."""
    lists = []
    for i in range(CLIENTS):
        todo = []
        for k in range(EACH):
            kind, note = rng.random(), f"{n} {i} {k}"
            body = labs.manifest(note=note)
            if kind < 0.3 and known:
                todo.append(pushers.Push(*rng.choice(known), None))
            elif kind < 0.4:
                todo.append(pushers.Push("", labs.digest_of(note.encode()), None))
            elif kind < 0.5:
                todo.append(pushers.Push("", labs.digest_of(note.encode()), note.encode()))
            else:
                todo.append(pushers.Push(f"b{n}-{i // 2 if i < CLIENTS // 2 else i}-{k}", labs.digest_of(body), body))
        lists.append(todo)
    return lists


def rude(g, token):
    """Clients as they also are: one with a bad token, one that sends half of what it promised, one that says nothing."""
    g.request("GET", "/v2/app/manifests/v1", token[:-8] + "AAAAAAAA")
    for data in (b"", f"PUT /v2/app/manifests/x HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {token}\r\n"
                 f"Content-Type: {labs.OCI_MANIFEST}\r\nContent-Length: 1000\r\n\r\nhalf".encode()):
        c = g.client()
        c.send(data)
        c.close()


def wrong(done, stub):
    """What should not have been answered."""
    bad = [p for p in done if p.status not in ((200, 404) if p.body is None else (201, 403, 503))]
    bad += [p for p in done if p.body is None and p.name and p.status != 200]
    bad += [p for p in done if p.body is not None and p.name and p.status == 201 and stub.tags["app", p.name] != p.digest]
    return bad


def forget(stub):
    """The stub's record is not what is measured here."""
    with stub.lock:
        for c in stub.connections:
            c.raw.clear()
            c.requests.clear()


def run(lab, report, chosen=("30",)):
    seconds = float(chosen[0]) * 60
    seed = int(os.environ.get("SOAK_SEED", "0")) or int.from_bytes(os.urandom(4), "big")
    rng, stub = random.Random(seed), stubs.Stub()
    g = labs.Gateway(lab, "soak", stub.origin).start()
    crowd, token = pushers.Pushers(), lab.signer.token("ci")
    end, n, known, samples, bad, total = time.monotonic() + seconds, 0, [], [], [], 0
    try:
        while time.monotonic() < end or n < 3:
            done = crowd.wait(crowd.start(g, token, "app", batch(rng, n, known)))
            rude(g, token)
            bad += wrong(done, stub)
            known = [(p.name, p.digest) for p in done if p.name and p.body is not None and p.status == 201]
            total, n = total + len(done), n + 1
            samples.append((g.resident_kib(), g.descriptors()))
            forget(stub)
    finally:
        crowd.close()
    print(f"  note   SOAK_SEED={seed}: {total} requests in {n} batches, {total / seconds:.0f} a second", flush=True)
    report.ok(not bad and total == n * CLIENTS * EACH, f"{total} requests were answered as they should be", repr(bad[:3]))
    third = len(samples) // 3
    middle, last = samples[third:2 * third], samples[2 * third:]
    for what, i, room in (("memory", 0, ROOM_KIB), ("descriptors", 1, ROOM_FILES)):
        was, now = max(s[i] for s in middle), max(s[i] for s in last)
        report.ok(now - was <= room, f"{what}: {was} at most in the second third, {now} in the last", repr(samples[::max(1, n // 20)]))
    ok, said = g.verify()
    report.ok(ok, f"audit verify: {said}")
    g.stop()
    stub.close()
