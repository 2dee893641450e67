"""Floor 1: stores. Where traces are kept."""
