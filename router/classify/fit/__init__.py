"""Fitting: from the examples of a pack to an `Artefact`. Nothing that serves imports it.

`training` is what a model is fitted to, `selection` the solver and the choice of blocks, `calibration` makes scores
probabilities, `certify` draws the thresholds, `dialogues` the pace of conversations, `fitting` is the whole.
"""
