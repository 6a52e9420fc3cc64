"""Studies: measured runs whose small results are committed. Each resumes where it stopped, run by run."""

from llm_bridge.experiments.capitals import CAPITALS
from llm_bridge.experiments.exact import EXACT
from llm_bridge.experiments.ground_truth import GROUND_TRUTH
from llm_bridge.experiments.rewards import ALL_REWARDS
from llm_bridge.experiments.study import Run, Study
from llm_bridge.experiments.tiny import TINY

STUDIES = {study.name: study for study in (TINY, CAPITALS, ALL_REWARDS, EXACT, GROUND_TRUTH)}

__all__ = ["STUDIES", "Run", "Study"]
