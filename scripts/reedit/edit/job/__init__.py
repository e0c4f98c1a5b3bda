"""The editing jobs of a run, from their input files to their output files."""
