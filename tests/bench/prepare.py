# prepare.py - tools, keys, tokens and data in BENCH_DIR; what is there and current stays.
#
# SPDX-License-Identifier: Apache-2.0
import base64
import hashlib
import http.client
import json
import os
import random
import shutil
import ssl
import subprocess
import time

import host
from host import BIN, DIR, HERE, ISSUER, PKI, Failure

MIB = 1 << 20
BLOB = (256 if host.QUICK else 1024) * MIB
TOKENS = 20000
TOKEN_AGE = 6 * 3600        # tokens live 12 h
CFLAGS = "-O2 -g -std=c17 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Werror".split()
LIBRARIES = {"relay": ["-levent", "-lssl", "-lcrypto"], "mint": ["-lcrypto"], "cal": ["-lcrypto"]}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b'{"architecture":"amd64","os":"linux"}'


def command(*words, **more):
    done = subprocess.run(words, capture_output=True, **more)
    if done.returncode != 0:
        raise Failure(f"{' '.join(words[:3])}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def build():
    """The C tools, when older than their sources."""
    os.makedirs(BIN, exist_ok=True)
    newest = max(os.path.getmtime(f"{HERE}/src/{f}") for f in os.listdir(HERE + "/src"))
    for name in ("rate", "dial", "bulk", "sink", "relay", "mint", "cal"):
        out = f"{BIN}/{name}"
        if os.path.exists(out) and os.path.getmtime(out) > newest:
            continue
        wire = [] if name in ("mint", "cal") else [HERE + "/src/wire.c"]
        command(os.environ.get("CC", "cc"), *CFLAGS, "-o", out, f"{HERE}/src/{name}.c", *wire,
                *LIBRARIES.get(name, ["-lssl", "-lcrypto"]), "-pthread")


def certificate(name, subject, extension=""):
    """name.key signed by our authority to name.crt."""
    command("openssl", "req", "-new", "-key", f"{PKI}/{name}.key", "-subj", "/CN=" + subject, "-out",
            f"{PKI}/{name}.csr")
    host.write(f"{PKI}/{name}.ext", extension)
    command("openssl", "x509", "-req", "-in", f"{PKI}/{name}.csr", "-CA", PKI + "/ca.pem", "-CAkey", PKI + "/ca.key",
            "-CAcreateserial", "-days", "365", "-extfile", f"{PKI}/{name}.ext", "-out", f"{PKI}/{name}.crt")


def ec_key(name):
    command("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{PKI}/{name}.key")


def pki():
    """A CA, one server certificate for everybody (ECDSA P-256), and the keys that sign tokens."""
    if os.path.exists(PKI + "/jwks.json"):
        return
    shutil.rmtree(PKI, ignore_errors=True)
    os.makedirs(PKI)
    ec_key("ca")
    command("openssl", "req", "-x509", "-new", "-key", PKI + "/ca.key", "-subj", "/CN=bench", "-days", "365", "-out",
            PKI + "/ca.pem")
    ec_key("server")
    certificate("server", "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    host.write(PKI + "/server.pem", host.read(PKI + "/server.crt") + host.read(PKI + "/server.key"))
    command("openssl", "genrsa", "-out", PKI + "/RS256.key", "2048")
    ec_key("ES256")
    for name in ("RS256", "ES256"):
        command("openssl", "pkey", "-in", f"{PKI}/{name}.key", "-pubout", "-out", f"{PKI}/{name}.pub")
    command("openssl", "req", "-x509", "-new", "-key", PKI + "/RS256.key", "-subj", "/CN=tokens", "-days", "365",
            "-out", PKI + "/RS256.crt")
    der = command("openssl", "pkey", "-pubin", "-in", PKI + "/RS256.pub", "-outform", "DER")
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()     # docker-registry finds keys by this name
    host.write(PKI + "/RS256.kid", ":".join(text[i:i + 4] for i in range(0, len(text), 4)))
    host.write(PKI + "/ES256.kid", "bench-es256")
    jwks = command(BIN + "/mint", "jwks", PKI + "/RS256.key", host.read(PKI + "/RS256.kid"), PKI + "/ES256.key",
                   host.read(PKI + "/ES256.kid"))
    host.write(PKI + "/jwks.json", jwks.decode())


def tokens():
    """For each algorithm one token for everyday use, as a header, and many that are used once."""
    last = PKI + "/ES256.tokens"
    if os.path.exists(last) and time.time() - os.path.getmtime(last) < TOKEN_AGE:
        return
    for alg in ("RS256", "ES256"):
        out = command(BIN + "/mint", "tokens", alg, f"{PKI}/{alg}.key", host.read(f"{PKI}/{alg}.kid"), ISSUER,
                      str(TOKENS + 1)).decode()
        first, rest = out.split("\n", 1)
        host.write(f"{PKI}/{alg}.header", f"Authorization: Bearer {first}\r\n")
        host.write(f"{PKI}/{alg}.tokens", rest)
    host.write(PKI + "/none.header", "")


def blob(size):
    """A file of that many bytes under its digest."""
    folder = DIR + "/static/v2/app/blobs"
    block = random.Random(1).randbytes(MIB)
    digest = hashlib.sha256()
    with open(folder + "/new", "wb") as f:
        for _ in range(size // MIB):
            f.write(block)
            digest.update(block)
    name = "sha256:" + digest.hexdigest()
    os.replace(folder + "/new", f"{folder}/{name}")
    return name


def manifest(size, layers):
    m = {"schemaVersion": 2, "mediaType": MANIFEST,
         "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": "sha256:" + hashlib.sha256(CONFIG).hexdigest(), "size": len(CONFIG)},
         "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": d, "size": n}
                    for d, n in layers],
         "annotations": {"bench": ""}}
    m["annotations"]["bench"] = "a" * max(0, size - len(json.dumps(m)))
    return json.dumps(m)


