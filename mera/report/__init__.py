"""The comparison report: a pure function of prediction folders."""

from mera.report.write import write_report

__all__ = ["write_report"]
