"""Numeric check of an antiderivative, as LADDER's: the derivative of the answer is compared with the
integrand at points.
"""

from llm_bridge.answers.primitives import DOMAIN, is_antiderivative, usable
from llm_bridge.tasks.base import Problem
from llm_bridge.verifiers.base import Verifier, register_verifier
from sharpening.errors import InputError

_BEFORE, _AFTER = "an antiderivative of ", " is"


@register_verifier
class AntiderivativeVerifier(Verifier):
    """1 for a formula whose derivative is the integrand on `domain`, as far as numbers can tell
    (`llm_bridge.answers.primitives`).

    The integrand is the problem's `data["integrand"]`, else the formula in a prompt "an antiderivative of
    3*x^2 is".

    How we depart from LADDER: it compares definite integrals of the answer's derivative; here derivatives are
    compared, and the growth of the answer with integrals, which no jump and no luck at a few points gets
    past.

    Raises InputError for an empty domain and, in `judge`, for a problem without an integrand that is real on
    enough of the domain.
    """

    name = "antiderivative"
    description = "the derivative of the answer is compared with the integrand at points"

    def __init__(self, domain: tuple[float, float] = DOMAIN):
        if not -1e6 <= domain[0] < domain[1] <= 1e6:
            raise InputError(
                "domain",
                domain,
                "it must be (low, high) with low < high, within 1e6 of 0",
                "Leave it out: (-3, 3)",
            )
        self.domain = domain
        self._usable: dict[str, bool] = {}

    def verdict(self, problem: Problem, answer: str) -> float:
        integrand = problem.data.get("integrand") or integrand_of(problem.question)
        if not isinstance(integrand, str) or not self._is_usable(integrand):
            raise InputError(
                "problem",
                problem.question,
                "it states no integrand that is a real formula of x",
                'Write prompts such as "an antiderivative of 3*x^2 is", or give "integrand" in the problem\'s'
                " data",
            )
        return float(is_antiderivative(answer, integrand, self.domain))

    def _is_usable(self, integrand: str) -> bool:
        if integrand not in self._usable:
            self._usable[integrand] = usable(integrand, self.domain)
        return self._usable[integrand]


def integrand_of(prompt: str) -> str | None:
    """The formula that a prompt "an antiderivative of 3*x^2 is" names; None for another prompt."""
    text = prompt.strip()
    if not (text.lower().startswith(_BEFORE) and text.endswith(_AFTER)):
        return None
    return text[len(_BEFORE) : -len(_AFTER)].strip() or None
