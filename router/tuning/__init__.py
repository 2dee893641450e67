"""What moves the levels: how a trial is tested, which level the next conversation gets, and what the tuner decides.

Pure: outcomes, policy, log and clock go in; evidence, shares and events come out. numpy only, no I/O, no randomness.

* `sequential_test` certifies: is the challenger better, not worse, or harmful? Valid however often one looks.
  `comparison` is its arithmetic.
* `allocation` explores: which level is worth a trial, and how many units should get it? May guess, binds nothing.
* `level_state` is the state of the dials: a fold over the tuner's log, what people say of them included.
* `candidates` are what there is to try, and why a task must wait.
* `tuner` says what happens next: events to be appended to the log.
* `words` and `forecast` say all of it to people.
* `intervals` and `value` estimate what a challenger gains, and what another policy would have been worth.
"""
