"""A population of prompts: a policy over the same answer labels each, the correct answers, and the coupling
between prompts.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from sharpening.coupling import Coupling, NoCoupling
from sharpening.errors import InputError
from sharpening.logspace import normalised
from sharpening.trajectory_text import facts_table, sparkline

_NORMALISATION_TOLERANCE = 1e-6
_ROUNDING = 1e-13  # a row so close to normalised is as exact as float64 says it, and is left as it is


def check_population(value: object) -> None:
    """InputError unless it is a Population."""
    if not isinstance(value, Population):
        fix = "Use Population.from_probs(probabilities); for token trees simulate_tree"
        raise InputError("population", value, "it is a sharpening.Population", fix)


def as_floats(name: str, values: object) -> np.ndarray:
    """The values as a float64 array. Raises: InputError for what is no array of numbers."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(name, values, "it is an array of real numbers") from None


def _checked_log_probs(values: object) -> np.ndarray:
    log_probs = as_floats("log_probs", values)
    if log_probs.ndim != 2 or 0 in log_probs.shape:
        raise InputError("log_probs", log_probs.shape, "the shape is (prompts, answers), both at least 1")
    return checked_rows(log_probs, "Use Population.from_logits")


def checked_rows(log_probs: np.ndarray, fix: str) -> np.ndarray:
    """Log-probabilities (..., answers) float64 with rows whose log-sum-exp is 0 to rounding: rows off by more
    than 1e-13 are normalised again. Raises: InputError for NaN, +infinity, or a row off by more than 1e-6.
    """
    if np.isnan(log_probs).any() or np.isposinf(log_probs).any():
        raise InputError(
            "log_probs", "an array with NaN or +infinity", "log-probabilities are numbers <= 0 or -infinity"
        )
    with np.errstate(divide="ignore", over="ignore"):
        off = np.abs(np.log(np.exp(log_probs).sum(axis=-1)))
    worst = float(off.max())
    if not worst <= _NORMALISATION_TOLERANCE:
        told = f"rows whose log-sum-exp is up to {worst:.3g}"
        rule = f"every row is a log-distribution, to within {_NORMALISATION_TOLERANCE:g}"
        raise InputError("log_probs", told, rule, fix)
    coarse = off > _ROUNDING
    return np.where(coarse[..., None], normalised(log_probs), log_probs) if coarse.any() else log_probs


