"""How often each claim of each theorem is asked: `make claims` writes docs/theorem_claims.json; goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
from dataclasses import asdict
from pathlib import Path

import jax

RECORD = Path(__file__).parent / "theorem_claims.json"
SEED = 3


def counted(name: str, cases: int, source: str) -> dict:
    """One theorem on `cases` populations, as plain data. Raises: SystemExit if it fails there."""
    from sharpening import check_theorems

    (report,) = check_theorems([name], cases=cases, seed=SEED)
    if not report.ok:
        raise SystemExit(f"{name} {report.outcome}: {report.witness}")
    claims = {what: asdict(count) for what, count in report.claims.items()}
    return {"cases": cases, "held": report.held, "code": source, "claims": claims}


def source_digest(theorem) -> str:
    """A digest of the file that a theorem stands in: a count of its claims is of this text and no other."""
    return hashlib.sha256(Path(inspect.getfile(type(theorem))).read_bytes()).hexdigest()[:12]


def main() -> None:
    from sharpening import list_theorems

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="populations for each theorem")
    cases = parser.parse_args().cases
    jax.config.update("jax_enable_x64", True)
    known = json.loads(RECORD.read_text())["theorems"] if RECORD.exists() else {}
    done = {}
    for theorem in list_theorems():
        old, source = known.get(theorem.name, {}), source_digest(theorem)
        kept = old.get("cases", 0) >= cases and old.get("code") == source
        done[theorem.name] = old if kept else counted(theorem.name, cases, source)
        shown = done | {name: row for name, row in known.items() if name not in done}
        told = {"command": f"make claims CASES={cases}", "seed": SEED, "theorems": shown}
        RECORD.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        thin = [what for what, one in done[theorem.name]["claims"].items() if one["telling"] == 0]
        print(theorem.name, "kept" if kept else "counted", *thin, sep="  ", flush=True)


if __name__ == "__main__":
    main()
