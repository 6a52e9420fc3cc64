"""The documentation: every page is reachable, tables come from the code, examples parse, the paper index
points at real tests.
"""

import importlib.util
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.main import get_command

from llm_bridge import Measurement, ModelForecast, RunSettings
from llm_bridge.cli import create_app
from llm_bridge.report.document import forecast_document, measurement_document
from sharpening import CRITERIA, METRICS, Outcome, Trajectory, list_rewards, list_theorems

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name):
    return (DOCS / f"{name}.md").read_text()


def rows(table):
    """The cells of the first column, code marks removed."""
    return [line.split("|")[1].strip().strip("`") for line in table.splitlines()[2:]]


def test_tables_list_exactly_what_the_code_defines(hooks):
    assert rows(hooks.metrics_table()) == list(METRICS)
    assert rows(hooks.criteria_table()) == list(CRITERIA)
    assert rows(hooks.rewards_table()) == [card.name for card in list_rewards()]


def test_a_table_has_the_same_number_of_cells_in_every_row(hooks):
    for name, table in hooks.TABLES.items():
        for block in re.split(r"\n\s*\n", table()):
            widths = {
                len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines() if line.startswith("|")
            }
            assert len(widths) <= 1, f"table {name}"


def test_pages_use_every_table_and_know_each_one_they_use(hooks):
    used = {name for path in DOCS.rglob("*.md") for name in hooks.MARKER.findall(path.read_text())}
    assert used == set(hooks.TABLES)


def test_an_unknown_table_stops_the_build(hooks):
    with pytest.raises(KeyError):
        hooks.fill_tables("<!-- table: no_such_table -->")


def test_glossary_and_criteria_are_not_written_twice():
    for name in METRICS:
        assert not re.search(rf"(?m)^\| `{name}` \|", page("glossary"))


def test_every_outcome_is_in_the_glossary():
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", page("glossary"))) == {outcome.value for outcome in Outcome}


class MathTags(HTMLParser):
    """Collects the tag names of a fragment and checks that they close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_formulas_become_mathml_without_any_script(hooks):
    inline, block = (
        r'<span class="arithmatex">\(p_0 &lt; 1\)</span>',
        r'<div class="arithmatex">\[\beta\]</div>',
    )
    out = hooks.formulas_to_mathml(f"<p>a {inline} b</p>{block}")
    tags = MathTags()
    tags.feed(out)
    assert tags.seen.count("math") == 2 and tags.open == []
    assert "arithmatex" not in out and "\\" not in out and out.startswith("<p>a ") and " b</p>" in out


def test_a_formula_that_cannot_be_shown_stops_the_build(hooks):
    with pytest.raises(ValueError, match="arg"):
        hooks.formulas_to_mathml(r'<span class="arithmatex">\(\arg\)</span>')


def test_no_page_loads_anything_from_elsewhere():
    config = (ROOT / "mkdocs.yml").read_text()
    assert "extra_javascript" not in config and re.search(r"(?m)^  font: false$", config)
    for path in DOCS.rglob("*.md"):
        assert not re.search(r"<script|!\[[^\]]*\]\(https?:", path.read_text()), path.name


def test_style_sheets_are_our_own_and_let_long_formulas_scroll():
    (sheet,) = (
        re.search(r"(?m)^extra_css:\n((?:  - .*\n)+)", (ROOT / "mkdocs.yml").read_text())
        .group(1)
        .split()[1::2]
    )
    assert re.search(r'math\[display="block"\] \{[^}]*overflow-x: auto', (DOCS / sheet).read_text())


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text().split("\nnav:")[1]
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert pages == set(re.findall(r": (\S+\.md)", navigation))


def test_python_blocks_parse_and_json_blocks_are_json():
    blocks = [
        (path, kind, text)
        for path in [ROOT / "README.md", *DOCS.rglob("*.md")]
        for kind, text in re.findall(r"(?ms)^```(python|json)\n(.*?)^```", path.read_text())
    ]
    assert {kind for _, kind, _ in blocks} == {"python", "json"}
    for path, kind, text in blocks:
        compile(text, str(path), "exec") if kind == "python" else json.loads(text)


@pytest.mark.parametrize("source", ["README.md", "docs/quickstart.md"])
def test_simulation_examples_run_and_collapse(source, capsys):
    """The examples in the text are run as they stand; both show a coupled population that collapses."""
    block = next(
        text
        for text in re.findall(r"(?ms)^```python\n(.*?)^```", (ROOT / source).read_text())
        if "simulate(" in text
    )
    namespace = {}
    exec(compile(block, source, "exec"), namespace)
    trajectory = namespace["trajectory"]
    assert trajectory["reward_accuracy"][-1] < 0.5 * trajectory["reward_accuracy"][0]
    assert "relative" in capsys.readouterr().out or source == "README.md"


def documented_keys(heading):
    """First-column names of the table that follows a sentence of the command line page."""
    table = page("command_line").split(heading)[1].strip().split("\n\n")[0]
    return set(rows(table))


def test_json_keys_in_the_documentation_are_those_that_are_written():
    trajectory = Trajectory([0, 1], {"mode_retention": [1.0, 1.0]}, source="predicted")
    named = dict(model="m", task="t", settings=RunSettings())
    found = dict(
        speaker="coupled", why_speaker="", collapse={}, voices_collapse={}, verdict="stable", reasons=[]
    )
    forecast = forecast_document(ModelForecast(voices={"coupled": trajectory}, **named, **found))
    measured = measurement_document(Measurement(trajectory=trajectory, **named))
    shared = documented_keys("share these keys:")
    assert set(forecast) == shared | documented_keys("A forecast adds:")
    assert set(measured) == shared | documented_keys("A measurement adds:")


def commands():
    """Every command line word after `sharpening` that the application knows: "forecast", "zoo list", ..."""
    top = get_command(create_app()).commands
    return set(top) | {
        f"{name} {child}" for name, group in top.items() for child in getattr(group, "commands", [])
    }


def test_commands_in_the_text_exist():
    known = commands()
    for path in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for words in re.findall(
            r"(?:`|bin/|^)sharpening +([a-z]+(?: [a-z]+)?)", path.read_text(), re.MULTILINE
        ):
            assert words in known or words.split()[0] in known, f"{path.name}: sharpening {words}"


def quoted():
    """(page, words) of every command line of the application that the text quotes with options or arguments: in blocks
    and in sentences, cut at pipes and comments; of a grammar the brackets are opened, and placeholders get a value.
    """
    start = re.compile(r"(?:^|[\s/])(?:sharpening|-m llm_bridge(?:\.cli)?)\s+(.*)")
    for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]:
        text, block = path.read_text(), r"(?ms)^```(?:bash|text)?\n(.*?)^```"
        blocks = "".join(re.findall(block, text)).replace("\\\n", " ").splitlines()
        inline = re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"(?ms)^```.*?^```", "", text))
        for line in [*blocks, *(" ".join(one.split()) for one in inline)]:
            found = start.search(line)
            if found is None or "import" in line:
                continue
            told = re.split(r"`|\s(?:\|\|?|&&|>|2>|#|&)(?:\s|$)|;", found.group(1))[0].strip()
            told = re.sub(r"(--\S+) \.\.\.", r"\1 X", told.replace("[run settings]", ""))
            told = re.sub(r"\s(?:…|\.\.\.)(?=\s|$)|[\[\]]", " ", told)
            names, *words = shlex.split(re.sub(r"(?<=\s)N(?=\s|$)", "3", told))
            for name in names.split("|") if words else ():
                yield path.name, [name, *(word.split("|")[0] for word in words)]


def parse(command, words):
    """What the real parser makes of these words, without running the command. Raises: click's UsageError."""
    context, name = None, "sharpening"
    while True:
        context = command.make_context(name, list(words), parent=context)
        if not hasattr(command, "commands"):
            return context.params
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])


