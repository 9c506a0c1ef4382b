# gate.py - what evidence decides cannot be got around: by tag or digest, as a child, a blob or a mount, by a tag that moves, by HEAD.
#
# The evidence here is the image's own config (an image that runs as root is refused): it needs no engine, so that what is
# tried here are the ways, and not the scanners. malware.py tries those. gate:docker,skopeo ... is the same with real clients.
# SPDX-License-Identifier: Apache-2.0
import json
import shutil
import signal
import threading

import lab as labs
import samples
import stub as stubs

IMAGE = {"Content-Type": labs.OCI_MANIFEST}
INDEX = {"Content-Type": labs.OCI_INDEX}
ACCEPT = {"Accept": f"{labs.OCI_MANIFEST}, {labs.OCI_INDEX}"}
ALLOWED = [
    {"Sid": "CiPushes", "Effect": "Allow", "Principal": ["subject:test/ci"],
     "Action": ["registry:Push*", "registry:Pull*", "registry:List*", "registry:MountBlob", "registry:AppendReferrer"],
     "Resource": ["repo:up/app", "repo:up/app/*"]},
    {"Sid": "DevPulls", "Effect": "Allow", "Principal": ["subject:test/dev"], "Action": ["registry:Pull*", "registry:List*"],
     "Resource": ["repo:up/app", "repo:up/app/*"]}]
BLOBS = {"Sid": "OnlyBlobsOfWhatMayBePulled", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:PullBlob"],
         "Resource": ["repo:up/*"], "Condition": {"Bool": {"registry:BlobGrantedByManifest": "false"}}}


def denies(key, value="true", action=("registry:PushManifest", "registry:PullManifest"), **more):
    """Deny what has that, and what nobody knows it of."""
    common = {"Effect": "Deny", "Principal": ["*"], "Action": list(action), "Resource": ["repo:up/app", "repo:up/app/*"], **more}
    return [{"Sid": "No" + key.split(":")[1], **common, "Condition": {"Bool": {key: value}}},
            {"Sid": "Unknown" + key.split(":")[1], **common, "Condition": {"Null": {key: "true"}}}]


def policy(*statements):
    return {"Version": "2026-11-01", "Statement": ALLOWED + [BLOBS] + list(statements)}


ROOTLESS = policy(*denies("image:RunsAsRoot"))


class Ways:
    """A gateway and an upstream in memory; who pushes and who pulls."""

    def __init__(self, lab, name, document=ROOTLESS, more="", upstream=None, **kw):
        self.lab = lab
        self.stub = None if upstream else stubs.Stub()
        self.gateway = labs.Gateway(lab, name, upstream or self.stub.origin, document, more=more, **kw).start()
        self.ci, self.dev = lab.signer.token("ci"), lab.signer.token("dev")

    def blobs(self, image, repo="app"):
        for data in image.blobs.values():
            r = self.gateway.upload(repo, data, self.ci)
            if r.status != 201:
                return r
        return None

    def put(self, body, ref, repo="app", kind=IMAGE, who=None):
        return self.gateway.request("PUT", f"/v2/{repo}/manifests/{ref}", who or self.ci, kind, body)

    def push(self, image, ref, repo="app"):
        return self.blobs(image, repo) or self.put(image.body, ref, repo)

    def get(self, ref, who=None, repo="app", what="manifests", method="GET"):
        return self.gateway.request(method, f"/v2/{repo}/{what}/{ref}", who or self.dev, ACCEPT if what == "manifests" else None)

    def behind(self, image, tag=None, repo="app"):
        """Into the registry, past the gateway."""
        with self.stub.lock:
            self.stub.blobs.update(image.blobs)
            self.stub.manifests[repo, image.digest] = (labs.OCI_MANIFEST, image.body)
            if tag:
                self.stub.tags[repo, tag] = image.digest

    def close(self, report):
        ok, said = self.gateway.verify()
        report.ok(ok, f"{self.gateway.name}: audit verify: {said}")
        self.gateway.stop()
        if self.stub:
            self.stub.close()


def image(user="1000", note="", layers=2):
    return samples.Image([("gzip", samples.tar_of({f"layer{n}": f"{note} {n}".encode() * 200})) for n in range(layers)], user, note)


GOOD, BAD = image(note="good"), image("root", "bad")


def refused(report, r, name, *statuses):
    return report.ok(r.status in (statuses or (403,)), name, repr(r))


