# clients.py - docker, podman, skopeo, buildah and containerd's ctr through the gateway: one scenario for all of them.
#
# STEPS is the scenario, WORDS what each client shows its user of what the gateway said. The gateway's own sentence must
# get there: a refusal that nobody can read is a support call.
# SPDX-License-Identifier: Apache-2.0
import os
import re
import shutil
import subprocess

import adapters
import lab as labs

LOCKED = "tag exists and is immutable; push under a new tag"
PRIVATE = "no policy allows this; ask the administrators of this registry"
LOGIN = "authentication required; log in first"

# Beside what the tests share: somebody who cleans up.
POLICY = {**labs.POLICY, "Statement": labs.POLICY["Statement"] + [
    {"Sid": "AdminCleansUp", "Effect": "Allow", "Principal": ["subject:test/admin"],
     "Action": ["registry:Pull*", "registry:List*", "registry:Delete*"], "Resource": ["repo:up/app", "repo:up/app/*"]},
    {"Sid": "AdminMayRemoveV2", "Effect": "Allow", "Principal": ["subject:test/admin"], "Action": ["registry:OverwriteTag"],
     "Resource": ["repo:up/app"], "Condition": {"StringEquals": {"registry:Tag": ["v2"]}}}]}

# What the client prints, from there on where the gateway is to blame. {host} is the gateway.
WORDS = {
    "docker": {
        "bad login": "login attempt to https://{host}/v2/ failed with status: 401 Unauthorized",
        "locked": "denied: " + LOCKED,
        "may not": "denied: " + PRIVATE,
        # what it says last: a registry on a loopback address is tried over plain HTTP too
        "nobody": 'Get "http://{host}/v2/": EOF',
    },
    "podman": {
        "bad login": "invalid username/password",
        "locked": "writing manifest: uploading manifest v1 to {host}/app: denied: " + LOCKED,
        "may not": "denied: " + PRIVATE,
        "nobody": "unauthorized: " + LOGIN,
    },
    "ctr": {    # the reason phrase of the status line is all that it shows
        "bad login": "failed with status code [manifests v1]: 401 token not accepted; log in again with a new one",
        "locked": "unexpected status: 403 " + LOCKED,
        "may not": "unexpected status: 403 " + PRIVATE,
        "nobody": "failed with status code [manifests v1]: 401 " + LOGIN,
    },
}
WORDS["skopeo"] = WORDS["buildah"] = WORDS["podman"]


class Scene:
    """One client, one upstream."""

    def __init__(self, lab, tool, upstream, gateway):
        self.lab, self.tool, self.upstream, self.gateway = lab, tool, upstream, gateway
        self.people = {who: tool.session(tool, gateway, who) for who in ("ci", "dev", "admin", "bad", "nobody")}
        self.digest = None      # of what was pushed as app:v1

    def token(self, who):
        return ("not-a-token" if who == "bad" else self.lab.signer.token(who)).encode()

    def events(self, action, **registry):
        self.gateway.settled()
        return [e for e in self.gateway.requests() if e["action"] == action and
                all(e["registry"].get(k) == v for k, v in registry.items())]

    def login(self, who):
        return self.people[who].login(self.token(who))

    def bad_login(self):
        ok, said = self.login("bad")
        # without a login of its own, the first use is what fails
        return self.people["bad"].pull("app:v1") if ok and self.tool.name == "ctr" else (ok, said)

    def push(self, who, note, name):
        return self.people[who].push(self.tool.images[note], name)

    def first_push(self):
        ok, said = self.push("ci", "one", "app:v1")
        puts = self.events("manifest.put", repository="app", tag="v1")
        self.digest = puts[0]["registry"]["digest"] if puts else None
        return ok and len(puts) == 1 and puts[0]["decision"] == "allow", f"{said}\n{puts}"

    def again(self):
        """Pushed again it has the same digest; what looks first (ctr) need not PUT at all."""
        ok, said = self.push("ci", "one", "app:v1")
        puts = self.events("manifest.put", repository="app", tag="v1")
        return ok and {e["registry"]["digest"] for e in puts} == {self.digest} and \
            {e["decision"] for e in puts} == {"allow"}, f"{said}\n{puts}"

    def one_refusal(self):
        puts = [e for e in self.events("manifest.put", repository="app", tag="v1") if e["decision"] == "deny"]
        return len(puts) == 1 and puts[0]["reason"] == "tag_locked" and puts[0]["registry"]["old_digest"] == self.digest, repr(puts)

    def pull(self, who, name):
        ok, said = self.people[who].pull(name.format(digest=self.digest))
        return ok and self.digest in said, said

    def mount(self):
        """The layers are there already, in another repository: at least one of them is not sent again."""
        ok, said = self.push("ci", "one", "app/second:v1")
        mounts = self.events("blob.mount", repository="app/second")
        return ok and any(e["http"]["status"] == 201 for e in mounts), f"{said}\n{mounts}"

    def optional(self, verb, who, name):
        do = getattr(self.people[who], verb)
        return None if do is None else do(name)

    def imports(self):
        if self.people["admin"].delete is None:
            return None
        p = subprocess.run([labs.BINARY, "tag", "import", "-c", self.gateway.conf, "app"], capture_output=True, text=True)
        return p.returncode == 0, p.stdout + p.stderr

    def after_delete(self):
        """Its tombstone lets only the same image back."""
        if self.people["admin"].delete is None:
            return None
        ok, said = self.push("ci", "one", "app:v2")
        back, told = self.push("ci", "two", "app:v2")
        return not ok and back, said + told

    def untrusting(self):
        """A client without our CA must not talk to us."""
        if self.tool.name != "skopeo":
            return None
        return self.people["nobody"].run("inspect", f"docker://{self.people['nobody'].host}/app:v1")

    def audit(self):
        return self.gateway.verify()


