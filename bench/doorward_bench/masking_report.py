"""What bench/run-masking measures in which ways, and its aims."""

from .report import Sheet, judged, text

DIRECT, CLEAR, HIDDEN, VIEW = "direct", "clear", "hidden", "view"
SHEET = Sheet(
    titles={DIRECT: "direct", CLEAR: "sees all", HIDDEN: "masked", VIEW: "a view that masks"},
    units={
        "p50_us": ("p50 latency, µs", 0),
        "least_us": ("least latency, µs", 0),
        "cpu_us": ("proxy CPU per statement, µs", 1),
        "rows_per_s": ("rows/s", 0),
        "mb_per_s": ("MB/s", 0),
        "cpu_us_per_row": ("proxy CPU per row, µs", 2),
    },
    higher={"rows_per_s", "mb_per_s"},
    ours=HIDDEN,
    bases=(CLEAR, VIEW),
)


def aims(results):
    """Each aim of the product, the figure, and whether it was met."""
    cells = results["cells"]

    def of(cell, way, metric):
        return cells.get(cell, {}).get(way, {}).get(metric)

    lines = ["| aim | figure | |", "|---|---:|---|"]
    for cell, by in cells.items():
        if "cpu_us" in by.get(HIDDEN, {}) and "new texts" not in cell and of(cell, CLEAR, "cpu_us"):
            added = of(cell, HIDDEN, "cpu_us") - of(cell, CLEAR, "cpu_us")
            lines.append(f"| {cell}: under 20 µs of CPU more than who sees all | {text(added, 1)} µs | {judged(added, 20, False)} |")
    for cell, by in cells.items():
        if "rows_per_s" in by.get(HIDDEN, {}) and of(cell, CLEAR, "rows_per_s"):
            kept = of(cell, HIDDEN, "rows_per_s") / of(cell, CLEAR, "rows_per_s")
            lines.append(f"| {cell}: 0.95 of the rows/s of who sees all | {text(kept, 2)} × | {judged(kept, 0.95, True)} |")
    return lines
