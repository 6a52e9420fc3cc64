"""Capitals, for pre-trained models: "The capital of France is" is to be continued with " Paris"."""

import re
import unicodedata

from llm_bridge.tasks.base import Problem, Task, register_task
from llm_bridge.tasks.capitals_data import CAPITALS, SPELLINGS

_LETTER = r"[^\W\d_](?:[\u0300-\u036f])*"
_WORD = re.compile(rf"{_LETTER}(?:['.-]?{_LETTER})*")
_JOINERS = "'.-"
_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u02bb\u02bc\u02b9\u2032`\u00b4"), "'")
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013"), "-")
_LONGEST_WORD = 60
_LONGEST_GAP = 200
_LONGEST_TEXT = _LONGEST_GAP + 2 * _LONGEST_WORD


@register_task
class Capitals(Task):
    """One problem a country; the answer is the **first word** of the completion.

    A word is the first run of letters, apostrophes, hyphens and full stops inside it included ("N'Djamena",
    "Port-au-Prince"). Case and diacritics do not matter ("bogota" is "Bogotá"), and known other spellings are
    one label ("Kiev" is "Kyiv"). **A capital of several words is judged by its first word alone** ("San" for
    San José, "Port" for Port Louis), since a few tokens hold no more. Where a country has two seats, or the
    city two names, either is correct, and they are different answers in the vote.

    Left out: countries whose capital begins with the country's own name (Singapore, Mexico, Kuwait ...),
    because a model that merely repeats the question would be right there; and countries whose capital is in
    dispute.
    """

    name = "capitals"
    description = "capital cities, 'The capital of X is', judged by the first word"
    max_new_tokens = 4
    default_eval_prompts = 96

    def _build(self) -> tuple[Problem, ...]:
        problems = []
        for country, capital, *others in CAPITALS:
            accepted = tuple(dict.fromkeys(first_word(name) for name in (capital, *others)))
            problems.append(
                Problem(
                    f"The capital of {country} is",
                    accepted[0],
                    {"country": country, "capital": capital, "accepted": accepted},
                )
            )
        return tuple(problems)

    def extract(self, completion: str) -> str | None:
        return first_word(completion)

    def is_correct(self, problem: Problem, label: str | None) -> bool:
        return label is not None and label in problem.data["accepted"]

    def settled(self, completion: str) -> bool:
        if len(completion) > _LONGEST_TEXT:
            return True
        text = _plain(completion.rstrip("\ufffd"))
        found = _WORD.search(text)
        if found is None:
            return len(text) > _LONGEST_GAP
        rest = text[found.end() :]
        return len(found.group()) > _LONGEST_WORD or bool(rest) and not (len(rest) == 1 and rest in _JOINERS)

    def rephrase(self, problem: Problem) -> tuple[str, ...]:
        country = problem.data["country"]
        return (f"The capital city of {country} is", f"The seat of government of {country} is the city of")

    def solution(self, problem: Problem) -> str:
        return " " + problem.data["capital"]


def first_word(text: str) -> str | None:
    """The label of a text: its first word without case and diacritics, other spellings folded; None if it has
    no word.

    A word must begin within the first 200 characters and have at most 60.
    """
    found = _WORD.search(_plain(text[:_LONGEST_TEXT]))
    if found is None or found.start() >= _LONGEST_GAP or len(found.group()) > _LONGEST_WORD:
        return None
    word = unicodedata.normalize("NFKD", found.group().casefold())
    word = "".join(character for character in word if not unicodedata.combining(character))
    return SPELLINGS.get(word, word) or None


def _plain(text: str) -> str:
    return text.translate(_APOSTROPHES).translate(_DASHES)
