"""A call of the workflow as a person watches it: one view of what runs, the rest in a log."""
