// registry.mjs - random bundles and requests in the language of the registry: everything it has, so that the index is
// asked about everything. Facts may be unknown or come later.
// SPDX-License-Identifier: Apache-2.0

import { Random } from "./random.mjs";

const DIGESTS = ["sha256:bad1", "sha256:bad2", "sha256:good"];
const ORDERS = ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"];
// name: [kind, values of a request, values of a policy]; many: a list of them
const KEYS = {
	"registry:Tag": ["string", ["v1", "v2", "latest", "", "rel-1", "ü"]],
	"registry:Digest": ["string", DIGESTS],
	"registry:ReferenceType": ["string", ["tag", "digest"]],
	"registry:MountFrom": ["string", ["app", "a/b"]],
	"registry:ContentLength": ["number", ["0", "10", "4096", "x"]],
	"registry:TagExists": ["bool", ["true", "false"]],
	"net:SourceIp": ["ip", ["10.1.2.3", "192.0.2.7", "2001:db8::7", "::ffff:10.1.2.3", "junk"]],
	"net:ViaTrustedProxy": ["bool", ["true", "false"]],
	"net:TlsVersion": ["string", ["1.2", "1.3"]],
	"client:UserAgent": ["string", ["docker/24.0.7 go/1.20", "skopeo/1.9", "curl", "docker/9.1"]],
	"client:Version": ["version", ["24.0.7", "9.1", "1.9", "junk"]],
	"image:MediaType": ["string", ["application/vnd.oci.image.manifest.v1+json"]],
	"image:Digests": ["string", DIGESTS, "many"],
	"image:Platforms": ["string", ["linux/amd64", "linux/arm64"], "many"],
	"image:SizeBytes": ["number", ["1", "1000000", "5.5"]],
	"image:Annotation/team": ["string", ["a", "b"]],
	"image:Label/x": ["string", ["a", "b"]],
	"scan:Status": ["string", ["ok", "none", "pending", "error"]],
	"scan:Critical": ["number", ["0", "1", "7.5", "-1"]],
	"scan:Malware": ["bool", ["true", "false", "maybe"]],
	"scan:Cves": ["string", ["CVE-1", "CVE-2"], "many"],
	"sig:Status": ["string", ["verified", "unsigned"]],
	"sig:Identities": ["string", ["a@example.org", "b@example.org"], "many"],
	"rate:Pulls/1h": ["number", ["1", "100"]],
	"breakglass:Active": ["bool", ["true", "false"]],
};
const CLAIMS = {
	"jwt:team": ["string", ["a", "b", "A", "a/b", "", "../x"]],
	"jwt:repository": ["string", ["a/b", "App", "a"]],
	"jwt:amr": ["string", ["mfa", "pwd"], "many"],
	"jwt:level": ["number", ["1", "2"]],
	"jwt:x.y": ["string", ["v", "w"]],
};
const DERIVED = { "principal:Type": ["string", ["jwt", "anonymous"]], "principal:Issuer": ["string", ["gh", "gl"]], "registry:Repository": ["string", ["app", "a/b"]],
	"registry:Upstream": ["string", ["up", "up2"]], "time:Weekday/UTC": ["string", ["Mon", "Tue", "Sun"]], "time:MinuteOfDay/Europe/Berlin": ["number", ["600", "720"]],
	"client:Product": ["string", ["docker", "skopeo"]] };
const ALL = { ...KEYS, ...CLAIMS, ...DERIVED };
const STRING_OPS = ["StringEquals", "StringEquals", "StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase",
	"StringMatches", "StringNotMatches"];
const OPERATORS = { string: STRING_OPS, number: ORDERS.map((o) => "Numeric" + o), bool: ["Bool"], ip: ["IpAddress", "NotIpAddress"], version: ORDERS.map((o) => "Version" + o) };
const NETWORKS = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "10.1.2.3", "0.0.0.0/0"];
const WINDOWS = ["Mon-Fri 08:00-18:00", "22:00-06:00", "Sat,Sun", "Tue 11:00-12:00"];
const VARIABLES = ["${jwt:team}", "${jwt:team|lower}", "${jwt:none, 'a'}", "${registry:Tag}", "${jwt:x.y}", "${jwt:repository|lower}", "${principal:Issuer}"];
const ACTIONS = ["Ping", "ListRepositories", "ListTags", "ListReferrers", "PullManifest", "PullBlob", "PushManifest", "OverwriteTag", "AppendReferrer", "PushBlob", "MountBlob",
	"CancelUpload", "DeleteManifest", "DeleteTag", "DeleteBlob", "IssueToken"].map((a) => "registry:" + a);
