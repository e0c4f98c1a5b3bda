"""The published code as another way to take a step: a checkout of EasyEdit."""
