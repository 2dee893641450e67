"""Floor 1: wire formats. Pure: parse a body, weave a mix into it, watch a stream, shape an error."""
