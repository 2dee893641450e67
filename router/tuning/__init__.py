"""What moves the levels: how a trial bets, which level the next conversation gets, and what the tuner decides.

Pure: outcomes, policy, log and clock go in; evidence, shares and events come out. numpy only, no I/O, no randomness.

* `betting` certifies: is the challenger better, not worse, or harmful? Valid however often one looks. `wealth` is its
  arithmetic; `paths` does it for whole runs at once.
* `allocation` explores: which level is worth a trial, and how many units should get it? May guess, binds nothing.
* `book` says how the dials stand: a fold over the tuner's log.
* `survey` says what there is to try, and why a task must wait.
* `tuner` says what happens next: events to be appended to the log. `persons` makes events of what people say.
* `words` and `forecast` say all of it to people.
* `value` and `intervals` estimate what another policy would have been worth.
"""
