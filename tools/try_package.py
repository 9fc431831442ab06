"""Install a wheel or an sdist in a fresh environment, and use it far from the checkout.

python tools/try_package.py dist/fastmlp-0.1.0-py3-none-any.whl dist/fastmlp-0.1.0.tar.gz

For each: the main job, `fastmlp info`, and a test of the package as it is installed. The tests are those of the
checkout, in a copy that has nothing of fastmlp next to it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What compiles little: two golden hashes, files and checkpoints
TESTS = ("tests/kernels/test_golden.py", "tests/io/test_bits_version.py", "-k", "bits or (xor and online and None)")


def try_package(file: Path) -> None:
    """Raise CalledProcessError if anything fails."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        venv.create(where / "venv", with_pip=True)
        programs = where / "venv" / ("Scripts" if os.name == "nt" else "bin")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {"NUMBA_CACHE_DIR": str(where / "numba"), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}

        def run(*command: str) -> str:
            print("$", *command, flush=True)
            done = subprocess.run(
                command, cwd=where, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            output = done.stdout.decode(errors="replace")
            if done.returncode:
                print(output)
                raise subprocess.CalledProcessError(done.returncode, command)
            return output

        shutil.copytree(ROOT / "tests", where / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", where)
        python = str(programs / "python")
        run(python, "-m", "pip", "install", "-q", f"{file.resolve()}[test]")
        print(run("fastmlp", "info"))
        print(run("fastmlp", "xor", "--restarts", "100000", "--no-picture"))
        imported = run(python, "-c", "import fastmlp; print(fastmlp.__file__)").strip()
        if Path(imported).is_relative_to(ROOT) or not Path(imported).is_relative_to(where / "venv"):
            sys.exit(f"fastmlp was imported from {imported}, not from the environment")
        print(run(python, "-m", "pytest", *TESTS).splitlines()[-1])


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"== {name}")
        try_package(Path(name))
