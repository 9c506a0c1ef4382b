# lists.py - the catalog, tags, referrers and mounts: who sees what, whatever the pages of upstream's are like.
#
# One rule is checked everywhere: following the Links gives exactly the names that may be seen, each once, and no byte
# received names another.
# SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import http.client
import json
import re
import urllib.parse

import adapters
import lab as labs
import stub as stubs

JSON = {"Content-Type": "application/json"}
REPOSITORIES = [f"r{i:03d}/{'team' if i % 7 == 0 else 'secret'}" for i in range(150)]
DENIED = "r021/team"
SEEN = [n for n in REPOSITORIES if n.endswith("team") and n != DENIED]
TAGS = sorted([f"v{i:03d}" for i in range(150)] + [f"internal-{i:03d}" for i in range(150)])


def allow(sid, who, actions, resources, effect="Allow", **more):
    return {"Sid": sid, "Effect": effect, "Principal": [f"subject:test/{who}"] if who else ["*"],
            "Action": [f"registry:{a}" for a in actions], "Resource": resources, **more}


POLICY = {"Version": "2026-11-01", "Statement": [
    allow("FullSees", "full", ["List*", "Pull*"], ["*"]),
    allow("SomeSees", "some", ["ListRepositories"], ["registry:up"]),
    allow("SomeLists", "some", ["ListTags"], ["repo:up/*/team", "repo:up/many"]),
    allow("PullerSees", "puller", ["ListRepositories"], ["registry:up"]),
    allow("PullerPulls", "puller", ["PullManifest"], ["repo:up/r00*"]),
    allow("PullerPullsSome", "puller", ["PullManifest"], ["repo:up/r01*"],
          Condition={"StringLike": {"registry:Tag": ["v*"]}}),
    allow("NobodyHere", None, ["ListTags", "Pull*"], [f"repo:up/{DENIED}"], "Deny"),
    allow("NobodySeesInternal", "some", ["ListTags"], ["*"], "Deny",
          Condition={"StringLike": {"registry:Tag": ["internal-*"]}}),
    allow("LastLists", "last", ["ListRepositories"], ["registry:up"]),
    allow("LastSees", "last", ["ListTags"], ["repo:up/zz", "repo:up/zz/*"]),
    allow("Pushes", "pusher", ["Push*", "Pull*", "MountBlob", "List*"], ["repo:up/src", "repo:up/dst", "repo:up/dst/*"]),
    allow("NoMount", "pusher", ["MountBlob"], ["repo:up/dst/nomount"], "Deny"),
    allow("NoPush", "pusher", ["PushBlob"], ["repo:up/dst/nopush"], "Deny"),
    allow("OneBlobLess", "pusher", ["PullBlob"], ["repo:up/src"], "Deny",
          Condition={"StringEquals": {"registry:Digest": [labs.digest_of(b"withdrawn")]}}),
]}
TWO = {**POLICY, "Statement": POLICY["Statement"] + [
    allow("Elsewhere", "pusher", ["Push*", "Pull*", "MountBlob"], ["repo:other/*"])]}


def wire(r):
    """All of an answer as text."""
    return r.reason + "\n" + "\n".join(f"{k}: {v}" for k, v in r.headers) + "\n" + r.body.decode(errors="replace")


def next_of(r):
    m = re.fullmatch(r'<([^>]+)>; rel="next"', r.header("link", ""))
    return m and m.group(1)


def walk(g, token, target, key, most=2000):
    """Pages of names, and all bytes received."""
    c, pages, raw = g.client(), [], ""
    try:
        while target and len(pages) < most:
            r = c.request("GET", target, token)
            raw += wire(r)
            if r.status != 200:
                return pages, raw, r
            pages.append(json.loads(r.body)[key])
            target = next_of(r)
        return pages, raw, r
    finally:
        c.close()


