# tags.py - `tidewaiter tag`: adoption of what a registry has, drift, interruption, unresolved claims, restored ledgers.
# SPDX-License-Identifier: Apache-2.0
import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import lab as labs

REPOSITORIES, TAGS = 20, 10
ABSENT = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'


class Registry(http.server.ThreadingHTTPServer):
    """Repositories in memory, lists in small pages, and faults on demand."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = {}      # name -> {tag: bytes}
        self.faults = {}            # "repository:tag" -> [status, ...], one for each GET; then it works
        self.page, self.delay, self.put = 7, 0.0, "store"
        self.gets = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def fill(self, repositories, tags):
        for r in range(repositories):
            name = f"app/r{r:02}"
            self.repositories[name] = {f"v{t}": labs.manifest(note=f"{name} {t}") for t in range(tags)}

    def handle_error(self, request, client_address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for k, v in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(k, v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def list(self, path, key, names):
        """A page after `last`, with a link that carries a query of this registry's own making."""
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        names = sorted(n for n in names if n > query.get("last", ""))
        page = names[:self.server.page]
        link = {"Link": f'<{path}?n={self.server.page}&last={page[-1]}>; rel="next"'} if len(names) > len(page) else {}
        self.answer(200, json.dumps({key: page}).encode(), link)

    def do_GET(self):
        s, path = self.server, urllib.parse.urlsplit(self.path).path
        if path == "/v2/_catalog":
            return self.list(path, "repositories", s.repositories)
        name, _, rest = path.removeprefix("/v2/").rpartition("/manifests/")
        if not name:
            name = path.removeprefix("/v2/").removesuffix("/tags/list")
            if name not in s.repositories:
                return self.answer(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}')
            return self.list(path, "tags", s.repositories[name])
        s.gets += 1
        time.sleep(s.delay)
        faults = s.faults.get(f"{name}:{rest}")
        if faults:
            return self.answer(faults.pop(0), b"sorry")
        body = s.repositories.get(name, {}).get(rest)
        if body is None:
            return self.answer(404, ABSENT)
        return self.answer(200, body, {"Content-Type": labs.OCI_MANIFEST, "Docker-Content-Digest": labs.digest_of(body)})

    do_HEAD = do_GET

    def do_PUT(self):
        s = self.server
        name, _, tag = self.path.removeprefix("/v2/").rpartition("/manifests/")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if s.put in ("store", "store and hang up"):
            s.repositories.setdefault(name, {})[tag] = body
        if s.put == "store":
            return self.answer(201, b"", {"Location": self.path, "Docker-Content-Digest": labs.digest_of(body)})
        self.close_connection = True


class Tags:
    """`tidewaiter tag ...` with the configuration of a gateway, whether that runs or not."""

    def __init__(self, gateway):
        self.gateway = gateway

    def run(self, verb, *args, as_json=True):
        argv = [labs.BINARY, "tag", verb, "-c", self.gateway.conf, *(["--json"] if as_json else []), *args]
        p = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        if not as_json:
            return p.returncode, p.stdout, p.stderr
        return p.returncode, [json.loads(line) for line in p.stdout.splitlines()], p.stderr

    def import_(self, *args):
        """(status, summary, standard error)"""
        status, lines, err = self.run("import", *args)
        return status, (lines[-1]["summary"] if lines and "summary" in lines[-1] else {}), err


def put(g, name, tag, body, token):
    return g.request("PUT", f"/v2/{name}/manifests/{tag}", token, {"Content-Type": labs.OCI_MANIFEST}, body)


def fill_registry(url):
    """A docker-registry, filled without the gateway. {"app/r00:v0": bytes}"""
    have = {}
    for r in range(REPOSITORIES):
        name = f"app/r{r:02}"
        where = urllib.request.urlopen(urllib.request.Request(f"{url}/v2/{name}/blobs/uploads/", method="POST")).headers["Location"]
        where += ("&" if "?" in where else "?") + "digest=" + labs.digest_of(b"{}")
        urllib.request.urlopen(urllib.request.Request(where, data=b"{}", method="PUT",
                                                      headers={"Content-Type": "application/octet-stream"})).read()
        for t in range(TAGS):
            body = labs.manifest(note=f"{name} {t}")
            urllib.request.urlopen(urllib.request.Request(f"{url}/v2/{name}/manifests/v{t}", data=body, method="PUT",
                                                          headers={"Content-Type": labs.OCI_MANIFEST})).read()
            have[f"{name}:v{t}"] = body
    return have


