"""Folders that the user names: a report, a study or a model never replaces anybody else's file."""

import json
import types

import pytest
from cli_helpers import assert_refused, invoke

from llm_bridge.sampling.answer_file import ANSWERS_FILE, AnswerFile
from sharpening import InputError

SIMULATE = ["simulate", "--prompts", "8", "--answers", "4", "--steps", "5"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class TestReports:
    @pytest.mark.parametrize(
        "name, text",
        [
            ("report.html", "<h1>mine</h1>"),
            ("result.json", '{"accuracy": 0.5}'),
            ("result.json", "not json"),
            ("curves.png", "mine"),
            ("rise_and_fall.png", "mine"),
        ],
    )
    def test_never_replace_another_file(self, tmp_path, name, text):
        (tmp_path / name).write_text(text)
        assert_refused(invoke(*SIMULATE, "--report", tmp_path), "`report`", name)
        assert contents(tmp_path) == {name: text.encode()}

    def test_are_written_beside_other_files_and_written_anew(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        assert invoke(*SIMULATE, "--report", tmp_path).exit_code == 0
        (tmp_path / "curves.png").unlink()
        assert invoke(*SIMULATE, "--report", tmp_path).exit_code == 0
        assert (tmp_path / "notes.txt").read_text() == "mine" and (tmp_path / "curves.png").exists()
        (tmp_path / "result.json").write_text('{"mine": 1}')
        assert_refused(invoke(*SIMULATE, "--report", tmp_path), "result.json")


@pytest.fixture
def study(monkeypatch):
    def run(folder, *, progress):
        (folder / "result.json").write_text(json.dumps({"study": "small"}))
        return {"folder": folder}

    studies = {name: types.SimpleNamespace(description="", run=run) for name in ("small", "other")}
    monkeypatch.setattr("llm_bridge.cli.commands.study.known_studies", lambda: studies)


class TestStudies:
    @pytest.mark.parametrize("name", ["result.json", "notes.txt", "run.json"])
    def test_never_write_among_other_files(self, study, tmp_path, name):
        (tmp_path / name).write_text('{"mine": 1}')
        assert_refused(invoke("study", "small", "--output", tmp_path), "`output`", "not empty")
        assert contents(tmp_path) == {name: b'{"mine": 1}'}

    def test_find_their_own_folder_again(self, study, tmp_path):
        for _ in range(2):
            assert invoke("study", "small", "--output", tmp_path / "s").exit_code == 0
        (tmp_path / "s" / ".sharpening.json").unlink()  # as an earlier version left it
        assert invoke("study", "small", "--output", tmp_path / "s").exit_code == 0
        assert_refused(invoke("study", "other", "--output", tmp_path / "s"), "it holds small")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "thesis.txt"])
def test_models_are_never_built_among_other_files(tmp_path, name):
    (tmp_path / name).write_text("mine")
    assert_refused(invoke("zoo", "build", "addition-weak", "--output", tmp_path), "not empty")
    assert contents(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize("text", ["mine", "mine\nand more", '{"identity": 3, "chat": true}\ncut'])
def test_a_file_of_answers_that_is_not_ours_is_not_cut(tmp_path, text):
    (tmp_path / ANSWERS_FILE).write_text(text)
    with pytest.raises(InputError):
        AnswerFile(tmp_path, {"model": "m"})
    assert (tmp_path / ANSWERS_FILE).read_text() == text
