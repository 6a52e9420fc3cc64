"""Two-digit addition: "37+48=" is to be continued with "85"."""

from llm_bridge.tasks.base import Problem, Task, digits_settled, plain_digits, register_task


@register_task
class Addition(Task):
    """All 10,000 sums a+b with a and b in 0..99.

    The whole completion, stripped of outer white space, must be ASCII digits; anything else is no answer.
    "042" counts as 42. The largest base rate of one answer is that of 99: 1 %.
    """

    name = "addition"
    description = "two-digit addition, 'a+b=' with a, b in 0..99"
    max_new_tokens = 4

    def _build(self) -> tuple[Problem, ...]:
        return tuple(
            Problem(f"{a}+{b}=", str(a + b), {"a": a, "b": b}) for a in range(100) for b in range(100)
        )

    def extract(self, completion: str) -> str | None:
        return plain_digits(completion)

    def rephrase(self, problem: Problem) -> tuple[str, ...]:
        return (f"{problem.data['b']}+{problem.data['a']}=",)

    def settled(self, completion: str) -> bool:
        return digits_settled(completion)
