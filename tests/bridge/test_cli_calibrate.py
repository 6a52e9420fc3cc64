"""`sharpening calibrate` and `forecast --calibration`: one's own runs, paired with their forecasts, fitted, and
spoken by.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from cli_helpers import assert_refused, invoke
from recorded_runs import STUDY, documents, write

from llm_bridge import load_calibration
from llm_bridge.forecast.calibration.features import read_for
from llm_bridge.forecast.calibration.fit import calibrated
from llm_bridge.forecast.calibration.pairing import paired, readings
from llm_bridge.forecast.calibration.records import read_records
from llm_bridge.forecast.calibration.survival import SHIPPED
from studies.fitting import groups

MODELS = ("addition-uncertain", "addition-gpt2-noisy", "polynomials")


def one_pilot(forecasts):
    return [one | {"pilot_records": one["pilot_records"][:1]} for one in forecasts]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Ninety-nine measured runs of three models, and what one pilot read of each of their settings."""
    folder = tmp_path_factory.mktemp("recorded")
    runs, forecasts = documents(models=MODELS)
    write(folder / "runs", runs)
    write(folder / "forecasts", one_pilot(forecasts))
    return folder


@pytest.fixture(scope="module")
def fitted(recorded):
    """(result of the command, the calibration file, the rows of --json)."""
    file, rows = recorded / "mine.json", recorded / "rows.json"
    done = invoke(
        "calibrate", recorded / "runs", recorded / "forecasts", "--output", file, "--base", "shipped",
        "--json", rows,
    )  # fmt: skip
    assert done.exit_code == 0, (done.output, done.exception)
    return done, file, json.loads(rows.read_text())


def few(tmp_path, *, runs=lambda found: found, forecasts=lambda found: found, models=("addition-weak",)):
    """Paths of a few runs and of their forecasts, each list changed."""
    measured, told = documents(models=models)
    return write(tmp_path / "runs", runs(measured)), write(tmp_path / "forecasts", forecasts(one_pilot(told)))


def edited(found, change):
    """The documents, each changed in place."""
    for one in found:
        change(one)
    return found


def refused(tmp_path, paths, *fragments, options=()):
    out = tmp_path / "out.json"
    assert_refused(invoke("calibrate", *paths, "--output", out, *options), *fragments)
    assert not out.exists()


@pytest.mark.slow
class TestFit:
    def test_it_is_the_fit_of_the_studies_on_the_same_runs(self, fitted):
        """Through files and pairing, the numbers that the ground truth's own groups give, to six digits."""
        study = STUDY | {"runs": [run for run in STUDY["runs"] if run["model"] in MODELS]}
        for kind, criterion in (("labelled", "relative"), ("label-free", "excess_kl")):
            head = load_calibration(kind, fitted[1]).heads[criterion]
            wanted = calibrated(groups(study), criterion, kind)
            assert head.weights == pytest.approx(wanted.weights, rel=1e-4)
            told, known = ((one.intercept, one.spread, one.typical) for one in (head, wanted))
            assert told == pytest.approx(known, rel=1e-4) and head.runs == wanted.runs
            assert set(head.weights) == set(read_for(kind, criterion))

    def test_the_file_says_what_it_is_of_and_the_table_what_was_used(self, fitted):
        done, file, rows = fitted
        told = json.loads(file.read_text())
        assert told["runs"] == 99 and told["priors"] == sorted(
            f"{model} on {model.split('-')[0]}" for model in MODELS
        )
        assert told["left_out"] == "priors" and {"scipy", "scikit-learn"} <= set(told["versions"])
        assert told["rewards"] == ["majority", "self-certainty", "trajectory-entropy"]
        assert told["base"]["runs"] == 580
        row = {(one["kind"], one["name"]): one for one in rows}["labelled", "relative"]
        met = sum(
            run["collapse"]["relative"]["step"] is not None for run in STUDY["runs"] if run["model"] in MODELS
        )
        assert (row["runs"], row["events"], row["from"]) == (99, met, "these runs")
        assert row["spread"] == told["heads"]["labelled"]["relative"]["spread"]
        for text in ("half_life", f"--calibration {file}", "99 runs"):
            assert text in done.stdout.replace("\n", "")

    def test_what_the_runs_cannot_tell_is_the_bases_and_said(self, fitted):
        done, file, rows = fitted
        shipped, told = json.loads(SHIPPED.read_text()), json.loads(file.read_text())
        assert "labelled.beats_voting" in told["taken_over"]
        assert told["chances"]["labelled"]["beats_voting"] == shipped["chances"]["labelled"]["beats_voting"]
        assert told["heads"]["labelled"]["relative"] != shipped["heads"]["labelled"]["relative"]
        short = [one["name"] for one in rows if one["from"] == "base"]
        assert "beats_voting" in short and all(one["why"] for one in rows if one["from"] == "base")
        assert "the base's is taken, since" in done.stdout.replace("\n", " ")

    def test_a_base_of_ones_own_will_do(self, fitted, recorded, tmp_path):
        done = invoke("calibrate", recorded, "--output", tmp_path / "x.json", "--base", fitted[1])
        assert_refused(done, "the folder holds no measured run")


