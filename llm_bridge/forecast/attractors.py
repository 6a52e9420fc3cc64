"""What the answers of a broken model have in common: one answer, a rule that each prompt fills in its own
way, or nothing.

A description is a rule that can be recounted on any model's replies. It is named only if it is what became of
most of the prompts whose answer changed, and became so in this run: what the initial model already did is no
attractor. Rules are tried from the most specific to the most general.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from llm_bridge.sampling.greedy import Reply
from sharpening.errors import InputError

CHANCE = 0.01
"""A rule is named if a fair coin would give its gain of prompts, against its losses, with at most this
probability (sign test).

Of a set of answers, the probability times the number of sets that could have been chosen.
"""

HANDFUL, SHOWN = 5, 60
"""The most answers in "few answers", each of them on at least 1/(2·HANDFUL) of the prompts; characters of a
text that is shown.
"""

_WORD = re.compile(r"(?<![\w)])-?\d+(?:\.\d+)?|\d+|[^\W\d_]+(?:['’.-][^\W\d_]+)*")
_ORDINALS = {1: "first", -1: "last", 2: "second", -2: "last but one", 3: "third", -3: "last but two"}
"""Places of a prompt's words, counted from either end, in the order in which they are named if two hold
equally often.
"""


@dataclass(frozen=True)
class Attractor:
    """A rule, and on how many prompts it holds.

    kind, value: the rule (`KINDS`; "scattered": none was found, and value is the number of distinct answers).
    share, initial_share: share of the prompts on which it holds, now and in the initial model; of "scattered"
    the share of prompts whose answer changed, and 0. example: a (prompt, completion) on which it holds.
    displacement: where the pilot was then, as in `llm_bridge.forecast.pilot.Pilot`.
    """

    kind: str
    value: str | int | tuple[str, ...]
    share: float
    initial_share: float
    example: tuple[str, str] | None = None
    displacement: float | None = None

    @property
    def named(self) -> bool:
        """Whether there is a rule at all."""
        return self.kind != "scattered"

    @property
    def rule(self) -> tuple:
        """What two descriptions of one attractor share, whatever their prompts."""
        return (self.kind, self.value) if self.named else (self.kind,)

    @property
    def text(self) -> str:
        """The rule in words."""
        return (
            KINDS[self.kind].phrase(self.value)
            if self.named
            else f"{self.value} distinct answers with nothing in common"
        )

    def __str__(self) -> str:
        if not self.named:
            return f"{self.text} ({self.share:.0%} of the prompts changed theirs)"
        shown = "" if self.example is None else f"; {_quoted(self.example[0])} → {_quoted(self.example[1])}"
        return f"{self.text} ({self.share:.0%} of the prompts, {self.initial_share:.0%} before{shown})"

    def held(self, prompts: Sequence[str], replies: Sequence[Reply]) -> float:
        """The share of these prompts on which the rule holds in these replies, of whatever model; NaN without
        a rule.
        """
        if not self.named:
            return math.nan
        marks = _marks(self.kind, self.value, varying_words(prompts), replies)
        return sum(marks) / len(marks)

    def as_dict(self) -> dict:
        """Plain data, five significant digits."""
        short = lambda value: None if value is None else float(f"{value:.5g}")  # noqa: E731
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {
            "kind": self.kind,
            "value": value,
            "share": short(self.share),
            "initial_share": short(self.initial_share),
            "example": None if self.example is None else list(self.example),
            "displacement": short(self.displacement),
        }

    @classmethod
    def from_dict(cls, data: dict) -> "Attractor":
        tuples = {name: tuple(data[name]) for name in ("value", "example") if isinstance(data[name], list)}
        return cls(**data | tuples)


@lru_cache(4096)
def words(text: str) -> tuple[str, ...]:
    """Words and numbers of a text in order, without case, diacritics and leading zeros."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return tuple(re.sub(r"^(-?)0+(?=\d)", r"\1", word) for word in _WORD.findall(plain))


def varying_words(prompts: Sequence[str]) -> list[tuple[str, ...]]:
    """Each prompt's words that do not occur in every prompt, in order: what it asks about, in prompts of one
    form.
    """
    rows = [words(prompt) for prompt in prompts]
    common = set.intersection(*map(set, rows))
    return [tuple(word for word in row if word not in common) for row in rows]


@dataclass(frozen=True)
class _Kind:
    """holds(value, varying words of the prompt, reply), the rule in words, and the property of a reply that
    it fixes, if it fixes one.
    """

    holds: Callable[..., bool]
    phrase: Callable[..., str]
    read: Callable[[Reply], str | int | None] | None = None


def _feature(read, phrase) -> _Kind:
    """The rule that one property of the reply has one value; `read` gives None where there is no such
    property.
    """
    return _Kind(lambda value, own, reply: read(reply) == value, phrase, read)


