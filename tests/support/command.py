"""The command `fastmlp`, in a process of its own or in this one, which takes less time."""

import subprocess
import sys

from fastmlp.cli.main import main


def command(*arguments, folder, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "fastmlp", *arguments], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def run_here(capsys, *arguments):
    """Exit code, standard output and standard error."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as exit:
        code = exit.code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def refused(capsys, *arguments):
    """The one line on standard error that says what is wrong with the arguments."""
    code, out, err = run_here(capsys, *arguments)
    assert code == 2, out
    assert err.count("\n") == 1
    return err
