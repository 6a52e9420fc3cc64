"""The sampling-only tier: a Population of a model whose weights cannot be loaded, from an OpenAI-compatible
server.
"""

import logging
import os
import threading
import zlib
from collections import Counter
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np

from llm_bridge.console.numbers import whole
from llm_bridge.console.progress import NullProgress
from llm_bridge.models.chat import messages_of, pictures_of
from llm_bridge.sampling.answer_file import AnswerFile
from llm_bridge.sampling.cost import Cost
from llm_bridge.sampling.server import MOST_AT_ONCE, CompletionServer
from llm_bridge.tasks import Answers, Problem, read_answers
from sharpening.errors import InputError

log = logging.getLogger(__name__)


CHAT_NOTE = (
    "The answers come from `/chat/completions`, whose template changes their law: a run that trains on plain"
    " prompts has another."
)


@dataclass(frozen=True)
class ServedAnswers:
    """What a server's model said: the problems asked, their answers, the base `url` and endpoint that gave
    them, and what they cost.

    notes: what the reader of any number made of them has to know, one sentence each.
    """

    problems: list[Problem]
    answers: Answers
    url: str
    endpoint: str
    notes: list[str]
    cost: Cost

    @property
    def correct(self) -> np.ndarray | None:
        """(prompts, rollouts) bool; None where no problem has a true answer."""
        return self.answers.correct if any(problem.answer is not None for problem in self.problems) else None


def served_answers(
    url: str,
    model: str,
    task,
    *,
    prompts: int = 128,
    rollouts: int = 64,
    temperature: float = 1.0,
    max_new_tokens: int | None = None,
    api_key: str | None = None,
    seed: int = 0,
    votes: int = 8,
    folder: str | os.PathLike | None = None,
    concurrency: int = 4,
    timeout: float = 600.0,
    retries: int = 6,
    progress=None,
) -> ServedAnswers:
    """The answers themselves, read and graded; arguments and errors as in `served_population`."""
    for name, count in (
        ("prompts", prompts),
        ("rollouts", rollouts),
        ("votes", votes),
        ("concurrency", concurrency),
    ):
        whole(name, count, 1)
    length = task.max_new_tokens if max_new_tokens is None else max_new_tokens
    for name, value in (("temperature", temperature), ("max_new_tokens", length), ("timeout", timeout)):
        if not value > 0:
            raise InputError(name, value, "it must be greater than zero")
    if seed < 0 or retries < 0:
        raise InputError(
            *(("seed", seed) if seed < 0 else ("retries", retries)), "it must be an integer >= 0"
        )
    if any(pictures_of(problem.prompt) for problem in task.problems):
        rule = "its prompts hold images, and a server is asked in text alone"
        raise InputError("task", task.name, rule, "Load the weights, without --server")
    form, stop = getattr(task, "form", {}), getattr(task, "stop", ())
    server = CompletionServer(
        url,
        model,
        api_key=api_key,
        temperature=temperature,
        max_new_tokens=length,
        timeout=timeout,
        retries=retries,
        stop=stop,
        chat_template_kwargs=form.get("chat_template_kwargs"),
    )
    problems = task.split(min(prompts, len(task.problems) - 1))[1]
    identity = {
        "model": model,
        "task": task.name,
        "temperature": temperature,
        "max_new_tokens": length,
        "seed": seed,
    }
    chats = messages_of(problems[0].prompt) is not None
    if form or chats:
        identity["asked"] = {**form, "chat": chats}
    kept = AnswerFile(folder, identity)
    server.chat = kept.chat
    texts = _draw_all(server, kept, problems, rollouts, seed, concurrency, progress or NullProgress())
    notes = [*task.notes, *([CHAT_NOTE] if server.chat and not chats else [])]
    if temperature > 0 and rollouts > 1 and all(len(set(group)) == 1 for group in texts):
        notes.append(
            f"Every prompt got the same completion {rollouts} times from {server.url}: does the server ignore"
            " the temperature?"
        )
        log.warning(notes[-1])
    endpoint = "chat/completions" if server.chat else "completions"
    return ServedAnswers(
        problems, read_answers(problems, texts, task), server.url, endpoint, notes, kept.cost
    )


def _draw_all(server, kept, problems, rollouts, seed, concurrency, progress) -> list[list[str]]:
    """`rollouts` completions of each problem; those that are missing are asked for, the first of them alone,
    so as to learn the server's ways.

    Where one request fails, or on Ctrl-C, nothing more is asked for; requests under way are not waited for,
    and what they bring is dropped.
    """
    seen: Counter[str] = Counter()
    keys: list[tuple[str, int]] = []
    for problem in problems:
        keys.append((problem.prompt, seen[problem.prompt]))
        seen[problem.prompt] += 1
    bar, stop = progress.start("served: rollouts", len(keys)), threading.Event()

    def complete(key, requests=None):
        prompt, copy = key
        while (drawn := len(kept.texts(key))) < rollouts and requests != 0 and not stop.is_set():
            entropy = (seed, zlib.crc32(prompt.encode("utf-8", "surrogatepass")), copy, drawn)
            fresh = int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
            kept.add(key, server.complete(prompt, min(rollouts - drawn, MOST_AT_ONCE), fresh), server.chat)
            requests = None if requests is None else requests - 1

    missing = [key for key in keys if len(kept.texts(key)) < rollouts]
    bar.advance(len(keys) - len(missing))
    if missing:
        server.reach()
        complete(missing[0], requests=1)
    waiting: SimpleQueue[tuple[str, int]] = SimpleQueue()
    finished: SimpleQueue[Exception | None] = SimpleQueue()

    def work():
        while not stop.is_set():
            try:
                complete(waiting.get_nowait())
            except Empty:
                return
            except Exception as error:
                finished.put(error)
            else:
                finished.put(None)

    for key in missing:
        waiting.put(key)
    try:
        for _ in range(min(concurrency, len(missing))):
            threading.Thread(target=work, daemon=True).start()
        for _ in missing:
            if (error := finished.get()) is not None:
                raise error
            bar.advance()
    except BaseException:
        stop.set()
        kept.close()
        raise
    bar.close()
    return [kept.texts(key)[:rollouts] for key in keys]
