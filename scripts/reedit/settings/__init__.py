"""What is asked for: the configuration, checked at the door, and the experiment that it makes."""
