"""The frame of the paper's studies: declared, resumed to the same file, the same on every backend; and the committed
results say what their own rule says.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_helpers import assert_refused, invoke

from sharpening import InputError
from studies import STUDIES
from studies.backends import running
from studies.paper import PAPER
from studies.paper.cells import KINDS
from studies.paper.claims import CANNOT, CLAIMS, NOT_YET
from studies.paper.draw import finish, sheet
from studies.paper.frame import (
    CELLS,
    FIGURE,
    FIGURES,
    RESULTS,
    TIMES,
    VERDICTS,
    Cell,
    Finding,
    PaperStudy,
    load_result,
)

PARTS = 8


def grid(quick):
    settings = {"prompts": 24, "answers": 5, "step": 0.5, "weights": [0.2, 0.6], "youden": [0.5, 1.0]}
    return [
        Cell("hybrid map", f"seed {seed}", settings | {"steps": 120, "seeds": [seed]}, 1.0)
        for seed in range(2 if quick else PARTS)
    ]


def find(result):
    shares = [record["rescued"][0][0][1] for record in result["cells"]]
    return Finding("reproduced" if min(shares) > 0.9 else "contradicted", "A sentence.", {"shares": shares})


def figure(result):
    drawn, ((axes,),) = sheet(1, 1, "Shares")
    axes.plot([record["rescued"][0][0][1] for record in result["cells"]])
    finish(axes, "share", "seed", "share", True)
    return drawn


SMALL = PaperStudy(
    "small", "eight parts", "a claim", "somewhere", grid, tuple(range(PARTS)), "rescued", figure, find
)


def lasting(result):
    return {name: value for name, value in result.items() if name not in TIMES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return SMALL.run(tmp_path_factory.mktemp("whole"), workers=1)


class TestFrame:
    def test_a_result_has_its_provenance_and_its_finding(self, whole):
        assert whole["command"] == "sharpening study run small" and whole["seeds"] == list(range(PARTS))
        assert {"date", "versions", "claim", "source"} <= set(whole) and whole["finding"][
            "verdict"
        ] == "reproduced"
        assert [record["label"] for record in whole["cells"]] == [f"seed {seed}" for seed in range(PARTS)]

    def test_a_killed_study_resumes_to_the_same_file(self, whole, tmp_path):
        code = f"import test_paper_studies as t; t.SMALL.run({str(tmp_path)!r}, workers=1)"
        places = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        root = Path(__file__).parents[2]
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{places}"},
            cwd=tmp_path,
        )
        while process.poll() is None and len(list(tmp_path.glob(f"{CELLS}/*.json"))) < 2:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob(f"{CELLS}/*.json")}
        assert 2 <= len(kept) < PARTS, "it was to be killed between its parts"
        again = SMALL.run(tmp_path, workers=1)
        assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
        assert json.dumps(lasting(again)) == json.dumps(lasting(whole))
        assert (
            json.loads((tmp_path / "result.json").read_text()) == again and (tmp_path / FIGURE).stat().st_size
        )

    @pytest.mark.thorough
    def test_workers_change_nothing(self, whole, tmp_path):
        assert lasting(SMALL.run(tmp_path, workers=2)) == lasting(whole)

    def test_nor_does_a_dask_cluster_of_two_workers(self, whole, tmp_path):
        pytest.importorskip("distributed")
        with running("dask", 2):
            found = SMALL.run(tmp_path, workers=2)
        assert lasting(found) == lasting(whole)

    def test_other_settings_are_other_parts(self, tmp_path):
        one, other = grid(False)[0], Cell("hybrid map", "seed 0", {"prompts": 41}, 1.0)
        assert one.name != other.name and one.name == grid(True)[0].name

    def test_a_verdict_is_one_of_four_words(self):
        with pytest.raises(InputError, match="verdict"):
            Finding("proved", "Surely.")


class TestCommand:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setitem(STUDIES, "small", SMALL)

    def test_list_names_every_study_and_its_verdict(self):
        records = {
            record["name"]: record for record in json.loads(invoke("study", "list", "--json", "-").stdout)
        }
        assert set(PAPER) < set(records) and {"tiny", "capitals"} < set(records)
        assert records["small"]["verdict"] == "not yet run" and records["tiny"]["verdict"] is None

    @pytest.mark.parametrize("words", [["run", "small"], ["small"]])
    def test_run_then_show(self, words, tmp_path):
        run = invoke("study", *words, "--quick", "--workers", 1, "--output", tmp_path / "s", "--json", "-")
        document = json.loads(run.stdout)
        assert len(document["cells"]) == 2 and document["command"].endswith("--quick")
        shown = invoke("study", "show", "small", "--output", tmp_path / "s", "--figure", tmp_path / "f.png")
        assert "Verdict: reproduced (quick form)" in shown.stdout and (tmp_path / "f.png").stat().st_size
        assert_refused(invoke("study", "show", "small", "--output", tmp_path / "other"), "small")

    @pytest.mark.parametrize(
        "words, fragments",
        [
            (["huge"], ["'huge'", "small"]),
            (["run", "huge"], ["'huge'", "small"]),
            (["print", "small"], ["'print'", "list, run, show"]),
            (["run", "small", "--backend", "abacus"], ["abacus", "loky"]),
            (["run", "small", "--collect"], ["collect"]),
            (["run", "tiny", "--quick"], ["quick", "tiny"]),
            (["show", "tiny"], ["tiny"]),
            (["show", "small"], ["small", "committed"]),
        ],
    )
    def test_refusals(self, words, fragments):
        assert_refused(invoke("study", *words), *fragments)


class TestDeclared:
    @pytest.mark.parametrize("name", PAPER)
    def test_what_trains_has_three_seeds_and_a_quick_form_is_smaller(self, name):
        study = PAPER[name]
        cells, quick = study.grid(False), study.grid(True)
        groups = {}
        for cell in cells:
            seeds = cell.settings.get("seeds") or [cell.settings["run"]["seed"]]
            groups.setdefault((cell.kind, cell.label), set()).update(seeds)
        assert all(len(seeds) >= 3 for seeds in groups.values())
        assert len({cell.name for cell in cells}) == len(cells)
        assert sum(cell.weight for cell in quick) <= 180 and study.claim and study.source

    @pytest.mark.parametrize("name", [name for name in PAPER if (RESULTS / f"{name}.json").is_file()])
    def test_a_committed_result_is_of_this_grid_and_its_finding_follows_from_it(self, name):
        study, result = PAPER[name], load_result(name)
        told = [(record["kind"], record["label"], record["settings"]) for record in result["cells"]]
        assert told == [(cell.kind, cell.label, cell.settings) for cell in study.grid(False)]
        again = study.find(result)
        assert (again.verdict, again.sentence) == (
            result["finding"]["verdict"],
            result["finding"]["sentence"],
        )
        assert not result["quick"] and (FIGURES / f"{name}.png").stat().st_size
        study.figure(result)


def small_cells():
    """Cells of the newer kinds, as small as they can be."""
    moving = {"update": "GRPO", "strengths": [1.0], "prompts": 8, "answers": 4, "sharpness": 1.0}
    moving |= {"learning_rate": 0.2, "rollouts": 8, "shared": 0.5, "steps": 200, "seeds": [0]}
    verified = {
        "families": {"uniform": [0.0, 1.0]},
        "prompts": 32,
        "answers": 5,
        "strength": 1.0,
        "seeds": [0],
    }
    verified |= {"coupling": [1.0, 1.0], "tpr": 1.0, "fpr": 0.0}
    verified["run"] = {
        "learning_rate": 4.0,
        "num_steps": 60,
        "prompts_per_step": 8,
        "rollouts": 4,
        "eval_every": 60,
    }
    chosen = {
        "model": "addition-misconception",
        "task": "addition",
        "wrong": True,
        "problems": 3,
        "unseen": 8,
    }
    chosen["run"] = {"prompts_per_step": 3, "learning_rate": 1e-3, "max_steps": 1, "seed": 0}
    read = {"study": "ground-truth", "criteria": ["relative", "loss_spike"], "seeds": [0]}
    alone = {"confidence": [0.3, 0.9], "prompts": 32, "answers": 4, "steps": 20, "learning_rate": 0.5}
    alone |= {"rollouts": 4, "seeds": [0]}
    kinds = {
        "urn": alone,
        "moving prior": moving,
        "schedules": verified,
        "chosen problems": chosen,
        "stored steps": read,
    }
    return {kind: KINDS[kind].do(settings, Path()) for kind, settings in kinds.items()}


def test_the_newer_cells_tell_what_they_say():
    found = small_cells()
    moving = found["moving prior"]
    assert abs(moving["exact"][0][0] - moving["predicted"][0][0]) < 0.02 < moving["exact"][0][0] - 0.25
    (unsure,), (sure,) = found["urn"]["flipped"]
    assert 0 <= sure < 0.1 < unsure <= 1
    none, everything = found["schedules"]["rows"]
    assert (none["cost"], everything["cost"]) == (0.0, 1.0) and everything["after"] > none["after"]
    chosen = found["chosen problems"]
    assert (
        chosen["before"]["trained"]["majority"] == [False] * 3
        and len(chosen["after"]["unseen"]["greedy"]) == 8
    )
    assert chosen["before"]["unseen"]["accuracy"] != chosen["after"]["unseen"]["accuracy"]
    rows = found["stored steps"]["rows"]
    assert len(rows) == 234 and {row["seed"] for row in rows} == {0, 1, 2}
    assert any(row["relative"] is None for row in rows) and any(row["loss_spike"] for row in rows)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.text[:40])
def test_every_claim_has_a_verdict_and_names_a_study_and_a_part_that_exist(claim):
    assert not claim.study or claim.study in PAPER
    said = {NOT_YET, *VERDICTS} if claim.study else {NOT_YET, CANNOT}
    assert claim.verdict.split(":")[0] in said
    if claim.part and (RESULTS / f"{claim.study}.json").is_file():
        assert claim.part in load_result(claim.study)["finding"]["numbers"]["parts"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", PAPER)
def test_quick_forms_run_to_a_verdict(name, tmp_path):
    result = PAPER[name].run(tmp_path, quick=True, workers=1)
    assert result["quick"] and result["finding"]["verdict"] in VERDICTS and (tmp_path / FIGURE).stat().st_size
