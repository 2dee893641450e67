"""Floor 1: cues. Declared cues from headers and metadata; detectors for language and complexity."""
