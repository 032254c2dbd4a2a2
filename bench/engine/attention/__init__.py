"""Attention: what happens between queries, keys and values, for all runs at once."""
