"""Check the paths that a command will write to before any work, so that no file of the user's is destroyed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MOST_NAME_BYTES = 255


def refuse_output(
    option: str,
    path: str | Path | None,
    inputs: Mapping[str, str | Path | None],
    force: bool = True,
    needs_folder: bool = True,
) -> None:
    """Raise ValueError if writing to `path` would fail, or would destroy an input, a pipe, a device or a folder.

    `inputs` maps names to the other paths that the command reads or writes. Without `force` an existing file is refused
    too. With ``needs_folder=False`` a missing folder is accepted: an optional output must not stop the work.
    """
    if path is None:
        return
    target = Path(path)
    said = f"{option} {target}"
    if len(target.name.encode(errors="surrogateescape")) > MOST_NAME_BYTES:
        raise ValueError(f"{said}: the name has more than {MOST_NAME_BYTES} bytes")
    if needs_folder and not target.parent.is_dir():
        raise ValueError(f"{said}: there is no folder {target.parent}")
    if target.is_dir():
        raise ValueError(f"{said}: that is a folder; needs the path of a file")
    for what, other in inputs.items():
        if other is not None and _same(target, Path(other)):
            raise ValueError(f"{said}: that is {what}, which would be overwritten; choose another file")
    if not target.exists():
        return
    if not target.is_file():
        raise ValueError(f"{said}: that is a pipe, a socket or a device; needs the path of a regular file")
    if not force:
        raise ValueError(f"{said}: the file exists; --force replaces it")


def _same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()
