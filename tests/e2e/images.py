# images.py - small OCI layouts made on the spot: nothing is fetched, and the same note makes the same digests.
# SPDX-License-Identifier: Apache-2.0
import gzip
import hashlib
import io
import json
import os
import random
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def oci_layout(directory, tag="latest", layers=3, note="", layer_bytes=50000):
    """Write an OCI image layout with one image. Returns the digest of its manifest."""
    blobs = os.path.join(directory, "blobs", "sha256")
    os.makedirs(blobs, exist_ok=True)

    def put(data, kind):
        name = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, name), "wb") as f:
            f.write(data)
        return {"mediaType": kind, "digest": "sha256:" + name, "size": len(data)}
    tars = [tar_of({f"layer{i}": random.Random(f"{i}{note if i == layers - 1 else ''}").randbytes(layer_bytes)})
            for i in range(layers)]
    config = {"architecture": "amd64", "os": "linux", "config": {"Labels": {"note": note}},
              "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(t).hexdigest() for t in tars]}}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
                "layers": [put(gzip.compress(t, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip") for t in tars]}
    entry = put(json.dumps(manifest).encode(), MANIFEST)
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    with open(os.path.join(directory, "index.json"), "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [entry]}, f)
    with open(os.path.join(directory, "oci-layout"), "w") as f:
        f.write('{"imageLayoutVersion": "1.0.0"}')
    return entry["digest"]


if __name__ == "__main__":
    import sys
    print(oci_layout(sys.argv[1], tag=sys.argv[2], note=sys.argv[3]))
