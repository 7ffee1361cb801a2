"""What the Kubernetes benchmark measures of whom. There are no aims: what it costs is to be seen."""

from .kube_parts import CLEAR, DIRECT, OURS, PROXY
from .report import Sheet, text

SHEET = Sheet(
    titles={DIRECT: "direct", PROXY: "kubectl proxy", OURS: "Doorward", CLEAR: "Doorward, nothing hidden"},
    units={
        "requests_per_s": ("requests/s", 0),
        "p50_us": ("latency p50, µs", 0),
        "p99_us": ("latency p99, µs", 0),
        "cpu_us": ("proxy CPU per request, µs", 0),
        "wall_ms": ("wall time, ms", 1),
        "cpu_ms": ("proxy CPU, ms", 1),
        "mb_per_s": ("MB/s", 0),
        "cpu_s_per_gib": ("proxy CPU per GiB, s", 2),
        "kib_per_watch": ("KiB per watch", 1),
    },
    higher={"requests_per_s", "mb_per_s"},
    ours=OURS,
    bases=(DIRECT, PROXY),
)


def added(results):
    """What Doorward adds to a request, beside the tables."""
    lines = ["| p50 above direct | Doorward | nothing hidden |", "|---|---:|---:|"]
    for cell, by_target in results["cells"].items():
        base = by_target.get(DIRECT, {}).get("p50_us")
        figures = [by_target.get(t, {}).get("p50_us") for t in (OURS, CLEAR)]
        if base and any(figures):
            lines.append(f"| {cell} | " + " | ".join(text(f and (f - base) / 1e3, 2) + " ms" for f in figures) + " |")
    return lines
