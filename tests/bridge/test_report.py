"""JSON, distances, headlines, tables and the HTML page, on synthetic results."""

import enum
import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console
from synthetic_results import fall, make_forecast, make_measurement

from llm_bridge import ForecastStep
from llm_bridge.report import (
    comparison_document,
    comparison_headline,
    distance,
    forecast_document,
    forecast_headline,
    measurement_document,
    measurement_headline,
    print_comparison,
    print_forecast,
    print_measurement,
    render_page,
    report_files,
    voice_distances,
)
from llm_bridge.report.comparison import curve_errors, within_interval
from llm_bridge.report.document import plain
from sharpening import CollapseStep, Outcome


def at(step, outcome=None, horizon=300):
    outcome = outcome or (Outcome.COLLAPSED if step is not None else Outcome.CENSORED)
    return CollapseStep("relative", step, outcome, 0.1, "reward_accuracy", horizon)


class TestDocument:
    def test_a_forecast_has_the_published_keys(self):
        document = forecast_document(make_forecast())
        published = {
            "schema",
            "model",
            "task",
            "settings",
            "collapse",
            "curve",
            "cost",
            "verdict",
            "reasons",
            "alignment",
            "coupling",
        }
        assert published <= set(document) and document["schema"] == 1
        assert {
            "step",
            "accuracy",
            "label_accuracy",
            "reward_accuracy",
            "mode_retention",
            "excess_kl",
            "entropy",
        } <= set(document["curve"])
        assert set(document["cost"]) == {"generated_tokens", "forward_tokens", "backward_tokens", "seconds"}
        for entry in document["collapse"].values():
            assert set(entry) == {"step", "outcome", "low", "high", "level"}

    def test_a_measurement_has_step_and_outcome_for_every_criterion(self):
        document = measurement_document(make_measurement())
        assert all(set(entry) == {"step", "outcome"} for entry in document["collapse"].values())
        assert document["collapse"]["relative"]["outcome"] == "collapsed"
        assert document["collapse"]["loss_spike"] == {"step": None, "outcome": "unavailable"}

    def test_without_labels_the_labelled_curves_are_absent(self):
        document = measurement_document(make_measurement(labels=False))
        assert not {"accuracy", "label_accuracy", "reward_accuracy"} & set(document["curve"])
        assert document["collapse"]["relative"]["outcome"] == "unavailable"
        assert document["collapse"]["mode_retention"]["outcome"] == "collapsed"

    def test_the_same_results_give_the_same_text_and_no_nan(self):
        texts = {
            json.dumps(comparison_document(make_forecast(), make_measurement()), allow_nan=False)
            for _ in range(2)
        }
        assert len(texts) == 1

    def test_a_comparison_holds_every_voice(self):
        document = comparison_document(make_forecast(), make_measurement())
        assert set(document["distance"]) == set(document["curve_error"]) == {"uncoupled", "coupled", "radius"}
        assert document["distance"]["coupled"]["mode_retention"]["direction"] == "early"
        assert document["within_interval"]["mode_retention"] is True

    @pytest.mark.parametrize(
        "value, expected",
        [
            (0.123456789, 0.123457),
            (1234567.8, 1234570.0),
            (float("nan"), None),
            (float("inf"), None),
            (3.3e-17, 0.0),
            (-0.0, 0.0),
            (np.float32(0.5), 0.5),
            (np.int64(3), 3),
            (np.array([1.0, np.nan]), [1.0, None]),
            (Outcome.CENSORED, "censored"),
            (True, True),
            ({1: (2, 3)}, {"1": [2, 3]}),
        ],
    )
    def test_plain_data(self, value, expected):
        found = plain(value)
        assert found == expected and type(found) is type(expected)

    def test_foreign_types_are_refused(self):
        with pytest.raises(TypeError, match="complex"):
            plain({"z": 1j})

    def test_enum_members_are_written_by_value(self):
        assert plain([enum.Enum("Colour", {"RED": "red"}).RED]) == ["red"]


