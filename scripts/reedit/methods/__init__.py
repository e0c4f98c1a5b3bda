"""What a run is asked to do, as data: algorithms, their hyperparameters, when it stops; no torch."""
