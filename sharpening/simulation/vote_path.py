"""The coupled population without noise: the exact path of the vote, its margins, speed limits, and scalar
Adam (theorems C1, C2, C5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sharpening.errors import InputError
from sharpening.population import Population, check_population

_TIE = 1e-12


@dataclass(frozen=True, eq=False)
class VotePath:
    """The mean-field flow of KL-prox or natural gradient on the majority reward, solved exactly: between
    events all velocities are constant, and an event is a prompt whose mode is overtaken.

    `times` (events + 1,), from 0, in nats (steps times learning rate, or steps/beta); `modes` (events + 1,
    prompts): the modes from that time on; `shares` (events + 1, answers): weighted share of prompts with each
    mode; `moved` (events + 1, answers): u then.
    """

    times: np.ndarray
    modes: np.ndarray
    shares: np.ndarray
    moved: np.ndarray
    private: float
    shared: float
    weights: np.ndarray

    @property
    def winner(self) -> int:
        """The answer that most prompts end with."""
        return int(self.shares[-1].argmax())

    @property
    def ends_in_consensus(self) -> bool:
        """Every prompt (of weight > 0) ends with the same mode."""
        return bool(self.shares[-1].max() > 1 - 1e-9)

    def time_of_share(self, share: float, answer: int | None = None) -> float:
        """The first time at which `answer` (default: the winner) is the mode of at least `share` of the
        prompts; infinity if never.
        """
        reached = np.flatnonzero(self.shares[:, self.winner if answer is None else answer] >= share - 1e-12)
        return float(self.times[reached[0]]) if len(reached) else float("inf")

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """(v, u) at `time`: private logits (prompts, answers), whose modes grow at rate `private`, and shared
        logits (answers,).
        """
        index = int(np.searchsorted(self.times, time, side="right")) - 1
        spans = np.diff(np.append(self.times[: index + 1], time))
        own = np.zeros((self.modes.shape[1], self.shares.shape[1]))
        for span, mode in zip(spans, self.modes, strict=False):
            own[np.arange(len(own)), mode] += self.private * span
        return own, self.moved[index] + self.shared * spans[-1] * self.shares[index]


def vote_path(
    population: Population,
    *,
    private: float | None = None,
    shared: float | None = None,
    max_events: int = 100_000,
) -> VotePath:
    """Solve z_x' = private e_(m_x) + shared m exactly, m_x the mode of prompt x and m_a = E 1[m_x = a];
    strengths default to the population's coupling.

    Every prompt needs a unique mode. Ties met on the way are crossed, not followed: a mode that is overtaken
    was losing at a positive rate and loses faster afterwards. Ends when nothing will be overtaken again; sum
    m_a² has then risen at every event.
    Raises: InputError for ties at the start or too many events. Source: theorems C1, C2.
    """
    check_population(population)
    private = population.coupling.private if private is None else private
    shared = population.coupling.shared if shared is None else shared
    if (population.leaders.sum(axis=1) != 1).any():
        raise InputError(
            "population",
            "prompts with tied or no modes",
            "the path of the vote needs a unique mode everywhere",
        )
    logits, weights, rows = (
        population.votable.copy(),
        population.prompt_weights,
        np.arange(population.num_prompts),
    )
    mode, time, moved = population.mode, 0.0, np.zeros(population.num_answers)
    record = []
    while True:
        share = np.bincount(mode, weights, minlength=population.num_answers)
        record.append((time, mode, share, moved))
        closing = shared * (share[None, :] - share[mode][:, None]) - private
        gap = logits[rows, mode][:, None] - logits
        with np.errstate(divide="ignore", invalid="ignore"):
            wait = np.where(
                (closing > _TIE * (shared + private)) & (weights > 0)[:, None],
                np.maximum(gap, 0.0) / closing,
                np.inf,
            )
        wait[rows, mode] = np.inf
        span = float(wait.min())
        if span == np.inf:
            break
        if len(record) > max_events:
            raise InputError(
                "max_events", max_events, "the path has more events than this", "Raise max_events"
            )
        logits = logits + span * shared * share
        logits[rows, mode] += span * private
        flips = wait.min(axis=1) <= span * (1 + _TIE)
        mode = np.where(flips, wait.argmin(axis=1), mode)
        time, moved = time + span, moved + span * shared * share
    times, modes, shares, moves = (np.array(column) for column in zip(*record, strict=True))
    return VotePath(times, modes, shares, moves, float(private), float(shared), weights)


def critical_ratio(population: Population) -> float:
    """shared/private above which coupled sharpening flips a mode, at and below which it keeps them all for
    ever: 1/(m_max - m_min).

    m_a: share of prompts whose mode is a, m_min over the answers that have any; infinity where the modes are
    evenly spread. With a data set of D prompts in batches of B the ratio is D * shared / (B * private), so D*
    = critical_ratio * B * private / shared. Exact for KL-prox and natural gradient; the asymptotic rule for
    GRPO (theorem C2). Raises: InputError for tied modes.
    """
    check_population(population)
    if (population.leaders.sum(axis=1) != 1).any():
        raise InputError(
            "population", "prompts with tied or no modes", "the critical ratio needs a unique mode everywhere"
        )
    share = np.bincount(population.mode, population.prompt_weights, minlength=population.num_answers)
    spread = share.max() - share[share > 0].min()
    return float(1 / spread) if spread > _TIE else float("inf")


def critical_size(population: Population, private: float, shared: float, prompts_per_step: int) -> float:
    """D* = prompts_per_step * private / (shared * (m_max - m_min)): larger data sets drift, smaller ones keep
    their modes (theorem C2).

    `population`: the law of prompts, whose mode shares m those of a data set approach; a small sample's own
    spread is larger.
    Raises: InputError for strengths <= 0.
    """
    if not (private > 0 and shared > 0 and prompts_per_step >= 1):
        raise InputError(
            "private, shared, prompts_per_step",
            (private, shared, prompts_per_step),
            "both strengths are > 0, and a batch is not empty",
        )
    return critical_ratio(population) * prompts_per_step * private / shared


def earliest_turn(population: Population, answer: int | None = None) -> np.ndarray:
    """Nats of shared drift before a prompt's mode can be overtaken, (prompts,): the gap to the runner-up, or
    to `answer`; infinity without a rival.

    No update of this package moves two shared logits apart faster than shared * learning rate (1/beta) a
    step, so no mode turns before step gap / (shared * learning rate), whatever the prior, the batches or the
    rollouts (theorem C1).
    """
    votable, mode, rows = population.votable, population.mode, np.arange(population.num_prompts)
    rivals = votable.copy()
    rivals[rows, mode] = -np.inf
    other = (
        rivals.max(axis=1)
        if answer is None
        else np.where(mode == answer, votable[rows, mode], votable[:, answer])
    )
    with np.errstate(invalid="ignore"):
        return np.where(other > -np.inf, votable[rows, mode] - other, np.inf)


def adam_factors(mean_squares: np.ndarray, beta2: float = 0.999) -> np.ndarray:
    """What scalar Adam (no momentum) multiplies step t's direction by: sqrt(v_0/v_t), v_t the bias-corrected
    running mean of S_0..S_t.

    `mean_squares` S (..., steps): mean square of the direction at each step. 1 at the first step, and while
    there is no signal; the product with sqrt(S_t) is the drift, sqrt(S_0 S_t/v_t). Source: theorem C5.
    """
    squares = np.asarray(mean_squares, np.float64)
    running, unbiased = np.zeros(squares.shape[:-1]), np.zeros_like(squares)
    for t in range(squares.shape[-1]):
        running = beta2 * running + (1 - beta2) * squares[..., t]
        unbiased[..., t] = running / (1 - beta2 ** (t + 1))
    signal = (unbiased > 0) & (squares[..., :1] > 0)
    return np.sqrt(np.where(signal, squares[..., :1], 1.0) / np.where(signal, unbiased, 1.0))
