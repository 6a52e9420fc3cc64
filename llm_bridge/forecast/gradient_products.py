"""Inner products of per-prompt gradients in memory of about three parameter vectors: random projections, one
gradient at a time.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from llm_bridge.forecast.kernel import Kernel
from sharpening.coupling import LowRankPlusDiagonal, fit_compound_symmetric
from sharpening.errors import InputError

DIMENSIONS = 2**16
"""Numbers kept of each gradient. Time does not depend on it, so it is as large as memory of a few tens of
megabytes allows.
"""
_BLOCK = 2**18
_EPSILON = 1e-8


class CountSketch:
    """A random linear map S from any number of parameters to `dimensions` numbers, of which nothing is stored
    but `seed`.

    Formula: (S v)_k = Σ_{i: h(i)=k} s_i v_i, bucket h(i) uniform, sign s_i = ±1 fair. Over seeds ⟨Su, Sv⟩ has
    mean ⟨u, v⟩ and variance (‖u‖²‖v‖² + ⟨u, v⟩² − 2 Σ_i u_i² v_i²) / dimensions. Signs and buckets are drawn
    anew, block by block, at every call: the same ones for the same seed, shapes and kind of device. Raises:
    InputError unless dimensions >= 1 and seed >= 0.
    Source: Charikar, Chen and Farach-Colton 2002; Weinberger et al. 2009, lemma 2.
    """

    def __init__(self, dimensions: int = DIMENSIONS, seed: int = 0):
        if dimensions < 1:
            raise InputError(
                "dimensions",
                dimensions,
                "a sketch keeps at least one number",
                f"Leave it out for {DIMENSIONS}",
            )
        if seed < 0:
            raise InputError("seed", seed, "it must be an integer >= 0")
        self.dimensions, self.seed = dimensions, seed

    def __call__(
        self, tensors: Sequence[torch.Tensor], scale: Sequence[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """S of the tensors' entries, one after another, each times its entry of `scale`: (dimensions,)."""
        generator = torch.Generator(tensors[0].device)
        # Bucket and sign in one draw: what falls on k + dimensions counts as −1 times what falls on k.
        signed = torch.zeros(2 * self.dimensions, device=tensors[0].device)
        for index, tensor in enumerate(tensors):
            factors = itertools.repeat(None) if scale is None else scale[index].reshape(-1).split(_BLOCK)
            for block, (values, factor) in enumerate(
                zip(tensor.reshape(-1).split(_BLOCK), factors, strict=False)
            ):
                values = values.float() if factor is None else values.float() * factor
                state = np.random.SeedSequence((self.seed, index, block)).generate_state(1, np.uint64)[0]
                drawn = torch.randint(
                    2 * self.dimensions,
                    values.shape,
                    generator=generator.manual_seed(int(state) >> 1),
                    device=values.device,
                )
                signed += torch.bincount(drawn, values, minlength=len(signed))
        return signed[: self.dimensions] - signed[self.dimensions :]


@dataclass(frozen=True)
class GramEstimate:
    """What the update needs to know of the gradients g_x of several prompts.

    gram: (prompts, prompts) float64, ⟨g_x, P g_y⟩ with P = 1/√mean_x(g_x²), Adam's preconditioner at its
    first steps. clock: ‖mean_x g_x‖₁.
    cosine: of the means of the first and the second half of the prompts. dimensions: of the sketch that
    `gram` was estimated from, None where it is exact; clock and cosine always are.
    """

    gram: np.ndarray
    clock: float
    cosine: float
    dimensions: int | None = None

    @property
    def standard_errors(self) -> np.ndarray:
        """Of each entry of `gram`, over seeds of the sketch: √((K_xx K_yy + K_xy²) / dimensions), an upper
        bound; 0 where it is exact.
        """
        diagonal = np.diag(self.gram)
        return (
            np.sqrt((np.outer(diagonal, diagonal) + self.gram**2) / self.dimensions)
            if self.dimensions
            else np.zeros_like(self.gram)
        )

    def error_of(self, weights: np.ndarray) -> float:
        """Standard error of Σ_xy weights_xy gram_xy, weights symmetric: √(2 tr(W K W K) / dimensions), an
        upper bound; 0 where it is exact.

        The exact variance subtracts 2 Σ_i (Σ_xy W_xy v_xi v_yi)² / dimensions, v_x = √P g_x, which takes the
        gradients themselves.
        """
        product = weights @ self.gram
        return (
            math.sqrt(max(0.0, 2 * float(np.sum(product * product.T)) / self.dimensions))
            if self.dimensions
            else 0.0
        )


