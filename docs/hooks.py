"""Build hooks: tables that are defined once, in the code, and formulas as MathML, so that the pages need no
network.

A line `<!-- table: NAME -->` in a page becomes the table of that name.
"""

import html
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

from latex2mathml.converter import convert

from llm_bridge import TASKS, get_task, list_models
from llm_bridge.cli import create_app
from llm_bridge.forecast.calibration.features import FATE, MEANINGS, NEED_LABELS, OUTCOME, read_for
from llm_bridge.forecast.calibration.survival import KINDS
from llm_bridge.report.words import VERDICTS, VOICES
from sharpening import CRITERIA, METRICS, REWARDS, list_rewards, list_theorems
from sharpening.rewards import BRANCHES, NEEDS
from studies.critical import TASKS as SMOLLM2_TASKS
from studies.figures import compare_table, provenance, runs_table
from studies.left_out import BASELINES
from studies.paper import PAPER
from studies.paper.claims import CLAIMS
from studies.paper.frame import RESULTS as PAPER_RESULTS
from studies.paper.frame import load_result as load_paper
from studies.smollm2_forecast import critical_rate, half_life, measured, measured_rates, middle_rate, pilots
from studies.study import load_result

MARKER = re.compile(r"<!-- table: (\w+) -->")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\s*\\([(\[])(.*?)\\[)\]]\s*</\1>', re.DOTALL)


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; a vertical bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines
    )


def yes_no(condition: bool) -> str:
    """How a table shows a truth value."""
    return "yes" if condition else "no"


def metrics_table() -> str:
    """Every metric of a Trajectory: name, unit, meaning, whether true labels are needed."""
    rows = [
        [f"`{name}`", metric.unit, metric.meaning, yes_no(metric.needs_labels)]
        for name, metric in METRICS.items()
    ]
    return markdown_table(["metric", "unit", "meaning", "needs labels"], rows)


def criteria_table() -> str:
    """Every collapse criterion: name, metric, meaning, whether true labels are needed."""
    rows = [
        [f"`{name}`", f"`{criterion.metric}`", criterion.meaning, yes_no(criterion.needs_labels)]
        for name, criterion in CRITERIA.items()
    ]
    return markdown_table(["criterion", "metric", "collapse step", "needs labels"], rows)


def rewards_table() -> str:
    """Every registered reward: name, title, branch, names in the literature, limit, failure mode, needs."""
    rows = [
        [
            f"`{card.name}`",
            f"[{card.title}](rewards.md#{card.name})",
            card.branch,
            ", ".join(card.known_as),
            card.limit,
            card.failure_mode,
            ", ".join(card.needs),
        ]
        for card in list_rewards()
    ]
    return markdown_table(
        ["reward", "title", "branch", "known as", "where training ends", "failure mode", "needs"], rows
    )


def reward_sections() -> str:
    """One section a branch, and in it one for each reward: its card and the docstring of its class."""
    sections = []
    for branch in BRANCHES:
        sections.append(f"### {branch[0].upper() + branch[1:]}")
        for card in (card for card in list_rewards() if card.branch == branch):
            reward = REWARDS[card.name]
            settings = ", ".join(f"{name} = {value}" for name, value in reward.settings.items() if value)
            sections += [
                f"#### {card.title[0].upper() + card.title[1:]} {{: #{card.name} }}",
                "\n".join(
                    [
                        f"- name: `{card.name}`; known as {', '.join(card.known_as)}",
                        f"- formula: `{card.formula}` [{card.unit}; {card.sign}]",
                        f"- unified form: {f'`{card.unified}`' if card.unified else 'none'}",
                        f"- where training ends: {card.limit}",
                        f"- failure mode: {card.failure_mode}",
                        f"- needs: {', '.join(f'`{need}`' for need in card.needs)}"
                        + (f"; verifier `{card.verifier}`" if card.verifier else ""),
                        *([f"- settings: `{settings}`"] if settings else []),
                        f"- source: {card.source}",
                    ]
                ),
                prose(reward.__doc__ or ""),
            ]
    return "\n\n".join(sections)