class TestDistance:
    @pytest.mark.parametrize(
        "predicted, measured, factor, direction, bound",
        [
            (at(200), at(100), 2.0, "late", "exact"),
            (at(100), at(200), 2.0, "early", "exact"),
            (at(120), at(120), 1.0, "same", "exact"),
            (at(None), at(100), 3.0, "late", "at_least"),
            (at(100), at(None), 3.0, "early", "at_least"),
            (at(None), at(None), None, "same", None),
            (at(None, horizon=60), at(100), None, None, None),
            (at(200), at(None, horizon=150), None, None, None),
            (at(None, Outcome.NEVER_STARTED), at(100), None, None, None),
            (at(100), at(None, Outcome.UNAVAILABLE), None, None, None),
            (at(0), at(100), None, None, None),
            (None, at(100), None, None, None),
        ],
    )
    def test_table(self, predicted, measured, factor, direction, bound):
        found = distance(predicted, measured)
        assert (found.factor, found.direction, found.bound) == (factor, direction, bound)

    def test_swapping_the_sides_swaps_the_direction_only(self):
        one, other = distance(at(30), at(90)), distance(at(90), at(30))
        assert one.factor == other.factor == 3.0 and {one.direction, other.direction} == {"early", "late"}

    @pytest.mark.parametrize(
        "low, high, measured, inside",
        [
            (50, 200, at(100), True),
            (50, 200, at(200), True),
            (50, 200, at(201), False),
            (50, None, at(299), True),
            (50, None, at(49), False),
            (50, 200, at(None), False),
            (50, None, at(None), True),
            (50, 400, at(None), None),
            (None, None, at(100), None),
        ],
    )
    def test_within_interval(self, low, high, measured, inside):
        assert (
            within_interval(ForecastStep("relative", 100, Outcome.COLLAPSED, low, high, 0.8), measured)
            is inside
        )

    def test_curve_errors_are_mean_absolute_differences(self):
        forecast, measurement = make_forecast(middle=100), make_measurement(middle=150)
        expected = np.abs(fall(100)["accuracy"] - fall(150)["accuracy"]).mean()
        found = curve_errors(forecast, measurement)
        assert found["coupled"]["accuracy"] == pytest.approx(expected)
        assert "accuracy" not in found["radius"]

    def test_a_perfect_voice_has_no_error(self):
        forecast, measurement = make_forecast(middle=150), make_measurement(middle=150)
        assert max(curve_errors(forecast, measurement)["coupled"].values()) == 0
        assert voice_distances(forecast, measurement)["coupled"]["relative"].direction == "same"


class TestHeadline:
    def test_a_forecast_names_step_and_interval(self):
        found = forecast_headline(make_forecast())
        step = make_forecast().collapse["relative"].step
        assert (
            found.tone == "bad" and found.number == str(step) and f"{step // 2}–{step * 2}" in found.caption
        )

    def test_a_speaker_without_the_chosen_criterion_speaks_of_mode_retention(self):
        found = forecast_headline(make_forecast(speaker="radius"))
        assert found.number == str(make_forecast().voices_collapse["radius"]["mode_retention"].step)
        assert "mode_retention, because relative cannot be evaluated" in found.caption

    def test_an_unknown_verdict_is_shown_as_it_stands(self):
        forecast = make_forecast()
        object.__setattr__(forecast, "verdict", "Something new")
        assert forecast_headline(forecast).title == "Something new"

    def test_measurements(self):
        assert measurement_headline(make_measurement()).title.startswith("It collapsed at step")
        held = measurement_headline(make_measurement(middle=10_000))
        assert (held.tone, held.number) == ("good", "> 300")
        assert measurement_headline(make_measurement(interrupted=True)).tone == "caution"

    @pytest.mark.parametrize(
        "predicted, measured, tone", [(75, 100, "good"), (75, 150, "caution"), (30, 210, "bad")]
    )
    def test_a_comparison_is_judged_by_its_factor(self, predicted, measured, tone):
        forecast, measurement = (
            make_forecast(middle=predicted, criterion="half_life"),
            make_measurement(middle=measured, criterion="half_life"),
        )
        assert comparison_headline(forecast, measurement).tone == tone