const ACTION_PATTERNS = ["registry:*", "registry:Pull*", "registry:Push*", "registry:*Tag*", "*", "REGISTRY:pull*", "registry:List?ags", ...ACTIONS];
const PRINCIPALS = ["*", "anonymous", "issuer:gh", "issuer:gl", "subject:gh/ci", "subject:gh/*", "subject:gl/c?", "group:gh/dev", "group:gh/*", "role:gh/admin", "cert:spiffe://x",
	"basic:bob"];
const CALLERS = [["anonymous"], ["issuer:gh", "subject:gh/ci"], ["issuer:gh", "subject:gh/ci", "group:gh/dev"], ["issuer:gl", "subject:gl/ci", "group:gl/dev", "role:gl/admin"],
	["issuer:gh", "subject:gh/x", "group:gh/dev", "group:gh/ops", "role:gh/admin"], ["basic:bob"]];
const PATHS = ["app", "a/b", "a", "b", "team/app", "a/app", "app/a", "a/b/c"];
const PATH_PATTERNS = ["app", "a/b", "*", "a/*", "*/app", "a*", "?", "*b*", "team/${jwt:team}", "${jwt:team}/*", "${jwt:team|lower}/app", "${jwt:repository|lower}",
	"*/${jwt:team}", "a/b/c", "${jwt:none}", "${jwt:none, 'a'}/*", "*a", "app/*"];
const RESOURCES = [...PATH_PATTERNS.map((p) => "repo:up/" + p), "repo:up*/app", "repo:*/a/b", "repo:up2/*", "registry:up", "registry:*", "*", "*"];

function wanted(r, kind, values, op) {
	if (op.includes("Matches"))
		return r.one(["v[0-9]+", "a|b", ".*", "rel-.*", "(?:a+)+b", "sha256:bad.", "[a-z]+"]);
	if (kind === "ip")
		return r.one(NETWORKS);
	if (kind === "string" && r.chance(12))
		return r.one(VARIABLES);
	if (op.includes("Like"))
		return r.one(["v*", "*1", "*", "?", "a*b", "??", "sha256:*", "*bad?", "*${jwt:team}*", "refs/*"]);
	const fit = values.filter((v) => !["x", "junk", "maybe"].includes(v) && (v !== "" || kind === "string"));
	return r.one(fit);
}

function condition(r) {
	const out = {};
	for (let n = r.chance(60) ? 1 : 2 + r.below(2); n > 0; n--) {
		const kind = r.below(100);
		if (kind < 8) {
			(out.Null ??= {})[r.one(Object.keys(ALL))] = r.one(["true", "false"]);
		} else if (kind < 13) {
			out.TimeWindow = { [r.one(["time:Local/UTC", "time:Local/Europe/Berlin"])]: r.oneOrSome(WINDOWS) };
		} else if (kind < 18) {
			(out[r.one(["ForAnyValue:", "ForAllValues:"]) + r.one(["StringEquals", "StringNotEquals"])] ??= {})["net:Zone"] = r.oneOrSome(["corp", "lab"]);
		} else if (kind < 22) {
			(out[r.one(["DateLessThan", "DateGreaterThanEquals"])] ??= {})["time:Now"] = r.one(["2026-12-01T11:00:00Z", "2026-12-02T00:00:00+01:00", "1796122800"]);
		} else if (kind < 27) {
			(out[r.one(["StringEquals", "StringNotEquals"])] ??= {})["registry:Digest"] = r.one(["${set:bad}", ["${set:bad}", "sha256:good"]]);
		} else {
			const key = r.one(Object.keys(ALL)), [type, values, many] = ALL[key];
			let op = r.one(OPERATORS[type]);
			const one = () => wanted(r, type, values, op), value = r.chance(60) ? one() : Array.from({ length: 1 + r.below(3) }, one);
			if (many !== undefined)
				op = r.one(["ForAnyValue:", "ForAllValues:"]) + op;
			if (r.chance(15))
				op += "IfExists";
			(out[op] ??= {})[r.chance(5) && !key.startsWith("jwt:") && !key.includes("/") ? key.toLowerCase() : key] = value;
		}
	}
	for (const keys of Object.values(out)) {
		const seen = new Set();
		for (const key of Object.keys(keys))
			seen.has(key.toLowerCase()) ? delete keys[key] : seen.add(key.toLowerCase());
	}
	return out;
}

