# raw.py - raw TLS clients against a recording upstream: what is refused, raced, cut and counted.
# SPDX-License-Identifier: Apache-2.0
import base64
import os
import re
import signal
import socket
import threading
import time

import lab as labs
import stub as stubs

KIND = {"Content-Type": labs.OCI_MANIFEST}


def put(g, repo, tag, body, token, **kw):
    return g.request("PUT", f"/v2/{repo}/manifests/{tag}", token, KIND, body, **kw)


def login(report, g, tokens):
    r = g.request("GET", "/v2/")
    report.ok(r.status == 401 and "basic" in (r.header("www-authenticate") or "").lower() and r.code() == "UNAUTHORIZED",
              "GET /v2/ without credentials is 401 with a challenge", repr(r))
    r = g.request("GET", "/v2/", tokens["ci"])
    report.ok(r.status == 200, "GET /v2/ with a bearer token", repr(r))
    basic = base64.b64encode(b"jwt:" + tokens["ci"].encode()).decode()
    r = g.request("GET", "/v2/", headers={"Authorization": "Basic " + basic})
    report.ok(r.status == 200, "GET /v2/ with the token as Basic password", repr(r))
    r = g.request("GET", "/v2/", tokens["ci"][:-8] + "AAAAAAAA")
    report.ok(r.status == 401, "a token with another signature is 401", repr(r))


def refusals(report, g, stub, tokens):
    """Refused: an OCI error, one event with the reason, and not one byte upstream."""
    other = labs.manifest(note="other")
    rows = [    # who, method, target, body, status, reason
        ("ci", "PUT", "/v2/elsewhere/manifests/v1", other, 403, "not_allowed"),
        ("dev", "PUT", "/v2/app/manifests/v9", other, 403, "not_allowed"),
        ("dev", "POST", "/v2/app/blobs/uploads/", b"", 403, "not_allowed"),
        ("other", "GET", "/v2/app/manifests/v1", None, 403, "not_allowed"),
        ("other", "HEAD", "/v2/app/manifests/v1", None, 403, "not_allowed"),
        ("other", "GET", "/v2/app/tags/list", None, 403, "not_allowed"),
        ("ci", "POST", "/v2/app/frozen/blobs/uploads/", b"", 403, "denied_by_policy"),
        ("ci", "DELETE", "/v2/app/manifests/v1", None, 403, "not_allowed"),
        ("ci", "GET", "/v2/app/manifests/%76", None, 400, "bad_target"),
        ("ci", "GET", "/v1/search", None, 404, "no_route"),
        ("ci", "POST", "/v2/app/manifests/v1", b"", 405, "method"),
        (None, "GET", "/v2/app/manifests/v1", None, 401, "no_credentials"),
        (None, "PUT", "/v2/app/manifests/v1", other, 401, "no_credentials"),
    ]
    for who, method, target, body, status, reason in rows:
        before, mark = g.settled(), stub.mark()
        r = g.request(method, target, tokens.get(who), KIND if body else {}, body)
        events = g.wait_requests(before + 1)[before:]
        stub.settle(0.02)
        requests, size = stub.since(mark)
        good = (r.status == status and (method == "HEAD" or r.code()) and len(events) == 1 and
                events[0]["decision"] == "deny" and events[0]["reason"] == reason and not requests and not size)
        report.ok(good, f"{who or 'nobody'} {method} {target}: {status} {reason}, nothing upstream",
                  f"{r}; {[(e['decision'], e['reason']) for e in events]}; upstream {requests} {size} bytes")
    r = g.request("POST", "/v2/app/frozen/blobs/uploads/", tokens["ci"], body=b"")
    report.ok("frozen until the audit is over" in (r.message() or "") and "\n" not in r.reason,
              "the statement's Message reaches the client", repr(r))


