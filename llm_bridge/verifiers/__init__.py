"""Verifiers: judges of answers that need no true answer; `get_verifier(name)` makes one."""

from llm_bridge.verifiers.antiderivative import AntiderivativeVerifier
from llm_bridge.verifiers.base import VERIFIERS, Verifier, get_verifier, register_verifier
from llm_bridge.verifiers.judge import Judge
from llm_bridge.verifiers.self_verification import SelfVerification
from llm_bridge.verifiers.symbolic import SymbolicVerifier
from llm_bridge.verifiers.teacher import ExhaustiveTeacher

__all__ = [
    "VERIFIERS",
    "AntiderivativeVerifier",
    "ExhaustiveTeacher",
    "Judge",
    "SelfVerification",
    "SymbolicVerifier",
    "Verifier",
    "get_verifier",
    "register_verifier",
]
