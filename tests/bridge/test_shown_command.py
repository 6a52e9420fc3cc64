"""The command line that a result shows holds every option that was given, and asks for the same again."""

import functools
import html
import json
import shlex
from pathlib import Path

import pytest
import typer
from chats import TEMPLATES, bytes_model
from cli_helpers import invoke
from typer.main import get_command
from typer.testing import CliRunner

from llm_bridge.cli import create_app
from llm_bridge.cli.commands import compare, forecast, measure
from llm_bridge.cli.options import run_command
from llm_bridge.cli.shown import TARGETS

COMMANDS = {"forecast": forecast.forecast, "measure": measure.measure, "compare": compare.compare}
RAW = """--task problems.jsonl --answer-pattern last-number --no-chat --few-shot '1+1=2\n' --stop '\n' --stop 'a b'
    --reward majority --reward true --set 'reward_weights=[1.0, 0.5]' --set top_p=0.9
    --set 'lr_scheduler_kwargs={"min_lr": 1e-06}' --set 'lr_scheduler_type="cosine_with_min_lr"' --temperature 0.7
    --learning-rate 1.23456789e-05 --optimizer sgd --dataset-size 32 --criterion half_life --max-new-tokens 7
    --eval-every 10 --mask-truncated-completions"""
AT_DEFAULTS = """--prompts-per-step 32 --rollouts 8 --temperature 1 --learning-rate 0.0005 --optimizer adam --beta 0
    --max-steps 300 --seed 0 --criterion relative --eval-every 15 --eval-prompts 256 --no-eval-early
    --no-mask-truncated-completions --train-rollouts 4"""
CHAT = """CHATTING --learning-rate 0.0005 --task problems.jsonl --chat --system "Answer 'briefly',\nplease." --image-folder .
    --chat-template-kwargs '{"enable_thinking": false}'"""
OWN = {
    "forecast": "--pilots 1 --voices --calibration 'my own.json' --engine vllm",
    "measure": "--output 'my runs'",
    "compare": "--voices --output 'my runs'",
}
FILE = "--config grpo.yaml --rollouts 4"
SERVED = {"server", "prompts", "draws", "concurrency"}
"""Of a forecast from a server's answers, which tests of its own watch."""


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"{a}+{b}=", "answer": str(a + b)} for a in range(9) for b in range(9)]
    Path("problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("grpo.yaml").write_text("learning_rate: 3.0e-6\nlr_scheduler_type: cosine\nnum_generations: 8\n")
    Path("my own.json").write_text("{}")


@pytest.fixture(scope="module")
def chatting(tmp_path_factory):
    """A folder with a tokenizer that has a chat template."""
    loaded, folder = bytes_model(), tmp_path_factory.mktemp("chatting")
    loaded.tokenizer.chat_template = TEMPLATES["thinking"]
    loaded.tokenizer.save_pretrained(folder)
    loaded.model.save_pretrained(folder)
    return folder


def asked(command: str, words) -> tuple:
    """(what the command was asked for, the line that it would show); its own options are the real ones."""
    found = []

    @functools.wraps(COMMANDS[command])
    def told(request, **own):
        form = getattr(request.task, "form", {})
        line = request.command_line(command)
        found.append(((request.model, request.source, request.settings, form, own), line))

    app = typer.Typer()
    app.command(command)(run_command(told))
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, [command, *words])
    assert result.exit_code == 0, (result.output, result.exception)
    return found[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_tried_here(command):
    tried = {word for text in (RAW, AT_DEFAULTS, CHAT, OWN[command], FILE) for word in shlex.split(text)}
    offered = [one for one in get_command(create_app()).commands[command].params if one.opts[0][0] == "-"]
    left = {one.name for one in offered if not tried & {*one.opts, *one.secondary_opts}}
    assert left == TARGETS | (SERVED | {"output"} if command == "forecast" else set())


@pytest.mark.parametrize(
    ("command", "text"),
    [("forecast", text) for text in (RAW, AT_DEFAULTS, CHAT)] + list(OWN.items()),
    ids=["raw", "at defaults", "chat", *OWN],
)
def test_what_was_given_is_shown_and_asks_for_the_same(command, text, chatting):
    words = [str(chatting) if word == "CHATTING" else word for word in shlex.split(text)]
    first, line = asked(command, words)
    shown = shlex.split(line)
    assert shown[:2] == ["sharpening", command]
    assert {*words} <= {*shown}, ({*words} - {*shown}, line)
    assert asked(command, shown[2:]) == (first, line)


def test_a_file_is_shown_as_the_fields_that_it_sets():
    first, line = asked("forecast", shlex.split(FILE))
    assert "--rollouts 4 --learning-rate 3e-06 --set 'lr_scheduler_type=\"cosine\"'" in line
    assert asked("forecast", shlex.split(line)[2:]) == (first, line)


@pytest.mark.thorough
def test_a_real_forecast_shows_it_in_page_and_json():
    words = ["--max-steps", "8", "--prompts-per-step", "8", "--json", "f.json", "--report", "page"]
    assert invoke("forecast", *words).exit_code == 0
    line = json.loads(Path("f.json").read_text())["command"]
    assert line in html.unescape(Path("page/report.html").read_text())
    assert invoke(*shlex.split(line)[1:], "--json", "again.json", "--report", "page2").exit_code == 0
    first, again = (json.loads(Path(name).read_text()) for name in ("f.json", "again.json"))
    assert first | {"cost": 0} == again | {"cost": 0}