class TestPairing:
    def test_one_forecast_serves_every_learning_rate_seed_and_budget(self, tmp_path):
        runs, told = few(tmp_path, runs=lambda found: [
            one | {"settings": one["settings"] | {"criterion": "excess_kl"}} for one in found
        ])  # fmt: skip
        by_group, by_key = paired(*read_records([*runs, *told]))
        assert sorted(map(len, by_group.values())) == [3, 3, 3] and len(by_key) == 1
        (read,) = readings(by_group, by_key)
        rates = {run["settings"]["learning_rate"] for run in map(json.loads, map(Path.read_text, runs))}
        spans = [group.features["log_steps"] + math.log(rate) for group, rate in
                 zip(sorted(read, key=lambda g: -g.features["log_steps"]), sorted(rates), strict=True)]  # fmt: skip
        assert max(spans) - min(spans) < 1e-9, "steps of a rate are a displacement over it"

    def test_a_run_is_counted_once_in_whatever_form_it_comes(self, tmp_path):
        runs, told = few(tmp_path)
        measured = json.loads(runs[0].read_text())
        comparison = {"schema": 1, "kind": "comparison", "measurement": measured,
                      "forecast": json.loads(told[0].read_text())}  # fmt: skip
        both = tmp_path / "both.json"
        both.write_text(json.dumps(comparison))
        by_group, by_key = paired(*read_records([tmp_path / "runs", *runs, both, *told]))
        assert sum(map(len, by_group.values())) == len(runs)
        assert len(readings(by_group, by_key)) == 1, "a forecast that is given twice is one reading"

    def test_a_model_with_more_pilots_weighs_no_more_than_another(self, tmp_path):
        found = documents(models=("addition-weak", "polynomials-weak", "polynomials"))
        runs, forecasts = found
        forecasts[0]["pilot_records"] = forecasts[0]["pilot_records"][:2]
        read = readings(
            *paired(*read_records([*write(tmp_path / "r", runs), *write(tmp_path / "f", forecasts)]))
        )
        assert len(read) == 2 and len({len(one) for one in read}) == 1

    def test_a_run_without_labels_tells_what_needs_none(self, tmp_path):
        runs, forecasts = documents(models=("addition-weak",), unlabelled=True)
        paths = [*write(tmp_path / "r", runs), *write(tmp_path / "f", forecasts)]
        for group in readings(*paired(*read_records(paths)))[0]:
            assert "label_accuracy" not in group.features and group.end == []
            assert not group.told("relative") and len(group.told("excess_kl")) == 3

    @pytest.mark.parametrize(
        ("name", "value", "fragment"),
        [
            ("rollouts", 4, "the nearest differs in rollouts"),
            ("optimizer", "sgd", "the nearest differs in optimizer"),
            ("temperature", 0.7, "the nearest differs in temperature"),
            ("dataset_size", 64, "the nearest differs in dataset_size"),
        ],
    )
    def test_other_settings_are_refused(self, tmp_path, name, value, fragment):
        change = lambda found: [one | {"settings": one["settings"] | {name: value}} for one in found]  # noqa: E731
        runs, told = few(tmp_path, runs=change)
        refused(tmp_path, [*runs, *told], fragment, str(runs[0]))

    @pytest.mark.parametrize(
        ("change", "fragment"),
        [
            ({"model": "another"}, "there is no forecast of its model another"),
            ({"task": "sorting"}, "no forecast of its model addition-weak on its task sorting"),
        ],
    )
    def test_another_model_or_task_is_refused(self, tmp_path, change, fragment):
        runs, told = few(tmp_path, runs=lambda found: [one | change for one in found])
        refused(tmp_path, [*runs, *told], fragment, str(runs[0]))

    def test_runs_alone_or_forecasts_alone_are_refused(self, tmp_path):
        runs, told = few(tmp_path)
        refused(tmp_path, runs, "there is no forecast")
        refused(tmp_path, told, "there is no measured run")

    def test_two_runs_of_one_seed_that_went_differently_are_refused(self, tmp_path):
        runs, told = few(tmp_path)
        other = json.loads(runs[0].read_text())
        other["curve"]["accuracy"][-1] += 0.1
        again = tmp_path / "again.json"
        again.write_text(json.dumps(other))
        refused(tmp_path, [*runs, again, *told], str(again), "went differently")

    @pytest.mark.parametrize(
        ("change", "fragment"),
        [
            (lambda one: one.pop("pilot_records"), "holds no pilot"),
            (lambda one: one.update(pilot_records=[]), "holds no pilot"),
            (lambda one: one.pop("weight_noise"), "does not tell what weight noise did"),
            (lambda one: one["weight_noise"]["noise"].reverse(), "noise must begin with 0 and increase"),
            (lambda one: one["weight_noise"]["retention"].pop(), "one value for each noise"),
            (lambda one: one["weight_noise"].update(num_parameters=0), "weight_noise.num_parameters"),
            (lambda one: one["pilot_records"][0].update(silent=True), "no step of its pilots moved a weight"),
            (lambda one: one["pilot_records"][0].pop("displacement"), "pilot_records.0.displacement"),
            (lambda one: one["pilot_records"][0]["displacement"].reverse(), "begin with 0 and increase"),
            (lambda one: one["pilot_records"][0]["metrics"]["retention"].pop(), "retention must have"),
            (lambda one: one["pilot_records"][0]["metrics"].pop("reward_accuracy"), "lacks reward_accuracy"),
            (lambda one: one["prior"].update(majority_ratio=None), "prior lacks majority_ratio"),
            (lambda one: one["coupling"].pop("cosine"), "coupling lacks cosine"),
            (lambda one: one["settings"].update(rollouts=1), "its settings are not those of a run"),
            (lambda one: one["settings"].update(warp=9), "its settings are not those of a run"),
            (lambda one: one["settings"].update(seed=[1]), "seed must be"),
            (lambda one: one["settings"].update(learning_rate=math.inf), "learning_rate must be"),
            (lambda one: one["settings"].update(learning_rate=10**400), "learning_rate must be"),
            (lambda one: one["settings"].update(max_steps=400.5), "max_steps must be"),
            (lambda one: one["settings"].update(rollouts=True), "rollouts must be"),
            (lambda one: one["prior"].update(label_accuracy=1.5), "between 0 and 1"),
            (lambda one: one["coupling"].update(cosine=10**400), "cosine"),
            (lambda one: one["pilot_records"][0].update(floor=math.nan), "floor"),
            (lambda one: one.update(schema=2), "schema"),
            (lambda one: one.update(kind="simulation"), "neither a measured run nor a forecast"),
        ],
    )
    def test_a_forecast_that_cannot_be_read_is_refused(self, tmp_path, change, fragment):
        runs, told = few(tmp_path, forecasts=lambda found: edited(found, change))
        refused(tmp_path, [*runs, *told], fragment, str(told[0]))

    @pytest.mark.parametrize(
        ("change", "fragment"),
        [
            (lambda one: one.update(interrupted=True), "interrupted"),
            (lambda one: one.pop("curve"), "curve"),
            (lambda one: one["curve"]["step"].reverse(), "steps must begin with 0 and increase"),
            (lambda one: one["curve"]["accuracy"].pop(), "one value for each step"),
            (lambda one: one["curve"]["accuracy"].__setitem__(0, None), "accuracy"),
            (lambda one: one["curve"]["accuracy"].__setitem__(0, 1.5), "accuracy"),
            (lambda one: one["collapse"].pop("relative"), "collapse lacks relative"),
            (
                lambda one: one["collapse"]["relative"].update(step=None, outcome="collapsed"),
                "a step belongs",
            ),
            (lambda one: one["collapse"]["relative"].update(step=10**400, outcome="collapsed"), "step"),
            (lambda one: one["collapse"]["relative"].update(step=401, outcome="collapsed"), "after the last"),
            (lambda one: one["collapse"]["relative"].update(step=-5, outcome="collapsed"), "step"),
        ],
    )
    def test_a_run_that_cannot_be_read_is_refused(self, tmp_path, change, fragment):
        runs, told = few(tmp_path, runs=lambda found: edited(found[:1], change))
        refused(tmp_path, [*runs, *told], fragment, str(runs[0]))

    @pytest.mark.parametrize("text", ["", "[1, 2]", "{}", "nonsense"])
    def test_what_is_no_record_is_refused(self, tmp_path, text):
        file = tmp_path / "what.json"
        file.write_text(text)
        refused(tmp_path, [file], "what.json", "measure")

    def test_places_without_records_are_refused(self, tmp_path):
        (tmp_path / "empty").mkdir()
        refused(tmp_path, [tmp_path / "empty"], "holds no measured run and no forecast")
        refused(tmp_path, [tmp_path / "nowhere"], "cannot be read")
        (tmp_path / "empty" / "run.json").write_text('{"model": "a", "task": "b"}')
        refused(tmp_path, [tmp_path / "empty"], "has not finished")


