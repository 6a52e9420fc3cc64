"""Next words of raw text: a file of text, without questions or answers, becomes contexts to be continued as
the text does.
"""

from pathlib import Path

from llm_bridge.answers.limits import MAX_LABEL
from llm_bridge.tasks.base import Problem, Task
from sharpening.errors import InputError

MAX_PROBLEMS = 10_000


class CorpusTask(Task):
    """A text file: every line of at least `context` + `segment` words gives contexts that end at a word, and
    what comes next.

    The answer is the next `segment` words, separated by white space, read from the beginning of the
    completion and compared as they are written. At most 10,000 problems, evenly spread over the text; equal
    contexts are kept once. Source: reinforcement pre-training (RPT), with words in place of tokens, so that
    every tokenizer reads the same file.

    Raises InputError, before any work, for a file that cannot be read, is not UTF-8 or holds no line that is
    long enough.
    """

    exact_labels = True

    def __init__(self, path: str | Path, context: int = 4, segment: int = 1):
        self.path, self.segment = Path(path), segment
        self.name, self.max_new_tokens = self.path.stem, 8 * segment
        found: dict[str, str] = {}
        for line in _lines(self.path):
            words = line.split()
            for at in range(context, len(words) - segment + 1):
                found.setdefault(" ".join(words[:at]), " ".join(words[at : at + segment]))
        if not found:
            fix = "Give a file of plain text, one sentence or paragraph a line"
            raise InputError("task", str(path), f"no line has more than {context} words", fix)
        pairs = list(found.items())[:: max(1, -(-len(found) // MAX_PROBLEMS))]
        self.description = (
            f"{len(pairs)} contexts of {self.path.name}, to be continued by the next {segment} word(s)"
        )
        self._loaded = tuple(Problem(prompt, answer) for prompt, answer in pairs)

    def _build(self) -> tuple[Problem, ...]:
        return self._loaded

    def extract(self, completion: str) -> str | None:
        words = completion[: 2 * MAX_LABEL].split()[: self.segment]
        label = " ".join(words)
        return label if len(words) == self.segment and len(label) <= MAX_LABEL else None

    def solution(self, problem: Problem) -> str | None:
        return None if problem.answer is None else " " + problem.answer


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(
            "task", str(path), f"the file cannot be read ({reason})", "Give the path of a text file"
        ) from error
