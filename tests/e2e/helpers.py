# helpers.py - logins without a stored secret: the kubelet's credential provider protocol, and docker's credential helper with
# tokens of GitHub (a stub of its endpoint), GitLab's variable, a file and a command, by skopeo and docker themselves.
# SPDX-License-Identifier: Apache-2.0
import http.server
import json
import os
import re
import subprocess
import threading
import time
import urllib.parse

import lab as labs
import registries

IMAGE = {"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderRequest"}


def provider(request, *argv):
    return subprocess.run([labs.BINARY, "credential-provider", *argv], input=request if isinstance(request, str) else json.dumps(request),
                          capture_output=True, text=True, timeout=20)


def kubelet(lab, report, g, token):
    host = f"localhost:{g.port}"
    p = provider({**IMAGE, "image": f"{host}/app:v1", "serviceAccountToken": token, "serviceAccountAnnotations": {}})
    answer = json.loads(p.stdout)
    auth = answer["auth"].get(host, {})
    report.ok(p.returncode == 0 and answer["kind"] == "CredentialProviderResponse" and answer["apiVersion"] == IMAGE["apiVersion"] and
              answer["cacheKeyType"] == "Registry" and auth == {"username": "jwt", "password": token}, "kubelet: a pod's token is its login", p.stdout + p.stderr)
    left = int(re.fullmatch(r"(\d+)s", answer["cacheDuration"]).group(1))
    report.ok(3000 < left < 3600, "kubelet: ... until shortly before its end", answer["cacheDuration"])
    ended = lab.signer.token("dev", exp=int(time.time()) - 5)
    p = provider({**IMAGE, "image": f"{host}/app:v1", "serviceAccountToken": ended})
    report.ok(json.loads(p.stdout)["cacheDuration"] == "0s", "kubelet: one that has ended is not kept", p.stdout)
    for what, request, words in (
            ("no token", {**IMAGE, "image": f"{host}/app:v1"}, "tokenAttributes"),
            ("a token that is none", {**IMAGE, "image": f"{host}/app:v1", "serviceAccountToken": "a b"}, "tokenAttributes"),
            ("no registry", {**IMAGE, "image": "app", "serviceAccountToken": token}, "no image of a registry"),
            ("another version", {**IMAGE, "apiVersion": "credentialprovider.kubelet.k8s.io/v9", "image": f"{host}/a", "serviceAccountToken": token}, "no CredentialProviderRequest"),
            ("no JSON", "hello", "no CredentialProviderRequest"), ("nothing", "", "no CredentialProviderRequest")):
        p = provider(request)
        report.ok(p.returncode == 1 and words in p.stderr and p.stdout == "", f"kubelet: {what}: refused, and says why", p.stdout + p.stderr)


class GitHub:
    """Where a job of GitHub Actions gets its token."""

    def __init__(self, token):
        self.audiences, github = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                good = self.headers.get("Authorization") == "bearer job-secret"
                github.audiences += query.get("audience", []) if good else []
                body = json.dumps({"count": 1, "value": token}).encode() if good else b"{}"
                self.send_response(200 if good else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/token?api-version=2.0"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def docker(lab, report, g, token):
    home = os.path.join(lab.dir, "helper")
    os.makedirs(f"{home}/bin")
    os.makedirs(f"{home}/certs")
    os.symlink(os.path.realpath(labs.BINARY), f"{home}/bin/docker-credential-tidewaiter")
    with open(lab.ca) as f, open(f"{home}/certs/ca.crt", "w") as to:
        to.write(f.read())
    host = f"localhost:{g.port}"
    for path in (f"{home}/config.json", f"{home}/auth.json"):
        with open(path, "w") as f:
            json.dump({"credHelpers": {host: "tidewaiter"}}, f)
    with open(f"{home}/token", "w") as f:
        f.write(token + "\n")
    github = GitHub(token)
    base = {k: v for k, v in os.environ.items() if not k.startswith(("TIDEWAITER_", "ACTIONS_"))}
    base.update({"PATH": f"{home}/bin:" + os.environ["PATH"], "DOCKER_CONFIG": home, "REGISTRY_AUTH_FILE": f"{home}/auth.json", "HOME": home})
    ask = lambda env, text=f"https://{host}": subprocess.run(["docker-credential-tidewaiter", "get"], input=text, env={**base, **env}, capture_output=True, text=True, timeout=30)
    ways = {
        "GitLab's variable": {"TIDEWAITER_TOKEN": token},
        "a file": {"TIDEWAITER_TOKEN_FILE": f"{home}/token"},
        "a command": {"TIDEWAITER_TOKEN_COMMAND": f"cat {home}/token"},
        "GitHub Actions": {"ACTIONS_ID_TOKEN_REQUEST_URL": github.url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job-secret"},
    }
    for way, env in ways.items():
        p = ask(env)
        report.ok(p.returncode == 0 and json.loads(p.stdout) == {"ServerURL": f"https://{host}", "Username": "jwt", "Secret": token},
                  f"helper: {way}", p.stdout + p.stderr)
        p = subprocess.run(["skopeo", "inspect", "--raw", "--cert-dir", f"{home}/certs", f"docker://{host}/app:v1"], env={**base, **env},
                           capture_output=True, text=True, timeout=60)
        report.ok(p.returncode == 0 and "layers" in p.stdout, f"helper: skopeo pulls with {way}", p.stderr)
    report.ok(set(github.audiences) == {"localhost"}, "helper: GitHub is asked for a token for this registry", repr(github.audiences))
    p = ask({**ways["GitHub Actions"], "TIDEWAITER_AUDIENCE": "a b&c"})
    report.ok(github.audiences[-1] == "a b&c", "helper: ... or for the audience that is set", repr(github.audiences))
    for what, env, words in (("nothing is set", {}, "no token: none of"),
                             ("a file that is not there", {"TIDEWAITER_TOKEN_FILE": f"{home}/absent"}, "No such file"),
                             ("a command that fails", {"TIDEWAITER_TOKEN_COMMAND": "false"}, "TIDEWAITER_TOKEN_COMMAND failed"),
                             ("text that is no token", {"TIDEWAITER_TOKEN": "hello"}, "no JSON Web Token"),
                             ("a job without the right", {**ways["GitHub Actions"], "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}, "id-token: write")):
        p = ask(env)
        report.ok(p.returncode == 1 and words in p.stderr and "Secret" not in p.stdout, f"helper: {what}: says so", p.stdout + p.stderr)
    p = ask({})
    report.ok("credentials not found in native keychain" in p.stdout, "helper: without a token clients go on anonymously", p.stdout)
    for verb in ("store", "erase", "list"):
        p = subprocess.run(["docker-credential-tidewaiter", verb], input="{}", env=base, capture_output=True, text=True, timeout=20)
        report.ok(p.returncode == 0, f"helper: {verb}", p.stdout + p.stderr)


def run(lab, report, which=None):
    _, url = lab.registry()
    g = labs.Gateway(lab, "gateway", url).start()
    ci, dev = lab.signer.token("ci"), lab.signer.token("dev")
    r, _ = registries.push(g, "app", "v1", [os.urandom(100)], ci)
    report.ok(r.status == 201, "an image", repr(r))
    kubelet(lab, report, g, dev)
    docker(lab, report, g, dev)
    ok, said = g.verify()
    report.ok(ok, f"audit verify: {said}")
    g.stop()