# What is done, whether it must succeed, and what must be said: a key of WORDS, or the words.
STEPS = (
    ("login as ci", lambda s: s.login("ci"), True, ""),
    ("login as dev", lambda s: s.login("dev"), True, ""),
    ("login as admin", lambda s: s.login("admin"), True, ""),
    ("login with a bad token", lambda s: s.bad_login(), False, "bad login"),
    ("push", lambda s: s.first_push(), True, ""),
    ("the same push again", lambda s: s.again(), True, ""),
    ("a changed image is refused in our words", lambda s: s.push("ci", "two", "app:v1"), False, "locked"),
    ("... after one PUT, with one event that names both digests", lambda s: s.one_refusal(), True, ""),
    ("the changed image under a new tag", lambda s: s.push("ci", "two", "app:v2"), True, ""),
    ("pull by tag, as dev", lambda s: s.pull("dev", "app:v1"), True, ""),
    ("pull by digest, as dev", lambda s: s.pull("dev", "app@{digest}"), True, ""),
    ("mount into a second repository", lambda s: s.mount(), True, ""),
    ("list of tags", lambda s: s.optional("list", "dev", "app"), True, "v2"),
    ("a push by dev is refused", lambda s: s.push("dev", "two", "app:v3"), False, "may not"),
    ("a pull without login is refused", lambda s: s.pull("nobody", "app:v1"), False, "nobody"),
    ("without the CA it does not talk to us", lambda s: s.untrusting(), False, "certificate signed by unknown authority"),
    ("delete before an import is refused in our words", lambda s: s.optional("delete", "admin", "app:v2"), False, "tidewaiter tag import"),
    ("import", lambda s: s.imports(), True, ""),
    ("delete by who may not", lambda s: s.optional("delete", "dev", "app:v2"), False, "no policy allows this"),
    ("delete of an immutable tag", lambda s: s.optional("delete", "admin", "app:v1"), False,
     "tag v1 is immutable: deleting it takes OverwriteTag"),
    ("delete", lambda s: s.optional("delete", "admin", "app:v2"), True, ""),
    ("... and another image does not take its place", lambda s: s.after_delete(), True, ""),
    ("audit verify", lambda s: s.audit(), True, ""),
)


def one(lab, report, tool, upstream):
    name = f"{tool.name}-{upstream}"
    login = ("gateway", "correct horse") if upstream == "htpasswd" else None
    registry, url = lab.registry(f"registry-{name}", tls=upstream == "tls", login=login)
    g = labs.Gateway(lab, f"gateway-{name}", url, policy=POLICY, ca_file=lab.ca if upstream == "tls" else None,
                     upstream_options=lab.credentials(*login) if login else None).start()
    scene = Scene(lab, tool, upstream, g)
    for step, do, good, words in STEPS:
        words = WORDS[tool.name].get(words, words).format(host=f"localhost:{g.port}")
        result = do(scene)
        if result is None:
            continue        # not a verb of this client
        ok, said = result
        report.ok(bool(ok) == good and words in re.sub(r"\s+", " ", said), f"{tool.name}, {upstream} upstream: {step}",
                  f"wanted {words!r}, got {said[-1500:]}")
    g.stop()
    registry.stop()


def run(lab, report, chosen=None):
    if os.geteuid() != 0:
        report.ok(False, "the daemons and stores of these clients need root; run the tests as root")
        return
    for kind in adapters.ALL:
        if chosen and kind.name not in chosen:
            continue
        missing = [n for n in kind.needs if not shutil.which(n)]
        if not report.ok(not missing, f"{kind.name} is installed", f"missing: {missing}; deploy/install-deps test brings it"):
            continue
        tool = kind(lab)
        if report.ok(tool.ready(), f"{kind.name} is ready", tool.daemon.tail() if tool.daemon else ""):
            tool.images = {note: tool.make(note) for note in ("one", "two")}
            for upstream in ("plain", "tls", "htpasswd"):
                one(lab, report, tool, upstream)
        tool.close()
