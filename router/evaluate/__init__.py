"""Floor 2: evaluation. How good is recognition on a pack, what may be relied on, and what would make it better?

    evaluate(pack, labelled) -> Evaluation -> as_json() | table | page

`evaluation` is the whole, `labelled` reads data from elsewhere, `outcomes` is the table of judged turns that every
measure reads, `measures` are the plain numbers, `summary` all figures of a set of turns and of each task, `suggestions`
what to do about a pack. `table` shows people an evaluation on a terminal, `page` as a file for a browser, with the
plots of `markup` and the words of `wording`."""

from router.evaluate.evaluation import Evaluation, evaluate
from router.evaluate.labelled import LabelError, Labelled, read_labelled
from router.evaluate.page import page
from router.evaluate.table import table

__all__ = ["Evaluation", "LabelError", "Labelled", "evaluate", "page", "read_labelled", "table"]
