"""The report: tables, figures and one HTML page, ours beside what the paper reports."""
