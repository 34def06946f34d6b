"""One self-contained HTML file of a schedule: what it does, how good it is, how to use it."""

from meancache_plan.show.page.report_writing import LIMIT, check_output, report_page, write_report

__all__ = ["LIMIT", "check_output", "report_page", "write_report"]
