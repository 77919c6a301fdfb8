"""What changed stake, with an event or without, and whose it was."""
