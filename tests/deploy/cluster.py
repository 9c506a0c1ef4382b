# cluster.py - the files for Kubernetes: what they must say, and that what they hold is taken by the gateway.
#
# There is no cluster here. The schemas of Kubernetes are asked when somebody installed kubernetes-validate (PyPI); the
# rules below are what a schema does not know: who may reach what, and that a pod is as confined as "restricted" wants it.
# SPDX-License-Identifier: Apache-2.0
import glob
import json
import os
import subprocess

import adapters
import lab as labs
import sample as samples
import yaml

NODE = "deploy/kubernetes/credential-provider.yaml"
FILES = {"deploy/kubernetes/sidecar.yaml": "registry", "deploy/kubernetes/gateway.yaml": "tidewaiter"}


class Unique(yaml.SafeLoader):
    """A key that is written twice is a mistake that YAML does not tell."""


def unique(loader, node, deep=False):
    keys = [loader.construct_object(k, deep=True) for k, _ in node.value]
    if len(keys) != len(set(keys)):
        raise yaml.YAMLError(f"a key twice: {sorted(k for k in keys if keys.count(k) > 1)} {node.start_mark}")
    return loader.construct_mapping(node, deep)


Unique.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, unique)


def find(documents, kind, name=None):
    return next(d for d in documents if d["kind"] == kind and name in (None, d["metadata"]["name"]))