def overwrite(report, g, stub, tokens):
    one, two = labs.manifest(note="one"), labs.manifest(note="two")
    r = put(g, "app", "v1", one, tokens["ci"])
    report.ok(r.status == 201 and r.header("docker-content-digest") == labs.digest_of(one), "a new tag: 201", repr(r))
    r = put(g, "app", "v1", one, tokens["ci"])
    report.ok(r.status == 201, "the same image again: 201", repr(r))
    mark = stub.mark()
    r = put(g, "app", "v1", two, tokens["ci"])
    report.ok(r.status == 403 and r.code() == "DENIED" and "immutable" in (r.message() or "") and "immutable" in r.reason,
              "another image under the tag: 403 DENIED, told in body and reason phrase", repr(r))
    requests, _ = stub.since(mark)
    report.ok(not [x for x in requests if x.method == "PUT"], "no PUT went upstream", repr(requests))
    report.ok(stub.tags["app", "v1"] == labs.digest_of(one), "the tag stands")
    stub.put("app", "found", labs.OCI_MANIFEST, one)
    r = put(g, "app", "found", two, tokens["ci"])
    report.ok(r.status == 403, "a tag found upstream is immutable from the first sight", repr(r))
    event = g.wait_event(lambda e: e["http"]["path"] == "/v2/app/manifests/found")
    report.ok(event["reason"] == "tag_locked" and event["registry"]["old_digest"] == labs.digest_of(one) and
              event["registry"]["digest"] == labs.digest_of(two) and event["actor"]["subject"] == "ci",
              "its event names both digests and who", repr(event))


