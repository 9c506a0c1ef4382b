// cedar.mjs - the part of the registry's language that Cedar has, too: permit and forbid, forbid wins; texts, numbers,
// booleans, addresses and sets. Each case is written twice, for us and for Cedar.
// SPDX-License-Identifier: Apache-2.0

import { Random } from "./random.mjs";

const ACTIONS = ["ListTags", "PullManifest", "PullBlob", "PushManifest", "PushBlob", "DeleteTag"];
const GROUPS = ["dev", "ops", "audit"];
const PATHS = ["app", "a/b", "a", "team/app", "a/app/b", "ab"];
const LIKES = ["*", "a*", "*b", "a*b", "*a*", "team/*", "a", "*/*", "a**b", "app*app"];
// key: [attribute of the context, type, values]
const KEYS = {
	"registry:Tag": ["tag", "string", ["v1", "v2", "latest", "rel-1.2", "*", "a\"b\\"]],
	"registry:ReferenceType": ["kind", "string", ["tag", "digest"]],
	"scan:Critical": ["critical", "number", [0, 1, 7, -3, 2147483648]],
	"registry:ContentLength": ["size", "number", [0, 10, 4096]],
	"net:ViaTrustedProxy": ["proxied", "bool", [true, false]],
	"scan:Malware": ["malware", "bool", [true, false]],
	"net:SourceIp": ["ip", "ip", ["10.1.2.3", "192.0.2.7", "2001:db8::7", "11.0.0.1"]],
	"image:Digests": ["digests", "set", ["sha256:a", "sha256:b", "sha256:c"]],
	"sig:Keys": ["keys", "set", ["k1", "k2"]],
	"jwt:team": ["team", "string", ["a", "b", "ü"]],
};
const NETWORKS = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "10.1.2.3", "0.0.0.0/0", "::/0"];
const text = (v) => JSON.stringify(v);
// in a pattern of Cedar a star is a star unless it is escaped; so it is in ours
const like = (v) => '"' + v.replaceAll("\\", "\\\\").replaceAll('"', '\\"') + '"';
const OPS = {
	string: [
		["StringEquals", (a, vs) => vs.map((v) => `${a} == ${text(v)}`)],
		["StringLike", (a, vs) => vs.map((v) => `${a} like ${like(v)}`)],
		["StringNotEquals", (a, vs) => vs.map((v) => `${a} == ${text(v)}`)],
		["StringNotLike", (a, vs) => vs.map((v) => `${a} like ${like(v)}`)],
	],
	number: [["Equals", "=="], ["NotEquals", "=="], ["LessThan", "<"], ["LessThanEquals", "<="], ["GreaterThan", ">"], ["GreaterThanEquals", ">="]].map(
		([name, op]) => ["Numeric" + name, (a, vs) => vs.map((v) => `${a} ${op} ${v}`)]),
	bool: [["Bool", (a, vs) => vs.map((v) => `${a} == ${v}`)]],
	ip: ["IpAddress", "NotIpAddress"].map((name) => [name, (a, vs) => vs.map((v) => `${a}.isInRange(ip("${v}"))`)]),
};

// One condition: [operator, key, values of ours, expression of Cedar]
function atom(r) {
	const key = r.one(Object.keys(KEYS)), [attribute, type, values] = KEYS[key], a = "context." + attribute, has = `context has ${attribute}`;
	if (r.chance(10)) {
		const absent = r.chance(50);
		const empty = type === "set" ? `(!(${has}) || ${a}.isEmpty())` : `!(${has})`;
		return ["Null", key, String(absent), absent ? empty : `!(${empty})`];
	}
	if (type === "set") {
		const all = r.chance(50), not = r.chance(40), wanted = r.some(values, 2), list = `[${wanted.map(text)}]`;
		// each, or one, of them is (none) of these
		const cedar = all ? (not ? `!${list}.containsAny(${a})` : `${list}.containsAll(${a})`) : not ? `!${list}.containsAll(${a})` : `${list}.containsAny(${a})`;
		return [`${all ? "ForAllValues" : "ForAnyValue"}:String${not ? "Not" : ""}Equals`, key, wanted, all ? `(!(${has}) || ${cedar})` : `(${has} && ${cedar})`];
	}
	const [op, expression] = r.one(OPS[type]), from = op.includes("Like") ? LIKES : type === "ip" ? NETWORKS : op.startsWith("String") ? values.filter((v) => v !== "*") : values;
	const wanted = Array.from({ length: 1 + r.below(3) }, () => r.one(from)), any = "(" + expression(a, wanted).join(" || ") + ")";
	const negated = op.includes("Not"), ifExists = r.chance(20);
	const absent = negated || ifExists;
	return [op + (ifExists ? "IfExists" : ""), key, wanted, `(${absent ? `!(${has}) ||` : `${has} &&`} ${negated ? "!" : ""}${any})`];
}

