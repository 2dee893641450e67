"""Floor 1: recognition. Which task of the tree does a user turn ask for, and how sure are we?

    text -> scores over the classes -> belief along the conversation -> mass of every node of the tree

The classes are the tasks that have examples, "none of these", and "goes on with what was said before". A linear
softmax model is fitted to the examples by scikit-learn in a process of its own (`recogniser_for(..., isolated=True)`),
calibrated out of fold, and kept as an `Artefact` on disk. Serving reads the artefact with numpy alone: the serving
process never imports scikit-learn or scipy.

What is where, along the line:

- a text: `text` splits it and mends slips, `cleaning` leaves the user's own words, `small_talk` knows greetings and
  `answers` what goes on with the task at hand;
- features: `encoder` is the port, `blocks` what a model is made of: `lexical` (words), `static` (what they mean), the
  structure of a message, `vectors` of stronger encoders (`sentence_encoder`, `remote`), `cascade` (two models);
- what serves: `artefact` (the file), `recogniser`, `belief` (along the conversation, over the tree);
- `fit/`: everything that makes an artefact, and nothing that serves;
- `loading`: from the cache or freshly fitted.
"""

from router.classify.artefact import Artefact
from router.classify.fit.fitting import CrossValidation, cross_validate, fit_policy
from router.classify.loading import recogniser_for
from router.classify.recogniser import LinearRecogniser

__all__ = ["Artefact", "CrossValidation", "LinearRecogniser", "cross_validate", "fit_policy", "recogniser_for"]