def _said(reply: Reply) -> tuple[str, ...]:
    return words(reply.text if reply.answer is None else reply.answer)


def _repeats(reply: Reply, wanted: tuple[str, ...]) -> bool:
    """Whether the answer is these words; without an answer, whether the text begins with them. A last word
    may be cut at the length limit.
    """
    said = _said(reply)
    if reply.answer is None:
        said = said[: len(wanted)]
    if not wanted or len(said) != len(wanted):
        return False
    cut = not reply.ended and not said[-1][-1].isdigit() and words(reply.text)[-1:] == said[-1:]
    return said[:-1] == wanted[:-1] and (said[-1] == wanted[-1] or cut and wanted[-1].startswith(said[-1]))


def _at(own: tuple[str, ...], place: int) -> tuple[str, ...]:
    """The word at a place (1: first, −1: last), alone in a tuple, empty where there is none; all of them at
    0.
    """
    index = place - 1 if place > 0 else place + len(own)
    return own if place == 0 else own[index : index + 1] if 0 <= index < len(own) else ()


def _unread(how: str, own: tuple[str, ...], reply: Reply) -> bool:
    if reply.answer is not None:
        return False
    return {
        "empty": not reply.text.strip(),
        "repetition": _periodic(reply.text),
        "endless": not reply.ended,
        "any": True,
    }[how]


def _periodic(text: str) -> bool:
    """Whether a text is one piece of up to 20 characters, at least three times over."""
    text = " ".join(text.split())
    return any(len(text) >= 3 * period and text[period:] == text[:-period] for period in range(1, 21))


def _first(items):
    return items[0] if items else None


def _quoted(text: str) -> str:
    text = " ".join(text.split())
    return f'"{text[:SHOWN]}…"' if len(text) > SHOWN else f'"{text}"'


_UNREAD = {
    "empty": "no answer: nothing is written",
    "repetition": "no answer: one piece repeated",
    "endless": "no answer, up to the length limit",
    "any": "no answer that can be read",
}

KINDS = {
    "answer": _feature(lambda reply: reply.answer, lambda value: f"one answer, {_quoted(value)}"),
    "text": _feature(
        lambda reply: " ".join(reply.text.split()) or None if reply.answer is None else None,
        lambda value: f"one text without an answer, {_quoted(value)}",
    ),
    "copy": _Kind(
        lambda place, own, reply: _repeats(reply, _at(own, place)),
        lambda place: (
            f"repeating the {_ORDINALS[place]} word or number that varies between prompts"
            if place
            else "repeating all that varies between prompts"
        ),
    ),
    "blind": _Kind(
        lambda value, own, reply: reply.answer is not None and reply.answer == reply.blind,
        lambda value: "the answer that a plain grey image would get: it does not look",
    ),
    "few answers": _Kind(
        lambda value, own, reply: reply.answer in value,
        lambda value: f"one of {len(value)} answers, {', '.join(map(_quoted, value))}",
    ),
    "quote": _Kind(
        lambda value, own, reply: any(_repeats(reply, (word,)) for word in own),
        lambda value: "repeating some word or number that varies between prompts",
    ),
    "first word": _feature(
        lambda reply: _first(words(reply.text)), lambda value: f"one first word, {_quoted(value)}"
    ),
    "no answer": _Kind(_unread, _UNREAD.__getitem__),
    "beginning": _feature(
        lambda reply: (reply.answer or "")[:1] or None,
        lambda value: f"answers that begin with {_quoted(value)}",
    ),
    "ending": _feature(
        lambda reply: (reply.answer or "")[-1:] or None, lambda value: f"answers that end in {_quoted(value)}"
    ),
    "length": _feature(
        lambda reply: len(reply.answer or "") or None, lambda value: f"answers of {value} characters"
    ),
}
"""The kinds of rule, from the most specific to the most general."""


