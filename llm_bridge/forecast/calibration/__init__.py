"""From a probe to a calibrated step: features, failure times, and the coefficients fitted on the ground
truth.
"""
