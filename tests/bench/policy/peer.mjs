// peer.mjs - another policy engine on the rules of tests/unit/policies.h: ENGINE N SECONDS; a line of JSON.
// Each answers as it would in a server: rules parsed before, one request after the other. Answers are checked.
// SPDX-License-Identifier: Apache-2.0
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [engine, count, least] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const folder = resolve(process.env.ORACLE ?? "build/oracle"), load = createRequire(join(folder, "package.json"));
const MAIN = "refs/heads/main", REQUESTS = 1024;

let state = 20261127;
const below = (n) => {
	state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
	return (state >>> 8) % n;
};

// seven that an Allow meets, one kept out by a claim, one that nothing speaks of, one that a Deny meets
function request() {
	const kind = below(10);
	let i = below(count);
	if (kind === 9 && count >= 10)
		i = i - (i % 10) + 9 < count ? i - (i % 10) + 9 : 9;
	else if (i % 10 === 9)
		i--;
	return { path: kind === 8 ? `nobody${i}/app/web` : kind === 9 ? `team${i}/app/frozen-1` : `team${i}/app/web`, repository: `acme/team${i}`,
		ref: kind === 7 ? "refs/heads/feature-1" : MAIN, allowed: kind < 7 || (kind === 9 && count < 10) };
}

const rules = Array.from({ length: count }, (_, i) => ({ i, deny: i % 10 === 9 }));

const engines = {
	async casbin() {
		const { newEnforcer, newModelFromString, StringAdapter } = load("casbin");
		const model = newModelFromString(`
[request_definition]
r = sub, obj, act
[policy_definition]
p = obj, act, ref, repository, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = keyMatch(r.obj, p.obj) && r.act == p.act && (p.ref == "*" || (r.sub.ref == p.ref && r.sub.repository == p.repository))`);
		const lines = rules.map(({ i, deny }) => (deny ? `p, team${i}/app/frozen*, push, *, *, deny` : `p, team${i}/app/*, push, ${MAIN}, acme/team${i}, allow`));
		const enforcer = await newEnforcer(model, new StringAdapter(lines.join("\n")));
		return (r) => enforcer.enforceSync({ ref: r.ref, repository: r.repository }, r.path, "push");
	},
	async cedar() {
		const { preparsePolicySet, statefulIsAuthorized } = load("@cedar-policy/cedar-wasm/nodejs");
		const policies = rules.map(({ i, deny }) => (deny ?
			`forbid (principal, action == Action::"push", resource) when { resource.path like "team${i}/app/frozen*" };` :
			`permit (principal in Issuer::"gh", action == Action::"push", resource) when { resource.path like "team${i}/app/*" && context.ref == "${MAIN}" && context.repository == "acme/team${i}" };`));
		preparsePolicySet("rules", { staticPolicies: policies.join("\n") });
		const user = { type: "User", id: "u" }, repo = { type: "Repo", id: "r" };
		return (r) => statefulIsAuthorized({ preparsedPolicySetId: "rules", principal: user, action: { type: "Action", id: "push" }, resource: repo,
			context: { ref: r.ref, repository: r.repository }, entities: [
				{ uid: user, attrs: {}, parents: [{ type: "Issuer", id: "gh" }] },
				{ uid: repo, attrs: { path: r.path }, parents: [] },
			] }).response.decision === "allow";
	},
	async "iam-simulate"() {
		const at = (file) => load(join(folder, "node_modules/@cloud-copilot/iam-simulate/dist/cjs", file));
		const { authorize } = at("core_engine/CoreSimulatorEngine.js"), { AwsRequestImpl } = at("request/request.js");
		const { RequestContextImpl } = at("requestContext.js"), { DiscoveryContextKeyConstraints } = at("context_keys/discoveryContextKeyConstraints.js");
		const { loadPolicy } = load("@cloud-copilot/iam-policy");
		const statements = rules.map(({ i, deny }) => (deny ?
			{ Effect: "Deny", Action: "registry:Push*", Resource: `arn:oci:registry:::repo/team${i}/app/frozen*` } :
			{ Effect: "Allow", Action: ["registry:Push*", "registry:Pull*"], Resource: `arn:oci:registry:::repo/team${i}/app/*`,
				Condition: { StringEquals: { "jwt:ref": MAIN, "jwt:repository": `acme/team${i}` } } }));
		const policy = loadPolicy({ Version: "2012-10-17", Statement: statements }, { name: "rules" });
		const account = "123456789012";
		return (r) => authorize({
			request: new AwsRequestImpl(`arn:aws:iam::${account}:user/x`, { resource: `arn:oci:registry:::repo/${r.path}`, accountId: account }, "registry:PushManifest",
				new RequestContextImpl({ "jwt:ref": r.ref, "jwt:repository": r.repository })),
			sessionPolicy: undefined, identityPolicies: [policy], serviceControlPolicies: [], resourceControlPolicies: [], resourcePolicy: undefined,
			permissionBoundaries: undefined, vpcEndpointPolicies: undefined, serviceSettings: { s3: {} },
			simulationParameters: { simulationMode: "Strict", discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]) },
		}).result === "Allowed";
	},
};

const cpu = () => process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6;
const requests = Array.from({ length: REQUESTS }, request);
const before = cpu(), decide = await engines[engine](), loading = cpu() - before;
const samples = [];
let n = 0;
for (; n < 50 && n * loading < least; n++)
	decide(requests[n % REQUESTS]);     // warm
const begun = process.hrtime.bigint(), begunCpu = cpu();
for (n = 0; n < 3 || Number(process.hrtime.bigint() - begun) < least * 1e9; n++) {
	const r = requests[n % REQUESTS], at = process.hrtime.bigint(), said = decide(r);
	samples.push(Number(process.hrtime.bigint() - at) / 1000);
	if (said !== r.allowed)
		throw new Error(`${engine} says ${said} to ${JSON.stringify(r)}`);
}
const taken = cpu() - begunCpu;
samples.sort((a, b) => a - b);
console.log(JSON.stringify({ engine, kind: "indexable", n: count, rate: n / taken, p50: samples[n >> 1], p99: samples[n - 1 - Math.floor(n / 100)], load_ms: loading * 1000 }));