def check_walk(report, g, token, target, key, wanted, hidden, name, n=None, in_order=True):
    pages, raw, r = walk(g, token, target, key)
    names = [x for p in pages for x in p]
    names = names if in_order else sorted(names)
    leaks = [h for h in hidden if h in raw]
    report.ok(r.status == 200 and names == wanted and not leaks, f"{name}: exactly what may be seen",
              f"{r}; {len(pages)} pages, {len(names)} names, missing {sorted(set(wanted) - set(names))[:3]}, "
              f"too many {sorted(set(names) - set(wanted))[:3]}, leaks {leaks[:3]}")
    if n:
        report.ok(all(len(p) == n for p in pages[:-1]), f"{name}: full pages but for the last", repr([len(p) for p in pages]))
    return pages


def put(connection, repository, tag):
    """A small image, behind the gateway's back."""
    def ask(method, target, body=b"", headers=None):
        connection.request(method, target, body, headers or {})
        r = connection.getresponse()
        r.read()
        if r.status not in (201, 202):
            raise RuntimeError(f"{method} {target}: {r.status}")
        return r
    where = urllib.parse.urlsplit(ask("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"])
    ask("PUT", f"{where.path}?{where.query}&digest={labs.digest_of(b'{}')}", b"{}", {"Content-Type": "application/octet-stream"})
    for t in [tag] if isinstance(tag, str) else tag:
        ask("PUT", f"/v2/{repository}/manifests/{t}", labs.manifest(), {"Content-Type": labs.OCI_MANIFEST})


def fill(url):
    def some(repositories):
        c = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)
        for name in repositories:
            put(c, name, TAGS if name == "many" else "v1")
        c.close()
    names = REPOSITORIES + ["many"]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(some, [names[i::4] for i in range(4)]))


def with_registry(lab, report):
    """Debian's docker-registry: it pages the catalog by name, and ignores n for tags."""
    registry, url = lab.registry("lists-registry")
    fill(url)
    g = labs.Gateway(lab, "lists", url, POLICY).start()
    token = {who: lab.signer.token(who) for who in ("full", "some", "puller", "last", "nobody", "pusher")}
    everything = sorted(REPOSITORIES + ["many"])
    for n in (None, 1, 7, 50, 1000):
        query = f"?n={n}" if n else ""
        check_walk(report, g, token["full"], "/v2/_catalog" + query, "repositories",
                   [x for x in everything if x != DENIED], [DENIED], f"catalog{query}, full", n)
        check_walk(report, g, token["some"], "/v2/_catalog" + query, "repositories", ["many"] + SEEN if n is None else
                   sorted(["many"] + SEEN), ["secret", DENIED], f"catalog{query}, some", n)
    pulled = sorted(x for x in REPOSITORIES if x.startswith("r00"))
    check_walk(report, g, token["puller"], "/v2/_catalog?n=7", "repositories", pulled, ["r01", "r02"],
               "catalog?n=7, who may pull any manifest there", 7)
    check_walk(report, g, token["last"], "/v2/_catalog?n=50", "repositories", [], REPOSITORIES, "catalog?n=50, nothing to see")
    for n in (None, 1, 7, 50):
        query = f"?n={n}" if n else ""
        check_walk(report, g, token["full"], "/v2/many/tags/list" + query, "tags", TAGS, [], f"tags{query}, full", in_order=False)
        check_walk(report, g, token["some"], "/v2/many/tags/list" + query, "tags", [t for t in TAGS if t.startswith("v")],
                   ["internal"], f"tags{query}, some", in_order=False)
    check_walk(report, g, token["some"], "/v2/r000/team/tags/list", "tags", ["v1"], ["secret"], "tags of another")
    strangers(report, g, token)
    skopeo = adapters.Skopeo(lab)
    for who, wanted in (("full", TAGS), ("some", [t for t in TAGS if t.startswith("v")])):
        s = skopeo.session(skopeo, g, who)
        s.login(token[who].encode())
        ok, said = s.list("many")
        report.ok(ok and sorted(json.loads(said)["Tags"]) == wanted, f"skopeo list-tags, {who}: {len(wanted)} tags", said[-300:])
    real_mounts(lab, report, g, token, skopeo)
    ok, said = g.verify()
    report.ok(ok, f"lists: audit verify: {said}")
    g.stop()
    registry.stop()


