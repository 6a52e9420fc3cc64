"""Run the command line inside the test process, and judge a refusal."""

from typer.testing import CliRunner

from llm_bridge.cli import create_app


def invoke(*arguments):
    return CliRunner().invoke(create_app(), [str(argument) for argument in arguments], prog_name="sharpening")


def assert_refused(result, *fragments):
    """Exit status 2, one paragraph on standard error that holds the fragments, nothing on standard output."""
    assert result.exit_code == 2, (result.output, result.exception)
    # A run on a file first shows how its answers are read.
    paragraphs = result.stderr.strip()[max(0, result.stderr.strip().find("Error: ")) :].split("\n")
    assert len(paragraphs) == 1 and paragraphs[0].startswith("Error: ") and "Traceback" not in result.output
    assert not result.stdout
    for fragment in fragments:
        assert fragment in paragraphs[0]
