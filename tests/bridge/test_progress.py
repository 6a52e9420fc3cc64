"""Progress in plain lines, with a clock of our own."""

import io

import pytest

from llm_bridge.console.progress import NullProgress, PlainProgress, format_seconds, terminal_progress


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
