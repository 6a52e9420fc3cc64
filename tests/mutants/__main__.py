"""`make mutants`: every deliberate error, the tests against it, a table; exit status 1 if one survives
without a reason.

    PYTHONPATH=tests python -m mutants # theorems and source code; goes on where it stopped
    (reports/mutants.jsonl) PYTHONPATH=tests python -m mutants --theorems # theorems only PYTHONPATH=tests
    python -m mutants sharpening.metrics # this module's source only
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mutants.source_mutants import hunt  # noqa: E402
from mutants.targets import EQUIVALENT, modules_of, targets  # noqa: E402
from mutants.theorem_mutants import theorem_table  # noqa: E402


def theorems() -> int:
    """Prints one line a theorem; returns how many errors survived, theorems without any counted as one."""
    table = theorem_table()
    print(f"{'theorem':<10}{'errors':>8}{'caught':>8}{'survived':>10}")
    for name, (errors, caught) in table.items():
        print(
            f"{name:<10}{errors:>8}{caught:>8}{errors - caught:>10}"
            + ("" if errors else "   no deliberate error")
        )
    errors, caught = (sum(column) for column in zip(*table.values(), strict=True))
    print(f"{'all':<10}{errors:>8}{caught:>8}{errors - caught:>10}\n")
    return errors - caught + sum(not errors for errors, _ in table.values())


def sources(options: argparse.Namespace) -> int:
    """Prints one line a module and every survivor; returns how many survived without a reason, troubles of
    the tests included.
    """
    print(f"{'module':<44}{'errors':>8}{'caught':>8}{'equivalent':>12}{'survived':>10}", flush=True)
    total, left, troubles, told = Counter(), [], [], {}
    for modules, tests in targets(options.modules):
        found = hunt(
            modules,
            tuple(options.tests or tests),
            options.record,
            lambda outcome: print("." if outcome.killer else "!", end="", flush=True, file=sys.stderr),
            options.every,
            options.again,
        )
        print(file=sys.stderr)
        troubles += found.troubles
        for module in modules:
            outcomes = [outcome for outcome in found.outcomes if outcome.module == module]
            alive = [outcome for outcome in outcomes if outcome.killer is None]
            argued = [outcome for outcome in alive if outcome.key in EQUIVALENT.get(module, {})]
            row = Counter(
                errors=len(outcomes),
                caught=len(outcomes) - len(alive),
                equivalent=len(argued),
                survived=len(alive) - len(argued),
            )
            total += row
            told[module] = dict(row) | {
                "one_of": options.every,
                "argued_or_survived": [
                    {"error": one.key, "why": EQUIVALENT.get(module, {}).get(one.key)} for one in alive
                ],
            }
            left += [outcome for outcome in alive if outcome not in argued]
            print(
                f"{module:<44}{row['errors']:>8}{row['caught']:>8}{row['equivalent']:>12}{row['survived']:>10}",
                flush=True,
            )
    print(
        f"{'all':<44}{total['errors']:>8}{total['caught']:>8}{total['equivalent']:>12}{total['survived']:>10}"
    )
    if options.json:
        keep(options.json, told)
    for outcome in left:
        print(f"survived ({outcome.tried} tests): {outcome.module}, line {outcome.line}: {outcome.key}")
    for trouble in troubles:
        print(trouble)
    return len(left) + len(troubles)


def keep(file: Path, told: dict) -> None:
    """Put counts by module into a file, beside those of other runs, with the day, the command and versions."""
    found = json.loads(file.read_text()) if file.is_file() else {"modules": {}}
    made = {"date": time.strftime("%Y-%m-%d"), "command": "python -m mutants " + " ".join(sys.argv[1:])}
    versions = {name: version(name) for name in ("numpy", "jax", "pytest", "hypothesis")}
    found["versions"] = versions | {"python": platform.python_version()}
    found["modules"] |= {module: row | made for module, row in told.items()}
    found["modules"] = dict(sorted(found["modules"].items()))
    file.write_text(json.dumps(found, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="mutants", description="Deliberate errors, and whether a test notices each."
    )
    parser.add_argument(
        "modules",
        nargs="*",
        metavar="MODULE",
        help=f"source of these modules only: {', '.join(modules_of())}",
    )
    parser.add_argument("--theorems", action="store_true", help="errors in theorems only")
    parser.add_argument("--record", type=Path, default=Path("reports/mutants.jsonl"), help="outcomes so far")
    parser.add_argument(
        "--tests",
        nargs="+",
        metavar="FILE",
        help="these test files instead of those that belong to the modules",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="only what survived before: tests have been added, the source is the same",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="put these modules' counts and survivors into FILE"
    )
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="one error of N, always the same ones"
    )
    options = parser.parse_args()
    options.record.parent.mkdir(parents=True, exist_ok=True)
    survived = 0 if options.modules else theorems()
    survived += 0 if options.theorems else sources(options)
    print("every error is caught" if not survived else f"{survived} to look at")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main())
