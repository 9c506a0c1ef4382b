// iam.mjs - random policies and requests as IAM has them, and how they are put to iam-simulate.
//
// iam-simulate (AGPL, a package of its own) is the judge but for what DIFFERENCES names: there, the text of AWS or a
// decision of ours that tests/policy/iam-differences.json holds says otherwise. A single value or condition is then
// rewritten to one that iam-simulate takes as it must be; everything around it is still judged.
// SPDX-License-Identifier: Apache-2.0

import { Random } from "./random.mjs";

export const DIFFERENCES = {
	negatedVariable: "1 negated operator, variable without value: matches",
	epoch: "2 dates as seconds since 1970",
	number: "3 what is no decimal number is unknown",
	address: "4 one address has several spellings",
	newline: "5 a wildcard matches a newline",
	nullEmpty: "6 Null: an empty list or text is null",
	anyIfExists: "7 ForAnyValue:...IfExists, key absent: true",
	plainMany: "8 an operator of one value, several values: unknown",
	setEmpty: "ForAnyValue and ForAllValues: an empty text is no value",
	escape: "${*} ${?} ${$} in other operators than StringLike",
	manyVariable: "a variable of several values: unknown",
	junk: "no date, boolean or address: unknown",
	emptyDefault: "a default may be empty: ${key, ''}",
	emptyVariable: "NotResource, variable of an empty text: no value",
	wholeNet: "0.0.0.0/0 holds every IPv4 address",
};

// ---- what cases are made of ----

const STRINGS = ["a", "b", "ab", "A", "aB", "a/b", "b/a/ab", "x*", "a?", "*", "", "ü", "aüb", "日本", "a\nb", "a$b", "${ctx:t}", "a.b", "a+b", "team-1"];
const PATTERNS = ["a", "b", "ab", "A", "aB", "a/b", "ü", "a$b", "a.b", "team-1", "a*", "*b", "*a*", "a*b", "?", "??", "a?", "*?", "?*?", "a*b*",
	"*", "**", "team-?", "[ab]", "a|b", "(a)", "^a", "\\*", ".*", ""];
const VARIABLES = ["${ctx:s}", "${ctx:t}", "${CTX:S}", "${ctx:none}", "${ctx:t, 'a'}", "${ctx:none, 'b'}", "${ctx:none, ''}", "${*}", "${?}", "${$}", "${ctx:m}"];
const NUMBERS = ["5", "5.0", "5.5", "-1", "0", "10", "007", "2147483648", "4.999"];
const DATES = ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-06-01T12:30:00.5Z", "2025-12-31T23:59:59Z", "1767225600", "1780317000"];
const V4 = ["10.1.2.3", "10.1.2.4", "192.0.2.1", "11.0.0.0"];
const V6 = ["2001:db8::1", "2001:0DB8:0:0::1", "2001:db8:8000::1", "::1", "::ffff:10.1.2.3"];
const NETWORKS = ["10.0.0.0/8", "10.1.2.3", "10.1.2.0/24", "10.1.2.4/30", "0.0.0.0/0", "192.0.2.0/24", "2001:db8::/32", "2001:db8:8000::/33", "2001:db8::1",
	"::/0", "2001:DB8:0::1/128", "::ffff:10.0.0.0/104"];
// key: kind
const KEYS = { "ctx:s": "string", "ctx:t": "string", "ctx:m": "string", "ctx:n": "number", "ctx:d": "date", "ctx:b": "bool", "ctx:ip": "ip", "ctx:none": "string" };
const VALUES = { string: STRINGS, number: NUMBERS, date: DATES, bool: ["true", "false", "TRUE"], ip: [...V4, ...V6] };
const JUNK = { number: ["1abc", "1e3", ""], date: ["yesterday"], bool: ["yes"], ip: ["10.1.2", "example.org"] };
const ORDERS = ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"];
const OPERATORS = {
	string: ["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike"],
	number: ORDERS.map((o) => "Numeric" + o),
	date: ORDERS.map((o) => "Date" + o),
	bool: ["Bool"],
	ip: ["IpAddress", "NotIpAddress"],
};
const WANTED = { number: NUMBERS, date: DATES, bool: ["true", "false"], ip: NETWORKS };
const ACTIONS = ["svc:Get", "svc:GetX", "svc:Put", "svc:List", "oth:Get"];
const ACTION_PATTERNS = ["svc:*", "svc:Get*", "*", "svc:G?t", "SVC:get", "svc:*t", "oth:*", "svc:Put", "svc:??t", "svc:*X"];
const ARN = "arn:oci:registry:::repo/";
const RESOURCES = ["a", "b", "a/b", "a/b/c", "ab", "A", "team-1/x", "ü/x", "日本/a", "a$b"];
const RESOURCE_PATTERNS = ["a", "a/*", "*", "*/b", "a*", "?", "a/?", "*b*", "${ctx:s}", "${ctx:s}/*", "*${ctx:t}", "${ctx:none}", "${ctx:none, 'a'}/*", "team-${ctx:n}/*",
	"${*}", "x${*}/y", "A", "a$b", "?/x", "${ctx:s}${ctx:t}"];

