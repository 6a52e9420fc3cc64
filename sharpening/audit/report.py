"""What an audit found, as a table and as plain data."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass

WIDTH = 150


@dataclass(frozen=True)
class Finding:
    """One property: whether it holds in every case tried; `evidence`: the smallest counterexample and what
    goes wrong there.

    `holds` is None if no case said anything about it, and `evidence` then says why. `example`: the numbers of
    the counterexample (weights: pi is proportional to them; correct; clusters; reference), None where the
    property holds. For "sensitive to ..." and "fixes on a token pattern", which are about the existence of a
    case, the example shows that it holds.
    """

    name: str
    meaning: str
    holds: bool | None
    tried: int
    evidence: str
    example: dict | None = None


@dataclass(frozen=True)
class RewardAudit:
    """What was found of one reward. Printing it gives a table; `audit["comonotone"]` one finding; `as_dict()`
    plain data for JSON.
    """

    reward: str
    cases: int
    seed: int
    findings: tuple[Finding, ...]

    def __getitem__(self, name: str) -> Finding:
        return next(finding for finding in self.findings if finding.name == name)

    def holds(self, name: str) -> bool | None:
        """Whether a property holds; None if nothing was said about it. Raises: KeyError listing the names."""
        known = {finding.name: finding.holds for finding in self.findings}
        if name not in known:
            raise KeyError(f"{name!r}; known properties are {', '.join(known)}")
        return known[name]

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return {
            "reward": self.reward,
            "cases": self.cases,
            "seed": self.seed,
            "findings": [asdict(finding) for finding in self.findings],
        }

    def __str__(self) -> str:
        said = {True: "yes", False: "no", None: "-"}
        names = max(len(finding.name) for finding in self.findings)
        head = f"audit of {self.reward}: {self.cases} random cases, seed {self.seed}"
        rows = [("property", "holds", "smallest counterexample, or cases tried")]
        rows += [(f.name, said[f.holds], f.evidence or f"{f.tried} cases") for f in self.findings]
        margin = names + 9
        lines = [head]
        for name, holds, text in rows:
            wrapped = textwrap.wrap(text, WIDTH - margin) or [""]
            lines.append(f"{name:<{names}}  {holds:<5}  {wrapped[0]}")
            lines += [" " * margin + more for more in wrapped[1:]]
        return "\n".join(lines)
