// engine.mjs - our engine as a process: build/decide, of tests/tools/decide.c.
// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const BINARY = process.env.DECIDE ?? "build/decide";
const FOLDER = process.env.ORACLE ?? "build/oracle";
let files = 0;

// What it answers to each line: {verdict, unknown, sid, linear} or {error}. Files on both sides, so that it runs
// beside us and neither waits for a pipe.
export async function decide(cases) {
	const lines = [];
	for (const { vocabulary, policy, request } of cases) {
		// neighbours with one policy share its loading
		if (lines.length > 0 && lines[lines.length - 1].policy === policy)
			lines[lines.length - 1].request.push(request);
		else
			lines.push({ vocabulary, policy, request: [request] });
	}
	const base = join(FOLDER, `lines.${process.pid}.${files++}`);
	writeFileSync(base, lines.map((l) => JSON.stringify(l) + "\n").join(""));
	const fds = [openSync(base, "r"), openSync(base + ".out", "w")];
	const child = spawn(BINARY, [], { stdio: [fds[0], fds[1], "inherit"] });
	const [code, signal] = await new Promise((done, fail) => {
		child.on("error", fail);
		child.on("close", (...how) => done(how));
	});
	fds.forEach((fd) => closeSync(fd));
	const out = readFileSync(base + ".out", "utf8").split("\n");
	if (code !== 0)
		throw new Error(`${BINARY} ended with ${code ?? signal} after ${out.length} of ${cases.length} cases: ${base} is kept`);
	out.pop();
	rmSync(base);
	rmSync(base + ".out");
	return out.map((line) => {
		const [verdict, unknown, sid, linear] = line.split("\t");
		return verdict === "error" ? { error: unknown } : { verdict, unknown: unknown === "unknown", sid, linear };
	});
}
