"""What a node says, and why it may be believed: connections, failover, checked answers, proofs, recordings."""
