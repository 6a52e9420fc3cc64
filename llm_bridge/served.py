"""The sampling-only tier: a Population of a model whose weights cannot be loaded, from an OpenAI-compatible server."""

import json
import logging
import os
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from llm_bridge.model_names import first_line
from llm_bridge.probe import Cost, answer_population, prior_metrics
from llm_bridge.progress import NullProgress
from llm_bridge.tasks import read_answers
from sharpening.errors import InputError
from sharpening.population import Population

log = logging.getLogger(__name__)
ANSWERS_FILE = "served_answers.jsonl"
MOST_AT_ONCE = 128
"""Completions asked for in one request: the limit of OpenAI's own server."""


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
    answers = AnswerFile(folder, identity)
    server.chat = answers.chat
    texts = _draw_all(server, answers, problems, rollouts, seed, concurrency, progress or NullProgress())
    if temperature > 0 and rollouts > 1 and all(len(set(group)) == 1 for group in texts):
        log.warning("every prompt got the same completion %d times from %s: does the server ignore the temperature?", rollouts, server.url)
    read = read_answers(problems, texts, task)
    population = answer_population(task, problems, read)
    prior = prior_metrics(read.ids, None if population.correct is None else read.correct, votes)
    return population, prior, answers.cost


def _draw_all(server, answers, problems, rollouts, seed, concurrency, progress) -> list[list[str]]:
    """`rollouts` completions of each problem; those that are missing are asked for, the first of them alone, so as to learn the server's ways."""
    seen, keys = Counter(), []
    for problem in problems:
        keys.append((problem.prompt, seen[problem.prompt]))
        seen[problem.prompt] += 1
    bar = progress.start("served: rollouts", len(keys))

    def complete(key, requests=None):
        prompt, copy = key
        while (drawn := len(answers.texts(key))) < rollouts and requests != 0:
            entropy = (seed, zlib.crc32(prompt.encode("utf-8", "surrogatepass")), copy, drawn)
            fresh = int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
            answers.add(key, server.complete(prompt, min(rollouts - drawn, MOST_AT_ONCE), fresh), server.chat)
            requests = None if requests is None else requests - 1
        if requests is None:
            bar.advance()

    for key in keys:
        if len(answers.texts(key)) < rollouts:
            complete(key, requests=1)
            break
    with ThreadPoolExecutor(concurrency) as pool:
        futures = [pool.submit(complete, key) for key in keys]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    bar.close()
    return [answers.texts(key)[:rollouts] for key in keys]


class CompletionServer:
    """Asks one model of an OpenAI-compatible server for completions, and says in a sentence what went wrong.

    chat: True once it turned out that only `/chat/completions` is there, None before the first answer.
    """

    def __init__(self, url: str, model: str, *, api_key: str | None, temperature: float, max_new_tokens: int, timeout: float, retries: int):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("url", url, "it is the http or https address of a server", "Give the base, such as http://localhost:8000/v1")
        if not model:
            raise InputError("model", model, "a server has to be told which model answers", "Give the name that the server lists under /models")
        import openai

        path = parts.path.rstrip("/").removesuffix("/completions").removesuffix("/chat")
        self.url, self.model, self.chat, self.most, self.key = f"{parts.scheme}://{parts.netloc}{path or '/v1'}", model, None, MOST_AT_ONCE, api_key
        self.options = {"model": model, "temperature": temperature, "max_tokens": max_new_tokens, "top_p": 1.0}
        self.tries = retries + 1
        # Without a key of its own the client would send the one meant for OpenAI, from the environment, to any server.
        self.client = openai.OpenAI(base_url=self.url, api_key=api_key or "none", timeout=timeout, max_retries=retries)

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
            return InputError("api_key", "a key" if self.key else None, f"{self.url} refuses it ({status})", "Give the key that this server asks for")
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

    def _silent(self, what: str) -> ConnectionError:
        return ConnectionError(f"{self.url} {what}, asked {self.tries} times. Start the server or wait, check the address, and run the same again")

    def _not_such_a_server(self, why: str) -> InputError:
        return InputError("url", self.url, f"what answers there does not speak OpenAI's protocol: {why}", "Give the base URL; /v1 is its usual end")


class AnswerFile:
    """Completions by prompt, kept in memory and, with a folder, in a JSONL file that a later sitting goes on with.

    identity: what the answers depend on; a file of other answers is refused. A last line that was cut off is dropped.
    """

    def __init__(self, folder: str | os.PathLike | None, identity: dict):
        self.path = None if folder is None else Path(folder) / ANSWERS_FILE
        self.identity, self.chat, self.cost = identity, None, Cost()
        self._texts: dict[tuple[str, int], list[str]] = {}
        self._lock, self._last = threading.Lock(), time.monotonic()
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._read(folder)

    def _read(self, folder) -> None:
        data = self.path.read_bytes() if self.path.exists() else b""
        whole = data[:data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        try:
            head, *rows = [json.loads(line) for line in whole.splitlines()] or [None]
            if head is not None and head["identity"] != self.identity:
                other = {name: head["identity"].get(name) for name, value in self.identity.items() if head["identity"].get(name) != value}
                raise InputError("folder", str(folder), f"its answers were drawn with {other}", "Use another folder, or the same settings")
            self.chat = None if head is None else head["chat"]
            for row in rows:
                self._keep((row["prompt"], row["copy"]), row["texts"], row["prompt_tokens"], row["completion_tokens"], row["seconds"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError("folder", str(folder), f"{ANSWERS_FILE} in it is not what this command writes", "Use another folder") from error

    def _keep(self, key, texts, prompt_tokens, completion_tokens, seconds) -> None:
        self._texts.setdefault(key, []).extend(texts)
        self.cost.generated_tokens += completion_tokens
        self.cost.forward_tokens += prompt_tokens + completion_tokens
        self.cost.seconds += seconds

    def texts(self, key: tuple[str, int]) -> list[str]:
        """The completions so far of a prompt's first, second, … occurrence."""
        return self._texts.get(key, [])

    def add(self, key: tuple[str, int], drawn: tuple[list[str], int, int], chat: bool) -> None:
        """Keep the texts and tokens of one request; what is on disk is whole lines."""
        with self._lock:
            now = time.monotonic()
            seconds, self._last = now - self._last, now
            names = ("prompt", "copy", "texts", "prompt_tokens", "completion_tokens", "seconds")
            lines = [dict(zip(names, (*key, *drawn, round(seconds, 3)), strict=True))]
            if self.chat is None:
                self.chat = chat
                lines.insert(0, {"identity": self.identity, "chat": chat})
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write("".join(json.dumps(line) + "\n" for line in lines))
            self._keep(key, *drawn, seconds)
