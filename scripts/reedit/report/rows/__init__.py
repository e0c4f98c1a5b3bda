"""From results to rows of tables and figures; no text."""
