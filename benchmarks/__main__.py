"""``make bench``: runs the benchmarks and writes their results as tables, JSON and charts.

python -m benchmarks [--quick] [PART ...]
"""

from __future__ import annotations

import sys

from benchmarks.end_to_end import measure_end_to_end
from benchmarks.extract import measure_extract
from benchmarks.freshness import measure_freshness
from benchmarks.latency import measure_latency
from benchmarks.places import FOLDER
from benchmarks.render import measure_render
from benchmarks.scale import measure_scale
from benchmarks.stored import measure_stored
from benchmarks.tracking import measure_tracking

PARTS = {
    "render": measure_render,
    "extract": measure_extract,
    "end_to_end": measure_end_to_end,
    "scale": measure_scale,
    "stored": measure_stored,
    "tracking": measure_tracking,
    "latency": measure_latency,
    "freshness": measure_freshness,
}


def main(arguments: list[str]) -> None:
    """Runs the given parts, or all parts by default."""
    named = [argument for argument in arguments if argument != "--quick"]
    if unknown := set(named) - set(PARTS):
        sys.exit(f"benchmarks: unknown part: {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    FOLDER.mkdir(exist_ok=True)
    for name in named or PARTS:
        PARTS[name](quick="--quick" in arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
