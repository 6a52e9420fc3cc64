"""Simulation under a reward and an update: `run` (the front door), `flow` (continuous time), `vote_path`
(mean field of votes), their parts.
"""
