"""The command `fastmlp` in a process of its own."""

import subprocess
import sys


def command(*arguments, folder, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "fastmlp", *arguments], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == code, done.stderr
    return done
