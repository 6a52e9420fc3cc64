"""The kernel between prompts as the forecast uses it, and what was measured with it."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Kernel:
    """A compound-symmetric kernel fitted to per-prompt gradients (theorem C4), and what goes with it.

    private, shared: per unit of preconditioned gradient step on answer logits; `private_std`, `shared_std`:
    their jackknife errors; `residual`: of the fit, relative. clock: ‖g‖₁ of one batch, so that a sign step of
    size η changes the objective by about η · clock nats. cosine: between the gradients of two disjoint halves
    of the prompts. gram_ratio: mean off-diagonal over mean diagonal of the preconditioned Gram matrix.
    gradient_prompts: how many were asked. From a sketch also `sketch_dimensions` and `gram_error`.
    What was not measured is None.
    """

    private: float = 0.0
    shared: float = 0.0
    private_std: float | None = None
    shared_std: float | None = None
    residual: float | None = None
    clock: float = 0.0
    cosine: float = 0.0
    gram_ratio: float = 0.0
    sketch_dimensions: int | None = None
    gram_error: float | None = None
    gradient_prompts: int | None = None

    def as_dict(self) -> dict[str, float]:
        """What was measured, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}
