"""Images of prompts: read once and whole, told apart by what they show, and refused in one sentence before any work."""

import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from vision import noise, write_png

from llm_bridge import CollapseMonitor, get_task
from llm_bridge.models.chat import blind, chat_prompt, parts_of
from llm_bridge.models.pictures import MOST_PIXELS, Picture
from llm_bridge.tasks.form import PromptForm
from sharpening import InputError

DOTS = get_task("dots")


def lines(folder, *rows, name="t.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def refused(folder, given, match, *, name="image", **options):
    with pytest.raises(InputError, match=match) as caught:
        get_task(str(lines(folder, {"prompt": "what?", "answer": "1", name: given})), **options)
    told = str(caught.value)
    assert "line 1 of" in told and "\n" not in told.strip() and "Traceback" not in told
    return told


class TestFiles:
    def test_three_ways_to_write_one_image_are_one_prompt(self, tmp_path):
        shown = write_png(tmp_path / "a.png")
        part = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "what?"}]
        place = [{"type": "image"}, {"type": "text", "text": "what?"}]
        rows = [
            {"prompt": "what?", "image": "a.png", "answer": "1"},
            {"prompt": [{"role": "user", "content": "what?"}], "images": ["a.png"], "answer": "1"},
            {"prompt": [{"role": "user", "content": part}], "answer": "1"},
            {"prompt": [{"role": "user", "content": place}], "images": ["a.png"], "answer": "1"},
            {
                "messages": [{"role": "user", "content": part}, {"role": "assistant", "content": "1"}],
                "answer": "1",
            },
        ]
        task = get_task(str(lines(tmp_path, *rows, {"prompt": "else?", "image": "a.png", "answer": "2"})))
        assert len(task.problems) == 2
        (picture,) = task.problems[0].prompt.pictures
        assert np.array_equal(picture.pixels(), shown) and picture.size == (20, 12)
        assert task.problems[0].prompt == f"{picture.mark}what?"

    def test_the_same_question_about_two_images_is_two_prompts(self, tmp_path):
        for seed in range(3):
            write_png(tmp_path / f"{seed}.png", seed % 2)
        rows = [{"prompt": "what?", "image": f"{seed}.png", "answer": "1"} for seed in range(3)]
        assert len(get_task(str(lines(tmp_path, *rows))).problems) == 2  # of the third the file differs alone

    @pytest.mark.parametrize(
        ("mode", "kind"),
        [("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("LA", "PNG")],
    )
    def test_every_8_bit_mode_is_shown_in_colours(self, tmp_path, mode, kind):
        Image.fromarray(noise()).convert(mode).save(tmp_path / "a", kind)
        picture = Picture.read(tmp_path / "a")
        assert picture.pixels().shape == (12, 20, 3)
        assert np.array_equal(picture.pixels(), np.asarray(Image.open(tmp_path / "a").convert("RGB")))

    def test_one_pixel_is_an_image(self, tmp_path):
        Image.new("RGB", (1, 1), (7, 8, 9)).save(tmp_path / "a.png")
        assert Picture.read(tmp_path / "a.png").pixels().tolist() == [[[7, 8, 9]]]

    def test_a_camera_that_lay_on_its_side(self, tmp_path):
        image, told = Image.fromarray(noise()), Image.Exif()
        told[0x0112] = 6
        image.save(tmp_path / "a.jpg", exif=told)
        assert Picture.read(tmp_path / "a.jpg").size == (12, 20)

    @pytest.mark.parametrize(
        ("given", "match"),
        [
            ("none.png", "cannot be read"),
            ("", "must be the path"),
            (5, "must be the path"),
            (["a.png"], "must be the path"),
            ({"path": "a.png"}, "must be the path"),
            ("http://example.org/a.png", "address"),
            ("file:///etc/passwd", "address"),
            ("data:image/png;base64,AAAA", "address"),
            ("../a.png", "outside the folder"),
            ("sub/../../a.png", "outside the folder"),
            ("/etc/passwd", "outside the folder"),
            ("a\0.png", "cannot be followed|cannot be read"),
            (".", "no file"),
            ("a/b/c", "cannot be read"),
        ],
    )
    def test_paths_that_are_refused(self, tmp_path, given, match):
        write_png(tmp_path / "a.png")
        (tmp_path / "data").mkdir()
        refused(tmp_path / "data", given, match)

    def test_a_link_that_leads_out_is_outside_and_one_that_stays_is_not(self, tmp_path):
        write_png(tmp_path / "secret.png")
        write_png(tmp_path / "data/b.png", 1)
        (tmp_path / "data/out.png").symlink_to("../secret.png")
        (tmp_path / "data/up").symlink_to("..")
        (tmp_path / "data/in.png").symlink_to("b.png")
        (tmp_path / "data/loop.png").symlink_to("loop.png")
        refused(tmp_path / "data", "out.png", "outside the folder")
        refused(tmp_path / "data", "up/secret.png", "outside the folder")
        refused(tmp_path / "data", "loop.png", "cannot be followed|cannot be read")
        assert get_task(str(lines(tmp_path / "data", {"prompt": "what?", "image": "in.png"}))).problems

    def test_another_folder_is_opened_when_it_is_asked_for(self, tmp_path):
        write_png(tmp_path / "images/a.png")
        file = lines(tmp_path, {"prompt": "what?", "image": "a.png"})
        task = get_task(str(file), form=PromptForm(image_folder=str(tmp_path / "images")))
        assert task.problems[0].prompt.pictures
        with pytest.raises(InputError, match="outside the folder"):
            get_task(
                str(lines(tmp_path, {"prompt": "what?", "image": "../t.jsonl"})),
                form=PromptForm(image_folder=str(tmp_path / "images")),
            )
        with pytest.raises(InputError, match="names no image files"):
            get_task("dots", form=PromptForm(image_folder=str(tmp_path)))

    @pytest.mark.parametrize("field", ["image", "part"])
    def test_files_that_are_no_whole_image(self, tmp_path, field):
        buffer = io.BytesIO()
        Image.fromarray(noise()).save(buffer, "PNG")
        frames = [Image.fromarray(noise(seed)) for seed in (1, 2)]
        wide = Image.fromarray(np.arange(240, dtype=np.uint16).reshape(12, 20) * 200)
        hostile = {
            "cut.png": (buffer.getvalue()[:-200], "cut off or broken"),
            "text.png": (b"hello, I am no image\n", "no image of a known kind"),
            "empty.png": (b"", "no image of a known kind"),
            "bomb.png": (png_header(30_000, 30_000), "pixels, and at most"),
            "line.png": (png_header(1, MOST_PIXELS + 1), "pixels, and at most"),
            "zero.png": (png_header(0, 0), "empty|no image"),
            "svg.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image of a known kind"),
        }
        for name, (data, _) in hostile.items():
            (tmp_path / name).write_bytes(data)
        frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
        wide.save(tmp_path / "wide.png")
        os.mkfifo(tmp_path / "pipe.png")
        more = {"moving.gif": "animated", "wide.png": "more than 8 bits", "pipe.png": "is no file"}
        for name, match in ({name: match for name, (_, match) in hostile.items()} | more).items():
            if name in more or field == "image":
                refused(tmp_path, name, match)
            else:
                content = [{"type": "image", "path": name}, {"type": "text", "text": "what?"}]
                with pytest.raises(InputError, match=match):
                    get_task(str(lines(tmp_path, {"prompt": [{"role": "user", "content": content}]})))

    def test_a_file_that_changes_later_is_not_shown_for_the_first(self, tmp_path):
        write_png(tmp_path / "a.png")
        picture = Picture.read(tmp_path / "a.png")
        write_png(tmp_path / "a.png", 1)
        with pytest.raises(ValueError, match="has changed"):
            picture.pixels()

    def test_images_and_places_must_match(self, tmp_path):
        write_png(tmp_path / "a.png")
        place = [{"type": "image"}, {"type": "text", "text": "what?"}]
        prompt = [{"role": "user", "content": place}]
        for images, match in ((["a.png"] * 2, "1 of them have no place"), ([], "more places")):
            with pytest.raises(InputError, match=match):
                get_task(str(lines(tmp_path, {"prompt": prompt, "images": images})))
        with pytest.raises(InputError, match="by an address"):
            content = [{"type": "image", "url": "http://example.org/a.png"}]
            get_task(str(lines(tmp_path, {"prompt": [{"role": "user", "content": content}]})))

    def test_no_chat_and_examples_with_images_are_refused(self, tmp_path):
        write_png(tmp_path / "a.png")
        file = str(lines(tmp_path, {"prompt": "what?", "image": "a.png", "answer": "1"}))
        with pytest.raises(InputError, match="no place for the images"):
            get_task(file, form=PromptForm(chat=False))
        with pytest.raises(InputError, match="examples with images"):
            get_task(file, form=PromptForm(few_shot=file))
        put = get_task(file, form=PromptForm(system="Look.")).problems[0].prompt
        assert len(put.pictures) == 1 and [turn["role"] for turn in put.turns] == ["system", "user"]


def test_a_text_that_looks_like_a_mark_shows_nothing():
    picture = Picture.of(noise())
    other = Picture.of(noise(1))
    text = f"is {other.mark} right?"
    prompt = chat_prompt([{"role": "user", "content": text}], images=[picture])
    assert prompt.pictures == (picture,)
    assert [part["type"] for part in parts_of(prompt)[0]["content"]] == ["image", "text"]
    assert parts_of(prompt)[0]["content"][1]["text"] == text


def test_grey_has_the_size_and_shows_nothing():
    prompt = DOTS.problems[0].prompt
    grey = blind(prompt)
    assert grey != prompt and grey.split("]")[1] == prompt.split("]")[1]
    assert grey.pictures[0].size == (32, 32) and np.unique(grey.pictures[0].pixels()).tolist() == [128]
    assert blind("plain") == "plain" and blind(grey) == grey


@pytest.mark.parametrize(
    "given", ["a.png", {"path": "/etc/passwd"}, 5, None, np.zeros((2, 2)), {"bytes": b"no"}]
)
def test_prompts_in_python_take_images_and_no_paths(given):
    content = [{"type": "image", "image": given}, {"type": "text", "text": "what?"}]
    with pytest.raises(InputError, match="prompts"):
        CollapseMonitor(prompts=[[{"role": "user", "content": content}]])


class TestBuiltIn:
    def test_the_word_of_dots_is_right_half_of_the_time(self):
        from llm_bridge.tasks.pictures import HINTED, TYPICAL

        problems = DOTS.problems
        right = np.mean([str(TYPICAL[problem.data["word"]]) == problem.answer for problem in problems])
        assert abs(right - (HINTED + (1 - HINTED) / 9)) < 4 * np.sqrt(0.25 / len(problems))

    def test_dots_are_as_many_as_the_answer_says(self):
        """Counted by flood fill, which knows nothing of how they were drawn."""
        for problem in DOTS.problems[:64]:
            grey = problem.prompt.pictures[0].pixels().astype(int).sum(2)
            left, count = {tuple(place) for place in np.argwhere(grey > 400)}, 0
            while left:
                waiting, count = [left.pop()], count + 1
                while waiting:
                    row, column = waiting.pop()
                    near = {
                        (row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)
                    } & left
                    left -= near
                    waiting += near
            assert str(count) == problem.answer

    def test_the_brighter_half_is_brighter(self):
        for problem in get_task("brighter").problems[:200]:
            pixels = problem.prompt.pictures[0].pixels().astype(float)
            assert (pixels[:, :16].mean() > pixels[:, 16:].mean()) == (problem.answer == "left")