def adoption(lab, report, running):
    """200 tags in 20 repositories of a real registry, with the gateway running and without."""
    how = "gateway runs" if running else "no gateway"
    registry, url = lab.registry(f"adopt-{running}")
    have = fill_registry(url)
    g = labs.Gateway(lab, f"adopt-gateway-{running}", url)
    tags, total = Tags(g), REPOSITORIES * TAGS
    if running:
        g.start()
    status, s, err = tags.import_("--all", "--dry-run")
    report.ok(status == 0 and s.get("imported") == total and s.get("complete") == 0, f"{how}: dry run", f"{status} {s} {err}")
    status, rows, _ = tags.run("list")
    report.ok(status == 0 and rows == [], f"{how}: a dry run records nothing", repr(rows[:2]))
    status, s, err = tags.import_("--all")
    report.ok(status == 0 and s.get("imported") == total and s.get("complete") == REPOSITORIES and s.get("unknown") == 0,
              f"{how}: import of {total} tags in {REPOSITORIES} repositories", f"{status} {s} {err}")
    status, rows, _ = tags.run("list")
    got = {f"{r['repository']}:{r['tag']}": r["digest"] for r in rows}
    report.ok(got == {k: labs.digest_of(v) for k, v in have.items()} and all(r["state"] == "confirmed" for r in rows),
              f"{how}: every tag is recorded with its digest", f"{len(got)}")
    status, s, err = tags.import_("--all")
    report.ok(status == 0 and s.get("imported") == 0 and s.get("known") == total, f"{how}: again: nothing is left to do", f"{status} {s}")
    status, s, err = tags.import_("--verify", "app/r00", "up/app/r01")
    report.ok(status == 0 and s.get("known") == 2 * TAGS and s.get("complete") == 2, f"{how}: --verify of two", f"{status} {s}")
    status, rows, _ = tags.run("list", "up/app/r0?")
    report.ok(status == 0 and len(rows) == 10 * TAGS, f"{how}: list by pattern", str(len(rows)))
    status, out, _ = tags.run("list", "app/r03", as_json=False)
    report.ok(status == 0 and f"up/app/r03:v4  confirmed  {labs.digest_of(have['app/r03:v4'])}" in out and "operator:" in out,
              f"{how}: list for people", out[:200])
    status, rows, _ = tags.run("show", "app/r03:v4")
    report.ok(status == 0 and rows[0]["record"]["state"] == "confirmed" and rows[0]["repository_state"]["imported"] and
              "OverwriteTag" in rows[0]["explanation"], f"{how}: show", repr(rows)[:300])
    status, rows, _ = tags.run("show", "app/r03:v99")
    report.ok(status == 0 and "record" not in rows[0] and "No record" in rows[0]["explanation"], f"{how}: show of nothing", repr(rows)[:300])
    status, rows, _ = tags.run("history", "app/r03:v4")
    report.ok(status == 0 and [r["what"] for r in rows] == ["imported"] and rows[0]["source"].startswith("control uid="),
              f"{how}: history of a tag", repr(rows)[:300])
    status, rows, _ = tags.run("history", "app/r03")
    report.ok(status == 0 and sorted(r["what"] for r in rows) == ["import-ended"] * 2 + ["imported"] * TAGS,
              f"{how}: history of a repository", repr([r["what"] for r in rows]))
    if not running:
        g.start()
    ci = lab.signer.token("ci")
    r = put(g, "app/r05", "v5", labs.manifest(note="changed"), ci)
    report.ok(r.status == 403 and "tag exists and is immutable" in (r.message() or ""), f"{how}: an adopted tag is not overwritten", repr(r))
    r = put(g, "app/r05", "v5", have["app/r05:v5"], ci)
    report.ok(r.status == 201, f"{how}: the adopted digest again", repr(r))
    status, rows, err = tags.run("list", "app/r05")
    report.ok(status == 0 and len(rows) == TAGS, f"{how}: the gateway answers on its socket", err)
    imported = lambda: len([e for e in g.events() if e["event"] == "tag.imported"])
    want = 2 * REPOSITORIES + 2 if running else 0
    report.ok(labs.wait_for(lambda: imported() == want, 5), f"{how}: tag.imported is in the audit log", str(imported()))
    sock = os.path.join(g.dir, "tags.db.sock")
    report.ok((os.stat(sock).st_mode & 0o777) == 0o600, f"{how}: the socket is 0600")
    g.stop()
    report.ok(not os.path.exists(sock), f"{how}: the socket goes with the gateway")
    ok, said = g.verify()
    report.ok(ok, f"{how}: audit verify: {said}")
    registry.stop()