def prose(docstring: str) -> str:
    """A docstring as Markdown paragraphs: what would be read as markup is escaped, code in backticks
    stays.
    """
    parts = inspect.cleandoc(docstring).split("`")
    return "`".join(
        part if inside % 2 else re.sub(r"([*_<>\[\]|])", r"\\\1", part) for inside, part in enumerate(parts)
    )


def reward_needs() -> str:
    """Every signal that a card may list, with what it is."""
    return markdown_table(["need", "what it is"], [[f"`{name}`", meaning] for name, meaning in NEEDS.items()])


def theorem_checks() -> dict:
    """The committed check of every theorem on many random populations."""
    return json.loads((Path(__file__).parent / "theorem_checks.json").read_text())


FAMILIES = {
    "S": "one_prompt",
    "F": "rollouts",
    "U": "populations",
    "X": "verifiers",
    "C": "coupling",
    "N": "counterexamples",
}  # first letter of a theorem's name -> its page in docs/theorems


def theorems_table() -> str:
    """Every theorem in the registry: name, title, assumptions, in how many random populations it was tried
    and held, source. Its row has the anchor of its section, and those of names that it had before.
    """
    tried = theorem_checks()["theorems"]
    rows = []
    for theorem in list_theorems():
        anchor = theorem.name.lower()
        before = "".join(f'<span id="{old.lower()}"></span>' for old in theorem.aliases)
        rows.append(
            [
                f"{before}[{theorem.name}](theorems/{FAMILIES[theorem.name[0]]}.md#{anchor}){{: #{anchor} }}",
                theorem.title + (f" (with {', '.join(theorem.aliases)})" if theorem.aliases else ""),
                ", ".join(one.name for one in theorem.assumptions) or "none",
                f"{tried[theorem.name]['held']:,} of {tried[theorem.name]['cases']:,}",
                theorem.source,
            ]
        )
    return markdown_table(["theorem", "title", "assumptions", "held in", "source"], rows)


def theorem_checks_made() -> str:
    """How the table's checks were made, and that none failed."""
    told = theorem_checks()
    rows = told["theorems"].values()
    versions = ", ".join(f"{package} {number}" for package, number in told["versions"].items())
    return (
        f"Made with `{told['command']}`, {told['date']}, {versions}: {sum(row['prompts'] for row in rows):,}"
        f" prompts that met the assumptions, {sum(row['failed'] for row in rows)} failures."
    )


def theorem_sections(letter: str) -> str:
    """One section for each theorem of a family, on its page in docs/theorems."""
    counts = json.loads((Path(__file__).parent / "theorem_claims.json").read_text())["theorems"]
    return "\n\n".join(
        part
        for theorem in list_theorems()
        if theorem.name[0] == letter
        for part in theorem_section(theorem, counts[theorem.name])
    )


def theorem_section(theorem, counts: dict) -> list[str]:
    """Statement, formula, figures, assumptions, why it is true, what SymPy verifies, how often each claim was asked."""
    from sympy import latex

    told = theorem.as_dict()
    before = "".join(f'<span id="{old.lower()}"></span>' for old in theorem.aliases)
    assumptions = [f"- *{name}*: {meaning}" for name, meaning in told["assumptions"].items()] or ["- none"]
    rows = [[f"`{what}`", f"{one['asked']:,}", claim_asked(one)] for what, one in counts["claims"].items()]
    merged = f" It holds what was {' and '.join(theorem.aliases)}." if theorem.aliases else ""
    return [
        f"### {theorem.name}: {theorem.title} {{: #{theorem.name.lower()} }}",
        before + re.sub(r"([*_\[\]])", r"\\\1", theorem.statement) + merged,
        f"$$\n{latex(theorem.formula())}\n$$",
        *(theorem_figure_block(name, theorem.title) for name in (theorem.name, *theorem.aliases)),
        "\n".join(["Assumptions:", "", *assumptions]),
        "**Why.** " + re.sub(r"([*_\[\]])", r"\\\1", proof_in_words(theorem)),
        "\n".join(["SymPy verifies:", "", *(f"- `{what}`" for what in told["derivation"])]),
        f"Claims, in {counts['cases']:,} populations:",
        markdown_table(["claim", "asked", "could have failed"], rows),
        (
            f"Code: `{told['symbol']}`. Run: `sharpening theorems {theorem.name} --check`. Tests:"
            " `tests/core/test_theorems.py`, `tests/core/test_theorem_mutations.py`, `tests/core/test_theorem_figures.py`."
        ),
    ]