def pod_problems(spec):
    """What the profile "restricted" of Pod Security Standards would refuse, and what we ask on top."""
    pod = spec.get("securityContext", {})
    if not (pod.get("runAsNonRoot") is True and pod.get("runAsUser", 0) > 0 and
            pod.get("seccompProfile", {}).get("type") == "RuntimeDefault"):
        yield "the pod's securityContext"
    if spec.get("automountServiceAccountToken") is not False:
        yield "a token of the cluster is mounted"
    if any(spec.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")):
        yield "a namespace of the host"
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for v in spec["volumes"]:
        if not set(v) - {"name"} <= allowed:
            yield f"volume {v['name']}"
    volumes = {v["name"] for v in spec["volumes"]}
    used = set()
    for c in spec["containers"]:
        s = c.get("securityContext", {})
        if not (s.get("allowPrivilegeEscalation") is False and s.get("readOnlyRootFilesystem") is True and
                s.get("capabilities") == {"drop": ["ALL"]}):
            yield f"securityContext of {c['name']}"
        if "memory" not in c.get("resources", {}).get("limits", {}):
            yield f"{c['name']} has no limit of memory"
        used |= {m["name"] for m in c.get("volumeMounts", [])}
    if used != volumes:
        yield f"volumes {sorted(volumes ^ used)} are not both there and mounted"


def reference_problems(documents, name):
    """Selectors that select, ports that exist, claims that are made."""
    d = find(documents, "Deployment", name)
    labels = d["spec"]["template"]["metadata"]["labels"]
    spec = d["spec"]["template"]["spec"]
    ports = {p["name"]: p["containerPort"] for c in spec["containers"] for p in c.get("ports", [])}
    for kind, selector in (("Deployment", d["spec"]["selector"]["matchLabels"]),
                           ("Service", find(documents, "Service")["spec"]["selector"]),
                           ("NetworkPolicy", find(documents, "NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"]),
                           ("PodDisruptionBudget", find(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"])):
        if selector.items() - labels.items():
            yield f"{kind} selects other pods"
    gateway = spec["containers"][0]
    for port in [find(documents, "Service")["spec"]["ports"][0]["targetPort"],
                 *(gateway[p]["httpGet"]["port"] for p in ("livenessProbe", "readinessProbe"))]:
        if port not in ports:
            yield f"port {port}"
    if (gateway["livenessProbe"]["httpGet"]["path"], gateway["readinessProbe"]["httpGet"]["path"]) != ("/healthz", "/readyz"):
        yield "paths of the probes"
    claims = {c["metadata"]["name"] for c in documents if c["kind"] == "PersistentVolumeClaim"}
    wanted = {v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v}
    if claims != wanted:
        yield f"claims {sorted(claims ^ wanted)}"
    if any(x["metadata"].get("namespace") not in (name, "harbor") for x in documents if x["kind"] != "Namespace"):
        yield "namespaces"


def open_ports(policy):
    """{port: who may come} of a NetworkPolicy; None: everybody."""
    return {p["port"]: rule.get("from") for rule in policy["spec"]["ingress"] for p in rule["ports"]}


def closed(report, file, documents, name):
    """The registry's own port is closed."""
    own = find(documents, "NetworkPolicy", name)
    report.ok(set(open_ports(own)) == {5443, 5480} and open_ports(own)[5480] and set(own["spec"]["policyTypes"]) == {"Ingress", "Egress"},
              f"{file}: clients come in to the gateway, scrapers to its admin listener, nobody else", repr(own))
    if name == "registry":
        registry = find(documents, "Deployment")["spec"]["template"]["spec"]["containers"][1]
        env = {e["name"]: e["value"] for e in registry["env"]}
        report.ok(env["REGISTRY_HTTP_ADDR"].startswith("127.0.0.1:") and "ports" not in registry,
                  f"{file}: the registry listens inside the pod only", repr(registry))
        report.ok(own["spec"]["egress"] == [], f"{file}: nothing goes out")
    else:
        other = find(documents, "NetworkPolicy", "only-by-tidewaiter")
        report.ok(all(who and all(set(w) & {"podSelector"} for w in who) for who in open_ports(other).values()) and
                  other["metadata"]["namespace"] == "harbor", f"{file}: the registry's pods are reached by the gateway and their like only")


def check_config(report, file, documents, sample):
    """What the pod would see under /etc/tidewaiter, as the volume projects it, and the gateway's opinion of it."""
    data = find(documents, "ConfigMap", "tidewaiter")["data"]
    made = {"cluster.key": "cluster.key", "tls.crt": "tls-ec.crt", "tls.key": "tls-ec.key", "jwks.json": "github-jwks.json",
            "harbor.password": "harbor.password", "ca.crt": "harbor-ca.pem"}
    spec = find(documents, "Deployment")["spec"]["template"]["spec"]
    root = os.path.join(sample.dir, os.path.basename(file))
    for source in next(v for v in spec["volumes"] if "projected" in v)["projected"]["sources"]:
        for item in next(iter(source.values()))["items"]:
            path = os.path.join(root, item["path"])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if item["key"] in data:
                text = data[item["key"]].replace("/etc/tidewaiter", root).replace("/var/l", root + "/var/l").encode()
            else:
                with open(os.path.join(sample.dir, made[item["key"]]), "rb") as f:
                    text = f.read()
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
                f.write(text)
    ok, said = adapters.command([labs.BINARY, "check", "-c", f"{root}/gateway.conf"])
    report.ok(ok and said.count("\n") == 1, f"{file}: the gateway takes its configuration, and warns of nothing", said)
    ok, said = adapters.command([labs.BINARY, "policy", "check", f"{root}/policy.d/policy.json"])
    report.ok(ok, f"{file}: ... and its policy", said)
    alias = "local" if "sidecar" in file else "harbor"
    ask = {"principal": ["issuer:idp", "subject:idp/n", "group:idp/nodes"], "resource": f"repo:{alias}/shop/app"}
    lines = "".join(json.dumps({**ask, "action": a}) + "\n" for a in ("registry:PullManifest", "registry:PushManifest"))
    ok, said = adapters.command([labs.BINARY, "policy", "decide", "-p", f"{root}/policy.d/policy.json"], data=lines.encode())
    report.ok([json.loads(s)["decision"] for s in said.splitlines()] == ["Allow", "ImplicitDeny"], f"{file}: nodes pull, and push nothing", said)


def commands_of_readme(report, documents):
    """The secrets and maps that README.md makes are those that the pods want."""
    text = "\n".join(samples.blocks("deploy/kubernetes/README.md", "sh"))
    for d in documents:
        for v in find(d, "Deployment")["spec"]["template"]["spec"]["volumes"]:
            for s in v.get("projected", {}).get("sources", []):
                (kind, source), = s.items()
                if source["name"] == "tidewaiter":
                    continue
                words = {"secret": "create secret", "configMap": "create configmap"}[kind]
                report.ok(any(words in line and f" {source['name']} " in line for line in text.replace("\\\n", " ").split("\n")),
                          f"README.md makes {kind} {source['name']}")


def node(report, sample):
    """The files of a node: the plugin is asked as its configuration says, and the audience is one everywhere."""
    with open(os.path.join(labs.ROOT, NODE)) as f:
        config, role, binding = yaml.load_all(f, Unique)
    provider = config["providers"][0]
    attributes = provider["tokenAttributes"]
    rule = role["rules"][0]
    report.ok(rule["resources"] == [attributes["serviceAccountTokenAudience"]] and rule["verbs"] == ["request-serviceaccounts-token-audience"] and
              binding["roleRef"]["name"] == role["metadata"]["name"], f"{NODE}: kubelets may ask for that audience", repr(rule))
    request = {"apiVersion": provider["apiVersion"], "kind": "CredentialProviderRequest", "image": provider["matchImages"][0] + "/shop/app:v1",
               "serviceAccountToken": sample.token()}
    p = subprocess.run([labs.BINARY, *provider["args"]], input=json.dumps(request), capture_output=True, text=True)
    report.ok(p.returncode == 0 and list(json.loads(p.stdout)["auth"]) == provider["matchImages"], f"{NODE}: the plugin answers", p.stdout + p.stderr)


def run(lab, report):
    sample = samples.Sample(os.path.join(lab.dir, "cluster"))
    known = sorted(os.path.relpath(p, labs.ROOT) for p in glob.glob(os.path.join(labs.ROOT, "deploy/kubernetes/*.yaml")))
    report.ok(known == sorted([*FILES, NODE]), "these files are known to this test", repr(known))
    everything = []
    for file, name in FILES.items():
        with open(os.path.join(labs.ROOT, file)) as f:
            documents = list(yaml.load_all(f, Unique))
        everything.append(documents)
        report.ok(find(documents, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted",
                  f"{file}: the namespace is restricted")
        problems = list(pod_problems(find(documents, "Deployment")["spec"]["template"]["spec"]))
        report.ok(not problems, f"{file}: the pod may do no more than it needs", repr(problems))
        problems = list(reference_problems(documents, name))
        report.ok(not problems, f"{file}: what it refers to is there", repr(problems))
        closed(report, file, documents, name)
        check_config(report, file, documents, sample)
    commands_of_readme(report, everything)
    node(report, sample)
    tool = os.environ.get("KUBERNETES_VALIDATE", "kubernetes-validate")
    try:
        p = subprocess.run([tool, "--strict", *FILES], cwd=labs.ROOT, capture_output=True, text=True)
        report.ok(p.returncode == 0, "kubernetes-validate --strict takes them", p.stdout + p.stderr)
    except FileNotFoundError:
        print("  note   skipped: the schemas of Kubernetes (kubernetes-validate is not installed)")
