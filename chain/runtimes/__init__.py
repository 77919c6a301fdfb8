"""The runtimes of the chain: which era's rules hold, how their bytes are decoded, and how an unknown one is let in."""
