"""Texts and expressions meant to be slow: every reader has a defined outcome in bounded time."""

import time

import pytest

from llm_bridge.answers.extraction import extractor

MEGABYTE = 1_000_000
SLOW = [
    "9" * MEGABYTE,
    "1," * (MEGABYTE // 2),
    "1/" * (MEGABYTE // 2),
    "-" * MEGABYTE,
    r"\boxed{" * (MEGABYTE // 7),
    "{" * MEGABYTE,
    "}" * MEGABYTE,
    r"\boxed{" + "{" * 500_000 + "}" * 500_001,
    r"\boxed{" + r"\frac{" * 3_000 + "1}}",
    r"\boxed{" + r"\text{a" * 2_000 + "}" * 2_001,
    "\0" * MEGABYTE,
    " " * MEGABYTE,
    "a" * MEGABYTE,
    "(" * MEGABYTE,
    "." * MEGABYTE,
    "1,111" + ",111" * (MEGABYTE // 4),
    r"\frac{1}{" * (MEGABYTE // 9),
    "\\" * MEGABYTE,
    "\ud800" * 100,
    "'-." * (MEGABYTE // 3),
    "a'" * (MEGABYTE // 2),
    "\u0301" * MEGABYTE,
    "x" + "9" * 9_999 + "/" + "9" * 9_999 + "/",
    r"\boxed{" + "9" * 15_000 + "}",
    r"\boxed{" + " ," * 9_000 + "}",
    r"\boxed{" + r"\frac" * 3_000 + "}",
]


@pytest.mark.parametrize("text", SLOW, ids=range(len(SLOW)))
def test_no_text_is_slow_to_read(text):
    from llm_bridge import TASKS, get_task

    readers = [get_task(name).extract for name in TASKS] + [get_task(name).settled for name in TASKS]
    for read in [extractor("last-number"), extractor("boxed"), extractor("text"), *readers]:
        start = time.process_time()
        label = read(text)
        assert time.process_time() - start < 1.0
        assert label is None or isinstance(label, bool) or 0 < len(label) <= 1_000


def test_a_catastrophic_expression_ends_with_no_answer():
    read = extractor("regex:(a+)+$")
    assert read("aaa") == "aaa"
    start = time.monotonic()
    assert read("a" * 40 + "b") is None
    assert time.monotonic() - start < 10
    assert read("aa") == "aa"
