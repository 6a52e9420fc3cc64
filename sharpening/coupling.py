"""How a step on one prompt moves the others: z_x = z0_x + v_x + u, a private part v_x and a part u shared by
all (theorems C).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Shaped

from sharpening.arrays import array_module
from sharpening.errors import InputError


def _check_strength(name: str, value: object) -> None:
    text = isinstance(value, str) or value is None
    if text or isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
        raise InputError(
            name, value, "a coupling strength is a finite number >= 0", "Use 0 to switch this part off"
        )


@dataclass(frozen=True)
class CompoundSymmetric:
    """The simplest kernel between prompts: K(x', x) = private * 1[x' = x] + shared.

    A visit with direction g_x changes v_x by step size * private * g_x, and one batch changes u by step size
    * shared * mean_batch(g). Both strengths are pure numbers >= 0. `private` counts per visit, `shared` per
    batch: see `for_batch` for kernels fitted from gradients. Source: theorems C; He et al. 2026 measure the
    collapse that it explains.
    """

    private: float = 1.0
    shared: float = 0.0

    def __post_init__(self):
        _check_strength("private", self.private)
        _check_strength("shared", self.shared)

    def mix(
        self,
        directions: Shaped[Any, "prompts answers"],
        weights: Shaped[Any, " prompts"] | None = None,
        prompts: jax.Array | slice = slice(None),
    ) -> tuple[Shaped[Any, "prompts answers"], Shaped[Any, " shared"]]:
        """Changes of the private and the shared logits per unit step size; `prompts` (which ones) does not
        matter here.

        Formula: dv_x = private * g_x, du = shared * sum_x w_x g_x / sum_x w_x. `directions` g is (prompts,
        answers), `weights` w is (prompts,) or None for equal ones; a prompt of weight 0 was not visited: its
        dv is 0. Returns dv (prompts, answers), du (answers,).
        """
        if weights is None:
            return self.private * directions, self.shared * directions.mean(axis=0)
        xp = array_module(directions, weights)
        total = xp.maximum(xp.sum(weights), xp.finfo(directions.dtype).tiny)
        visited = xp.where(weights[:, None] > 0, directions, 0)
        return self.private * visited, self.shared * (weights @ visited) / total

    def rest(self, num_answers: int, dtype=None) -> Float[Any, " shared"]:
        """The shared logits before training: zeros (answers,)."""
        return np.zeros(num_answers, dtype)

    def reach(
        self, shared: Shaped[Any, " answers"], prompts: jax.Array | slice = slice(None)
    ) -> Shaped[Any, "_ answers"]:
        """Shared part of the logits, the same for every prompt: (1, answers), nats."""
        return shared[None]

    def for_batch(self, prompts_per_step: int) -> CompoundSymmetric:
        """The same kernel for an objective that is a mean over `prompts_per_step` prompts: private /
        prompts_per_step, shared unchanged.

        A step on such an objective moves z_{x'} by (1/B) sum_x K(x', x) g_x, so a visit moves its own prompt
        by private/B only. Use it on a kernel from `fit_compound_symmetric` before simulating a run of a real
        model.
        """
        if prompts_per_step < 1:
            raise InputError("prompts_per_step", prompts_per_step, "a batch has at least one prompt")
        return dataclasses.replace(self, private=self.private / prompts_per_step)

    def tempered(self, temperature: float) -> CompoundSymmetric:
        """The same kernel between logits divided by `temperature`: both strengths / temperature²."""
        return CompoundSymmetric(self.private / temperature**2, self.shared / temperature**2)

    @property
    def ratio(self) -> float:
        """shared / private: how strongly prompts pull on each other (inf without a private part)."""
        return self.shared / self.private if self.private else math.inf


@dataclass(frozen=True)
class NoCoupling:
    """Every prompt moves alone: v_x changes by step size * private * g_x, u never moves (theorems U, which
    needs this).
    """

    private: float = 1.0

    def __post_init__(self):
        _check_strength("private", self.private)

    @property
    def shared(self) -> float:
        """Always 0."""
        return 0.0

    def mix(
        self,
        directions: Shaped[Any, "prompts answers"],
        weights: Shaped[Any, " prompts"] | None = None,
        prompts: jax.Array | slice = slice(None),
    ) -> tuple[Shaped[Any, "prompts answers"], Shaped[Any, " shared"]]:
        """As `CompoundSymmetric.mix` with shared = 0."""
        return CompoundSymmetric(self.private, 0.0).mix(directions, weights)

    rest = CompoundSymmetric.rest
    reach = CompoundSymmetric.reach

    def for_batch(self, prompts_per_step: int) -> NoCoupling:
        """As `CompoundSymmetric.for_batch`."""
        return NoCoupling(CompoundSymmetric(self.private, 0.0).for_batch(prompts_per_step).private)

    def tempered(self, temperature: float) -> NoCoupling:
        """As `CompoundSymmetric.tempered`."""
        return NoCoupling(self.private / temperature**2)


@jax.tree_util.register_pytree_node_class
class LowRankPlusDiagonal:
    """A general kernel: K((x',a'), (x,a)) = <features_x'a', features_xa> + private * 1[x' = x] 1[a' = a].

    `features` (prompts, answers, rank) say which patterns of answers move together, across prompts and labels
    alike; what all prompts share is a vector theta (rank,), and prompt x sees features_x theta of it.
    features_xa = sqrt(shared) e_a for every x is `CompoundSymmetric`; features_xa = sqrt(shared) e_s where
    strategy s of prompt x answers a couples strategies instead of labels (`strategies`); projected gradients
    of a model give the measured kernel. Raises: InputError for a bad shape, a value that is not finite, or a
    negative strength. Source: theorems C4, C6.
    """

    def __init__(self, features: np.ndarray, private: float = 1.0):
        _check_strength("private", private)
        if isinstance(features, np.ndarray) and (
            features.ndim != 3 or 0 in features.shape or not np.isfinite(features).all()
        ):
            raise InputError(
                "features", features.shape, "they are finite numbers of shape (prompts, answers, rank)"
            )
        self.features, self.private = features, private

    @classmethod
    def strategies(
        cls, answers: np.ndarray, *, private: float = 1.0, shared: float = 1.0, num_answers: int | None = None
    ) -> LowRankPlusDiagonal:
        """Prompts share strategies: `answers` (prompts, strategies) ids, what strategy s answers to prompt x,
        distinct in a row.

        K = shared where two prompts' answers come from the same strategy; answers that no strategy gives are
        moved by their own prompt only. Raises: InputError if a row repeats an answer, or ids lie outside
        0..num_answers-1.
        """
        answers = np.asarray(answers)
        _check_strength("shared", shared)
        if answers.ndim != 2 or not np.issubdtype(answers.dtype, np.integer) or answers.min(initial=0) < 0:
            raise InputError("answers", answers, "they are (prompts, strategies) ids >= 0")
        columns = int(answers.max()) + 1 if num_answers is None else num_answers
        if answers.max() >= columns:
            raise InputError(
                "answers", int(answers.max()), f"ids lie in 0..{columns - 1}", "Raise num_answers"
            )
        features = np.zeros((len(answers), columns, answers.shape[1]))
        np.add.at(features, (np.arange(len(answers))[:, None], answers, np.arange(answers.shape[1])), 1.0)
        if (features.sum(axis=2) > 1).any():
            told = "two strategies that give one prompt the same answer"
            raise InputError(
                "answers", told, "a policy over answers cannot tell them apart", "Merge them for that prompt"
            )
        return cls(math.sqrt(shared) * features, private)

    def mix(
        self,
        directions: Shaped[Any, "prompts answers"],
        weights: Shaped[Any, " prompts"] | None = None,
        prompts: jax.Array | slice = slice(None),
    ) -> tuple[Shaped[Any, "prompts answers"], Shaped[Any, " shared"]]:
        """As `CompoundSymmetric.mix`; the shared change is dtheta (rank,) = sum_xa w_x features_xa g_xa /
        sum_x w_x.

        `prompts`: which rows of the population `directions` belong to.
        """
        flat = self.features[prompts].reshape(-1, self.features.shape[-1])
        if weights is None:
            return self.private * directions, directions.reshape(-1) @ flat / len(directions)
        xp = array_module(directions, weights)
        total = xp.maximum(xp.sum(weights), xp.finfo(directions.dtype).tiny)
        visited = xp.where(weights[:, None] > 0, directions, 0)
        return self.private * visited, (weights[:, None] * visited).reshape(-1) @ flat / total

    def rest(self, num_answers: int, dtype=None) -> Float[Any, " shared"]:
        """theta before training: zeros (rank,)."""
        return np.zeros(self.features.shape[-1], dtype)

    def reach(
        self, theta: Shaped[Any, " rank"], prompts: jax.Array | slice = slice(None)
    ) -> Shaped[Any, "_ answers"]:
        """Shared part of the logits, features_x theta: (prompts, answers), nats."""
        return self.features[prompts] @ theta

    def dense(self) -> np.ndarray:
        """K as a matrix over (prompt, answer) pairs, (prompts * answers, prompts * answers): for small
        populations.
        """
        flat = np.asarray(self.features).reshape(-1, self.features.shape[-1])
        return flat @ flat.T + self.private * np.eye(len(flat))

    def project(self, dimensions: int, key: int = 0) -> LowRankPlusDiagonal:
        """The same kernel with features projected to `dimensions` at random (Gaussian, variance 1/dimensions;
        seed `key`).

        Every entry off by more than eps |features_i| |features_j| has probability at most 4 exp(-dimensions
        (eps²/4 - eps³/6)), 0 < eps < 1 (Johnson-Lindenstrauss; theorem C4).
        """
        if dimensions < 1:
            raise InputError("dimensions", dimensions, "at least one dimension is kept")
        shape = (self.features.shape[-1], dimensions)
        directions = np.random.default_rng(key).standard_normal(shape) / math.sqrt(dimensions)
        return LowRankPlusDiagonal(np.asarray(self.features) @ directions, self.private)

    def for_batch(self, prompts_per_step: int) -> LowRankPlusDiagonal:
        """As `CompoundSymmetric.for_batch`."""
        return LowRankPlusDiagonal(
            self.features, CompoundSymmetric(self.private).for_batch(prompts_per_step).private
        )

    def tempered(self, temperature: float) -> LowRankPlusDiagonal:
        """As `CompoundSymmetric.tempered`: features / temperature, private / temperature²."""
        return LowRankPlusDiagonal(self.features / temperature, self.private / temperature**2)

    @property
    def shared(self) -> float:
        """Strength of the strongest shared pattern: the largest eigenvalue of features' features / prompts; 0
        if nothing is shared, and `CompoundSymmetric.shared` for that kernel.
        """
        flat = np.asarray(self.features).reshape(-1, self.features.shape[-1])
        return float(np.linalg.norm(flat, 2) ** 2 / len(self.features))

    def tree_flatten(self):
        return (self.features, self.private), None

    @classmethod
    def tree_unflatten(cls, _, children):
        kernel = object.__new__(cls)
        kernel.features, kernel.private = children
        return kernel


jax.tree_util.register_dataclass(CompoundSymmetric, data_fields=["private", "shared"], meta_fields=[])
jax.tree_util.register_dataclass(NoCoupling, data_fields=["private"], meta_fields=[])

Coupling = NoCoupling | CompoundSymmetric | LowRankPlusDiagonal


@dataclass(frozen=True)
class CouplingFit:
    """A compound-symmetric kernel read off gradients, with its spread.

    `coupling`: the fitted kernel. `private_std`, `shared_std`: standard errors from leaving out one prompt at
    a time (jackknife), in the units of the strengths. `residual`: root mean square of gram - fit, relative to
    the root mean square of the diagonal; near 0 the simplest kernel says it all, near 1 it says nothing.
    """

    coupling: CompoundSymmetric
    private_std: float
    shared_std: float
    residual: float


def _square(name: str, matrix: np.ndarray) -> np.ndarray:
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise InputError(
            name, matrix.shape, "a Gram matrix is square with at least two prompts", "Probe more prompts"
        )
    if not np.all(np.isfinite(matrix)):
        raise InputError(name, "a matrix with NaN or infinity", "every inner product is a finite number")
    if not np.allclose(matrix, matrix.T, rtol=1e-4, atol=1e-6 * np.abs(matrix).max()):
        raise InputError(name, "an asymmetric matrix", "a Gram matrix is symmetric")
    return (matrix + matrix.T) / 2


def _solve(diagonal: tuple[float, float], off: tuple[float, float]) -> tuple[float, float]:
    """Least squares of (private+shared) on the diagonal and shared off it, with both strengths >= 0;
    arguments: (sum xy, sum xx) each.
    """
    (dxy, dxx), (oxy, oxx) = diagonal, off
    total = dxy / dxx if dxx > 0 else 0.0
    shared = oxy / oxx if oxx > 0 else 0.0
    if 0 <= shared <= total:
        return total - shared, shared
    if shared < 0:
        return max(total, 0.0), 0.0
    return 0.0, max((dxy + oxy) / (dxx + oxx), 0.0)


def fit_compound_symmetric(gram: np.ndarray, answer_gram: np.ndarray) -> CouplingFit:
    """Private and shared strength of the compound-symmetric kernel nearest to measured gradients.

    Formula: least squares over gram_xx = (private + shared) answer_gram_xx and gram_xy = shared
    answer_gram_xy (x != y), both >=
    0. `gram` (prompts, prompts): inner products of the per-prompt gradients in parameter space;
    `answer_gram`: of the same gradients g_x in answer-logit space. Meant for the kernel of one prompt's
    objective: see `CompoundSymmetric.for_batch`.

    Raises: InputError if a matrix is not square, finite and symmetric, or every g_x is 0. Source: theorem C4,
    restricted to two strengths.
    """
    gram, answer_gram = _square("gram", gram), _square("answer_gram", answer_gram)
    if gram.shape != answer_gram.shape:
        raise InputError("answer_gram", answer_gram.shape, f"it must have the shape of `gram`, {gram.shape}")
    if not np.any(np.diag(answer_gram) > 0):
        raise InputError(
            "answer_gram",
            "a matrix with a zero diagonal",
            "some prompt must have a gradient",
            "Probe prompts that are not at consensus",
        )
    xy, xx = gram * answer_gram, answer_gram**2
    diagonal = np.stack([np.diag(xy), np.diag(xx)])
    # summed without the diagonal, not less it: of two prompts, leaving one out leaves 0 exactly
    rows = np.stack([(product * ~np.eye(len(gram), dtype=bool)).sum(1) for product in (xy, xx)])
    diagonal_sum, off_sum = diagonal.sum(1), rows.sum(1)
    private, shared = _solve(tuple(diagonal_sum), tuple(off_sum))
    left_out = np.array(
        [
            _solve(tuple(diagonal_sum - diagonal[:, i]), tuple(off_sum - 2 * rows[:, i]))
            for i in range(len(gram))
        ]
    )
    n = len(gram)
    std = np.sqrt((n - 1) / n * ((left_out - left_out.mean(0)) ** 2).sum(0))
    fitted = (shared + private * np.eye(n)) * answer_gram
    residual = np.sqrt(np.mean((gram - fitted) ** 2)) / np.sqrt(np.mean(np.diag(gram) ** 2))
    return CouplingFit(
        CompoundSymmetric(float(private), float(shared)), float(std[0]), float(std[1]), float(residual)
    )
