"""Run the command line inside the test process, and judge a refusal."""

from typer.testing import CliRunner

from llm_bridge.cli import create_app


def invoke(*arguments):
    return CliRunner().invoke(create_app(), [str(argument) for argument in arguments], prog_name="sharpening")


def assert_refused(result, *fragments):
    """Exit status 2, one paragraph on standard error that holds the fragments, nothing on standard output."""
    assert result.exit_code == 2, (result.output, result.exception)
    # A run on a file first shows how its answers are read; nothing else may stand before the error.
    paragraphs = result.stderr.strip().split("\n")
    if paragraphs[0].startswith("Answers of "):
        shown = next((i for i, line in enumerate(paragraphs[1:], 1) if line[:2] != "  "), len(paragraphs))
        paragraphs = paragraphs[shown:]
    assert len(paragraphs) == 1 and paragraphs[0].startswith("Error: ") and "Traceback" not in result.output
    assert not result.stdout
    for fragment in fragments:
        assert fragment in paragraphs[0]