function statement(r, sid, kind) {
	const s = { Sid: sid, Effect: kind === "Guardrail" || r.chance(30) ? "Deny" : "Allow" };
	s.Principal = r.chance(55) ? "*" : r.oneOrSome(PRINCIPALS);
	s[s.Effect === "Deny" && r.chance(12) ? "NotAction" : "Action"] = r.chance(40) ? "registry:*" : r.oneOrSome(ACTION_PATTERNS);
	if (s.NotAction !== undefined && [s.NotAction].flat().some((a) => a.endsWith("*")))
		s.NotAction = "registry:Pull*";
	s.Resource = kind === "Grant" ? r.oneOrSome(["repo:up/a/*", "repo:up/a/b", "repo:up/a/${jwt:team}", "repo:up/a/*c"]) : r.chance(30) ? "repo:*" : r.oneOrSome(RESOURCES);
	if (r.chance(65))
		s.Condition = condition(r);
	if (r.chance(15))
		s.Mode = r.one(["Shadow", "Shadow", "Enforce"]);
	if (r.chance(8))
		s.NotBefore = r.one(["2026-12-01T11:00:00Z", "2026-12-01T11:00:01Z", "2020-01-01T00:00:00Z"]);
	if (r.chance(8))
		s.Expires = r.one(["2026-12-01T11:00:02Z", "2030-01-01T00:00:00Z", "2026-12-03T00:00:00Z"]);
	if (r.chance(10))
		s.Message = "because of " + sid;
	return s;
}

function document(r, d) {
	const kind = r.one(["", "", "Guardrail", "Grant"]), out = { Version: "2026-11-01" };
	if (kind !== "")
		out.Kind = kind;
	if (kind === "Grant")
		out.Scope = ["repo:up/a/*", "repo:up/a/b"];
	if (d === 0) {
		out.Zones = { corp: ["10.0.0.0/8"], lab: ["2001:db8::/32", "192.0.2.0/24"] };
		out.Sets = { bad: "file:bad.txt" };
	}
	// now and then so many that buckets fill
	out.Statement = Array.from({ length: r.chance(5) ? 40 : 1 + r.below(6) }, (_, i) => statement(r, `d${d}s${i}`, kind));
	return out;
}

function fact(r, values, many, claim) {
	const state = r.below(100);
	if (state < 10)
		return { unknown: true };
	if (state < 20 && !claim)
		return { later: true };
	return many ? r.some(values, values.length, 0) : r.one(values);
}

function request(r) {
	const context = {}, on = r.one(["up", "up", "up2"]);
	for (const [table, claim] of [[KEYS, false], [CLAIMS, true]])
		for (const [key, [, values, many]] of Object.entries(table))
			if (r.chance(55))
				context[key] = fact(r, values, many, claim);
	if (r.chance(20))
		context["time:Now"] = r.one(["2026-12-01T11:00:00Z", "2026-12-06T23:30:00Z", "2026-07-01T04:00:00Z", { unknown: true }]);
	return { principal: r.one(CALLERS), action: r.one(ACTIONS), resource: r.chance(8) ? "registry:" + on : `repo:${on}/${r.one(PATHS)}`, context };
}

// Several requests to each bundle
const REQUESTS = 4;
let bundle = { of: "" };

export function generate(seed, n) {
	const of = `${seed} ${Math.floor(n / REQUESTS)}`;
	if (bundle.of !== of) {
		const r = new Random(seed, n - (n % REQUESTS));
		bundle = { of, policy: Array.from({ length: 1 + r.below(3) }, (_, d) => document(r, d)) };
	}
	return { policy: bundle.policy, request: request(new Random(~seed, n)) };
}
