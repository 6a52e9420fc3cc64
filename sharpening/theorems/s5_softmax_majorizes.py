"""S5: one comonotone softmax-gradient or GRPO step of any size majorizes the policy too; the proof is
SoftmaxGradient's docstring.
"""

from __future__ import annotations

from sharpening.theorems.assumptions import COMONOTONE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.s4_majorization import majorization_claims
from sharpening.updates import GRPO, SoftmaxGradient


@register_theorem
class SoftmaxMajorizes(Theorem):
    """Delta z_a = eta pi_a (r_a - mean r) with comonotone r majorizes, although it need not keep the order of
    losers.
    """

    name = "S5"
    title = "Softmax gradient majorizes"
    statement = (
        "If the reward is a nondecreasing function of pi(a), one softmax-gradient step Delta z_a = eta pi_a"
        " (r_a - mean r), or one GRPO step, of any size gives a policy that majorizes pi; the mode's mass"
        " never falls."
    )
    source = "proved here, in sharpening.updates.SoftmaxGradient"
    assumptions = (COMONOTONE,)
    rewards = ("majority", "trajectory-entropy")
    any_reward = True

    def formula(self):
        import sympy as sp

        change, eta, pi, r, mean = sp.symbols("dz_a eta pi_a r_a rbar")
        return sp.Eq(change, eta * pi * (r - mean))

    def derivation(self):
        import sympy as sp

        pi, r = sp.symbols("pi_0:4", positive=True), sp.symbols("r_0:4", real=True)
        p, crossing, advantage = sp.symbols("pi pi^* A", real=True)
        mean = sum(x * y for x, y in zip(pi, r, strict=True))
        factor, change = sp.symbols("w_0:4", positive=True), sp.Symbol("Delta", real=True)
        inside, outside = pi[0] + pi[1], pi[2] + pi[3]
        new = pi[0] * factor[0] + pi[1] * factor[1], pi[2] * factor[2] + pi[3] * factor[3]
        total = sum(x * (y - mean) for x, y in zip(pi, r, strict=True))
        return {
            "term by term pi^2 A - pi* pi A = pi A (pi - pi*), which is >= 0 when A changes sign at pi*": (
                p**2 * advantage - crossing * p * advantage - p * advantage * (p - crossing)
            ),
            "the odds of a top set S grow by its pi-mean of w = e^Delta over the rest's (4 answers, 2 in S)": (
                (new[0] / new[1]) / (inside / outside) - (new[0] / inside) / (new[1] / outside)
            ),
            "which is >= 1 + its mean Delta by Jensen: e^Delta - 1 - Delta is 0 at 0 with slope e^Delta - 1": (
                sp.diff(sp.exp(change) - 1 - change, change) - (sp.exp(change) - 1)
            ),
            "the advantages average to 0, so a top set's sum of pi A is >= 0 (4 answers)": sp.expand(
                total.subs(pi[3], 1 - pi[0] - pi[1] - pi[2])
            ),
        }

    def claims(self, case: Case):
        return majorization_claims(
            case, {"SoftmaxGradient": SoftmaxGradient(case.step_size), "GRPO": GRPO(case.step_size)}
        )