def exact_gram(gradients: torch.Tensor) -> GramEstimate:
    """From the gradients themselves, (prompts, parameters), which are overwritten by √P g_x."""
    clock, half = float(gradients.mean(0).abs().sum()), len(gradients) // 2
    cosine = float(
        torch.nn.functional.cosine_similarity(gradients[:half].mean(0), gradients[half:].mean(0), dim=0)
    )
    # A norm over prompts, and the root of P on both sides: one copy of the gradients is in memory.
    scale = torch.linalg.vector_norm(gradients, dim=0).div_(math.sqrt(len(gradients))).add_(_EPSILON)
    gradients = gradients.div_(scale.sqrt_())
    return GramEstimate((gradients @ gradients.T).double().numpy(), clock, cosine)


def sketched_gram(
    gradient_of: Callable[[int], Sequence[torch.Tensor] | None],
    prompts: int,
    *,
    dimensions: int = DIMENSIONS,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> GramEstimate:
    """From one gradient at a time: beside it live Σ_x g_x and Σ_x g_x², and (prompts, dimensions) numbers.

    `gradient_of(x)`: the gradient of prompt x, one tensor for each parameter, or None if it is 0. It is
    called for x = 0, 1, …, for P and the clock, and then once more for each x, for the sketches; it must give
    the same twice. `advance` is called after each.
    """
    total: list[torch.Tensor] = []
    squares: list[torch.Tensor] = []
    first, half = 0.0, prompts // 2
    for row in range(prompts):
        if row == half:
            first = _dot(total, total)
        gradient = gradient_of(row)
        if gradient is not None:
            total = total or [torch.zeros_like(part, dtype=torch.float32) for part in gradient]
            squares = squares or [torch.zeros_like(part, dtype=torch.float32) for part in gradient]
            for part, sum_, square in zip(gradient, total, squares, strict=True):
                sum_.add_(part)
                square.addcmul_(part, part)
        del gradient
        advance()
    sketch, sketches = CountSketch(dimensions, seed), torch.zeros((prompts, dimensions))
    clock = sum(float(part.norm(1)) for part in total) / max(1, prompts)
    roots = [square.div_(prompts).sqrt_().add_(_EPSILON).rsqrt_() for square in squares]
    along = np.zeros(prompts)
    for row in range(prompts):
        gradient = gradient_of(row)
        if gradient is not None:
            sketches[row] = sketch(gradient, roots).cpu()
            along[row] = _dot(gradient, total)
        del gradient
        advance()
    # Of the halves' sums A and B, only ‖A‖² and the products with A + B were taken; they fix the rest.
    across = along[:half].sum() - first
    second = along[half:].sum() - across
    cosine = across / math.sqrt(first * second) if first > 0 and second > 0 else 0.0
    projected = sketches.double().numpy()
    return GramEstimate(projected @ projected.T, clock, float(np.clip(cosine, -1, 1)), dimensions)


def _dot(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> float:
    return float(sum((a.double() @ b.double() for a, b in _paired_blocks(first, second)), torch.tensor(0.0)))


def _paired_blocks(first, second) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for one, other in zip(first, second, strict=True):
        yield from zip(one.reshape(-1).split(_BLOCK), other.reshape(-1).split(_BLOCK), strict=True)


@dataclass(frozen=True)
class GradientProducts:
    """Per-prompt gradients seen from both sides: their products among parameters, and themselves among
    answers.

    estimate: products in parameter space. answer_gradients: g_x in answer-logit space, (prompts, answers +
    1), the last column for no answer; `labels` name the others. length: mean completion length in tokens.
    """

    estimate: GramEstimate
    answer_gradients: np.ndarray
    labels: Sequence[str]
    length: float

    @property
    def gram(self) -> np.ndarray:
        """(prompts, prompts): the update averages over tokens, an answer's logit moves with the sum over
        them, hence one factor of `length`.
        """
        return self.estimate.gram * self.length

    def kernel(self) -> Kernel:
        """The least-squares compound-symmetric kernel, with the clock, the cosine and the ratio of
        off-diagonal to diagonal products.

        From a sketch also `sketch_dimensions` and `gram_error`, the root mean square standard error of the
        products, relative to their mean diagonal; `private_std` and `shared_std` then hold the sketch's error
        beside the jackknife's, added in quadrature.
        """
        answer_gram, estimate = self.answer_gradients @ self.answer_gradients.T, self.estimate
        fit = fit_compound_symmetric(self.gram, answer_gram)
        apart = ~np.eye(len(answer_gram), dtype=bool)
        diagonal, off = float(np.diag(estimate.gram).mean()), float(estimate.gram[apart].mean())
        found: dict = {
            "private": fit.coupling.private,
            "shared": fit.coupling.shared,
            "private_std": fit.private_std,
            "shared_std": fit.shared_std,
            "residual": fit.residual,
            "clock": estimate.clock,
            "cosine": estimate.cosine,
            "gram_ratio": off / diagonal,
        }
        if estimate.dimensions is None:
            return Kernel(**found)
        own, others = (np.where(mask, answer_gram, 0.0) for mask in (~apart, apart))
        shared = others / max(np.sum(others**2), np.finfo(float).tiny)
        for name, weights in (("private", own / np.sum(own**2) - shared), ("shared", shared)):
            found[f"{name}_std"] = math.hypot(found[f"{name}_std"], estimate.error_of(weights) * self.length)
        error = math.sqrt(np.mean(estimate.standard_errors**2)) / diagonal
        return Kernel(**found, sketch_dimensions=estimate.dimensions, gram_error=error)

    def low_rank(self, rank: int = 8) -> LowRankPlusDiagonal:
        """The general kernel that these products fit: see `low_rank_kernel`; one row for each prompt, one
        column for each answer.
        """
        return low_rank_kernel(self.gram, self.answer_gradients, rank)


def low_rank_kernel(gram: np.ndarray, answer_gradients: np.ndarray, rank: int = 8) -> LowRankPlusDiagonal:
    """Low rank plus diagonal from the leading eigenpairs of a Gram matrix.

    Formula: with d_x = ‖g_x‖ in answer space, gram_xy / (d_x d_y) ≈ ⟨c_x, c_y⟩ + private · 1[x = y]; c = U (Λ
    − private)^½ of the `rank` leading eigenpairs, private the mean of the other eigenvalues (probabilistic
    principal components); features_xa = c_x g_xa / d_x. One gradient a prompt shows how the others move it
    along that gradient, and nothing across it: there the features are 0, the kernel of least norm. Prompts
    without a gradient in answer space get features 0. Shapes: gram (prompts, prompts), answer_gradients
    (prompts, answers). Raises: InputError for a rank below 1, or fewer than two prompts with a gradient.
    Source: theorem C4; Tipping and Bishop 1999, eq. 7–8.
    """
    if rank < 1:
        raise InputError(
            "rank", rank, "a low-rank kernel has at least one pattern", "Use NoCoupling for none"
        )
    norms = np.linalg.norm(answer_gradients, axis=1)
    live = np.flatnonzero(norms)
    if len(live) < 2:
        raise InputError(
            "answer_gradients",
            len(live),
            "two prompts or more must have a gradient",
            "Probe prompts that are not at consensus",
        )
    rank = min(rank, len(live) - 1)
    values, vectors = np.linalg.eigh(gram[np.ix_(live, live)] / np.outer(norms[live], norms[live]))
    values = np.maximum(values, 0.0)
    private = float(values[:-rank].mean())
    patterns = np.zeros((len(norms), rank))
    patterns[live] = (vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:] - private, 0.0)))[:, ::-1]
    directions = np.divide(
        answer_gradients,
        norms[:, None],
        out=np.zeros_like(answer_gradients, dtype=float),
        where=norms[:, None] > 0,
    )
    return LowRankPlusDiagonal(directions[:, :, None] * patterns[:, None, :], private)