def data():
    """Static files for the upstream: blobs of three sizes, manifests of 512 bytes and 2 KB and one that lists all."""
    stamp = DIR + "/data.json"
    if os.path.exists(stamp) and json.loads(host.read(stamp))["size"] == BLOB:
        return json.loads(host.read(stamp))
    shutil.rmtree(DIR + "/static", ignore_errors=True)
    os.makedirs(DIR + "/static/v2/app/manifests")
    os.makedirs(DIR + "/static/v2/app/blobs")
    known = {"size": BLOB, "small": blob(MIB), "8": blob(8 * MIB), "72": blob(72 * MIB), "blob": blob(BLOB)}
    sizes = {"small": MIB, "8": 8 * MIB, "72": 72 * MIB, "blob": BLOB}
    for tag, size, layers in (("t512", 512, ["small"]), ("t2k", 2048, ["small"]), ("all", 0, list(sizes))):
        host.write(f"{DIR}/static/v2/app/manifests/{tag}", manifest(size, [(known[k], sizes[k]) for k in layers]))
    host.write(stamp, json.dumps(known))
    return known


def allow(number, repository, **more):
    return {"Sid": f"Team{number}", "Effect": "Allow", "Principal": ["issuer:ci"],
            "Action": ["registry:Pull*", "registry:Push*", "registry:List*"], "Resource": f"repo:bench/{repository}",
            "Condition": {"StringEquals": {"jwt:env": "prod"}}, **more}


def rules():
    """The same rights twice: as policies for the gateway, as a map for haproxy. The repository asked for comes last."""
    names = [f"team{i}/img{i}" for i in range(1, 5000)]
    host.write(DIR + "/repo.map", "".join(f"{n} prod\n" for n in names + ["app"]))
    locked = {"Sid": "Quarantine", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:Pull*"],
              "Resource": "repo:bench/quarantine/*"}
    for total in (10, 5000):
        statements = [allow(i, n) for i, n in enumerate(names[:total - 2])] + [allow("App", "app"), locked]
        host.write(f"{DIR}/policy-{total}.json", json.dumps({"Version": "2026-11-01", "Statement": statements}))


def ask(method, path, body=b"", kind="application/octet-stream", headers=None, port=host.PORT):
    """One request on a connection of its own: status, headers."""
    context = ssl.create_default_context(cafile=PKI + "/ca.pem")
    c = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    try:
        typed = {"Content-Type": kind} if method in ("POST", "PUT", "PATCH") else {"Accept": MANIFEST}
        c.request(method, path, body or None, {**typed, **(headers or {})})
        r = c.getresponse()
        r.read()
        return r.status, dict(r.getheaders())
    finally:
        c.close()


def registry(known):
    """The two small manifests in a real registry's storage, pushed through its API without authentication."""
    if os.path.exists(DIR + "/registry/done") or not shutil.which("docker-registry"):
        return
    shutil.rmtree(DIR + "/registry", ignore_errors=True)
    os.makedirs(DIR + "/registry")
    row = {"command": ["docker-registry", "serve", host.ROW + "/conf"], "conf": "registry.yml", "values": {"AUTH": ""}}
    p = host.start_row("registry", row)
    try:
        small = f"{DIR}/static/v2/app/blobs/{known['small']}"
        with open(small, "rb") as f:
            layers = [CONFIG, f.read()]
        for layer in layers:
            where = ask("POST", "/v2/app/blobs/uploads/")[1]["Location"].split("/", 3)[3]
            digest = "sha256:" + hashlib.sha256(layer).hexdigest()
            if ask("PUT", f"/{where}&digest={digest}", layer)[0] != 201:
                raise Failure("docker-registry took no blob")
        for tag in ("t512", "t2k"):
            text = host.read(f"{DIR}/static/v2/app/manifests/{tag}").encode()
            if ask("PUT", f"/v2/app/manifests/{tag}", text, MANIFEST)[0] != 201:
                raise Failure("docker-registry took no manifest")
        host.write(DIR + "/registry/done", "")
    finally:
        host.stop(p)


def everything():
    for name in ("openssl", "taskset", "nginx"):
        if not shutil.which(name):
            raise Failure(f"{name} is not installed: see the package list in tests/bench/README.md")
    os.makedirs(DIR, exist_ok=True)
    build()
    pki()
    tokens()
    known = data()
    rules()
    registry(known)
    return known
