"""Small images for the built-in tasks that ask about them: NumPy arrays, (32, 32, 3) unsigned bytes."""

import numpy as np

SIDE = 32
SHAPES = ("circle", "square", "triangle", "cross")
_FONT = {
    digit: np.array([[int(bit) for bit in row] for row in rows.split()], dtype=bool)
    for digit, rows in enumerate(
        (
            "111 101 101 101 111",
            "010 110 010 010 111",
            "111 001 111 100 111",
            "111 001 111 001 111",
            "101 101 111 001 001",
            "111 100 111 001 111",
            "111 100 111 101 111",
            "111 001 001 001 001",
            "111 101 111 101 111",
            "111 101 111 001 111",
        )
    )
}
_ROWS, _COLUMNS = np.mgrid[0:SIDE, 0:SIDE]


def _ground(rng) -> np.ndarray:
    """A dark ground with a little grain."""
    return (rng.integers(0, 70, 3) + rng.integers(0, 25, (SIDE, SIDE, 3))).astype(np.uint8)


def _ink(rng) -> np.ndarray:
    return rng.integers(150, 256, 3).astype(np.uint8)


def dots(count: int, rng) -> np.ndarray:
    """`count` discs, at most 9, that do not touch, in nine cells of the image."""
    image, colour = _ground(rng), _ink(rng)
    for cell in rng.permutation(9)[:count]:
        row, column = (10 * place + 6 + rng.integers(-2, 3) for place in divmod(int(cell), 3))
        image[(_ROWS - row) ** 2 + (_COLUMNS - column) ** 2 <= 6] = colour
    return image


def digits(first: int, second: int, rng) -> np.ndarray:
    """Two digits side by side, each 9 by 15 pixels."""
    image, colour = _ground(rng), _ink(rng)
    for digit, left in ((first, 3), (second, 19)):
        row, column = 8 + rng.integers(-3, 4), left + rng.integers(-2, 3)
        mask = np.kron(_FONT[digit], np.ones((3, 3), dtype=bool))
        image[row : row + 15, column : column + 9][mask] = colour
    return image


def halves(left_is_brighter: bool, rng) -> np.ndarray:
    """Two grainy halves, one brighter by 12 to 60 of 255."""
    dark, gap = rng.integers(30, 170), rng.integers(12, 61)
    image = np.full((SIDE, SIDE), dark + 0.0)
    image[:, : SIDE // 2] += gap * left_is_brighter
    image[:, SIDE // 2 :] += gap * (not left_is_brighter)
    grain = rng.integers(-20, 21, (SIDE, SIDE))
    return np.repeat(np.clip(image + grain, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def shapes(shown, rng) -> np.ndarray:
    """Shapes by their names, each in a quarter of the image."""
    image, colour = _ground(rng), _ink(rng)
    for name, quarter in zip(shown, rng.permutation(4), strict=False):
        row, column = (16 * place + 8 + rng.integers(-1, 2) for place in divmod(int(quarter), 2))
        down, right = _ROWS - row, _COLUMNS - column
        if name == "circle":
            mask = (down**2 + right**2 <= 26) & (down**2 + right**2 >= 9)
        elif name == "square":
            mask = (np.maximum(abs(down), abs(right)) <= 5) & (np.maximum(abs(down), abs(right)) >= 4)
        elif name == "triangle":
            mask = (abs(down) <= 5) & (2 * abs(right) <= down + 5)
        else:
            mask = ((abs(down) <= 1) | (abs(right) <= 1)) & (np.maximum(abs(down), abs(right)) <= 5)
        image[mask] = colour
    return image
