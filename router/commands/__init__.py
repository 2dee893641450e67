"""The command line: `router serve`, `explain`, `check`, `test`, `evaluate`, `doctor`, `audit`, `tune` and the rest."""
