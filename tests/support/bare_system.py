"""Take away what not every system has, before fastmlp is imported: `import tests.support.bare_system`.

There are no /proc and /sys, no choice of processors, no SIGTERM, no fork, no locks on files, no users and no load of the
system to ask for, as on Windows or macOS. Processes are spawned.
"""

import contextlib
import io
import os
import signal
import sys

MISSING = {
    os: (
        "sched_getaffinity", "sched_setaffinity", "register_at_fork", "fork", "forkpty", "sysconf", "getuid", "getgid",
        "getloadavg", "geteuid",
    ),
    signal: ("SIGTERM", "SIGHUP", "SIGKILL", "pthread_kill", "alarm", "setitimer"),
}  # fmt: skip
MODULES = ("fcntl", "pwd", "grp", "resource", "termios")


def take_away():
    import multiprocessing.popen_spawn_posix
    import subprocess  # noqa: F401

    with contextlib.suppress(ImportError):
        import joblib  # noqa: F401

    for owner, names in MISSING.items():
        for name in names:
            if hasattr(owner, name):
                delattr(owner, name)
    for name in MODULES:
        sys.modules[name] = None
    multiprocessing.set_start_method("spawn")
    opened = io.open

    def open_elsewhere(file, *arguments, **options):
        if str(file).startswith(("/proc/", "/sys/")):
            raise FileNotFoundError(2, "No such file or directory", str(file))
        return opened(file, *arguments, **options)

    io.open = open_elsewhere
    sys.modules["builtins"].open = open_elsewhere


take_away()
