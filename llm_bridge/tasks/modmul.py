"""Multiplication modulo a prime: "12*34%97=" is to be continued with "20"."""

from llm_bridge.tasks.base import Problem, Task, digits_settled, plain_digits, register_task


@register_task
class ModularMultiplication(Task):
    """All products a*b modulo 97 with a and b in 1..96: 9,216 problems.

    Zero is left out, so each answer 1..96 is equally frequent and a constant guess scores exactly 1/96. The
    whole completion, stripped of outer white space, must be ASCII digits; anything else is no answer. "042"
    counts as 42.
    """

    name = "modmul"
    description = "multiplication modulo 97, 'a*b%97=' with a, b in 1..96"
    max_new_tokens = 4
    prime = 97

    def _build(self) -> tuple[Problem, ...]:
        p = self.prime
        return tuple(
            Problem(f"{a}*{b}%{p}=", str(a * b % p), {"a": a, "b": b})
            for a in range(1, p)
            for b in range(1, p)
        )

    def extract(self, completion: str) -> str | None:
        return plain_digits(completion)

    def rephrase(self, problem: Problem) -> tuple[str, ...]:
        return (f"{problem.data['b']}*{problem.data['a']}%{self.prime}=",)

    def settled(self, completion: str) -> bool:
        return digits_settled(completion)
