"""English: unambiguous, sortable, 24 hours."""
