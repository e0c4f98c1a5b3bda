"""Rows of norms as a summary has them."""

from reedit.report.rows.norms import SETTLED


def norm_row(method="memit", k=1, model="tiny", dataset="facts", **values):
    """One row of schema "norm_summary"."""
    usual = {
        "model": model,
        "dataset": dataset,
        "method": method,
        "algorithm": "memit",
        "protocol": "corrected",
    }
    usual |= {"edits": 8, "trials": 1, "k": k, "k_min": k}
    usual |= {"update_norm": 11.25, "growth": 1.0034, "condition": 22.756}
    usual |= {
        "condition_growth": 0.98,
        "residual_before": 0.655,
        "residual_after": 0.0288,
        "reading": SETTLED,
    }
    return usual | values
