# sample.py - gateway.conf.example made into a gateway that runs: its paths, its ports and, where asked, its addresses.
# And the blocks of a document, so that what is written there is what is tried.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import subprocess

import lab as labs

EXAMPLE = os.path.join(labs.ROOT, "gateway.conf.example")
ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCE = "registry.example.com"
PASSWORD = "a password of the registry"
POLICY = {"Version": "2026-11-01", "Statement": [
    {"Sid": "CiPushes", "Effect": "Allow", "Principal": ["subject:github/ci"],
     "Action": ["registry:Push*", "registry:Pull*", "registry:List*"], "Resource": ["repo:harbor/*"]}]}


def block(document, info):
    """The one fenced block of a Markdown file (path from the top of the tree) with this info string."""
    found = blocks(document, info)
    if len(found) != 1:
        raise RuntimeError(f"{document}: {len(found)} blocks ```{info}")
    return found[0]


def blocks(document, info):
    with open(os.path.join(labs.ROOT, document)) as f:
        return re.findall(rf"(?ms)^```{re.escape(info)}\n(.*?)^```$", f.read())


class Sample:
    """A directory with all that the example names. `where`: what this directory is called by the gateway's configuration."""

    def __init__(self, directory, where=None):
        self.dir, self.where = directory, where or directory
        os.makedirs(os.path.join(directory, "policy.d"), exist_ok=True)
        self.ca = os.path.join(directory, "ca.crt")
        self.port, self.admin_port = labs.free_port(), labs.free_port()
        self.make_files()
        # who this machine's issuer is; for paths of the gateway's own it is one more file
        self.run("token", "keygen", "--alg", "RS256", "--kid", "sample", "--out", f"{directory}/issuer")
        os.rename(f"{directory}/issuer.jwks.json", f"{directory}/github-jwks.json")

    def run(self, *args):
        return subprocess.run([labs.BINARY, *args], capture_output=True, text=True, check=True).stdout

    def file(self, name, data):
        with open(os.path.join(self.dir, name), "wb") as f:
            f.write(data)
        os.chmod(f.name, 0o600)
        return f.name

    def make_files(self):
        d, curve = self.dir, ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        labs.openssl("req", "-x509", *curve, "-days", "2", "-subj", "/CN=Sample CA", "-keyout", f"{d}/ca.key", "-out", self.ca)
        labs.openssl("req", *curve, "-subj", f"/CN={AUDIENCE}", "-keyout", f"{d}/tls-ec.key", "-out", f"{d}/csr")
        self.file("ext", f"subjectAltName=DNS:{AUDIENCE},DNS:localhost,IP:127.0.0.1\n".encode())
        labs.openssl("x509", "-req", "-in", f"{d}/csr", "-CA", self.ca, "-CAkey", f"{d}/ca.key", "-CAcreateserial", "-days", "2",
                     "-extfile", f"{d}/ext", "-out", f"{d}/tls-ec.crt")
        self.file("harbor.password", (PASSWORD + "\n").encode())
        self.file("cluster.key", os.urandom(32))
        self.file("harbor-ca.pem", open(self.ca, "rb").read())
        self.file("policy.d/ci.json", json.dumps(POLICY).encode())

    def token(self, subject="ci", audience=AUDIENCE):
        return self.run("token", "mint", "--key", f"{self.dir}/issuer.pem", "--kid", "sample", "--alg", "RS256", "--iss", ISSUER,
                        "--aud", audience, "--sub", subject, "--claim", "repository_id=1", "--claim", "repository_owner_id=2").strip()

    def configure(self, registry=None):
        """
        Write gateway.conf out of the example: ports, and paths below `where`. With a registry (its URL) also what clients
        call the gateway, and the registry's address. The paths that name no file here: a list.
        """
        with open(EXAMPLE) as f:
            text = f.read()
        text = text.replace('"0.0.0.0:5443"', f'"127.0.0.1:{self.port}"').replace(":5480", f":{self.admin_port}")
        text = text.replace('registry.example.com:5443"', f'registry.example.com:{self.port}"')
        if registry:
            text = text.replace(f"https://{AUDIENCE}:", "https://localhost:").replace("https://harbor.internal", registry)
        # GitHub is not reached from here: its keys are a file
        text = text.replace('# jwks-file = "";', 'jwks-file = "/etc/tidewaiter/github-jwks.json";')
        text = text.replace("/etc/tidewaiter/", self.where + "/")
        self.file("gateway.conf", text.encode())
        live = re.sub(r"(?m)#.*$", "", text)
        named = [p.removeprefix(self.where + "/") for p in re.findall(r'"(/[^"*]*)', live)]
        # what is below /var the gateway makes itself
        return [p for p in named if not p.startswith("/var/") and not os.path.exists(os.path.join(self.dir, p))]

    def change(self, changes):
        """Further edits of gateway.conf: {what is there: what shall be there}. Each must be there."""
        path = os.path.join(self.dir, "gateway.conf")
        with open(path) as f:
            text = f.read()
        for a, b in changes.items():
            if a not in text:
                raise RuntimeError(f"gateway.conf.example has no {a}")
            text = text.replace(a, b)
        self.file("gateway.conf", text.encode())

    def state_here(self):
        """What the example leaves to its defaults is state below /var, where a test on this machine has no business."""
        self.change({'# ledger = "sqlite:/var/lib/tidewaiter': f'ledger = "sqlite:{self.dir}',
                     'signing-key = "/var/lib/tidewaiter': f'signing-key = "{self.dir}',
                     '# directory = "/var/log/tidewaiter': f'directory = "{self.dir}'})

    def registry(self, lab, name):
        """A registry with TLS and a login, as the example's upstream is one. Its URL."""
        lab.cert, lab.key = f"{self.dir}/tls-ec.crt", f"{self.dir}/tls-ec.key"
        return lab.registry(name, tls=True, login=("robot$gateway", PASSWORD))[1].replace("127.0.0.1", "localhost")