class TestTooLittle:
    def test_few_runs_are_refused_with_the_rule(self, tmp_path):
        runs, told = few(tmp_path)
        refused(tmp_path, [*runs, *told], "9 runs can tell it, and 20 are needed", "20 runs in 5 models")
        refused(tmp_path, [*runs, *told], "20 runs in 5 models", options=("--base", "shipped"))

    def test_runs_without_variation_are_refused(self, tmp_path):
        """Thirty seeds of one setting: nothing tells what a feature does."""

        def seeds(found):
            return [found[0] | {"settings": found[0]["settings"] | {"seed": seed}} for seed in range(30)]

        runs, told = few(tmp_path, runs=seeds)
        refused(tmp_path, [*runs, *told], "the runs have 1 models or settings, and 5 are needed")

    def test_a_broken_base_is_refused_before_any_run_is_read(self, tmp_path):
        base = tmp_path / "base.json"
        base.write_text('{"heads": {}}')
        refused(tmp_path, [tmp_path / "nowhere"], "`base`", "no calibration", options=("--base", base))

    def test_an_output_that_cannot_be_written_is_refused_first(self, tmp_path):
        assert_refused(
            invoke("calibrate", tmp_path / "nowhere", "--output", tmp_path), "`output`", "a folder"
        )

    @pytest.mark.parametrize("package", ["sklearn"])
    def test_without_the_extra_it_says_what_to_install(self, tmp_path, monkeypatch, package):
        monkeypatch.setitem(sys.modules, package, None)
        refused(tmp_path, [tmp_path], package, "sharpening[calibrate]")


