"""Griffe extension: a docstring's doctest examples become code blocks, wherever they stand in the text."""

import re

import griffe

EXAMPLE = re.compile(r"(?m)^>>> .*(?:\n(?!\s*$).+)*")


class FencedExamples(griffe.Extension):
    """Put a fence around every run of `>>>` lines and their output, unless an Examples section already does
    so.
    """

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        if obj.docstring and "Examples:" not in obj.docstring.value:
            obj.docstring.value = EXAMPLE.sub(
                lambda match: f"```pycon\n{match.group(0)}\n```", obj.docstring.value
            )