@dataclass(frozen=True, eq=False, repr=False)
class Population:
    """Policies over answers for many prompts. An answer index means the same label for every prompt: the
    shared part of a coupling moves labels.

    `log_probs` (prompts, answers), nats: rows whose log-sum-exp is 0 to within 1e-6, as float32 leaves them,
    and which are normalised again in float64 where they are off by more than 1e-13; `correct` (prompts, answers) bool,
    or (prompts,) int, the column of each prompt's one right answer, or None without labels; `weights` (prompts,) >= 0,
    normalised to sum 1, or None for equal ones; `answer_names`, one a column; `coupling` between prompts; `no_answer`: the column that stands for "no
    answer" (never wins a vote, never earns reward, never correct), or None. `questions` (prompts,) int:
    prompts with equal ids are rephrasings of one question and lie side by side, as many for each; None: every
    prompt is a question of its own. Raises: InputError where a shape or value breaks this. Source: theorems
    U.
    """

    log_probs: np.ndarray
    correct: np.ndarray | None = None
    weights: np.ndarray | None = None
    answer_names: tuple[str, ...] | None = None
    coupling: Coupling = field(default_factory=NoCoupling)
    no_answer: int | None = None
    questions: np.ndarray | None = None

    def __post_init__(self):
        log_probs = _checked_log_probs(self.log_probs)
        num_prompts, num_answers = log_probs.shape
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("log_probs", log_probs)
        if self.no_answer is not None:
            if not -num_answers <= self.no_answer < num_answers or num_answers < 2:
                raise InputError(
                    "no_answer",
                    self.no_answer,
                    f"it is a column of {num_answers} answers, at least one of which is an answer",
                )
            put("no_answer", int(self.no_answer) % num_answers)
        if self.correct is not None:
            correct = _marked(np.asarray(self.correct), num_prompts, num_answers)
            if correct.shape != log_probs.shape or correct.dtype != bool:
                raise InputError(
                    "correct",
                    (correct.shape, str(correct.dtype)),
                    f"it is a bool array of shape {log_probs.shape}, or the column of the one right answer of each of"
                    f" {num_prompts} prompts",
                )
            if self.no_answer is not None and correct[:, self.no_answer].any():
                raise InputError(
                    "correct", "a mask that marks `no_answer`", "giving no answer is never correct"
                )
            put("correct", correct)
        if self.weights is not None:
            weights = as_floats("weights", self.weights)
            if weights.shape != (num_prompts,) or not np.all(weights >= 0) or not 0 < weights.sum() < np.inf:
                raise InputError("weights", weights, f"they are {num_prompts} finite numbers >= 0, not all 0")
            put("weights", weights / weights.sum())
        if isinstance(self.coupling, type) or not callable(getattr(self.coupling, "mix", None)):
            rule, fix = "it is a coupling between prompts", "Use NoCoupling() or CompoundSymmetric(1.0, 0.1)"
            raise InputError("coupling", self.coupling, rule, fix)
        if self.questions is not None:
            put("questions", _checked_questions(self.questions, num_prompts))
        if self.answer_names is not None:
            if len(self.answer_names) != num_answers:
                raise InputError(
                    "answer_names",
                    self.answer_names,
                    f"there must be {num_answers}, one for each column of `log_probs`",
                )
            put("answer_names", tuple(self.answer_names))

    @classmethod
    def from_logits(cls, logits: np.ndarray, correct: np.ndarray | None = None, **fields) -> Self:
        """Policies softmax(logits), (prompts, answers), nats; other fields as in `Population`."""
        logits = as_floats("logits", logits)
        if (
            logits.ndim != 2
            or 0 in logits.shape
            or np.isnan(logits).any()
            or not np.isfinite(logits.max(axis=1)).all()
        ):
            raise InputError(
                "logits",
                logits,
                "the shape is (prompts, answers), without NaN or +infinity, with a finite entry in every row",
            )
        return cls(normalised(logits), correct, **fields)

    @classmethod
    def from_probs(cls, probs: np.ndarray, correct: np.ndarray | None = None, **fields) -> Population:
        """Policies from probabilities, (prompts, answers) >= 0, rows that sum to 1 to within 1e-6; other fields as
        in `Population`.

        Raises: InputError for another shape, a negative or missing value, or a row with another sum.
        """
        probs = as_floats("probs", probs)
        if probs.ndim != 2 or 0 in probs.shape or not np.all(probs >= 0) or not np.isfinite(probs).all():
            raise InputError("probs", probs, "they are (prompts, answers) finite numbers >= 0")
        sums = probs.sum(axis=1)
        if np.any(np.abs(sums - 1.0) > 1e-6):
            row = int(np.abs(sums - 1.0).argmax())
            raise InputError(
                "probs",
                f"a row (prompt {row}) that sums to {sums[row]:.6g}",
                "every row is a distribution and sums to 1",
                "Divide by the row sums, or use Population.from_counts for counts",
            )
        with np.errstate(divide="ignore"):
            return cls.from_logits(np.log(probs), correct, **fields)

    @classmethod
    def from_counts(
        cls, counts: np.ndarray, correct: np.ndarray | None = None, *, pseudocount: float = 1.0, **fields
    ) -> Population:
        """Policies from how often each answer was seen, (prompts, answers) counts >= 0.

        Formula: pi(a|x) = (n_xa + pseudocount * q_a) / (n_x + pseudocount), q_a = (sum_x n_xa + 1) / (sum n +
        answers): the pseudocount, in rollouts, is spread as the pooled answers are, so unseen answers keep
        some mass. pseudocount = 0 gives the plug-in estimate. Raises: InputError for negative counts or a
        prompt with no mass at all.
        """
        counts = as_floats("counts", counts)
        if counts.ndim != 2 or 0 in counts.shape or not np.all(counts >= 0) or not np.isfinite(counts).all():
            raise InputError("counts", counts, "they are (prompts, answers) finite numbers >= 0")
        if not (np.isfinite(pseudocount) and pseudocount >= 0):
            raise InputError("pseudocount", pseudocount, "it is a finite number of rollouts >= 0")
        pooled = counts.sum(axis=0) + 1.0
        mass = counts + pseudocount * pooled / pooled.sum()
        if not np.all(mass.sum(axis=1) > 0):
            raise InputError(
                "counts", "a prompt without rollouts", "every prompt needs a rollout or a pseudocount > 0"
            )
        with np.errstate(divide="ignore"):
            return cls.from_logits(np.log(mass), correct, **fields)

    @classmethod
    def from_samples(
        cls,
        answers: np.ndarray,
        num_answers: int,
        truth: np.ndarray | None = None,
        *,
        pseudocount: float = 1.0,
        **fields,
    ) -> Population:
        """Policies from sampled answer ids: `answers` (prompts, rollouts) in 0..num_answers-1, or -1 for no
        answer; `truth` (prompts,) ids or None.

        If any rollout gave no answer, one more column is added at the end and named by `no_answer`.
        Estimation as in `from_counts`. Raises: InputError for ids outside the range.
        """
        answers = np.asarray(answers)
        if answers.ndim != 2 or 0 in answers.shape or not np.issubdtype(answers.dtype, np.integer):
            raise InputError(
                "answers", (answers.shape, str(answers.dtype)), "they are (prompts, rollouts) integers"
            )
        if answers.min() < -1 or answers.max() >= num_answers:
            raise InputError(
                "answers",
                (int(answers.min()), int(answers.max())),
                f"ids lie in 0..{num_answers - 1}, or are -1 for no answer",
            )
        silent = bool((answers == -1).any())
        columns = num_answers + silent
        counts = np.zeros((len(answers), columns))
        np.add.at(
            counts, (np.arange(len(answers))[:, None], np.where(answers == -1, num_answers, answers)), 1.0
        )
        correct = None if truth is None else _one_correct(truth, len(answers), num_answers, columns)
        if silent:
            fields = {"no_answer": num_answers, **fields}
            if fields.get("answer_names") is not None and len(fields["answer_names"]) == num_answers:
                fields["answer_names"] = (*fields["answer_names"], "(no answer)")
        return cls.from_counts(counts, correct, pseudocount=pseudocount, **fields)

    @classmethod
    def synthetic(
        cls,
        key,
        num_prompts: int,
        num_answers: int = 50,
        *,
        strength: float = 2.0,
        strength_std: float = 1.0,
        noise: float = 1.0,
        sharpness: float = 1.6,
        alignment: float | None = None,
        coupling: Coupling | None = None,
    ) -> Population:
        """A prior of known strength: one correct answer a prompt, uniform over the labels, among independent
        distractors.

        Formula: z_a = sharpness * (noise * n_a + 1[a correct] (strength + strength_std * s)), n_a and s
        standard normal. `strength`, `strength_std`, `noise` in nats. `strength` raises alignment and accuracy
        together; `sharpness` scales every margin and leaves the alignment alone. `key`: a JAX key or an
        integer seed. `alignment`, in 0..1, is a dial of misconceptions: it leaves every policy as it is and makes the
        likeliest answer the correct one for that share of the prompts (rounded to whole prompts, chosen whatever their
        confidence) and for no others, where another answer is correct: the one above, or where that is the
        likeliest, a uniform draw. `Population.alignment` is then the dial; a prompt aligned at one
        setting of the dial is aligned at every higher one. None leaves truth to the formula.
        With 50 answers, strength 1.6, 2.0 and 2.8 (sharpness 1.6) are the weak, middle and
        strong prior of the coupled runs: alignment about .33, .42, .64, accuracy .19, .25, .41. Source:
        theorems C.
        """
        for name, number in (("num_prompts", num_prompts), ("num_answers", num_answers)):
            if not isinstance(number, (int, np.integer)) or isinstance(number, bool):
                raise InputError(name, number, "it is an integer")
        if num_prompts < 1 or num_answers < 2:
            raise InputError(
                "num_prompts, num_answers",
                (num_prompts, num_answers),
                "there is at least 1 prompt with 2 answers",
            )
        if not (noise >= 0 and strength_std >= 0 and sharpness > 0):
            raise InputError(
                "noise, strength_std, sharpness",
                (noise, strength_std, sharpness),
                "the first two are >= 0, sharpness > 0",
            )
        if alignment is not None and not (isinstance(alignment, (int, float)) and 0 <= alignment <= 1):
            raise InputError("alignment", alignment, "it is a share of the prompts, 0 to 1, or None")
        rng = np.random.default_rng(_seed_words(key))
        truth = rng.integers(num_answers, size=num_prompts)
        logits = noise * rng.standard_normal((num_prompts, num_answers))
        logits[np.arange(num_prompts), truth] += strength + strength_std * rng.standard_normal(num_prompts)
        if alignment is not None:
            truth = _aligned_truth(rng, logits.argmax(axis=1), truth, num_answers, alignment)
        correct = _one_correct(truth, num_prompts, num_answers, num_answers)
        return cls.from_logits(
            sharpness * logits, correct, coupling=NoCoupling() if coupling is None else coupling
        )

    def __repr__(self) -> str:
        return f"Population: {self._told()}; {self.coupling!r}"

    def _repr_html_(self) -> str:
        """The same as a small table, with the shape of the mode's masses over prompts."""
        masses = np.sort(np.exp(self.votable.max(axis=1)))
        rows = {"what": self._told(), "coupling": repr(self.coupling)}
        rows["mass of the mode, prompts sorted"] = f"{masses[0]:.2g} {sparkline(masses)} {masses[-1]:.2g}"
        return facts_table("Population", rows)

    def _told(self) -> str:
        told = [f"{self.num_prompts:,} prompts, {self.num_answers:,} answers"]
        if self.rephrasings > 1:
            told.append(f"{self.rephrasings} rephrasings of each question")
        told.append(f"entropy {float(self.prompt_weights @ self.entropy):.3g} nats")
        if self.correct is not None:
            told.append(f"accuracy {self.accuracy:.3g}, alignment {self.alignment:.3g}")
        else:
            told.append("no labels")
        return "; ".join(told)

    def replace(self, **changes) -> Self:
        """The same population with some fields changed, e.g.
        `population.replace(coupling=CompoundSymmetric(1, .1))`.
        """
        return dataclasses.replace(self, **changes)

    def select(self, prompts: slice | np.ndarray) -> Self:
        """The population of these prompts only."""
        cut = lambda values: None if values is None else values[prompts]  # noqa: E731
        return self.replace(
            log_probs=self.log_probs[prompts],
            correct=cut(self.correct),
            weights=cut(self.weights),
            questions=cut(self.questions),
        )

    def tempered(self, temperature: float) -> Self:
        """The same model read at another sampling temperature: policies pi^(1/T), normalised, and the kernel between
        logits divided by T.

        Formula: w = z/T, pi_T = softmax(w). A gradient with respect to w is T times that with respect to z, and a
        step of z is T times that of w: so K_w = K/T² (private and shared / T², features / T). Gradient updates
        (`GRPO`, `SoftmaxGradient`) on `population.tempered(T)` are therefore those of TRL, which divides logits by T
        where it samples and where it takes log-probabilities. 1 gives the population itself. Raises: InputError
        unless T is a finite number > 0.
        """
        check_temperature(temperature)
        if temperature == 1:
            return self
        return self.replace(
            log_probs=normalised(self.log_probs / temperature), coupling=self.coupling.tempered(temperature)
        )

    @property
    def num_prompts(self) -> int:
        """Number of prompts."""
        return self.log_probs.shape[0]

    @property
    def rephrasings(self) -> int:
        """How many prompts ask each question; 1 without `questions`."""
        return 1 if self.questions is None else self.num_prompts // len(np.unique(self.questions))

    @property
    def num_answers(self) -> int:
        """Number of answer columns, "no answer" included."""
        return self.log_probs.shape[1]

    @property
    def probs(self) -> np.ndarray:
        """pi(a|x), (prompts, answers)."""
        return np.exp(self.log_probs)

    @property
    def prompt_weights(self) -> np.ndarray:
        """Weights that sum to 1, (prompts,), also where `weights` is None."""
        return np.full(self.num_prompts, 1 / self.num_prompts) if self.weights is None else self.weights

    @property
    def votable(self) -> np.ndarray:
        """log_probs with -infinity in the no-answer column: what a vote is taken over, (prompts, answers)."""
        votable = self.log_probs.copy()
        if self.no_answer is not None:
            votable[:, self.no_answer] = -np.inf
        return votable

    @property
    def leaders(self) -> np.ndarray:
        """Which answers tie for the largest mass, (prompts, answers) bool; no row is empty unless a prompt
        only ever gives no answer.
        """
        votable = self.votable
        return (votable == votable.max(axis=1, keepdims=True)) & (votable > -np.inf)

    @property
    def mode(self) -> np.ndarray:
        """The answer with the largest mass, (prompts,); the smallest id where answers tie (`leaders` has them
        all).
        """
        return self.votable.argmax(axis=1)

    @property
    def labels(self) -> np.ndarray:
        """`correct`, (prompts, answers) bool, where it has to be there. Raises: InputError without labels."""
        return self._labels("labels")

    @property
    def margin(self) -> np.ndarray:
        """log pi(correct) - log pi(best rival), (prompts,), nats; > 0 where aligned. For several correct
        answers: of the best of them.

        -infinity if no correct answer has mass, +infinity if no rival has. Raises: InputError without labels.
        """
        correct = self._labels("margin")
        best_right = np.where(correct, self.votable, -np.inf).max(axis=1)
        best_wrong = np.where(correct, -np.inf, self.votable).max(axis=1)
        with np.errstate(invalid="ignore"):
            return np.where(best_right == -np.inf, -np.inf, best_right - best_wrong)

    @property
    def alignment(self) -> float:
        """alpha: weighted share of prompts whose mode is correct; a tie counts by its leaders' correct share
        (theorem U1).
        """
        correct, leaders = self._labels("alignment"), self.leaders
        share = (leaders & correct).sum(axis=1) / np.maximum(leaders.sum(axis=1), 1)
        return float(self.prompt_weights @ share)

    @property
    def accuracy(self) -> float:
        """Weighted mean of pi(correct), in 0..1."""
        return float(self.prompt_weights @ np.where(self._labels("accuracy"), self.probs, 0.0).sum(axis=1))

    @property
    def base_rate_floor(self) -> float:
        """Largest weighted share of prompts for which one fixed answer is correct: accuracy after a collapse
        to one answer (theorem C3).
        """
        return min(1.0, float((self.prompt_weights @ self._labels("base_rate_floor")).max()))

    @property
    def entropy(self) -> np.ndarray:
        """-sum_a pi log pi, (prompts,), nats; "no answer" counts as an outcome."""
        finite = np.where(self.log_probs > -np.inf, self.log_probs, 0.0)
        return -(self.probs * finite).sum(axis=1)

    @property
    def kl_budget(self) -> np.ndarray:
        """-log pi(mode|x), (prompts,), nats: the most KL from here that sharpening can spend (theorem S9)."""
        return -self.votable.max(axis=1)

    def _labels(self, what: str) -> np.ndarray:
        if self.correct is None:
            raise InputError(
                "correct",
                None,
                f"`{what}` needs to know which answers are correct",
                "Give `correct` or `truth`",
            )
        return self.correct


