"""The proofs in `proofs/`: each says what the Python theorem says, none is left open, Coq accepts all of them and refuses
statements that are wrong.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sharpening import get_theorem

ROOT = Path(__file__).parents[2]
PROOFS = ROOT / "proofs"
PROVED = ("S1", "S4", "S9", "U5")
AXIOMS = {
    "boolp.propositional_extensionality",
    "boolp.functional_extensionality_dep",
    "boolp.constructive_indefinite_description",
}
# file, what it says, what is false
FALSE = [
    ("S1", "log_odds p + k%:R / beta.", "log_odds p + k%:R * beta."),
    ("S1", "run k a / run k b = p a / p b.", "run k a / run k b = p b / p a."),
    ("S4", "Theorem S4 : majorizes next p.", "Theorem S4 : majorizes p next."),
    ("S4", "entropy next <= entropy p.", "entropy p <= entropy next."),
    ("S9", "kl (pi t) (pi 0%N) <= - ln (pi 0%N m).", "kl (pi t) (pi 0%N) <= ln (pi 0%N m)."),
    ("U5", "alpha <= RewardAccuracy t.", "alpha < RewardAccuracy t."),
    ("U5", "RewardAccuracy @ \\oo --> alpha.", "RewardAccuracy @ \\oo --> 1."),
    ("U5", "(2 < #|M|)%N -> k^-1", "(1 < #|M|)%N -> k^-1"),
]
coq = [
    pytest.mark.thorough,
    pytest.mark.skipif(
        shutil.which("coqc") is None, reason="coqc is not installed: no installation needs it"
    ),
]


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize("name", PROVED)
def test_a_file_opens_with_the_statement_of_its_theorem(name):
    opening = (PROOFS / f"{name}.v").read_text().split("*)")[0]
    theorem = get_theorem(name)
    assert words(opening).startswith(f"(** {name}, {theorem.title}.")
    assert f'"{theorem.statement}"' in words(opening)


def test_no_proof_is_left_open_and_no_axiom_is_added():
    for path in PROOFS.glob("*.v"):
        bare = re.sub(r"(?s)\(\*.*?\*\)", "", path.read_text())
        assert not re.search(r"\b(Admitted|admit|Abort|Axioms?|Parameters?|Conjecture)\b", bare), path.name
        assert bare.count("Proof.") == bare.count("Qed."), path.name


def test_every_theorem_is_among_those_whose_assumptions_are_printed():
    asked = (PROOFS / "Assumptions.v").read_text()
    for name in PROVED:
        for stated in re.findall(
            rf"(?m)^(?:Theorem|Corollary) ({name}\w*)", (PROOFS / f"{name}.v").read_text()
        ):
            inner = stated.endswith("_factors") or stated == "S1_policy"  # steps of the others
            assert inner or re.search(rf"@(?:\w+\.)?{stated}\b", asked), stated


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A copy of the folder, every proof checked, and what was printed."""
    copy = tmp_path_factory.mktemp("checked")
    shutil.copytree(PROOFS, copy / "proofs", ignore=shutil.ignore_patterns("*.vo*", "*.glob", ".*.aux"))
    shutil.copy(ROOT / "Makefile", copy)
    made = subprocess.run(["make", "proofs"], cwd=copy, capture_output=True, text=True, timeout=900)
    assert made.returncode == 0, made.stdout + made.stderr
    return copy / "proofs", made.stdout


class TestCoq:
    pytestmark = coq

    def test_it_accepts_every_proof_and_adds_no_assumption(self, built):
        _, told = built
        assert set(re.findall(r"(?m)^([\w.]+)\s*:", told.split("Axioms:")[1])) == AXIOMS

    @pytest.mark.parametrize("file, said, false", FALSE)
    def test_it_refuses_a_wrong_statement(self, built, tmp_path, file, said, false):
        folder, _ = built
        source = (folder / f"{file}.v").read_text()
        assert source.count(said) == 1
        shutil.copytree(folder, tmp_path / "proofs")
        (tmp_path / "proofs" / f"{file}.v").write_text(source.replace(said, false))
        found = subprocess.run(
            ["coqc", "-w", "none", "-Q", ".", "sharpening", f"{file}.v"],
            cwd=tmp_path / "proofs",
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert found.returncode != 0
        where = int(re.search(r"line (\d+), characters .*\n(?:.*\n)*?Error", found.stderr).group(1))
        assert (
            where > source[: source.index(said)].count("\n") + 1
        )  # the statement reads well, its proof fails
