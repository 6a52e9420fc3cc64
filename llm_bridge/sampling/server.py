"""One model behind an OpenAI-compatible server: its address, its completions, and what went wrong in a
sentence.
"""

import logging
from urllib.parse import urlsplit

from llm_bridge.models.names import first_line
from sharpening.errors import InputError

log = logging.getLogger(__name__)


API_KEY = "SHARPENING_API_KEY"
"""Environment variable from which the command line takes the server's key."""


MOST_AT_ONCE = 128
"""Completions asked for in one request: the limit of OpenAI's own server."""


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


class CompletionServer:
    """Asks one model of an OpenAI-compatible server for completions, and says in a sentence what went wrong.

    chat: True once it turned out that only `/chat/completions` is there, None before the first answer.
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

        self.model, self.chat, self.most, self.key = model, None, MOST_AT_ONCE, api_key
        self.options = {
            "model": model,
            "temperature": temperature,
            "max_tokens": max_new_tokens,
            "top_p": 1.0,
        }
        self.tries, self.timeout = retries + 1, timeout
        # Without a key of its own the client would send the one meant for OpenAI, from the environment, to
        # any server.
        self.client = openai.OpenAI(
            base_url=self.url, api_key=api_key or "none", timeout=timeout, max_retries=retries
        )

    def reach(self) -> None:
        """ConnectionError at once, without the retries that a busy server is worth, if nothing listens at the
        address.
        """
        import openai

        try:
            self.client.with_options(max_retries=0, timeout=min(10.0, self.timeout)).models.list()
        except openai.APIConnectionError as error:
            if not isinstance(error, openai.APITimeoutError):
                raise self._silent(f"does not answer ({first_line(error.__cause__)})", 1) from error
        except (openai.OpenAIError, ValueError):
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
            return self.client.chat.completions.create(
                messages=[{"role": "user", "content": prompt}], **options
            )
        return self.client.completions.create(prompt=prompt, **options)

    def _read(self, reply, count):
        choices = getattr(reply, "choices", None)
        if not isinstance(choices, list) or not choices:
            raise self._not_such_a_server(f"its reply holds no choices: {str(reply)[:80]!r}")
        texts = [self._text(choice) for choice in choices[:count]]
        if not all(isinstance(text, str) for text in texts):
            raise self._not_such_a_server("a choice holds no text")
        usage = getattr(reply, "usage", None)
        return texts, *(
            int(getattr(usage, name, None) or 0) for name in ("prompt_tokens", "completion_tokens")
        )

    def _text(self, choice):
        """What a choice says; a chat message without content, such as a refusal, says nothing, and a choice
        without a message is none.
        """
        if not self.chat:
            return getattr(choice, "text", None)
        message = getattr(choice, "message", None)
        return None if message is None else getattr(message, "content", None) or ""

    def _explained(self, error) -> Exception:
        told, status = first_line(error), error.status_code
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

    def _models(self) -> str:
        """The names that the server lists, as a hint; nothing if it lists none."""
        import openai

        try:
            names = [
                entry.id for entry in self.client.with_options(max_retries=0, timeout=10.0).models.list().data
            ]
        except (openai.OpenAIError, AttributeError, TypeError, ValueError):
            return ""
        return f"It serves {', '.join(map(str, names[:8]))}" if names else ""

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
