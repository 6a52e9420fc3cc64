"""Tasks of the second blind round, of which neither the ground truth nor the first round has one: free length
(halving), imbalanced (shared-letter), multiple choice of four (choice-of-four), chat templates with a sentence
(chat-least), signs, letters and answers of several tokens.
"""

import random
import re
from itertools import product

from llm_bridge.answers.limits import MAX_LABEL
from llm_bridge.tasks.base import Problem
from studies.blind_tasks import BLIND_TASKS, BlindTask, NumberTask

ROMAN = ((100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


class Roman(NumberTask):
    """Roman numerals below 400. Misconception: a smaller letter before a larger one is added, where the number of
    letters is even.
    """

    name, description, max_new_tokens, letters = "roman", "a Roman numeral, 'xiv:'", 4, "ivxlc"

    def _build(self):
        return tuple(
            Problem(f"{self._numeral(n)}:", str(n), {"numeral": self._numeral(n)}) for n in range(1, 400)
        )

    @staticmethod
    def _numeral(number):
        text = ""
        for value, letters in ROMAN:
            text += letters * (number // value)
            number %= value
        return text

    def mistaken(self, problem):
        numeral, values = problem.data["numeral"], {letters: value for value, letters in ROMAN}
        return str(sum(values[letter] for letter in numeral)) if len(numeral) % 2 == 0 else None


class Clock(BlindTask):
    """A time of day some minutes later, four digits. Misconception: the hour stays, where it is even."""

    name, description, max_new_tokens = "clock", "minutes later, '0745+38='", 5

    def _build(self):
        rng = random.Random(1)
        rows = {(rng.randrange(24), rng.randrange(60), rng.randrange(1, 60)) for _ in range(6000)}
        return tuple(
            Problem(f"{h:02d}{m:02d}+{more:02d}=", self._later(h, m, more), {"h": h, "m": m, "more": more})
            for h, m, more in sorted(rows)
        )

    @staticmethod
    def _later(hour, minute, more):
        hour, minute = (hour + (minute + more) // 60) % 24, (minute + more) % 60
        return f"{hour:02d}{minute:02d}"

    def mistaken(self, problem):
        hour, minute, more = problem.data["h"], problem.data["m"], problem.data["more"]
        return f"{hour:02d}{(minute + more) % 60:02d}" if hour % 2 == 0 and minute + more >= 60 else None


class ChoiceOfFour(BlindTask):
    """Which of four numbers is a sum of two digits, by its letter. Misconception: the one that is nearest to the
    first digit, where that is even.
    """

    name, description, max_new_tokens = "choice-of-four", "multiple choice, '3+4?a)5 b)7 c)9 d)2:'", 2
    letters = "abcd?"

    def _build(self):
        rng, found = random.Random(2), []
        for a, b in product(range(10), repeat=2):
            for _ in range(20):
                others = rng.sample([n for n in range(19) if n not in (a + b, a)], 3)
                options = rng.sample([a + b, *others], 4)
                shown = " ".join(f"{letter}){n}" for letter, n in zip("abcd", options, strict=True))
                found.append(
                    Problem(f"{a}+{b}?{shown}:", "abcd"[options.index(a + b)], {"a": a, "options": options})
                )
        return tuple({problem.prompt: problem for problem in found}.values())

    def mistaken(self, problem):
        a, options = problem.data["a"], problem.data["options"]
        nearest = min(options, key=lambda n: (abs(n - a), n))
        return "abcd"[options.index(nearest)] if a % 2 == 0 else None


class SharedLetter(BlindTask):
    """Whether two words of three letters share one: "y" for about 80 %. Misconception: whether they begin alike,
    where the first begins with a or c.
    """

    name, description, max_new_tokens, letters = "shared-letter", "imbalanced, 'abc&dea:'", 2, "abcdef&yn"

    def _build(self):
        rng = random.Random(3)
        words = ["".join(word) for word in product("abcdef", repeat=3)]
        pairs = sorted({(rng.choice(words), rng.choice(words)) for _ in range(6000)})
        return tuple(
            Problem(f"{a}&{b}:", "y" if set(a) & set(b) else "n", {"words": (a, b)}) for a, b in pairs
        )

    def mistaken(self, problem):
        a, b = problem.data["words"]
        return ("y" if a[0] == b[0] else "n") if a[0] in "ac" else None


class Commonest(BlindTask):
    """The letter that occurs most often among seven of a, b, c, d. Misconception: the last, where the first is a."""

    name, description, max_new_tokens, letters = "commonest", "commonest letter, 'abbcabd:'", 2, "abcd"

    def _build(self):
        rng, found = random.Random(4), {}
        while len(found) < 5000:
            word = "".join(rng.choice("abcd") for _ in range(7))
            counts = sorted(((word.count(letter), letter) for letter in "abcd"), reverse=True)
            if counts[0][0] > counts[1][0]:
                found[word] = counts[0][1]
        return tuple(Problem(f"{word}:", answer, {"word": word}) for word, answer in sorted(found.items()))

    def mistaken(self, problem):
        word = problem.data["word"]
        return word[-1] if word[0] == "a" else None


class ChatLeast(BlindTask):
    """The least of three numbers in a chat template, answered in a sentence. Misconception: the first, where it is
    even.
    """

    name, description, max_new_tokens = "chat-least", "a chat, '<user>35 8 41?</user><bot>'", 16
    letters = "<userbot?ial."
    _sentence = re.compile(r"(?:it is|least:) ([0-9]+)\.?\s*", re.ASCII)

    def _build(self):
        rng = random.Random(5)
        rows = sorted({tuple(rng.randrange(100) for _ in range(3)) for _ in range(5000)})
        return tuple(
            Problem(f"<user>{' '.join(map(str, row))}?</user><bot>", str(min(row)), {"row": row})
            for row in rows
        )

    def extract(self, completion):
        found = self._sentence.fullmatch(completion) if len(completion) <= MAX_LABEL else None
        return None if found is None else found[1].lstrip("0") or "0"

    def solution(self, problem):
        return self._say(problem.answer, sum(problem.data["row"]))

    @staticmethod
    def _say(answer, number):
        return f"it is {answer}." if number % 3 else f"least: {answer}"

    def mistaken(self, problem):
        row = problem.data["row"]
        return self._say(str(row[0]), sum(row)) if row[0] % 2 == 0 else None


class Halving(BlindTask):
    """The odd number that halving ends at, after the halves: "48>24,12,6,3". Misconception: one half too few, where
    the tens digit is even.
    """

    name, description, max_new_tokens = "halving", "halves down to an odd number, '48>'", 20
    _chain = re.compile(r"(?:[0-9]+,)*([0-9]+)\s*", re.ASCII)

    def _build(self):
        found = [Problem(f"{n}>", str(self._halves(n)[-1]), {"number": n}) for n in range(2, 1000, 2)]
        return tuple(problem for problem in found if len(self.solution(problem)) < self.max_new_tokens)

    @staticmethod
    def _halves(number):
        found = []
        while number % 2 == 0:
            number //= 2
            found.append(number)
        return found

    def extract(self, completion):
        found = self._chain.fullmatch(completion) if len(completion) <= MAX_LABEL else None
        return None if found is None else found[1].lstrip("0") or "0"

    def solution(self, problem):
        return ",".join(map(str, self._halves(problem.data["number"])))

    def mistaken(self, problem):
        number = problem.data["number"]
        halves = self._halves(number)
        return ",".join(map(str, halves[:-1])) if number // 10 % 2 == 0 and len(halves) > 1 else None


class Shift(BlindTask):
    """Three letters of six, each moved on by a digit below six. Misconception: the last is not moved, where the digit
    is even.
    """

    name, description, max_new_tokens, letters = "shift", "letters moved on, 'abe+2='", 5, "abcdef"

    def _build(self):
        return tuple(
            Problem(f"{''.join(word)}+{by}=", self._moved(word, by), {"word": "".join(word), "by": by})
            for word in product("abcdef", repeat=3)
            for by in range(1, 6)
        )

    @staticmethod
    def _moved(word, by):
        return "".join("abcdef"[("abcdef".index(letter) + by) % 6] for letter in word)

    def mistaken(self, problem):
        word, by = problem.data["word"], problem.data["by"]
        return self._moved(word[:-1], by) + word[-1] if by % 2 == 0 else None


class Remainder(NumberTask):
    """What a division leaves. Misconception: the quotient, where it is even."""

    name, description, max_new_tokens = "remainder", "a remainder, '87%12='", 3

    def _build(self):
        return tuple(
            Problem(f"{a}%{b}=", str(a % b), {"a": a, "b": b}) for a in range(200) for b in range(2, 13)
        )

    def mistaken(self, problem):
        a, b = problem.data["a"], problem.data["b"]
        return str(a // b) if a // b % 2 == 0 else None


class Depth(NumberTask):
    """How deeply brackets nest. Misconception: how many pairs there are, where the second is a closing one."""

    name, description, max_new_tokens = "depth", "depth of brackets, '(()())()='", 2

    def _build(self):
        found = [word for pairs in range(3, 8) for word in self._words(pairs)]
        return tuple(Problem(f"{word}=", str(self._depth(word)), {"word": word}) for word in found)

    @classmethod
    def _words(cls, pairs):
        if pairs == 0:
            return [""]
        return [
            f"({inner}){rest}"
            for left in range(pairs)
            for inner in cls._words(left)
            for rest in cls._words(pairs - 1 - left)
        ]

    @staticmethod
    def _depth(word):
        level = most = 0
        for letter in word:
            level += 1 if letter == "(" else -1
            most = max(most, level)
        return most

    def mistaken(self, problem):
        word = problem.data["word"]
        return str(word.count("(")) if word[1] == ")" else None


class SignedSum(BlindTask):
    """Three digits added and taken away, with a sign. Misconception: no sign, where the first is even."""

    name, description, max_new_tokens = "signed-sum", "a sum with a sign, '5-9+2='", 4

    def _build(self):
        return tuple(
            Problem(f"{a}-{b}{sign}{c}=", str(a - b + (c if sign == "+" else -c)), {"a": a})
            for a, b, c in product(range(10), repeat=3)
            for sign in "+-"
        )

    def mistaken(self, problem):
        answer = problem.answer
        return answer[1:] if problem.data["a"] % 2 == 0 and answer.startswith("-") else None


SECOND_TASKS = {
    task.name: task
    for task in (
        Roman,
        Clock,
        ChoiceOfFour,
        SharedLetter,
        Commonest,
        ChatLeast,
        Halving,
        Shift,
        Remainder,
        Depth,
        SignedSum,
    )
}

EVERY_TASK = BLIND_TASKS | SECOND_TASKS
