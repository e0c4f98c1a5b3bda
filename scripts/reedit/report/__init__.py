"""rules/report.smk: from rows of results to tables, figures, the document and the page."""
