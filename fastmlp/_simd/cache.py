"""The cache of compiled kernels between processes.

Numba's own cache numbers its files and lists them in an index. Processes that compile at the same time can give two
kernels the same number, which puts machine code under the wrong signature; a truncated file, or one of an older
version, crashes the program. Here each kernel's code for a signature and processor is one file, named by a hash of
those and of the library's sources. Files are written atomically, and unreadable ones are replaced. If no folder is
writable, every process compiles the kernels, with a warning.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import stat
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

import numba

from fastmlp._simd.numba_internals import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator, NullCache

DAY = 24 * 3600.0
UNUSED_SECONDS = 7 * DAY  # after which the code of another version is removed
ADVICE = "set NUMBA_CACHE_DIR to a folder of your own"
SOURCES = ("_simd", "_kernels")  # the packages that compiled code is made of; a test holds that they import no others


def source_files() -> list[Path]:
    """All source files of these packages and their subpackages."""
    package = Path(__file__).parents[1]
    return sorted(path for name in SOURCES for path in (package / name).rglob("*.py"))


@functools.cache
def sources_hash() -> str:
    """A hash of eight characters of the sources of compiled code and the version of numba."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in source_files():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


@functools.cache
def _warn_once(reason: str) -> None:
    warnings.warn(
        f"{reason}: the kernels are compiled again in every process, which takes some seconds; {ADVICE}",
        RuntimeWarning,
        stacklevel=2,
    )


class _Files:
    """Cache files, one for each signature and processor, in a folder that no other user can write to.

    Several versions can share a folder. A file's time is that of its last use, to the day; files of other versions that
    no process has used for a week are removed.
    """

    def __init__(self, folder: str, base: str) -> None:
        self._folder, self._base = Path(folder), base

    def _file(self, key: Any) -> Path:
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return self._folder / f"{self._base}.{sources_hash()}.{name}.nbc"

    def load(self, key: Any) -> Any:
        try:
            with self._file(key).open("rb") as file:
                if not _is_private(self._folder) or not _is_ours(os.fstat(file.fileno())):
                    return None
                content, used = file.read(), os.fstat(file.fileno()).st_mtime
            if hashlib.sha256(content[32:]).digest() != content[:32]:
                return None
            found, data = pickle.loads(content[32:])
            if time.time() - used > DAY:
                with contextlib.suppress(OSError):  # a folder that can only be read
                    os.utime(self._file(key))
            return data if found == repr(key) else None
        except Exception:  # no such file, or any error of a pickle of another version
            return None

    def save(self, key: Any, data: Any) -> None:
        if not _is_private(self._folder):
            return
        path = self._file(key)
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        content = pickle.dumps((repr(key), data))
        try:
            partial.write_bytes(hashlib.sha256(content).digest() + content)
            partial.replace(path)
            for older in self._folder.glob(f"{self._base}.*.nbc"):
                if older.name.split(".")[-3] != sources_hash() and time.time() - older.stat().st_mtime > UNUSED_SECONDS:
                    older.unlink(missing_ok=True)
        except OSError as error:
            partial.unlink(missing_ok=True)
            if not path.exists():  # otherwise another process has written it and, on Windows, reads it now
                _warn_once(f"compiled code cannot be written to {self._folder} ({error.strerror})")

    def flush(self) -> None:
        """Nothing to do: the files are not cached in memory."""


@functools.cache
def _is_private(folder: Path) -> bool:
    """Whether no other user can put code into the folder."""
    try:
        about = folder.stat()
    except OSError:
        return False
    if _is_ours(about):
        return True
    _warn_once(f"others can write to {folder}, where compiled code would be kept")
    return False


def _is_ours(about: os.stat_result) -> bool:
    """Whether a file or folder belongs to the user or root, and no other user can write to it.

    A group of the user's own name without other members counts as the user.
    """
    if not hasattr(os, "getuid"):
        return True
    if about.st_uid not in (os.getuid(), 0) or about.st_mode & stat.S_IWOTH:
        return False
    return not about.st_mode & stat.S_IWGRP or about.st_gid in _own_groups()


@functools.cache
def _own_groups() -> frozenset[int]:
    import grp
    import pwd

    try:
        name, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid())
    except KeyError:
        return frozenset()
    return frozenset([group.gr_gid]) if group.gr_name == name and set(group.gr_mem) <= {name} else frozenset()


class _ReadOnlyLocator(InTreeCacheLocator):
    """A folder from which code is only read, for kernels that an administrator has compiled."""

    def __init__(self, function: Any, file: str) -> None:
        super().__init__(function, file)
        folder = os.environ.get("NUMBA_CACHE_DIR")
        if folder:
            self._cache_path = str(Path(folder) / self.get_suitable_cache_subpath(file))

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        locator = cls(py_func, py_file)
        return locator if Path(locator.get_cache_path()).is_dir() else None


class _Location(CompileResultCacheImpl):
    _locator_classes = [*CompileResultCacheImpl._locator_classes, _ReadOnlyLocator]


class KernelCache(FunctionCache):
    """Numba's cache of a function, with files of our own."""

    _impl_class = _Location

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = _Files(  # type: ignore[assignment]
            self._cache_path, self._impl.filename_base
        )

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super()._load_overload(sig, target_context)
        except Exception:  # code of another build of Python or LLVM
            return None

    def _save_overload(self, sig: Any, data: Any) -> None:
        try:
            super()._save_overload(sig, data)
        except OSError as error:
            _warn_once(f"compiled code cannot be written to {self._cache_path} ({error.strerror})")


def cache_of(function: Any) -> Any:
    """A cache for a kernel; it keeps nothing if no folder is suitable."""
    try:
        return KernelCache(function)
    except (RuntimeError, OSError):
        _warn_once("no folder for compiled code can be written")
        return NullCache()