def strangers(report, g, token):
    """Who may not list hears the same of what is there and what is not."""
    r = g.request("GET", "/v2/_catalog", token["nobody"])
    report.ok(r.status == 403 and r.code() == "DENIED" and "repositories" not in wire(r), "no catalog without ListRepositories", repr(r))
    said = []
    for name in ("r001/secret", "nosuch/secret"):
        r = g.request("GET", f"/v2/{name}/tags/list", token["some"])
        said.append((r.status, labs.without_event(r.reason), r.code(), labs.without_event(r.message()), [k for k, _ in r.headers]))
    report.ok(said[0] == said[1] and said[0][0] == 403, "tags of a forbidden and of an absent repository: the same answer", repr(said))
    r = g.request("GET", "/v2/nosuch/tags/list", token["full"])
    report.ok(r.status == 404 and r.code() == "NAME_UNKNOWN", "tags of an absent repository, for who may list them", repr(r))
    r = g.request("GET", f"/v2/many/referrers/{labs.digest_of(labs.manifest())}", token["full"])
    report.ok(r.status == 404, "a registry without referrers: its 404, and clients fall back to the tag", repr(r))


# ---- mounts ----

def event_of(g, action, repository):
    return g.wait_event(lambda e: e["action"] == action and e["registry"].get("repository") == repository)


def real_mounts(lab, report, g, token, skopeo):
    """skopeo copies between repositories: it tries mounts on its own."""
    s = skopeo.session(skopeo, g, "pusher")
    s.login(token["pusher"].encode())
    ok, said = s.push(skopeo.make("lists"), "src:v1")
    report.ok(ok, "skopeo: a push to the source", said[-300:])
    for name, status in (("dst/allowed", 201), ("dst/nomount", 202)):
        args = ("copy", "--preserve-digests", "--src-cert-dir", skopeo.certs, "--dest-cert-dir", skopeo.certs)
        ok, said = s.run(*args, f"docker://{s.host}/src:v1", f"docker://{s.host}/{name}:v1")
        events = [e for e in g.requests() if e["registry"].get("repository") == name and e["http"]["method"] == "POST"]
        mounted = [e for e in events if e["action"] == "blob.mount" and e["http"]["status"] == 201]
        report.ok(ok and bool(mounted) == (status == 201), f"skopeo copy to {name}: mounts answered {status}, and the image is there",
                  f"{said[-300:]} {[(e['action'], e['reason'], e['http']['status']) for e in events]}")
        ok, said = s.pull(f"{name}:v1")
        report.ok(ok, f"skopeo: a pull from {name}", said[-300:])