def passes(report, w):
    r = w.push(GOOD, "good")
    report.ok(r.status == 201, "a good image is pushed", repr(r))
    for ref in ("good", GOOD.digest):
        for who in (w.ci, w.dev):
            r = w.get(ref, who)
            report.ok(r.status == 200 and r.body == GOOD.body, f"... and pulled as {ref[:12]}", repr(r))
        r = w.get(ref, method="HEAD")
        report.ok(r.status == 200, f"... HEAD {ref[:12]}", repr(r))
    for digest, data in GOOD.blobs.items():
        r = w.get(digest, what="blobs")
        report.ok(r.status == 200 and r.body == data, "... and its blobs", repr(r))
    report.ok(w.put(GOOD.body, "good").status == 201, "... and pushed again")


def is_nowhere(report, w, bad, tag, name):
    """No tag, and nobody gets it by any name."""
    report.ok(("app", tag) not in w.stub.tags, f"{name}: upstream has no tag of it")
    refused(report, w.get(tag), f"{name}: not by its tag", 403, 404)
    for who, says in ((w.dev, "a reader"), (w.ci, "who pushed it")):
        refused(report, w.get(bad.digest, who), f"{name}: not by digest, for {says}", 403, 404)
    refused(report, w.get(bad.digest, method="HEAD"), f"{name}: not even HEAD, for a reader", 403, 404)
    r = w.get(bad.digest, w.ci, method="HEAD")
    report.ok(r.status in (200, 403, 404), f"{name}: HEAD of who pushes is answered", repr(r))
    own = [d for d in bad.blobs if d not in GOOD.blobs]
    for digest in own:
        refused(report, w.get(digest, what="blobs"), f"{name}: not its blobs")


def fails(report, w):
    r = w.push(BAD, "bad")
    refused(report, r, "a bad image is refused")
    report.ok(r.code() == "DENIED" and labs.EVENT_ID.search(r.message() or ""), "... in words, with its event", repr(r))
    is_nowhere(report, w, BAD, "bad", "bad")
    puts = len([1 for r in w.stub.since([])[0] if r.method == "PUT" and "/manifests/" in r.target and r.target.endswith("/bad")])
    report.ok(puts == 0, "... and no PUT of the tag was ever sent")
    mark = w.stub.mark()
    refused(report, w.put(BAD.body, "bad"), "the same again is refused")
    asked = [r.target for r in w.stub.since(mark)[0] if r.method == "GET" and "/blobs/" in r.target]
    report.ok(not asked, "... of what is known already", repr(asked))
    refused(report, w.put(BAD.body, BAD.digest), "by digest, too")
    refused(report, w.put(BAD.body, "other"), "under another tag, too")


def children(report, w):
    """An index is its children."""
    both = samples.index_of(GOOD, BAD, note="both")
    refused(report, w.put(both, "both", kind=INDEX), "an index with a bad child is refused")
    report.ok(("app", "both") not in w.stub.tags, "... and upstream has no tag of it")
    fine = samples.index_of(GOOD, note="fine")
    report.ok(w.put(fine, "fine", kind=INDEX).status == 201 and w.get("fine").status == 200, "one of good children is not")
    hidden = image("0", "hidden")
    w.behind(hidden)
    index = samples.index_of(GOOD, hidden, note="hidden")
    w.stub.put("app", "hidden", labs.OCI_INDEX, index)
    refused(report, w.get("hidden"), "pull: an index that came by another way, with a bad child")
    refused(report, w.get(labs.digest_of(index)), "... by digest")
    refused(report, w.get(hidden.digest), "... and the child")
    refused(report, w.put(index, "hidden2", kind=INDEX), "push: with a child that came by another way")
    lost = samples.index_of(GOOD, image("1000", "nowhere"), note="lost")
    w.stub.put("app", "lost", labs.OCI_INDEX, lost)
    refused(report, w.get("lost"), "a child that is not to be had makes all unknown")


