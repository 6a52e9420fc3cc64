"""Fit the forecast on the ground truth and the blind rounds before, and say how good it is on whole families left out.

    python -m studies.calibrate

Writes llm_bridge/forecast/calibration/coefficients.json and results/calibration.json.
"""

import json
import time
from importlib.metadata import version

from llm_bridge.forecast.calibration.features import read_for
from llm_bridge.forecast.calibration.file import FORMAT
from llm_bridge.forecast.calibration.fit import calibration
from llm_bridge.forecast.calibration.survival import ALSO_DATED, KINDS, SHIPPED
from studies.fitting import BLIND_ROUNDS, doubly_left_out, measured_before
from studies.judging import report
from studies.left_out import figures, left_out
from studies.study import RESULTS, load_result


def main():
    """Fit on everything for the coefficients that ship, and on all but the families left out for the
    report.
    """
    study = load_result("ground-truth")
    found = [group for read in measured_before() for group in read]
    told = {
        "format": FORMAT,
        "command": "python -m studies.calibrate",
        "date": time.strftime("%Y-%m-%d"),
        "runs": len(study["runs"]) + sum(len(load_result(name)["runs"]) for name in BLIND_ROUNDS),
        "left_out": "tasks and architectures",
        "versions": {name: version(name) for name in ("scipy", "scikit-learn", "numpy")},
    }
    fitted = {kind: calibration(found, kind, doubly_left_out) for kind in KINDS}
    heads = {
        kind: {name: head.as_dict() for name, head in mine.heads.items()} for kind, mine in fitted.items()
    }
    chances = {
        kind: {name: one.as_dict() for name, one in mine.chances.items()} for kind, mine in fitted.items()
    }
    fates = {kind: mine.fates.as_dict() for kind, mine in fitted.items()}
    from llm_bridge.report.document import plain

    SHIPPED.write_text(
        json.dumps(
            plain(
                told
                | {
                    "heads": heads,
                    "chances": chances,
                    "rise": fitted["labelled"].rise.as_dict(),
                    "fates": fates,
                }
            ),
            indent=1,
        )
        + "\n"
    )
    also = {
        kind: {name: figures(left_out(measured_before(), read_for(kind, name), name)) for name in ALSO_DATED}
        for kind in KINDS
    }
    (RESULTS / "calibration.json").write_text(
        json.dumps(plain(told | report(study) | {"also": also}), indent=1) + "\n"
    )
    print(SHIPPED, RESULTS / "calibration.json", sep="\n")


if __name__ == "__main__":
    main()