def theorem_figure_block(name: str, title: str) -> str:
    """The figure of a theorem, by its name or one that it had before, as seen from docs/theorems."""
    from sharpening.plots.theorems import figure_caption

    return (
        f'<figure markdown="span">\n![Figure of {name}: {title}](../figures/theorems/{name.lower()}.png)'
        f'{{ width="504" }}\n<figcaption>{html.escape(figure_caption(name))}</figcaption>\n</figure>'
    )


def coq_statements() -> str:
    """What is proved in Coq: the definitions, and of each theorem hypotheses and statements, as the files have them."""
    sentence = re.compile(
        r"(?ms)^(?:Let \w+(?: : R)? :=|(?:Variables?|Hypothes[ei]s|Definition|Inductive|Theorem|Corollary)\b).*?\.$"
    )
    sections = []
    for name in ("Policies", "S1", "S4", "S9", "U5"):
        source = (Path(__file__).parent.parent / "proofs" / f"{name}.v").read_text()
        told = {theorem.name: theorem for theorem in list_theorems()}.get(name)
        sections += [
            f"## [{name}](theorems/{FAMILIES[name[0]]}.md#{name.lower()}), {told.title}"
            if told
            else "## What the words mean",
            "\n".join(["```coq", *sentence.findall(source), "```"]),
        ]
    return "\n\n".join(sections)


def planted_errors() -> str:
    """Errors planted in the source, module by module, and what became of them; then those that no test can notice."""
    told = json.loads((Path(__file__).parent.parent / "tests" / "mutants" / "results.json").read_text())
    rows = [
        [
            f"`{module}`",
            f"{row['errors']}" + (f" (one of {row['one_of']})" if row["one_of"] > 1 else ""),
            row["caught"],
            row["equivalent"],
            row["survived"],
            row["date"],
        ]
        for module, row in told["modules"].items()
    ]
    sums = [
        sum(row[key] for row in told["modules"].values())
        for key in ("errors", "caught", "equivalent", "survived")
    ]
    rows.append(["**all**", *sums, ""])
    left = [
        f"- `{module}`: `{one['error']}`: {one['why'] or '**survived**'}"
        for module, row in told["modules"].items()
        for one in row["argued_or_survived"]
    ]
    head = ["module", "errors tried", "caught", "argued", "survived", "made"]
    return markdown_table(head, rows) + "\n\n" + "\n".join(left)


def proof_in_words(theorem) -> str:
    """What the class says of why it is true, and the statement's source."""
    why = " ".join((type(theorem).__doc__ or "").split())
    return f"{why} Source: {theorem.source}."


def claim_asked(one: dict) -> str:
    """In how many populations a claim's premise was met; of one that says "iff", how often each side was seen."""
    if one["constants"]:
        return "constants, asked once"
    sides = "" if one["yes"] is None else f" (yes {one['yes']:,}, no {one['no']:,})"
    return f"{one['telling']:,}{sides}"


def commands() -> str:
    """Every command with its arguments and options, as the command line itself describes them."""
    from typer.main import get_command

    return "\n\n".join(describe(get_command(create_app()), "sharpening"))


def describe(command, path: str) -> list[str]:
    """One section for a command, or one for each command of a group."""
    if hasattr(command, "commands"):
        return [
            section
            for name, child in command.commands.items()
            for section in describe(child, f"{path} {name}")
        ]
    rows = []
    for parameter in command.params:
        argument = parameter.param_type_name == "argument"
        spellings = ", ".join([*parameter.opts, *parameter.secondary_opts])
        name = (parameter.metavar or parameter.name.upper()) if argument else spellings
        shown = (
            not argument
            and isinstance(parameter.default, str | int | float)
            and not isinstance(parameter.default, bool)
        )
        default = f"`{parameter.default}`" if shown else ""
        rows.append([f"`{name}`", getattr(parameter, "help", "") or "", default])
    return [
        f"### {path}",
        command.help or "",
        markdown_table(["option", "meaning", "default"], rows) if rows else "",
    ]