def other_ways(report, w):
    """Images that are in the registry and were never looked at."""
    mounted, present = image("root", "mounted"), image("root", "present")
    for digest, data in mounted.blobs.items():
        w.gateway.upload("app/b", data, w.ci)
        r = w.gateway.request("POST", f"/v2/app/blobs/uploads/?mount={digest}&from=app/b", w.ci)
        report.ok(r.status in (201, 202), "mount of a blob", repr(r))
    refused(report, w.put(mounted.body, "mounted"), "an image of mounted blobs")
    with w.stub.lock:
        w.stub.blobs.update(present.blobs)
    refused(report, w.put(present.body, "present"), "an image of blobs that were there")
    w.behind(present, "present")
    refused(report, w.get("present"), "a tag that came by another way")
    refused(report, w.get(present.digest), "... its digest")
    for digest in present.blobs:
        refused(report, w.get(digest, what="blobs"), "... a blob of it")
    refused(report, w.get(labs.digest_of(b"whatever"), what="blobs"), "a blob of no manifest", 403, 404)
    r = w.gateway.request("GET", f"/v2/app/blobs/{labs.digest_of(GOOD.config)}", w.dev, {"Range": "bytes=0-9"})
    report.ok(r.status == 206, "a part of a blob that is granted", repr(r))
    own = next(d for d in present.blobs if d not in GOOD.blobs)
    r = w.gateway.request("GET", f"/v2/app/blobs/{own}", w.dev, {"Range": "bytes=0-9"})
    refused(report, r, "a part of one that is not")
    w.gateway.settled()
    pulled = [e for e in w.gateway.requests() if "/blobs/sha256:" in e["http"]["path"]]
    wrong = [e for e in pulled if e["registry"].get("digest") != e["http"]["path"].split("/")[-1]]
    report.ok(len(pulled) > 3 and not wrong, "events of blobs name the blob, not the manifest that was looked at", repr(wrong[:1]))


def dressed(report, w):
    """An image that says it is a signature."""
    for n, change in enumerate((
            {"artifactType": "application/vnd.dev.cosign.artifact.sig.v1+json"},
            {"artifactType": "application/vnd.cncf.notary.signature"},
            {"subject": {"mediaType": labs.OCI_MANIFEST, "digest": GOOD.digest, "size": len(GOOD.body)}})):
        evil = image("root", f"dressed{n}")
        evil.body = json.dumps({**json.loads(evil.body), **change}).encode()
        evil.digest = labs.digest_of(evil.body)
        w.blobs(evil)
        for ref in (evil.digest, GOOD.digest.replace(":", "-") + ".sig", f"dressed{n}"):
            r = w.put(evil.body, ref)
            refused(report, r, f"an image dressed as {list(change)[0]} {n}: {ref[-8:]}", 400, 403)
        w.behind(evil, f"dressed{n}")
        refused(report, w.get(evil.digest), f"... is not pulled by digest {n}")
        refused(report, w.get(f"dressed{n}"), f"... nor by tag {n}")


def lies(report, w):
    """An upstream that says one thing and sends another."""
    evil = image("root", "lie")
    w.behind(GOOD, "moving")
    w.behind(evil)
    answers = {}

    def hook(r):
        return answers.get((r.method, r.target.split("/")[-1]))
    w.stub.hook = hook
    body = lambda i, digest: (200, {"Content-Type": labs.OCI_MANIFEST, "Docker-Content-Digest": digest, "Content-Length": str(len(i.body))},
                              i.body)
    answers[("GET", "moving")] = body(evil, GOOD.digest)
    refused(report, w.get("moving"), "bytes of a bad image with the digest of a good one", 403, 502)
    answers[("GET", GOOD.digest)] = body(evil, GOOD.digest)
    refused(report, w.get(GOOD.digest), "... asked for by that digest", 502)
    answers.clear()
    answers[("HEAD", "moving")] = body(GOOD, GOOD.digest)
    answers[("GET", "moving")] = body(evil, evil.digest)
    refused(report, w.get("moving"), "HEAD names the good one, GET brings the bad one", 403, 502)
    answers.clear()
    turns = []

    def moves(r):
        if r.target.endswith("/manifests/moving") and r.method in ("GET", "HEAD"):
            turns.append(1)
            i = GOOD if len(turns) % 2 else evil
            return 200, {"Content-Type": labs.OCI_MANIFEST, "Docker-Content-Digest": i.digest, "Content-Length": str(len(i.body))}, i.body
        return None
    w.stub.hook = moves
    got = [w.get("moving") for _ in range(40)]
    report.ok(all(r.body != evil.body for r in got) and all(r.body == GOOD.body for r in got if r.status == 200),
              "a tag that moves at every look gives the good one or nothing", repr({r.status for r in got}))
    w.stub.hook = None