function statement(r, i) {
	const s = { Sid: "s" + i, Effect: r.chance(35) ? "Deny" : "Allow" }, when = [];
	const groups = r.some(GROUPS, 2), anybody = r.chance(40), actions = r.some(ACTIONS, 3), anything = r.chance(35), path = r.one(LIKES);
	s.Principal = anybody ? "*" : groups.map((g) => "group:gh/" + g);
	s.Action = anything ? "registry:*" : actions.map((a) => "registry:" + a);
	s.Resource = "repo:up/" + path;
	if (!anybody)
		when.push("(" + groups.map((g) => `principal in Group::"${g}"`).join(" || ") + ")");
	when.push(`resource.name like ${like(path)}`);
	for (let n = r.below(4); n > 0; n--) {
		const [op, key, values, cedar] = atom(r);
		s.Condition ??= {};
		s.Condition[op] ??= {};
		if (s.Condition[op][key] !== undefined)
			continue;
		s.Condition[op][key] = values;
		when.push(cedar);
	}
	return [s, `@id("${s.Sid}") ${s.Effect === "Deny" ? "forbid" : "permit"} (principal, action${anything ? "" : ` in [${actions.map((a) => `Action::"${a}"`)}]`}, resource) when { ${
		when.join(" && ")} };`];
}

export function generate(seed, n) {
	const r = new Random(seed, n);
	const statements = Array.from({ length: 1 + r.below(6) }, (_, i) => statement(r, i));
	const groups = r.some(GROUPS, 3, 0), action = r.one(ACTIONS), path = r.one(PATHS), context = {}, cedar = {};
	for (const [key, [attribute, type, values]] of Object.entries(KEYS)) {
		if (r.chance(30))
			continue;
		const v = type === "set" ? r.some(values, 3, 0) : r.one(values);
		context[key] = v;
		cedar[attribute] = type === "ip" ? { __extn: { fn: "ip", arg: v } } : v;
	}
	return {
		policy: { Version: "2026-11-01", Statement: statements.map((s) => s[0]) },
		request: { principal: ["issuer:gh", "subject:gh/u", ...groups.map((g) => "group:gh/" + g)], action: "registry:" + action, resource: "repo:up/" + path, context },
		// for Cedar; not looked at by ours
		cedar: {
			policies: { staticPolicies: statements.map((s) => s[1]).join("\n") },
			principal: { type: "User", id: "u" },
			action: { type: "Action", id: action },
			resource: { type: "Repo", id: "r" },
			context: cedar,
			entities: [
				{ uid: { type: "User", id: "u" }, attrs: {}, parents: groups.map((g) => ({ type: "Group", id: g })) },
				{ uid: { type: "Repo", id: "r" }, attrs: { name: path }, parents: [] },
			],
		},
	};
}

export function judge(isAuthorized, c) {
	const answer = isAuthorized(c.cedar);
	if (answer.type !== "success")
		throw new Error(JSON.stringify(answer) + "\n" + c.cedar.policies.staticPolicies);
	const { decision, diagnostics } = answer.response;
	if (diagnostics.errors.length > 0)
		throw new Error(JSON.stringify(diagnostics.errors) + "\n" + c.cedar.policies.staticPolicies);
	return decision === "allow" ? "Allow" : diagnostics.reason.length > 0 ? "ExplicitDeny" : "ImplicitDeny";
}
