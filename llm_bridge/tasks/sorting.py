"""Sorting: "3142>" is to be continued with "1234"."""

from itertools import product

from llm_bridge.tasks.base import Problem, Task, digits_settled, plain_digits, register_task


@register_task
class Sorting(Task):
    """All 6,561 strings of four digits 1..9, to be put in ascending order.

    The whole completion, stripped of outer white space, must be ASCII digits; anything else is no answer.
    Zero is left out, so that no answer begins with it. The largest base rate of one answer is that of four
    different digits: 24/6561.
    """

    name = "sorting"
    description = "four digits in ascending order, '3142>'"
    max_new_tokens = 6

    def _build(self) -> tuple[Problem, ...]:
        return tuple(
            Problem(f"{''.join(digits)}>", "".join(sorted(digits)), {"digits": digits})
            for digits in product("123456789", repeat=4)
        )

    def extract(self, completion: str) -> str | None:
        return plain_digits(completion)

    def settled(self, completion: str) -> bool:
        return digits_settled(completion)
