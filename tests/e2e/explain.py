# explain.py - why was this refused? From what docker prints to the statement and its condition; and the other tools that
# read the audit log: diff, shadow-report, observe-report.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import shutil
import subprocess

import adapters
import lab as labs
import stub as stubs

KIND = {"Content-Type": labs.OCI_MANIFEST}
ONE, TWO = (labs.manifest(note=n) for n in ("one", "two"))
MAIN, SIDE = "refs/heads/main", "refs/heads/side"
POLICY = {"Version": "2026-11-01", "Statement": [
    {"Sid": "CiMain", "Effect": "Allow", "Principal": ["subject:test/ci"],
     "Action": ["registry:Push*", "registry:Pull*", "registry:List*"], "Resource": ["repo:up/app"],
     "Condition": {"StringEquals": {"jwt:ref": [MAIN]}}},
    {"Sid": "CiLooks", "Effect": "Allow", "Principal": ["subject:test/ci"],
     "Action": ["registry:PullManifest", "registry:MountBlob"], "Resource": ["repo:up/*"]},
    {"Sid": "CiLists", "Effect": "Allow", "Principal": ["subject:test/ci"], "Action": ["registry:ListTags"],
     "Resource": ["repo:up/parts"], "Condition": {"StringLike": {"registry:Tag": ["v*"]}}},
    {"Sid": "NoFrozen", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:PushManifest"], "Resource": ["repo:up/app"],
     "Condition": {"StringLike": {"registry:Tag": ["frozen-*"]}, "Null": {"registry:Tag": "false"}},
     "Message": "frozen until the audit is over: caf\u00e9", "Labels": {"ticket": "SEC-12"}},
    {"Sid": "TriedNoPull", "Effect": "Deny", "Mode": "Shadow", "Principal": ["*"], "Action": ["registry:PullManifest"],
     "Resource": ["repo:up/app"], "Condition": {"StringEquals": {"registry:Tag": ["v1"]}, "Null": {"registry:Tag": "false"}}}]}


