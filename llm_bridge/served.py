"""The sampling-only tier: a Population of a model whose weights cannot be loaded, from an OpenAI-compatible server."""

import logging
import os
import threading
import zlib
from collections import Counter
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

import numpy as np

from llm_bridge.answer_file import ANSWERS_FILE, AnswerFile
from llm_bridge.model_names import first_line
from llm_bridge.priors import Cost, answer_population, prior_metrics
from llm_bridge.progress import NullProgress
from llm_bridge.tasks import Answers, Problem, read_answers
from sharpening.errors import InputError
from sharpening.population import Population

__all__ = ["ANSWERS_FILE", "API_KEY", "CompletionServer", "ServedAnswers", "served_answers", "served_population"]

log = logging.getLogger(__name__)
API_KEY = "SHARPENING_API_KEY"
"""Environment variable from which the command line takes the server's key."""
MOST_AT_ONCE = 128
"""Completions asked for in one request: the limit of OpenAI's own server."""
CHAT_NOTE = "The answers come from `/chat/completions`, whose template changes their law: a run that trains on plain prompts has another."


def served_population(
    url: str, model: str, task, *, prompts: int = 128, rollouts: int = 64, temperature: float = 1.0, max_new_tokens: int | None = None,
    api_key: str | None = None, seed: int = 0, votes: int = 8, folder: str | os.PathLike | None = None, concurrency: int = 4,
    timeout: float = 600.0, retries: int = 6, progress=None,
) -> tuple[Population, dict[str, float], Cost]:
    """What `probe_model` learns from rollouts, of a model behind `url`: (population, prior metrics, cost).

    The first `prompts` evaluation prompts of `task` (fewer if it has fewer), `rollouts` completions each of at most `max_new_tokens`
    tokens (None: the task's own length), sent as they are to `/completions`; where the server has no such endpoint, as one user message
    to `/chat/completions`, whose template changes the law: a warning says so. `votes`: size of the groups whose majority the prior
    metrics are of, as in the run to be forecast.

    The law is the server's: temperature, top_p=1 and a seed for every request are passed on, but a server may also apply top-k or
    penalties of the model's own generation settings (vLLM does unless started with --generation-config vllm) or ignore what it is told.

    With `folder`, answers are kept there as they arrive, and a later call draws only those that are missing. The cost is that of all
    answers, earlier sittings included: the server's own token counts (a prompt counts once a request), and the seconds waited.
    `concurrency` requests are under way at once; each is tried `retries` times more, with growing pauses, after a 408, 409, 429 or 5xx,
    a broken connection or `timeout` seconds.

    Raises:
        InputError: a bad argument, a model the server does not know, a rejected key or request, something that is not such a server, or
            a folder of other answers.
        ConnectionError: the server does not answer, or is too busy, after all tries.
    """
    drawn = served_answers(
        url, model, task, prompts=prompts, rollouts=rollouts, temperature=temperature, max_new_tokens=max_new_tokens, api_key=api_key, seed=seed,
        votes=votes, folder=folder, concurrency=concurrency, timeout=timeout, retries=retries, progress=progress,
    )
    population = answer_population(task, drawn.problems, drawn.answers)
    return population, prior_metrics(drawn.answers.ids, drawn.correct, votes), drawn.cost


