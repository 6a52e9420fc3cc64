"""One model behind an OpenAI-compatible server: its address, its completions, and what went wrong in a
sentence.
"""

import logging
import re
from typing import Any, NotRequired, TypedDict
from urllib.parse import quote, urlsplit

from llm_bridge.models.chat import messages_of
from llm_bridge.models.names import first_line
from llm_bridge.sampling.bounded_http import MOST_BYTES, REFUSED, bounded_client
from sharpening.errors import InputError

log = logging.getLogger(__name__)


API_KEY = "SHARPENING_API_KEY"
"""Environment variable from which the command line takes the server's key."""


MOST_AT_ONCE = 128
"""Completions asked for in one request: the limit of OpenAI's own server."""


HIDDEN = "[the API key]"
KEY_IN_ANSWERS = 8
"""Characters from which on a key is hidden in completions too: shorter ones, such as "EMPTY", are words."""


def base_url(url: str) -> str:
    """The address whose `/completions` is asked: scheme, host and path, `/v1` where there is no path; raises
    InputError for anything else.
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise InputError(
            "url",
            "an address with a name or password",
            "addresses are shown and written down",
            "Give the secret as the API key",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            "url",
            url,
            "it is the http or https address of a server",
            "Give the base, such as http://localhost:8000/v1",
        )
    path = parts.path.rstrip("/").removesuffix("/completions").removesuffix("/chat")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


class _Request(TypedDict):
    model: str
    temperature: float
    max_tokens: int
    top_p: float
    seed: NotRequired[int]
    n: NotRequired[int]
    stop: NotRequired[list[str]]


class CompletionServer:
    """Asks one model of an OpenAI-compatible server for completions, and says in a sentence what went wrong.

    chat: True once it turned out that only `/chat/completions` is there, None before the first answer; prompts that
    are chats (`llm_bridge.models.chat.Prompt` with messages) are asked there in any case. stop: texts at which the
    server ends a completion, which does not hold them. chat_template_kwargs: what its template is told beside the
    messages. `timeout` bounds each request as a whole. The key is hidden in whatever the server says.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None,
        temperature: float,
        max_new_tokens: int,
        timeout: float,
        retries: int,
        stop: tuple[str, ...] = (),
        chat_template_kwargs: dict | None = None,
    ):
        self.url = base_url(url)
        if not model:
            raise InputError(
                "model",
                model,
                "a server has to be told which model answers",
                "Give the name that the server lists under /models",
            )
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise InputError(
                "api_key", "a key", "it holds characters that no request can carry", "Copy it anew"
            )
        import openai

        self.model, self.most, self.key = model, MOST_AT_ONCE, api_key
        self.chat: bool | None = None
        self.options: _Request = {
            "model": model,
            "temperature": temperature,
            "max_tokens": max_new_tokens,
            "top_p": 1.0,
        }
        if stop:
            self.options["stop"] = list(stop)
        # No field of OpenAI's, but vLLM, SGLang and llama.cpp read it.
        self.body = {"chat_template_kwargs": chat_template_kwargs} if chat_template_kwargs else None
        self.tries, self.timeout = retries + 1, timeout
        # Without a key of its own the client would send the one meant for OpenAI, from the environment, to
        # any server.
        self.client = openai.OpenAI(
            base_url=self.url,
            api_key=api_key or "none",
            timeout=timeout,
            max_retries=retries,
            http_client=bounded_client(),
        )
        self.client.organization = self.client.project = None
        self.counts = True

    def reach(self) -> None:
        """ConnectionError at once, without the retries that a busy server is worth, if nothing listens at the
        address.
        """
        import openai

        try:
            self.client.with_options(max_retries=0, timeout=min(10.0, self.timeout)).models.list()
        except openai.APIConnectionError as error:
            if not isinstance(error, openai.APITimeoutError):
                raise self._silent(f"does not answer ({self._told(error)})", 1) from self._cause(error)
        except (openai.OpenAIError, AttributeError, RecursionError, TypeError, ValueError):
            pass  # a server need not list its models

    def complete(self, prompt: str, count: int, seed: int) -> tuple[list[str], int, int]:
        """At least one and at most `count` completions of a prompt: (texts, prompt tokens, completion
        tokens), tokens as the server counts.
        """
        import openai

        count = min(count, self.most)
        try:
            reply = self._ask(prompt, count, seed)
        except openai.APIStatusError as error:
            if messages_of(prompt) is not None and error.status_code in (404, 405, 501):
                raise self._no_chat(error) from self._cause(error)
            if self.chat is None and error.status_code in (404, 405, 501):
                self.chat = True
                found = self.complete(prompt, count, seed)
                log.warning(
                    "%s has no completions endpoint (%s): chat completions it is, whose template changes the"
                    " law of the answers",
                    self.url,
                    error.status_code,
                )
                return found
            if error.status_code in (400, 422) and count > 1:
                self.most = 1
                return self.complete(prompt, 1, seed)
            raise self._explained(error) from self._cause(error)
        except openai.APIConnectionError as error:
            raise self._silent(f"does not answer ({self._told(error)})") from self._cause(error)
        except RecursionError as error:
            raise self._not_such_a_server("its reply is nested too deeply") from error
        except (openai.APIResponseValidationError, ValueError) as error:
            raise self._not_such_a_server(self._told(error)) from self._cause(error)
        found = self._read(reply, count, prompt)
        self.chat = bool(self.chat or messages_of(prompt) is not None)
        return found

    def _ask(self, prompt, count, seed):
        options: _Request = {**self.options, "seed": seed}
        if count > 1:
            options["n"] = count
        messages: Any = messages_of(prompt) or ([{"role": "user", "content": prompt}] if self.chat else None)
        if messages:
            return self.client.chat.completions.create(
                messages=list(messages), extra_body=self.body if messages_of(prompt) else None, **options
            )
        return self.client.completions.create(prompt=prompt, **options)

    def _read(self, reply, count, prompt):
        choices = getattr(reply, "choices", None)
        if not isinstance(choices, list) or not choices:
            raise self._not_such_a_server(f"its reply holds no choices: {self._hide(reply)[:80]!r}")
        chat = bool(self.chat or messages_of(prompt))
        texts = [self._text(choice, chat) for choice in choices[:count]]
        if not all(isinstance(text, str) for text in texts):
            raise self._not_such_a_server("a choice holds no text")
        if self.key and len(self.key) >= KEY_IN_ANSWERS:
            texts = [self._hide(text) for text in texts]
        # What a prompt may be wrapped in, and one end a completion.
        most = (
            len(prompt.encode("utf-8", "replace")) + 10_000,
            len(choices) * (self.options["max_tokens"] + 1),
        )
        usage = getattr(reply, "usage", None)
        return texts, *(
            self._count(getattr(usage, name, None), limit)
            for name, limit in zip(("prompt_tokens", "completion_tokens"), most, strict=True)
        )

    def _count(self, value, limit) -> int:
        """A number of tokens as the server tells it; 0, and said once, where that cannot be one."""
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit:
            return value
        if self.counts:
            self.counts = False
            log.warning(
                "%s does not say how many tokens it used, or not credibly: the cost leaves them out", self.url
            )
        return 0

    def _text(self, choice, chat: bool):
        """What a choice says; a chat message without content, such as a refusal, says nothing, and a choice
        without a message is none.
        """
        if not chat:
            return getattr(choice, "text", None)
        message = getattr(choice, "message", None)
        return None if message is None else getattr(message, "content", None) or ""

    def _explained(self, error) -> Exception:
        told, status = self._told(error), error.status_code
        if error.response.headers.get(REFUSED):
            return self._not_such_a_server(f"its reply is larger than {MOST_BYTES // 2**20} MiB")
        if 300 <= status < 400:
            target = self._hide(error.response.headers.get("location", "nowhere"))[:160]
            return InputError(
                "url",
                self.url,
                f"it redirects to {target!r}, and a redirect could carry the key elsewhere",
                "Give the address where the server is, if you trust it",
            )
        if status in (401, 403):
            fix = (
                "Give the key that this server asks for (command line: in the environment variable"
                f" {API_KEY})"
            )
            return InputError(
                "api_key", "a key" if self.key else None, f"{self.url} refuses it ({status})", fix
            )
        if status == 404:
            return InputError(
                "model",
                self.model,
                f"{self.url} does not know it ({told})",
                self._models() or "Check the URL; /v1 is its usual end",
            )
        if status in (408, 409, 429) or status >= 500:
            return self._silent(f"is too busy or broken ({told})")
        return InputError(
            "url",
            self.url,
            f"the server rejects the request ({told})",
            "Check the model, --max-new-tokens and the server's log",
        )

    def _no_chat(self, error) -> InputError:
        return InputError(
            "model",
            self.model,
            f"{self.url} does not know it, or has no /chat/completions, which chat prompts are sent to"
            f" ({self._told(error)})",
            f"{self._models() or 'Check the URL; /v1 is its usual end'}. With --no-chat, /completions gets plain text",
        )

    def _models(self) -> str:
        """The names that the server lists, as a hint; nothing if it lists none."""
        import openai

        try:
            names = [
                entry.id for entry in self.client.with_options(max_retries=0, timeout=10.0).models.list().data
            ]
        except (openai.OpenAIError, AttributeError, RecursionError, TypeError, ValueError):
            return ""
        return f"It serves {', '.join(self._hide(name)[:80] for name in names[:8])}" if names else ""

    def _told(self, error) -> str:
        """What an error says, on one line that is fit to be shown."""
        response = getattr(error, "response", None)
        text = str(error if response is not None else error.__cause__ or error)
        if response is not None and "<html" in response.text[:2000].lower():
            title = re.search(r"<title[^>]*>([^<]*)", response.text[:2000], re.IGNORECASE)
            text = f"status {response.status_code}, an HTML page" + (
                f" {title[1].strip()!r}" if title else ""
            )
        text = self._hide(text or type(error).__name__)
        return first_line(ValueError("".join(c if c.isprintable() or c == "\n" else " " for c in text)))

    def _hide(self, text) -> str:
        """The text without the key, as it is and as an address would spell it."""
        text = str(text)
        for key in {self.key, quote(self.key, safe="")} if self.key else ():
            text = text.replace(key, HIDDEN)
        return text

    def _cause(self, error):
        """The error itself for a traceback, unless the server's words in it hold the key."""
        seen = [error, error.__cause__, getattr(getattr(error, "response", None), "text", "")]
        return error if all(str(part) == self._hide(part) for part in seen) else None

    def _silent(self, what: str, tries: int | None = None) -> ConnectionError:
        asked = {1: "once"}.get(tries or self.tries, f"{tries or self.tries} times")
        return ConnectionError(
            f"{self.url} {what}, asked {asked}. Start the server or wait, check the address, and run the same"
            " again"
        )

    def _not_such_a_server(self, why: str) -> InputError:
        return InputError(
            "url",
            self.url,
            f"what answers there does not speak OpenAI's protocol: {why}",
            "Give the base URL; /v1 is its usual end",
        )
