"""A pack as one text, to be kept in a database and taken out of it elsewhere: its files as in the archive, zipped."""

from __future__ import annotations

import base64
import os
import zipfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from router.packs.load import Archive, Pack


def bundle(path: Path, pack: Pack) -> str:
    """Return the files of a pack that was loaded from `path`. Raises OSError."""
    written = BytesIO()
    with TemporaryDirectory() as folder, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as packed:
        archive = Archive(Path(folder))
        archive.keep(path, pack)
        kept = archive.find(pack.policy.name, pack.policy.revision)
        if kept is None:
            raise OSError(f"the files of {path} cannot be copied")
        root = Path(folder) / pack.policy.name / pack.policy.revision
        for file in sorted(each for each in root.rglob("*") if each.is_file()):
            packed.write(file, file.relative_to(root).as_posix())
    return base64.b64encode(written.getvalue()).decode()


def unbundle(text: str, folder: Path, name: str, revision: str) -> None:
    """Put a bundled revision into the folder of an archive, unless it is there. Raises OSError and ValueError."""
    kept = folder / name / revision
    if kept.exists():
        return
    unfinished = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(BytesIO(base64.b64decode(text))) as packed:
            packed.extractall(unfinished)
    except zipfile.BadZipFile as error:
        raise ValueError(f"the files of revision {revision} are damaged") from error
    os.utime(unfinished, (0, 0))  # it was not served: what was taken up last is another
    unfinished.rename(kept)
