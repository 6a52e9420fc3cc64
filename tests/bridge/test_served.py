"""The sampling-only tier against a real server: the law of direct sampling, what it cost, nothing drawn
twice, failures told in a sentence.
"""

import json
import logging
import math
import socket

import numpy as np
import pytest
from serving import serving
from tiny import after_equals, random_model

from llm_bridge import served_population
from llm_bridge.console.progress import terminal_progress
from llm_bridge.sampling.answer_file import ANSWERS_FILE
from llm_bridge.sampling.rollouts import sample
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks.prompts import PromptTask
from sharpening import InputError

MASSES = {"d3": 0.6, "d5": 0.3, "d7": 0.1}


def digits(text):
    return text if text.isdigit() else None


def sums(labelled=True):
    pairs = [(a, b) for a in range(8) for b in range(4)]
    return PromptTask(
        [f"{a}+{b}=" for a, b in pairs],
        [a + b for a, b in pairs] if labelled else None,
        digits,
        max_new_tokens=3,
    )


def ask(url, task=None, **options):
    options = {"prompts": 4, "rollouts": 8, "retries": 0, "timeout": 20.0} | options
    return served_population(url, options.pop("model", "tiny"), task or sums(), **options)


@pytest.fixture(scope="module")
def known():
    return after_equals(**MASSES)


class TestLaw:
    @pytest.mark.parametrize("temperature", [1.0, 0.5])
    def test_is_the_known_one_at_every_temperature(self, known, temperature):
        """8 prompts × 200 rollouts of an exactly known model: each mass within 5 standard errors and the
        pseudocount.
        """
        with serving(known) as server:
            population, _, _ = ask(server.url, prompts=8, rollouts=200, temperature=temperature)
        powers = {name: mass ** (1 / temperature) for name, mass in MASSES.items()}
        for name, power in powers.items():
            mass = power / sum(powers.values())
            found = np.exp(np.asarray(population.log_probs))[
                :, population.answer_names.index(name[1:])
            ].mean()
            assert abs(found - mass) < 5 * math.sqrt(mass * (1 - mass) / 1600) + 0.02

    def test_is_that_of_direct_sampling(self):
        """A random GPT-2, whose tokens depend on the whole prompt: every frequency within 5 errors of the
        difference of two samples.
        """
        loaded, task = (
            random_model("gpt2"),
            PromptTask([f"{a}+{b}=" for a in range(4) for b in range(3)], None, lambda text: text or None, 1),
        )
        count = 400
        with serving(loaded) as server:
            population, _, _ = ask(server.url, task, rollouts=count)
        problems = task.split(4)[1]
        drawn = sample(
            loaded.model,
            loaded.tokenizer,
            [p.prompt for p in problems],
            rollouts=count,
            max_new_tokens=1,
            generator=seeded(1),
        )
        probs, names = np.exp(np.asarray(population.log_probs)), population.answer_names
        for row, texts in zip(probs, drawn.texts, strict=True):
            direct = np.array([texts.count("" if name == "(no answer)" else name) for name in names]) / count
            assert (
                np.abs(row - direct) < 5 * np.sqrt(2 * (row * (1 - row) + 1 / count) / count) + 1 / count
            ).all()
        assert len({texts[0] for texts in drawn.texts} | set(names)) > 3

    def test_knows_the_truth_and_the_votes(self, known):
        """Prior metrics are of votes of the stated size; accuracy of a model that says 3 with probability .6
        on four known sums.
        """
        problems = sums().split(4)[1]
        with serving(known) as server:
            population, prior, _ = ask(server.url, rollouts=400, votes=100)
        accuracy = np.mean([MASSES.get(f"d{p.answer}", 0.0) for p in problems])
        assert abs(prior.accuracy - accuracy) < 5 * math.sqrt(0.25 / 1600)
        assert prior.label_accuracy == np.mean([p.answer == "3" for p in problems])
        for row, problem in enumerate(problems):
            assert {
                population.answer_names[i] for i in np.flatnonzero(np.asarray(population.correct)[row])
            } == {problem.answer}

    def test_without_labels_has_no_truth(self, known):
        with serving(known) as server:
            population, prior, _ = ask(server.url, sums(labelled=False))
        assert population.correct is None and not prior.labelled
        assert prior.accuracy is prior.reward_accuracy is None


