# large.py - blobs of 1 GiB both ways: the gateway's memory must not grow by more than 32 MiB, however they are sent.
#
# The peak of the resident set is reset before each transfer (clear_refs) and read after it (VmHWM), so a buffer that
# was there for a moment counts. LARGE_MIB makes it smaller or larger.
# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import os
import random
import time

import images
import lab as labs
import adapters

SIZE = int(os.environ.get("LARGE_MIB", "1024")) << 20
PIECE = 1 << 18
GROWTH = 32 << 10       # KiB


def pieces(seed):
    """SIZE bytes that do not compress and differ from piece to piece, made as they are needed."""
    block = bytearray(random.Random(seed).randbytes(PIECE))
    for i in range(SIZE // PIECE):
        block[:8] = i.to_bytes(8, "big")
        yield bytes(block)


def digest(seed):
    h = hashlib.sha256()
    for p in pieces(seed):
        h.update(p)
    return "sha256:" + h.hexdigest()


def hwm(g):
    with open(f"/proc/{g.process.pid}/status") as f:
        return next(int(s.split()[1]) for s in f if s.startswith("VmHWM"))


def measured(report, g, name, transfer):
    """transfer() -> (good, why); its growth is the peak above what was resident before."""
    with open(f"/proc/{g.process.pid}/clear_refs", "w") as f:
        f.write("5")
    before, begun = hwm(g), time.monotonic()
    good, why = transfer()
    seconds, grown = time.monotonic() - begun, hwm(g) - before
    report.ok(good, f"{name}: {SIZE >> 20} MiB", why)
    report.ok(grown < GROWTH, f"... and memory grew by less than {GROWTH >> 10} MiB", f"{grown} KiB above {before} KiB")
    print(f"  note   {name}: {grown / 1024:.1f} MiB above {before / 1024:.1f}; {SIZE / seconds / 1e6:.0f} MB/s", flush=True)


def upload(g, token, seed, want, chunked):
    c = g.client(timeout=120)
    head = f"Host: {labs.HOST}\r\nAuthorization: Bearer {token}\r\n"
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SIZE}"
    where = c.request("POST", "/v2/app/blobs/uploads/", token).header("location")
    target = where if chunked else f"{where}?digest={want}"
    c.send(f"{'PATCH' if chunked else 'PUT'} {target} HTTP/1.1\r\n{head}{length}\r\n\r\n".encode())
    for p in pieces(seed):
        c.send(b"%x\r\n" % len(p) + p + b"\r\n" if chunked else p)
    if chunked:
        c.send(b"0\r\n\r\n")
    r = c.response()
    if chunked and r.status == 202:
        r = c.request("PUT", f"{r.header('location')}?digest={want}", token, body=b"")
    c.close()
    return r.status == 201, repr(r)


def download(g, token, want):
    c = g.client(timeout=120)
    c.send(f"GET /v2/app/blobs/{want} HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    head = c.until(b"\r\n\r\n")
    h, left = hashlib.sha256(), SIZE
    while left > 0:
        part = c.buffer or c.sock.recv(1 << 20)
        c.buffer = b""
        if not part:
            break
        h.update(part)
        left -= len(part)
    c.close()
    return left == 0 and "sha256:" + h.hexdigest() == want, f"{head[:200]!r}, {left} bytes missing"


def layout(directory, seed, want):
    """An image of one large layer."""
    blobs = os.path.join(directory, "blobs", "sha256")
    images.oci_layout(directory, "made", layers=1, note="large")
    with open(os.path.join(blobs, want[7:]), "wb") as f:
        for p in pieces(seed):
            f.write(p)
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [want]}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": images.MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": labs.digest_of(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": want, "size": SIZE}]}).encode()
    for data in (config, manifest):
        with open(os.path.join(blobs, labs.digest_of(data)[7:]), "wb") as f:
            f.write(data)
    with open(os.path.join(directory, "index.json"), "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [
            {"mediaType": images.MANIFEST, "digest": labs.digest_of(manifest), "size": len(manifest),
             "annotations": {"org.opencontainers.image.ref.name": "made"}}]}, f)


def run(lab, report):
    registry, url = lab.registry("large", tls=True)
    g = labs.Gateway(lab, "large", url, ca_file=lab.ca).start()
    ci, dev = lab.signer.token("ci"), lab.signer.token("dev")
    for seed, name, chunked in ((1, "chunked PATCH", True), (2, "one PUT", False)):
        want = digest(seed)
        measured(report, g, name, lambda: upload(g, ci, seed, want, chunked))
        measured(report, g, f"GET of it after {name}", lambda: download(g, dev, want))
    tool = adapters.Skopeo(lab)
    image, want = os.path.join(lab.dir, "image"), digest(3)
    layout(image, 3, want)
    session = tool.session(tool, g, "ci")
    ok, said = session.login(ci.encode())
    report.ok(ok, "skopeo logs in", said)
    measured(report, g, "skopeo push", lambda: session.push(image, "app:large"))
    measured(report, g, "skopeo pull", lambda: session.pull("app:large"))
    ok, said = g.verify()
    report.ok(ok, f"audit verify: {said}")
    g.stop()
    registry.stop()
