"""What outside checks are worth: thresholds, the sequential test, plans in closed form, scheduled runs, and
the search for the cheapest.
"""
