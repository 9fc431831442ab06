"""The examples of README and some how-to pages as a type checker sees them: python tools/readme_types.py

Puts the lines of each page's examples into one module, and has mypy and pyright (its fork basedpyright, which pip
installs whole) check it; the exit code says whether both are content. Pages that pass on a dict of settings are left
out: its values have no types of their own.
"""

import doctest
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
HOW_TO = ("stuck-net", "model-per-group", "long-jobs-and-clusters")
PAGES = (README, *(ROOT / "docs" / "how-to" / f"{name}.md" for name in HOW_TO))
CHECKERS = (("mypy", "--no-incremental", "--ignore-missing-imports"), ("basedpyright", "--level", "error"))
# What the examples do not show: what a selection and a file give
MORE = """
from typing import assert_type
assert_type(runs[0], fastmlp.Network)
assert_type(runs[runs.accuracy > 0.5], fastmlp.Runs)
assert_type(runs[:3], fastmlp.Runs)
assert_type(fastmlp.load("nets", kind="runs"), fastmlp.Runs)
assert_type(fastmlp.load("net", kind="network"), fastmlp.Network)
assert_type(fastmlp.load("net"), fastmlp.Runs | fastmlp.Network)
assert_type(fastmlp.train(arch, X, y, optimizer="adam"), fastmlp.Runs)
"""
WRONG = """
import fastmlp
fastmlp.train(fastmlp.Architecture((2, 1)), [[0, 1]], [1], optimizer="adamw")
fastmlp.train(fastmlp.Architecture((2, 1)), [[0, 1]], [1], learning_rate=0.1)
"""


def main() -> int:
    examples = {page: doctest.DocTestParser().get_examples(page.read_text(encoding="utf-8")) for page in PAGES}
    code = {page: "".join(example.source for example in found) for page, found in examples.items()}
    settings = '[tool.basedpyright]\ntypeCheckingMode = "standard"\n'
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(settings, encoding="utf-8")
        wrong = Path(folder, "mistakes.py")
        right = [Path(folder, f"{page.stem.lower().replace('-', '_')}_examples.py") for page in PAGES]
        for file, page in zip(right, PAGES, strict=True):
            file.write_text(code[page] + MORE * (page == README), encoding="utf-8")
        wrong.write_text(WRONG, encoding="utf-8")
        for command in CHECKERS:
            done = subprocess.run([sys.executable, "-m", *command, *right], cwd=folder, check=False)
            refused = subprocess.run(
                [sys.executable, "-m", *command, wrong], cwd=folder, check=False, capture_output=True, text=True
            )
            found = sum("error" in line and "mistakes.py:" in line for line in refused.stdout.splitlines())
            n = sum(map(len, examples.values()))
            print(f"{command[0]}: {n} examples, exit code {done.returncode}; {found} of 2 mistakes found")
            failed |= bool(done.returncode) or found < 2
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
