"""Floor 1: cues. Declared cues from headers and metadata; detectors for language, complexity and follow-ups."""

from router.cues.reader import DeclaredCues

__all__ = ["DeclaredCues"]
