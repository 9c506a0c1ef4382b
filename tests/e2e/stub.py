# stub.py - an upstream registry that lives in memory and records every byte it was sent.
#
# It reads strictly what the gateway should write and nothing else: whatever differs from the canonical form is kept
# in `violations` of the request. A hook may answer in its place, so that an upstream can lie, stall or hang up.
# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import re
import socket
import threading
import time
import uuid

# All that may arrive: the gateway writes its own head, and this is the list of what it may put there.
ALLOWED = {"host", "authorization", "x-forwarded-for", "accept-encoding", "user-agent", "accept", "range",
           "if-none-match", "content-type", "content-length", "content-range", "transfer-encoding"}
TARGET = re.compile(r"/v2/[A-Za-z0-9._:/=+~-]*(\?[A-Za-z0-9._:/=+~&%-]*)?\Z")
MANIFESTS = re.compile(r"/v2/(.+)/manifests/([^/]+)\Z")
BLOBS = re.compile(r"/v2/(.+)/blobs/(sha256:[^/]+)\Z")
UPLOADS = re.compile(r"/v2/(.+)/blobs/uploads/([^/]*)\Z")


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Gone(Exception):
    """The peer closed, between requests or inside one."""


class Request:
    def __init__(self, method, target, headers, head):
        self.method, self.target, self.headers, self.head = method, target, headers, head
        self.body = b""
        self.complete = False       # the end of the body was seen
        self.violations = []
        self.status = None          # what the stub answered

    def header(self, name, default=None):
        return next((v for k, v in self.headers if k == name), default)

    def __repr__(self):
        return f"{self.method} {self.target} -> {self.status}"


