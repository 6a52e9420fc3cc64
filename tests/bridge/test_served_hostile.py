"""Servers that nobody vouches for: what they say is bounded in time and size, counted only where it can be true, and
never shows the key.
"""

import gzip
import json
import logging
import time
import traceback

import pytest
from serving import serving
from test_served import ask
from tiny import after_equals

from llm_bridge.sampling.answer_file import ANSWERS_FILE
from sharpening import InputError

KEY = "sk-very/secret+key=="
ANSWER = {"choices": [{"index": i, "text": "3", "finish_reason": "stop"} for i in range(8)]}
USUAL = {"prompt_tokens": 4, "completion_tokens": 16, "total_tokens": 20}


@pytest.fixture(scope="module")
def known():
    return after_equals(d3=0.6, d5=0.3, d7=0.1)


def answer(usage=USUAL, **changes):
    return 200, json.dumps(ANSWER | {"usage": usage} | changes)


def drip(head, byte, seconds=6.0):
    """Send `head`, then `byte` every 50 ms."""

    def reply(handler):
        try:
            handler.wfile.write(head)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                handler.wfile.write(byte)
                time.sleep(0.05)
        except OSError:
            pass  # the client has left
        handler.close_connection = True

    return reply


class TestKey:
    ECHOES = (401, 403, 400, 404, 422, 500, 429, 200)

    def shown(self, known, reply, caplog, level=logging.DEBUG, **options):
        """All that a user or a log can see of a failure."""
        caplog.set_level(level)
        with (
            serving(known, script=[reply] * 3) as server,
            pytest.raises((InputError, ConnectionError)) as caught,
        ):
            ask(server.url, api_key=KEY, **options)
        return "".join(traceback.format_exception(caught.value)) + caplog.text

    @pytest.mark.parametrize("status", ECHOES)
    def test_echoed_in_an_error(self, known, caplog, status):
        told = self.shown(known, (status, {"error": {"message": f"no model for Bearer {KEY}!"}}), caplog)
        assert KEY not in told

    @pytest.mark.parametrize("status", ECHOES)
    def test_echoed_where_the_sentence_is_cut(self, known, caplog, status):
        told = self.shown(known, (status, f"{'x' * 150} {KEY} and more", "text/plain"), caplog)
        assert KEY[:8] not in told

    def test_echoed_in_an_address(self, known, caplog):
        def redirect(handler):
            handler.send_response(307)
            handler.send_header("Location", "http://elsewhere.example/?key=sk-very%2Fsecret%2Bkey%3D%3D")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        # The transport's own debugging notes hold every header that it reads.
        told = self.shown(known, redirect, caplog, logging.INFO)
        assert "elsewhere.example" in told and "secret" not in told

    def test_echoed_in_a_completion(self, known, tmp_path):
        with serving(known, script=[answer(choices=[{"index": 0, "text": f"3 {KEY}"}] * 8)]) as server:
            ask(server.url, api_key=KEY, prompts=1, folder=tmp_path)
        kept = (tmp_path / ANSWERS_FILE).read_text()
        assert KEY not in kept and "3 [the API key]" in kept

    def test_a_word_for_a_key_changes_no_completion(self, known, tmp_path):
        with serving(known, script=[answer(choices=[{"index": 0, "text": "EMPTY"}] * 8)]) as server:
            ask(server.url, api_key="EMPTY", prompts=1, folder=tmp_path)
        assert '"EMPTY"' in (tmp_path / ANSWERS_FILE).read_text()


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_neither_key_nor_prompt_goes_elsewhere(self, known, status):
        with serving(known) as elsewhere:

            def redirect(handler):
                handler.send_response(status)
                handler.send_header("Location", f"{elsewhere.url}/completions")
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            with serving(known, script=[redirect]) as server:
                with pytest.raises(InputError, match=f"redirects to '{elsewhere.url}"):
                    ask(server.url, api_key=KEY)
            assert not elsewhere.requests and not elsewhere.keys