def test_commands_in_the_text_are_understood_by_the_command_line():
    """Each option and argument that a page quotes: a wrong name, a missing value, a number that is none."""
    asked, application = list(quoted()), get_command(create_app())
    assert len(asked) > 60 and {"monitor", "forecast", "measure", "zoo"} <= {words[0] for _, words in asked}
    for page_name, words in asked:
        try:
            parse(application, words)
        except SystemExit:  # --help and the like
            continue
        except Exception as error:
            pytest.fail(f"{page_name}: sharpening {shlex.join(words)}: {error}")
    for wrong in (["monitor", "LOG", "--no-such"], ["forecast", "--rollouts", "many"], ["zoo", "no-such"]):
        with pytest.raises(Exception, match="No such|valid integer"):
            parse(application, wrong)


def test_concepts_say_that_theorem_1_gives_no_finite_collapse_step():
    text = " ".join(page("concepts").split())
    assert "Theorem 1 gives no finite MCS" in text and "(U5)" in text


def test_paper_index_names_tests_and_files_that_exist():
    lines = [line for line in page("paper_index").splitlines() if re.match(r"\| (?!result )", line)]
    assert lines
    for line in lines:
        result, command, tests = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:4])
        assert result and command
        named = re.findall(r"`([\w/.]+\.(?:py|ipynb))(?:::(\w+))?`", command + tests)
        assert re.search(r"`tests/", tests), line
        for file, function in named:
            assert (ROOT / file).is_file(), f"{file} does not exist"
            assert not function or f"def {function}(" in (ROOT / file).read_text(), (
                f"{function} is not in {file}"
            )


def test_the_log_is_dated_newest_first():
    dates = re.findall(r"(?m)^## (\d{4}-\d{2}-\d{2})$", page("log"))
    assert dates and dates == sorted(set(dates), reverse=True) and min(dates) >= "2026-11-22"


def test_readme_and_makefile_name_the_same_test_command():
    command = re.search(r"then runs: (.+)", (ROOT / "README.md").read_text()).group(1)
    assert f"/bin/{command}\n" in (ROOT / "Makefile").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_local_links_and_images_of_the_readme_exist():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text())
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_links_to_a_theorem_lead_to_its_row_and_from_there_to_the_page_of_its_family(hooks):
    """Old ones too: `theorems.md#s4` from before the pages were split, `#n1` from before N1 became a part of S8."""
    table = hooks.theorems_table()
    for theorem in list_theorems():
        anchor, family = theorem.name.lower(), hooks.FAMILIES[theorem.name[0]]
        assert f"[{theorem.name}](theorems/{family}.md#{anchor}){{: #{anchor} }}" in table
        assert f"<!-- table: theorems_{family} -->" in page(f"theorems/{family}")
        assert all(f'id="{old.lower()}"' in table for old in theorem.aliases)


def test_every_theorem_was_tried_on_ten_thousand_populations_and_failed_in_none(hooks):
    told = hooks.theorem_checks()["theorems"]
    assert set(told) == {theorem.name for theorem in list_theorems()}
    for name, row in told.items():
        assert (
            row["held"] > 0 and row["failed"] == 0 and row["held"] + row["violated"] == row["cases"] >= 10_000
        ), name
