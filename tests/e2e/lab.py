# lab.py - what the end-to-end tests are made of: certificates, tokens, a gateway, registries, raw TLS clients.
#
# Python's standard library and the openssl command only. Everything started here is ended by Lab.close(), by its id.
# SPDX-License-Identifier: Apache-2.0
import base64
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(ROOT, os.environ.get("TIDEWAITER", "build/tidewaiter"))
ISSUER = "https://issuer.test"
AUDIENCE = "registry.test"
HOST = "registry.test"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


PORTS = iter(random.Random().sample(range(10000, 30000), 20000))


def free_port():
    """Below the ports that the kernel gives to clients: one of those could be taken again before it is used. Each once."""
    for port in PORTS:
        try:
            socket.create_server(("127.0.0.1", port)).close()
            return port
        except OSError:
            pass
    raise RuntimeError("no free port")


def wait_for(condition, seconds=10.0, step=0.02):
    """The first true value of condition() within the time, or its last."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)


def port_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True).stdout


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Report:
    """Counts; each check is one line, and a failed one says why. A quiet one keeps its lines for another's take()."""

    def __init__(self, quiet=False):
        self.passed = self.failed = 0
        self.lines, self.quiet = [], quiet

    def say(self, line):
        if self.quiet:
            self.lines.append(line)
        else:
            print(line, flush=True)

    def ok(self, condition, name, why=""):
        if condition:
            self.passed += 1
            self.say(f"  ok     {name}")
        else:
            self.failed += 1
            self.say(f"  FAILED {name}" + (f"\n         {why}" if why else ""))
        return bool(condition)

    def take(self, other):
        for line in other.lines:
            self.say(line)
        self.passed, self.failed = self.passed + other.passed, self.failed + other.failed

    def done(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0


class Signer:
    """An ES256 identity provider of three lines: a key, its JWKS, tokens. Made without the gateway's own code."""

    def __init__(self, directory, kid="test-1"):
        self.kid = kid
        self.key = os.path.join(directory, kid + ".pem")
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key)
        point = openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER")[-64:]
        self.jwks = os.path.join(directory, kid + ".jwks.json")
        with open(self.jwks, "w") as f:
            json.dump({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
                                 "x": b64(point[:32]), "y": b64(point[32:])}]}, f)

    def sign(self, signed):
        der = openssl("dgst", "-sha256", "-sign", self.key, data=signed)
        out, at = b"", 2
        for _ in range(2):        # SEQUENCE of two INTEGERs, to 32 bytes each
            n = der[at + 1]
            out += int.from_bytes(der[at + 2:at + 2 + n], "big").to_bytes(32, "big")
            at += 2 + n
        return out

    def token(self, subject, header=None, **claims):
        now = int(time.time())
        head = {"alg": "ES256", "typ": "JWT", "kid": self.kid, **(header or {})}
        body = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3600, **claims}
        body = {k: v for k, v in body.items() if v is not None}
        signed = (b64(json.dumps(head).encode()) + "." + b64(json.dumps(body).encode())).encode()
        return signed.decode() + "." + b64(self.sign(signed))


class Process:
    """A child with its output in a file. Ended by its own id, never by name."""

    def __init__(self, argv, log, env=None):
        self.log = log
        self.argv = argv
        with open(log, "ab") as out:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          env={**os.environ, **(env or {})}, start_new_session=True)
        self.pid = self.child.pid
        self.killed = False

    def alive(self):
        return self.child.poll() is None

    def tail(self, n=15):
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-n:])

    def stop(self, how=signal.SIGTERM, seconds=15):
        if self.alive():
            self.killed = how == signal.SIGKILL
            self.child.send_signal(how)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()       # its status says that it did not end by itself
                self.child.wait()
        return self.child.returncode


EVENT_ID = re.compile(r"\(event ([0-9A-HJKMNP-TV-Z]{26})\)")


def without_event(text):
    """A refusal's words, but for the id of its event."""
    return text and EVENT_ID.sub("", text).strip()


class Response:
    def __init__(self, status, reason, headers, body, interim):
        self.status, self.reason, self.headers, self.body, self.interim = status, reason, headers, body, interim

    def header(self, name, default=None):
        return next((v for k, v in self.headers if k == name.lower()), default)

    def code(self):
        try:
            return json.loads(self.body)["errors"][0]["code"]
        except (ValueError, KeyError, IndexError, TypeError):
            return None

    def message(self):
        try:
            return json.loads(self.body)["errors"][0]["message"]
        except (ValueError, KeyError, IndexError, TypeError):
            return None

    def __repr__(self):
        return f"{self.status} {self.reason} {self.body[:200]!r}"


