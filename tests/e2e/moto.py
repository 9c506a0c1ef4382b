# moto.py - the login at ECR against moto's server: STS takes the web identity, ECR gives the password. (moto checks no signature:
# credentials.py does.)
#
# moto is installed by tests/pypi/install, and not part of `make test`.
# SPDX-License-Identifier: Apache-2.0
import base64
import os

import credentials
import lab as labs

SERVER = os.environ.get("MOTO_SERVER", os.path.join(labs.ROOT, "build/pypi/bin/moto_server"))


def run(lab, report, which=None):
    if not os.access(SERVER, os.X_OK):
        report.ok(False, f"{SERVER} is there", "run: tests/pypi/install moto")
        return
    port = labs.free_port()
    moto = lab.process([SERVER, "-H", "127.0.0.1", "-p", str(port)], "moto")
    if not labs.wait_for(lambda: labs.port_open(port), 30):
        report.ok(False, "moto serves", moto.tail())
        return
    aws = f"http://127.0.0.1:{port}"
    # what moto gives out for its one account
    password = "Basic " + base64.b64encode(b"AWS:123456789012-auth-token").decode()
    up = credentials.Guarded(lambda a, r: a == password)
    identity = os.path.join(lab.dir, "sa-token")
    with open(identity, "w") as f:
        f.write("web-identity")
    tokens = {who: lab.signer.token(who) for who in ("ci", "dev")}
    ways = {
        "environment": {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"},
        "web identity": {"AWS_ACCESS_KEY_ID": "", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/gateway", "AWS_WEB_IDENTITY_TOKEN_FILE": identity,
                         "AWS_ENDPOINT_URL_STS": aws},
    }
    for way, env in ways.items():
        g = credentials.start(lab, "gateway-" + way.replace(" ", "-"), up.origin, {"credentials": "ecr", "region": "eu-west-1"},
                              {"AWS_ENDPOINT_URL_ECR": aws, **env})
        credentials.push_and_pull(report, f"moto, {way}", g, tokens, "app/" + way.replace(" ", "-"))
        tried = [x for x in up.refusals if x != ("GET", "/v2/")]
        report.ok(not tried, f"moto, {way}: every request had ECR's password", repr(tried))
        g.stop()
