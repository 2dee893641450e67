"""Floor 1: packs. YAML in, an immutable `Policy` out; schema, lint and pack tests.

`load_pack` reads a folder or a file into a `Pack`, or raises PolicyError with every fault it found; `read_pack` returns
what it could read as well; `check` looks for what should not stay so, `losses` for what would be gone with one pack in
place of another; `judge` compares a decision with what a test of the pack expects. `Archive` keeps the files of the
revisions that were served, `bundle` those of one as a text.
"""

from router.packs.bundle import bundle, unbundle
from router.packs.lint import at_a_glance, check
from router.packs.lint.common import Finding
from router.packs.load import Archive, Pack, load_pack, read_pack
from router.packs.losses import empty_files, losses
from router.packs.trial import Expected, Mismatch, PackTest, judge

__all__ = [
    "Archive",
    "Expected",
    "Finding",
    "Mismatch",
    "Pack",
    "PackTest",
    "at_a_glance",
    "bundle",
    "check",
    "empty_files",
    "judge",
    "load_pack",
    "losses",
    "read_pack",
    "unbundle",
]
