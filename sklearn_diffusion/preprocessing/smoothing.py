"""Implied-volatility surfaces on a fixed grid, smoothed from each day's option quotes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing.kernels import (
    DayQuotes,
    kernel_surface,
    linear_surface,
    select_moneyness_bandwidth,
    select_tenor_bandwidth,
    split_days,
    traded_range,
)
from sklearn_diffusion.preprocessing.quotes import CleanQuotes, clean_option_quotes
from sklearn_diffusion.utils.parameters import Count
from sklearn_diffusion.utils.refit import all_or_nothing

__all__ = ["SurfaceSmoother"]


class SurfaceSmoother(TransformerMixin, BaseEstimator):
    r"""Smooth option quotes into implied-volatility surfaces on a grid.

    Every day stands for itself: a surface uses that day's quotes alone. Fitting chooses the
    bandwidths; surfaces of later days can then be made with the bandwidths of the training days.

    Two methods, with sigma_i the implied volatilities at moneyness m_i and tenor tau_i:

    ``"nadaraya_watson"``
        The vega-weighted kernel average of Jin and Agarwal, eqs. (27)-(28),

        .. math::

            \hat\sigma(m, \tau) = \frac{\sum_i v_i \, k(m_i - m, \tau_i - \tau) \, \sigma_i}
            {\sum_i v_i \, k(m_i - m, \tau_i - \tau)}, \qquad
            k(x, y) = \exp\left(-\frac{x^2}{2 h_1} - \frac{y^2}{2 h_2}\right),

        whose bandwidths h_1, h_2 are variances and v_i vegas.
    ``"local_linear"``
        For each expiry, a vega-weighted local linear regression of log sigma on log m (kernel
        variance h_1): unlike an average it is not biased where the smile is steep, the edges above
        all.
        Between expiries, total variance is interpolated linearly in tau.

    Outside the traded range, the local linear smile keeps its slope for as far as its last two
    steps between strikes and is flat from there on, and the kernel average approaches the
    volatility of the nearest quote; ``mask_`` says where, and ``extrapolate=False`` puts NaN there.

    Parameters
    ----------
    grid : SurfaceGrid
        Where to estimate the surfaces.
    method : {"local_linear", "nadaraya_watson"}, default="local_linear"
        The estimator. Notes say what each costs.
    bandwidth_moneyness : float or "auto", default="auto"
        Kernel variance h_1 in moneyness. The paper's 0.002 suits strikes 4 to 5 % apart and is too
        smooth for denser ones. "auto" is the value, on a scale set by the typical distance of
        neighbouring strikes, with the smallest vega-weighted squared relative error when each quote
        between others is predicted from the rest of its expiry.
    bandwidth_tenor : float or "auto", default="auto"
        Kernel variance h_2 in tenor, in years squared, of ``method="nadaraya_watson"``; the paper's
        is 0.046. "auto" is chosen likewise: each expiry between two others is predicted from the
        rest, and the best standard deviation halved, for leaving an expiry out doubles the distance
        to its neighbours. The local linear method has none, and refuses a number.
    moneyness : {"forward", "spot"}, default="forward"
        Whether moneyness is K/F, of each expiry's forward, or K/S as in the paper. The latter
        needs a column ``spot`` in the quotes.
    forward : {"parity", "spot", "column"}, default="parity"
        Forward prices from put-call parity (see `sklearn_diffusion.pricing.parity_forwards`), from
        the column ``spot`` as S exp(rate * tau), or from a column ``forward``.
    volatility : {"price", "column"}, default="price"
        Implied volatilities by inverting Black's formula, or from a column ``impl_volatility``.
    rate : float or "parity", default=0.0
        Continuously compounded interest rate per year; "parity" infers that of each day from
        put-call parity (see `sklearn_diffusion.pricing.parity_rates`). A warning tells where parity
        says another rate than the one given.
    volatility_range : (float, float), default=(0.005, 5.0)
        Volatilities outside are left out as placeholders or errors, and counted.
    days_per_year : float, default=365.0
        Calendar days in a year, to turn expiries into tenors.
    min_days : int, default=1
        Smallest number of calendar days to expiry of a quote that counts.
    otm_only : bool, default=True
        Keep out-of-the-money quotes only: puts with moneyness <= 1 and calls with moneyness >= 1.
    drop_zero_volume : bool, default=True
        Leave out quotes without trades, if the quotes have a column ``volume``.
    drop_zero_bid : bool, default=True
        Leave out quotes that nobody bids for, if the quotes have a column ``bid``. Half their ask
        is no price: far from the money it is the volatility of the tick size.
    parity_tolerance : float or None, default=0.02
        Leave out both sides of a strike whose own parity forward is further than this from its
        expiry's forward, relatively. None keeps them.
    extrapolate : bool, default=True
        Whether cells outside the day's traded range get a value. If False, they are NaN.
    min_quotes : int, default=5
        Fewest quotes, after all filters, that make a surface. A day on which more quotes violate
        parity than are kept makes none either: its forwards are not to be trusted.
    on_sparse_day : {"raise", "drop"}, default="raise"
        What to do with a day that makes no surface: raise an error that names it, or leave it out.

    Attributes
    ----------
    bandwidth_moneyness_ : float
        The h_1 used.
    bandwidth_tenor_ : float or None
        The h_2 used; None with ``method="local_linear"``.
    dates_ : DatetimeIndex of shape (n_days,)
        Days of the surfaces last made.
    mask_ : ndarray of bool, shape (n_days, n_cells)
        True where a cell of the surfaces last made is inside the day's traded range: both expiries
        around its tenor have quotes at lower and at higher moneyness.
    report_ : DataFrame, indexed by date
        What became of each day's quotes (see `CleanQuotes`), the number of
        ``cells_outside`` the traded range, and whether the day was ``smoothed``.
    forwards_ : DataFrame, indexed by (date, expiry)
        The forward prices used, and how well parity holds.
    spot_ : Series of shape (n_days,), indexed by date
        Price of the underlying: the quotes' column ``spot``, or else the forward of the day's
        nearest expiry, discounted at ``rate``.

    Notes
    -----
    ``dates_``, ``mask_``, ``report_``, ``forwards_`` and ``spot_`` describe the quotes last
    transformed, and so change at each call of `transform`.

    The default is what predicts quotes best. Mean absolute errors in volatility points, on 300 days
    after those that chose the bandwidths, of out-of-the-money quotes left out one at a time or an
    expiry at a time; the S&P 500 panel has surfaces only, whose cells stand for quotes:

    ================================  ============  ==============  ======================
    left out                          local linear  kernel average  the paper's bandwidths
    ================================  ============  ==============  ======================
    SSE 50, between other strikes     0.28          2.10            2.98
    SSE 50, an outermost strike       0.71          4.35            5.82
    SSE 50, an expiry                 0.91          2.74            1.56
    S&P 500, between other strikes    0.02          0.20            0.33
    S&P 500, an outermost strike      0.10          0.58            1.26
    S&P 500, an expiry                0.26          0.26            0.47
    ================================  ============  ==============  ======================

    The SSE 50 surfaces (1680 days, 7 x 4) have a mean arbitrage penalty of 0.029, 0.063 and 0.000:
    the paper's bandwidths smooth the smile away, and with it the arbitrage.

    The input is a table of quotes and the output has one row per day, not per quote, so
    scikit-learn's checks of array estimators do not apply; parameters, cloning, pickling and
    ``set_output`` work as usual.

    References
    ----------
    C. Jin and A. Agarwal, "Forecasting implied volatility surface with generative diffusion
    models", arXiv 2511.07571, section 5.1.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_diffusion.grid import SurfaceGrid
    >>> from sklearn_diffusion.preprocessing import SurfaceSmoother
    >>> from sklearn_diffusion.pricing import black_price
    >>> quotes = pd.MultiIndex.from_product(
    ...     [pd.to_datetime(["2024-01-02"]), pd.to_datetime(["2024-02-02", "2024-04-02"]),
    ...      [True, False], [80.0, 90.0, 100.0, 110.0, 120.0]],
    ...     names=["date", "expiry", "is_call", "strike"],
    ... ).to_frame(index=False)
    >>> tau = (quotes["expiry"] - quotes["date"]).dt.days / 365
    >>> quotes["price"] = black_price(100, quotes["strike"], tau, 0.2, is_call=quotes["is_call"])
    >>> smoother = SurfaceSmoother(SurfaceGrid([0.9, 1.0, 1.1], [0.1, 0.2]))
    >>> smoother.fit_transform(quotes).round(6).iloc[0].tolist()
    [0.2, 0.2, 0.2, 0.2, 0.2, 0.2]
    >>> smoother.report_[["quotes", "kept", "in_the_money"]].iloc[0].tolist()
    [20, 12, 8]
    """

    _parameter_constraints: dict = {
        "grid": [SurfaceGrid],
        "method": [StrOptions({"local_linear", "nadaraya_watson"})],
        "bandwidth_moneyness": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "bandwidth_tenor": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "moneyness": [StrOptions({"forward", "spot"})],
        "forward": [StrOptions({"parity", "spot", "column"})],
        "volatility": [StrOptions({"price", "column"})],
        "rate": [StrOptions({"parity"}), Interval(Real, -1, 1, closed="neither")],
        "volatility_range": [tuple, list],
        "days_per_year": [Interval(Real, 1, 1000, closed="both")],
        "min_days": [Count()],
        "otm_only": ["boolean"],
        "drop_zero_volume": ["boolean"],
        "drop_zero_bid": ["boolean"],
        "parity_tolerance": [None, Interval(Real, 0, None, closed="neither")],
        "extrapolate": ["boolean"],
        "min_quotes": [Count()],
        "on_sparse_day": [StrOptions({"raise", "drop"})],
    }

    def __init__(
        self,
        grid: SurfaceGrid,
        *,
        method: Literal["local_linear", "nadaraya_watson"] = "local_linear",
        bandwidth_moneyness: float | Literal["auto"] = "auto",
        bandwidth_tenor: float | Literal["auto"] = "auto",
        moneyness: Literal["forward", "spot"] = "forward",
        forward: Literal["parity", "spot", "column"] = "parity",
        volatility: Literal["price", "column"] = "price",
        rate: float | Literal["parity"] = 0.0,
        volatility_range: tuple[float, float] = (0.005, 5.0),
        days_per_year: float = 365.0,
        min_days: int = 1,
        otm_only: bool = True,
        drop_zero_volume: bool = True,
        drop_zero_bid: bool = True,
        parity_tolerance: float | None = 0.02,
        extrapolate: bool = True,
        min_quotes: int = 5,
        on_sparse_day: Literal["raise", "drop"] = "raise",
    ) -> None:
        self.grid = grid
        self.method = method
        self.bandwidth_moneyness = bandwidth_moneyness
        self.bandwidth_tenor = bandwidth_tenor
        self.moneyness = moneyness
        self.forward = forward
        self.volatility = volatility
        self.rate = rate
        self.volatility_range = volatility_range
        self.days_per_year = days_per_year
        self.min_days = min_days
        self.otm_only = otm_only
        self.drop_zero_volume = drop_zero_volume
        self.drop_zero_bid = drop_zero_bid
        self.parity_tolerance = parity_tolerance
        self.extrapolate = extrapolate
        self.min_quotes = min_quotes
        self.on_sparse_day = on_sparse_day

    @classmethod
    def paper(cls, grid: SurfaceGrid | None = None) -> SurfaceSmoother:
        """Return the smoother of Jin and Agarwal: kernel average in K/S, h_1 .002 and h_2 .046.

        Parameters
        ----------
        grid : SurfaceGrid, default=None
            None is the paper's 9 x 9 grid.

        Returns
        -------
        SurfaceSmoother
            Not fitted; moneyness is K/S.
        """
        return cls(
            SurfaceGrid.paper() if grid is None else grid,
            method="nadaraya_watson",
            bandwidth_moneyness=0.002,
            bandwidth_tenor=0.046,
            moneyness="spot",
            drop_zero_bid=False,
            parity_tolerance=None,
        )

    @all_or_nothing
    def fit(self, quotes: pd.DataFrame, y: object = None) -> SurfaceSmoother:
        """Choose the bandwidths.

        Parameters
        ----------
        quotes : DataFrame
            A table of quotes, as returned by `sklearn_diffusion.datasets.load_option_quotes`.
        y : None
            Ignored.

        Returns
        -------
        SurfaceSmoother
            The smoother itself.
        """
        self._fit(quotes)
        return self

    @all_or_nothing
    def fit_transform(self, quotes: pd.DataFrame, y: object = None) -> pd.DataFrame:
        """Choose the bandwidths and make the surfaces of the same quotes.

        **Bandwidths left to "auto" see all of these quotes**, so that surfaces of early days depend
        a little on later ones (by up to 1 % where the later ones are distorted). For a backtest,
        `fit` on the training days and `transform` the whole history, or give the bandwidths.

        Parameters
        ----------
        quotes : DataFrame
            A table of quotes.
        y : None
            Ignored.

        Returns
        -------
        DataFrame of shape (n_days, n_cells)
            As returned by `transform`.
        """
        return self._surfaces(self._fit(quotes))

    @all_or_nothing
    def transform(self, quotes: pd.DataFrame) -> pd.DataFrame:
        """Make one surface per day.

        Parameters
        ----------
        quotes : DataFrame
            A table of quotes.

        Returns
        -------
        DataFrame of shape (n_days, n_cells)
            Implied volatilities as decimals, indexed by date, with the grid's cell names as
            columns.
        """
        check_is_fitted(self)
        return self._surfaces(self._clean(quotes))

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Names of the output columns: the grid's cells.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str objects
        """
        return self.grid.cell_names

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # A table of quotes is no array of samples: this leaves out the checks that pass one.
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit(self, quotes: pd.DataFrame) -> CleanQuotes:
        is_linear = self.method == "local_linear"
        if is_linear and self.bandwidth_tenor != "auto":
            raise ValueError(
                f"bandwidth_tenor={self.bandwidth_tenor} is of the kernel average: it needs "
                "method='nadaraya_watson', while method='local_linear' has no bandwidth in tenor."
            )
        clean = self._clean(quotes)
        days = [day for _, day in split_days(self._dense_points(clean))]

        h1, h2 = self.bandwidth_moneyness, self.bandwidth_tenor
        self.bandwidth_moneyness_ = (
            select_moneyness_bandwidth(days, linear=is_linear) if h1 == "auto" else h1
        )
        if is_linear:
            self.bandwidth_tenor_ = None
        else:
            self.bandwidth_tenor_ = (
                select_tenor_bandwidth(days, self.bandwidth_moneyness_) if h2 == "auto" else h2
            )
        return clean

    def _clean(self, quotes: pd.DataFrame) -> CleanQuotes:
        return clean_option_quotes(
            quotes,
            moneyness=self.moneyness,
            forward=self.forward,
            volatility=self.volatility,
            rate=self.rate,
            volatility_range=self.volatility_range,
            days_per_year=self.days_per_year,
            min_days=self.min_days,
            otm_only=self.otm_only,
            drop_zero_volume=self.drop_zero_volume,
            drop_zero_bid=self.drop_zero_bid,
            parity_tolerance=self.parity_tolerance,
        )

    def _dense_points(self, clean: CleanQuotes) -> pd.DataFrame:
        """Quotes of the days that make a surface; raise on the others as `on_sparse_day` says."""
        report = clean.report
        is_sparse = (report["kept"] < self.min_quotes) | (
            report["kept"] < report["parity_violation"]
        )
        if is_sparse.all() or (is_sparse.any() and self.on_sparse_day == "raise"):
            raise ValueError(self._describe_sparse_days(report[is_sparse]))
        return clean.points[~clean.points["date"].map(is_sparse)]

    def _surfaces(self, clean: CleanQuotes) -> pd.DataFrame:
        dates, days = zip(*split_days(self._dense_points(clean)), strict=True)
        surfaces = np.array([self._surface(day) for day in days])
        mask = np.array([traded_range(day, self.grid) for day in days])

        self.dates_ = pd.DatetimeIndex(dates, name="date")
        self.mask_ = self.grid.flatten(mask)
        self.forwards_ = clean.forwards
        self.spot_ = clean.spot[self.dates_]
        self._check_reach(days)
        n_outside = pd.Series((~self.mask_).sum(axis=1), index=self.dates_)
        self.report_ = clean.report.assign(
            cells_outside=n_outside.reindex(clean.report.index, fill_value=self.grid.n_cells),
            smoothed=clean.report.index.isin(self.dates_),
        )
        rows = self.grid.flatten(surfaces)
        if not self.extrapolate:
            rows = np.where(self.mask_, rows, np.nan)
        return pd.DataFrame(rows, index=self.dates_, columns=self.grid.cell_names)

    def _check_reach(self, days: Sequence[DayQuotes]) -> None:
        """Refuse a grid that none of the days' quotes come near, as in other units."""
        if self.mask_.any():
            return
        moneyness = np.concatenate([day.moneyness for day in days])
        tenors = np.concatenate([day.tenor for day in days])
        for name, axis, values in (
            ("moneyness", self.grid.moneyness, moneyness),
            ("tenors", self.grid.tenors, tenors),
        ):
            if axis.min() > 3 * values.max() or 3 * axis.max() < values.min():
                raise ValueError(
                    f"the grid's {name}, {axis.min():g} to {axis.max():g}, are far from "
                    f"those of the quotes, {values.min():.3g} to {values.max():.3g}: moneyness is "
                    "K/F or K/S, and tenors are in years."
                )
        warnings.warn(
            "no cell of the grid lies inside the traded range of any day: all surfaces are "
            "extrapolated.",
            UserWarning,
            stacklevel=3,
        )

    def _surface(self, day: DayQuotes) -> NDArray[np.float64]:
        if self.bandwidth_tenor_ is None:
            return linear_surface(day, self.grid, self.bandwidth_moneyness_)
        return kernel_surface(day, self.grid, self.bandwidth_moneyness_, self.bandwidth_tenor_)

    def _describe_sparse_days(self, report: pd.DataFrame) -> str:
        days = [
            f"{date:%Y-%m-%d} ({row['kept']} of {row['quotes']})"
            for date, row in report.head(5).iterrows()
        ]
        more = ", ..." if len(report) > 5 else ""
        reasons = report.drop(columns=["quotes", "kept"]).sum()
        causes = ", ".join(f"{count} {name}" for name, count in reasons.items() if count)
        return (
            f"{len(report)} days have fewer usable quotes than min_quotes={self.min_quotes}, or "
            f"than quotes that violate parity: {', '.join(days)}{more}; "
            f"left out: {causes or 'none'}. "
            f"on_sparse_day='drop' skips such days while others remain."
        )
