"""TPC-H's first query, the "pricing summary report", as a report that has only summaries, and the published answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quire.report.definition import ReportDefinition

from tests.events import write_report

FIRST_DAY, LAST_DAY = "1992-01-01", "1998-09-02"  # all rows up to 90 days before December 1, 1998
SQL = """\
SELECT l_returnflag, l_linestatus, l_quantity, l_extendedprice, l_discount, l_tax, l_shipdate
FROM lineitem
WHERE l_shipdate >= %(start)s AND l_shipdate < %(end)s
"""
DISCOUNTED = "l_extendedprice * (1 - l_discount)"
MEASURES: dict[str, dict[str, Any]] = {
    "sum_qty": {"agg": "sum", "of": "l_quantity"},
    "sum_base_price": {"agg": "sum", "of": "l_extendedprice"},
    "sum_disc_price": {"agg": "sum", "of": DISCOUNTED},
    "sum_charge": {"agg": "sum", "of": f"{DISCOUNTED} * (1 + l_tax)"},
    "avg_qty": {"agg": "mean", "of": "l_quantity"},
    "avg_price": {"agg": "mean", "of": "l_extendedprice"},
    "avg_disc": {"agg": "mean", "of": "l_discount"},
    "count_order": {"agg": "count"},
}
# TPC-H's query from section 2.4.1.3, which PostgreSQL executes for comparison.
ANSWER = """
SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice), sum(l_extendedprice * (1 - l_discount)),
       sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)), avg(l_quantity), avg(l_extendedprice), avg(l_discount),
       count(*)
FROM lineitem WHERE l_shipdate <= date '1998-12-01' - interval '90' day
GROUP BY 1, 2 ORDER BY 1, 2
"""
# TPC-H's validation output for scale factor 1; the averages are rounded to two digits.
PUBLISHED = """
A F 37734107.00 56586554400.73 53758257134.8700 55909065222.827692 25.52 38273.13 0.05 1478493
N F   991417.00  1487504710.38  1413082168.0541  1469649223.194375 25.52 38284.47 0.05   38854
N O 74476040.00 111701729697.74 106118230307.6056 110367043872.497010 25.50 38249.12 0.05 2920374
R F 37719753.00 56568041380.90 53741292684.6040 55889619119.831932 25.51 38250.85 0.05 1478870
"""


def pricing_summary(include: Path, *, partition: str = "year") -> ReportDefinition:
    """Writes the definition in ``include``, and returns it."""
    definition = {
        "title": "Pricing summary",
        "source": {"sql": "pricing/extract.sql", "time_column": "l_shipdate"},
        "partition": partition,
        "summaries": [{"name": "Pricing", "by": ["l_returnflag", "l_linestatus"], "measures": MEASURES}],
        "workbook": {"detail": False},
    }
    return write_report(include, "pricing", definition, SQL)