def check_temperature(value: object) -> None:
    """InputError unless `value` is a temperature: a finite number > 0."""
    if (
        not isinstance(value, (int, float, np.number))
        or isinstance(value, bool)
        or not (np.isfinite(value) and value > 0)
    ):
        rule = "what logits are divided by is a finite number > 0"
        raise InputError("temperature", value, rule, "Use 1 for the policy as it is")


def _checked_questions(questions, num_prompts: int) -> np.ndarray:
    rule = f"it holds {num_prompts} integers, those of one question side by side and equally many for each"
    questions = np.asarray(questions)
    if questions.shape != (num_prompts,) or not np.issubdtype(questions.dtype, np.integer):
        raise InputError(
            "questions",
            (questions.shape, str(questions.dtype)),
            rule,
            "Use numpy.repeat(numpy.arange(n), rephrasings)",
        )
    each = num_prompts // max(1, len(np.unique(questions)))
    if not np.array_equal(questions, np.repeat(questions[::each], each)[:num_prompts]) or num_prompts % each:
        raise InputError("questions", questions, rule, "Use numpy.repeat(numpy.arange(n), rephrasings)")
    return questions


def _aligned_truth(rng, mode: np.ndarray, truth: np.ndarray, num_answers: int, share: float) -> np.ndarray:
    """The mode for `share` of the prompts, in an order that the share does not change; else `truth`, or another answer
    where that is the mode.
    """
    elsewhere = (mode + 1 + rng.integers(num_answers - 1, size=len(mode))) % num_answers
    wrong = np.where(truth == mode, elsewhere, truth)
    rank = rng.permutation(len(mode))
    return np.where(rank < np.floor(share * len(mode) + 0.5), mode, wrong)