SMALL = [
    "--prompts-per-step", "8", "--rollouts", "4", "--max-steps", "2", "--eval-every", "1", "--eval-prompts", "24",
    "--learning-rate", "1e-3",
]  # fmt: skip


class TestForReal:
    """Runs and forecasts of a shipped model, made and read by the commands themselves."""

    @pytest.fixture(scope="class")
    def made(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("real")
        for seed in (0, 1):
            run = ("measure", "addition-weak", *SMALL, "--seed", seed, "--output", folder / f"run-{seed}")
            assert invoke(*run, "--json", folder / f"run-{seed}.json").exit_code == 0
        assert invoke("forecast", "addition-weak", *SMALL, "--json", folder / "told.json").exit_code == 0
        return folder

    @pytest.mark.slow
    def test_a_folder_is_the_run_that_its_json_tells(self, made):
        runs, _ = read_records([made / "run-0", made / "run-0.json"])
        assert runs[0].same(runs[1]) and runs[0].settings == runs[1].settings and runs[0].at == (0, 1, 2)
        by_group, _ = paired(*read_records([made / "run-0", made / "run-1", made]))
        assert [len(found) for found in by_group.values()] == [2]

    @pytest.mark.slow
    def test_the_forecast_holds_all_that_its_own_date_was_read_from(self, made):
        (read,) = readings(*paired(*read_records([made])))
        told = json.loads((made / "told.json").read_text())
        head = load_calibration("labelled").heads["relative"]
        assert head.median(read[0].features) == pytest.approx(told["sensitivity"][0]["step"], rel=1e-3)
        assert told["calibration"] == {
            "file": "shipped",
            "date": json.loads(SHIPPED.read_text())["date"],
            "runs": 580,
        }

    @pytest.mark.slow
    def test_two_runs_are_honestly_too_few(self, made, tmp_path):
        refused(tmp_path, [made], "2 runs can tell it, and 20 are needed", options=("--base", "shipped"))

    @pytest.mark.slow
    def test_another_data_set_under_the_same_name_is_refused(self, made, tmp_path):
        told = json.loads((made / "told.json").read_text()) | {"problems": "0" * 16}
        (tmp_path / "other.json").write_text(json.dumps(told))
        refused(tmp_path, [made / "run-0", tmp_path / "other.json"], "other prompts or answers")

    @pytest.mark.slow
    def test_a_forecast_speaks_by_the_calibration_that_it_is_given(self, made, fitted, tmp_path):
        told = json.loads((made / "told.json").read_text())
        out = tmp_path / "own.json"
        done = invoke("forecast", "addition-weak", *SMALL, "--calibration", fitted[1], "--json", out,
                      "--report", tmp_path / "page")  # fmt: skip
        assert done.exit_code == 0, (done.output, done.exception)
        own = json.loads(out.read_text())
        assert own["calibration"]["file"] == str(fitted[1]) and own["calibration"]["runs"] == 99
        assert str(fitted[1]) in own["why_speaker"] and "99" in own["why_speaker"]
        assert own["pilot_records"] == told["pilot_records"], "the same pilot, dated otherwise"
        (read,) = readings(*paired(*read_records([made])))
        wanted = load_calibration("labelled", fitted[1]).heads["relative"].median(read[0].features)
        assert own["sensitivity"][0]["step"] == pytest.approx(wanted, rel=1e-3)
        assert own["sensitivity"][0]["step"] != told["sensitivity"][0]["step"]
        assert f"--calibration {fitted[1]}" in (tmp_path / "page" / "report.html").read_text()


class TestForecastRefuses:
    """A bad --calibration is told before any model is loaded."""

    @pytest.mark.parametrize(
        ("text", "fragment"),
        [("", "not JSON"), ("[]", "no calibration"), ('{"schema": 1, "kind": "forecast"}', "no calibration")],
    )
    def test_a_foreign_file(self, tmp_path, text, fragment):
        file = tmp_path / "mine.json"
        file.write_text(text)
        assert_refused(invoke("forecast", "--calibration", file), "`calibration`", fragment, str(file))

    def test_a_missing_file_or_a_folder(self, tmp_path):
        for place in (tmp_path, tmp_path / "nowhere"):
            assert_refused(invoke("forecast", "--calibration", place), "`calibration`", "cannot be read")

    def test_a_reward_that_no_calibration_knows(self):
        done = invoke("forecast", "--reward", "token-entropy", "--calibration", SHIPPED)
        assert_refused(done, "token-entropy", "no pilot")

    def test_a_reward_that_this_one_does_not_know(self, tmp_path):
        file = tmp_path / "mine.json"
        file.write_text(json.dumps(json.loads(SHIPPED.read_text()) | {"rewards": ["self-certainty"]}))
        assert_refused(invoke("forecast", "--calibration", file), "self-certainty", "majority")

    def test_a_task_without_answers_where_only_labelled_ones_were_fitted(self, tmp_path):
        told = json.loads(SHIPPED.read_text())
        for part in ("heads", "chances"):
            del told[part]["label-free"]
        file, task = tmp_path / "mine.json", tmp_path / "task.jsonl"
        file.write_text(json.dumps(told))
        task.write_text("".join(json.dumps({"prompt": f"{n}+1="}) + "\n" for n in range(80)))
        done = invoke(
            "forecast", "addition-weak", "--task", task, "--eval-prompts", "24", "--calibration", file
        )
        assert_refused(done, "labelled tasks alone")

    def test_with_a_server_it_is_not_read(self):
        done = invoke("forecast", "m", "--server", "http://localhost:1/v1", "--calibration", SHIPPED)
        assert_refused(done, "`calibration`", "does not read it")


def test_the_front_door_stays_light():
    """Neither the list of commands nor the help of this one loads what fits or trains."""
    code = (
        "import sys; from typer.testing import CliRunner; from llm_bridge.cli import create_app;"
        "assert CliRunner().invoke(create_app(), ['calibrate', '--help']).exit_code == 0;"
        "print(*{'scipy', 'sklearn', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
