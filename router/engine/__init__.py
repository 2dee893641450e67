"""Floor 2: the straight line. parse, observe, decide, weave, send, record. Knows ports, not rooms."""