def verdicts_table() -> str:
    """Every verdict code of a forecast, with its headline."""
    return markdown_table(
        ["`verdict`", "headline"], [[f"`{code}`", headline] for code, (_, headline) in VERDICTS.items()]
    )


def voices_table() -> str:
    """Every voice of a forecast, with what it believes."""
    return markdown_table(
        ["voice", "what it believes"], [[f"`{name}`", text] for name, text in VOICES.items()]
    )


def forecast_features() -> str:
    """The features of the calibration: meaning, whether labels are needed, and what reads them."""
    readers = {
        "steps": read_for("labelled", "half_life"),
        "steps of `relative`": read_for("labelled", "relative"),
        "steps, label-free": read_for("label-free", "half_life"),
        "steps of `relative`, label-free": read_for("label-free", "relative"),
        "fates": FATE,
        "ends": OUTCOME["labelled"],
        "ends, label-free": OUTCOME["label-free"],
    }
    rows = [
        [
            f"`{name}`",
            meaning,
            yes_no(name in NEED_LABELS),
            ", ".join(reader for reader, names in readers.items() if name in names),
        ]
        for name, meaning in MEANINGS.items()
    ]
    return markdown_table(["feature", "what it is", "needs labels", "read for"], rows)


def _number(value) -> str:
    return "–" if value is None else f"{value:.2f}"


def forecast_quality(result: str = "left_out") -> str:
    """How the law and its baselines, fitted by the same survival model, do on priors of which a fit has seen
    neither the task nor the architecture: those of the ground truth, or the blind ones ("blind_score").
    """
    told = load_result(result)["criteria"]
    rows = []
    for criterion, laws in told.items():
        for name, one in laws.items():
            low, high = one["c_index_interval"]
            gain = "–"
            if name in BASELINES:
                least, most = told[criterion]["labelled"]["gain"][name]
                gain = f"{least:+.3f} to {most:+.3f}"
            rows.append(
                [
                    f"`{criterion}`",
                    name if name in BASELINES else f"**law, {name}**",
                    f"{one['c_index']:.3f} ({low:.2f}–{high:.2f})",
                    _number(one["brier_skill"]),
                    " / ".join(_number(value) for value in one["within_rate"].values()),
                    f"{one['measured_slope']:.2f} / {one['forecast_slope']:.2f}",
                    f"{_number(one['coverage']['all'])} ({_number(min(one['coverage'].values()))})",
                    gain,
                ]
            )
    head = ["criterion", "forecaster", "C-index (90 %)", "Brier skill", "Spearman within a rate"]
    head += ["slope measured / told", "interval holds (worst family)", "labelled law's gain (90 %)"]
    return markdown_table(head, rows)


def forecast_fates(result: str = "left_out") -> str:
    """How often the fate of a run was named, doubly left out or on the blind priors."""
    rows = [
        [kind, *(_number(one[name]) for name in ("right", "most_frequent", "brier", "constant_brier"))]
        for kind, one in load_result(result)["fates"].items()
    ]
    return markdown_table(
        ["half-life told", "fate named", "the most frequent one", "Brier score", "of the constant"], rows
    )


def blind_priors(name: str = "blind") -> str:
    """The priors of a blind round by task: how many, how right, how many runs, and how many of them lost half."""
    result, tasks = load_result(name), {}
    for prior in result["priors"]:
        tasks.setdefault(prior["task"], []).append(prior)
    rows = []
    for task, priors in tasks.items():
        names = {prior["prior"] for prior in priors}
        mine = [run["times"]["half_life"] for run in result["runs"] if run["model"] in names]
        right = sorted(prior["probe"]["prior"]["accuracy"] for prior in priors)
        rows.append(
            [
                task,
                ", ".join(sorted({prior["architecture"] for prior in priors})),
                len(priors),
                " ".join(f"{one:.2f}" for one in right),
                len(mine),
                sum(when is not None and when[1] is not None for when in mine),
            ]
        )
    head = ["task", "architectures", "priors", "their accuracies", "runs", "lost half"]
    return markdown_table(head, rows)


