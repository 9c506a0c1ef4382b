// shrink.mjs - the smallest case that still fails: whatever can be left out is.
// SPDX-License-Identifier: Apache-2.0

const copy = (o) => JSON.parse(JSON.stringify(o));
const documents = (c) => (Array.isArray(c.policy) ? c.policy : [c.policy]);

// The paths of everything in it.
function* paths(node, path) {
	for (const k of Array.isArray(node) ? node.keys() : Object.keys(node)) {
		yield [...path, k];
		if (node[k] !== null && typeof node[k] === "object")
			yield* paths(node[k], [...path, k]);
	}
}

const without = (c, path) => {
	const o = copy(c), last = path[path.length - 1], parent = path.slice(0, -1).reduce((at, k) => at[k], o);
	Array.isArray(parent) ? parent.splice(last, 1) : delete parent[last];
	return o;
};

// What cannot go may say less.
function* general(c) {
	for (const [d, document] of documents(c).entries()) {
		for (const [i, s] of (document.Statement ?? []).entries()) {
			for (const element of ["Action", "Resource", "NotAction", "NotResource", "Principal"]) {
				if (s[element] === undefined || s[element] === "*")
					continue;
				const o = copy(c), to = documents(o)[d].Statement[i];
				delete to[element];
				to[element.replace("Not", "")] = "*";
				yield o;
			}
		}
	}
}

// Without runs of statements: halves, quarters, then one by one.
function* fewer(c) {
	for (const [d, document] of documents(c).entries()) {
		const n = document.Statement?.length ?? 0;
		for (let run = Math.ceil(n / 2); run > 0; run = run === 1 ? 0 : Math.ceil(run / 2)) {
			for (let at = 0; at < n; at += run) {
				const o = copy(c);
				documents(o)[d].Statement.splice(at, run);
				yield o;
			}
		}
	}
}

const pieces = (c) => [...general(c), ...["policy", "request"].flatMap((root) => [...paths(c[root], [root])]
	.filter((p) => !p.includes("Version")).map((p) => without(c, p)))];

// fails(cases) says of each whether it fails (a promise). What is no policy any more does not fail.
export async function shrink(c, fails) {
	const end = Date.now() + 20000;
	for (const step of [(x) => [...fewer(x)], pieces]) {
		while (Date.now() < end) {
			const candidates = step(c);
			const i = (await fails(candidates)).findIndex((f) => f);
			if (i < 0)
				break;
			c = candidates[i];
		}
	}
	return c;
}
