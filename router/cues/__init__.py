"""Floor 1: cues. Declared cues from headers and metadata; detectors for language, complexity and follow-ups."""

from router.cues.reader import DeclaredCues, reader_for

__all__ = ["DeclaredCues", "reader_for"]
