"""The paper in miniature: a claim of the literature each, what tests it here, and a verdict."""

from studies.paper.alignment import STUDY as ALIGNMENT
from studies.paper.blind_votes import STUDY as BLIND_VOTES
from studies.paper.dataset_size import STUDY as DATASET_SIZE
from studies.paper.equal_cost import STUDY as EQUAL_COST
from studies.paper.failure_modes import STUDY as FAILURE_MODES
from studies.paper.frame import PaperStudy
from studies.paper.hybrid_phase import STUDY as HYBRID_PHASE
from studies.paper.hyper_parameters import STUDY as HYPER_PARAMETERS
from studies.paper.loss_spike import STUDY as LOSS_SPIKE
from studies.paper.mcs_and_gains import STUDY as MCS_AND_GAINS
from studies.paper.moving_prior import STUDY as MOVING_PRIOR
from studies.paper.outside_checks import STUDY as OUTSIDE_CHECKS
from studies.paper.per_problem import STUDY as PER_PROBLEM
from studies.paper.rise_then_fall import STUDY as RISE_THEN_FALL
from studies.paper.trainability_frontier import STUDY as TRAINABILITY_FRONTIER
from studies.paper.wrong_majorities import STUDY as WRONG_MAJORITIES

PAPER: dict[str, PaperStudy] = {
    study.name: study
    for study in (
        RISE_THEN_FALL,
        FAILURE_MODES,
        HYPER_PARAMETERS,
        DATASET_SIZE,
        PER_PROBLEM,
        HYBRID_PHASE,
        ALIGNMENT,
        MCS_AND_GAINS,
        LOSS_SPIKE,
        TRAINABILITY_FRONTIER,
        MOVING_PRIOR,
        EQUAL_COST,
        WRONG_MAJORITIES,
        OUTSIDE_CHECKS,
        BLIND_VOTES,
    )
}