def heads(report, lab):
    """Clients that ask HEAD first: where only pulls are gated who may push is not broken, and who may pull learns nothing."""
    w = Ways(lab, "heads", policy(*denies("image:RunsAsRoot", action=("registry:PullManifest",))))
    evil = image("root", "head")
    report.ok(w.push(evil, "head").status == 201, "a push that no statement asks anything of")
    for ref in ("head", evil.digest):
        refused(report, w.get(ref, method="HEAD"), f"HEAD {ref[:6]} of a reader")
        refused(report, w.get(ref), f"GET {ref[:6]} of a reader")
        refused(report, w.get(ref, w.ci), f"GET {ref[:6]} of who pushes")
        r = w.get(ref, w.ci, method="HEAD")
        report.ok(r.status == 200, f"HEAD {ref[:6]} of who pushes", repr(r))
    for digest in evil.blobs:
        refused(report, w.get(digest, method="HEAD", what="blobs"), "HEAD of a blob, of a reader")
        r = w.get(digest, w.ci, method="HEAD", what="blobs")
        report.ok(r.status == 200, "... of who pushes", repr(r))
    report.ok(w.push(evil, "head").status == 201, "... and the same push again goes through")
    w.close(report)


def unknown(report, w):
    """The config cannot be read: unknown is not good."""
    lost = image("1000", "lost config")
    w.behind(lost, "lost")
    with w.stub.lock:
        del w.stub.blobs[labs.digest_of(lost.config)]
    r = w.get("lost")
    refused(report, r, "a config that is not there")
    broken = image("1000", "broken")
    broken.config = b'{"config":{"User":"1000","user":"root"}}'
    manifest = json.loads(broken.body)
    manifest["config"].update(digest=labs.digest_of(broken.config), size=len(broken.config))
    broken.body = json.dumps(manifest).encode()
    broken.digest, broken.blobs = labs.digest_of(broken.body), {labs.digest_of(d): d for d in (*broken.layers, broken.config)}
    w.behind(broken, "broken")
    refused(report, w.get("broken"), "a config that says two things")
    refused(report, w.push(broken, "broken2"), "... is not pushed either")


def late(report, lab):
    """While the verdict is not there, nobody gets it; a push waits its time and says so; the next one finds it."""
    w = Ways(lab, "late", more='evidence = { push-wait = "300 ms"; pull-wait = "200 ms"; retry = "1 s"; };')
    free = threading.Event()
    slow = image("1000", "slow")

    def hook(r):
        if r.method == "GET" and r.target.endswith(labs.digest_of(slow.config)):
            free.wait(20)
        return None
    w.stub.hook = hook
    r = w.push(slow, "slow")
    report.ok(r.status == 403 and "try again" in (r.message() or ""), "late: the push is told to come again", repr(r))
    report.ok(("app", "slow") not in w.stub.tags and ("app", slow.digest) in w.stub.manifests, "... it is staged by digest, without its tag")
    for ref in ("slow", slow.digest):
        refused(report, w.get(ref), f"... not pulled as {ref[:6]}", 403, 404)
    index = samples.index_of(slow, note="slow")
    refused(report, w.put(index, "slow-index", kind=INDEX), "... nor as a child")
    refused(report, w.get(labs.digest_of(slow.layers[0]), what="blobs"), "... nor by its layer")
    w.gateway.stop(signal.SIGKILL)
    w.gateway.start()
    refused(report, w.get(slow.digest), "... nor after kill -9 and a start")
    free.set()
    r = labs.wait_for(lambda: next((r for r in [w.put(slow.body, "slow")] if r.status == 201), None), 20, 0.2)
    report.ok(r is not None and w.get("slow").status == 200, "... and when the verdict is there the push goes through")
    w.close(report)


ROUNDS = 150


def race(report, w):
    """Pulls against pushes: nobody is ever faster than the verdict."""
    for kind, user in (("bad", "root"), ("good", "1000")):
        wrong, early, pulls, pushed = [], [], 0, 0
        for n in range(ROUNDS):
            i = image(user, f"race {kind} {n}", 1)
            w.blobs(i)
            done = threading.Event()
            results = []

            def puller(ref):
                c = w.gateway.client()
                try:
                    while True:
                        last = done.is_set()
                        r = c.request("GET", f"/v2/app/manifests/{ref}", w.dev, ACCEPT)
                        results.append((r.status, last))
                        if last:
                            return
                except labs.Closed:
                    pass
                finally:
                    c.close()
            threads = [threading.Thread(target=puller, args=(ref,)) for ref in (f"race-{kind}-{n}", i.digest)]
            for t in threads:
                t.start()
            r = w.put(i.body, f"race-{kind}-{n}")
            pushed += r.status == 201
            done.set()
            for t in threads:
                t.join()
            pulls += len(results)
            wrong += [s for s, _ in results if s not in (200, 403, 404)]
            if kind == "bad":
                early += [s for s, _ in results if s == 200]
        report.ok(not wrong and not early and pushed == (0 if kind == "bad" else ROUNDS),
                  f"race: {pulls} pulls against {ROUNDS} pushes of {kind} images", f"{pushed} pushed, {len(early)} early, {wrong[:5]}")


