"""Theorems you can run: each is one file with its statement, assumptions, derivation, and a check on any
population.
"""

from sharpening.theorems.base import Assumption, Case, Theorem, Verdict, VerdictStatus
from sharpening.theorems.claims import Claim, Witness
from sharpening.theorems.random_checks import TheoremReport, check_theorems, random_population
from sharpening.theorems.registry import get_theorem, list_theorems, register_theorem

__all__ = [
    "Assumption",
    "Case",
    "Claim",
    "Theorem",
    "TheoremReport",
    "Verdict",
    "VerdictStatus",
    "Witness",
    "check_theorems",
    "get_theorem",
    "list_theorems",
    "random_population",
    "register_theorem",
]