def mounts(lab, report):
    """What upstream is asked for, what the client hears, what the event says."""
    stub, other = stubs.Stub(), stubs.Stub()
    g = labs.Gateway(lab, "mounts", stub.origin, TWO)
    with open(g.conf) as f:
        text = f.read()
    with open(g.conf, "w") as f:
        f.write(text.replace("upstream = {", f'upstream = {{ other = {{ url = "{other.origin}"; repositories = ["other/*"]; }};'))
    g.start()
    data, token = b"a blob of the source", lab.signer.token("pusher")
    digest, absent, withdrawn = labs.digest_of(data), labs.digest_of(b"absent"), labs.digest_of(b"withdrawn")
    stub.blobs[digest] = other.blobs[digest] = data
    stub.blobs[withdrawn] = b"withdrawn"
    rows = [    # name, repository, query, status, is a mount asked of upstream?, action, reason
        ("allowed", "dst", f"mount={digest}&from=src", 201, True, "blob.mount", "ok"),
        ("a blob that is not there", "dst/a", f"mount={absent}&from=src", 202, True, "blob.mount", "ok"),
        ("no right at the source", "dst/b", f"mount={digest}&from=private", 202, False, "upload.start", "mount_refused"),
        ("no right at the source, nothing there", "dst/c", f"mount={absent}&from=private", 202, False, "upload.start", "mount_refused"),
        ("one blob of the source is withdrawn", "dst/h", f"mount={withdrawn}&from=src", 202, False, "upload.start", "mount_refused"),
        ("no right to mount here", "dst/nomount", f"mount={digest}&from=src", 202, False, "upload.start", "mount_refused"),
        ("anonymous", "dst/d", f"mount={digest}", 202, False, "upload.start", "mount_refused"),
        ("from another upstream", "dst/e", f"mount={digest}&from=other/src", 202, False, "upload.start", "mount_refused"),
        ("no right to push", "dst/nopush", f"mount={digest}&from=src", 403, None, "blob.mount", "denied_by_policy"),
        ("a plain upload", "dst/f", "", 202, False, "upload.start", "ok"),
    ]
    shapes = {}
    for name, repository, query, status, asked, action, reason in rows:
        mark, elsewhere = stub.mark(), other.mark()
        r = g.request("POST", f"/v2/{repository}/blobs/uploads/" + ("?" + query if query else ""), token)
        stub.settle(0.02)
        requests, _ = stub.since(mark)
        told = ["mount=" in x.target or "from=" in x.target for x in requests]
        good = r.status == status and told == ([] if asked is None else [asked]) and other.since(elsewhere) == ([], 0)
        report.ok(good, f"mount, {name}: {status}", f"{r} {requests}")
        e = event_of(g, action, repository)
        detail = e.get("detail", "")
        report.ok(e["reason"] == reason and ("made an upload" in detail and digest[:20] in detail or absent[:20] in detail
                  or withdrawn[:20] in detail if reason == "mount_refused" else "made an upload" not in detail),
                  f"mount, {name}: its event says {reason}", repr(e))
        shapes[name] = (r.status, r.reason, sorted(k for k, _ in r.headers), len(r.body))
        where = r.header("location", "")
        report.ok(status == 403 or where == f"/v2/{repository}/blobs/{digest}" if status == 201 else
                  status == 403 or re.fullmatch(rf"/v2/{repository}/blobs/uploads/[\w-]+", where), f"mount, {name}: Location", where)
    like = ["no right at the source", "no right at the source, nothing there", "a blob that is not there", "anonymous"]
    report.ok(len({repr(shapes[n]) for n in like}) == 1, "whether a blob is in a repository one may not pull cannot be told from a mount",
              repr({n: shapes[n] for n in like}))
    committed = event_of(g, "blob.mount", "dst")
    report.ok(committed["http"]["status"] == 201 and committed["registry"]["digest"] == digest, "a mount is an event of its own", repr(committed))
    r = g.request("GET", "/v2/_catalog", lab.signer.token("full"))
    report.ok(r.status == 404, "two upstreams: no catalog", repr(r))
    g.stop()


# ---- all sorts of upstreams ----

class Pages:
    """A catalog or tag list of the stub's: how it pages is what differs between registries."""

    def __init__(self, names, key="repositories", link="by name", origin="", most=1000, name=None):
        self.names, self.key, self.link, self.origin, self.most, self.name = names, key, link, origin, most, name
        self.asked = 0

    def __call__(self, r):
        self.asked += 1
        path, _, query = r.target.partition("?")
        q = dict(urllib.parse.parse_qsl(query))
        n = int(q.get("n", 100))
        if n > self.most:
            return 400, JSON, b'{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}'
        if self.link == "opaque":
            at = int(q["next_page"][1:]) if "next_page" in q else 0
        else:
            at = next((i + 1 for i, x in enumerate(self.names) if x == q.get("last")), 0)
        part = self.names[at:at + n]
        headers = dict(JSON)
        if at + n < len(self.names):
            headers["Link"] = {
                "by name": f'</v2/{path[4:]}?last={urllib.parse.quote(part[-1], "")}&n={n}>; rel="next"',
                "absolute": f'<http://registry.internal{path}?n={n}&last={urllib.parse.quote(part[-1], "")}>; rel="next"',
                "query": f'<?n={n}&last={part[-1]}>; rel=next',
                "opaque": f'<{path}?next_page=x{at + n}&hint={part[-1]}&n={n}>; rel="next"',
            }[self.link]
        body = {self.key: part, **({"name": self.name} if self.name else {})}
        return 200, headers, json.dumps(body).encode()


