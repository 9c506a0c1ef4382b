# quarantine.py - a digest is bad: blocked while the gateway runs and while it does not, over kill -9 and restarts; and who pulled it.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import signal
import subprocess

import lab as labs

KIND = {"Content-Type": labs.OCI_MANIFEST}
LAYER = b"a layer"
CONFIG = b"{}"
IMAGE = labs.manifest(LAYER, config=CONFIG, note="bad")
OTHER = labs.manifest(LAYER, config=CONFIG, note="good")
INDEX = json.dumps({"schemaVersion": 2, "mediaType": labs.OCI_INDEX, "manifests": [
    {"mediaType": labs.OCI_MANIFEST, "digest": labs.digest_of(m), "size": len(m), "platform": {"os": "linux", "architecture": a}}
    for m, a in ((IMAGE, "amd64"), (OTHER, "arm64"))]}).encode()
ACCEPT = {"Accept": f"{labs.OCI_MANIFEST}, {labs.OCI_INDEX}"}
NOBODY = "sha256:" + "0" * 64


def command(*args):
    p = subprocess.run([labs.BINARY, *args], capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr


def quarantine(g, verb, *args):
    return command("quarantine", verb, "-c", g.conf, *args)


def blocked(g):
    status, out, err = quarantine(g, "list", "--json")
    return {r["digest"]: r for r in map(json.loads, out.splitlines())} if status == 0 else {"failed": err}


def gauge(g, kind):
    return f'tidewaiter_blocked_digests{{kind="{kind}"}} 1\n' in g.admin("/metrics")[1]


def changes(report, g):
    """By a running gateway, each with its event."""
    bad = labs.digest_of(IMAGE)
    status, out, err = quarantine(g, "add", bad, "--reason", "CVE-2026-1: café")
    report.ok(status == 0 and "is quarantined" in out, "quarantine add", out + err)
    row = blocked(g).get(bad, {})
    report.ok(row.get("kind") == "quarantined" and row.get("reason") == "CVE-2026-1: café" and row["who"].startswith("operator:") and
              row["registry"] == row["repository"] == "", "... is listed, with who and why", repr(row))
    report.ok(gauge(g, "quarantined"), "... and counted")
    status, out, err = quarantine(g, "add", bad)
    report.ok(status == 0 and "already" in out, "... and said to be there when added again", out + err)
    labs.wait_for(lambda: g.events("quarantine.added"))
    events = g.events("quarantine.added")
    report.ok(len(events) == 1 and events[0]["registry"]["digest"] == bad and events[0]["actor"]["method"] == "operator" and
              events[0]["id"] == row["event_id"], "one event", repr(events))
    status, out, err = quarantine(g, "remove", NOBODY)
    report.ok(status == 0 and "was not blocked" in out, "what was not blocked cannot be removed", out + err)
    for wrong in ("sha256:ABC", "v1", bad.upper()):
        report.ok(quarantine(g, "add", wrong)[0] == 1, f"{wrong} is no digest")
    report.ok(quarantine(g, "add")[0] == 2 and quarantine(g, "list", bad)[0] == 2 and quarantine(g, "release", bad)[0] == 2,
              "what is not understood is exit 2")
    status, out, err = quarantine(g, "release", "app", bad)
    report.ok(status == 0 and "was not blocked" in out and bad in blocked(g), "release is of a repository's pushes, not of a quarantine", out + err)


def refused(report, g, token):
    """What is quarantined is given to nobody, however it is asked for, within a second; and what runs is cut."""
    image, layer, index, other = (labs.digest_of(x) for x in (IMAGE, LAYER, INDEX, OTHER))
    ways = {"by tag": "/v2/app/manifests/v1", "by digest": f"/v2/app/manifests/{image}", "in an index": "/v2/app/manifests/multi",
            "in an index by digest": f"/v2/app/manifests/{index}"}
    for name, target in ways.items():
        for method in ("GET", "HEAD"):
            r = g.request(method, target, token["dev"], ACCEPT)
            report.ok(r.status == 403, f"{method} {name} is refused", repr(r))
    r = g.request("PUT", "/v2/app/manifests/again", token["ci"], KIND, IMAGE)
    report.ok(r.status == 403, "it cannot be pushed again", repr(r))
    r = g.request("GET", "/v2/app/manifests/v2", token["dev"], ACCEPT)
    report.ok(r.status == 200, "another image of the same layers is given", repr(r))
    quarantine(g, "add", layer)
    for name, target in {"the layer": f"/v2/app/blobs/{layer}", "an image that has it": "/v2/app/manifests/v2",
                         "that image by digest": f"/v2/app/manifests/{other}"}.items():
        r = g.request("GET", target, token["dev"], ACCEPT)
        report.ok(r.status == 403, f"a layer in quarantine: {name} is refused", repr(r))
    r = g.request("POST", f"/v2/app/other/blobs/uploads/?mount={layer}&from=app", token["ci"])
    report.ok(r.status in (202, 403), "... and not mounted elsewhere", repr(r))
    quarantine(g, "remove", layer)
    r = g.request("GET", "/v2/app/manifests/v2", token["dev"], ACCEPT)
    report.ok(r.status == 200, "the layer is free: its image is given again", repr(r))


def cut(report, g, token):
    """A download that runs when its digest is quarantined does not come to its end."""
    large = os.urandom(64 << 20)
    digest = labs.digest_of(large)
    report.ok(g.upload("app", large, token["ci"]).status == 201, "a large blob is pushed")
    c = g.client()
    try:
        c.send((f"GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {token['dev']}\r\n\r\n").encode())
        c.until(b"\r\n\r\n")
        quarantine(g, "add", digest)
        try:
            n = len(c.exactly(len(large)))
        except labs.Closed as e:
            n = len(e.received)
        report.ok(n < len(large), "a download that runs is cut", f"{n} bytes came")
    finally:
        c.close()
    quarantine(g, "remove", digest)


def lasts(report, g):
    """A block that was said to be done survives everything."""
    bad = labs.digest_of(IMAGE)
    g.stop(signal.SIGKILL)
    report.ok(bad in blocked(g), "after kill -9 it is in the file")
    status, out, err = quarantine(g, "add", NOBODY)
    report.ok(status == 0, "quarantine add while no gateway runs", out + err)
    g.start()
    report.ok({bad, NOBODY} <= set(blocked(g)), "the next start knows both")
    status, out, err = quarantine(g, "remove", NOBODY)
    report.ok(status == 0 and "no longer" in out and NOBODY not in blocked(g), "quarantine remove", out + err)
    for n in range(20):
        digest = labs.digest_of(b"%d" % n)
        if quarantine(g, "add", digest)[0] != 0:
            report.ok(False, "add before kill -9")
        if n % 5 == 4:
            g.stop(signal.SIGKILL)
            report.ok(digest in blocked(g), f"the last one before kill -9 number {n // 5 + 1} is there")
            g.start()
    removed = lambda: [e for e in g.events("quarantine.removed") if e["registry"]["digest"] == NOBODY]
    labs.wait_for(removed)
    report.ok(len(removed()) == 1, "quarantine.removed is an event", repr(removed()))


def pulled(report, g, token):
    """From the audit log alone, and with what the ledger knows."""
    image, layer = labs.digest_of(IMAGE), labs.digest_of(LAYER)
    for target in ("/v2/app/manifests/v1", f"/v2/app/manifests/{image}", f"/v2/app/blobs/{layer}", "/v2/app/manifests/v2"):
        r = g.request("GET", target, token["dev"], {"Accept": labs.OCI_MANIFEST})
        report.ok(r.status == 200, f"GET {target}", repr(r))
    g.request("HEAD", "/v2/app/manifests/v1", token["dev"], {"Accept": labs.OCI_MANIFEST})
    g.request("GET", "/v2/app/manifests/v1", token["other"])
    g.settled()

    def who(digest, *args):
        status, out, err = command("who-pulled", *args, "--json", digest)
        return [json.loads(line) for line in out.splitlines()] if status in (0, 3) else [{"failed": err}]
    found = who(image, "--audit", g.audit)
    report.ok([(r.get("who"), r.get("tag"), r.get("repository"), r.get("ip")) for r in found] ==
              [("test/dev", "v1", "app", "127.0.0.1"), ("test/dev", "", "app", "127.0.0.1")],
              "who pulled an image: by tag and by digest, no HEAD and nobody who was refused", repr(found))
    found = who(layer, "--audit", g.audit)
    report.ok(len(found) == 1 and found[0].get("action") == "blob.get", "who pulled a layer", repr(found))
    status, out, err = command("who-pulled", "--audit", g.audit, NOBODY)
    report.ok(status == 3 and out == "", "nobody pulled it: exit 3", out + err)
    status, out, err = command("who-pulled", "--audit", g.audit, image)
    report.ok(status == 0 and len(out.splitlines()) == 2 and "test/dev  127.0.0.1  app:v1" in out, "... in words", out + err)
    found = who(image, "-c", g.conf)
    report.ok(len(found) == 2, "... with the configuration instead", repr(found))
    report.ok(command("who-pulled", "--audit", g.audit, "latest")[0] == 2 and command("who-pulled", image)[0] == 2 and
              command("who-pulled", "--audit", os.path.join(g.dir, "none"), image)[0] == 1, "what is not understood, or not there")
    future = command("who-pulled", "--audit", g.audit, "--since", "2100-01-01T00:00:00Z", image)
    report.ok(future[0] == 3, "nobody since then", repr(future))


def run(lab, report):
    registry, url = lab.registry()
    g = labs.Gateway(lab, "quarantine", url).start()
    token = {who: lab.signer.token(who) for who in ("ci", "dev", "other")}
    for blob in (LAYER, CONFIG):
        report.ok(g.upload("app", blob, token["ci"]).status == 201, "a blob is pushed")
    for tag, image in (("v1", IMAGE), ("v2", OTHER)):
        report.ok(g.request("PUT", f"/v2/app/manifests/{tag}", token["ci"], KIND, image).status == 201, f"app:{tag} is pushed")
    r = g.request("PUT", "/v2/app/manifests/multi", token["ci"], {"Content-Type": labs.OCI_INDEX}, INDEX)
    report.ok(r.status == 201, "an index of both", repr(r))
    pulled(report, g, token)
    changes(report, g)
    refused(report, g, token)
    cut(report, g, token)
    lasts(report, g)
    ok, said = g.verify()
    report.ok(ok, "the chain of events holds", said)
    report.ok(g.stop() == 0, "the gateway ends well", g.process.tail())
    registry.stop()
