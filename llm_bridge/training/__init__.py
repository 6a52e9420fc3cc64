"""Training as the measuring instrument: a run's settings, TRL's trainer, the reward function, evaluation and
the monitor.
"""
