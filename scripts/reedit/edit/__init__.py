"""rules/edit.smk: OPTIMIZATION and SPREAD, iterated and neighbor-assisted."""
