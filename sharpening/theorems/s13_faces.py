"""S13: an answer of mass 0 never comes back, and none of mass > 0 is lost in finitely many steps: no update
leaves the open face.
"""

from __future__ import annotations

import numpy as np

from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.finite_votes import sampled_answers
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

ROLLOUTS = 6


@register_theorem
class Faces(Theorem):
    """Every update multiplies each mass by a finite positive number: the support is invariant, so reach is
    decided before training.
    """

    name = "S13"
    title = "Impossibility: nothing comes from nothing"
    statement = (
        "Every update multiplies pi(a) by e^(step of z_a)/Z, a finite positive number: for any finite"
        " rewards, true ones included, exact or sampled, the set of possible answers never changes. So no"
        " reward can teach an answer that the policy cannot give, none forgets one for good in finite time,"
        " and pass@k as k grows keeps the share of prompts that it had."
    )
    source = "proved here; the boundary faces of the replicator equation are invariant"
    rewards = ("majority", "trajectory-entropy")
    any_reward = True

    def formula(self):
        import sympy as sp

        new, old, step, total = sp.symbols("pi__new_a pi_a dz_a Z")
        return sp.Eq(new, old * sp.exp(step) / total)

    def derivation(self):
        import sympy as sp

        pi, r = sp.symbols("pi r", positive=True)
        other, eta = sp.symbols("rho eta", positive=True)
        step = pi * sp.exp(eta * r) / (pi * sp.exp(eta * r) + other)
        masses, rewards = sp.symbols("pi_0:3", positive=True), sp.symbols("r_0:3", real=True)
        raised = [x * sp.exp(eta * y) for x, y in zip(masses, rewards, strict=True)]
        new = [one / sum(raised) for one in raised]
        moved = sp.log(new[0] / new[1]) - sp.log(masses[0] / masses[1]) - eta * (rewards[0] - rewards[1])
        return {
            "a step adds eta (r_a - r_b) to log pi_a/pi_b, a finite number, so neither mass becomes 0 (3 answers)": (
                sp.simplify(sp.expand_log(moved, force=True))
            ),
            "and is a bijection: the step of size -eta undoes it, so mass > 0 stays > 0": sp.simplify(
                step * sp.exp(-eta * r) / (step * sp.exp(-eta * r) + (1 - step)) - pi / (pi + other)
            ),
        }

    def claims(self, case: Case):
        start, h = case.population.log_probs, case.step_size
        possible = start > -np.inf
        answers = sampled_answers(start, ROLLOUTS)
        any_sign = np.random.default_rng(start.shape).standard_normal(start.shape) * 10
        updates = (
            KLProx(1 / h), KLProx(1 / h, "initial"), NaturalGradient(h), NaturalGradient(h, "group"), SoftmaxGradient(h), GRPO(h),
        )  # fmt: skip
        for update in updates:
            now = np.asarray(update.step(start, case.rewards(), start))
            yield Claim.equal(
                f"a step of {update.name} leaves the same answers possible",
                now > -np.inf,
                possible,
                absolute=0.0,
            )
            group = np.take_along_axis(any_sign, answers, axis=1)
            with np.errstate(invalid="ignore"):
                moved = start + h * np.asarray(update.group_direction(start, answers, group, start))
            yield Claim.equal(
                f"and so does a sampled one of {update.name}", np.isfinite(moved), possible, absolute=0.0
            )
