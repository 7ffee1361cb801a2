"""What the MySQL benchmark measures of whom, and its aims."""

from .report import Sheet, judged, text

DIRECT, HAPROXY, STRICT, EASY = "direct", "haproxy", "doorward", "doorward-be"
SHEET = Sheet(
    titles={DIRECT: "direct", HAPROXY: "HAProxy", STRICT: "Doorward", EASY: "Doorward, best-effort audit"},
    units={
        "tps": ("transactions/s", 0),
        "p50_us": ("p50 latency, µs", 0),
        "p99_us": ("p99 latency, µs", 0),
        "cpu_us": ("proxy CPU per transaction, µs", 1),
        "rows_per_s": ("rows/s", 0),
        "wall_p50_ms": ("p50 of a result of 10,000 rows, ms", 1),
        "wall_p99_ms": ("p99 of a result of 10,000 rows, ms", 1),
        "cpu_us_per_row": ("proxy CPU per row, µs", 2),
        "kib_per_session": ("KiB per idle session", 1),
        "idle_cpu_percent": ("CPU while idle, % of a core", 1),
    },
    higher={"tps", "rows_per_s"},
    ours=STRICT,
    bases=(DIRECT, HAPROXY),
)
WIDE = {
    "wide rows": "wide",
    "wide rows, two columns masked": "wide_tagged",
    "wide rows, two values found in each": "wide_found",
}


def aims(results):
    """Each aim of the product, the figure, and whether it was met, for strict and best-effort audit."""
    cells = results["cells"]

    def of(cell, target, metric):
        return cells.get(cell, {}).get(target, {}).get(metric)

    def combined(cell, base, metric, how):
        def figure(target):
            a, b = of(cell, target, metric), of(cell, base, metric)
            return None if not a or not b else how(a, b)

        return figure

    lines = ["| aim | Doorward | | best-effort audit | |", "|---|---:|---|---:|---|"]

    def add(name, figure, bound, unit, higher=False):
        row = [name]
        for target in (STRICT, EASY):
            value = figure(target)
            row += [text(value, 2) + unit if value is not None else "–", judged(value, bound, higher)]
        lines.append("| " + " | ".join(row) + " |")

    transactions = [cell for cell, by in cells.items() if any("tps" in m for m in by.values())]
    for cell in transactions:
        if cell.startswith("oltp_point_select") and cell.endswith(" 1 thread"):
            added = combined(cell, DIRECT, "p50_us", lambda a, b: a - b)
            add(f"{cell}: p50 within 60 µs of direct", added, 60, " µs")
    for cell in transactions:
        add(f"{cell}: 0.9 of HAProxy", combined(cell, HAPROXY, "tps", lambda a, b: a / b), 0.9, " ×", higher=True)
    for cell, bound in zip(WIDE, (0.9, 0.8, 0.8)):
        against = combined(cell, DIRECT, "rows_per_s", lambda a, b: a / b)
        add(f"{cell}: {bound} of direct", against, bound, " ×", higher=True)
    add("under 64 KiB per idle session", lambda t: of("idle sessions", t, "kib_per_session"), 64, " KiB")
    return lines
