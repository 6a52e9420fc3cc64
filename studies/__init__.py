"""Studies: measured runs whose small results are committed. Each resumes where it stopped, run by run."""

from studies.blind import BLIND, SECOND
from studies.capitals import CAPITALS
from studies.exact import EXACT
from studies.ground_truth import GROUND_TRUTH
from studies.monitored import MONITORED
from studies.paper import PAPER
from studies.rewards import ALL_REWARDS
from studies.study import Run, Study
from studies.tiny import TINY

STUDIES = {
    study.name: study
    for study in (TINY, CAPITALS, ALL_REWARDS, EXACT, GROUND_TRUTH, BLIND, SECOND, MONITORED)
} | PAPER

__all__ = ["STUDIES", "Run", "Study"]
