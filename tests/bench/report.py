# report.py - from the figures of all rounds: medians per row, ratios per round, and how they stand to the targets.
#
# SPDX-License-Identifier: Apache-2.0
import statistics

from measure import METRICS

# id, what, metric, figure, row, anchor row (None: the figure itself), good, goal: the less the better
TARGETS = [
    ("P1", "CPU of an authorised GET, token seen", "get", "cpu_us", "gateway", "haproxy", 1.25, 1.0),
    ("P2", "the same, every token new, RS256", "new-RS256", "cpu_us", "gateway", "haproxy-rs256", 0.75, 0.65),
    ("P3", "the same, every token new, ES256", "new-ES256", "cpu_us", "gateway", "haproxy-es256", 0.80, 0.70),
    ("P4", "P1's work against those who do the same job", "get", "cpu_us", "gateway-5k", "haproxy-gw", 0.45, 0.35),
    ("P4", "", "get", "cpu_us", "gateway", "nginx-auth", 0.5, 0.4),
    ("P5", "CPU added to the registry behind", "get", "cpu_us", "gateway", "registry", 0.05, 0.03),
    ("P6", "blob GET, CPU-s/GiB", "blob", "cpu_s_gib", "gateway", "relay", 1.08, 1.03),
    ("P6", "", "blob", "cpu_s_gib", "gateway", "haproxy", 0.95, 0.85),
    ("P6", "blob PATCH, CPU-s/GiB", "patch", "cpu_s_gib", "gateway", "relay", 1.08, 1.03),
    ("P6", "", "patch", "cpu_s_gib", "gateway", "haproxy", 0.95, 0.85),
    ("P8", "CPU of a new TLS connection with one GET", "connect", "cpu_us", "gateway", "nginx", 1.10, 0.9),
    ("P9", "KB an idle client connection", "idle", "kb", "gateway", None, 17, 14.5),
    ("P10", "MB growth, 8 blobs at once", "growth", "mb", "gateway", None, 4, 2),
    ("P10", "MB growth, 8 slow readers", "slow", "mb", "gateway", None, 4, 2),
    ("P10", "MB of files beside the audit trail", "slow", "files_mb", "gateway", None, 1, 1),
    ("P11", "latency of one connection, p50", "latency", "p50_us", "gateway", "nginx", 1.1, 1.0),
    ("P11", "latency of one connection, p99", "latency", "p99_us", "gateway", "haproxy", 1.0, 0.8),
    ("P13", "CPU of a GET, policy of 10 to 5,000 statements", "get", "cpu_us", "gateway-5k", "gateway", 1.1, 1.1),
    ("P13", "the same among many idle connections, to none", "crowd", "ratio", "gateway", None, 1.3, 1.3),
]
NOT_HERE = ("P7 (SHA-256 of a blob's stream) has its anchor here, row relay-sha, and no gateway row until a policy can ask "
            "for it; P12 (instructions) is tests/bench/icount.")


def series(rounds, metric, row, figure):
    return [r[metric, row][figure] for r in rounds if (metric, row) in r]


def number(x):
    text = f"{x:.0f}." if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.3f}"
    return text.rstrip("0").rstrip(".") if "." in text and x < 100 else text.rstrip(".")


def table(head, rows):
    widths = [max(len(r[i]) for r in [head] + rows) for i in range(len(head))]
    for r in [head, ["-" * w for w in widths]] + rows:
        print("| " + " | ".join(c.ljust(w) for c, w in zip(r, widths)) + " |")
    print()


def medians(rounds):
    for metric, (_, _, first, _) in METRICS.items():
        rows = sorted({row for r in rounds for m, row in r if m == metric},
                      key=lambda row: statistics.median(series(rounds, metric, row, first)))
        if not rows:
            continue
        figures = list(next(r[metric, rows[0]] for r in rounds if (metric, rows[0]) in r))
        lines = []
        for row in rows:
            main = series(rounds, metric, row, first)
            lines.append([row] + [number(statistics.median(series(rounds, metric, row, f))) for f in figures] +
                         [f"{number(min(main))} .. {number(max(main))}", str(len(main))])
        print(f"{metric}: medians")
        table(["row"] + figures + [first + " from .. to", "rounds"], lines)


def verdict(value, good, goal):
    return "goal" if value <= goal else "good" if value <= good else "MISSED"


def targets(rounds):
    lines, absent = [], []
    for name, what, metric, figure, row, anchor, good, goal in TARGETS:
        values = []
        for r in rounds:
            if (metric, row) in r and (anchor is None or (metric, anchor) in r):
                values.append(r[metric, row][figure] / (r[metric, anchor][figure] if anchor else 1))
        against = f"{row} / {anchor}" if anchor else row
        if not values:
            absent.append(f"{name} {metric} {against}")
            continue
        middle = statistics.median(values)
        lines.append([name, what, against, number(middle), f"{number(min(values))} .. {number(max(values))}",
                      number(good), number(goal), verdict(middle, good, goal)])
    if lines:
        print("Targets: median of the ratios of each round")
        table(["", "figure", "rows", "median", "from .. to", "good", "goal", "verdict"], lines)
    if absent:
        print("Not measured: " + "; ".join(absent) + ".")
    print(NOT_HERE)


def conditions(rounds):
    busy = [r["busy"] for r in rounds]
    loud = sum(b > 0.05 for b in busy)
    work = [r["cal"] for r in rounds]
    print(f"{len(rounds)} rounds. The machine before each round was {', '.join(f'{b:.0%}' for b in busy)} busy; a fixed "
          f"piece of work took {min(work):.0f} to {max(work):.0f} ms of CPU.")
    if loud:
        print(f"NOT TO BE PUBLISHED: in {loud} of {len(rounds)} rounds somebody else used the machine.")
    if max(work) > 1.3 * min(work):
        print("The CPU itself was uneven: trust ratios, not figures.")
    print()


def show(rounds):
    figures = [{k: v for k, v in r.items() if isinstance(k, tuple)} for r in rounds]
    print()
    medians(figures)
    conditions(rounds)
    targets(figures)
