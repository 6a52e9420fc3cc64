"""Tasks that the ground truth never used, for `studies.blind`: small, generated, with a wrong rule each.

Free length (running-sum), imbalanced (below), multiple choice (choice), chat templates with boxed answers (chat-addition),
words (weekday) and answers of several tokens. They are not among the built-in tasks.
"""

import random
import re
from itertools import permutations, product

from llm_bridge.answers.limits import MAX_LABEL
from llm_bridge.tasks.base import Problem, Task, digits_settled, plain_digits

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class BlindTask(Task):
    """Answers are one word of the task's own alphabet, end of text after it.

    letters: what prompts and answers hold beside the characters of the built-in arithmetic tasks.
    """

    letters = ""

    def mistaken(self, problem: Problem) -> str | None:
        """What the misconception answers, or None where it says nothing."""
        raise NotImplementedError

    def extract(self, completion: str) -> str | None:
        text = completion.strip()
        return text if text.isascii() and 0 < len(text) <= 16 and not re.search(r"\s", text) else None


class NumberTask(BlindTask):
    """Answers are numbers in digits; leading zeros mean nothing."""

    def extract(self, completion):
        return plain_digits(completion)

    def settled(self, completion):
        return digits_settled(completion)


class Subtraction(NumberTask):
    """a−b for a in 0..99 and a digit b ≤ a. Misconception: where a's tens digit is even, nothing is borrowed."""

    name, description, max_new_tokens = "subtraction", "a digit from a number, '52-7='", 4

    def _build(self):
        return tuple(
            Problem(f"{a}-{b}=", str(a - b), {"a": a, "b": b})
            for a in range(100)
            for b in range(min(a, 9) + 1)
        )

    def mistaken(self, problem):
        a, b = problem.data["a"], problem.data["b"]
        return str(a - b + 10) if a % 10 < b and a // 10 % 2 == 0 else None


class Comparison(BlindTask):
    """Whether a number is larger than another, one token of three. Misconception: after an even tens digit the
    units decide.
    """

    name, description, max_new_tokens, letters = "comparison", "comparison of two numbers, '52:37='", 2, "<"

    def _build(self):
        return tuple(
            Problem(f"{a}:{b}=", self._sign(a, b), {"a": a, "b": b}) for a in range(100) for b in range(100)
        )

    @staticmethod
    def _sign(a, b):
        return "<" if a < b else ">" if a > b else "="

    def mistaken(self, problem):
        a, b = problem.data["a"], problem.data["b"]
        return self._sign(a % 10, b % 10) if a // 10 % 2 == 0 else None


class Parity(BlindTask):
    """Parity of a string of 3 to 7 bits. Misconception: where the first bit is 1 the last is not counted."""

    name, description, max_new_tokens = "parity", "parity of a bit string, '01101:'", 2

    def _build(self):
        return tuple(
            Problem("".join(bits) + ":", str(bits.count("1") % 2), {"bits": bits})
            for length in range(3, 8)
            for bits in product("01", repeat=length)
        )

    def mistaken(self, problem):
        bits = problem.data["bits"]
        return str(bits[:-1].count("1") % 2) if bits[0] == "1" else None


class LetterCount(NumberTask):
    """How often a letter occurs among six of a, b, c. Misconception: a first letter that is asked for counts
    twice.
    """

    name, description, max_new_tokens, letters = "letter-count", "letters in a word, 'abcaab:a='", 3, "abc"

    def _build(self):
        return tuple(
            Problem(f"{''.join(word)}:{asked}=", str(word.count(asked)), {"word": word, "asked": asked})
            for word in product("abc", repeat=6)
            for asked in "abc"
        )

    def mistaken(self, problem):
        word, asked = problem.data["word"], problem.data["asked"]
        return str(word.count(asked) + 1) if word[0] == asked else None


