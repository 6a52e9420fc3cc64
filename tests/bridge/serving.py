"""A real HTTP server with OpenAI's schema, whose completions a tiny transformer samples; it can be told to
misbehave first.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch


class TinyServer(ThreadingHTTPServer):
    """Parameters: `loaded` samples with `generate`; `endpoints` exist; `most` caps n without a word;
    `script`: what to reply first, each a status, (status, body text) or a function of the handler. `requests` keeps (path, body) of
    every POST, `keys` the Authorization headers.
    """

    daemon_threads = True

    def __init__(
        self, loaded, endpoints=("completions", "chat/completions"), most=10**6, refuse_n=False, script=()
    ):
        super().__init__(("127.0.0.1", 0), Handler)
        self.loaded, self.endpoints, self.most, self.refuse_n, self.script = (
            loaded,
            endpoints,
            most,
            refuse_n,
            list(script),
        )
        self.requests, self.keys, self.lock = [], [], threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def sample(self, prompt, count, body):
        tokenizer = self.loaded.tokenizer
        inputs = tokenizer(prompt, return_tensors="pt")
        torch.manual_seed(body["seed"])
        ids = self.loaded.model.generate(
            inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            do_sample=True,
            top_k=0,
            num_return_sequences=count,
            temperature=body["temperature"],
            max_new_tokens=body["max_tokens"],
            pad_token_id=tokenizer.pad_token_id,
        )
        ids = ids[:, inputs["input_ids"].shape[1] :]
        used = int((ids != tokenizer.pad_token_id).sum())
        return tokenizer.batch_decode(ids, skip_special_tokens=True), inputs["input_ids"].shape[1], used


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def reply(self, status, body, kind="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.reply(
            200,
            {"object": "list", "data": [{"id": "tiny", "object": "model", "created": 0, "owned_by": "us"}]},
        )

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.requests.append((self.path, body))
            server.keys.append(self.headers["Authorization"])
            if server.script:
                planned = server.script.pop(0)
                if callable(planned):
                    return planned(self)
                return self.reply(
                    *(
                        planned
                        if isinstance(planned, tuple)
                        else (planned, {"error": {"message": "as planned"}})
                    )
                )
            endpoint = self.path.removeprefix("/v1/")
            if endpoint not in server.endpoints:
                return self.reply(404, {"error": {"message": "no such endpoint"}})
            if body["model"] != "tiny":
                return self.reply(404, {"error": {"message": f"The model {body['model']} does not exist"}})
            if server.refuse_n and "n" in body:
                return self.reply(400, {"error": {"message": "n is not supported"}})
            chat = endpoint == "chat/completions"
            prompt = body["messages"][0]["content"] if chat else body["prompt"]
            texts, prompt_tokens, used = server.sample(prompt, min(body.get("n", 1), server.most), body)
            choices = [
                {"index": i, "finish_reason": "stop"}
                | ({"message": {"role": "assistant", "content": text}} if chat else {"text": text})
                for i, text in enumerate(texts)
            ]
            usage = {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": used,
                "total_tokens": prompt_tokens + used,
            }
            self.reply(
                200,
                {
                    "id": "1",
                    "object": "text_completion",
                    "created": 0,
                    "model": "tiny",
                    "choices": choices,
                    "usage": usage,
                },
            )


@contextmanager
def serving(loaded, **options):
    """A TinyServer that answers while the block runs."""
    server = TinyServer(loaded, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
