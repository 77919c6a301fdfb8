"""What could not be read or proved (CH6)."""
