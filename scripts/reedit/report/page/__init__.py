"""reports/explore.html."""
