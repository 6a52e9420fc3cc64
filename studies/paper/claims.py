"""Every measured claim of the paper and its neighbours, and what came of it here: the verdict of a study, or in words
why there is none.
"""

from dataclasses import dataclass

from studies.paper.frame import RESULTS, load_result

NOT_YET = "not yet run"
CANNOT = "cannot be tested at this size"


@dataclass(frozen=True)
class Claim:
    """text: what was said, and by whom (He: He et al. 2026). study: whose verdict it has. why: without a study, what
    `said` (NOT_YET or CANNOT) rests on. part: of a study that judges several claims, the one whose verdict its finding
    keeps under `parts`.
    """

    text: str
    study: str = ""
    part: str = ""
    said: str = NOT_YET
    why: str = ""

    @property
    def verdict(self) -> str:
        """A word, and where there is one its reason."""
        if self.study:
            known = (RESULTS / f"{self.study}.json").is_file()
            if not known:
                return NOT_YET
            finding = load_result(self.study)["finding"]
            return finding["numbers"]["parts"][self.part] if self.part else finding["verdict"]
        return f"{self.said}{': ' if self.why else ''}{self.why}"


CLAIMS = (
    Claim(
        "He: the majority reward keeps rising while accuracy rises, then falls; entropy falls faster than with true"
        " rewards",
        "rise-then-fall",
    ),
    Claim("He: three failure modes of five intrinsic rewards", "failure-modes"),
    Claim(
        "He: nearly all settings degrade; batch size and rollouts move when, not whether. SRT: more KL does not delay,"
        " fewer rollouts delay, the easiest third is safe",
        "hyper-parameters",
    ),
    Claim("SRT: an entropy bonus hastens", why="the simulation has no entropy bonus yet"),
    Claim("He: the most stable settings last about 1,000 steps, 4 epochs"),
    Claim(
        "He: 32 and 128 prompts never collapse, 512 and more do; KL at 512 is twice that at 32",
        "dataset-size",
    ),
    Claim(
        "The summary: up to 1,000 examples are safe",
        why="no run of its own; `dataset-size` has 512 and 2,048 prompts",
    ),
    Claim("He: one problem at a time, the greedy answer flips in 3 of 25", "per-problem"),
    Claim(
        "He: training on 6 problems with a wrong majority raises two unseen ones from 0 to 1",
        "wrong-majorities",
        part="six",
    ),
    Claim(
        "He: test-time training on 40 AMC23 problems improves AMC23 and AIME24",
        said=CANNOT,
        why="no model here solves such problems",
    ),
    Claim("He: 32 problems with nearly all majorities wrong do not destroy the model", "wrong-majorities"),
    Claim(
        "He, theory C2: small data sets are trainable without labels, large ones are not, a stronger prior bears larger"
        " ones; true rewards train everywhere",
        "trainability-frontier",
    ),
    Claim("He: high initial entropy does not predict trainability"),
    Claim(
        "He: the Model Collapse Steps of seven models, 34 to 383",
        said=CANNOT,
        why="these models have 1.5 to 8 billion parameters; `sharpening mcs` runs the protocol on any model",
    ),
    Claim(
        "He: the MCS ranks models as the gain from true rewards does, and better than pass@k", "mcs-and-gains"
    ),
    Claim(
        "He: the MCS costs 5.6 times fewer tokens than the gain",
        said=CANNOT,
        why="the ratio is that of the lengths of two kinds of run, which a study of few steps chooses itself",
    ),
    Claim(
        "He: aggressive settings collapse in as few as 14 steps and keep the ranking",
        "mcs-and-gains",
        part="aggressive",
    ),
    Claim(
        "The summary: the MCS is tied to the perplexity of pre-training, and is the step of a loss spike",
        "loss-spike",
    ),
    Claim(
        "The summary: an MCS above 10,000 steps is stable",
        said=CANNOT,
        why="no published model comes near it, and no run here is that long",
    ),
    Claim(
        "Kang et al.: pass@64 or held-out loss predicts what RL gains, Spearman .90 to .98",
        "mcs-and-gains",
        part="anchor",
    ),
    Claim(
        "He: on Countdown self-verification approaches the oracle; reward accuracy dips, then recovers",
        "outside-checks",
    ),
    Claim(
        "He: instruction-tuned models are robust to the verification prompt, base models are not",
        said=CANNOT,
        why="no model of the zoo is tuned to instructions",
    ),
    Claim("Rad et al., theory X2: a verifier wins below the vote's weight J/(1 + J)", "hybrid-phase"),
    Claim(
        "Theory X3: at equal cost schedules that verify where it matters keep more than a uniform share",
        "equal-cost",
    ),
    Claim("Theory X4: a moving prior has a balance point", "moving-prior"),
    Claim(
        "He: sharpening helps where confidence and correctness align, and fails where they do not",
        "alignment",
    ),
    Claim(
        "Reports of users: a model that sharpens on its own votes on images ends in one answer and stops looking",
        "blind-votes",
    ),
    Claim(
        "SRT: Llama-3.1-8B-Instruct is healthy for 2,000 steps at 1e-7 and sick at 3e-7",
        said=CANNOT,
        why="a model of 8 billion parameters; `sharpening study capitals` has a critical rate of a small one",
    ),
)