def forecast_tried() -> str:
    """Every set of features that was looked at, doubly left out; what ships in bold."""
    rows = []
    for one in load_result("tried")["rows"]:
        name = f"**{one['features']}** ({one['chosen']})" if one["chosen"] else one["features"]
        pairs = zip(one["c_index"].values(), one["brier_skill"].values(), strict=True)
        rows.append([name, *(f"{rank:.3f}, {_number(skill)}" for rank, skill in pairs)])
    return markdown_table(
        ["features", *(f"`{name}`" for name in load_result("tried")["rows"][0]["c_index"])], rows
    )


def forecast_held_out() -> str:
    """The two families that earlier versions were judged by: ranks and factors, one pilot and three averaged."""
    told = load_result("calibration")
    shown = {"spearman": "Spearman", "median_factor": "factor off", "auroc_within_horizon": "AUROC"}
    rows = [
        [
            kind,
            f"`{name}`",
            *(
                f"{_number(one[key])} ({_number(told['held_out_averaged'][kind][name][key])})"
                for key in shown
            ),
        ]
        for kind, heads in told["held_out"].items()
        for name, one in heads.items()
    ]
    return markdown_table(["features", "criterion", *shown.values()], rows)


END_MEANINGS = {
    "better": "accuracy ends above its start",
    "rises": "accuracy gains .03 or more at its best",
    "beats_voting": "its best is above voting untrained",
}


def forecast_notes() -> str:
    """What else the calibration measured, and what made it."""
    told = load_result("calibration")
    ends, cost, seeds, timed = told["ends"], told["cost"], told["seeds"], load_result("forecast_cost")
    versions = ", ".join(f"{package} {number}" for package, number in told["versions"].items())
    scatter = ", ".join(f"`{name}` {_number(value)}" for name, value in seeds.items())
    said = "; ".join(
        f"{END_MEANINGS[end]} {_number(judged['auroc'])}"
        + (" without labels" if kind == "label-free" else " with labels")
        + f" ({judged['true']:.0f} of {judged['groups']:.0f} groups)"
        for kind, judges in ends.items()
        for end, judged in judges.items()
    )
    return (
        f"{told['runs']} runs of {told['priors']} priors, {told['groups']} groups. How runs go, AUROC on the"
        f" families left out: {said}. Largest over smallest step among the seeds of a group, median:"
        f" {scatter}. A probe with its pilot costs {100 * cost['tokens']:.1f} % of the tokens and"
        f" {100 * cost['seconds']:.1f} % of the seconds of one run to the horizon, timed side by side"
        f" (`{timed['command']}`). Made with `{told['command']}`, {told['date']}, {versions}."
    )


def smollm2_chances() -> str:
    """What either calibration says of SmolLM2-135M-Instruct at some learning rates, beside every measured
    run.
    """
    runs = measured()
    rows = []
    for rate in (3e-6, 1e-5, 1.5e-5, 2.5e-5, 5e-5):
        told = [f"{100 * half_life(kind, rate)[1]:.0f} % ({half_life(kind, rate)[0]:,.0f})" for kind in KINDS]
        near = [died for measured_rate, died in runs if abs(measured_rate / rate - 1) < 0.03]
        rows.append([f"{rate:g}", *told, f"{sum(near)} of {len(near)} lost half" if near else "–"])
    rows.append(["half of the runs die at", *(f"{critical_rate(kind):.1e}" for kind in KINDS), ""])
    return markdown_table(
        ["learning rate", *(f"{kind}: chance (median step)" for kind in KINDS), "measured on `capitals`"],
        rows,
    )


def smollm2_brackets() -> str:
    """Within 20 steps: between which rungs of the ladder each seed dies, and what three pilots, together and
    one by one, say of it.
    """
    rows = []
    for task in SMOLLM2_TASKS:
        brackets = ", ".join(f"{alive:.2e}–{dead:.2e}" for alive, dead in measured_rates(task))
        for kind in KINDS:
            every = [
                critical_rate(kind, 20, task=task, copies=slice(one, one + 1))
                for one in range(len(pilots(task)))
            ]
            told, real = critical_rate(kind, 20, task=task), middle_rate(task)
            rows.append(
                [
                    f"`{task}`",
                    brackets,
                    f"{real:.1e}",
                    kind,
                    f"**{told:.1e}**",
                    ", ".join(f"{one:.1e}" for one in every),
                    f"{max(told / real, real / told):.2f}",
                ]
            )
    return markdown_table(
        [
            "task",
            "lives and dies at, by seed",
            "middle seed",
            "features",
            "forecast, three pilots",
            "by one",
            "factor off",
        ],
        rows,
    )


