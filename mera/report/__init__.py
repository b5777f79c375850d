"""The comparison report: a pure function of prediction folders."""

from mera.report.terminal import print_comparison
from mera.report.write import write_report

__all__ = ["print_comparison", "write_report"]
