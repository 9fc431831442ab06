"""Large samples in a file, for the engines whose workers can read files of this process."""

from __future__ import annotations

from pathlib import Path

from fastmlp.distributing.data import MOST_IN_A_TASK, Data, FileOfData, SentData, write_data


class WithFiles:
    """Sends large samples through a file that all workers of this machine, or of a shared folder, can read."""

    tasks_a_slot = 2

    def __init__(self) -> None:
        self._files: list[str] = []

    def send(self, data: Data, inside: bool = False, file: FileOfData | None = None) -> SentData:
        if inside or data.nbytes <= MOST_IN_A_TASK:
            return data
        if file is None:
            file = write_data(data)
            self._files.append(file.path)
        return file

    def close(self) -> None:
        for path in self._files:
            Path(path).unlink(missing_ok=True)