const textValue = (r) => {
	if (r.chance(70))
		return r.one(PATTERNS);
	return r.chance(70) ? r.one(VARIABLES) : r.one(["a", "", "*", "team-"]) + r.one(VARIABLES.slice(0, -1)) + r.one(["", "*", "b"]);
};

function condition(r) {
	const out = {};
	for (let n = 1 + r.below(3); n > 0; n--) {
		const key = r.one(Object.keys(KEYS));
		// now and then another kind than the key's
		const kind = r.chance(90) ? KEYS[key] : r.one(Object.keys(OPERATORS));
		let op = r.one(OPERATORS[kind]), values;
		if (r.chance(12)) {
			op = "Null";
			values = r.one(["true", "false"]);
		} else {
			if (r.chance(key === "ctx:m" ? 85 : 15))
				op = r.one(["ForAnyValue:", "ForAllValues:"]) + op;
			if (r.chance(20))
				op += "IfExists";
			const one = kind === "string" ? () => textValue(r) : () => r.one(WANTED[kind]);
			values = r.chance(55) ? one() : Array.from({ length: 1 + r.below(3) }, one);
		}
		out[op] ??= {};
		if (!Object.keys(out[op]).some((k) => k.toLowerCase() === key))
			out[op][r.chance(10) ? key.toUpperCase() : key] = values;
	}
	return out;
}

function statement(r, i) {
	const s = { Sid: "s" + i, Effect: r.chance(35) ? "Deny" : "Allow" };
	s[r.chance(12) ? "NotAction" : "Action"] = r.chance(35) ? "*" : r.oneOrSome([...ACTION_PATTERNS, ...ACTIONS]);
	s[r.chance(12) ? "NotResource" : "Resource"] = r.chance(35) ? "*" : r.oneOrSome(RESOURCE_PATTERNS.map((p) => ARN + p));
	if (r.chance(80))
		s.Condition = condition(r);
	return s;
}

function context(r) {
	const out = {};
	for (const [key, kind] of Object.entries(KEYS)) {
		if (key === "ctx:none" || r.chance(25))
			continue;
		const many = r.chance(key === "ctx:m" ? 85 : 6);
		const one = () => (many || r.chance(95) || JUNK[kind] === undefined ? r.one(VALUES[kind]) : r.one(JUNK[kind]));
		out[key] = many ? Array.from({ length: r.below(4) }, one) : one();
	}
	return out;
}

export function generate(seed, n) {
	const r = new Random(seed, n);
	return {
		vocabulary: "none",
		policy: { Version: "2012-10-17", Statement: Array.from({ length: 1 + r.below(6) }, (_, i) => statement(r, i)) },
		request: { action: r.one(ACTIONS), resource: ARN + r.one(RESOURCES), context: context(r) },
	};
}

// ---- the same case for iam-simulate ----

// What cannot be put to iam-simulate by rewriting a single condition; why is counted.
export class Unjudged extends Error {}

const NEVER = "~never~", ABSENT = "ctx:~absent~";
const TRUE = ["Null", ABSENT, "true"], FALSE = ["Null", ABSENT, "false"];
const list = (v) => (v === undefined ? [] : Array.isArray(v) ? v : [v]);
// no text of a policy holds a newline, so another rare character does as well
const plainText = (v) => (typeof v === "string" ? v.replaceAll("\n", "¬") : v);
const isNumber = (v) => /^-?[0-9]+(\.[0-9]+)?$/.test(v);

function lookup(ctx, name) {
	const key = Object.keys(ctx).find((k) => k.toLowerCase() === name.toLowerCase());
	return key === undefined ? undefined : ctx[key];
}