def dated(**changes):
    """A forecast whose steps a calibration dates, as `forecast_model` returns it."""
    law = {
        "median": 100.0,
        "quantiles": {"0.05": 20.5, "0.25": 60.0, "0.5": 100.0, "0.75": 170.0, "0.95": None},
    }
    told = dict(
        advice=["Stop by step 20, and keep a checkpoint before it.", "Or train at 1e-5."],
        stop_by=20,
        reasons=[f"Reason {i}." for i in range(7)],
        distribution={"relative": law, "half_life": law},
        fates={"improves": 0.25, "rises_then_falls": 0.5, "dies": 0.25, "stays": 0.0},
        sensitivity=[
            {"setting": "as asked", "step": 100.0, "chance": 0.75},
            {"setting": "half the learning rate", "step": float("inf"), "chance": 0.25},
        ],
        safe_learning_rate=1e-5,
    )
    return replace(make_forecast(), **(told | changes))


PAGE = cache(lambda: render_page(forecast=dated()))
PLAIN = cache(lambda: render_page(forecast=make_forecast()))


class TestWhatToDo:
    def test_the_page_and_the_panel_lead_with_it(self):
        found = forecast_headline(dated())
        assert found.title == "Stop by step 20, and keep a checkpoint before it" and found.number == "step 20"
        assert "75%" in found.caption and "collapse" in found.caption
        page = PAGE()
        order = [
            "Stop by step 20",
            "Or train at 1e-5",
            "How may it go?",
            "Why?",
            "What would other settings do?",
        ]
        places = [page.index(title) for title in [*order, "When does it collapse?", "Settings</h2>"]]
        assert places == sorted(places)

    def test_a_run_that_may_go_on_shows_its_chance_of_collapse(self):
        found = forecast_headline(dated(stop_by=None, advice=["Train as planned."], verdict="improves"))
        assert (found.title, found.number, found.tone) == ("Train as planned", "75%", "good")

    def test_five_reasons_are_shown_and_the_others_open_on_a_click(self):
        shown, hidden = PAGE().split("What else was found")
        assert [f"Reason {i}." in shown for i in range(7)] == [True] * 5 + [False] * 2
        assert "Reason 6." in hidden

    def test_effects_of_settings_are_a_table_on_the_page_and_in_the_terminal(self):
        page, text = PAGE(), printed(print_forecast, dated())
        for told in (page, text):
            assert "half the learning rate" in told and "25%" in told and "beyond the schedule" in told

    def test_bands_lie_on_the_track_and_in_order(self):
        page = PAGE()
        lefts = [float(x) for x in re.findall(r'class="(?:p90|p50|mid)" style="left:([\d.]+)%', page)]
        assert len(lefts) == 6 and lefts[0] < lefts[1] < lefts[2] and max(lefts) <= 100
        ends = re.findall(r'class="p90" style="left:([\d.]+)%;width:([\d.]+)%', page)
        assert all(float(left) + float(width) == pytest.approx(100, abs=0.11) for left, width in ends)
        assert "from step 20 on in nine of ten" in page and "step 60 to 170 in half" in page

    def test_fates_are_told_in_words_and_add_up(self):
        widths = re.findall(r'class="fate \w+" style="width:([\d.]+)%', PAGE())
        assert sum(map(float, widths)) == pytest.approx(100)
        assert "rises, then falls 50%" in printed(print_forecast, dated())

    def test_what_cannot_be_told_is_left_out(self):
        page = PLAIN()
        assert "How may it go?" not in page and "What would other settings do?" not in page
        assert "fates" not in page.split("</style>")[1]

    def test_a_comparison_still_says_what_was_advised(self):
        page = render_page(forecast=dated(), measurement=make_measurement())
        assert "What the forecast advised" in page and "Stop by step 20" in page


class TestPanels:
    def test_only_metrics_that_the_speaker_or_the_run_has_are_drawn(self):
        page = render_page(forecast=make_forecast(speaker="radius"))
        assert "mode retention over training steps" in page and "accuracy over training" not in page
        assert "Not drawn, since the radius voice does not watch it: accuracy" in page
        both = render_page(forecast=make_forecast(speaker="radius"), measurement=make_measurement())
        assert "accuracy over training steps" in both and "Not drawn" not in both

    def test_criteria_that_nothing_evaluates_are_no_rows(self):
        page = PLAIN()
        table = page.split("When does it collapse?")[1].split("</table>")[0]
        assert ">loss_spike<" not in table and "nor can loss_spike." in page


