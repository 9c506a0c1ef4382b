# identity.py - who asks, and from where: client certificates, anonymous callers, certificates of two kinds, PROXY headers,
# X-Forwarded-For. Raw clients, openssl, curl, skopeo, buildah, and haproxy in front.
#
# SPDX-License-Identifier: Apache-2.0
import json
import hashlib
import os
import re
import shutil
import socket
import ssl
import subprocess

import adapters
import lab as labs
import stub as stubs

KIND = {"Content-Type": labs.OCI_MANIFEST}
SPIFFE = "spiffe://prod.test/ci/push"
PULLS = ["registry:Pull*", "registry:List*"]
POLICY = {"Version": "2026-11-01", "Statement": [
    {"Sid": "SpiffePushes", "Effect": "Allow", "Principal": [f"subject:mtls/{SPIFFE}", "subject:test/ci"],
     "Action": ["registry:Push*", *PULLS], "Resource": ["repo:up/app", "repo:up/app/*"]},
    {"Sid": "HostPulls", "Effect": "Allow", "Principal": ["subject:mtls/node.test"], "Action": PULLS, "Resource": ["repo:up/app"]},
    {"Sid": "OpsPull", "Effect": "Allow", "Principal": ["group:mtls/ops"], "Action": PULLS, "Resource": ["repo:up/ops"]},
    {"Sid": "Named", "Effect": "Allow", "Principal": ["cert:ops.test", "cert:node.test"], "Action": PULLS, "Resource": ["repo:up/named"]},
    {"Sid": "NotNamed", "Effect": "Deny", "Principal": ["cert:node.test"], "Action": PULLS, "Resource": ["repo:up/named"]},
    {"Sid": "Fact", "Effect": "Allow", "Principal": ["subject:test/dev"], "Action": PULLS, "Resource": ["repo:up/app"],
     "Condition": {"ForAnyValue:StringEquals": {"cert:SanDns": ["node.test"]}, "Bool": {"net:ClientCertificate": "true"}}},
    {"Sid": "Public", "Effect": "Allow", "Principal": ["anonymous"], "Action": PULLS, "Resource": ["repo:up/public"]}]}
HERE = {"Version": "2026-11-01", "Statement": [
    {"Sid": "Office", "Effect": "Allow", "Principal": ["anonymous"], "Action": PULLS, "Resource": ["repo:up/app"],
     "Condition": {"IpAddress": {"net:SourceIp": ["192.0.2.0/24", "2001:db8::/32"]}}}]}
V2 = b"\r\n\r\n\0\r\nQUIT\n"