class Closed(Exception):
    """The gateway ended the connection; .received is what came before."""

    def __init__(self, received=b""):
        super().__init__(f"closed after {received[:80]!r}")
        self.received = received


class Client:
    """One TLS connection, driven byte by byte."""

    def __init__(self, gateway, timeout=20.0, sni=HOST, versions=None, certificate=None, before=b"", source=None):
        """certificate: (chain, key) to show; before: bytes sent before TLS; source: the address to come from."""
        context = ssl.create_default_context(cafile=gateway.lab.ca)
        if sni is None:
            context.check_hostname = False
        if versions:
            context.minimum_version, context.maximum_version = versions
        if certificate:
            context.load_cert_chain(*certificate)
        raw = socket.create_connection(("127.0.0.1", gateway.port), timeout, (source, 0) if source else None)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if before:
            raw.sendall(before)
        self.sock = context.wrap_socket(raw, server_hostname=sni)
        self.sock.suppress_ragged_eofs = True
        self.buffer = b""
        self.gateway = gateway

    def send(self, data):
        self.sock.sendall(data)

    def more(self):
        try:
            data = self.sock.recv(262144)
        except ssl.SSLError as e:
            if "timed out" in str(e):
                raise TimeoutError from e
            data = b""
        except ConnectionError:
            data = b""
        if not data:
            raise Closed(self.buffer)
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.more()
        at = self.buffer.index(mark) + len(mark)
        out, self.buffer = self.buffer[:at], self.buffer[at:]
        return out

    def exactly(self, n):
        parts, have = [self.buffer[:n]], min(n, len(self.buffer))
        self.buffer = self.buffer[n:]
        while have < n:
            self.more()
            part, self.buffer = self.buffer[:n - have], self.buffer[n - have:]
            parts.append(part)
            have += len(part)
        return b"".join(parts)

    def response(self, method="GET"):
        interim = []
        while True:
            lines = self.until(b"\r\n\r\n")[:-4].decode("latin-1").split("\r\n")
            _, status, reason = (lines[0] + "  ").split(" ", 2)
            headers = [(k.lower(), v.strip()) for k, _, v in (s.partition(":") for s in lines[1:])]
            if int(status) >= 200:
                break
            interim.append(int(status))
        if hasattr(self.gateway, "answered"):       # not what only stands for one, a proxy in front of it
            self.gateway.answered += 1
        r = Response(int(status), reason.strip(), headers, b"", interim)
        if method == "HEAD" or r.status in (204, 304):
            return r
        if r.header("transfer-encoding") == "chunked":
            while True:
                n = int(self.until(b"\r\n").split(b";")[0], 16)
                r.body += self.exactly(n)
                self.until(b"\r\n")
                if n == 0:
                    return r
        if r.header("content-length") is not None:
            r.body = self.exactly(int(r.header("content-length")))
            return r
        try:
            while True:
                self.more()
        except Closed:
            r.body, self.buffer = self.buffer, b""
        return r

    def at_end(self, seconds):
        """Did the gateway close within the time (and say nothing more)?"""
        self.sock.settimeout(seconds)
        try:
            self.more()
        except Closed:
            return True
        except (TimeoutError, socket.timeout):
            return False
        return False

    def request(self, method, target, token=None, headers=None, body=None, host=HOST):
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n"
        if token:
            head += f"Authorization: Bearer {token}\r\n"
        for k, v in (headers or {}).items():
            head += f"{k}: {v}\r\n"
        if body is not None or method in ("POST", "PUT", "PATCH"):
            head += f"Content-Length: {len(body or b'')}\r\n"
        self.send(head.encode("latin-1") + b"\r\n" + (body or b""))
        return self.response(method)

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass


# One document that the tests share: `ci` owns app/*, `dev` reads, `other` may do nothing, anonymous nothing.
POLICY = {
    "Version": "2026-11-01",
    "Statement": [
        {"Sid": "CiPushes", "Effect": "Allow", "Principal": ["subject:test/ci", "subject:test/ci2"],
         "Action": ["registry:Push*", "registry:Pull*", "registry:List*", "registry:MountBlob"],
         "Resource": ["repo:up/app", "repo:up/app/*"]},
        {"Sid": "DevPulls", "Effect": "Allow", "Principal": ["subject:test/dev"],
         "Action": ["registry:Pull*", "registry:List*"], "Resource": ["repo:up/app", "repo:up/app/*"]},
        {"Sid": "FreezeDenies", "Effect": "Deny", "Principal": ["*"], "Action": ["registry:Push*"],
         "Resource": ["repo:up/app/frozen"], "Message": "app/frozen is frozen until the audit is over"},
    ],
}


