// random.mjs - numbers that are the same again for the same seed, and what is chosen by them.
// SPDX-License-Identifier: Apache-2.0

// A counter through a mixer (splitmix with 32 bits): case n of a seed needs none of the cases before it.
export class Random {
	constructor(seed, n = 0) {
		this.state = (Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul(n + 1, 0x85ebca6b)) | 0;
	}
	next() {
		this.state = (this.state + 0x6d2b79f5) | 0;
		let x = this.state;
		x = Math.imul(x ^ (x >>> 15), x | 1);
		x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
		return (x ^ (x >>> 14)) >>> 0;
	}
	below(n) {
		return this.next() % n;
	}
	chance(percent) {
		return this.below(100) < percent;
	}
	one(list) {
		return list[this.below(list.length)];
	}
	// some of them, at least `least`, each at most once
	some(list, most, least = 1) {
		const left = [...list], out = [];
		for (let n = least + this.below(most - least + 1); n > 0 && left.length > 0; n--)
			out.push(left.splice(this.below(left.length), 1)[0]);
		return out;
	}
	// one value, or an array of some
	oneOrSome(list, most = 3) {
		return this.chance(60) ? this.one(list) : this.some(list, most);
	}
}
