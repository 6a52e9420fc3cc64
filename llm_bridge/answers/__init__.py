"""Everything that reads or compares untrusted text: numbers, formulas, extraction, equivalence, and the
guarded process.
"""