@dataclass(frozen=True)
class ServedAnswers:
    """What a server's model said: the problems asked, their answers, the base `url` and endpoint that gave them, and what they cost.

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
    url: str, model: str, task, *, prompts: int = 128, rollouts: int = 64, temperature: float = 1.0, max_new_tokens: int | None = None,
    api_key: str | None = None, seed: int = 0, votes: int = 8, folder: str | os.PathLike | None = None, concurrency: int = 4,
    timeout: float = 600.0, retries: int = 6, progress=None,
) -> ServedAnswers:
    """The answers themselves, read and graded; arguments and errors as in `served_population`."""
    for name, value in (("prompts", prompts), ("rollouts", rollouts), ("votes", votes), ("concurrency", concurrency)):
        if value < 1:
            raise InputError(name, value, "it must be at least 1")
    length = task.max_new_tokens if max_new_tokens is None else max_new_tokens
    for name, value in (("temperature", temperature), ("max_new_tokens", length), ("timeout", timeout)):
        if not value > 0:
            raise InputError(name, value, "it must be greater than zero")
    if seed < 0 or retries < 0:
        raise InputError(*(("seed", seed) if seed < 0 else ("retries", retries)), "it must be an integer >= 0")
    server = CompletionServer(url, model, api_key=api_key, temperature=temperature, max_new_tokens=length, timeout=timeout, retries=retries)
    problems = task.split(min(prompts, len(task.problems) - 1))[1]
    identity = {"model": model, "task": task.name, "temperature": temperature, "max_new_tokens": length, "seed": seed}
    kept = AnswerFile(folder, identity)
    server.chat = kept.chat
    texts = _draw_all(server, kept, problems, rollouts, seed, concurrency, progress or NullProgress())
    notes = [CHAT_NOTE] if server.chat else []
    if temperature > 0 and rollouts > 1 and all(len(set(group)) == 1 for group in texts):
        notes.append(f"Every prompt got the same completion {rollouts} times from {server.url}: does the server ignore the temperature?")
        log.warning(notes[-1])
    endpoint = "chat/completions" if server.chat else "completions"
    return ServedAnswers(problems, read_answers(problems, texts, task), server.url, endpoint, notes, kept.cost)


def _draw_all(server, kept, problems, rollouts, seed, concurrency, progress) -> list[list[str]]:
    """`rollouts` completions of each problem; those that are missing are asked for, the first of them alone, so as to learn the server's ways.

    Where one request fails, or on Ctrl-C, nothing more is asked for; requests under way are not waited for, and what they bring is dropped.
    """
    seen, keys = Counter(), []
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
    waiting, finished = SimpleQueue(), SimpleQueue()

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


def base_url(url: str) -> str:
    """The address whose `/completions` is asked: scheme, host and path, `/v1` where there is no path; raises InputError for anything else."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise InputError("url", "an address with a name or password", "addresses are shown and written down", "Give the secret as the API key")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("url", url, "it is the http or https address of a server", "Give the base, such as http://localhost:8000/v1")
    path = parts.path.rstrip("/").removesuffix("/completions").removesuffix("/chat")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