def smollm2_fall() -> str:
    """The pilot's greedy answers, step by step."""
    greedy = load_result("smollm2_pilots")["greedy"]
    rows = [
        [f"{values[0]:.2g}", *(f"{value:.2f}" for value in values[1:4]), values[4]]
        for values in zip(*greedy.values(), strict=True)
    ]
    return markdown_table(
        ["sum of learning rates", "unchanged", "right", "repeats the country", "distinct answers of 64"], rows
    )


def tasks_table() -> str:
    """Every built-in task: name, what it asks, how many problems."""
    rows = [
        [f"`{name}`", task.description, f"{len(get_task(name).problems):,}"] for name, task in TASKS.items()
    ]
    return markdown_table(["task", "what it asks", "problems"], rows)


def models_table() -> str:
    """Every shipped transformer: its task, what is wrong with it, and its measured prior."""
    rows = [
        [
            f"`{card['name']}`",
            f"`{card['task']}`",
            card["about"],
            *(f"{card[key]:.2f}" for key in ("accuracy", "label_accuracy", "entropy")),
        ]
        for card in list_models()
    ]
    return markdown_table(["model", "task", "about", "accuracy", "vote is right", "entropy (nats)"], rows)


def paper_claims() -> str:
    """Every measured claim, the command that tests it, and the verdict."""
    rows = [
        [
            claim.text,
            f"[`sharpening study run {claim.study}`](paper_studies.md#{claim.study})" if claim.study else "–",
            claim.verdict,
        ]
        for claim in CLAIMS
    ]
    return markdown_table(["claim", "command", "verdict"], rows)


def paper_studies() -> str:
    """A section a study: claim, verdict, figure, what made it."""
    parts = []
    for name, study in PAPER.items():
        parts += [f"## {name}", f"**Claim** ({study.source}): {study.claim}"]
        if not (PAPER_RESULTS / f"{name}.json").is_file():
            parts.append("**Verdict: not yet run** in full.")
            continue
        result = load_paper(name)
        finding, seeds = result["finding"], ", ".join(map(str, result["seeds"]))
        versions = ", ".join(f"{package} {number}" for package, number in result["versions"].items())
        parts += [
            f"**Verdict: {finding['verdict']}.** {finding['sentence']}",
            f"![{study.description}](figures/paper/{name}.png)",
            f"Made with `{result['command']}`, {result['date']}, seeds {seeds}; {versions};"
            f" {result['times']['seconds'] / 60:.0f} min on a shared CPU.",
        ]
    return "\n\n".join(parts)


def vision_runs() -> str:
    """What every setting of votes and true rewards on images did, means of three seeds."""
    rows = []
    for name, one in load_paper("blind-votes")["finding"]["numbers"]["settings"].items():
        shares = (one["start"], one["peak"], one["end"], one["blind_end"], one["blind_accuracy_end"])
        rows.append([name, *(f"{share:.2f}" for share in shares), "; ".join(dict.fromkeys(one["endings"]))])
    return markdown_table(
        [
            "rewards, prompts, rate",
            "accuracy",
            "at best",
            "at the end",
            "blind retention",
            "blind accuracy",
            "the greedy answers of the end",
        ],
        rows,
    )


def _told_and_measured(row: dict) -> str:
    """A forecast's median and interval, then the measured steps."""
    later, end = "later", 120

    def step(value):
        return later if value is None or value > end else f"{value:.0f}"

    interval = later if row["low"] is None else f"{row['low']} to {step(row['high'])}"
    return f"{step(row['forecast'])} ({interval}): {', '.join(map(step, row['measured']))}"


def vision_forecasts() -> str:
    """Forecasts of votes on images and in text, beside what was measured."""
    told: dict[tuple[str, str], list[str]] = {}
    for row in load_paper("blind-votes")["finding"]["numbers"]["forecasts"]["rows"]:
        setting = row["setting"].removeprefix("text: ").removeprefix("majority, ")
        told.setdefault((row["what"], setting), []).append(_told_and_measured(row))
    rows = [[*names, *cells] for names, cells in told.items()]
    return markdown_table(
        ["prompts hold", "prompts, rate", "`relative`", "`half_life`", "`mode_retention`", "`excess_kl`"],
        rows,
    )


