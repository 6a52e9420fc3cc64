"""Completions: sampled here or asked of a server, scored token by token, and what they cost."""