def pages_and_faults(lab, report):
    up = Registry()
    up.fill(20, 10)
    g = labs.Gateway(lab, "pages", up.url)
    tags = Tags(g)
    up.faults["app/r01:v1"] = [503, 429]
    up.faults["app/r02:v2"] = [404] * 9
    up.faults["app/r03:v3"] = [403] * 9
    up.repositories["app/r04"]["gone"] = None
    status, s, err = tags.import_("--all")
    report.ok(status == 1 and s.get("imported") == 198 and s.get("unknown") == 2 and s.get("complete") == 18 and s.get("incomplete") == 2,
              "lists in pages, 503 and 429 tried again, strange answers are unknown", f"{status} {s} {err}")
    report.ok("app/r02:v2: could not be read: status 404" in err and "app/r03:v3: could not be read: status 403" in err,
              "what could not be learned is said", err)
    status, rows, _ = tags.run("show", "app/r02:v2")
    report.ok("record" not in rows[0] and not rows[0]["repository_state"]["imported"], "its repository is not imported", repr(rows))
    up.faults.clear()
    up.gets = 0
    status, s, err = tags.import_("--all")
    report.ok(status == 0 and s.get("imported") == 2 and s.get("complete") == 20 and up.gets <= 4, "the next run reads only what is missing",
              f"{status} {s} {up.gets} GETs {err}")
    up.shutdown()


