"""What a token was worth in dollars: quotes from outside sources, each with its source and time, and what they price.

A price that is not known is None with a reason, never 0, and nothing that pays anybody waits for one.
"""