def tool(*args, data=None):
    p = subprocess.run([labs.BINARY, "policy", *args], input=data, capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr


def reported(*args):
    status, out, err = tool(*args, "--json")
    return json.loads(out) if status == 0 else {"failed": err, "groups": []}


def explained(report, g, text, name, *words):
    """The id in a client's own words leads to the words of the policy."""
    found = labs.EVENT_ID.findall(text)
    if not report.ok(found, f"{name}: the id of the event is in what it says", text[-800:]):
        return ""
    g.settled()
    status, out, err = tool("explain", found[-1], "--audit", g.audit)
    missing = [w for w in words if w not in out]
    report.ok(status == 0 and not missing, f"{name}: explained", f"{missing} not in {out}{err}")
    return out


def clients(lab, report, chosen):
    """Refused for a claim at the manifest: docker and skopeo print the message alone (of a HEAD skopeo shows nothing of ours)."""
    registry, url = lab.registry("registry-explained")
    g = labs.Gateway(lab, "clients", url, {**POLICY, "Statement": POLICY["Statement"] + [
        {"Sid": "CiBlobs", "Effect": "Allow", "Principal": ["subject:test/ci"], "Action": ["registry:PushBlob", "registry:PullBlob"],
         "Resource": ["repo:up/app"]}]}).start()
    for kind in adapters.ALL:
        if kind.name not in (chosen or ("docker", "skopeo")):
            continue
        client = kind(lab)
        if not report.ok(client.ready(), f"{kind.name} is ready"):
            continue
        who = client.session(client, g, "ci")
        who.login(lab.signer.token("ci", ref=SIDE).encode())
        ok, said = who.push(client.make("one"), "app:v1")
        report.ok(not ok, f"{kind.name}: the push is refused", said[-500:])
        explained(report, g, said, kind.name, "test/ci", "denied: no statement allows it", "near miss   CiMain", '"Sid": "CiMain"',
                  f'StringEquals jwt:ref is "{SIDE}", wanted "{MAIN}"', "come with another jwt:ref, or widen StringEquals of CiMain")
        client.close()
    g.stop()
    registry.stop()


def raw(lab, report, g, stub, token):
    """What a refusal says, and to whom; and what stands in its event."""
    r = g.request("POST", "/v2/app/blobs/uploads/", token["side"])
    detail = json.loads(r.body)["errors"][0]["detail"]
    report.ok(r.status == 403 and detail.get("near") == [{"sid": "CiMain", "key": "jwt:ref"}] and SIDE not in r.body.decode() and
              MAIN not in r.body.decode(), "who is known hears which statement and key failed, no value", repr(r))
    explained(report, g, r.reason, "the reason phrase", "near miss   CiMain")
    r = g.request("GET", "/v2/app/manifests/v1")
    report.ok(r.status == 401 and set(json.loads(r.body)["errors"][0]["detail"]) == {"event", "reason"}, "nobody hears of statements",
              repr(r))
    out = explained(report, g, r.message(), "anonymous", "ids         anonymous")
    report.ok("near miss" not in out, "... and none of them was near", out)
    r = g.request("PUT", "/v2/app/manifests/frozen-1", token["main"], KIND, ONE)
    detail = json.loads(r.body)["errors"][0]["detail"]
    report.ok(r.status == 403 and detail["sid"] == "NoFrozen" and r.message().startswith("frozen until the audit is over: caf\u00e9 (event"),
              "a Deny: its Sid, its Message and the id", repr(r))
    explained(report, g, r.reason, "a Message beyond ASCII, in the reason phrase", "denied by NoFrozen", "policy.json:",
              'StringLike registry:Tag is "frozen-1", wanted "frozen-*"', "a Deny wins")
    e = g.requests()[-1]["policy_record"]
    report.ok(e["labels"] == {"ticket": "SEC-12"} and e["why"][-1]["r"] == "match", "the event has labels and conditions", repr(e))
    r = g.request("HEAD", "/v2/other/manifests/v1", token["nobody"])
    explained(report, g, r.reason, "HEAD", "no Allow statement comes near")


def several(lab, report, g, stub, token):
    """Requests of several decisions: the one that decided, and the others beside it."""
    def last(action):
        g.settled()
        return [e for e in g.requests() if e["action"] == action][-1]["policy_record"]

    def beside(record):
        return [(a["decision"], a["action"], a["resource"]) for a in record.get("also", [])]
    report.ok(g.request("PUT", "/v2/app/manifests/v1", token["main"], KIND, ONE).status == 201, "a push")
    record = last("manifest.put")
    report.ok(record["decision"] == "Allow" and record["sid"] == "CiMain" and "also" not in record and
              record["context"]["registry:Tag"] == "v1" and record["context"]["jwt:ref"] == MAIN, "its event has its record", repr(record))
    r = g.request("PUT", "/v2/app/manifests/v1", token["main"], KIND, TWO)
    record = last("manifest.put")
    report.ok(r.status == 403 and record["action"] == "registry:OverwriteTag" and record["decision"] == "ImplicitDeny" and
              beside(record) == [("Allow", "registry:PushManifest", "repo:up/app")], "an overwrite: refused by the second decision",
              repr(record))
    explained(report, g, r.message(), "an overwrite", "registry:OverwriteTag on repo:up/app", "beside it:", "allowed by CiMain")
    digest = labs.digest_of(b"a blob")
    g.request("POST", f"/v2/app/blobs/uploads/?mount={digest}&from=other", token["main"])
    record = last("upload.start")       # the client is answered as if it had asked for an upload
    report.ok(record["action"] == "registry:PushBlob" and record["decision"] == "Allow" and
              beside(record) == [("Allow", "registry:MountBlob", "repo:up/app"), ("ImplicitDeny", "registry:PullBlob", "repo:up/other")],
              "a mount: three decisions", repr(record))
    stub.put("parts", "v1", labs.OCI_MANIFEST, ONE)
    stub.put("parts", "w1", labs.OCI_MANIFEST, ONE)
    r = g.request("GET", "/v2/parts/tags/list", token["main"])
    record = last("tags.list")
    report.ok(r.status == 200 and json.loads(r.body)["tags"] == ["v1"] and record["decision"] == "Need" and
              record["need"] == ["registry:Tag"], "a list that is seen in part", f"{r} {record}")


def reports(lab, report, g, stub, token):
    """Shadow statements, and a change of policy, over this very log."""
    for who, ref in (("main", "v1"), ("side", "v1"), ("main", labs.digest_of(ONE))):
        g.request("GET", f"/v2/app/manifests/{ref}", token[who])
    g.settled()
    got = reported("shadow-report", "--audit", g.audit)
    report.ok(len(got["groups"]) == 1 and got["groups"][0]["sid"] == "TriedNoPull" and got["groups"][0]["count"] == 2 and
              got["groups"][0]["would"] == "ExplicitDeny" and got["groups"][0]["identities"] == {"test/ci": 2} and
              len(got["groups"][0]["samples"]) == 2, "shadow-report", repr(got))
    status, out, err = tool("shadow-report", "--audit", g.audit)
    report.ok(status == 0 and "2 TriedNoPull: registry:PullManifest, Allow would be ExplicitDeny" in out and "test/ci (2)" in out,
              "shadow-report, in words", out + err)
    new = os.path.join(lab.dir, "new")
    os.mkdir(new)
    changed = json.loads(json.dumps(POLICY))
    by_sid = {s["Sid"]: s for s in changed["Statement"]}
    by_sid["CiMain"]["Condition"]["StringEquals"]["jwt:ref"].append(SIDE)       # deny -> allow
    by_sid["TriedNoPull"]["Mode"] = "Enforce"                                   # allow -> deny
    with open(os.path.join(new, "changed.json"), "w") as f:
        json.dump(changed, f)
    more = {"Version": "2026-11-01", "Statement": [
        {"Sid": "Env", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:PushBlob"], "Resource": ["*"],
         "Condition": {"StringEquals": {"jwt:environment": ["lab"]}, "Null": {"jwt:environment": "false"}}}]}
    with open(os.path.join(new, "more.json"), "w") as f:
        json.dump(more, f)
    old = os.path.join(g.dir, "policy.json")
    got = reported("diff", old, new, "--audit", g.audit)
    seen = {(x["old"], x["new"], x["action"], x.get("new_by", {}).get("sid")): x for x in got["groups"]}
    denied = {x["old_by"]["sid"]: x["count"] for x in got["groups"] if (x["old"], x["new"]) == ("allow", "deny") and
              x["new_by"]["sid"] == "TriedNoPull" and x["new_by"]["file"] == os.path.join(new, "changed.json")}
    report.ok(denied == {"CiMain": 1, "CiLooks": 1}, "diff: allow -> deny, by the statements", repr(got))
    report.ok(any(k[:2] == ("deny", "unknown") and x["lacks"] == "jwt:environment" for k, x in seen.items()),
              "diff: what hangs on a claim that nobody read is unknown", repr(got))
    report.ok(got["decisions"] == got["same"] + got["changed"] + got["unknown"] and got["unreadable"] == 0 and got["same"] > 5,
              "diff: the sums", repr({k: v for k, v in got.items() if k != "groups"}))
    got = reported("diff", old, os.path.join(new, "changed.json"), "--audit", g.audit)
    seen = {(x["old"], x["new"], x["action"], x.get("new_by", {}).get("sid")): x["count"] for x in got["groups"]}
    report.ok(seen.get(("deny", "allow", "registry:PushBlob", "CiMain")) == 1 and got["unknown"] == 0, "diff: deny -> allow", repr(got))
    got = reported("diff", old, old, "--audit", g.audit)
    report.ok(got["changed"] == got["unknown"] == 0 and got["same"] == got["decisions"] > 10,
              "diff of a policy and itself: every decision of the log is the same", repr(got))
    status, out, err = tool("diff", old, new, "--audit", g.audit)
    report.ok(status == 0 and "allow -> deny: registry:PullManifest" in out and "the log lacks jwt:environment" in out,
              "diff, in words", out + err)
    status, out, err = tool("who-can", "registry:PushManifest", "repo:up/app", "-p", old, "--audit", g.audit, "--json")
    got = json.loads(out) if status == 0 else {"allow": [], "did": []}
    report.ok([(d["identity"], d["count"], d["sids"]) for d in got["did"]] == [("test/ci", 1, {"CiMain": 1})] and
              [a["sid"] for a in got["allow"]] == ["CiMain"], "who-can, and who did", out + err)
    # every recorded decision is what the policy of today says of the request that the record keeps
    wrong = []
    for e in g.requests():
        record = e.get("policy_record")
        if record and record["decision"] != "Need":
            status, out, err = tool("decide", "-p", old, data=json.dumps(
                {k: record[k] for k in ("principal", "action", "resource", "context")}) + "\n")
            if json.loads(out)["decision"] != record["decision"]:
                wrong.append((record, out, err))
    report.ok(not wrong, "every record can be asked again", repr(wrong[:1]))


def logs(lab, report, g, token):
    """A log that is being written, one that is not there, ids that are none."""
    copy = os.path.join(lab.dir, "copy")
    shutil.copytree(g.audit, copy)
    whole = reported("shadow-report", "--audit", copy)
    with open(os.path.join(copy, "current.jsonl"), "ab") as f:
        f.write(b"no event\n" + b"x" * 3000000 + b'\n{"time":"2026-11-27T00:00:00.000000Z","policy_record":{"shadow":{')
    status, out, err = tool("shadow-report", "--audit", copy, "--json")
    report.ok(status == 0 and json.loads(out) == whole and "2 lines are no events" in err, "a line being written, and other things", out + err)
    events = g.requests()
    middle = events[len(events) // 2]["time"]
    n = [reported("diff", os.path.join(g.dir, "policy.json"), os.path.join(g.dir, "policy.json"), "--audit", g.audit, *more)["events"]
         for more in ((), ("--until", middle[:19] + "Z"), ("--since", middle[:19] + "Z"), ("--since", "2100-01-01T00:00:00Z"))]
    report.ok(n[0] == n[1] + n[2] > 0 and n[3] == 0, "--since and --until", repr(n))
    for args, status, words in ((("explain", "0" * 26, "--audit", g.audit), 1, "no event"),
                                (("explain", "x", "--audit", g.audit), 2, "no event id"),
                                (("explain", "0" * 26, "--audit", "/nonexistent"), 1, "No such file"),
                                (("explain", "0" * 26), 2, "usage"), (("diff", "a", "--audit", g.audit), 2, "usage"),
                                (("diff", "/nonexistent", "/nonexistent", "--audit", g.audit), 1, "/nonexistent"),
                                (("shadow-report",), 2, "usage"), (("observe-report", "--since", "soon", "--audit", g.audit), 2, "usage")):
        got, out, err = tool(*args)
        report.ok(got == status and words in err and not out, f"{args[0]} {args[1:]}: {words}", f"{got} {out} {err}")
    with open(os.path.join(g.audit, "current.jsonl"), errors="replace") as f:
        text = f.read()
    report.ok(not any(t in text or t.split(".")[2] in text for t in token.values()), "no token is in the log")


def now(lab, report, g):
    """A request that is asked now."""
    ask = {"principal": ["issuer:test", "subject:test/ci"], "action": "registry:PushBlob", "resource": "repo:up/app",
           "context": {"jwt:ref": "x\u001b[31m\u009b"}}
    path = os.path.join(lab.dir, "request.json")
    with open(path, "w") as f:
        json.dump(ask, f)
    policy = os.path.join(g.dir, "policy.json")
    for args, data in ((("-p", policy, path), None), (("-p", policy, "-"), json.dumps(ask)), (("-p", policy), json.dumps(ask) + "\n")):
        status, out, err = tool("explain", *args, data=data)
        report.ok(status == 0 and "near miss   CiMain" in out and "\x1b" not in out and "\u009b" not in out,
                  f"explain {' '.join(os.path.basename(a) for a in args)}", repr(out + err))
    status, out, err = tool("explain", "-p", policy, "--json", path)
    report.ok(status == 0 and json.loads(out)["near"][0]["failed"]["have"] == "x\u001b[31m\u009b", "explain --json", out + err)
    status, out, err = tool("explain", "-p", policy, data="{}")
    report.ok(status == 1 and "principal is not an array" in err, "what is no request", out + err)


def observed(lab, report, stub, token):
    g = labs.Gateway(lab, "observing", stub.origin, POLICY, mode="observe").start()
    for who, method, target, body in (("main", "PUT", "/v2/app/manifests/w1", ONE), ("main", "PUT", "/v2/app/manifests/w1", TWO),
                                      ("main", "PUT", "/v2/app/manifests/frozen-2", ONE), ("nobody", "GET", "/v2/app/manifests/w1", None),
                                      ("side", "POST", "/v2/app/blobs/uploads/", None)):
        r = g.request(method, target, token[who], KIND if method == "PUT" else {}, body)
        report.ok(r.status < 300, f"observe: {who} {method} {target} passes", repr(r))
    g.settled()
    got = {(x["reason"], x["sid"], x["action"]): x for x in reported("observe-report", "--audit", g.audit)["groups"]}
    report.ok(set(got) == {("tag_locked", "", "registry:OverwriteTag"), ("denied_by_policy", "NoFrozen", "registry:PushManifest"),
                           ("not_allowed", "", "registry:PullManifest"), ("not_allowed", "", "registry:PushBlob")} and
              got["not_allowed", "", "registry:PushBlob"]["near"] == [{"sid": "CiMain", "key": "jwt:ref"}] and
              got["not_allowed", "", "registry:PullManifest"]["identities"] == {"test/nobody": 1}, "observe-report", repr(got))
    status, out, err = tool("observe-report", "--audit", g.audit)
    report.ok(status == 0 and "denied_by_policy: registry:PushManifest, by NoFrozen" in out and "CiMain would, but for jwt:ref" in out,
              "observe-report, in words", out + err)
    sample = got["denied_by_policy", "NoFrozen", "registry:PushManifest"]["samples"][0]
    status, out, err = tool("explain", sample, "--audit", g.audit)
    report.ok(status == 0 and "let through; enforcing would refuse it as denied_by_policy" in out and "denied by NoFrozen" in out,
              "its sample, explained", out + err)
    g.stop()


def run(lab, report, chosen=None):
    stub = stubs.Stub()
    g = labs.Gateway(lab, "explained", stub.origin, POLICY).start()
    token = {"main": lab.signer.token("ci", ref=MAIN), "side": lab.signer.token("ci", ref=SIDE, environment="lab"),
             "nobody": lab.signer.token("nobody")}
    raw(lab, report, g, stub, token)
    several(lab, report, g, stub, token)
    reports(lab, report, g, stub, token)
    logs(lab, report, g, token)
    now(lab, report, g)
    ok, said = g.verify()
    report.ok(ok, "audit verify", said)
    g.stop()
    observed(lab, report, stub, token)
    stub.close()
    if os.geteuid() == 0:
        clients(lab, report, chosen)
    else:
        report.ok(False, "the daemons and stores of these clients need root; run the tests as root")
