"""How a step on one prompt moves the others: z_x = z0_x + v_x + u, a private part v_x and a part u shared by all (theory: C)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from sharpening.errors import InputError


def _check_strength(name: str, value: object) -> None:
    if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
        raise InputError(name, value, "a coupling strength is a finite number >= 0", "Use 0 to switch this part off")


@dataclass(frozen=True)
class CompoundSymmetric:
    """The simplest kernel between prompts: K(x', x) = private * 1[x' = x] + shared.

    A visit with direction g_x changes v_x by step size * private * g_x, and one batch changes u by step size * shared *
    mean_batch(g). Both strengths are pure numbers >= 0. `private` counts per visit, `shared` per batch: see `for_batch` for
    kernels fitted from gradients. Source: theory C; He et al. 2026 measure the collapse that it explains.
    """

    private: float = 1.0
    shared: float = 0.0

    def __post_init__(self):
        _check_strength("private", self.private)
        _check_strength("shared", self.shared)

    def mix(self, directions: jax.Array, weights: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Changes of the private and the shared logits per unit step size.

        Formula: dv_x = private * g_x, du = shared * sum_x w_x g_x / sum_x w_x. `directions` g is (prompts, answers), `weights` w
        is (prompts,) or None for equal ones; a prompt of weight 0 was not visited: its dv is 0. Returns dv (prompts, answers), du
        (answers,).
        """
        if weights is None:
            return self.private * directions, self.shared * jnp.mean(directions, axis=0)
        total = jnp.maximum(jnp.sum(weights), jnp.finfo(directions.dtype).tiny)
        visited = jnp.where(weights[:, None] > 0, directions, 0)
        return self.private * visited, self.shared * (weights @ visited) / total

    def for_batch(self, prompts_per_step: int) -> CompoundSymmetric:
        """The same kernel for an objective that is a mean over `prompts_per_step` prompts: private / prompts_per_step, shared
        unchanged.

        A step on such an objective moves z_{x'} by (1/B) sum_x K(x', x) g_x, so a visit moves its own prompt by private/B only.
        Use it on a kernel from `fit_compound_symmetric` before simulating a run of a real model.
        """
        if prompts_per_step < 1:
            raise InputError("prompts_per_step", prompts_per_step, "a batch has at least one prompt")
        return dataclasses.replace(self, private=self.private / prompts_per_step)

    @property
    def ratio(self) -> float:
        """shared / private: how strongly prompts pull on each other (inf without a private part)."""
        return self.shared / self.private if self.private else math.inf


@dataclass(frozen=True)
class NoCoupling:
    """Every prompt moves alone: v_x changes by step size * private * g_x, u never moves (theory: U, which needs this)."""

    private: float = 1.0

    def __post_init__(self):
        _check_strength("private", self.private)

    @property
    def shared(self) -> float:
        """Always 0."""
        return 0.0

    def mix(self, directions: jax.Array, weights: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """As `CompoundSymmetric.mix` with shared = 0."""
        return CompoundSymmetric(self.private, 0.0).mix(directions, weights)

    def for_batch(self, prompts_per_step: int) -> NoCoupling:
        """As `CompoundSymmetric.for_batch`."""
        return NoCoupling(CompoundSymmetric(self.private, 0.0).for_batch(prompts_per_step).private)


jax.tree_util.register_dataclass(CompoundSymmetric, data_fields=["private", "shared"], meta_fields=[])
jax.tree_util.register_dataclass(NoCoupling, data_fields=["private"], meta_fields=[])

Coupling = NoCoupling | CompoundSymmetric


@dataclass(frozen=True)
class CouplingFit:
    """A compound-symmetric kernel read off gradients, with its spread.

    `coupling`: the fitted kernel. `private_std`, `shared_std`: standard errors from leaving out one prompt at a time (jackknife),
    in the units of the strengths. `residual`: root mean square of gram - fit, relative to the root mean square of the diagonal;
    near 0 the simplest kernel says it all, near 1 it says nothing.
    """

    coupling: CompoundSymmetric
    private_std: float
    shared_std: float
    residual: float


def _square(name: str, matrix: np.ndarray) -> np.ndarray:
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise InputError(name, matrix.shape, "a Gram matrix is square with at least two prompts", "Probe more prompts")
    if not np.all(np.isfinite(matrix)):
        raise InputError(name, "a matrix with NaN or infinity", "every inner product is a finite number")
    if not np.allclose(matrix, matrix.T, rtol=1e-4, atol=1e-6 * np.abs(matrix).max()):
        raise InputError(name, "an asymmetric matrix", "a Gram matrix is symmetric")
    return matrix


def _solve(diagonal: tuple[float, float], off: tuple[float, float]) -> tuple[float, float]:
    """Least squares of (private+shared) on the diagonal and shared off it, with both strengths >= 0; arguments: (sum xy, sum xx)
    each.
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

    Formula: least squares over gram_xx = (private + shared) answer_gram_xx and gram_xy = shared answer_gram_xy (x != y), both >=
    0. `gram` (prompts, prompts): inner products of the per-prompt gradients in parameter space; `answer_gram`: of the same
    gradients g_x in answer-logit space. Meant for the kernel of one prompt's objective: see `CompoundSymmetric.for_batch`.

    Raises: InputError if a matrix is not square, finite and symmetric, or every g_x is 0. Source: theory C4, restricted to two
    strengths.
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
    rows = np.stack([xy.sum(1), xx.sum(1)]) - diagonal
    diagonal_sum, off_sum = diagonal.sum(1), rows.sum(1)
    private, shared = _solve(tuple(diagonal_sum), tuple(off_sum))
    left_out = np.array([_solve(tuple(diagonal_sum - diagonal[:, i]), tuple(off_sum - 2 * rows[:, i])) for i in range(len(gram))])
    n = len(gram)
    std = np.sqrt((n - 1) / n * ((left_out - left_out.mean(0)) ** 2).sum(0))
    fitted = (shared + private * np.eye(n)) * answer_gram
    residual = np.sqrt(np.mean((gram - fitted) ** 2)) / np.sqrt(np.mean(np.diag(gram) ** 2))
    return CouplingFit(CompoundSymmetric(float(private), float(shared)), float(std[0]), float(std[1]), float(residual))