def printed(show, *results) -> str:
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(console, *results)
    return console.export_text()


class TestTables:
    def test_a_forecast_marks_the_speaker_and_shows_censored_steps_as_later(self):
        text = printed(print_forecast, make_forecast())
        assert (
            text.count("◀ speaks") == 1
            and "> 300" in text
            and "80 % interval" in text
            and "relative *" in text
        )

    def test_a_measurement_shows_steps_and_curve(self):
        text = printed(print_measurement, make_measurement())
        assert "Measured step" in text and "reward_accuracy" in text and "step 0" in text and "1:15" in text

    def test_a_comparison_shows_measured_steps_and_errors(self):
        text = printed(print_comparison, make_forecast(), make_measurement())
        assert (
            "Factor off" in text and re.search(r"×\d\.\d early", text) and "Mean distance of curves" in text
        )

    def test_brackets_in_a_model_name_are_not_markup(self):
        assert "[red]evil[/red]" in printed(print_forecast, make_forecast(model="[red]evil[/red]"))


class Outline(HTMLParser):
    """Collects tags, links to anything outside the page, and unclosed elements."""

    VOID = {"meta", "img", "source", "br"}

    def __init__(self, page):
        super().__init__()
        self.open, self.sources, self.tags = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [
            value for name, value in attributes if name in ("src", "srcset", "href", "action", "data")
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


class TestPage:
    @pytest.mark.parametrize(
        "results",
        [
            {"forecast": make_forecast()},
            {"measurement": make_measurement()},
            {"forecast": make_forecast(), "measurement": make_measurement()},
            {"forecast": make_forecast(labels=False), "measurement": make_measurement(labels=False)},
        ],
        ids=["forecast", "measurement", "both", "no labels"],
    )
    def test_it_is_well_formed_and_needs_nothing_from_outside(self, results):
        page = render_page(**results)
        outline = Outline(page)
        assert outline.open == [] and "script" not in outline.tags and "link" not in outline.tags
        assert outline.sources and all(
            source.startswith("data:image/svg+xml;base64,") for source in outline.sources
        )
        assert not re.search(r"@import|url\(", page)

    def test_a_model_name_cannot_inject(self):
        page = render_page(forecast=make_forecast(model="<script>alert(1)</script>"))
        assert "<script>" not in page and "&lt;script&gt;" in page

    def test_backticks_become_code_and_nothing_else_becomes_markup(self):
        forecast = make_forecast()
        forecast.reasons[:] = ["`relative` is <b>met</b>"]
        assert "<code>relative</code> is &lt;b&gt;met&lt;/b&gt;" in render_page(forecast=forecast)

    def test_it_answers_in_the_first_section(self):
        page = PLAIN()
        assert page.index("banner bad") < page.index("When does it collapse?") < page.index("Glossary")

    def test_the_command_line_makes_it_again(self):
        page = render_page(forecast=make_forecast(learning_rate=1e-4, dataset_size=64))
        assert "sharpening forecast tiny --task addition --learning-rate 0.0001 --dataset-size 64" in page
        assert "sharpening compare x" in render_page(forecast=make_forecast(), command="sharpening compare x")

    def test_files(self):
        forecast, measurement = make_forecast(), make_measurement()
        document = comparison_document(forecast, measurement)
        files = report_files(document, forecast=forecast, measurement=measurement)
        assert set(files) == {"report.html", "curves.png", "collapse_steps.png", "result.json"}
        assert json.loads(files["result.json"]) == document
        assert all(files[name].startswith(b"\x89PNG") for name in files if name.endswith(".png"))

    def test_nothing_to_evaluate_still_gives_a_page(self):
        measurement = make_measurement(labels=False)
        bare = fall(150, labels=False)
        object.__setattr__(
            measurement, "trajectory", type(bare)(bare.step, {"entropy": bare["entropy"]}, source="measured")
        )
        assert "No criterion can be evaluated" in render_page(measurement=measurement)
        assert set(report_files(measurement_document(measurement), measurement=measurement)) == {
            "report.html",
            "curves.png",
            "result.json",
        }
