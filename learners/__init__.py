"""The learner's mathematics and its use: return estimators, losses, gradients, and the update built of them."""