def race(report, g, stub, tokens, tag, bodies):
    """All at once. The responses."""
    clients = [g.client() for _ in bodies]
    answers, ready = [None] * len(bodies), threading.Barrier(len(bodies))

    def push(i):
        ready.wait()
        answers[i] = clients[i].request("PUT", f"/v2/app/manifests/{tag}", tokens["ci"], KIND, bodies[i])
    threads = [threading.Thread(target=push, args=(i,)) for i in range(len(bodies))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(40)
    for c in clients:
        c.close()
    return answers


def races(report, g, stub, tokens):
    for round_ in range(5):
        bodies = [labs.manifest(note=f"race {round_} {i}") for i in range(16)]
        answers = race(report, g, stub, tokens, f"race{round_}", bodies)
        won = [i for i, r in enumerate(answers) if r is not None and r.status == 201]
        lost = [r.status for i, r in enumerate(answers) if i not in won]
        report.ok(len(won) == 1 and set(lost) == {403} and
                  stub.tags.get(("app", f"race{round_}")) == labs.digest_of(bodies[won[0]]),
                  f"16 images race for a new tag: one 201, fifteen 403 (round {round_ + 1})", f"won {won}, lost {lost}")
        puts = [r for c in stub.connections for r in c.requests if r.method == "PUT" and r.target.endswith(f"race{round_}")]
        report.ok(len(puts) == 1, "... and upstream saw one PUT", repr(puts))
    same = labs.manifest(note="same")
    answers = race(report, g, stub, tokens, "same", [same] * 16)
    got = [r.status if r else None for r in answers]
    report.ok(set(got) <= {201, 503} and 201 in got, "16 pushes of the same image: 201 (or 503, try again)", repr(got))


def upstream_faults(report, g, stub, tokens):
    """Whatever upstream does, the client hears an OCI error or sees a cut, and the tag can be healed."""
    body = labs.manifest(note="fault")
    huge = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100000 + b"\r\n\r\n"
    for name, hook in (("garbage", lambda r: b"nonsense\r\n\r\n"), ("an endless head", lambda r: huge),
                       ("two lengths", lambda r: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab"),
                       ("a hang-up", lambda r: "drop"), ("401", lambda r: (401, {"WWW-Authenticate": "Basic"}, b"")),
                       ("a redirect", lambda r: (307, {"Location": "https://evil.test/x"}, b""))):
        stub.hook = hook
        r = g.request("GET", "/v2/app/manifests/v1", tokens["ci"])
        report.ok(r.status == 502 and r.code() == "UNAVAILABLE", f"upstream answers {name}: 502 with an OCI body", repr(r))
    stub.hook = lambda r: (202, {"Location": "https://evil.test/v2/app/blobs/uploads/1"}, b"") if r.method == "POST" else None
    r = g.request("POST", "/v2/app/blobs/uploads/", tokens["ci"])
    report.ok(r.status == 502, "an upload Location at another host: 502", repr(r))
    stub.hook = lambda r: (500, {}, b"") if r.method == "PUT" else None
    r = put(g, "app", "hurt", body, tokens["ci"])
    report.ok(r.status >= 500, "upstream fails a manifest PUT: 5xx", repr(r))
    r = put(g, "app", "hurt", labs.manifest(note="rival"), tokens["ci"])
    report.ok(r.status == 403, "... then another image may not take the tag", repr(r))
    stub.hook = None
    r = put(g, "app", "hurt", body, tokens["ci"])
    report.ok(r.status == 201, "... but the same one heals it", repr(r))
    big = os.urandom(1 << 20)
    digest = labs.digest_of(big)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(big)}\r\n\r\n".encode()
    stub.hook = lambda r: head + big[:100000]
    c = g.client()
    try:
        c.request("GET", f"/v2/app/blobs/{digest}", tokens["ci"])
        report.ok(False, "a download cut upstream is cut for the client")
    except labs.Closed:
        report.ok(True, "a download cut upstream is cut for the client")
    stub.hook = None


def uploads(report, g, stub, tokens):
    # go-containerregistry (crane, cosign, ko, kaniko) begins an upload like that; upstream hears of no such type
    mark = stub.mark()
    r = g.request("POST", "/v2/app/blobs/uploads/", tokens["ci"], {"Content-Type": "application/json"})
    seen = [q.header("content-type") for q in stub.since(mark)[0]]
    report.ok(r.status == 202 and seen == ["application/octet-stream"], "a Content-Type where there is no body does no harm", f"{r} {seen}")
    r = g.request("POST", "/v2/app/blobs/uploads/", tokens["ci"], {"Content-Type": "application/x-www-form-urlencoded"}, b"mount=x&from=y")
    report.ok(r.status == 415, "... where there is one it is refused", repr(r))
    data = os.urandom(300000)
    r = g.upload("app", data, tokens["ci"])
    report.ok(r.status == 201 and r.header("location") == f"/v2/app/blobs/{labs.digest_of(data)}", "POST, PATCH, PUT", repr(r))
    lease = g.request("POST", "/v2/app/blobs/uploads/", tokens["ci"]).header("location") or ""
    report.ok(re.fullmatch(r"/v2/app/blobs/uploads/[\w-]+", lease) and "state" not in lease, "the Location is a lease of ours", lease)
    mark = stub.mark()
    for name, target, who in (("another identity", lease, "ci2"), ("another repository", lease.replace("/app/", "/app/x/"), "ci"),
                              ("a changed lease", lease[:-2] + ("AA" if not lease.endswith("AA") else "BB"), "ci")):
        r = g.request("PATCH", target, tokens[who], body=b"x")
        report.ok(r.status == 404 and r.code() == "BLOB_UPLOAD_UNKNOWN", f"the lease with {name}: 404", repr(r))
    report.ok(stub.since(mark) == ([], 0), "... and nothing upstream")
    c = g.client()
    c.send(f"PATCH {lease} HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {tokens['ci']}\r\n"
           "Transfer-Encoding: chunked\r\n\r\n400\r\n".encode() + b"x" * 100)
    time.sleep(0.1)
    c.close()
    report.ok(labs.wait_for(lambda: any(r.target.startswith("/v2/app/blobs/uploads/") and r.method == "PATCH" and not r.complete
                                        for x in stub.connections for r in x.requests)), "a client that goes in the middle")


def kept_connection(report, g, tokens):
    c = g.client()
    first = c.request("GET", "/v2/app/manifests/v1", tokens["ci"])
    second = c.request("GET", "/v2/app/manifests/v1", tokens["other"])
    third = c.request("GET", "/v2/app/manifests/v1", tokens["dev"])
    report.ok((first.status, second.status, third.status) == (200, 403, 200), "identity belongs to the request, not the connection",
              f"{first} {second} {third}")
    c.close()


def admin(report, g):
    report.ok(g.admin("/healthz") == (200, "ok\n") or g.admin("/healthz")[0] == 200, "/healthz", repr(g.admin("/healthz")))
    report.ok(g.admin("/v2/")[0] == 404 and g.admin("/healthz/x")[0] == 404, "the admin listener serves nothing else")
    for what, data, want in (("another method", b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b"405"),
                             ("garbage", b"\x16\x03\x01\x00\xa5\x01\r\n\r\n", b"400"),
                             ("too large a head", b"GET /healthz HTTP/1.1\r\nA: " + b"a" * 70000, b"4"),
                             ("two requests at once", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 2, b"200")):
        with socket.create_connection(("127.0.0.1", g.admin_port), 5) as s:
            try:
                s.sendall(data)
                got = s.recv(65536)
            except ConnectionError:
                got = b""
            report.ok(got.startswith(b"HTTP/1.1 " + want) or (want == b"4" and not got), f"the admin listener: {what}", repr(got[:200]))
    status, text = g.admin("/metrics")
    value = dict(re.findall(r"(?m)^(tidewaiter_\S+) (\S+)$", text))
    report.ok(status == 200 and float(value.get('tidewaiter_refusals_total{reason="tag_locked"}', 0)) > 0,
              "/metrics counts refusals by reason", text[:300])
    report.ok(float(value.get("tidewaiter_requests_total", 0)) == len(g.requests()),
              "/metrics and the audit log agree on the number of requests",
              f"{value.get('tidewaiter_requests_total')} and {len(g.requests())}")


def ending(report, g, stub, tokens):
    """SIGTERM: a running download ends well, then the gateway does."""
    big = os.urandom(8 << 20)
    stub.blobs[labs.digest_of(big)] = big
    c = g.client()
    c.send(f"GET /v2/app/blobs/{labs.digest_of(big)} HTTP/1.1\r\nHost: {labs.HOST}\r\n"
           f"Authorization: Bearer {tokens['ci']}\r\n\r\n".encode())
    c.until(b"\r\n\r\n")
    g.process.child.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    report.ok(g.admin("/healthz")[0] == 503, "SIGTERM: /healthz says 503 while it drains", repr(g.admin("/healthz")))
    g.process.child.send_signal(signal.SIGTERM)     # a second one changes nothing
    got = c.exactly(len(big))
    report.ok(got == big, "SIGTERM: a running download is finished")
    report.ok(g.process.child.wait(15) == 0, "... and the gateway ends with status 0", g.process.tail())
    ok, said = g.verify()
    report.ok(ok, f"audit verify: {said}")


def run(lab, report):
    stub = stubs.Stub()
    g = labs.Gateway(lab, "raw", stub.origin).start()
    tokens = {who: lab.signer.token(who) for who in ("ci", "dev", "other")}
    tokens["ci2"] = lab.signer.token("ci2")
    overwrite(report, g, stub, tokens)
    login(report, g, tokens)
    refusals(report, g, stub, tokens)
    races(report, g, stub, tokens)
    kept_connection(report, g, tokens)
    upstream_faults(report, g, stub, tokens)
    uploads(report, g, stub, tokens)
    time.sleep(0.3)
    admin(report, g)
    bad = [(r, r.violations) for c in stub.connections for r in c.requests if r.violations]
    report.ok(not bad, "every request upstream was in canonical form", repr(bad[:3]))
    raw = b"".join(bytes(c.raw) for c in stub.connections)
    report.ok(not any(t.encode() in raw for t in tokens.values()), "no client's token went upstream")
    ending(report, g, stub, tokens)
    down = labs.Gateway(lab, "down", f"http://127.0.0.1:{labs.free_port()}").start()
    r = down.request("GET", "/v2/app/manifests/v1", tokens["ci"])
    report.ok(r.status in (502, 503) and r.code() == "UNAVAILABLE", "upstream down: 502 with an OCI body", repr(r))
    r = put(down, "app", "v1", labs.manifest(note="down"), tokens["ci"])
    report.ok(r.status in (502, 503), "upstream down: a push is refused", repr(r))
    down.stop()