def upstreams(lab, report):
    stub = stubs.Stub()
    g = labs.Gateway(lab, "pages", stub.origin, POLICY).start()
    token = {who: lab.signer.token(who) for who in ("full", "some", "last")}
    mixed = sorted(REPOSITORIES)
    for link in ("by name", "absolute", "query", "opaque"):
        for n in (1, 7, 50):
            stub.hook = Pages(mixed, link=link)
            pages = check_walk(report, g, token["some"], f"/v2/_catalog?n={n}", "repositories", SEEN, ["secret", DENIED],
                               f"Link {link}, n={n}", n if link != "opaque" else None)
            report.ok(all(len(p) for p in pages[:-1]), f"Link {link}, n={n}: no page is empty but the last", repr([len(p) for p in pages]))
            stub.hook = Pages(TAGS, key="tags", name="many", link=link)
            check_walk(report, g, token["some"], f"/v2/many/tags/list?n={n}", "tags", [t for t in TAGS if t.startswith("v")],
                       ["internal"], f"tags, Link {link}, n={n}", n if link != "opaque" else None)
    stub.hook = Pages(mixed, link="opaque")
    check_walk(report, g, token["some"], "/v2/_catalog", "repositories", SEEN, ["secret", DENIED], "Link opaque, no n")

    # one name behind thousands that are hidden: the bounds are hit, and the walk goes on without a name
    long = [f"secret/{i:05d}" for i in range(5000)] + ["zz", "zz/b"]
    for link, n in (("by name", 7), ("opaque", 50)):
        stub.hook = pages = Pages(long, link=link)
        check_walk(report, g, token["last"], f"/v2/_catalog?n={n}", "repositories", ["zz", "zz/b"], ["secret/"], f"5000 hidden ones, Link {link}")
        report.ok(pages.asked < 120, f"5000 hidden ones, Link {link}: upstream was asked {pages.asked} times")
    stub.hook = Pages(long, most=50)
    check_walk(report, g, token["last"], "/v2/_catalog?n=50", "repositories", ["zz", "zz/b"], ["secret/"],
               "an upstream that gives 50 at most")

    # a cursor is its holder's, for its list
    stub.hook = Pages(long)
    cursor = next_of(g.request("GET", "/v2/_catalog?n=7", token["last"]))
    report.ok(cursor and "cursor=" in cursor, "a page without a visible name has a sealed Link", repr(cursor))
    mark = stub.mark()
    for name, target, who in (("another identity", cursor, "some"), ("a changed one", cursor[:-6] + "AAAA" + cursor[-2:], "last"),
                              ("another list", cursor.replace("/v2/_catalog", "/v2/zz/tags/list"), "last"),
                              ("a cursor and a name", cursor + "&last=zz", "last")):
        r = g.request("GET", target, token[who])
        report.ok(r.status == 400, f"the cursor with {name}: 400", repr(r))
    report.ok(stub.since(mark) == ([], 0), "... and nothing upstream")
    e = g.wait_event(lambda e: "cursor" in e["http"]["path"])
    report.ok(len(e["http"]["path"]) < 100, "a cursor is not in the audit log", e["http"]["path"])

    stub.hook = lambda r: (404, JSON, b'{"errors":[{"code":"NAME_UNKNOWN","detail":"%s"}]}' % r.target.encode())
    r = g.request("GET", cursor, token["last"])
    report.ok(r.status == 502 and "secret" not in wire(r), "an error behind a cursor is not relayed: it might name the place", repr(r))

    # large pages are read off the loop; tags of any number come through
    tags = [f"v{i:06d}" for i in range(60000)]
    stub.hook = Pages(tags, key="tags", name="many", most=100000)
    r = g.request("GET", "/v2/many/tags/list?n=1000", token["some"])
    report.ok(r.status == 200 and len(json.loads(r.body)["tags"]) == 1000, "a page of 1000 tags", repr(r))
    stub.hook = lambda r: (200, JSON, json.dumps({"name": "many", "tags": tags}).encode())
    r = g.request("GET", "/v2/many/tags/list", token["some"])
    report.ok(r.status == 200 and json.loads(r.body)["tags"] == tags, "60000 tags in one page", repr(r))
    for name, body in (("another repository", b'{"name":"secret","tags":["v1"]}'), ("twice tags", b'{"name":"many","tags":[],"tags":["v1"]}'),
                       ("another spelling", b'{"name":"many","tags":[],"Tags":["v1"]}'), ("HTML", b"<html></html>"),
                       ("nothing", b""), ("too much", b'{"name":"many","tags":[' + b'"v1",' * 1000000 + b'"v2"]}')):
        stub.hook = lambda r, body=body: (200, JSON, body)
        r = g.request("GET", "/v2/many/tags/list", token["some"])
        report.ok(r.status == 502 and b"v1" not in r.body, f"upstream lists {name}: 502", repr(r))
    stub.hook = lambda r: (206, JSON, b'{"name":"many","tags":["internal-1"]}')
    r = g.request("GET", "/v2/many/tags/list", token["some"])
    report.ok(r.status == 502 and "internal" not in wire(r), "upstream answers 206: 502", repr(r))

    # the second page fails: the first is answered, the next request tells
    def second(r):
        return (500, JSON, b'{"errors":[{"code":"UNKNOWN"}]}') if "last=" in r.target else Pages(mixed)(r)
    stub.hook = second
    pages, raw, r = walk(g, token["some"], "/v2/_catalog?n=50", "repositories")
    report.ok(pages == [[x for x in SEEN if x in mixed[:50]]] and r.status == 500 and "secret" not in raw,
              "upstream fails at the second page: the client sees what there is, then the failure", f"{pages} {r}")
    bad = [(r, r.violations) for c in stub.connections for r in c.requests if r.violations]
    report.ok(not bad, "every list asked upstream was in canonical form", repr(bad[:3]))
    gone(report, g, stub, token)
    g.stop()


