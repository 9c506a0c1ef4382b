# conformance.py - the OCI conformance suite, straight at the registry and through the gateway: what passes there passes here.
#
# The policy permits overwriting and deleting; cases that may differ all the same are in DIFFERENCES, each with its reason.
# SPDX-License-Identifier: Apache-2.0
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
)

OPEN = {"Version": "2026-11-01", "Statement": [
    {"Sid": "All", "Effect": "Allow", "Principal": ["issuer:test"], "Action": ["registry:*"], "Resource": "*"}]}


def suite(lab, report, name, host, user, password, ca, **settings):
    """One run: {case: passed, failed or skipped}."""
    out = os.path.join(lab.dir, "conformance-" + name)
    env = {**os.environ, "OCI_REGISTRY": host, "OCI_TLS": "enabled", "SSL_CERT_FILE": ca, "OCI_USERNAME": user, "OCI_PASSWORD": password,
           "OCI_RESULTS_DIR": out, "OCI_VERSION": "1.1", "OCI_REPO1": "app/one", "OCI_REPO2": "app/two", "OCI_LOG": "error", **settings}
    p = subprocess.run([SUITE], env=env, cwd=lab.dir, capture_output=True, text=True, timeout=300)
    path = os.path.join(out, "junit.xml")
    if not os.path.exists(path):
        report.ok(False, f"{name}: the suite ran", (p.stdout + p.stderr)[-2000:])
        return {}
    cases = {}
    for case in xml.parse(path).iter("testcase"):
        # a name may come more than once: the order is always the same
        key, n = case.get("name"), 1
        while key in cases:
            key, n = f"{case.get('name')} ({n + 1})", n + 1
        cases[key] = case.get("status")
    words = sorted(set(cases.values()))
    print(f"  note   {name}: {len(cases)} cases: " + ", ".join(f"{sum(v == w for v in cases.values())} {w}" for w in words))
    return cases


def compare(report, name, direct, through):
    report.ok(len(direct) > 100 and len(through) > 100, f"{name}: both ran ({len(direct)} and {len(through)} cases)")
    lost, named = [], set()
    for key, result in direct.items():
        if result != "passed" or through.get(key) == "passed":
            continue
        reasons = [pattern for pattern, _ in DIFFERENCES if re.search(pattern, f"{name}: {key}")]
        named.update(reasons)
        if not reasons:
            lost.append(f"{key}: {through.get(key, 'not run')}")
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
        for way in ("basic", "bearer"):
            name = f"{profile.replace('.', '-')}-{way}"
            _, behind = lab.registry(f"behind-{name}", tls=True, login=login)
            service = f'token-service = {{ signing-key = "{lab.dir}/{name}.pem"; }};' if way == "bearer" else ""
            g = labs.Gateway(lab, f"gateway-{name}", behind, policy=OPEN, ca_file=lab.ca, external="localhost", more=service,
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