def quoted(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return str(v)
    if isinstance(v, (list, tuple)):
        return "[" + ", ".join(quoted(x) for x in v) + "]"
    return '"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"'


class Gateway:
    """`tidewaiter run` with a configuration of its own. `policy` is a document or None (nothing is allowed)."""

    def __init__(self, lab, name, upstream, policy=POLICY, issuer=True, limits=None, ca_file=None, upstream_options=None,
                 tags=None, workers=2, external=HOST, listen=None, mode="enforce", more=""):
        self.lab, self.name = lab, name
        self.dir = os.path.join(lab.dir, name)
        os.makedirs(self.dir, exist_ok=True)
        self.port, self.admin_port = free_port(), free_port()
        self.audit = os.path.join(self.dir, "audit")
        self.conf = os.path.join(self.dir, "gateway.conf")
        self.process = None
        self.answered = 0       # requests of Client, each of which has its event sooner or later
        self.env = None         # beside the environment of the tests
        with open(os.path.join(self.dir, "policy.json"), "w") as f:
            json.dump(policy, f)
        up = {"url": upstream, **({"ca-file": ca_file} if ca_file else {}), **(upstream_options or {})}
        options = lambda d: " ".join(f"{k} = {quoted(v)};" for k, v in d.items())
        # one address makes all connections here, and some cases are bad tokens on purpose
        all_limits = {"connections-per-ip": 0, "auth-failures": 0, **(limits or {})}
        issuers = (f'issuer = {{ test = {{ url = "{ISSUER}"; audiences = ["{AUDIENCE}"]; algorithms = ["ES256"]; '
                   f'jwks-file = "{lab.signer.jwks}"; }}; }};' if issuer else "")
        ledger = {"ledger": f"sqlite:{self.dir}/tags.db", **(tags or {})}
        listener = {"certificates": [lab.cert], "private-keys": [lab.key], **(listen or {})}
        with open(self.conf, "w") as f:
            f.write(f'''
external-url = "https://{external}:{self.port}";
host-names = ["{HOST}", "localhost", "127.0.0.1"];
workers = {workers};
cluster-key = "{self.dir}/cluster.key";
listen = ( {{ address = "127.0.0.1:{self.port}"; {options(listener)} }} );
upstream = {{ up = {{ {options(up)} }}; }};
{issuers}
policy = {{ files = ["{self.dir}/policy.json"]; mode = "{mode}"; }};
tags = {{ {options(ledger)} }};
audit = {{ directory = "{self.audit}"; }};
admin = {{ listen = "127.0.0.1:{self.admin_port}"; }};
limits = {{ {options(all_limits)} }};
{more}
''')

    def start(self):
        self.process = Process([BINARY, "run", "-c", self.conf], os.path.join(self.dir, "log"), self.env)
        self.lab.owned.append(self.process)
        if not wait_for(lambda: not self.process.alive() or port_open(self.port)) or not self.process.alive():
            raise RuntimeError(f"the gateway did not start:\n{self.process.tail()}")
        return self

    def stop(self, how=signal.SIGTERM):
        return self.process.stop(how)

    def client(self, **kw):
        return Client(self, **kw)

    def request(self, method, target, token=None, headers=None, body=None, **kw):
        c = Client(self, **kw)
        try:
            return c.request(method, target, token, headers, body)
        finally:
            c.close()

    def upload(self, repo, data, token):
        """POST, PATCH, PUT as docker does. The last response."""
        c = Client(self)
        try:
            r = c.request("POST", f"/v2/{repo}/blobs/uploads/", token)
            if r.status != 202:
                return r
            r = c.request("PATCH", r.header("location"), token, body=data)
            if r.status not in (201, 202):      # ECR says 201
                return r
            where = r.header("location")
            return c.request("PUT", f"{where}{'&' if '?' in where else '?'}digest={digest_of(data)}", token, body=b"")
        finally:
            c.close()

    def events(self, only=""):
        """The audit log, oldest first; of events whose name begins like that: the rest of a long one is not parsed."""
        mark = f'"event":"{only}'.encode()
        if not os.path.isdir(self.audit):
            return []
        names = sorted(n for n in os.listdir(self.audit) if n.endswith(".jsonl") and n != "current.jsonl")
        out = []
        for n in names + ["current.jsonl"]:
            path = os.path.join(self.audit, n)
            if os.path.exists(path):
                with open(path, "rb") as f:
                    out += [json.loads(line) for line in f.read().split(b"\n")[:-1] if mark in line]
        return out

    def requests(self):
        return [e for e in self.events() if e["event"] == "request"]

    def wait_requests(self, n, seconds=5.0):
        """The request events once there are n of them (or the time is over)."""
        wait_for(lambda: len(self.requests()) >= n, seconds)
        return self.requests()

    def wait_event(self, wanted, seconds=5.0):
        """The last request event that is wanted, once there is one."""
        wait_for(lambda: any(wanted(e) for e in self.requests()), seconds)
        return [e for e in self.requests() if wanted(e)][-1]

    def settled(self, seconds=5.0):
        """Number of request events once all requests counted have theirs on disk."""
        def same():
            count = re.search(r"(?m)^tidewaiter_requests_total (\d+)", self.admin("/metrics")[1])
            n = len(self.requests())
            return count and int(count.group(1)) == n >= self.answered
        wait_for(same, seconds)
        return len(self.requests())

    def verify(self):
        p = subprocess.run([BINARY, "audit", "verify", self.audit], capture_output=True, text=True)
        return p.returncode == 0, (p.stdout + p.stderr).strip()

    def admin(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(s.split()[1]) for s in f if s.startswith("VmRSS"))


class Lab:
    def __init__(self):
        # only letters and digits: podman reads the path of an image as a reference
        self.dir = os.path.join(tempfile.gettempdir(), f"tidewaiter-{os.urandom(6).hex()}")
        os.mkdir(self.dir, 0o700)
        self.owned = []
        self.ca, self.cert, self.key = (os.path.join(self.dir, n) for n in ("ca.crt", "server.crt", "server.key"))
        self.make_certificates()
        self.signer = Signer(self.dir)

    def make_certificates(self):
        d = self.dir
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=Tidewaiter test CA", "-keyout", f"{d}/ca.key", "-out", self.ca)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={HOST}",
                "-keyout", self.key, "-out", f"{d}/server.csr")
        with open(f"{d}/server.ext", "w") as f:
            f.write(f"subjectAltName=DNS:{HOST},DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", f"{d}/server.csr", "-CA", self.ca, "-CAkey", f"{d}/ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", f"{d}/server.ext", "-out", self.cert)

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context

    def process(self, argv, name, env=None):
        p = Process(argv, os.path.join(self.dir, name + ".log"), env)
        self.owned.append(p)
        return p

    def registry(self, name="registry", tls=False, login=None, auth=None):
        """Debian's docker-registry on a free port; login: the (name, password) that it asks for; auth: its auth section as JSON. (process, url)."""
        port = free_port()
        data = os.path.join(self.dir, name)
        os.makedirs(data)
        conf = os.path.join(data, "conf.yml")
        with open(conf, "w") as f:
            f.write("version: 0.1\nlog: {level: warn}\n"
                    f"storage: {{filesystem: {{rootdirectory: {data}/data}}, delete: {{enabled: true}}}}\n"
                    f"http: {{addr: '127.0.0.1:{port}'"
                    + (f", tls: {{certificate: {self.cert}, key: {self.key}}}" if tls else "") + "}\n"
                    + (f"auth: {{htpasswd: {{realm: lab, path: {data}/htpasswd}}}}\n" if login else f"auth: {auth}\n" if auth else ""))
        if login:
            made = subprocess.run(["htpasswd", "-Bbn", *login], capture_output=True, check=True).stdout
            with open(f"{data}/htpasswd", "wb") as f:
                f.write(made)
        p = self.process(["docker-registry", "serve", conf], name)
        if not wait_for(lambda: port_open(port)):
            raise RuntimeError("docker-registry did not start:\n" + p.tail())
        return p, f"{'https' if tls else 'http'}://127.0.0.1:{port}"

    def credentials(self, user, password):
        """The options of an upstream that asks for a login."""
        path = os.path.join(self.dir, "password-" + user)
        with open(path, "w") as f:
            f.write(password + "\n")
        os.chmod(path, 0o600)
        return {"credentials": "basic", "username": user, "password-file": path}

    def close(self, report, keep=False):
        """End what runs, newest first. A gateway must have ended well, and without a word of a sanitizer."""
        gateways = [p for p in self.owned if p.argv[0] == BINARY]
        for p in reversed(self.owned):
            p.stop()
        bad = [f"status {p.child.returncode}: {p.tail(60)}" for p in gateways
               if not (p.killed or p.child.returncode == 0) or "Sanitizer" in p.tail(2000)]
        report.ok(not bad, f"{len(gateways)} gateways ended well", "\n".join(bad))
        if keep:
            print(f"  kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def manifest(*layers, config=b"{}", note=""):
    """A small OCI image manifest; what is in `note` makes it another one."""
    return json.dumps({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(x), "size": len(x)}
                   for x in layers],
        "annotations": {"note": note},
    }).encode()


def need_binary():
    if not os.access(BINARY, os.X_OK):
        sys.exit(f"{BINARY} is not there: run make first")
