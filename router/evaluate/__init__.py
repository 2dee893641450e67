"""Floor 2: evaluation. How good is recognition on a pack, what may be relied on, and what would make it better?

    evaluate(pack, labelled) -> Evaluation -> as_json() | table | page

`evaluation` is the whole, `labelled` reads data from elsewhere, `outcomes` are the judged turns that every measure
reads, `reach` is what they would be sent, at which thresholds, `measures` are the plain numbers, `summary` all figures
of a set of turns and of each task. What to do about a pack: `suggestions` about its examples, `advice` to reach more.
`table` shows people an evaluation on a terminal, `page` as a file for a browser, with the plots of `markup` and the
words of `wording`."""

from router.evaluate.evaluation import Evaluation, evaluate
from router.evaluate.labelled import LabelError, Labelled, read_labelled
from router.evaluate.page import page
from router.evaluate.table import table

__all__ = ["Evaluation", "LabelError", "Labelled", "evaluate", "page", "read_labelled", "table"]
