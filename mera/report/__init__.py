"""The comparison report: a pure function of prediction folders."""

from mera.report.page.terminal import print_comparison
from mera.report.page.write import write_report

__all__ = ["print_comparison", "write_report"]