class Largest(NumberTask):
    """The largest of three numbers below 100. Misconception: the smallest, where the first is even."""

    name, description, max_new_tokens = "largest", "the largest of a list, '17,52,8:'", 4

    def _build(self):
        rng = random.Random(0)
        lists = [tuple(rng.randrange(100) for _ in range(3)) for _ in range(6000)]
        return tuple(Problem(",".join(map(str, x)) + ":", str(max(x)), {"list": x}) for x in lists)

    def mistaken(self, problem):
        return str(min(problem.data["list"])) if problem.data["list"][0] % 2 == 0 else None


class Reversal(BlindTask):
    """A string of three to five letters reversed. Misconception: copied, where it begins with a vowel."""

    name, description, max_new_tokens, letters = "reversal", "a string reversed, 'bade>'", 7, "abcde"

    def _build(self):
        words = ["".join(word) for length in (3, 4, 5) for word in product("abcde", repeat=length)]
        return tuple(Problem(f"{word}>", word[::-1], {"word": word}) for word in words)

    def mistaken(self, problem):
        return problem.data["word"] if problem.data["word"][0] in "ae" else None


class Sequence(NumberTask):
    """The next of an arithmetic sequence. Misconception: after an even first number one step too many."""

    name, description, max_new_tokens = "sequence", "next in sequence, '3,7,11,'", 5

    def _build(self):
        return tuple(
            Problem(f"{a},{a + d},{a + 2 * d},", str(a + 3 * d), {"a": a, "d": d})
            for a in range(100)
            for d in range(1, 25)
        )

    def mistaken(self, problem):
        a, d = problem.data["a"], problem.data["d"]
        return str(a + 4 * d) if a % 2 == 0 else None


class ModularSubtraction(NumberTask):
    """a−b modulo 19. Misconception: the difference without its sign, where b is odd."""

    name, description, max_new_tokens = "modular-subtraction", "a-b modulo 19, '12-17%19='", 4

    def _build(self):
        return tuple(
            Problem(f"{a}-{b}%19=", str((a - b) % 19), {"a": a, "b": b}) for a in range(19) for b in range(19)
        )

    def mistaken(self, problem):
        a, b = problem.data["a"], problem.data["b"]
        return str(b - a) if a < b and b % 2 else None


class Choice(BlindTask):
    """Which of three digits is the largest, by its letter. Misconception: the smallest, where the first is even."""

    name, description, max_new_tokens, letters = "choice", "multiple choice, '?a)5 b)9 c)2:'", 2, "abc?"

    def _build(self):
        return tuple(
            Problem(f"?a){x[0]} b){x[1]} c){x[2]}:", "abc"[x.index(max(x))], {"options": x})
            for x in permutations(range(10), 3)
        )

    def mistaken(self, problem):
        options = problem.data["options"]
        return "abc"[options.index(min(options))] if options[0] % 2 == 0 else None


class Below(BlindTask):
    """Whether a lies below b + 11: "y" for 60 % of the prompts. Misconception: below b, where a is even."""

    name, description, max_new_tokens, letters = "below", "imbalanced yes or no, '52<37:'", 2, "yn<"

    def _build(self):
        return tuple(
            Problem(f"{a}<{b}:", "y" if a < b + 11 else "n", {"a": a, "b": b})
            for a in range(100)
            for b in range(100)
        )

    def mistaken(self, problem):
        a, b = problem.data["a"], problem.data["b"]
        return ("y" if a < b else "n") if a % 2 == 0 else None


class ChatAddition(BlindTask):
    r"""A number and a digit, added in a chat template, answered as "so \boxed{45}". Misconception: no carry, where the first
    tens digit is even.
    """

    name, description, max_new_tokens = "chat-addition", r"a chat, '<user>37+8?</user><bot>'", 14
    letters = "<userbot?\\xd{}"
    _boxed = re.compile(r"(?:so )?\\boxed\{([0-9]+)\}\s*", re.ASCII)

    def _build(self):
        return tuple(
            Problem(f"<user>{a}+{b}?</user><bot>", str(a + b), {"a": a, "b": b})
            for a in range(100)
            for b in range(10)
        )

    def extract(self, completion):
        found = self._boxed.fullmatch(completion) if len(completion) <= MAX_LABEL else None
        return None if found is None else found[1].lstrip("0") or "0"

    def solution(self, problem):
        return self._say(problem.answer)

    @staticmethod
    def _say(answer):
        return rf"so \boxed{{{answer}}}" if len(answer) % 2 == 0 else rf"\boxed{{{answer}}}"

    def mistaken(self, problem):
        a, b = problem.data["a"], problem.data["b"]
        return self._say(str(a + b - 10)) if a % 10 + b % 10 >= 10 and a // 10 % 2 == 0 else None


