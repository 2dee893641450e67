"""Reading the files of a pack, within limits.

Only regular files are read, only inside the pack they belong to, links followed and judged by where they end. A file
holds at most 1 MiB of UTF-8; one load reads at most 2,000 files and 5 MiB, packs that it extends included.
"""

from __future__ import annotations

import stat
from pathlib import Path

from router.core.errors import Fault, PolicyError

MAX_FILE_BYTES = 1 << 20
MAX_PACK_BYTES = 5 << 20
MAX_FILES = 2_000


class PackFiles:
    """Reads the files of one load, counts them and remembers them.

    `seen` holds every file and folder to watch, a file that was read with its content.
    """

    def __init__(self) -> None:
        self.seen: dict[Path, bytes | None] = {}
        self._number = 0
        self._bytes = 0

    def read(self, path: Path, grounds: Path, faults: list[Fault], asked: tuple[str, int] | None = None) -> str | None:
        """Return the text of a file inside `grounds` (a resolved folder), or None with a Fault appended.

        `asked` is the place that names the file, where faults about its absence belong; without it, the file itself.
        Raises PolicyError when the load as a whole has become too large.
        """
        name, line = asked or (str(path), 1)
        try:
            real = path.resolve(strict=True)
            regular = stat.S_ISREG(real.stat().st_mode)
        except (OSError, RuntimeError, ValueError):  # missing; a loop of links; a NUL in the name
            faults.append(Fault(name, line, f"there is no file {path}", "names are relative to the file they stand in"))
            return None
        if not real.is_relative_to(grounds):
            faults.append(Fault(name, line, f"{path} leads out of the pack", "copy the file into the pack"))
            return None
        if not regular:
            faults.append(Fault(name, line, f"{path} is not a regular file"))
            return None
        try:
            with real.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            faults.append(Fault(name, line, f"{path} cannot be read: {error.strerror}"))
            return None
        self._count(path, content)
        if len(content) > MAX_FILE_BYTES:
            faults.append(Fault(str(path), 1, "the file is larger than 1 MiB", "split it into several tasks or files"))
            return None
        return _decode(content, str(path), faults)

    def watch(self, folder: Path) -> None:
        """Remember a folder whose list of files matters."""
        self.seen[folder] = None

    def _count(self, path: Path, content: bytes) -> None:
        self.seen[path] = content
        self._number += 1
        self._bytes += len(content)
        if self._number > MAX_FILES:
            raise PolicyError([Fault(str(path), 1, f"the pack has more than {MAX_FILES:,} files", "split the pack")])
        if self._bytes > MAX_PACK_BYTES:
            hint = "split the pack, or keep fewer examples: some dozens a task are plenty"
            raise PolicyError([Fault(str(path), 1, "the pack is larger than 5 MiB in total", hint)])


def _decode(content: bytes, name: str, faults: list[Fault]) -> str | None:
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        faults.append(Fault(name, line, "the file is not UTF-8", "save it with the encoding UTF-8"))
        return None
