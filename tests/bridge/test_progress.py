"""Progress in plain lines, with a clock of our own."""

import io

import pytest

from llm_bridge import load_model
from llm_bridge.console.heartbeat import beat, listening
from llm_bridge.console.progress import NullProgress, PlainProgress, format_seconds, terminal_progress
from llm_bridge.sampling.rollouts import sample


@pytest.fixture
def shown():
    """(progress, tick, text): plain progress whose clock moves by hand."""
    now, stream = [0.0], io.StringIO()

    def tick(seconds):
        now[0] += seconds

    return PlainProgress(stream, clock=lambda: now[0]), tick, stream.getvalue


def test_a_line_every_ten_seconds_with_the_time_left(shown):
    progress, tick, text = shown
    bar = progress.start("training", 100)
    for _ in range(50):
        tick(1)
        bar.advance()
    bar.close()
    assert text().splitlines() == [
        "training: 10 of 100 (10 %), 1:30 left",
        "training: 20 of 100 (20 %), 1:20 left",
        "training: 30 of 100 (30 %), 1:10 left",
        "training: 40 of 100 (40 %), 1:00 left",
        "training: 50 of 100 (50 %), 50 s left",
        "training: done in 50 s",
    ]


def test_short_work_is_silent(shown):
    progress, tick, text = shown
    bar = progress.start("probing", 3)
    tick(9)
    bar.advance(3)
    bar.close()
    assert text() == ""


def test_an_unknown_total_counts_up(shown):
    progress, tick, text = shown
    bar = progress.start("reading")
    tick(11)
    bar.advance(7)
    assert text() == "reading: 7\n"


def test_a_pipe_gets_plain_lines_and_nobody_gets_nothing():
    with terminal_progress(io.StringIO()) as progress:
        assert isinstance(progress, PlainProgress)
    bar = NullProgress().start("anything", 5)
    assert bar.advance(2) is None and bar.close() is None


def test_bars_on_a_terminal():
    stream = io.StringIO()
    stream.isatty = lambda: True
    with terminal_progress(stream) as progress:
        bar = progress.start("sampling", 4)
        bar.advance(4)
        bar.close()
    assert not isinstance(progress, PlainProgress)


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01"), (-1, "0 s")],
)
def test_times(seconds, text):
    assert format_seconds(seconds) == text


def test_a_long_step_is_heard_of_and_a_short_one_is_not():
    stream, now = io.StringIO(), [0.0]
    progress = PlainProgress(stream, interval=10.0, clock=lambda: now[0])
    with listening(progress.beat):
        beat("token", 1, 64)
        progress.start("probe: pilot", 14).advance(3)
        for second in range(0, 25):
            now[0] = float(second)
            beat("token", second + 1, 64)
    beat("token", 64, 64)
    assert stream.getvalue().splitlines() == [
        "probe: pilot 4 of 14: token 11 of 64, 10 s so far",
        "probe: pilot 4 of 14: token 21 of 64, 20 s so far",
    ]


def test_the_sampler_beats_once_a_token():
    loaded, heard = load_model("addition-uncertain"), []
    with listening(lambda *said: heard.append(said)):
        drawn = sample(loaded.model, loaded.tokenizer, ["1+1="], rollouts=2, max_new_tokens=5)
    longest = max(map(len, drawn.token_ids[0]))
    assert heard == [("token", step + 1, 5) for step in range(longest)]
