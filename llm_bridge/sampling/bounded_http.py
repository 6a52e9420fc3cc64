"""An HTTP client for servers that nobody vouches for: a deadline for each whole request, a limit to the size of a
reply, and no redirects.
"""

import importlib
import threading
import time
from queue import Empty, SimpleQueue

MOST_BYTES = 64 * 2**20
"""Of a reply, decoded: far more than 128 completions of thousands of tokens."""
REFUSED = "x-refused-here"
"""Header of the replies with status 413 that this client makes itself, for one that was too large."""


def bounded_client(most_bytes: int = MOST_BYTES):
    """A client for `openai.OpenAI(http_client=…)`.

    The read timeout of a request is the time it may take altogether, however steadily bytes arrive. Redirects are not
    followed, so that neither the key nor a prompt goes to an address that the user did not give.
    """
    import openai

    # The library that openai itself uses, whose name depends on its version.
    httpx = importlib.import_module(openai.DefaultHttpxClient.__bases__[0].__module__.partition(".")[0])

    class Bounded(openai.DefaultHttpxClient):
        def send(self, request, *, stream=False, **options):
            seconds = (request.extensions.get("timeout") or {}).get("read")
            deadline = None if seconds is None else time.monotonic() + seconds
            finished: SimpleQueue = SimpleQueue()
            options["follow_redirects"] = False
            fetch = super().send

            def work():
                try:
                    finished.put((self._whole(fetch(request, stream=True, **options), deadline), None))
                except BaseException as error:
                    finished.put((None, error))

            # A header that arrives byte by byte can be left only by leaving the thread that waits for it.
            threading.Thread(target=work, daemon=True).start()
            try:
                response, error = finished.get(timeout=seconds and min(seconds, threading.TIMEOUT_MAX))
            except Empty:
                error = httpx.ReadTimeout(f"no whole reply within {seconds:g} seconds", request=request)
            if error is not None:
                raise error
            return response

        def _whole(self, response, deadline):
            kept, size = [], 0
            try:
                for part in response.iter_bytes():
                    size += len(part)
                    if deadline is not None and time.monotonic() > deadline:
                        raise httpx.ReadTimeout("no whole reply in time", request=response.request)
                    if size > most_bytes:
                        return self._made(response, 413, {REFUSED: "1"}, b"")
                    kept.append(part)
            finally:
                response.close()
            headers = {
                name: value
                for name, value in response.headers.items()
                if name not in ("content-encoding", "content-length", "transfer-encoding")
            }
            return self._made(response, response.status_code, headers, b"".join(kept))

        def _made(self, response, status, headers, content):
            return httpx.Response(status, headers=headers, content=content, request=response.request)

    return Bounded()
