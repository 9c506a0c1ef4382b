# samples.py - images to be looked through: of files of this Debian, with or without something planted in them.
#
# Nothing is fetched. The sample is EICAR's test file, which does nothing, and is put together when it is needed so that no scanner
# takes this file for it.
# SPDX-License-Identifier: Apache-2.0
import bz2
import gzip
import io
import json
import lzma
import os
import random
import subprocess
import tarfile

import lab as labs

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
EICAR = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE!$H+H*").encode()

# What is found by libyara here. clamd has the same as a hex signature.
RULES = 'rule EICAR_Test { strings: $a = "EICAR-STANDARD-" ascii condition: $a }\n'
SECRETS = 'rule Lab_Key { strings: $a = "LAB-SECRET-KEY-" ascii condition: $a }\n'
SECRET = b"LAB-SECRET-" + b"KEY-0123456789"


def debian_files(count, seed=0, most=200000):
    """{path: bytes} of small files that every Debian has; the same for one seed."""
    names = []
    for top in ("/usr/bin", "/usr/share/common-licenses", "/usr/share/perl5", "/usr/lib/python3"):
        for folder, _, found in sorted(os.walk(top)):
            names += [os.path.join(folder, n) for n in sorted(found)]
            if len(names) > 4000:
                break
    random.Random(seed).shuffle(names)
    out = {}
    for name in names:
        if len(out) == count:
            break
        if os.path.isfile(name) and not os.path.islink(name) and os.path.getsize(name) <= most and os.access(name, os.R_OK):
            with open(name, "rb") as f:
                out[name.lstrip("/")] = f.read()
    return out


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zstd(data):
    return subprocess.run(["zstd", "-q", "-3", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


def members(data, parts=2):
    """gzip of several members, as eStargz has them."""
    step = -(-len(data) // parts)
    return b"".join(gzip.compress(data[i:i + step], mtime=0) for i in range(0, len(data), step))


PACKED = {
    "tar": (lambda t: t, ""), "gzip": (lambda t: gzip.compress(t, mtime=0), "+gzip"), "zstd": (zstd, "+zstd"),
    "members": (members, "+gzip"), "bzip2": (bz2.compress, "+gzip"), "xz": (lzma.compress, "+gzip"),
}


class Image:
    """layers: (how it is packed, its tar). blobs: {digest: bytes}, the config included; body: the manifest."""

    def __init__(self, layers, user="1000", note="", diff_ids=None, env=()):
        packed = [(PACKED[how][0](tar), LAYER + PACKED[how][1]) for how, tar in layers]
        self.layers = [data for data, _ in packed]
        self.config = json.dumps({
            "architecture": "amd64", "os": "linux", "created": "2026-11-01T00:00:00Z",
            "config": {"User": user, "Env": list(env), "Labels": {"note": note}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [labs.digest_of(tar) for _, tar in layers]}}).encode()
        self.blobs = {labs.digest_of(b): b for b in (*self.layers, self.config)}
        describe = lambda data, kind: {"mediaType": kind, "digest": labs.digest_of(data), "size": len(data)}
        self.body = json.dumps({
            "schemaVersion": 2, "mediaType": labs.OCI_MANIFEST, "config": describe(self.config, CONFIG),
            "layers": [describe(data, kind) for data, kind in packed], "annotations": {"note": note}}).encode()
        self.digest = labs.digest_of(self.body)

    def layout(self, directory, tag="made"):
        """As an OCI layout on disk, for clients."""
        blobs = os.path.join(directory, "blobs", "sha256")
        os.makedirs(blobs, exist_ok=True)
        for digest, data in {**self.blobs, self.digest: self.body}.items():
            with open(os.path.join(blobs, digest[7:]), "wb") as f:
                f.write(data)
        entry = {"mediaType": labs.OCI_MANIFEST, "digest": self.digest, "size": len(self.body),
                 "annotations": {"org.opencontainers.image.ref.name": tag}}
        with open(os.path.join(directory, "index.json"), "w") as f:
            json.dump({"schemaVersion": 2, "manifests": [entry]}, f)
        with open(os.path.join(directory, "oci-layout"), "w") as f:
            f.write('{"imageLayoutVersion": "1.0.0"}')
        return directory


def index_of(*images, note=""):
    return json.dumps({
        "schemaVersion": 2, "mediaType": labs.OCI_INDEX, "annotations": {"note": note},
        "manifests": [{"mediaType": labs.OCI_MANIFEST, "digest": i.digest, "size": len(i.body),
                       "platform": {"os": "linux", "architecture": ("amd64", "arm64")[n % 2]}} for n, i in enumerate(images)]}).encode()


def clean(note="clean", user="1000", how="gzip", layers=5):
    return Image([(how, tar_of({**debian_files(6, seed=f"{note}{n}"), f"note{n}": note.encode()})) for n in range(layers)], user, note)


def planted(note="planted", how="gzip", at=2, layers=5, sample=EICAR):
    """The sample is the last file of layer `at` (from 0), behind real ones: in the last member of a gzip, too."""
    parts = []
    for n in range(layers):
        files = {**debian_files(6, seed=f"{note}{n}"), f"note{n}": note.encode()}
        if n == at:
            files["usr/share/doc/sample"] = sample
        parts.append((how if n == at else "gzip", tar_of(files)))
    return Image(parts, note=note)


def bomb(gigabytes=10):
    """A layer of some megabytes that unpacks to so much: 100 MB of zeros in one gzip member, again and again."""
    member = gzip.compress(bytes(100 << 20), mtime=0)
    image = clean("bomb", layers=1)
    blown = member * (gigabytes * 10)
    manifest = json.loads(image.body)
    old = manifest["layers"][0]["digest"]
    manifest["layers"][0].update({"digest": labs.digest_of(blown), "size": len(blown)})
    del image.blobs[old]
    image.layers = [blown]
    image.blobs[labs.digest_of(blown)] = blown
    image.body = json.dumps(manifest).encode()
    image.digest = labs.digest_of(image.body)
    return image


def rules(lab):
    """(options of malware {}, as text of a configuration)"""
    paths = []
    for name, text in (("malware.yar", RULES), ("secrets.yar", SECRETS)):
        paths.append(os.path.join(lab.dir, name))
        with open(paths[-1], "w") as f:
            f.write(text)
    return f'rules = ["{paths[0]}"]; secrets = ["{paths[1]}"];'


class Clamd:
    """The real one with a database of one signature, in the foreground, as whoever runs the tests."""

    def __init__(self, lab, name="clamd", **options):
        self.dir = os.path.join(lab.dir, name)
        db = os.path.join(self.dir, "db")
        os.makedirs(db)
        self.socket = os.path.join(self.dir, "clamd.sock")
        with open(os.path.join(db, "lab.ndb"), "w") as f:
            f.write(f"Lab.Eicar.Test:0:*:{EICAR[28:60].hex()}\n")
        self.conf = os.path.join(self.dir, "clamd.conf")
        settings = {"LocalSocket": self.socket, "DatabaseDirectory": db, "Foreground": "yes", "TemporaryDirectory": self.dir,
                    "StreamMaxLength": "200M", "MaxFileSize": "200M", "MaxScanSize": "400M", "AlertExceedsMax": "yes", **options}
        with open(self.conf, "w") as f:
            f.writelines(f"{k} {v}\n" for k, v in settings.items())
        self.lab, self.name = lab, name

    def start(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.process = self.lab.process(["clamd", "-c", self.conf], self.name)
        if not labs.wait_for(lambda: os.path.exists(self.socket) or not self.process.alive(), 30) or not self.process.alive():
            raise RuntimeError("clamd did not start:\n" + self.process.tail())
        return self

    def stop(self):
        self.process.stop()
