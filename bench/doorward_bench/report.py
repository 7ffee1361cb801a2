"""Tables of ratios, the aims, and the Markdown to paste."""

import json
from dataclasses import dataclass

DIRECT, BOUNCER, STRICT, EASY = "direct", "pgbouncer", "doorward", "doorward-be"
TITLES = {DIRECT: "direct", BOUNCER: "PgBouncer", STRICT: "Doorward", EASY: "Doorward, best-effort audit"}
UNITS = {
    "tps": ("transactions/s", 0),
    "p50_us": ("p50 latency, µs", 0),
    "p99_us": ("p99 latency, µs", 0),
    "cpu_us": ("proxy CPU per transaction, µs", 1),
    "wall_ms": ("wall time, ms", 2),
    "cpu_ms": ("proxy CPU per connection, ms", 2),
    "rows_per_s": ("rows/s", 0),
    "cpu_us_per_row": ("proxy CPU per row, µs", 2),
    "kib_per_session": ("KiB per idle session", 1),
    "idle_cpu_percent": ("CPU while idle, % of a core", 1),
}
HIGHER_IS_BETTER = {"tps", "rows_per_s"}


@dataclass(frozen=True)
class Sheet:
    """What is measured of whom."""

    titles: dict  # of each target
    units: dict  # of each metric: title and digits
    higher: set  # metrics of which more is better
    ours: str  # the target that is judged
    bases: tuple  # the targets that it is compared with


POSTGRES = Sheet(TITLES, UNITS, HIGHER_IS_BETTER, STRICT, (DIRECT, BOUNCER))


def text(value, digits):
    return "–" if value is None else f"{value:,.{digits}f}"


def ratio(a, b):
    return "–" if not a or not b else f"{a / b:.2f}"


def as_json(results):
    return json.dumps(results, indent=1, ensure_ascii=False)


def rows_of(results, metric):
    """(cell, figures of each target) of every cell that has the metric."""
    for cell, by_target in results["cells"].items():
        figures = {t: m.get(metric) for t, m in by_target.items()}
        if any(v is not None for v in figures.values()):
            yield cell, figures


def tables(results, sheet):
    """One Markdown table for each metric."""
    targets = [t for t in sheet.titles if t in results["targets"]]
    out = []
    for metric, (title, digits) in sheet.units.items():
        lines = []
        for cell, figures in rows_of(results, metric):
            ours = figures.get(sheet.ours)
            row = [cell, *(text(figures.get(t), digits) for t in targets)]
            row += [ratio(ours, figures.get(base)) for base in sheet.bases]
            lines.append("| " + " | ".join(row) + " |")
        if lines:
            against = [f"{sheet.titles[sheet.ours]} : {sheet.titles[base]}" for base in sheet.bases]
            head = ["", *(sheet.titles[t] for t in targets), *against]
            better = "higher" if metric in sheet.higher else "lower"
            out += [f"**{title[0].upper() + title[1:]}** ({better} is better)", ""]
            out += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1), *lines, ""]
    return out


def judged(value, bound, higher):
    if value is None or bound is None:
        return "not measured"
    return "met" if (value >= bound if higher else value <= bound) else "not met"


def aims(results):
    """Each aim of the product, the figure, and whether it was met, for strict and best-effort audit."""
    cells = results["cells"]

    def of(cell, target, metric):
        return cells.get(cell, {}).get(target, {}).get(metric)

    lines = ["| aim | Doorward | | best-effort audit | |", "|---|---:|---|---:|---|"]

    def add(name, figure, bound, unit, higher=False):
        row = [name]
        for target in (STRICT, EASY):
            value = figure(target)
            row += [text(value, 2) + unit if value is not None else "–", judged(value, bound, higher)]
        lines.append("| " + " | ".join(row) + " |")

    point, single = "select-only prepared, 8 clients", "select-only prepared, 1 client"
    bouncer = of(point, BOUNCER, "cpu_us")
    add("CPU per transaction at most 40 µs (prepared select-only, 8 clients)", lambda t: of(point, t, "cpu_us"), 40, " µs")
    add(f"less CPU per transaction than PgBouncer ({text(bouncer, 1)} µs)", lambda t: of(point, t, "cpu_us"), bouncer, " µs")

    def over(cell, base, metric):
        def figure(target):
            a, b = of(cell, target, metric), of(cell, base, metric)
            return None if not a or not b else a / b

        return figure

    add("PgBouncer's throughput (prepared select-only, 8 clients)", over(point, BOUNCER, "tps"), 1.0, " ×", higher=True)

    def added(target):
        a, b = of(single, target, "p50_us"), of(single, DIRECT, "p50_us")
        return None if a is None or b is None else a - b

    add("p50 within 60 µs of direct (prepared select-only, 1 client)", added, 60, " µs")
    add("a million wide rows at 0.9 of direct", over("wide rows", DIRECT, "rows_per_s"), 0.9, " ×", higher=True)
    add("… 0.8 with two masked columns", over("wide rows, two columns masked", DIRECT, "rows_per_s"), 0.8, " ×", higher=True)
    add("COPY out at 0.9 of direct", over("COPY out", DIRECT, "rows_per_s"), 0.9, " ×", higher=True)
    add("… 0.8 with two masked columns", over("COPY out, two columns masked", DIRECT, "rows_per_s"), 0.8, " ×", higher=True)
    add("under 64 KiB per idle session", lambda t: of("idle sessions", t, "kib_per_session"), 64, " KiB")
    add("set-up under 1.5 ms of CPU", lambda t: of("connect, 1 client", t, "cpu_ms"), 1.5, " ms")
    return lines


def markdown(results, sheet=POSTGRES, aims=aims):
    """Everything, to paste into docs/performance.md."""
    about = results["about"]
    lines = [f"Measured {about['when']} at commit `{about['commit']}` by `{about['command']}`.", ""]
    lines += [f"- {name}: {about[name]}" for name in sorted(about) if name not in ("when", "commit", "command")]
    failures = results["failures"]
    if failures:
        lines += ["", f"**{len(failures)} rounds failed** and are left out:", ""]
        lines += [f"- {f['cell']}, {sheet.titles[f['target']]}: {last_line(f['error'])[:300]}" for f in failures[:20]]
    lines += ["", *tables(results, sheet)]
    if sheet.ours in results["targets"] or any(t.startswith("doorward") for t in results["targets"]):
        lines += ["**The aims**", "", *aims(results), ""]
    return "\n".join(lines)


def last_line(text):
    return (text.strip().splitlines() or ["?"])[-1]
