"""Two-digit addition in as many tokens as the model likes: "37+48=" is to be continued with ":85", "15,8:85"
or "15,8,,,,:85".
"""

import re

from llm_bridge.answers.limits import MAX_LABEL
from llm_bridge.tasks.base import Problem, Task, register_task

_FORM = re.compile(r"\s*[0-9,]*:([0-9]+)\s*", re.ASCII)
_BEGINNING = re.compile(r"\s*[0-9,]*(:[0-9]*)?\s*", re.ASCII)


@register_task
class WorkedAddition(Task):
    """All 10,000 sums a+b with a and b in 0..99, answered after a colon, with anything made of digits and
    commas before it.

    So the length is free: a bare answer (":85"), the steps first ("15,8:85": the units' sum, the tens' with
    the carry), or filler. The label is the number after the colon, which must end the text; leading zeros
    mean nothing; any other text is no answer. The largest base rate of one answer is that of 99: 1 %.
    """

    name = "worked-addition"
    description = "two-digit addition with steps of any length, 'a+b=', the answer after a colon"
    max_new_tokens = 40

    def _build(self) -> tuple[Problem, ...]:
        return tuple(
            Problem(f"{a}+{b}=", str(a + b), {"a": a, "b": b}) for a in range(100) for b in range(100)
        )

    def extract(self, completion: str) -> str | None:
        found = _FORM.fullmatch(completion) if len(completion) <= MAX_LABEL else None
        return None if found is None else found[1].lstrip("0") or "0"

    def settled(self, completion: str) -> bool:
        return len(completion) > MAX_LABEL or _BEGINNING.fullmatch(completion) is None

    def solution(self, problem: Problem) -> str:
        """The steps, then the answer."""
        return f"{written_steps(problem)}:{problem.answer}"

    def rephrase(self, problem: Problem) -> tuple[str, ...]:
        a, b = problem.data["a"], problem.data["b"]
        return (f"{b}+{a}=",)


def written_steps(problem: Problem) -> str:
    """The units' sum and the tens' sum with its carry: "15,8" for 37+48."""
    a, b = problem.data["a"], problem.data["b"]
    units = a % 10 + b % 10
    return f"{units},{a // 10 + b // 10 + units // 10}"