def describe(
    prompts: Sequence[str], replies: Sequence[Reply], initial: Sequence[Reply]
) -> tuple[Attractor, ...]:
    """What the replies have in common that the initial model's did not, the most specific first; "scattered"
    alone if nothing.

    A rule is named if it came to hold on at least half of the prompts whose answer changed, and if chance
    (`CHANCE`) does not explain that it gained more prompts than it lost. Of each kind the first such rule is
    told, and a more general one only if it holds on more prompts. Texts without an answer are the same answer
    if they are the same text.

    Raises:
        InputError: no prompts, or not one reply and one initial reply for each.
    """
    if not prompts or not len(prompts) == len(replies) == len(initial):
        raise InputError(
            "replies",
            len(replies),
            "there must be one for each prompt, of the run and of the initial model; there are "
            f"{len(prompts)} prompts and {len(initial)} initial replies",
            "Ask both models all of the prompts",
        )
    own = varying_words(prompts)
    changed = [_value(now) != _value(before) for now, before in zip(replies, initial, strict=True)]
    found, most = {}, 0
    for kind, value, tries in _candidates(own, replies, initial):
        now, before = _marks(kind, value, own, replies), _marks(kind, value, own, initial)
        gained = sum(n and not b and c for n, b, c in zip(now, before, changed, strict=True))
        lost = sum(b and not n for n, b in zip(now, before, strict=True))
        if (
            kind in found
            or 2 * gained < sum(changed)
            or tries * _sign_test(gained, lost) > CHANCE
            or sum(now) <= most
        ):
            continue
        most = sum(now)
        example = min(
            (p, reply.text)
            for p, reply, n, b in zip(prompts, replies, now, before, strict=True)
            if n and not b
        )
        found[kind] = Attractor(kind, value, most / len(prompts), sum(before) / len(prompts), example)
    return tuple(found.values()) or (
        Attractor("scattered", len({_value(reply) for reply in replies}), sum(changed) / len(prompts), 0.0),
    )


def fall(
    prompts: Sequence[str], initial: Sequence[Reply], steps: Sequence[tuple[float, Sequence[Reply]]]
) -> tuple[Attractor, ...]:
    """The attractor at each (displacement, replies) where it becomes another, and at the last."""
    path = [
        replace(describe(prompts, replies, initial)[0], displacement=displacement)
        for displacement, replies in steps
    ]
    return tuple(one for i, one in enumerate(path) if i in (0, len(path) - 1) or one.rule != path[i - 1].rule)


def told(*paths: Sequence[Attractor] | None) -> list[str]:
    """The sentence of a forecast about what its pilots fell into, those with the same end together; none
    without a pilot that broke.
    """
    ends: dict[tuple, list[str]] = {}
    for path in filter(None, paths):
        ends.setdefault(path[-1].rule, []).append(_ways(path))
    if not ends:
        return []
    if len(paths) == 1:
        ((ways,),) = ends.values()
        return [
            f"Pushed until half of its answers broke, a throwaway copy fell {ways}. A run at another learning"
            " rate may fall elsewhere."
        ]
    copies = "; ".join(f"{len(ways)} fell {ways[0]}" for ways in ends.values())
    return [
        f"Of {len(paths)} throwaway copies, pushed until half of their answers broke, {copies}. Another seed"
        " or rate may fall elsewhere."
    ]


def _ways(path: Sequence[Attractor]) -> str:
    """The first rule that could be named, and the end."""
    first, last = next((one for one in path if one.named), path[0]), path[-1]
    return f"into {first}" if first.rule == last.rule else f"first into {first}, in the end into {last}"


def _value(reply: Reply):
    return (True, reply.answer) if reply.answer is not None else (False, " ".join(reply.text.split()))


def _marks(kind, value, own, replies) -> list[bool]:
    return [KINDS[kind].holds(value, row, reply) for row, reply in zip(own, replies, strict=True)]


def _candidates(own, replies, initial) -> Iterator[tuple[str, str | int | tuple[str, ...], int]]:
    """Rules to be counted, in the order in which they are tried, and from how many of their kind each was
    chosen after the fact.
    """
    fits = {place: -sum(_marks("copy", place, own, replies)) for place in (*_ORDINALS, 0)}
    counts = Counter(reply.answer for reply in replies)
    frequent = [
        answer
        for answer in _risen(KINDS["answer"].read, replies, initial)
        if 2 * HANDFUL * counts[answer] >= len(replies)
    ]
    rules: dict[str, list] = {
        "copy": sorted(fits, key=lambda place: fits[place]),
        "blind": [""] if any(reply.blind is not None for reply in replies) else [],
        "quote": [""],
        "no answer": list(_UNREAD),
        "few answers": [tuple(sorted(frequent[:k])) for k in range(2, min(HANDFUL, len(frequent)) + 1)],
    }
    for kind, rule in KINDS.items():
        for value in rules[kind] if kind in rules else _risen(rule.read, replies, initial)[:1]:
            yield kind, value, math.comb(len(counts), len(value)) if kind == "few answers" else 1


def _risen(read, replies, initial) -> list:
    """The values of a property, the one with the greatest rise in frequency first."""
    now, before = Counter(map(read, replies)), Counter(map(read, initial))
    return sorted(
        (value for value in now if value is not None), key=lambda value: (before[value] - now[value], value)
    )


def _sign_test(gained: int, lost: int) -> float:
    """P(at least `gained` heads in gained + lost tosses of a fair coin)."""
    tosses = gained + lost
    return sum(math.comb(tosses, heads) for heads in range(gained, tosses + 1)) / 2**tosses
