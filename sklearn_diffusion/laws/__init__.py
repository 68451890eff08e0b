"""Laws of standardised returns: what an estimator fits and samples.

Each law is fitted to an (n, d) array in z-scored units and samples in the same units; the
estimators around them own validation, units and conditioning by name.
"""
