"""Tasks without true answers, from the file to the verdict; the identity of a run; model names judged without
torch.
"""

import json
import subprocess
import sys

import pytest
from cli_helpers import assert_refused, invoke

from llm_bridge import RunSettings, built_in_folder, get_task, load_model, measure
from llm_bridge.models.names import check_model_name, locate_model
from llm_bridge.tasks import read_answers, spellable
from llm_bridge.training.evaluation import run_without_labels
from llm_bridge.training.measure import watched_criterion
from llm_bridge.training.reward_function import check_reward
from llm_bridge.training.run_folder import problems_digest
from sharpening import CRITERIA, METRICS, InputError

LABELLED = {name for name, metric in METRICS.items() if metric.needs_labels}
SMALL = (
    "--max-steps",
    3,
    "--eval-prompts",
    8,
    "--prompts-per-step",
    4,
    "--eval-every",
    1,
    "--max-new-tokens",
    4,
)


def write(path, prompts, answers=None):
    rows = [
        {"prompt": prompt} | ({} if answers is None else {"answer": answers[i]})
        for i, prompt in enumerate(prompts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


PROMPTS = [f"{a}+{b}=" for a in range(20, 50) for b in (31, 45)]


@pytest.fixture
def sums(tmp_path):
    return write(tmp_path / "sums.jsonl", PROMPTS)


class TestTask:
    def test_no_label_is_ever_correct(self, sums):
        task = get_task(sums)
        assert (task.answer_pattern, task.labelled, len(task.problems)) == (
            "text",
            False,
            60,
        ) and "without true answers" in task.description
        assert run_without_labels(task.problems)
        problem = task.problems[0]
        assert problem.answer is None and task.solution(problem) is None
        assert (
            not task.is_correct(problem, "51")
            and not task.is_correct(problem, None)
            and not task.is_correct(problem, "None")
        )
        answers = read_answers([problem], [["51", " 51\n", "", "50"]], task)
        assert (
            answers.labels == ["50", "51"]
            and answers.ids.tolist() == [[1, 1, -1, 0]]
            and not answers.correct.any()
        )

    def test_question_works_too_and_labelled_files_stay_labelled(self, tmp_path):
        path = tmp_path / "q.jsonl"
        path.write_text('{"question": "a?"}\n\n{"question": "b?"}\n')
        assert [problem.prompt for problem in get_task(path).problems] == ["a?", "b?"]
        assert get_task(write(tmp_path / "l.jsonl", ["a"], ["1"])).labelled and get_task("addition").labelled

    @pytest.mark.parametrize(
        "pattern, text, label",
        [("last-number", "so 051 it is", "51"), ("boxed", r"\boxed{ 7 }", "7"), ("regex:(x+)", "axxb", "xx")],
    )
    def test_a_chosen_pattern(self, sums, pattern, text, label):
        assert get_task(sums, pattern).extract(text) == label

    @pytest.mark.parametrize(
        "answers, line", [(["1", None, None], 2), ([None, "1", "2"], 1), (["1", "2", None], 3)]
    )
    def test_answers_on_some_lines_only(self, tmp_path, answers, line):
        path = tmp_path / "some.jsonl"
        path.write_text(
            "".join(json.dumps({"prompt": "p"} | ({"answer": a} if a else {})) + "\n" for a in answers)
        )
        with pytest.raises(InputError, match=f"line {line} of .*has no field answer"):
            get_task(path)

    def test_spelling_is_judged_by_the_prompts(self, sums, tmp_path):
        tokenizer = load_model("addition-uncertain").tokenizer
        spellable(get_task(sums), tokenizer)
        with pytest.raises(InputError, match="cannot spell its prompt"):
            spellable(get_task(write(tmp_path / "odd.jsonl", ["∑∑∑"])), tokenizer)


class TestRuns:
    def test_measure(self, sums, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        result = invoke("measure", "addition-uncertain", "--task", sums, *SMALL, "--json", "out.json")
        assert result.exit_code == 0, result.exception
        document = json.loads((tmp_path / "out.json").read_text())
        assert document["curve"]["step"] == [0, 1, 2, 3] and document["floor"] is None
        self.check(document)
        assert "mode_retention, because relative cannot be evaluated" in result.stdout
        assert {"mode_retention", "excess_kl", "distinct_answers", "majority_ratio"} <= set(document["curve"])

    def test_forecast(self, sums, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        result = invoke("forecast", "addition-uncertain", "--task", sums, *SMALL, "--json", "out.json")
        assert result.exit_code == 0, result.exception
        document = json.loads((tmp_path / "out.json").read_text())
        self.check(document)
        assert document["alignment"] is None and not LABELLED & set(document["prior"])
        assert "`mode_retention`" in document["reasons"][0] and document["verdict"] in (
            "stable",
            "collapse",
            "improves",
            "uncertain",
        )
        for voice in document["voices"].values():
            assert not LABELLED & set(voice["curve"])

    def check(self, document):
        """No metric that needs labels; their criteria unavailable; those without labels judged."""
        assert not LABELLED & set(document["curve"])
        outcomes = {name: step["outcome"] for name, step in document["collapse"].items()}
        assert {name for name, rule in CRITERIA.items() if rule.needs_labels} <= {
            name for name, found in outcomes.items() if found == "unavailable"
        }
        assert outcomes["mode_retention"] in ("censored", "collapsed")

    @pytest.mark.parametrize("command", ["measure", "forecast", "compare"])
    def test_the_true_reward_needs_labels(self, sums, tmp_path, monkeypatch, command):
        monkeypatch.chdir(tmp_path)
        assert_refused(
            invoke(command, "addition-uncertain", "--task", sums, "--reward", "true", *SMALL),
            "`reward` is 'true'",
            "has none",
        )
        assert sorted(path.name for path in tmp_path.iterdir()) == ["sums.jsonl"]

    def test_the_true_reward_is_refused_by_the_functions_too(self, sums, tmp_path):
        with pytest.raises(InputError, match="true answers"):
            measure(
                "addition-uncertain",
                get_task(sums),
                RunSettings(reward="true", eval_prompts=8),
                output_dir=tmp_path / "run",
            )
        assert not (tmp_path / "run").exists()
        check_reward("true", get_task("addition"))
        check_reward("majority", get_task(sums))

    def test_the_criterion_that_is_watched(self):
        assert (
            watched_criterion("relative", True) == "relative"
            and watched_criterion("relative", False) == "mode_retention"
        )
        assert watched_criterion("excess_kl", False) == "excess_kl"


class TestIdentity:
    def test_the_digest_changes_with_every_part_of_the_task(self, tmp_path):
        path = tmp_path / "d.jsonl"
        tasks = [
            get_task(write(path, *content), pattern)
            for content, pattern in (
                ((["a", "b"], ["1", "2"]), None),
                ((["a", "b"], ["1", "3"]), None),
                ((["a", "c"], ["1", "2"]), None),
                ((["b", "a"], ["2", "1"]), None),
                ((["a", "b"], ["1", "2"]), "text"),
                ((["a", "b"],), None),
                ((["a"], ["1"]), None),
            )
        ]
        assert len({problems_digest(task) for task in tasks}) == len(tasks)
        assert problems_digest(tasks[0]) == problems_digest(get_task(write(path, ["a", "b"], ["1", "2"])))

    def test_a_changed_file_cannot_resume_an_old_run(self, sums, tmp_path):
        run = tmp_path / "run"
        arguments = ("measure", "addition-uncertain", "--task", sums, *SMALL, "--output", run)
        assert invoke(*arguments).exit_code == 0
        before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
        write(sums, [*PROMPTS[:-1], "99+99="])
        assert_refused(invoke(*arguments), "other settings (problems)", "--output")
        assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
        write(sums, PROMPTS)
        assert invoke(*arguments).exit_code == 0


class TestModelNames:
    def test_where_a_model_is(self, tmp_path):
        assert locate_model("addition-weak") == (str(built_in_folder("addition-weak")), {})
        assert locate_model(str(built_in_folder("addition-weak"))) == (
            str(built_in_folder("addition-weak")),
            {},
        )
        (tmp_path / "m.gguf").touch()
        assert locate_model(str(tmp_path / "m.gguf")) == (str(tmp_path), {"gguf_file": "m.gguf"})

    def test_a_bad_folder_is_refused_without_torch(self, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(InputError, match="no safetensors weights"):
            check_model_name(str(tmp_path))
        code = (
            "import sys\nfrom llm_bridge.cli import main\ntry: main()\nexcept SystemExit as stop:"
            " print(stop.code, sorted({'torch', 'transformers'} & set(sys.modules)))"
        )
        command = [
            sys.executable,
            "-c",
            code,
            "measure",
            str(tmp_path),
            "--task",
            "addition",
            "--learning-rate",
            "1e-4",
            "--output",
            str(tmp_path / "run"),
        ]
        shown = subprocess.run(command, capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == "2 []" and "no safetensors weights" in shown.stderr
        assert not (tmp_path / "run").exists()
