r"""Units behind an answer: 5\text{ cm} is 5 and a centimetre. Two spellings of one unit are one, two units are two."""

import re

_NAMES = """
m meter meters metre metres|km kilometer kilometers kilometre kilometres|cm centimeter centimeters centimetre centimetres|
mm millimeter millimeters millimetre millimetres|in inch inches|ft foot feet|yd yard yards|mi mile miles|g gram grams|
kg kilogram kilograms kilo kilos|mg milligram milligrams|lb lbs pound pounds|oz ounce ounces|s sec secs second seconds|
ms millisecond milliseconds|min mins minute minutes|h hr hrs hour hours|day days|week weeks|month months|yr yrs year years|
L l liter liters litre litres|mL ml milliliter milliliters millilitre millilitres|degree degrees deg|rad radian radians|
dollar dollars usd|cent cents|euro euros eur|gbp|mph|N newton newtons|J joule joules|W watt watts|V volt volts|A ampere amperes amp amps|
Hz hertz|unit units|percent|C celsius|F fahrenheit|K kelvin|Pa pascal pascals|kPa|kW kilowatt kilowatts|kJ|mol mole moles|
hectare hectares ha|acre acres|gal gallon gallons|ton tons tonne tonnes|rpm|kph kmh
"""
_KNOWN = {word: group.split()[0] for group in _NAMES.replace("\n", "").split("|") for word in group.split()}
_COMMON = {"mph": "mi/h", "kph": "km/h"}
_NO_UNITS = frozenset(
    "or and not nor but if is are be no to than then when where for either neither maybe plus minus times with without mod"
    " zero one two three four five six seven eight nine ten eleven twelve half"
    " sin cos tan cot sec csc log ln exp sqrt pi max gcd lcm arcsin arccos arctan infty all real any even odd prime".split()
)
_TEXT = r"\\(?:text|mbox|textrm|textit|textbf|mathrm|mathit|mathbf|operatorname|rm)"
_POWER = r"(?:\^\{?(-?[1-9])\}?)?"
_WRAPPED = re.compile(rf"(.*\S)\s?{_TEXT}\s?\{{([^{{}}]*)\}}{_POWER}")
_WORDS = r"[A-Za-z]+(?:[ ./][A-Za-z]+\.?)*"
_BARE = re.compile(rf"(.*[0-9)\]}}.]) ({_WORDS}){_POWER}")
_CLOSE = re.compile(rf"(.*[0-9)\]}}.])([A-Za-z]{{1,4}}(?:/[A-Za-z]{{1,2}})?){_POWER}")
_DEGREES = re.compile(r"(.*\S)\^\\circ ?(?:\\(?:text|mathrm)\{([CF])\}|([CF]))?")
_MONEY = re.compile(r"(-?)([\u20ac\u00a3\u00a5\u20b9])(.+)")
_NUMBER = re.compile(r"-?[0-9][0-9.,/ ]*|-?\\frac\{[0-9]+\}\{[0-9]+\}")
_CURRENCIES = {"\u20ac": "euro", "\u00a3": "gbp", "\u00a5": "yen", "\u20b9": "rupee"}


def split_unit(text: str, *, close: bool = False) -> tuple[str, str | None]:
    r"""(what stands before the unit, the unit's one name) of a normal form; (text, None) where none is found.

    A unit is words in \text{} or \mathrm{} at the end, a known unit after a space (5 m, 5 km/h) or, from two
    letters on, right behind a digit (5cm), words of four letters or more after a number (5 apples), a degree
    sign, or €, £, ¥, ₹ in front. A single letter right behind a digit is a factor (5m) unless `close`. Words
    that join or deny (or, not, six ...) are no unit. "square", "cubic", ^2 and ^3 are powers.
    """
    if found := _MONEY.fullmatch(text):
        return found[1] + found[3], _CURRENCIES[found[2]]
    if found := _DEGREES.fullmatch(text):
        return found[1], "degree" + (found[2] or found[3] or "")
    if found := _WRAPPED.fullmatch(text):
        unit = unit_name(found[2], found[3])
        return (found[1], unit) if unit and not found[1].endswith(("^", "_", "{")) else (text, None)
    if found := _BARE.fullmatch(text):
        known = all(word in _KNOWN for word in re.split(r"[ /.]+", _without_words(found[2])))
        if known or _NUMBER.fullmatch(found[1]) and all(len(word) >= 4 for word in found[2].split()):
            unit = unit_name(found[2], found[3])
            return (found[1], unit) if unit else (text, None)
    found = _CLOSE.fullmatch(text)
    if found and all(word in _KNOWN for word in found[2].split("/")) and (len(found[2]) > 1 or close):
        return found[1], unit_name(found[2], found[3])
    return text, None


def unit_name(words: str, power: str | None = None) -> str | None:
    """One name for each unit: "metres per second" and "m/s" are m/s, "sq. cm" and "cm" with power 2 are cm^2;
    None for no unit.
    """
    words = " ".join(words.replace(".", " ").split())
    if not re.fullmatch(r"[A-Za-z]+(?:[ /]+[A-Za-z]+){0,4}", words) or set(words.lower().split()) & _NO_UNITS:
        return None
    for name, exponent in (
        ("square", "2"),
        ("sq", "2"),
        ("cubic", "3"),
        ("cu", "3"),
        ("squared", "2"),
        ("cubed", "3"),
    ):
        if name in (first := words.lower().split()) and len(first) > 1:
            words, power = " ".join(word for word in words.split() if word.lower() != name), exponent
    parts = [_one(part) for part in re.split(r" ?/ ?| per ", words)]
    name = "/".join(parts)
    return _COMMON.get(name, name) + (f"^{power}" if power not in (None, "1") else "")


def _without_words(words: str) -> str:
    return re.sub(r"\b(?:per|square|sq|cubic|squared|cubed)\b\.? ?", "", words).strip()


def _one(words: str) -> str:
    words = words.strip()
    known = _KNOWN.get(words) or _KNOWN.get(words.lower())
    if known:
        return known
    words = words.casefold()
    if len(words) > 3 and words.endswith("s") and not words.endswith("ss"):
        return words[:-2] if words.endswith(("ches", "shes", "xes", "sses")) else words[:-1]
    return words