// "value", "none" or "several": what the variables of a text stand for
function variables(text, ctx) {
	let state = "value";
	for (const [, body] of text.matchAll(/\$\{([^}]*)\}/g)) {
		const [name, fallback] = body.split(/, (.*)/s);
		const v = "*?$".includes(body) ? body : lookup(ctx, name);
		if (Array.isArray(v))
			state = state === "none" ? state : "several";
		else if ((v === undefined || v === "") && fallback === undefined)
			state = "none";
	}
	return state;
}

const withEmptyDefaults = (text, ctx) => text.replace(/\$\{([^},]*), ''\}/g, (_, name) => ((lookup(ctx, name) ?? "") === "" ? "" : "${" + name + "}"));

// All 8 groups, or dotted IPv4 (mapped, too); null: no address
function address(text) {
	const mapped = /^::ffff:([0-9.]+)$/i.exec(text);
	if (mapped)
		return address(mapped[1]);
	if (/^[0-9]+(\.[0-9]+){3}$/.test(text))
		return text;
	if (!/^[0-9a-f:]*:[0-9a-f:]*$/i.test(text))
		return null;
	const [head, tail] = text.split("::").map((half) => half.split(":").filter((g) => g !== ""));
	const groups = tail === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail];
	return groups.map((g) => g.toLowerCase().padStart(4, "0")).join(":");
}

function network(text) {
	const [base, bits] = text.split("/"), canonical = address(base);
	if (bits === undefined)
		return [canonical + (canonical.includes(":") ? "/128" : "/32")];
	if (canonical + "/" + bits === "0.0.0.0/0")
		return ["0.0.0.0/1", "128.0.0.0/1"];
	return [canonical + "/" + (base.includes(":") && !canonical.includes(":") ? bits - 96 : bits)];
}

const date = (text) => (isNumber(text) ? new Date(Number(text) * 1000) : new Date(text)).toISOString();

// One condition: [operator, key, values] for iam-simulate and what its context holds; differ(reason) counts.
class Atom {
	constructor(op, key, values, ctx, deny, differ) {
		const [, qualifier, name, ifExists] = /^(ForAnyValue:|ForAllValues:)?(.*?)(IfExists)?$/.exec(op);
		Object.assign(this, { op, key, ctx, deny, differ, qualifier, name, ifExists, wanted: list(values), value: lookup(ctx, key) });
		this.kind = Object.keys(OPERATORS).find((k) => OPERATORS[k].includes(name));
		this.negated = name.includes("Not");
	}
	// UNKNOWN: a Deny takes it for true, an Allow for false
	unknown(reason) {
		this.differ(reason);
		return this.deny ? TRUE : FALSE;
	}
	decided(reason, yes) {
		this.differ(reason);
		return yes ? TRUE : FALSE;
	}
	text() {
		const like = this.name.includes("Like");
		let everything = false;
		const wanted = this.wanted.map((w) => {
			const state = variables(w, this.ctx);
			if (state === "none") {
				if (this.negated)
					this.differ("negatedVariable");
				return NEVER;
			}
			if (state === "several") {
				if (w !== "${ctx:m}")
					throw new Unjudged("a variable of several values, with text around it");
				this.differ("manyVariable");
				everything ||= this.deny !== this.negated;
				return this.deny !== this.negated ? "*" : NEVER;
			}
			if (w.includes(", ''}")) {
				this.differ("emptyDefault");
				w = withEmptyDefaults(w, this.ctx);
			}
			if (!like && /\$\{[*?$]\}/.test(w)) {
				this.differ("escape");
				return w.replace(/\$\{([*?$])\}/g, "$1");
			}
			return w;
		});
		if (list(this.value).some((v) => v.includes("\n")))
			this.differ("newline");
		const op = everything ? (this.qualifier ?? "") + (this.negated ? "StringNotLike" : "StringLike") + (this.ifExists ?? "") : this.op;
		return [op, everything ? ["*"] : wanted, plainText];
	}
	several() {
		if (Array.isArray(this.value))
			throw new Unjudged("what cannot be read among several values");
	}
	typed() {
		const readable = { number: isNumber, bool: (v) => /^(true|false)$/i.test(v), ip: (v) => address(v) !== null,
			date: (v) => isNumber(v) || /^[0-9]{4}-[0-9]{2}-[0-9]{2}T/.test(v) }[this.kind];
		const bad = list(this.value).filter((v) => !readable(v));
		if (bad.length > 0)
			return this.several() ?? this.unknown(this.kind === "number" ? "number" : "junk");
		if (this.kind === "date") {
			if ([...this.wanted, ...list(this.value)].some(isNumber))
				this.differ("epoch");
			return [this.op, this.wanted.map(date), date];
		}
		if (this.kind === "ip") {
			if (list(this.value).some((v) => address(v) !== v))
				this.differ("address");
			if (this.wanted.includes("0.0.0.0/0"))
				this.differ("wholeNet");
			return [this.op, this.wanted.flatMap(network), address];
		}
		return [this.op, this.wanted, (v) => v];
	}
	// [operator, key, values, value of the key]
	translate(own) {
		const v = this.value, empty = v === "" || (Array.isArray(v) && v.length === 0);
		if (this.name === "Null")
			return empty ? this.decided("nullEmpty", this.wanted[0] === "true") : [this.op, own, this.wanted, plainText(v)];
		if (this.qualifier === undefined && Array.isArray(v))
			return this.unknown("plainMany");
		if (this.qualifier !== undefined && (v === undefined || empty)) {
			const yes = this.ifExists !== undefined || this.qualifier === "ForAllValues:";
			if (v === "")
				return this.decided("setEmpty", yes);
			if (this.ifExists !== undefined && this.qualifier === "ForAnyValue:")
				return this.decided("anyIfExists", true);
		}
		const out = this.kind === "string" ? this.text() : this.typed();
		if (out === TRUE || out === FALSE)
			return out;
		const [op, wanted, change] = out;
		return [op, own, wanted, Array.isArray(v) ? v.map(change) : v === undefined ? v : change(v)];
	}
}

