# rows.py - who is measured. command: stays in the foreground, its process tree is charged; conf: template in conf/;
# header: what its clients send with every request; needs: the program that must be there.
#
# SPDX-License-Identifier: Apache-2.0
from host import BIN, GATEWAY, HERE, PKI, ROW, read

HAPROXY = {"command": ["haproxy", "-db", "-f", ROW + "/conf"], "conf": "haproxy.cfg", "values": {"RULES": ""},
           "needs": "haproxy"}
NGINX = {"command": ["nginx", "-c", ROW + "/conf"], "conf": "nginx.conf", "values": {"AUTH": ""}, "needs": "nginx"}
RELAY = {"command": [BIN + "/relay", "@PORT@", "@UP@", PKI + "/server.crt", PKI + "/server.key"],
         "needs": BIN + "/relay"}
OURS = {"command": [GATEWAY, "run", "-c", ROW + "/conf"], "conf": "gateway.conf", "header": "RS256", "needs": GATEWAY}
JWT = read(HERE + "/conf/haproxy-jwt.rules")
REGISTRY_TOKEN = ("auth: {token: {realm: 'https://localhost/token', service: registry, issuer: '@ISSUER@', "
                  "rootcertbundle: @PKI@/RS256.crt}}")

ROWS = {
    # the gateway, with a policy of ten statements and of as many as haproxy-gw has map lines
    "gateway": {**OURS, "values": {"POLICY": "policy-10.json"}},
    "gateway-5k": {**OURS, "values": {"POLICY": "policy-5000.json"}},
    # moves bytes, decides nothing
    "haproxy": HAPROXY,
    "nginx": NGINX,
    "relay": RELAY,
    "relay-sha": {**RELAY, "command": RELAY["command"] + ["sha"]},
    # does some of our work
    "haproxy-rs256": {**HAPROXY, "header": "RS256", "values": {"RULES": JWT, "ALG": "RS256"}},
    "haproxy-es256": {**HAPROXY, "header": "ES256", "values": {"RULES": JWT, "ALG": "ES256"}},
    "haproxy-gw": {**HAPROXY, "header": "RS256",
                   "values": {"RULES": JWT + read(HERE + "/conf/haproxy-gw.rules"), "ALG": "RS256"}},
    "nginx-auth": {**NGINX, "header": "RS256", "values": {"AUTH": "auth_request /auth;"}},
    # what stands behind us
    "registry": {"command": ["docker-registry", "serve", ROW + "/conf"], "conf": "registry.yml", "header": "RS256",
                 "values": {"AUTH": REGISTRY_TOKEN}, "needs": "docker-registry"},
}
