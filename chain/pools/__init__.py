"""Share pools as the chain computes with them: shares, who holds them, and what alpha costs."""
