"""From rows to tables, declared; from these to text."""
