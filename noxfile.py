"""What must hold, each in an environment of its own: `nox -l` lists it, `nox -s tests-3.13` runs one.

`.ci/run` runs everything that one machine can, in the order in which it tells most.
"""

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.sessions = ["tests", "lint", "types"]
nox.options.error_on_missing_interpreters = "CI" in os.environ

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
SITE = Path("docs/_build/html")
HTML = ("-b", "html", "-W", "--keep-going", "-n", "-d", "docs/_build/doctrees", "docs", str(SITE))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, with what their extra installs. Arguments after -- go to pytest."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """The tests on the oldest releases that pyproject.toml allows."""
    session.install("uv")
    # matplotlib 3.8 calls what newer releases of pyparsing warn of
    session.run("uv", "pip", "install", "--resolution", "lowest-direct", ".[test]", "pyparsing<3.3")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def newest(session: nox.Session) -> None:
    """The tests on the newest Numba, NumPy and scikit-learn, release candidates and bounds left aside.

    Numba's internals first: where one has moved, these tests name it.
    """
    session.install("-e", ".[test]")
    session.run("python", "-m", "pip", "install", "--upgrade", "--pre", "numba", "numpy", "scikit-learn")
    session.run("fastmlp", "info")
    session.run("pytest", "tests/simd/test_numba_internals.py", "-n", "0")
    session.run("pytest", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """The slow tests: exhaustive, emulated or long."""
    session.install("-e", ".[test,fuzz,dask,ray]")
    session.run("python", "-m", "pytest", "-m", "slow", "-o", "addopts=-q", "-n", "2", "--maxschedchunk", "1")


@nox.session
def lint(session: nox.Session) -> None:
    """Format, rules, layers of imports, and the workflows' schema."""
    session.install("-e", ".[lint]")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports")
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows())


@nox.session
def types(session: nox.Session) -> None:
    """The package's types, and those that users see."""
    session.install("-e", ".[lint]")
    session.run("mypy")
    session.run("python", "tools/readme_types.py")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, into docs/_build/html; a warning is an error. Examples and notebooks are run."""
    session.install("-e", ".[docs]")
    session.run(
        "asv", "publish", "--no-pull", "--html-dir", ".asv/html-for-site/asv", success_codes=[0, 1], silent=True
    )
    session.run("sphinx-build", *HTML, *session.posargs)
    session.run("python", "tools/check_site.py", str(SITE))
    session.log(f"The site is in {SITE}/index.html")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Each of asv's benchmarks once, in this session's environment."""
    session.install("-e", ".[bench,sklearn,files]")
    session.run("asv", "machine", "--yes", silent=True)
    session.run("asv", "check", "-E", "existing")
    session.run("asv", "run", "--quick", "-E", "existing", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Build wheel and sdist, check them, and use each outside the checkout, in an environment of its own."""
    session.install("build", "twine", "check-wheel-contents")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    built = sorted(map(str, Path("dist").iterdir()))
    session.run("twine", "check", "--strict", *built)
    session.run("check-wheel-contents", *[name for name in built if name.endswith(".whl")])
    session.run("python", "tools/try_package.py", *built)


def workflows() -> list[str]:
    """The files of GitHub's workflows."""
    return sorted(map(str, Path(".github/workflows").glob("*.yml")))