function resources(s, element, ctx, differ) {
	const out = [];
	for (const text of list(s[element])) {
		const state = variables(text, ctx);
		if (state === "several")
			throw new Unjudged("a variable of several values in a resource");
		if (state === "none" && element === "NotResource") {
			differ("emptyVariable");
			out.push(`arn:oci:registry:::repo/\${${ABSENT}}`);
		} else {
			out.push(text);
		}
	}
	return out;
}

// {policy, request} of iam-simulate; differ(reason) is called for each difference met.
export function translate(c, differ) {
	const ctx = c.request.context ?? {}, context = {}, statements = [];
	for (const [key, v] of Object.entries(ctx))
		context[key] = Array.isArray(v) ? v.map(plainText) : plainText(v);
	for (const [i, s] of list(c.policy.Statement).entries()) {
		const out = { ...s }, conditions = {};
		for (const element of ["Resource", "NotResource"]) {
			if (s[element] === undefined)
				continue;
			out[element] = resources(s, element, ctx, differ);
		}
		let n = 0;
		for (const [op, keys] of Object.entries(s.Condition ?? {})) {
			for (const [key, values] of Object.entries(keys)) {
				// a key of its own, so that its value can be another than under the next operator
				const own = `own:${i}-${n++}`;
				const atom = new Atom(op, key, values, ctx, s.Effect === "Deny", differ).translate(own);
				const [name, at, wanted, value] = atom;
				if (value !== undefined)
					context[at] = value;
				conditions[name] ??= {};
				// the same constant twice is the same
				conditions[name][conditions[name][at] !== undefined && conditions[name][at] !== wanted ? ABSENT + n : at] = wanted;
			}
		}
		if (s.Condition !== undefined)
			out.Condition = conditions;
		if (s.Condition !== undefined && Object.keys(conditions).length === 0)
			delete out.Condition;
		statements.push(out);
	}
	return { policy: { ...c.policy, Statement: statements }, request: { ...c.request, context } };
}

export const VERDICTS = { Allowed: "Allow", ImplicitlyDenied: "ImplicitDeny", ExplicitlyDenied: "ExplicitDeny" };

// What iam-simulate says of a translated case.
export function judge(simulate, t) {
	const account = "123456789012";
	return VERDICTS[simulate({
		identityPolicies: [{ name: "case", policy: t.policy }],
		serviceControlPolicies: [],
		resourceControlPolicies: [],
		request: { principal: `arn:aws:iam::${account}:user/x`, action: t.request.action, contextVariables: t.request.context,
			resource: { resource: t.request.resource, accountId: account } },
	}, {})];
}
