"""What `check` looks for: one file for each kind of question, each rule a function from a pack to its findings."""
