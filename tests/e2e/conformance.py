# conformance.py - the OCI conformance suite, straight at the registry and through the gateway: what passes there passes here.
#
# The policy permits overwriting and deleting; cases that may differ all the same are in DIFFERENCES, each with its reason.
# SPDX-License-Identifier: Apache-2.0
import collections
import os
import re
import subprocess
import xml.etree.ElementTree as xml

import lab as labs

SUITE = os.environ.get("CONFORMANCE", os.path.join(labs.ROOT, "build/go/bin/conformance"))

# (pattern of a case, why it may fail through the gateway though it passes at the registry)
DIFFERENCES = (
    (r"sha512", "images are known by their SHA-256 here: the ledger, the audit log and scanners speak of no other digest"),
    (r"bearer: .*blobs/mount/blob-(mount|head|get)", "the suite's client asks for a token of one repository; without one for the source, too, a mount "
                                                     "is a plain upload, which is no refusal"),
    (r"immutable: .*/delete/manifest-delete", "what a tag names may not be deleted under it"),
    (r"immutable: .*/tag-list", "... and so the list is longer than the suite wants it after its deletes"),
    (r"immutable: .*(empty-index|-with-subject|missing-subject)/(push/manifest|head/manifest-head|pull/manifest)-by-tag",
     "the suite gives these a tag that another of its images still has"),
)

OPEN = {"Version": "2026-11-01", "Statement": [
    {"Sid": "All", "Effect": "Allow", "Principal": ["issuer:test"], "Action": ["registry:*"], "Resource": "*"}]}
# tags stay what they are: neither moved nor, with what they name, deleted
IMMUTABLE = {"Version": "2026-11-01", "Statement": OPEN["Statement"] + [
    {"Sid": "NotMoved", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:OverwriteTag"], "Resource": "*"}]}


def suite(lab, report, name, host, user, password, ca, **settings):
    """One run: [(case, status)]."""
    out = os.path.join(lab.dir, "conformance-" + name)
    env = {**os.environ, "OCI_REGISTRY": host, "OCI_TLS": "enabled", "SSL_CERT_FILE": ca, "OCI_USERNAME": user, "OCI_PASSWORD": password,
           "OCI_RESULTS_DIR": out, "OCI_VERSION": "1.1", "OCI_REPO1": "app/one", "OCI_REPO2": "app/two", "OCI_LOG": "error", **settings}
    p = subprocess.run([SUITE], env=env, cwd=lab.dir, capture_output=True, text=True, timeout=300)
    path = os.path.join(out, "junit.xml")
    if not os.path.exists(path):
        report.ok(False, f"{name}: the suite ran", (p.stdout + p.stderr)[-2000:])
        return []
    # a name may come several times, in an order that is not always the same
    cases = [(case.get("name"), case.get("status")) for case in xml.parse(path).iter("testcase")]
    count = collections.Counter(status for _, status in cases)
    print(f"  note   {name}: {len(cases)} cases: " + ", ".join(f"{n} {word}" for word, n in sorted(count.items())))
    return cases


def compare(report, name, direct, through):
    report.ok(len(direct) > 100 and len(through) > 100, f"{name}: both ran ({len(direct)} and {len(through)} cases)")
    lost, named = [], set()
    passed = lambda cases: collections.Counter(key for key, status in cases if status == "passed")
    here = passed(through)
    for key, n in passed(direct).items():
        if here[key] >= n:
            continue
        reasons = [pattern for pattern, _ in DIFFERENCES if re.search(pattern, f"{name}: {key}")]
        named.update(reasons)
        if not reasons:
            lost.append(f"{key}: {n} passed there, {here[key]} here")
    report.ok(not lost, f"{name}: no case that passes at the registry fails through the gateway", "\n".join(lost[:60]))
    for pattern, reason in DIFFERENCES:
        if pattern in named:
            print(f"  note   {name}: differs in {pattern}: {reason}")


def run(lab, report, which=None):
    if not os.access(SUITE, os.X_OK):
        report.ok(False, f"{SUITE} is there", "run: tests/go/install conformance")
        return
    with open(lab.ca) as f, open(os.path.join(lab.dir, "ca-only.crt"), "w") as to:
        to.write(f.read())
    login = ("alice", "secret")
    core = {f"OCI_{n}": "false" for n in ("API_REFERRER", "DATA_SHA512", "DATA_SUBJECT", "DATA_SUBJECT_LIST", "DATA_SUBJECT_MISSING",
                                          "DATA_NONDISTRIBUTABLE", "API_TAGS_DELETE")}
    for profile, settings in (("1.1", {}), ("core", core)):
        _, plain = lab.registry(f"direct-{profile.replace('.', '-')}", tls=True, login=login)
        direct = suite(lab, report, f"{profile} direct", plain.removeprefix("https://"), *login, lab.ca, **settings)
        # with the token itself as the password, and with the gateway's own token service
        for way in ("basic", "bearer", "immutable"):
            name = f"{profile.replace('.', '-')}-{way}"
            _, behind = lab.registry(f"behind-{name}", tls=True, login=login)
            service = f'token-service = {{ signing-key = "{lab.dir}/{name}.pem"; }};' if way == "bearer" else ""
            g = labs.Gateway(lab, f"gateway-{name}", behind, policy=IMMUTABLE if way == "immutable" else OPEN, ca_file=lab.ca, external="localhost", more=service,
                             upstream_options=lab.credentials(*login)).start()
            # what a digest's tags are must be known before it may be deleted: from the beginning, here
            p = subprocess.run([labs.BINARY, "tag", "import", "-c", g.conf, "up/app/one", "up/app/two"], capture_output=True, text=True)
            report.ok(p.returncode == 0, f"{profile}, {way}: repositories that are not there yet are imported", p.stdout + p.stderr)
            through = suite(lab, report, f"{profile} through, {way}", f"localhost:{g.port}", "jwt", lab.signer.token("ci"), lab.ca, **settings)
            compare(report, f"{profile}, {way}", direct, through)
            tokens = sum(e["action"] == "token.issue" for e in g.requests())
            report.ok((tokens > 0) == (way == "bearer"), f"{profile}, {way}: {tokens} tokens of the gateway's own")
            ok, said = g.verify()
            report.ok(ok, f"{profile}, {way}: audit verify: {said}")
            g.stop()