def _one_correct(truth: np.ndarray, num_prompts: int, num_answers: int, columns: int) -> np.ndarray:
    truth = np.asarray(truth)
    if truth.shape != (num_prompts,) or not np.issubdtype(truth.dtype, np.integer):
        raise InputError("truth", truth, f"it holds {num_prompts} answer ids, one a prompt")
    if truth.min() < 0 or truth.max() >= num_answers:
        raise InputError(
            "truth",
            (int(truth.min()), int(truth.max())),
            f"ids lie in 0..{num_answers - 1}",
            "Count the true labels among the answers",
        )
    return np.arange(columns) == truth[:, None]


def _marked(correct: np.ndarray, num_prompts: int, num_answers: int) -> np.ndarray:
    """Columns of right answers (prompts,) as the mask that marks them; anything else as it is."""
    columns = correct.shape == (num_prompts,) and np.issubdtype(correct.dtype, np.integer)
    if not columns or not ((correct >= 0) & (correct < num_answers)).all():
        return correct
    return correct[:, None] == np.arange(num_answers)


def check_key(key: object) -> None:
    """InputError unless it is an integer seed or a JAX key."""
    seed = isinstance(key, (int, np.integer)) and not isinstance(key, bool)
    if not seed and not hasattr(key, "dtype"):
        raise InputError("key", key, "it is an integer seed or a JAX key", "Use key=0")


def _seed_words(key) -> np.ndarray | int:
    check_key(key)
    if isinstance(key, (int, np.integer)):
        return int(key)
    import jax

    data = (
        jax.random.key_data(key)
        if jax.dtypes.issubdtype(getattr(key, "dtype", None), jax.dtypes.prng_key)
        else key
    )
    return np.asarray(data, dtype=np.uint32)
