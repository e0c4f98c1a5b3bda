"""What passes between the jobs: Parquet, tensors and folders, written whole and checked."""