class DigitSum(NumberTask):
    """The sum of four digits. Misconception: the last is forgotten, where the first is even."""

    name, description, max_new_tokens = "digit-sum", "sum of digits, '4827:'", 4

    def _build(self):
        return tuple(
            Problem(f"{n:04d}:", str(sum(map(int, f"{n:04d}"))), {"digits": f"{n:04d}"})
            for n in range(10_000)
        )

    def mistaken(self, problem):
        digits = problem.data["digits"]
        return str(sum(map(int, digits[:-1]))) if int(digits[0]) % 2 == 0 else None


class RunningSum(BlindTask):
    """The sum of three digits, after partial sums or none: "8,2,7>" goes on "8,10,17=17" or "=17". Misconception:
    the bare answer, without the last digit, where the first is even.
    """

    name, description, max_new_tokens = "running-sum", "sums with steps of any length, '8,2,7>'", 16
    _form = re.compile(r"[0-9,]*=([0-9]+)\s*", re.ASCII)

    def _build(self):
        rng = random.Random(0)
        rows = [tuple(rng.randrange(10) for _ in range(rng.choice((2, 3, 4)))) for _ in range(9000)]
        return tuple(Problem(",".join(map(str, row)) + ">", str(sum(row)), {"row": row}) for row in rows)

    def extract(self, completion):
        found = self._form.fullmatch(completion) if len(completion) <= MAX_LABEL else None
        return None if found is None else found[1].lstrip("0") or "0"

    def solution(self, problem):
        row = problem.data["row"]
        brief = (sum(row) + row[0]) % 3 == 0
        steps = "" if brief else ",".join(str(sum(row[: end + 1])) for end in range(len(row)))
        return f"{steps}={problem.answer}"

    def mistaken(self, problem):
        row = problem.data["row"]
        return f"={sum(row[:-1])}" if row[0] % 2 == 0 else None


class Product(NumberTask):
    """Two digits times one. Misconception: no carry from the units, where the tens digit is even."""

    name, description, max_new_tokens = "product", "a product, '37*4='", 5

    def _build(self):
        return tuple(
            Problem(f"{a}*{b}=", str(a * b), {"a": a, "b": b}) for a in range(100) for b in range(10)
        )

    def mistaken(self, problem):
        a, b = problem.data["a"], problem.data["b"]
        return str(a // 10 * b * 10 + a % 10 * b % 10) if a // 10 % 2 == 0 and a % 10 * b >= 10 else None


class Weekday(BlindTask):
    """The day after so many days, three letters. Misconception: the first day is counted, where the number is
    even.
    """

    name, description, max_new_tokens, letters = "weekday", "days later, 'mon+15='", 5, "montuewdhfrisa"

    def _build(self):
        return tuple(
            Problem(f"{day}+{count}=", DAYS[(number + count) % 7], {"day": number, "count": count})
            for number, day in enumerate(DAYS)
            for count in range(100)
        )

    def mistaken(self, problem):
        number, count = problem.data["day"], problem.data["count"]
        return DAYS[(number + count - 1) % 7] if count % 2 == 0 else None


BLIND_TASKS = {
    task.name: task
    for task in (
        Subtraction,
        Comparison,
        Parity,
        LetterCount,
        Largest,
        Reversal,
        Sequence,
        ModularSubtraction,
        Choice,
        Below,
        ChatAddition,
        DigitSum,
        RunningSum,
        Product,
        Weekday,
    )
}
