"""How long what is read may be."""

MAX_LABEL = 1_000
"""Longest label in characters; a longer answer is no answer, so that no text can make voting slow."""
