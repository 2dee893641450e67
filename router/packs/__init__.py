"""Floor 1: packs. YAML in, an immutable `Policy` out; schema, lint and pack tests."""