def interruption(lab, report):
    up = Registry()
    up.fill(4, 50)
    up.delay = 0.03
    g = labs.Gateway(lab, "interrupt", up.url)
    tags = Tags(g)
    p = subprocess.Popen([labs.BINARY, "tag", "import", "-c", g.conf, "--json", "--jobs", "2", "--all"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    labs.wait_for(lambda: up.gets > 60)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=30)
    first = json.loads(out.splitlines()[-1])["summary"]
    report.ok(p.returncode == 1 and first["interrupted"] and 0 < first["imported"] < 200, "^C: what was read is recorded", f"{first} {err}")
    up.delay, up.gets = 0, 0
    status, s, err = tags.import_("--all")
    report.ok(status == 0 and s.get("imported") + first["imported"] == 200 and s.get("known") == first["imported"] and s.get("complete") == 4 and
              up.gets == 200 - first["imported"], "run again: the rest, and nothing twice", f"{status} {s} {up.gets} GETs {err}")
    status, s, _ = tags.import_("nowhere/at/all")
    report.ok(status == 0 and s.get("imported") == 0, "a repository that is not there has no tags", f"{status} {s}")
    up.shutdown()


def drift(lab, report):
    up = Registry()
    up.fill(2, 5)
    g = labs.Gateway(lab, "drift", up.url).start()
    tags = Tags(g)
    tags.import_("--all")
    recorded = labs.digest_of(up.repositories["app/r00"]["v1"])
    up.repositories["app/r00"]["v1"] = labs.manifest(note="moved behind the gateway")
    status, s, err = tags.import_("--all", "--verify")
    report.ok(status == 3 and [d["tag"] for d in s.get("drift", [])] == ["v1"] and s["drift"][0]["recorded"] == recorded and
              s.get("complete") == 1, "drift: exit status 3, reported, not marked", f"{status} {s} {err}")
    status, rows, _ = tags.run("show", "app/r00:v1")
    report.ok(rows[0]["record"]["digest"] == recorded and not rows[0]["repository_state"]["imported"], "the record stays as it was", repr(rows)[:300])
    status, s, err = tags.import_("--all")
    report.ok(status == 3, "drift is not forgotten by the next run", f"{status} {s}")
    status, s, err = tags.import_("--all", "--dry-run", "--verify")
    report.ok(status == 3 and len(s.get("drift", [])) == 1 and s.get("known") == 9, "drift of a dry run", f"{status} {s} {err}")
    g.stop()
    up.shutdown()


def release(lab, report):
    up = Registry()
    g = labs.Gateway(lab, "release", up.url, tags={"settle": "2 s"}).start()
    tags, ci = Tags(g), lab.signer.token("ci")
    one, other = labs.manifest(note="one"), labs.manifest(note="other")
    up.put = "hang up"
    r = put(g, "app/x", "v1", one, ci)
    report.ok(r.status in (502, 504), "a push that nobody answers", repr(r))
    status, rows, _ = tags.run("show", "app/x:v1")
    report.ok(rows[0]["record"]["state"] == "claimed" and not rows[0]["record"]["held"] and "may still arrive" in rows[0]["explanation"],
              "show: unresolved", repr(rows)[:400])
    status, _, err = tags.run("release", "app/x:v1")
    report.ok(status == 1 and "younger than settle" in err, "release: too young", err)
    time.sleep(3.1)
    status, rows, err = tags.run("release", "app/x:v1")
    report.ok(status == 0 and rows[0]["became"] == "released", "release: settled, the registry has it not", f"{status} {rows} {err}")
    status, rows, _ = tags.run("history", "app/x:v1")
    report.ok([r["what"] for r in rows] == ["claimed", "unresolved", "settled"] and rows[0]["who"] == "test/ci" and
              rows[0]["source"] == "127.0.0.1" and rows[-1]["who"].startswith("operator:"), "history: who and from where", repr(rows)[:600])
    # state events are written within a tenth of a second
    event = labs.wait_for(lambda: next((e for e in g.events() if e["event"] == "tag.released" and
                                        e["actor"].get("method") == "operator"), None), 5) or {}
    report.ok(event.get("id") == rows[-1]["event_id"] and event.get("registry", {}).get("tag") == "v1", "release is an event of the audit log",
              repr(event))
    status, _, err = tags.run("release", "app/x:v1")
    report.ok(status == 1 and "nothing to release" in err, "release of nothing", err)
    put(g, "app/x", "v2", one, ci)
    status, rows, err = tags.run("release", "--force", "app/x:v2")
    report.ok(status == 0 and rows[0]["became"] == "released", "release --force", f"{status} {rows} {err}")
    up.put = "store and hang up"
    put(g, "app/x", "v3", one, ci)
    g.stop(signal.SIGKILL)
    status, rows, err = tags.run("release", "app/x:v3")
    report.ok(status == 0 and rows[0]["became"] == "confirmed", "release without a gateway: the registry has it", f"{status} {rows} {err}")
    up.put = "store"
    g.start()
    report.ok(put(g, "app/x", "v3", other, ci).status == 403 and put(g, "app/x", "v3", one, ci).status == 201, "and it is kept")
    report.ok(os.path.exists(os.path.join(g.dir, "tags.db.sock")), "the socket of a gateway that was killed is replaced")
    g.stop()
    up.shutdown()


def restored(lab, report):
    up = Registry()
    g = labs.Gateway(lab, "restored", up.url).start()
    tags, ci = Tags(g), lab.signer.token("ci")
    one, other = labs.manifest(note="one"), labs.manifest(note="other")
    report.ok(put(g, "app/x", "v1", one, ci).status == 201, "before the backup")
    g.stop()
    db = os.path.join(g.dir, "tags.db")
    shutil.copy(db, db + ".backup")
    g.start()
    report.ok(put(g, "app/x", "v2", one, ci).status == 201, "after the backup")
    g.stop()
    shutil.copy(db + ".backup", db)
    g.start()
    for tag, name in (("v2", "a tag that the backup does not know"), ("new", "a new tag")):
        r = put(g, "app/x", tag, other, ci)
        report.ok(r.status == 403 and "restored from a backup" in (r.message() or ""), f"restored ledger: {name} is refused", repr(r))
    report.ok(put(g, "app/x", "v1", one, ci).status == 201, "restored ledger: what it knows may be pushed again")
    status, rows, _ = tags.run("show", "app/x:new")
    report.ok("restored from a backup" in rows[0]["explanation"], "show says why", repr(rows))
    status, s, err = tags.import_("app/x")
    report.ok(status == 0 and s.get("imported") == 1, "import of its repository", f"{status} {s} {err}")
    report.ok(put(g, "app/x", "v2", other, ci).status == 403 and put(g, "app/x", "v2", one, ci).status == 201, "what was lost is known again")
    report.ok(put(g, "app/x", "new", other, ci).status == 201, "and new tags are taken")
    r = put(g, "app/y", "v1", one, ci)
    report.ok(r.status == 403, "in that repository only", repr(r))
    g.stop()
    up.shutdown()


def run(lab, report):
    for running in (False, True):
        adoption(lab, report, running)
    pages_and_faults(lab, report)
    interruption(lab, report)
    drift(lab, report)
    release(lab, report)
    restored(lab, report)
