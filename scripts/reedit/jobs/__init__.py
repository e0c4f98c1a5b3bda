"""What every job has around it: its log, its progress, its GPU, its memory, the hash of its code."""
