"""Images that prompts hold: read once and checked before any work, told apart by what they show, and opened again
where a model is to see them.
"""

import base64
import hashlib
import io
import os
import re
import stat
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What is opened; nothing else is tried on a file that somebody wrote."""
MOST_PIXELS = 89_478_485
"""Pillow's own limit, here an error and no warning: 256 MiB of red, green and blue."""
MOST_BYTES = 2**28
GREY = (128, 128, 128)
MARK = re.compile(r"\[image ([0-9a-f]{16})\]")
"""How a prompt's text shows where an image stands, and which one."""


@dataclass(frozen=True)
class Picture:
    """An image by what it shows: red, green and blue with 8 bits each, turned as its camera says.

    digest: 16 hexadecimal digits of the SHA-256 of its size and pixels, the same for every file that shows the same.
    size: width and height in pixels. source: the file, or the pixels, (height, width, 3) unsigned bytes.
    """

    digest: str
    size: tuple[int, int]
    source: Path | np.ndarray = field(compare=False, repr=False)

    @property
    def mark(self) -> str:
        """What stands for it in a text."""
        return f"[image {self.digest}]"

    @classmethod
    def of(cls, given) -> "Picture":
        """That of a Picture, an array (height, width, 3) of unsigned bytes, an image of Pillow, or the bytes of a file
        as a data set keeps them ({"bytes": …}). A path is none of these: `read` opens files.

        Raises: ValueError, with the reason, for anything else and for what `read` refuses.
        """
        if isinstance(given, Picture):
            return given
        if isinstance(given, np.ndarray):
            if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or not given.size:
                raise ValueError(
                    f"an array of shape {given.shape} and type {given.dtype} is no image; it must be (height, width, 3)"
                    " unsigned bytes"
                )
            return cls._shown(given, np.ascontiguousarray(given))
        if isinstance(given, str | os.PathLike):
            raise ValueError(
                f"{str(given)[:60]!r} is a text, and an image is wanted here: open it first (PIL.Image.open), or write the"
                " path into a JSONL file"
            )
        if isinstance(given, dict) and isinstance(given.get("bytes"), bytes):
            return cls.of(_decoded(io.BytesIO(given["bytes"])))
        if hasattr(given, "convert") and hasattr(given, "getpixel"):
            return cls.of(_pixels(given))
        raise ValueError(f"{type(given).__name__} is no image")

    @classmethod
    def read(cls, path: Path) -> "Picture":
        """That of a file, of which only the path is kept.

        Raises: ValueError, with the reason, for a file that is missing, no file, larger than 256 MiB, no image of a
        known format, cut off, animated, empty, of more than 89 million pixels, or of more than 8 bits a channel.
        """
        return cls._shown(_read_pixels(path), path)

    @classmethod
    def _shown(cls, pixels: np.ndarray, source) -> "Picture":
        height, width = pixels.shape[:2]
        digest = hashlib.sha256(f"{width}x{height}".encode() + pixels.tobytes()).hexdigest()
        return cls(digest[:16], (width, height), source)

    def pixels(self) -> np.ndarray:
        """(height, width, 3) unsigned bytes. Raises: ValueError where the file has changed since it was read."""
        if isinstance(self.source, np.ndarray):
            return self.source
        found = _read_pixels(self.source)
        if Picture._shown(found, None).digest != self.digest:
            raise ValueError(f"{self.source} has changed since it was read")
        return found

    def image(self):
        """As Pillow has it."""
        from PIL import Image

        return Image.fromarray(self.pixels())

    def thumbnail(self, side: int = 96) -> str:
        """A PNG of at most that width and height, as a data address."""
        image, written = self.image(), io.BytesIO()
        image.thumbnail((side, side))
        image.save(written, "PNG")
        return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"

    def greyed(self) -> "Picture":
        """A plain grey one of the same size, which shows nothing."""
        return Picture.of(np.full((self.size[1], self.size[0], 3), GREY, dtype=np.uint8))


def inside(folder: Path, name: str) -> Path:
    """The file of that name in a folder, links followed.

    Raises: ValueError for an address, and for what lies, or leads, out of the folder.
    """
    if is_address(name):
        _refuse_address(name)
    try:
        root = folder.resolve()
        found = (root / name).resolve()
        within = found.is_relative_to(root)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"the path {name[:80]!r} cannot be followed") from error
    if not within:
        raise ValueError(
            f"the image {name[:80]!r} lies outside the folder {folder}, and nothing outside is opened unless asked"
            " (--image-folder)"
        )
    return found


def is_address(text: str) -> bool:
    """Whether a text is an address on a network, or data, and no path."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text))


def _refuse_address(text: str):
    raise ValueError(f"{text[:60]!r} is an address, and images are read from files alone")


def _read_pixels(path: Path) -> np.ndarray:
    try:
        told = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise ValueError(f"the image {str(path)[:160]} cannot be read ({reason})") from error
    if not stat.S_ISREG(told.st_mode):
        raise ValueError(f"{path} is no file")
    if told.st_size > MOST_BYTES:
        raise ValueError(f"{path} has {told.st_size:,} bytes, and an image may have {MOST_BYTES:,}")
    try:
        with path.open("rb") as file:
            return _decoded(file)
    except OSError as error:
        raise ValueError(f"the image {path} cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _decoded(file) -> np.ndarray:
    """The pixels of an open file. Raises: ValueError with the reason."""
    from PIL import Image

    with warnings.catch_warnings():
        # That an image is large is asked below, of the header alone.
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise ValueError(_too_large(None)) from error
        except Exception as error:
            raise ValueError(f"it is no image of a known kind ({', '.join(FORMATS)}), or broken") from error
        with image:
            return _pixels(image)


def _pixels(image) -> np.ndarray:
    from PIL import ImageOps

    width, height = image.size
    if width < 1 or height < 1:
        raise ValueError(f"the image is empty ({width} × {height} pixels)")
    if width * height > MOST_PIXELS:
        raise ValueError(_too_large(image.size))
    if getattr(image, "n_frames", 1) > 1:
        raise ValueError(f"the image is animated ({image.n_frames} frames), and a model sees one")
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"the image has more than 8 bits a channel (mode {image.mode}); save it with 8")
    try:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception as error:
        raise ValueError(f"the image is cut off or broken ({str(error)[:80]})") from error


def _too_large(size) -> str:
    what = "far more" if size is None else f"{size[0]:,} × {size[1]:,}"
    return f"the image has {what} pixels, and at most {MOST_PIXELS:,} are opened"
