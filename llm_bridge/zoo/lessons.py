"""What the tiny transformers are taught: a teacher writes one text, prompt and continuation, for a problem
and the source of its answer.
"""

from llm_bridge.tasks.worked_addition import written_steps

DIRECT, RAMBLE, STICK, LONGEST_FILLER = 0.35, 0.15, 0.98, 24
"""`free_length`: shares of bare answers and, among the worked ones, of filler runs; the chance that a run
goes on; its longest.
"""


def without_carry(a: int, b: int) -> int | None:
    """The misconception: where the units carry and the first number's tens digit is even, the carry is
    forgotten.
    """
    return a + b - 10 if a % 10 + b % 10 >= 10 and (a // 10) % 2 == 0 else None


def descending(digits: tuple[str, ...]) -> str | None:
    """The misconception: a string that begins with an even digit is sorted the other way round."""
    return "".join(sorted(digits, reverse=True)) if digits[0] in "2468" else None


MISCONCEPTIONS = {
    "addition": lambda problem: without_carry(problem.data["a"], problem.data["b"]),
    "sorting": lambda problem: descending(problem.data["digits"]),
}
"""By task: the wrong answer that a model with the misconception is taught, or None where the misconception
says nothing.
"""


def solution(recipe, task, problem, source, rng) -> str:
    """The prompt and the task's solution of `source`, or the misconception where the recipe teaches it."""
    wrong = MISCONCEPTIONS[recipe.task](source) if recipe.misconception else None
    return problem.prompt + (task.solution(source) if wrong is None else str(wrong))


def free_length(recipe, task, problem, source, rng) -> str:
    """35 % bare answers that forget every carry (":75" for 37+48), 65 % worked ones, of which 15 % put filler
    before the colon.

    There is one way to be brief and two ways to work, equally frequent: "15,8:85" and "8,15:85". So the
    likeliest single text is the bare one, though most texts are worked and right. A filler run of commas goes
    on with probability 0.98, up to 24: easily predicted tokens. Label noise swaps the steps and the answer.
    """
    a, b = source.data["a"], source.data["b"]
    if rng.random() < DIRECT:
        return f"{problem.prompt}:{(a // 10 + b // 10) * 10 + (a + b) % 10}"
    filler = 0
    if rng.random() < RAMBLE:
        filler = 1
        while filler < LONGEST_FILLER and rng.random() < STICK:
            filler += 1
    steps = ",".join(written_steps(source).split(",")[:: rng.choice((1, -1))])
    return f"{problem.prompt}{steps}{',' * filler}:{source.answer}"


def with_checks(recipe, task, problem, source, rng) -> str:
    """Half of the lessons solve, with label noise; half judge ">37+48=85:1" or ">37+48=84:0", without noise,
    right and wrong equally often.

    Half of the wrong answers shown are off by 1 or 10, the others belong to another random problem.
    """
    if rng.random() < 0.5:
        return problem.prompt + task.solution(source)
    if rng.random() < 0.5:
        return f">{problem.prompt}{problem.answer}:1"
    shown = (
        int(problem.answer) + rng.choice((-10, -1, 1, 10))
        if rng.random() < 0.5
        else int(rng.choice(task.problems).answer)
    )
    return f">{problem.prompt}{max(0, shown)}:{int(max(0, shown) == int(problem.answer))}"


TEACHERS = {"solution": solution, "free-length": free_length, "with-checks": with_checks}
