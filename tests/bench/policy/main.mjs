// main.mjs - the policy engine at several sizes, and others beside it, in interleaved rounds; medians as tables.
//
// BENCH_ROUNDS=7   rounds    BENCH_SECONDS=0.3   for each figure of a round
// Timings are reported, never asserted: the exit status says whether every engine answered right.
// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 7), SECONDS = process.env.BENCH_SECONDS ?? "0.3";
const TOOL = process.env.BENCH_POLICY ?? "build/bench_policy", PEER = fileURLToPath(new URL("peer.mjs", import.meta.url));
const SIZES = [10, 100, 1000, 10000, 100000], KINDS = ["indexable", "patterns", "regexes", "mixed"];
const PEERS = ["casbin", "cedar", "iam-simulate"], PEER_SIZES = [10, 1000, 10000];

const plan = [
	...KINDS.flatMap((kind) => SIZES.map((n) => [TOOL, kind, String(n), SECONDS])),
	...PEERS.flatMap((peer) => PEER_SIZES.map((n) => [process.execPath, "--no-turbo-inline-js-wasm-calls", PEER, peer, String(n), SECONDS])),
];
const found = new Map();
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const key = (engine, kind, n) => `${engine} ${kind} ${n}`;
const value = (engine, kind, n, figure) => median(found.get(key(engine, kind, n)).map((f) => f[figure]));
const number = (x) => (x >= 100 ? Math.round(x).toLocaleString("en") : x >= 10 ? x.toFixed(1) : x.toFixed(2));

for (let round = 0; round < ROUNDS; round++) {
	process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
	// another one begins in each round
	for (let i = 0; i < plan.length; i++) {
		const [program, ...args] = plan[(i + round * 5) % plan.length];
		const f = JSON.parse(execFileSync(program, args, { encoding: "utf8" })), at = key(f.engine, f.kind, f.n);
		found.set(at, [...(found.get(at) ?? []), f]);
	}
}

function table(head, rows) {
	const all = [head, head.map(() => "---"), ...rows];
	const widths = head.map((_, i) => Math.max(...all.map((r) => r[i].length)));
	for (const r of all)
		console.log("| " + r.map((c, i) => (i === 0 ? c.padEnd(widths[i]) : c.padStart(widths[i]))).join(" | ") + " |");
	console.log();
}

console.log(`medians of ${ROUNDS} rounds; load ${loadavg()[0].toFixed(1)}; a rate is evaluations a second of CPU, p50 and p99 are us by the wall\n`);
table(["tidewaiter", "statements", "rate", "p50", "p99", "rate, record", "p50", "p99", "load, ms", "bytes a statement", "mallocs"], KINDS.flatMap((kind) => SIZES.map((n) =>
	[kind, n.toLocaleString("en"), ...["rate", "p50", "p99", "record_rate", "record_p50", "record_p99", "load_ms", "bytes", "mallocs"].map((f) => number(value("tidewaiter", kind, n, f)))])));
table(["beside others (indexable)", "statements", "rate", "p50", "p99", "load, ms", "us of CPU", "times ours", "times ours with record"],
	["tidewaiter", ...PEERS].flatMap((engine) => PEER_SIZES.map((n) => {
		const rate = value(engine, "indexable", n, "rate");
		return [engine, n.toLocaleString("en"), ...["rate", "p50", "p99", "load_ms"].map((f) => number(value(engine, "indexable", n, f))), number(1e6 / rate),
			number(value("tidewaiter", "indexable", n, "rate") / rate), number(value("tidewaiter", "indexable", n, "record_rate") / rate)];
	})));
const at = (kind, n, f) => value("tidewaiter", kind, n, f);
table(["target", "goal", "figure", ""], [
	["p50 at 10,000, 1 % by pattern, with record, us", 2, at("patterns", 10000, "record_p50")],
	["p99 of it, us", 10, at("patterns", 10000, "record_p99")],
	["10,000 to 10 statements, with record", 2, at("indexable", 10, "record_rate") / at("indexable", 10000, "record_rate")],
	["10,000 to 10 statements, without", 2, at("indexable", 10, "rate") / at("indexable", 10000, "rate")],
	["100 regular expressions add, us", 10, at("regexes", 10000, "p50") - at("indexable", 10000, "p50")],
	["load 10,000, ms", 300, at("indexable", 10000, "load_ms")],
	["bytes a statement at 10,000", 2048, at("mixed", 10000, "bytes")],
	["allocations", 0, Math.max(...KINDS.flatMap((k) => SIZES.map((n) => at(k, n, "mallocs"))))],
].map(([name, goal, figure]) => [name, number(goal), number(figure), figure <= goal ? "met" : "missed"]));
