// main.mjs - judges of the policy engine, one after the other; see README.md. Ends with "N passed, N failed".
// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import * as cedar from "./cedar.mjs";
import * as iam from "./iam.mjs";
import * as registry from "./registry.mjs";
import { decide } from "./engine.mjs";
import { shrink } from "./shrink.mjs";

const modules = createRequire(resolve(process.env.ORACLE ?? "build/oracle", "package.json"));
const BATCH = 10000, SHOWN = 3;
const options = { seed: Number(process.env.ORACLE_SEED ?? 20261127), scale: Number(process.env.ORACLE_SCALE ?? 1) };
let passed = 0, failed = 0;

const say = (text) => process.stdout.write(text + "\n");

function check(ok, name, why = "") {
	ok ? passed++ : failed++;
	say(`  ${ok ? "ok    " : "FAILED"} ${name}${ok || why === "" ? "" : "\n" + why}`);
}

// As a row of tests/policy/*.json
const vector = (c, expect) => JSON.stringify([{ ...(c.vocabulary ? { vocabulary: c.vocabulary } : {}), policy: c.policy,
	cases: [{ name: "", ...c.request, expect }] }]);

// One judge: {name, cases, generate(seed, n), judge(case, differ), whole: cases cannot be made smaller};
// judge gives a verdict, or null and the reason to differ().
async function part({ name, cases, generate, judge, whole }) {
	const begun = Date.now(), total = Math.max(1, Math.round(cases * options.scale));
	const counts = { refused: 0, unjudged: 0, agreed: 0, verdicts: {} }, met = {}, wrong = [], split = [];
	const verdicts = (batch) => batch.map((c) => {
		const reasons = new Set();
		return { expect: judge === undefined ? null : judge(c, (reason) => reasons.add(reason)), reasons };
	});
	const differs = (ours, said) => ours.error === undefined && said.expect !== null && said.expect !== ours.verdict;

	for (let at = 0; at < total; at += BATCH) {
		const batch = Array.from({ length: Math.min(BATCH, total - at) }, (_, i) => generate(options.seed, at + i));
		const running = decide(batch), said = verdicts(batch), ours = await running;
		batch.forEach((c, i) => {
			if (ours[i].error !== undefined) {
				counts.refused++;
				counts.why ??= `${ours[i].error}: ${JSON.stringify(c)}`;
				return;
			}
			counts.verdicts[ours[i].verdict] = (counts.verdicts[ours[i].verdict] ?? 0) + 1;
			if (ours[i].linear !== "same")
				split.push({ c, ours: ours[i], n: at + i });
			said[i].reasons.forEach((reason) => (met[reason] = (met[reason] ?? 0) + 1));
			if (said[i].expect === null)
				counts.unjudged++;
			else if (differs(ours[i], said[i]))
				wrong.push({ c, ours: ours[i], expect: said[i].expect, n: at + i });
			else
				counts.agreed++;
		});
		if (at + BATCH < total)
			say(`  ...    ${name}: ${at + BATCH} of ${total}`);
	}
	say(`  note   ${name}: ${total} cases in ${Math.round((Date.now() - begun) / 1000)} s; ${JSON.stringify(counts.verdicts)}` +
		`; ${counts.refused} refused, ${counts.unjudged} not judged`);
	for (const [reason, n] of Object.entries(met).sort())
		say(`  note   ${name}: ${String(n).padStart(6)} cases: ${iam.DIFFERENCES[reason] ?? reason}`);
	check(counts.refused < total / 10, `${name}: the cases load`, counts.why);
	check(split.length === 0, `${name}: the index and one statement after the other say the same`, await shown(split.map((s) => ({ ...s, expect: s.ours.linear })),
		async (candidates) => (await decide(candidates)).map((o) => o.error === undefined && o.linear !== "same")));
	if (judge === undefined)
		return;
	check(wrong.length === 0, `${name}: ${counts.agreed} agree, ${wrong.length} do not`, await shown(wrong, async (candidates) => {
		const ours = await decide(candidates);
		// a judge need not understand what is no policy
		return candidates.map((c, i) => !whole && ours[i].error === undefined && differs(ours[i], verdicts([c])[0]));
	}));
	check(counts.agreed > total * 0.8 && Object.values(counts.verdicts).filter((n) => n > total / 50).length >= 3, `${name}: enough of every verdict`);
}

// The first of them, made small.
async function shown(cases, fails) {
	const out = [];
	for (const { c, ours, expect, n } of cases.slice(0, SHOWN)) {
		const small = await shrink(c, fails), again = (await decide([small]))[0];
		out.push(`    seed ${options.seed} case ${n}: ours ${ours.verdict}, the judge ${expect}; as a vector, ours ${again.verdict}:\n    ${vector(small, "?")}`);
	}
	return out.join("\n");
}

const chosen = process.argv.slice(2);
const parts = {
	async iam() {
		const { runUnsafeSimulation } = modules("@cloud-copilot/iam-simulate");
		await part({ name: "iam-simulate", cases: 200000, generate: iam.generate, judge(c, differ) {
			try {
				return iam.judge(runUnsafeSimulation, iam.translate(c, differ));
			} catch (e) {
				if (!(e instanceof iam.Unjudged))
					throw e;
				differ("left out: " + e.message);
				return null;
			}
		} });
	},
	async registry() {
		await part({ name: "registry", cases: 200000, generate: registry.generate });
	},
	async cedar() {
		const { isAuthorized } = modules("@cedar-policy/cedar-wasm/nodejs");
		await part({ name: "cedar", cases: 20000, generate: cedar.generate, judge: (c) => cedar.judge(isAuthorized, c), whole: true });
	},
};

// Each in a process of its own: [passed, failed]
function apart(name) {
	const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), name], { stdio: ["ignore", "pipe", "inherit"] });
	return new Promise((done) => {
		let sum = null;
		createInterface({ input: child.stdout }).on("line", (line) => {
			sum = /^([0-9]+) passed, ([0-9]+) failed$/.exec(line) ?? (say(line), sum);
		});
		child.on("close", (code) => done(sum === null ? [0, 1] : [Number(sum[1]), Number(sum[2]) + (code !== 0 && sum[2] === "0")]));
	});
}

if (chosen.length === 1) {
	await parts[chosen[0]]();
} else {
	say(`  note   ORACLE_SEED=${options.seed} ORACLE_SCALE=${options.scale}`);
	for (const [p, f] of await Promise.all((chosen.length > 0 ? chosen : Object.keys(parts)).map(apart))) {
		passed += p;
		failed += f;
	}
}
say(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