class TestRequests:
    def test_settings_are_passed_on_and_no_seed_is_used_twice(self, known):
        with serving(known, most=3) as server:
            ask(server.url, temperature=0.7, max_new_tokens=2, seed=5, api_key="secret")
            bodies = [body for _, body in server.requests]
            assert set(server.keys) == {"Bearer secret"}
        assert {(b["model"], b["temperature"], b["max_tokens"], b["top_p"]) for b in bodies} == {
            ("tiny", 0.7, 2, 1.0)
        }
        assert len({b["seed"] for b in bodies}) == len(bodies) == 4 * 3, "8 rollouts, 3 a reply"
        assert [b["n"] for b in bodies if b["prompt"] == bodies[0]["prompt"]] == [8, 5, 2]

    def test_seeds_make_the_answers_and_concurrency_does_not(self, known):
        with serving(known) as server:
            first, again, other = (
                ask(server.url, seed=seed, concurrency=parallel)[0]
                for seed, parallel in ((1, 1), (1, 4), (2, 1))
            )
        assert np.array_equal(first.log_probs, again.log_probs)
        assert first.log_probs.shape != other.log_probs.shape or not np.array_equal(
            first.log_probs, other.log_probs
        )

    def test_no_key_of_the_environment_leaks(self, known, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "mine")
        with serving(known) as server:
            ask(server.url)
            assert not any("mine" in key for key in server.keys)

    def test_the_cost_is_the_servers_own_count(self, known):
        """One digit and an end for each rollout; a prompt of four characters once a request."""
        with serving(known) as server:
            _, _, cost = ask(server.url)
        assert cost.generated_tokens == 4 * 8 * 2 and cost.forward_tokens == 4 * 8 * 2 + 4 * 4
        assert cost.backward_tokens == 0 and cost.seconds > 0

    @pytest.mark.parametrize("options", [{"most": 1}, {"refuse_n": True}], ids=["ignored", "refused"])
    def test_a_server_that_gives_one_completion_at_a_time(self, known, options):
        with serving(known, **options) as server:
            population, _, cost = ask(server.url, rollouts=24, prompts=2)
            assert len(server.requests) == 2 * 24 + ("refuse_n" in options), "a refusal is met once"
        assert cost.generated_tokens == 2 * 24 * 2
        assert np.asarray(population.log_probs).max() < math.log(0.95), "each with a seed of its own"

    def test_chat_where_there_is_nothing_else(self, known, caplog):
        with serving(known, endpoints=("chat/completions",)) as server, caplog.at_level(logging.WARNING):
            population, _, _ = ask(server.url, rollouts=100)
            paths = [path for path, _ in server.requests]
        assert paths == ["/v1/completions"] + ["/v1/chat/completions"] * 4 and "template" in caplog.text
        assert population.answer_names[int(np.asarray(population.mode)[0])] == "3"

    def test_equal_prompts_are_asked_once(self, known):
        with serving(known) as server:
            task = PromptTask(["1+1="] * 3 + [f"{i}+2=" for i in range(8)], None, digits, 3)
            ask(server.url, task, prompts=8)
            prompts, seeds = zip(
                *((body["prompt"], body["seed"]) for _, body in server.requests), strict=True
            )
        assert len(set(seeds)) == len(seeds) == len(set(prompts)) == 8

    @pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/v1/completions", "/v1/chat/completions"])
    def test_any_usual_form_of_the_address(self, known, ending):
        with serving(known) as server:
            ask(server.url.removesuffix("/v1") + ending)
            assert {path for path, _ in server.requests} == {"/v1/completions"}

    def test_a_greedy_server_is_noticed(self, caplog):
        with serving(after_equals(d3=1.0)) as server, caplog.at_level(logging.WARNING):
            ask(server.url)
        assert "temperature" in caplog.text and server.url in caplog.text

    def test_with_a_real_progress_display(self, known, capsys):
        with serving(known) as server, terminal_progress() as progress:
            ask(server.url, progress=progress)


