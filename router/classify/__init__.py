"""Floor 1: recognition. Which task of the tree does a user turn ask for, and how sure are we?

    text -> scores over the classes -> belief along the conversation -> mass of every node of the tree

The classes are the tasks that have examples, "none of these", and "goes on with what was said before". A linear
softmax model is fitted to the examples by scikit-learn in a process of its own (`recogniser_for(..., isolated=True)`),
calibrated out of fold, and kept as an `Artefact` on disk. Serving reads the artefact with numpy alone: the serving
process never imports scikit-learn or scipy.

What is where: `text` cleans and splits, `encoder` is the port that turns texts into features, `lexical` its one
implementation, `regression` the solver, `calibration` the temperature and the thresholds, `filtering` the conversation,
`mass` the tree, `fitting` the whole fit, `artefact` the file, `recogniser` what serves, `loading` the way in.
"""

from router.classify.artefact import Artefact
from router.classify.fitting import fit
from router.classify.loading import recogniser_for
from router.classify.recogniser import LinearRecogniser

__all__ = ["Artefact", "LinearRecogniser", "fit", "recogniser_for"]
