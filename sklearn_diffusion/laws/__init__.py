"""Laws of standardised returns: what an estimator fits and samples.

Each law is fitted to an (n, d) array in z-scored units and samples in the same units; the
estimators around them own validation, units and conditioning by name.
"""

from sklearn_diffusion.laws.conditioning import Conditioning
from sklearn_diffusion.laws.stopped import StoppedLaw
from sklearn_diffusion.laws.stopping import fit_stopped_covariance

__all__ = ["Conditioning", "StoppedLaw", "fit_stopped_covariance"]
