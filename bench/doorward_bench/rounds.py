"""What every benchmark here does: alternate the targets, keep the medians, say what machine it was, write it down."""

import os
import platform
import subprocess
import time
from pathlib import Path

from . import measure, report

BENCH = Path(__file__).resolve().parent.parent


class Rounds:
    """The results so far."""

    def __init__(self, sheet, of_rounds=measure.median_of):
        self.sheet, self.of_rounds, self.cells, self.failures = sheet, of_rounds, {}, []

    def cell(self, name, targets, rounds, once, before=lambda: None, faults=()):
        """Alternates the targets, each round beginning with another one, and keeps what comes of the rounds (the medians)."""
        taken = {t.name: [] for t in targets}
        for n in range(rounds):
            for target in targets[n % len(targets) :] + targets[: n % len(targets)]:
                before()
                try:
                    taken[target.name].append(once(target))
                except (RuntimeError, OSError, subprocess.SubprocessError, *faults) as e:
                    self.failed(name, target, e)
        self.keep(name, {t: self.of_rounds(r) for t, r in taken.items() if r})

    def failed(self, name, target, error):
        self.failures.append({"cell": name, "target": target.name, "error": str(error)})

    def keep(self, name, by_target):
        """Takes the figures of a cell, and says them."""
        self.cells[name] = by_target
        units = self.sheet.units
        keys = [k for k in units if any(k in m for m in by_target.values()) and k != "p99_us"]
        shown = []
        for target, metrics in by_target.items():
            values = ", ".join(report.text(metrics.get(k), units[k][1]) for k in keys)
            shown.append(f"{target} {values}")
        failed = sum(f["cell"] == name for f in self.failures)
        print(f"{name} [{'; '.join(keys)}]: {' | '.join(shown)}" + (f" | {failed} FAILED" if failed else ""), flush=True)


def output(*command):
    """The first line that a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=BENCH.parent)
    return (done.stdout or done.stderr).strip().splitlines()[0] if done.stdout or done.stderr else "?"


def about(command, began, folder):
    """When, of what, and on what machine."""
    status = ["git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=no"]
    changed = subprocess.run(status, capture_output=True, cwd=BENCH.parent).stdout
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = int(open("/proc/meminfo").readline().split()[1]) >> 20
    return {
        "when": began.strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "commit": output("git", "rev-parse", "--short", "HEAD") + (" with changes" if changed else ""),
        "machine": f"{os.cpu_count()} × {model}, {memory} GiB, Linux {platform.release()}",
        "load average before": load_average(),
        "fdatasync of 400 bytes": f"{measure.fdatasync_us(folder):.0f} µs (median)",
    }


def load_average():
    return " ".join(f"{x:.1f}" for x in os.getloadavg())


def write(results, shown, kind=""):
    """Into bench/results, as JSON and Markdown, and to standard output."""
    folder = BENCH / "results"
    folder.mkdir(exist_ok=True)
    stem = folder / (kind + time.strftime("%Y%m%dT%H%M%S"))
    stem.with_suffix(".json").write_text(report.as_json(results))
    stem.with_suffix(".md").write_text(shown)
    print("\n" + shown)
    print(f"written: {stem.relative_to(BENCH.parent)}.json and .md")
