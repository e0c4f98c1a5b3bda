"""make rehearse: an experiment on stand-ins for its models, before the hours are spent."""