class TestTime:
    @pytest.mark.parametrize(
        "head, byte",
        [
            (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n", b" "),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
            (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
            (b"", b"H"),
        ],
        ids=["body", "chunks", "header", "status"],
    )
    def test_a_reply_byte_by_byte(self, known, head, byte):
        started = time.monotonic()
        with serving(known, script=[drip(head, byte)] * 2) as server:
            with pytest.raises(ConnectionError, match=f"{server.url} does not answer"):
                ask(server.url, timeout=0.5)
            assert time.monotonic() - started < 3

    def test_a_slow_server_within_its_time(self, known):
        def slowly(handler):
            time.sleep(0.3)
            handler.reply(*answer())

        with serving(known, script=[slowly]) as server:
            _, _, cost = ask(server.url, prompts=1, timeout=5.0)
        assert cost.generated_tokens == 16


class TestSize:
    @pytest.mark.parametrize("status", [200, 500])
    def test_an_enormous_reply(self, known, status):
        def reply(handler):
            handler.send_response(status)
            handler.send_header("Content-Type", "application/json")
            handler.end_headers()
            try:
                for _ in range(200):
                    handler.wfile.write(b" " * 2**20)
            except OSError:
                pass
            handler.close_connection = True

        with (
            serving(known, script=[reply] * 2) as server,
            pytest.raises(InputError, match="larger than 64 MiB"),
        ):
            ask(server.url, prompts=1)

    def test_a_small_reply_that_grows(self, known):
        packed = gzip.compress(b" " * 100 * 2**20)

        def reply(handler):
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Encoding", "gzip")
            handler.send_header("Content-Length", str(len(packed)))
            handler.end_headers()
            handler.wfile.write(packed)

        with serving(known, script=[reply]) as server, pytest.raises(InputError, match="larger than 64 MiB"):
            ask(server.url, prompts=1)

    def test_a_packed_reply_is_read(self, known):
        packed = gzip.compress(answer()[1].encode())

        def reply(handler):
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Encoding", "gzip")
            handler.send_header("Content-Length", str(len(packed)))
            handler.end_headers()
            handler.wfile.write(packed)

        with serving(known, script=[reply]) as server:
            assert ask(server.url, prompts=1)[2].generated_tokens == 16

    @pytest.mark.parametrize("status", [200, 400, 404, 503])
    @pytest.mark.parametrize("text", ["[" * 10**5, '{"choices":' * 10**5, '{"error":' * 10**5])
    def test_deep_json(self, known, text, status):
        with serving(known, script=[(status, text)] * 4) as server:
            with pytest.raises((InputError, ConnectionError), match=server.url):
                ask(server.url, prompts=1)


class TestUsage:
    @pytest.mark.parametrize(
        "usage",
        [
            None,
            3,
            "many",
            [],
            {},
            {"prompt_tokens": -4, "completion_tokens": -16},
            {"prompt_tokens": "4", "completion_tokens": "sixteen"},
            {"prompt_tokens": 10**30, "completion_tokens": 10**12},
            {"prompt_tokens": 4.5, "completion_tokens": True},
            {"prompt_tokens": {"a": 1}, "completion_tokens": [16]},
        ],
    )
    def test_what_cannot_be_a_count_is_left_out_and_told(self, known, caplog, usage):
        with serving(known, script=[answer(usage)] * 2) as server:
            _, _, cost = ask(server.url, prompts=2, concurrency=1)
        assert cost.generated_tokens == 0 and cost.forward_tokens == 0
        assert caplog.text.count("how many tokens it used") == 1

    def test_what_can_be_is_counted(self, known, caplog):
        with serving(known, script=[answer()]) as server:
            _, _, cost = ask(server.url, prompts=1)
        assert (cost.generated_tokens, cost.forward_tokens) == (16, 20) and "tokens" not in caplog.text


class TestForms:
    @pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/octet-stream", "nonsense", ""])
    def test_json_under_another_name(self, known, kind):
        with serving(known, script=[(*answer(), kind)]) as server:
            try:
                assert ask(server.url, prompts=1)[2].generated_tokens == 16
            except InputError as error:
                assert "protocol" in str(error)

    @pytest.mark.parametrize("status", [400, 404, 500, 503])
    def test_a_page_for_people(self, known, status):
        page = "<!DOCTYPE html>\n<HTML><head><title>Bad\x1b[31m gateway</title></head>" + "<p>x</p>" * 500
        with serving(known, script=[(status, page, "text/html")] * 3) as server:
            with pytest.raises((InputError, ConnectionError)) as caught:
                ask(server.url, prompts=1)
        told = str(caught.value)
        assert "an HTML page" in told and "<p>" not in told and "\x1b" not in told and len(told) < 500
