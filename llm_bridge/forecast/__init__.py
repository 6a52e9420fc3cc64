"""What a run will do, said before it: the probe, the pilot, failure times, voices of theory, and the words
for them.
"""
