"""Floor 1: recognition. Which task of the tree does a user turn ask for, and how sure are we?

    text -> scores over the classes -> belief along the conversation -> mass of every node of the tree

The classes are the tasks that have examples, "none of these", and "goes on with what was said before". A linear
softmax model is fitted to the examples by scikit-learn in a process of its own (`recogniser_for(..., isolated=True)`),
calibrated out of fold, and kept as an `Artefact` on disk. Serving reads the artefact with numpy alone: the serving
process never imports scikit-learn or scipy.

What is where, along the line:

- a text: `text` splits it, `cleaning` leaves the user's own words, `courtesy` knows greetings, `spelling` slips;
- features: `encoder` is the port, `blocks` what a model is made of; `lexical` (words), `embedding` over `static` (what
  they mean), `structure` (how it is built), `sentence_encoder` and `remote` (stronger encoders), `cascade` (both);
- the fit: `material`, `training` (rows), `neighbours`, `selection` (which blocks), `regression` (the solver),
  `calibration`, `certify` (thresholds), `dialogues` (the pace), `fitting` (the whole); `build_static` made the table;
- what serves: `artefact` (the file), `loading`, `recogniser`, `filtering` (the conversation), `parts` (sentences),
  `mass` (the tree).
"""

from router.classify.artefact import Artefact
from router.classify.fitting import Study, fit, study
from router.classify.loading import recogniser_for
from router.classify.recogniser import LinearRecogniser

__all__ = ["Artefact", "LinearRecogniser", "Study", "fit", "recogniser_for", "study"]