class Authority:
    """A CA for clients, with openssl alone."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.path = os.path.join(lab.dir, name)
        labs.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.path + ".key",
                     "-out", self.path + ".crt")
        open(self.path + ".index", "w").close()

    def issue(self, who, san=None, subject="/CN=client", usage="clientAuth", extra="", days=("-days", "2"), ca=False):
        """(certificate file, key file)"""
        base = f"{self.path}-{who}"
        labs.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout",
                     base + ".key", "-out", base + ".csr")
        with open(base + ".ext", "w") as f:
            f.write(f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}\n"
                    + (f"extendedKeyUsage={usage}\n" if usage else "") + (f"subjectAltName={san}\n" if san else "") + extra)
        labs.openssl("x509", "-req", "-in", base + ".csr", "-CA", self.path + ".crt", "-CAkey", self.path + ".key",
                     "-CAcreateserial", *days, "-extfile", base + ".ext", "-out", base + ".crt")
        return base + ".crt", base + ".key"

    def revocations(self, *certificates):
        conf = self.path + ".cnf"
        with open(conf, "w") as f:
            f.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.path}.index\ndefault_md=sha256\ndefault_crl_days=2\n")
        common = ("-config", conf, "-cert", self.path + ".crt", "-keyfile", self.path + ".key")
        for c in certificates:
            labs.openssl("ca", *common, "-revoke", c)
        labs.openssl("ca", *common, "-gencrl", "-out", self.path + ".crl")
        return self.path + ".crl"


def attempt(g, target="/v2/app/manifests/v1", token=None, headers=None, **kw):
    """The response, or None when there was no connection to speak over (a TLS 1.3 client learns that when it reads)."""
    try:
        return g.request("GET", target, token, headers, **kw)
    except (labs.Closed, ssl.SSLError, ConnectionError, TimeoutError):
        return None


def status(r):
    return r.status if r else None


# ---- client certificates ----

def handshakes(report, g, required, cards):
    """Which certificates let a connection through."""
    for name, good in (("spiffe", True), ("node", True), ("intermediate", True), ("stranger", False), ("expired", False),
                       ("server-only", False), ("revoked", False)):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            got = [attempt(x, "/v2/", certificate=cards[name], versions=(version, version)) for x in (g, required)]
            ok = all(r and r.status in (200, 401) for r in got) if good else got == [None, None]
            report.ok(ok, f"{name} certificate, {version.name}: {'accepted' if good else 'handshake refused'}", repr(got))
    report.ok(attempt(required, "/v2/") is None, "required: without a certificate there is no connection")
    report.ok(status(attempt(g, "/v2/")) == 401, "optional: without one, as before")


def bound(report, g, cards, lab):
    """Tokens that are bound to a certificate (RFC 8705), or to what cannot be seen here."""
    with open(cards["node"][0]) as f:
        der = ssl.PEM_cert_to_DER_cert(f.read())
    print_of = {"x5t#S256": labs.b64(hashlib.sha256(der).digest())}
    for what, cnf, card, want in (("with its certificate", print_of, "node", 200), ("with another", print_of, "ops", 401),
                                  ("without one", print_of, None, 401), ("to a key that is not seen (DPoP)", {"jkt": "x"}, "node", 401),
                                  ("to two things", {**print_of, "jkt": "x"}, "node", 401), ("to nothing", {}, "node", 401),
                                  ("to what is no object", "x", "node", 401)):
        r = attempt(g, token=lab.signer.token("ci", cnf=cnf), **({"certificate": cards[card]} if card else {}))
        report.ok(status(r) == want, f"a token bound {what}: {want}", repr(r))


def identities(report, g, cards, lab, body):
    ci, dev, bad = lab.signer.token("ci"), lab.signer.token("dev"), lab.signer.token("ci", aud="other")
    for name, card, target, want in (
            ("a SPIFFE ID is the identity", "spiffe", "/v2/app/manifests/v1", 200),
            ("a DNS name is", "node", "/v2/app/manifests/v1", 200),
            ("a group of the subject is", "ops", "/v2/ops/manifests/v1", 200),
            ("... and no other right", "ops", "/v2/app/manifests/v1", 403),
            ("through an intermediate", "intermediate", "/v2/app/manifests/v1", 200),
            ("GET /v2/ with a certificate alone", "node", "/v2/", 200)):
        r = attempt(g, target, certificate=cards[card])
        report.ok(status(r) == want, f"{name}: {want}", repr(r))
    r = g.request("PUT", "/v2/app/manifests/by-cert", None, KIND, body, certificate=cards["spiffe"])
    report.ok(r.status == 201, "a push by certificate: 201", repr(r))
    r = g.request("PUT", "/v2/app/manifests/by-node", None, KIND, body, certificate=cards["node"])
    report.ok(r.status == 403, "a push by another: 403", repr(r))
    e = g.wait_event(lambda e: e["http"]["path"] == "/v2/app/manifests/by-cert")
    report.ok(e["actor"] == {"issuer": "mtls", "subject": SPIFFE, "method": "certificate"}, "its event names it", repr(e))
    for card, want in (("ops", 200), ("node", 403), ("spiffe", 403)):
        r = attempt(g, "/v2/named/manifests/v1", certificate=cards[card])
        report.ok(status(r) == want, f"cert:<name> in a policy, {card}: {want}", repr(r))
    bound(report, g, cards, lab)
    for name in ("two-names", "two-uris", "not-spiffe", "nameless"):
        r = attempt(g, certificate=cards[name])
        report.ok(status(r) == 401 and r.code() == "UNAUTHORIZED" and "client certificate refused" in r.reason,
                  f"{name}: the handshake is done, the identity refused with why", repr(r))
    r = attempt(g, token=ci, certificate=cards["ops"])
    report.ok(status(r) == 200, "a token goes before the certificate", repr(r))
    report.ok(status(attempt(g, token=dev)) == 403 and status(attempt(g, token=dev, certificate=cards["node"])) == 200,
              "... which policy may still ask about (cert:SanDns)")
    r = attempt(g, token=bad, certificate=cards["spiffe"])
    report.ok(status(r) == 401, "a bad token is 401, good certificate or not", repr(r))
    r = attempt(g, token=ci, certificate=cards["two-uris"])
    report.ok(status(r) == 200, "a good token beside a certificate that names nobody: 200", repr(r))
    r = attempt(g, headers={"Authorization": "Basic Og=="}, certificate=cards["node"])
    report.ok(status(r) == 200, "empty Basic credentials are none: the certificate speaks", repr(r))


def leases(report, g, cards, lab):
    """An upload belongs to issuer and subject: the same name from a token is somebody else."""
    c = g.client(certificate=cards["spiffe"])
    r = c.request("POST", "/v2/app/blobs/uploads/")
    where = r.header("location", "")
    other = g.request("PATCH", where, lab.signer.token("ci"), body=b"x")
    report.ok(r.status == 202 and other.status == 404, "an upload begun by a certificate is not another identity's", f"{r} {other}")
    again = g.request("PATCH", where, body=b"data", certificate=cards["spiffe"])
    report.ok(again.status == 202, "... and goes on over another connection of the same", repr(again))
    c.close()


def anonymous(report, g):
    r = attempt(g, "/v2/")
    report.ok(status(r) == 401 and r.header("www-authenticate"), "anonymous GET /v2/: 401 with a challenge", repr(r))
    report.ok(status(attempt(g, "/v2/public/manifests/v1")) == 200, "anonymous pull that policy allows: 200")
    r = attempt(g, "/v2/public/tags/list")
    report.ok(status(r) == 200, "anonymous list that policy allows: 200", repr(r))
    r = attempt(g, "/v2/app/manifests/v1")
    report.ok(status(r) == 401 and r.header("www-authenticate") and r.code() == "UNAUTHORIZED",
              "anonymous pull that it does not: 401 with a challenge", repr(r))
    r = g.request("PUT", "/v2/public/manifests/x", None, KIND, labs.manifest(note="x"))
    report.ok(r.status == 401, "anonymous push: 401", repr(r))
    r = g.request("POST", "/v2/public/blobs/uploads/")
    report.ok(r.status == 401, "anonymous upload: 401", repr(r))


def resumption(report, g, card, lab):
    """No session, ticket or identifier, lets anybody in without showing the certificate again."""
    for version in ("-tls1_2", "-tls1_3"):
        kept = os.path.join(lab.dir, "session" + version)
        argv = ["openssl", "s_client", version, "-connect", f"127.0.0.1:{g.port}", "-servername", labs.HOST, "-CAfile", lab.ca]
        ask = f"GET /v2/ HTTP/1.1\r\nHost: {labs.HOST}\r\nConnection: close\r\n\r\n".encode()
        first = subprocess.run([*argv, "-cert", card[0], "-key", card[1], "-sess_out", kept, "-ign_eof"], input=ask,
                               capture_output=True, timeout=20).stdout
        again = (subprocess.run([*argv, "-sess_in", kept, "-ign_eof"], input=ask, capture_output=True, timeout=20).stdout
                 if os.path.exists(kept) else b"")
        report.ok(b"HTTP/1.1 200" in first and b"Reused" not in again and b"HTTP/1.1 200" not in again,
                  f"{version[1:]}: a saved session is not resumed without the certificate", again[-300:])


def clients(report, lab, registry, cards):
    """curl, skopeo and buildah with nothing but a certificate. (dockerd shows none to an address of 127.0.0.0/8.)"""
    g = labs.Gateway(lab, "clients", registry, POLICY, external="localhost",
                     listen={"client-ca": cards["ca"], "client-certificate": "required"}).start()
    p = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", lab.ca, "--cert", cards["spiffe"][0],
                        "--key", cards["spiffe"][1], f"https://localhost:{g.port}/v2/"], capture_output=True, timeout=20)
    report.ok(p.stdout == b"200", "curl --cert: 200", repr(p))
    certs = os.path.join(lab.dir, "certs")
    os.makedirs(certs)
    for source, name in ((lab.ca, "ca.crt"), (cards["spiffe"][0], "client.cert"), (cards["spiffe"][1], "client.key")):
        shutil.copy(source, os.path.join(certs, name))
    skopeo = adapters.Skopeo(lab)
    skopeo.certs = certs
    session = skopeo.session(skopeo, g, "nobody")
    ok, said = session.push(skopeo.make("mtls"), "app/mtls:v1")
    report.ok(ok, "skopeo --cert-dir pushes with a certificate", said)
    ok, said = session.pull("app/mtls:v1")
    report.ok(ok, "... and pulls", said)
    buildah = adapters.Buildah(lab)
    buildah.certs = certs
    session = buildah.session(buildah, g, "nobody")
    ok, said = session.push(buildah.make("mtls"), "app/mtls:buildah")
    report.ok(ok, "buildah --cert-dir pushes with a certificate", said)
    subjects = {e["actor"].get("subject") for e in g.requests()}
    report.ok(subjects == {SPIFFE}, "every request of theirs was the certificate's", repr(subjects))
    g.stop()


def certificates(lab, registry, report):
    clients_ca, other = Authority(lab, "clients-ca"), Authority(lab, "other-ca")
    middle = clients_ca.issue("middle", subject="/CN=middle", usage=None, ca=True, extra="keyUsage=critical,keyCertSign,cRLSign\n")
    cards = {"spiffe": clients_ca.issue("spiffe", f"URI:{SPIFFE},DNS:ignored.test"),
             "node": clients_ca.issue("node", "DNS:node.test"),
             "ops": clients_ca.issue("ops", "DNS:ops.test", "/OU=ops/CN=x"),
             "two-names": clients_ca.issue("two-names", "DNS:node.test,DNS:b.test"),
             "two-uris": clients_ca.issue("two-uris", f"URI:{SPIFFE},URI:spiffe://prod.test/admin"),
             "not-spiffe": clients_ca.issue("not-spiffe", "URI:https://prod.test/x"),
             "nameless": clients_ca.issue("nameless", None, "/CN=node.test"),
             "stranger": other.issue("stranger", f"URI:{SPIFFE}"),
             "expired": clients_ca.issue("expired", f"URI:{SPIFFE}", days=("-days", "-1")),
             "server-only": clients_ca.issue("server-only", f"URI:{SPIFFE}", usage="serverAuth"),
             "revoked": clients_ca.issue("revoked", f"URI:{SPIFFE}")}
    below = Authority.__new__(Authority)        # the intermediate signs one more, which is sent with it
    below.lab, below.name, below.path = lab, "middle", middle[0][:-4]
    leaf = below.issue("leaf", "DNS:node.test")
    with open(leaf[0], "a") as f, open(middle[0]) as m:
        f.write(m.read())
    cards["intermediate"] = leaf
    open(below.path + ".index", "w").close()
    cards["crl"] = os.path.join(lab.dir, "all.crl")
    with open(cards["crl"], "w") as f:
        for path in (clients_ca.revocations(cards["revoked"][0]), below.revocations()):
            with open(path) as crl:
                f.write(crl.read())
    cards["ca"] = clients_ca.path + ".crt"
    stub = stubs.Stub()
    body = labs.manifest(note="v1")
    for repo in ("app", "ops", "public", "named"):
        stub.put(repo, "v1", labs.OCI_MANIFEST, body)
    asks = {"client-ca": cards["ca"], "client-crl": cards["crl"], "certificate-groups": "ou"}
    g = labs.Gateway(lab, "optional", stub.origin, POLICY, listen={**asks, "client-certificate": "optional"}).start()
    required = labs.Gateway(lab, "required", stub.origin, POLICY, listen={**asks, "client-certificate": "required"}).start()
    handshakes(report, g, required, cards)
    identities(report, g, cards, lab, body)
    leases(report, g, cards, lab)
    anonymous(report, g)
    resumption(report, required, cards["node"], lab)
    for x in (g, required):
        ok, said = x.verify()
        report.ok(ok, f"audit verify: {said}")
        x.stop()
    stub.close()
    clients(report, lab, registry, cards)


# ---- two certificates on one listener ----

def two_kinds(report, lab, stub):
    rsa = os.path.join(lab.dir, "rsa")
    labs.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=rsa", "-addext",
                 f"subjectAltName=DNS:{labs.HOST}", "-keyout", rsa + ".key", "-out", rsa + ".crt")
    for order in (1, -1):
        g = labs.Gateway(lab, f"kinds{order}", stub.origin, listen={
            "certificates": [lab.cert, rsa + ".crt"][::order], "private-keys": [lab.key, rsa + ".key"][::order]}).start()
        for version in ("-tls1_2", "-tls1_3"):
            for algorithms, want in (("ECDSA+SHA256", "EC"), ("RSA-PSS+SHA256:RSA+SHA256", "RSA"),
                                     ("RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256", None), ("ed25519", "none")):
                for name in ([labs.HOST], ["localhost"], []):
                    p = subprocess.run(["openssl", "s_client", version, "-sigalgs", algorithms, "-connect", f"127.0.0.1:{g.port}",
                                        *(["-servername", name[0]] if name else ["-noservername"])], input=b"",
                                       capture_output=True, timeout=20)
                    pem = re.search(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", p.stdout, re.S)
                    text = labs.openssl("x509", "-noout", "-text", data=pem.group(0)).decode() if pem else ""
                    kind = "RSA" if "rsaEncryption" in text else "EC" if "id-ecPublicKey" in text else "none"
                    if want is None:
                        ok = kind in ("EC", "RSA")
                    else:
                        ok = kind == want
                    report.ok(ok, f"{version[1:]}, -sigalgs {algorithms}, name {name or '-'}, order {order}: {kind}", p.stderr[-300:])
        g.stop()


# ---- PROXY headers ----

def v2(source, port=4711, tlvs=b"", command=0x21, family=None):
    six = ":" in source
    raw = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, source)
    body = raw + bytes(len(raw)) + port.to_bytes(2, "big") + (443).to_bytes(2, "big") + tlvs
    return V2 + bytes([command, family if family is not None else 0x21 if six else 0x11]) + len(body).to_bytes(2, "big") + body


def proxied(report, lab, stub):
    g = labs.Gateway(lab, "proxied", stub.origin, HERE, issuer=False, limits={"connections-per-ip": 3, "tls-handshake": "2 s"},
                     listen={"proxy-protocol": True, "trusted-proxies": ["127.0.0.1", "203.0.113.0/24"]}).start()
    for name, before, want, ip in (
            ("v1", b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n", 200, "192.0.2.7"),
            ("v1 of IPv6", b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", 200, "2001:db8::7"),
            ("v1 of elsewhere", b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 443\r\n", 403, "198.51.100.7"),
            ("v1 UNKNOWN", b"PROXY UNKNOWN\r\n", 403, "127.0.0.1"),
            ("v2", v2("192.0.2.8"), 200, "192.0.2.8"), ("v2 of IPv6", v2("2001:db8::8"), 200, "2001:db8::8"),
            ("v2 with TLVs", v2("192.0.2.9", tlvs=b"\x04\x00\x05abcde"), 200, "192.0.2.9"),
            ("v2 LOCAL", v2("192.0.2.9", command=0x20), 403, "127.0.0.1")):
        seen = len(g.requests())
        r = attempt(g, before=before)
        source = (g.wait_requests(seen + 1) or [{}])[-1].get("source", {})
        report.ok(status(r) == want and source.get("ip") == ip and source.get("peer", "127.0.0.1") == "127.0.0.1",
                  f"PROXY {name}: the client is {ip}", f"{r} {source}")
    for name, kw in (("no header", {}), ("rubbish", {"before": b"GET /v2/ HTTP/1.1\r\n\r\n"}),
                     ("AF_UNIX", {"before": v2("192.0.2.7", family=0x31)}), ("a datagram", {"before": v2("192.0.2.7", family=0x12)}),
                     ("a header of one who is not trusted", {"before": v2("192.0.2.7"), "source": "127.0.0.2"})):
        report.ok(attempt(g, **kw) is None, f"PROXY, {name}: closed")
    value = dict(re.findall(r"(?m)^(tidewaiter_\S+) (\S+)$", g.admin("/metrics")[1]))
    report.ok(float(value["tidewaiter_proxy_refused_total"]) >= 5, "... and counted", value["tidewaiter_proxy_refused_total"])
    header = v2("192.0.2.77")
    raw = socket.create_connection(("127.0.0.1", g.port), 10)
    raw.sendall(header[:10])
    report.ok(raw.recv(1) == b"", "half a header, then nothing: closed in time")
    raw.close()
    clients_ = [g.client(before=header) for _ in range(3)]
    report.ok(attempt(g, before=header) is None and status(attempt(g, before=v2("192.0.2.78"))) == 200,
              "connections-per-ip counts the address in the header, not the proxy's")
    for c in clients_:
        c.close()
    r = attempt(g, before=v2("192.0.2.7"), headers={"X-Forwarded-For": "198.51.100.1"})
    report.ok(status(r) == 200, "X-Forwarded-For of a client that PROXY names is not believed", repr(r))
    r = attempt(g, before=v2("203.0.113.9"), headers={"X-Forwarded-For": "192.0.2.1"})
    report.ok(status(r) == 200, "... but of a trusted proxy that PROXY names", repr(r))
    haproxy(report, lab, g)
    g.stop()


def haproxy(report, lab, g):
    if not shutil.which("haproxy"):
        report.ok(False, "haproxy is not installed (deploy/install-deps test)")
        return
    for how in ("send-proxy", "send-proxy-v2"):
        port = labs.free_port()
        conf = os.path.join(lab.dir, how + ".cfg")
        with open(conf, "w") as f:
            f.write("defaults\n mode tcp\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n"
                    f"listen l\n bind 127.0.0.1:{port}\n server s 127.0.0.1:{g.port} {how}\n")
        p = lab.process(["haproxy", "-db", "-f", conf], how)
        labs.wait_for(lambda: labs.port_open(port))
        before = g.settled()

        class Front:        # a Client of haproxy's port
            pass
        Front.lab, Front.port = lab, port
        c = labs.Client(Front, source="127.0.0.9")
        r = c.request("GET", "/v2/app/manifests/v1")
        c.close()
        e = (g.wait_requests(before + 1) or [{}])[-1]
        report.ok(r.status == 403 and e["source"]["ip"] == "127.0.0.9" and e["source"]["peer"] == "127.0.0.1",
                  f"haproxy {how}: the client is who came to haproxy", f"{r} {e}")
        p.stop()


# ---- X-Forwarded-For ----

def forwarded(report, lab, stub):
    g = labs.Gateway(lab, "forwarded", stub.origin, HERE, issuer=False, limits={"connections-per-ip": 2},
                     listen={"trusted-proxies": ["127.0.0.1", "10.0.0.0/8"]}).start()
    for name, hops, kw, want in (
            ("by a trusted proxy", "192.0.2.7", {}, 200), ("through two", "192.0.2.7, 10.1.1.1", {}, 200),
            ("with what the client invented", "192.0.2.7, 198.51.100.1", {}, 403), ("of elsewhere", "198.51.100.7", {}, 403),
            ("by a stranger", "192.0.2.7", {"source": "127.0.0.2"}, 403), ("malformed", "unknown", {}, 400),
            ("with an empty hop", "192.0.2.7,,10.0.0.1", {}, 400), ("with 33 hops", ", ".join(["10.0.0.1"] * 33), {}, 400)):
        r = attempt(g, headers={"X-Forwarded-For": hops}, **kw)
        report.ok(status(r) == want, f"X-Forwarded-For {name}: {want}", repr(r))
    mark = stub.mark()
    r = attempt(g, headers={"X-Forwarded-For": "192.0.2.7:1234", "x-forwarded-for": "10.9.9.9"})
    sent = [v for x in stub.since(mark)[0] for k, v in x.headers if k.lower() == "x-forwarded-for"]
    report.ok(status(r) == 200 and set(sent) == {"192.0.2.7"}, "two fields are one list; upstream hears of the client only", repr(sent))
    e = g.wait_event(lambda e: e["source"].get("port") == 1234)
    report.ok(e and e["source"] == {"ip": "192.0.2.7", "port": 1234, "peer": "127.0.0.1"}, "its event has both addresses", repr(e))
    kept = [g.client() for _ in range(4)]
    report.ok(len(kept) == 4, "a trusted proxy may have more connections than one client")
    for c in kept:
        c.close()
    g.stop()
    strict = labs.Gateway(lab, "failures", stub.origin, limits={"auth-failures": 3}, listen={"trusted-proxies": ["127.0.0.1"]}).start()
    told = lambda ip: {"X-Forwarded-For": ip}
    for i in range(3):
        attempt(strict, token=f"bad.token.{i}", headers=told("192.0.2.50"))
    got = [status(attempt(strict, token="bad.token.x", headers=told(ip))) for ip in ("192.0.2.50", "192.0.2.51")]
    report.ok(got == [429, 401], "failed logins count for the client, not for its proxy", repr(got))
    strict.stop()


def run(lab, report):
    stub = stubs.Stub()
    stub.put("app", "v1", labs.OCI_MANIFEST, labs.manifest(note="v1"))
    _, registry = lab.registry()
    certificates(lab, registry, report)
    two_kinds(report, lab, stub)
    proxied(report, lab, stub)
    forwarded(report, lab, stub)
    stub.close()
