"""Floor 2: evaluation. How good is recognition on a pack, what may be relied on, and what would make it better?

    evaluate(pack, labelled) -> Evaluation -> as_json() | table | page

`evaluation` is the whole, `outcomes` the table of judged turns that every measure reads, `measures` the plain numbers,
`tasks` the view task by task, `suggestions` and `growth` what to do about a pack, `labelled` and `against` data from
elsewhere. `table` shows people an evaluation on a terminal, `page` as a file for a browser with the plots of `plots`.
"""

from router.evaluate.evaluation import Evaluation, evaluate
from router.evaluate.labelled import LabelError, Labelled, read_labelled
from router.evaluate.page import page
from router.evaluate.table import table

__all__ = ["Evaluation", "LabelError", "Labelled", "evaluate", "page", "read_labelled", "table"]