class CompletionServer:
    """Asks one model of an OpenAI-compatible server for completions, and says in a sentence what went wrong.

    chat: True once it turned out that only `/chat/completions` is there, None before the first answer.
    """

    def __init__(self, url: str, model: str, *, api_key: str | None, temperature: float, max_new_tokens: int, timeout: float, retries: int):
        self.url = base_url(url)
        if not model:
            raise InputError("model", model, "a server has to be told which model answers", "Give the name that the server lists under /models")
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise InputError("api_key", "a key", "it holds characters that no request can carry", "Copy it anew")
        import openai

        self.model, self.chat, self.most, self.key = model, None, MOST_AT_ONCE, api_key
        self.options = {"model": model, "temperature": temperature, "max_tokens": max_new_tokens, "top_p": 1.0}
        self.tries, self.timeout = retries + 1, timeout
        # Without a key of its own the client would send the one meant for OpenAI, from the environment, to any server.
        self.client = openai.OpenAI(base_url=self.url, api_key=api_key or "none", timeout=timeout, max_retries=retries)

    def reach(self) -> None:
        """ConnectionError at once, without the retries that a busy server is worth, if nothing listens at the address."""
        import openai

        try:
            self.client.with_options(max_retries=0, timeout=min(10.0, self.timeout)).models.list()
        except openai.APIConnectionError as error:
            if not isinstance(error, openai.APITimeoutError):
                raise self._silent(f"does not answer ({first_line(error.__cause__)})", 1) from error
        except (openai.OpenAIError, ValueError):
            pass  # a server need not list its models

    def complete(self, prompt: str, count: int, seed: int) -> tuple[list[str], int, int]:
        """At least one and at most `count` completions of a prompt: (texts, prompt tokens, completion tokens), tokens as the server counts."""
        import openai

        count = min(count, self.most)
        try:
            reply = self._ask(prompt, count, seed)
        except openai.APIStatusError as error:
            if self.chat is None and error.status_code in (404, 405, 501):
                self.chat = True
                found = self.complete(prompt, count, seed)
                log.warning("%s has no completions endpoint (%s): chat completions it is, whose template changes the law of the answers",
                            self.url, error.status_code)
                return found
            if error.status_code in (400, 422) and count > 1:
                self.most = 1
                return self.complete(prompt, 1, seed)
            raise self._explained(error) from error
        except openai.APIResponseValidationError as error:
            raise self._not_such_a_server(first_line(error)) from error
        except openai.APIConnectionError as error:
            raise self._silent(f"does not answer ({first_line(error.__cause__ or error)})") from error
        except ValueError as error:
            raise self._not_such_a_server(first_line(error)) from error
        self.chat = bool(self.chat)
        return self._read(reply, count)

    def _ask(self, prompt, count, seed):
        options = self.options | {"seed": seed} | ({"n": count} if count > 1 else {})
        if self.chat:
            return self.client.chat.completions.create(messages=[{"role": "user", "content": prompt}], **options)
        return self.client.completions.create(prompt=prompt, **options)

    def _read(self, reply, count):
        choices = getattr(reply, "choices", None)
        if not isinstance(choices, list) or not choices:
            raise self._not_such_a_server(f"its reply holds no choices: {str(reply)[:80]!r}")
        texts = [self._text(choice) for choice in choices[:count]]
        if not all(isinstance(text, str) for text in texts):
            raise self._not_such_a_server("a choice holds no text")
        usage = getattr(reply, "usage", None)
        return texts, *(int(getattr(usage, name, None) or 0) for name in ("prompt_tokens", "completion_tokens"))

    def _text(self, choice):
        """What a choice says; a chat message without content, such as a refusal, says nothing, and a choice without a message is none."""
        if not self.chat:
            return getattr(choice, "text", None)
        message = getattr(choice, "message", None)
        return None if message is None else getattr(message, "content", None) or ""

    def _explained(self, error) -> Exception:
        told, status = first_line(error), error.status_code
        if status in (401, 403):
            fix = f"Give the key that this server asks for (command line: in the environment variable {API_KEY})"
            return InputError("api_key", "a key" if self.key else None, f"{self.url} refuses it ({status})", fix)
        if status == 404:
            return InputError("model", self.model, f"{self.url} does not know it ({told})", self._models() or "Check the URL; /v1 is its usual end")
        if status in (408, 409, 429) or status >= 500:
            return self._silent(f"is too busy or broken ({told})")
        return InputError("url", self.url, f"the server rejects the request ({told})", "Check the model, --max-new-tokens and the server's log")

    def _models(self) -> str:
        """The names that the server lists, as a hint; nothing if it lists none."""
        import openai

        try:
            names = [entry.id for entry in self.client.with_options(max_retries=0, timeout=10.0).models.list().data]
        except (openai.OpenAIError, AttributeError, TypeError, ValueError):
            return ""
        return f"It serves {', '.join(map(str, names[:8]))}" if names else ""

    def _silent(self, what: str, tries: int | None = None) -> ConnectionError:
        asked = {1: "once"}.get(tries or self.tries, f"{tries or self.tries} times")
        return ConnectionError(f"{self.url} {what}, asked {asked}. Start the server or wait, check the address, and run the same again")

    def _not_such_a_server(self, why: str) -> InputError:
        return InputError("url", self.url, f"what answers there does not speak OpenAI's protocol: {why}", "Give the base URL; /v1 is its usual end")
