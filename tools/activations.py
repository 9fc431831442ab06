"""Write docs/activations.md from the table of activations: `python tools/activations.py`."""

from pathlib import Path

from fastmlp._kernels.formulas.activations import RECORDS

HEAD = """# Activations

`Architecture(sizes, hidden=…, output=…)` takes these names, z being the weighted sum of a unit's inputs and its bias.
`MLPClassifier` and `MLPRegressor` know them too, sigmoid as "logistic". Written by `tools/activations.py`.

| name | f(z) | hidden | output |
|---|---|---|---|
"""
TAIL = """
gelu is the exact one, with the error function. The first five hidden activations of this table share compiled kernels;
a net with any other compiles, the first time, kernels that hold them all.
"""


def main() -> None:
    rows = [
        f"| `{record.name}` | {record.formula.replace('|', chr(92) + '|')} | {'yes' if record.hidden else ''} | "
        f"{'yes' if record.output else ''} |"
        for record in RECORDS
    ]
    path = Path(__file__).parents[1] / "docs" / "activations.md"
    path.write_text(HEAD + "\n".join(rows) + "\n" + TAIL, encoding="utf-8")


if __name__ == "__main__":
    main()
