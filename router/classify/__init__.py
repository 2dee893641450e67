"""Floor 1: recognition. Fit from examples, fast numpy inference, calibration, the conversation filter."""
