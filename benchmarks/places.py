"""Paths of the benchmarks."""

from __future__ import annotations

from pathlib import Path

CLONE = Path(__file__).resolve().parents[1]
FOLDER = CLONE / ".bench"  # contains data and output; kept between runs, never committed
RESULTS = CLONE / "benchmarks" / "results"
OURS = CLONE / ".venv" / "bin" / "python"
PEERS = CLONE / ".venv-bench" / "bin" / "python"  # the peers' own environment
