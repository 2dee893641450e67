"""Floor 0: what things are and what follows from them.

Nothing here does I/O, reads a clock, draws a random number, looks at the environment, logs or awaits. Whatever a
decision depends on arrives as an argument, so that `explain`, `test`, `plan` and the proxy run the very same function.
"""