class Connection:
    """One TCP connection of the gateway's: its raw bytes and the requests in them."""

    def __init__(self, sock):
        self.sock, self.raw, self.pending, self.requests = sock, bytearray(), bytearray(), []

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        self.raw += data
        self.pending += data

    def take(self, n):
        while len(self.pending) < n:
            self.more()
        data = bytes(self.pending[:n])
        del self.pending[:n]
        return data

    def line(self):
        while b"\r\n" not in self.pending:
            self.more()
        return self.take(self.pending.index(b"\r\n") + 2)[:-2].decode("latin-1")

    def read_head(self):
        while b"\r\n\r\n" not in self.pending:
            self.more()
        head = self.take(self.pending.index(b"\r\n\r\n") + 4)
        lines = head[:-4].decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        r = Request(words[0], words[1] if len(words) > 1 else "", [], head)
        for line in lines[1:]:
            name, _, value = line.partition(":")
            r.headers.append((name.lower(), value.strip()))
        self.check_head(r, lines, words)
        self.requests.append(r)
        return r

    @staticmethod
    def check_head(r, lines, words):
        names = [k for k, _ in r.headers]
        bad = r.violations
        if len(words) != 3 or words[2] != "HTTP/1.1":
            bad.append("request line " + lines[0])
        if not TARGET.match(r.target) or "//" in r.target.split("?")[0] or "/../" in r.target or "/./" in r.target:
            bad.append("target " + r.target)
        if names.count("host") != 1:
            bad.append("Host")
        if names.count("content-length") + names.count("transfer-encoding") > 1:
            bad.append("framing")
        if r.method in ("GET", "HEAD", "DELETE") and {"content-length", "transfer-encoding"} & set(names):
            bad.append("a body on " + r.method)
        if r.header("transfer-encoding", "chunked") != "chunked":
            bad.append("transfer coding")
        bad += ["field " + k for k in names if k not in ALLOWED]
        bad += ["line " + s for s in lines[1:] if not re.match(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~\x80-\xff]*\Z", s)]

    def read_body(self, r):
        if r.header("transfer-encoding"):
            parts = []
            while True:
                size = self.line()
                if not re.fullmatch(r"[0-9a-fA-F]+", size):
                    r.violations.append("chunk head " + size)
                    raise Gone
                n = int(size, 16)
                if n == 0:
                    break
                parts.append(self.take(n))
                if self.take(2) != b"\r\n":
                    r.violations.append("chunk end")
                    raise Gone
            trailer = self.line()
            if trailer:
                r.violations.append("trailer " + trailer)
                raise Gone
            r.body = b"".join(parts)
        else:
            r.body = self.take(int(r.header("content-length", "0")))
        r.complete = True


class Stub:
    """hook(request) may return None (the registry answers), (status, headers, body), b"raw bytes", or "drop"."""

    def __init__(self, tls=None):
        self.lock = threading.RLock()
        self.tls = tls
        self.connections = []
        self.blobs, self.manifests, self.tags, self.uploads = {}, {}, {}, {}
        self.hook = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        c = None
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            c = Connection(sock)
            while True:
                mark = len(c.raw)
                r = c.read_head()
                with self.lock:
                    if r.target == "/v2/" and r.header("x-forwarded-for") is None:
                        # nobody's request: the gateway asks whether we are there
                        c.requests.remove(r)
                        del c.raw[mark:]
                    elif c not in self.connections:
                        self.connections.append(c)
                c.read_body(r)
                if not self.answer(sock, r):
                    return
        except (Gone, OSError):
            pass
        finally:
            sock.close()

    def answer(self, sock, r):
        answer = self.hook(r) if self.hook else None
        if answer == "drop":
            return False
        if isinstance(answer, bytes):
            sock.sendall(answer)
            return False
        with self.lock:
            status, headers, body = answer or self.registry(r)
        r.status = status
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        if status not in (204, 304) and not any(k.lower() == "content-length" for k in headers):
            head += f"Content-Length: {len(body)}\r\n"
        sock.sendall(head.encode("latin-1") + b"\r\n" + (b"" if r.method == "HEAD" else body))
        return True

    # ---- the registry ----

    @staticmethod
    def error(status, code):
        return status, {"Content-Type": "application/json"}, json.dumps({"errors": [{"code": code}]}).encode()

    def registry(self, r):
        path, _, query = r.target.partition("?")
        if path == "/v2/":
            return 200, {"Docker-Distribution-Api-Version": "registry/2.0"}, b"{}"
        for pattern, serve in ((UPLOADS, self.upload), (BLOBS, self.blob), (MANIFESTS, self.manifest)):
            m = pattern.match(path)
            if m:
                return serve(r, m.group(1), m.group(2), query)
        if path.endswith("/tags/list"):
            name = path[4:-len("/tags/list")]
            tags = sorted(t for n, t in self.tags if n == name)
            return 200, {"Content-Type": "application/json"}, json.dumps({"name": name, "tags": tags}).encode()
        if path == "/v2/_catalog":
            names = sorted({n for n, _ in self.tags})
            return 200, {"Content-Type": "application/json"}, json.dumps({"repositories": names}).encode()
        if "/referrers/" in path:
            return 200, {"Content-Type": "application/vnd.oci.image.index.v1+json"}, b'{"schemaVersion":2,"manifests":[]}'
        return 404, {"Content-Type": "text/plain"}, b"404 page not found\n"

    def upload(self, r, name, ref, query):
        where = lambda u: f"{self.origin}/v2/{name}/blobs/uploads/{u}?_state=state-{u}"
        if r.method == "POST" and not ref:
            mount = re.search(r"mount=(sha256:\w+)", query)
            if mount and mount.group(1) in self.blobs:
                return 201, {"Location": f"/v2/{name}/blobs/{mount.group(1)}"}, b""
            ref = str(uuid.uuid4())
            self.uploads[ref] = b""
            return 202, {"Location": where(ref), "Range": "0-0", "Docker-Upload-UUID": ref}, b""
        if ref not in self.uploads:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN")
        if r.method == "DELETE":
            del self.uploads[ref]
            return 204, {}, b""
        if r.method == "PATCH":
            self.uploads[ref] += r.body
            end = max(len(self.uploads[ref]) - 1, 0)
            return 202, {"Location": where(ref), "Range": f"0-{end}", "Docker-Upload-UUID": ref}, b""
        if r.method == "PUT":
            data = self.uploads[ref] + r.body
            want = re.search(r"digest=(sha256(?::|%3[Aa])\w+)", query)
            if not want or want.group(1).replace("%3A", ":").replace("%3a", ":") != digest_of(data):
                return self.error(400, "DIGEST_INVALID")
            del self.uploads[ref]
            self.blobs[digest_of(data)] = data
            return 201, {"Location": f"/v2/{name}/blobs/{digest_of(data)}", "Docker-Content-Digest": digest_of(data)}, b""
        return 204, {"Location": where(ref), "Range": f"0-{max(len(self.uploads[ref]) - 1, 0)}"}, b""

    def blob(self, r, name, ref, query):
        if ref not in self.blobs:
            return self.error(404, "BLOB_UNKNOWN")
        if r.method == "DELETE":
            del self.blobs[ref]
            return 202, {}, b""
        data = self.blobs[ref]
        headers = {"Docker-Content-Digest": ref, "Content-Type": "application/octet-stream",
                   "Content-Length": str(len(data)), "Accept-Ranges": "bytes"}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", r.header("range", ""))
        if part and int(part.group(1)) < len(data):
            a, b = int(part.group(1)), int(part.group(2) or len(data) - 1)
            headers.update({"Content-Range": f"bytes {a}-{b}/{len(data)}", "Content-Length": str(b + 1 - a)})
            return 206, headers, data[a:b + 1]
        return 200, headers, data

    def manifest(self, r, name, ref, query):
        if r.method == "PUT":
            digest = digest_of(r.body)
            self.manifests[name, digest] = (r.header("content-type"), r.body)
            if ":" not in ref:
                self.tags[name, ref] = digest
            return 201, {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest}, b""
        if r.method == "DELETE":
            gone = {k for k, d in self.tags.items() if k[0] == name and ref in (k[1], d)}
            if ":" in ref and self.manifests.pop((name, ref), None) is None or ":" not in ref and not gone:
                return self.error(404, "MANIFEST_UNKNOWN")
            for k in gone:
                del self.tags[k]
            return 202, {}, b""
        digest = ref if ":" in ref else self.tags.get((name, ref))
        if (name, digest) not in self.manifests:
            return self.error(404, "MANIFEST_UNKNOWN")
        kind, body = self.manifests[name, digest]
        return 200, {"Content-Type": kind, "Docker-Content-Digest": digest, "Content-Length": str(len(body))}, body

    def put(self, name, tag, kind, body):
        """Put a manifest there behind the gateway's back."""
        digest = digest_of(body)
        with self.lock:
            self.manifests[name, digest] = (kind, body)
            self.tags[name, tag] = digest
        return digest

    # ---- what was seen ----

    def mark(self):
        """A place in the record; give it to since()."""
        with self.lock:
            return [(c, len(c.requests), len(c.raw)) for c in self.connections]

    def since(self, mark):
        """(requests, bytes) that arrived after the mark."""
        with self.lock:
            known = {id(c): (n, size) for c, n, size in mark}
            requests, size = [], 0
            for c in self.connections:
                n, was = known.get(id(c), (0, 0))
                requests += c.requests[n:]
                size += len(c.raw) - was
            return requests, size

    def settle(self, seconds=0.05):
        """Let what is on its way arrive."""
        time.sleep(seconds)

    def close(self):
        self.listener.close()