def vision_score() -> str:
    """How good these forecasts were, images and text apart."""
    rows = []
    for what, one in load_paper("blind-votes")["finding"]["numbers"]["forecasts"]["scores"].items():
        cells = [f"{told['c_index']:.2f}; {told['held']:.2f}" for told in one["criteria"].values()]
        rows.append([what, *cells, f"{one['fates']:.2f}"])
    return markdown_table(
        [
            "C-index; intervals hold",
            "`relative`",
            "`half_life`",
            "`mode_retention`",
            "`excess_kl`",
            "fate named",
        ],
        rows,
    )


TABLES: dict[str, Callable[[], str]] = {
    "vision_runs": vision_runs,
    "vision_forecasts": vision_forecasts,
    "vision_score": vision_score,
    "paper_claims": paper_claims,
    "paper_studies": paper_studies,
    "tasks": tasks_table,
    "models": models_table,
    "forecast_features": forecast_features,
    "forecast_quality": forecast_quality,
    "forecast_fates": forecast_fates,
    "forecast_held_out": forecast_held_out,
    "forecast_tried": forecast_tried,
    "blind_priors": blind_priors,
    "blind_quality": lambda: forecast_quality("blind_score"),
    "blind_fates": lambda: forecast_fates("blind_score"),
    "blind2_priors": lambda: blind_priors("blind-2"),
    "blind2_quality": lambda: forecast_quality("blind-2_score"),
    "blind2_fates": lambda: forecast_fates("blind-2_score"),
    "smollm2_chances": smollm2_chances,
    "smollm2_brackets": smollm2_brackets,
    "smollm2_fall": smollm2_fall,
    "forecast_notes": forecast_notes,
    "metrics": metrics_table,
    "criteria": criteria_table,
    "rewards": rewards_table,
    "reward_sections": reward_sections,
    "reward_needs": reward_needs,
    "theorems": theorems_table,
    "theorem_checks_made": theorem_checks_made,
    "coq_statements": coq_statements,
    "theorems_one_prompt": lambda: theorem_sections("S"),
    "theorems_rollouts": lambda: theorem_sections("F"),
    "theorems_populations": lambda: theorem_sections("U"),
    "theorems_verifiers": lambda: theorem_sections("X"),
    "theorems_coupling": lambda: theorem_sections("C"),
    "theorems_counterexamples": lambda: theorem_sections("N"),
    "planted_errors": planted_errors,
    "commands": commands,
    "verdicts": verdicts_table,
    "voices": voices_table,
    "tiny_runs": lambda: runs_table("tiny"),
    "tiny_compared": lambda: compare_table("tiny"),
    "tiny_provenance": lambda: provenance("tiny"),
    "rewards_runs": lambda: runs_table("rewards"),
    "rewards_provenance": lambda: provenance("rewards"),
    "capitals_runs": lambda: runs_table("capitals"),
    "capitals_compared": lambda: compare_table("capitals"),
    "capitals_provenance": lambda: provenance("capitals"),
}


def fill_tables(markdown: str) -> str:
    """Replace every table marker; a marker of an unknown table is an error."""
    return MARKER.sub(lambda match: TABLES[match.group(1)](), markdown)


def formulas_to_mathml(page: str) -> str:
    """Replace arithmatex's LaTeX by MathML, which browsers show by themselves."""

    def one(match: re.Match) -> str:
        display = "inline" if match.group(2) == "(" else "block"
        formula = html.unescape(match.group(3)).strip()
        mathml = convert(formula, display=display)
        if "\\" in mathml:
            raise ValueError(f"a LaTeX command that cannot be shown as MathML in: {formula}")
        return mathml

    return FORMULA.sub(one, page)


def on_page_markdown(markdown: str, **_) -> str:
    """MkDocs hook: fill the tables before the page is rendered."""
    return fill_tables(markdown)


def on_page_content(content: str, **_) -> str:
    """MkDocs hook: turn formulas into MathML after the page is rendered."""
    return formulas_to_mathml(content)