def kill_switch(report, w):
    """What an operator blocks is gone at once, with the index that lists it."""
    import quarantine
    i = image("1000", "killed")
    report.ok(w.push(i, "killed").status == 201, "kill switch: pushed")
    index = samples.index_of(i, note="killed")
    report.ok(w.put(index, "killed-index", kind=INDEX).status == 201 and w.get("killed-index").status == 200, "... with an index")
    status, out, err = quarantine.quarantine(w.gateway, "add", i.digest, "--reason", "test")
    report.ok(status == 0, "quarantine add", out + err)
    for ref in ("killed", i.digest, "killed-index", labs.digest_of(index)):
        for who in (w.dev, w.ci):
            refused(report, w.get(ref, who), f"... {ref[:14]} is refused from then on")
    refused(report, w.put(i.body, "killed2"), "... and not pushed again")
    refused(report, w.put(samples.index_of(i, GOOD, note="x"), "killed3", kind=INDEX), "... nor in another index")
    own = labs.digest_of(i.layers[0])
    refused(report, w.get(own, what="blobs"), "... and its layer is not pulled")
    r = w.gateway.request("POST", f"/v2/app/b/blobs/uploads/?mount={i.digest}&from=app", w.ci)
    report.ok(r.status in (202, 403), "... nor mounted", repr(r))


# What a client shows its user of a refusal.
SHOWN = "no image is called bad here"
CALLED = [{"Sid": "NotCalledBad", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:PushManifest", "registry:PullManifest"],
           "Resource": ["repo:up/app"], "Condition": {"StringEquals": {"image:Label/note": "bad"}, "Null": {"image:Label/note": "false"}}, "Message": SHOWN}]


def client(lab, report, tool):
    """A real client and a real registry: a good image goes through, a bad one is refused in our words and nowhere afterwards."""
    name = tool.name
    _, url = lab.registry(f"registry-{name}")
    w = Ways(lab, f"client-{name}", policy(*CALLED), upstream=url)
    people = {who: tool.session(tool, w.gateway, who) for who in ("ci", "dev")}
    for who, person in people.items():
        ok, said = person.login(lab.signer.token(who).encode())
        report.ok(ok, f"{name}: login as {who}", said[-500:])
    ok, said = people["ci"].push(tool.make("good"), "app:good")
    report.ok(ok, f"{name}: push of a good image", said[-800:])
    ok, said = people["dev"].pull("app:good")
    report.ok(ok, f"{name}: pull of it", said[-800:])
    bad = tool.make("bad")
    for turn in ("", " again"):
        ok, said = people["ci"].push(bad, "app:bad")
        report.ok(not ok and SHOWN in " ".join(said.split()), f"{name}: push of a bad one{turn} is refused in our words", said[-800:])
    ok, said = people["dev"].pull("app:bad")
    report.ok(not ok, f"{name}: there is nothing to pull", said[-300:])
    puts = [e for e in w.gateway.requests() if e["action"] == "manifest.put" and e["registry"].get("tag") == "bad"]
    report.ok(puts and all(e["decision"] == "deny" for e in puts), f"{name}: {len(puts)} events of refusals", repr(puts[:1]))
    if puts:
        refused(report, w.get(puts[0]["registry"]["digest"]), f"{name}: ... and not by digest", 403, 404)
    r = w.gateway.request("GET", "/v2/app/tags/list", w.dev)
    report.ok(json.loads(r.body)["tags"] == ["good"], f"{name}: the registry has the good one's tag only", repr(r))
    w.close(report)


def clients(lab, report, chosen):
    import adapters
    for kind in adapters.ALL:
        if kind.name not in chosen:
            continue
        missing = [n for n in kind.needs if not shutil.which(n)]
        if not report.ok(not missing, f"{kind.name} is installed", f"missing: {missing}; deploy/install-deps test brings it"):
            continue
        tool = kind(lab)
        if report.ok(tool.ready(), f"{kind.name} is ready", tool.daemon.tail() if tool.daemon else ""):
            client(lab, report, tool)
        tool.close()


def run(lab, report, chosen=None):
    if chosen:
        clients(lab, report, chosen)
        return
    w = Ways(lab, "ways")
    for part in (passes, fails, children, other_ways, dressed, lies, unknown, kill_switch, race):
        part(report, w)
    w.close(report)
    heads(report, lab)
    late(report, lab)