def gone(report, g, stub, token):
    """Clients that go while a list is read, sent or filtered: the gateway lives, with one event each."""
    tags = [f"v{i:06d}" for i in range(100000)]
    stub.hook = lambda r: (200, JSON, json.dumps({"name": "many", "tags": tags}).encode())
    before = g.settled()
    for i in range(10):
        c = g.client()
        c.send(f"GET /v2/many/tags/list HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {token['some']}\r\n\r\n".encode())
        if i % 2:
            c.until(b"\r\n\r\n")
        c.close()
    report.ok(labs.wait_for(lambda: g.settled() >= before + 10, 20), "clients that go in the middle of a list: one event each",
              f"{g.settled() - before}")
    r = g.request("GET", "/v2/many/tags/list", token["some"])
    report.ok(r.status == 200 and len(json.loads(r.body)["tags"]) == len(tags), "... and others are served", repr(r)[:200])


# ---- referrers ----

def descriptor(i, **more):
    return {"mediaType": labs.OCI_MANIFEST, "digest": labs.digest_of(b"%d" % i), "size": i, **more}


def index(*entries, **more):
    return json.dumps({"schemaVersion": 2, "mediaType": labs.OCI_INDEX, "manifests": list(entries), **more}).encode()


def referrers(lab, report):
    stub = stubs.Stub()
    g = labs.Gateway(lab, "referrers", stub.origin, POLICY).start()
    full, nobody = lab.signer.token("full"), lab.signer.token("nobody")
    subject = labs.digest_of(b"subject")
    target, kind = f"/v2/many/referrers/{subject}", {"Content-Type": labs.OCI_INDEX}
    entries = [descriptor(i, artifactType="application/spdx+json", annotations={"é": "\u2028"}) for i in range(3)]

    def answer(**headers):
        return lambda r: (200, {**kind, **headers}, index(*entries))
    stub.hook = answer()
    r = g.request("GET", target, full)
    report.ok(r.status == 200 and json.loads(r.body) == json.loads(index(*entries)) and r.header("content-type") == labs.OCI_INDEX
              and r.header("oci-filters-applied") is None, "referrers: an image index", repr(r))
    stub.hook = answer(**{"OCI-Filters-Applied": "artifactType", "Docker-Content-Digest": labs.digest_of(b"other"), "ETag": '"x"'})
    mark = stub.mark()
    r = g.request("GET", target + "?artifactType=application/spdx%2Bjson", full)
    requests, _ = stub.since(mark)
    report.ok(r.status == 200 and r.header("oci-filters-applied") == "artifactType" and r.header("docker-content-digest") is None
              and r.header("etag") is None and requests[0].target.endswith("?artifactType=application/spdx%2Bjson"),
              "referrers: the filter goes up, what was applied comes back", f"{r} {r.headers} {requests}")

    def paged(r):
        at = int(re.search(r"page=(\d+)", r.target).group(1)) if "page=" in r.target else 0
        more = {"Link": f'<{r.target.partition("?")[0]}?artifactType=a/b&page={at + 1}>; rel="next"'} if at < 2 else {}
        return 200, {**kind, **more}, index(entries[at])
    stub.hook = paged
    pages, raw, r = walk(g, full, target + "?artifactType=a/b", "manifests")
    report.ok(pages == [[e] for e in entries] and "page=" not in raw, "referrers: pages, by a sealed Link", f"{pages} {r}")
    r = g.request("GET", target, nobody)
    report.ok(r.status == 403, "referrers need ListReferrers", repr(r))
    stub.hook = lambda r: stub.error(404, "NAME_UNKNOWN")
    r = g.request("GET", target, full)
    report.ok(r.status == 404, "upstream has no referrers API: its 404", repr(r))
    huge = index(*entries, annotations={"x": "a" * (5 << 20)})
    for name, headers, body in (
            ("another type", JSON, index(*entries)), ("no type", {}, index(*entries)), ("an image", kind, labs.manifest()),
            ("a digest that is none", kind, index(descriptor(1, digest="sha256:xyz"))),
            ("a digest under two names", kind, index(descriptor(1, Digest=subject))),
            ("no JSON", kind, b"<html>"), ("more than 4 MiB", kind, huge)):
        stub.hook = lambda r, headers=headers, body=body: (200, headers, body)
        r = g.request("GET", target, full)
        report.ok(r.status == 502 and r.code() == "UNAVAILABLE", f"upstream answers referrers with {name}: 502", repr(r))
    big = [descriptor(i, annotations={"a": "b" * 200}) for i in range(8000)]
    stub.hook = lambda r: (200, kind, index(*big))
    r = g.request("GET", target, full)
    report.ok(r.status == 200 and len(json.loads(r.body)["manifests"]) == 8000, "referrers of 3 MiB", repr(r)[:200])
    r = g.request("HEAD", target, full)
    report.ok(r.status == 405, "HEAD of referrers is not of the grammar", repr(r))
    ok, said = g.verify()
    report.ok(ok, f"referrers: audit verify: {said}")
    g.stop()


def run(lab, report):
    mounts(lab, report)
    referrers(lab, report)
    upstreams(lab, report)
    with_registry(lab, report)