class TestFolder:
    def test_a_second_sitting_draws_only_what_is_missing(self, known, tmp_path):
        with serving(known) as server:
            ask(server.url, prompts=3, rollouts=6, folder=tmp_path)
            before = len(server.requests)
            resumed, prior, cost = ask(server.url, prompts=5, rollouts=8, folder=tmp_path)
            asked = sorted(body.get("n", 1) for _, body in server.requests[before:])
            assert asked == [2, 2, 2, 8, 8]
            nothing, same_prior, same_cost = ask(server.url, prompts=5, rollouts=8, folder=tmp_path)
            assert len(server.requests) == before + 5
        assert np.array_equal(resumed.log_probs, nothing.log_probs) and prior == same_prior
        assert (
            same_cost.generated_tokens == cost.generated_tokens == 5 * 8 * 2
            and same_cost.seconds == pytest.approx(cost.seconds, abs=0.01)
        )
        waited = [
            json.loads(line).get("seconds", 0) for line in (tmp_path / ANSWERS_FILE).read_text().splitlines()
        ]
        assert len(waited) == 9 and cost.seconds == pytest.approx(sum(waited), abs=0.01)

    def test_fewer_rollouts_than_are_there(self, known, tmp_path):
        """Two prompts with six answers each, of which three are read, and one new prompt: one request."""
        with serving(known) as server:
            ask(server.url, prompts=2, rollouts=6, folder=tmp_path)
            population, _, _ = ask(server.url, prompts=3, rollouts=3, folder=tmp_path)
            assert [body["n"] for _, body in server.requests] == [6, 6, 3] and population.num_prompts == 3

    def test_a_line_cut_off_is_drawn_again(self, known, tmp_path):
        with serving(known) as server:
            whole, _, _ = ask(server.url, folder=tmp_path)
            file = tmp_path / ANSWERS_FILE
            file.write_bytes(file.read_bytes()[:-7])
            again, _, _ = ask(server.url, folder=tmp_path)
            assert len(server.requests) == 5
        assert np.array_equal(whole.log_probs, again.log_probs), "the same seed draws the same"
        assert all(json.loads(line) for line in file.read_text().splitlines())

    def test_what_came_before_a_failure_is_kept(self, known, tmp_path):
        with serving(known, most=4) as server:
            ask(server.url, prompts=1, folder=tmp_path)
            server.script = [400]
            with pytest.raises(InputError):
                ask(server.url, prompts=2, folder=tmp_path, rollouts=9)
            found, _, _ = ask(server.url, prompts=2, folder=tmp_path, rollouts=9)
        assert found.num_prompts == 2

    @pytest.mark.parametrize(
        "change", [{"model": "other"}, {"temperature": 0.5}, {"max_new_tokens": 2}, {"seed": 1}]
    )
    def test_answers_of_another_law_are_refused(self, known, tmp_path, change):
        with serving(known) as server:
            ask(server.url, folder=tmp_path)
            before = len(server.requests)
            with pytest.raises(InputError, match=f"folder.*{next(iter(change))}"):
                ask(server.url, folder=tmp_path, **change)
            assert len(server.requests) == before

    @pytest.mark.parametrize(
        "change",
        [
            {"texts": "345"},
            {"texts": [3]},
            {"prompt_tokens": -1},
            {"completion_tokens": "2"},
            {"seconds": -1.0},
        ],
    )
    def test_a_line_of_something_else_is_refused(self, known, tmp_path, change):
        with serving(known) as server:
            ask(server.url, folder=tmp_path)
            file = tmp_path / ANSWERS_FILE
            head, first, *rest = file.read_text().splitlines()
            file.write_text("\n".join([head, json.dumps(json.loads(first) | change), *rest, ""]))
            with pytest.raises(InputError, match=f"folder.*{ANSWERS_FILE}"):
                ask(server.url, folder=tmp_path)

    @pytest.mark.parametrize(
        "text",
        ["[]\n", "{}\n", "no json\n", '{"identity": 3, "chat": false}\n', "[" * 10**5 + "\n", "\x00\n"],
    )
    def test_another_file_is_refused(self, tmp_path, text):
        (tmp_path / ANSWERS_FILE).write_text(text)
        with pytest.raises(InputError, match="folder"):
            ask("http://127.0.0.1:9/v1", folder=tmp_path)

    def test_chat_is_remembered(self, known, tmp_path):
        with serving(known, endpoints=("chat/completions",)) as server:
            ask(server.url, prompts=1, folder=tmp_path)
            server.requests.clear()
            ask(server.url, prompts=2, folder=tmp_path)
            assert [path for path, _ in server.requests] == ["/v1/chat/completions"]


