# faults.py - upstreams that misbehave around a push: whatever they do, no tag gets two digests, and the promise stands.
#
# Each row: what upstream does while the first image is pushed, what the client may hear, and what its rival - another
# image for the same tag, pushed while the outcome is open and again when upstream is well - may. At the end the tag has
# at most one digest upstream, all that heard 201 pushed that one, and it can be pushed again.
# SPDX-License-Identifier: Apache-2.0
import json
import threading
import time

import lab as labs
import stub as stubs

SETTLE = 2
KIND = {"Content-Type": labs.OCI_MANIFEST}


class Fault:
    """A hook for what is asked about manifests, until it is `over`."""

    def __init__(self, stub, put=None, get=None, head=None):
        self.stub, self.does = stub, {"PUT": put, "GET": get, "HEAD": head}
        self.over = threading.Event()

    def __call__(self, r):
        do = self.does.get(r.method)
        if self.over.is_set() or do is None or "/manifests/" not in r.target:
            return None
        return do(self.stub, r)


def stored(stub, r):
    with stub.lock:
        return stub.registry(r)


def late(stub, r):
    answer = stored(stub, r)
    time.sleep(2)       # longer than the gateway waits
    return answer


def stored_late(stub, r):
    time.sleep(1.6)     # the gateway has gone; upstream stores all the same
    return stored(stub, r)


def stored_and_gone(stub, r):
    stored(stub, r)
    return "drop"


def gone_then_refuses(stub, r):
    """Takes it, closes the kept connection as if idle, refuses it on another one - and stores the first all the same."""
    stub.puts = getattr(stub, "puts", 0) + 1
    if stub.puts == 1:
        threading.Timer(1.2, stored, (stub, r)).start()
        return "drop"
    return (429, {}, b"") if stub.puts == 2 else stored(stub, r)


def other_digest(stub, r):
    status, headers, body = stored(stub, r)
    return status, {**headers, "Docker-Content-Digest": "sha256:" + "0" * 64}, body


def other_bytes(stub, r):
    """Takes it, says so, and keeps something else."""
    name, tag = r.target[4:].split("/manifests/")
    digest = labs.digest_of(r.body)
    stub.put(name, tag, labs.OCI_MANIFEST, labs.manifest(note="not what was pushed"))
    return 201, {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/manifests/{digest}"}, b""


def cut(stub, r):
    return b"HTTP/1.1 201 Created\r\nContent-Len"


def answer(status, body=b"", **headers):
    return lambda stub, r: (status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


def code(status, word):
    return answer(status, json.dumps({"errors": [{"code": word}]}).encode(), Content_Type="application/json")


PUSHES = 4      # in a row
# what upstream does, how, what the first push may hear, what the rival hears meanwhile, and when upstream is well again
ROWS = (
    ("answers late", {"put": late}, {504, 502}, 403, 403),
    ("stores late, after we have gone", {"put": stored_late}, {504, 502}, 403, 403),
    ("drops the connection after storing", {"put": stored_and_gone}, {502}, 403, 403),
    ("drops the connection before storing", {"put": lambda s, r: "drop"}, {502}, 403, 201),
    ("drops a kept connection, then refuses", {"put": gone_then_refuses}, {429}, 403, 403),
    ("is cut in the middle of its answer", {"put": cut}, {502}, 403, 201),
    ("answers 500 without storing", {"put": answer(500)}, {500, 502}, 403, 201),
    ("answers 500 after storing", {"put": lambda s, r: (stored(s, r), (500, {}, b""))[1]}, {500, 502}, 403, 403),
    ("names another digest in its answer", {"put": other_digest}, {201, 502}, 403, 403),
    ("keeps other bytes than it was sent", {"put": other_bytes}, {502}, 403, 403),
    ("refuses the manifest", {"put": code(400, "MANIFEST_INVALID")}, {400}, 400, 201),
    ("says 404 without MANIFEST_UNKNOWN", {"get": answer(404, b"404 page not found\n", Content_Type="text/plain")}, {503}, 503, 201),
    ("says 404 with another code", {"get": code(404, "BLOB_UNKNOWN")}, {503}, 503, 201),
    ("says 404 with NAME_UNKNOWN", {"get": code(404, "NAME_UNKNOWN")}, {502, 503}, 403, 403),
    ("fails when asked for the tag", {"get": answer(500)}, {503}, 503, 201),
    ("asks for a login", {"get": answer(401, WWW_Authenticate='Basic realm="x"')}, {502, 503}, 503, 201),
    ("sends us elsewhere for the tag", {"get": answer(307, Location="https://evil.test/")}, {502, 503}, 503, 201),
    ("answers 400 to HEAD, as ECR does", {"head": answer(400)}, {201}, 403, 403),
)


def row(report, g, stub, token, n, name, hooks, first, meanwhile, after):
    tag, ours, rival = f"t{n}", labs.manifest(note=f"ours {n}"), labs.manifest(note=f"rival {n}")
    told = []

    def put(body):
        r = g.request("PUT", f"/v2/app/manifests/{tag}", token, KIND, body)
        if r.status == 201:
            told.append(labs.digest_of(body))
        return r
    stub.hook = fault = Fault(stub, **hooks)
    r = put(ours)
    report.ok(r.status in first, f"upstream {name}: {sorted(first)}", repr(r))
    r = put(rival)
    report.ok(r.status == meanwhile, f"... meanwhile another image: {meanwhile}", repr(r))
    fault.over.set()
    time.sleep(SETTLE + 1)
    r = put(rival)
    report.ok(r.status == after, f"... when upstream is well: {after}", repr(r))
    stands = stub.tags.get(("app", tag))
    report.ok(len(set(told)) <= 1 and (not told or told[0] == stands), "... one digest for the tag", f"{told}, upstream {stands}")
    r = put(rival if after == 201 else ours)
    # an upstream that kept other bytes has moved the tag itself: nobody gets it by force
    good = r.status == 201 and stub.tags["app", tag] == stands if stands in map(labs.digest_of, (ours, rival)) else r.status == 403
    report.ok(good, "... which may be pushed again", repr(r))


def run(lab, report):
    """Every row has an upstream and a gateway's tag of its own, so they wait for their clocks together."""
    token = lab.signer.token("ci")

    def one(n, name, *rest):
        stub = stubs.Stub()
        g = labs.Gateway(lab, f"faults-{n}", stub.origin, tags={"settle": f"{SETTLE} s"}, workers=1,
                         limits={"upstream-first-byte": "1 s"}).start()
        mine = labs.Report(quiet=True)
        row(mine, g, stub, token, n, name, *rest)
        g.stop()
        ok, said = g.verify()
        mine.ok(ok and len(g.requests()) == PUSHES, f"... {PUSHES} pushes, {PUSHES} events: {said}", repr(g.requests()))
        stub.close()
        return mine
    results = [None] * len(ROWS)

    def some(k):
        for n in range(k, len(ROWS), 6):
            results[n] = one(n, *ROWS[n])
    threads = [threading.Thread(target=some, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    for n, mine in enumerate(results):
        if mine is None:
            report.ok(False, f"upstream {ROWS[n][0]}: not done")
        else:
            report.take(mine)
