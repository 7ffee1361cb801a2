"""What the SSH benchmark measures of whom, and its aims."""

from .report import Sheet, judged, text
from .ssh_parts import CLEAR, DIRECT, JUMP, OURS

SHEET = Sheet(
    titles={DIRECT: "direct", JUMP: "ProxyJump", OURS: "Doorward", CLEAR: "Doorward, nothing hidden"},
    units={
        "connections_per_s": ("connections/s", 1),
        "cpu_ms": ("proxy CPU per connection, ms", 1),
        "p50_us": ("keystroke round trip p50, µs", 0),
        "p99_us": ("keystroke round trip p99, µs", 0),
        "mb_per_s": ("MB/s", 0),
        "cpu_s_per_gib": ("proxy CPU per GiB, s", 2),
        "mb_per_cpu_s": ("MB per second of proxy CPU", 0),
        "changed_bytes": ("bytes fewer than in the file", 0),
        "kib_per_session": ("KiB per idle session", 1),
        "idle_cpu_percent": ("CPU while idle, % of a core", 1),
    },
    higher={"connections_per_s", "mb_per_s", "mb_per_cpu_s"},
    ours=OURS,
    bases=(DIRECT, JUMP),
)
AT_ONCE, APART = "keystroke, the next at the echo", "keystroke, 20 ms apart"
CAT_TEXT, CAT_BINARY, CAT_FOUND = "cat, text", "cat, binary", "cat, text with values to mask"
COPIES = {
    "scp down, text": ("scp down", "text"),
    "scp down, binary": ("scp down", "binary"),
    "scp up, binary": ("scp up", "binary"),
    "scp -O down, binary": ("scp -O down", "binary"),
    "scp -O up, binary": ("scp -O up", "binary"),
    "sftp down, binary": ("sftp down", "binary"),
    "sftp up, binary": ("sftp up", "binary"),
}


def aims(results):
    """Each aim of the product, the figure, and whether it was met."""
    cells = results["cells"]

    def of(cell, target, metric):
        return cells.get(cell, {}).get(target, {}).get(metric)

    def combined(a, b, how):
        return None if not a or not b else how(a, b)

    lines = ["| aim | Doorward | | nothing hidden | |", "|---|---:|---|---:|---|"]

    def add(name, figure, bound, unit, higher=False):
        row = [name]
        for target in (OURS, CLEAR):
            value = figure(target)
            verdict = judged(value, bound, higher) if bound else ""
            row += [text(value, 2) + unit if value is not None else "–", verdict]
        lines.append("| " + " | ".join(row) + " |")

    for cell in (AT_ONCE, APART):
        for metric, bound in (("p50_us", None), ("p99_us", 1.0)):

            def added(target):
                return combined(of(cell, target, metric), of(cell, DIRECT, metric), lambda a, b: (a - b) / 1e3)

            aim = f"{cell}: {metric[:3]} less than 1 ms above direct" if bound else f"{cell}: {metric[:3]} above direct"
            add(aim, added, bound, " ms")
    for cell in (CAT_TEXT, CAT_BINARY, *COPIES):

        def against_jump(target):
            return combined(of(cell, target, "mb_per_s"), of(cell, JUMP, "mb_per_s"), lambda a, b: a / b)

        add(f"{cell}: 0.8 of ProxyJump", against_jump, 0.8, " ×", higher=True)
    for cell in (CAT_TEXT, CAT_FOUND):
        add(f"{cell}: 200 MB for a second of CPU, all in", lambda t: of(cell, t, "mb_per_cpu_s"), 200, " MB", higher=True)
        add(f"{cell}: … for a second of CPU of the masking alone", lambda t: masking(of, cell, t), 200, " MB", higher=True)
    return lines


def masking(of, cell, target):
    """MB for each second of CPU that is spent more than where nothing is hidden."""
    with_it, without = of(cell, target, "cpu_s_per_gib"), of(cell, CLEAR, "cpu_s_per_gib")
    if target == CLEAR or not with_it or not without or with_it <= without:
        return None
    return (1 << 30) / 1e6 / (with_it - without)