class TestFailures:
    @pytest.mark.parametrize("status", [429, 503])
    def test_busy_then_well(self, known, status):
        with serving(known, script=[status]) as server:
            population, _, _ = ask(server.url, prompts=1, retries=1)
            assert len(server.requests) == 2 and population.num_prompts == 1

    @pytest.mark.parametrize("status", [429, 500])
    def test_busy_for_good(self, known, status):
        with serving(known, script=[status] * 9) as server:
            with pytest.raises(ConnectionError, match=server.url):
                ask(server.url, retries=1, concurrency=1)
            assert len(server.requests) == 2

    def test_a_dead_port(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(ConnectionError, match=f"{url}.*Start the server"):
            ask(url)

    @pytest.mark.parametrize(
        "body",
        [
            "<html>hello</html>",
            "[1, 2]",
            '"text"',
            "{}",
            '{"choices": []}',
            '{"choices": 3}',
            '{"choices": [{"text": 3}]}',
            '{"choices": [{"index": 0}]}',
            "{broken",
            "",
        ],
    )
    @pytest.mark.parametrize("kind", ["application/json", "text/html"])
    def test_nonsense(self, known, body, kind):
        with (
            serving(known, script=[(200, body, kind)]) as server,
            pytest.raises(InputError, match=f"url.*{server.url}.*protocol"),
        ):
            ask(server.url)

    def test_nonsense_of_a_chat(self, known):
        with (
            serving(known, script=[404, (200, '{"choices": [{"text": "3"}]}')]) as server,
            pytest.raises(InputError, match="protocol"),
        ):
            ask(server.url)

    def test_a_chat_that_refuses_gives_no_answer(self, known):
        """Content null: a completion of no text, not an error."""
        empty = (
            200,
            json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": None}}] * 8}),
        )
        with serving(known, script=[404, empty]) as server:
            _, prior, _ = ask(server.url, prompts=1)
        assert prior.no_answer == 1

    def test_an_unknown_model_and_what_there_is(self, known, caplog):
        with (
            serving(known) as server,
            pytest.raises(InputError, match="model.*does not exist.*It serves tiny"),
        ):
            ask(server.url, model="huge")
        assert "template" not in caplog.text

    def test_a_refused_key_is_not_shown(self, known):
        with serving(known, script=[401]) as server, pytest.raises(InputError, match="api_key") as caught:
            ask(server.url, api_key="secret-key")
        assert "secret-key" not in str(caught.value)

    def test_a_rejected_request_says_why(self, known):
        with serving(known, script=[(422, {"error": {"message": "seed must be even"}})] * 2) as server:
            with pytest.raises(InputError, match="seed must be even"):
                ask(server.url)

    def test_a_server_that_hangs(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            with pytest.raises(ConnectionError, match="does not answer"):
                ask(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3)

    @pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "", "http://", "https:///v1"])
    def test_not_an_address(self, url):
        with pytest.raises(InputError, match="url"):
            ask(url)

    @pytest.mark.parametrize(
        "options",
        [
            {"prompts": 0},
            {"rollouts": 0},
            {"votes": 0},
            {"concurrency": 0},
            {"temperature": 0.0},
            {"timeout": -1.0},
            {"max_new_tokens": 0},
            {"seed": -1},
            {"retries": -1},
            {"model": ""},
        ],
    )
    def test_bad_arguments_before_any_request(self, options):
        with pytest.raises(InputError, match=next(iter(options))):
            ask("http://127.0.0.1:9/v1", **options)
