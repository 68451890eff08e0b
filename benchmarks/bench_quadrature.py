"""Training a one-hidden-layer score by quadrature and by Monte Carlo, on the same loss and clock.

The model is that of paper B, eq. (71), with the output layer depending on time. By quadrature the
loss is exact: its output layer is solved for in closed form, and L-BFGS may fit the hidden layer
too. Monte Carlo trains all of it by Adam with fresh noise at every step; it is given several
learning rates and lengths with a cosine decay, and in each row the best of them, with hindsight.
Both are judged by the exact loss, evaluated while the clock stands still.

The clock counts processor seconds of this process, so that other work on the machine does not
change the figures. Where a second core is free, quadrature takes less by the clock on the wall and
Monte Carlo, whose steps are small, does not; run with OMP_NUM_THREADS=1 to leave that out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
import torch
from skorch.callbacks import Callback, LRScheduler

from sklearn_diffusion.datasets import load_sp500_returns
from sklearn_diffusion.diffusion import HermiteUnits, NetworkDenoiser, VariancePreserving
from sklearn_diffusion.nets import HiddenLayerNetwork
from sklearn_diffusion.training.loop import fit_monte_carlo
from sklearn_diffusion.training.loss import DenoisingLoss
from sklearn_diffusion.training.quadrature import QuadratureObjective

N_DAYS, N_UNITS, N_HERMITE, N_TIMES, T_MIN = 2500, 64, 12, 24, 0.005
LBFGS_ITERATIONS = (2, 5)
BATCH_SIZE = 256
LEARNING_RATES = (3e-3, 1e-2)
EPOCHS = (50, 100, 150, 200, 400)


@dataclass
class Problem:
    """The network at its random start, its data and its exact loss."""

    dtype: torch.dtype
    network: HiddenLayerNetwork = field(init=False)
    denoiser: NetworkDenoiser = field(init=False)
    objective: QuadratureObjective = field(init=False)

    def __post_init__(self) -> None:
        returns = load_sp500_returns().iloc[-N_DAYS:]
        z = torch.from_numpy(((returns - returns.mean()) / returns.std()).to_numpy())
        x_0 = z.to(self.dtype)
        schedule = VariancePreserving([1.0], 0.0, t_max=0.9999)
        times = schedule.times(N_TIMES - 1, t_min=T_MIN, spacing="log_snr").flip(0).to(x_0)
        self.network = HiddenLayerNetwork(
            x_0.shape[1],
            N_UNITS,
            HermiteUnits(n_nodes=N_HERMITE),
            times / schedule.t_max,
            skip=True,
            generator=torch.Generator().manual_seed(0),
        )
        self.denoiser = NetworkDenoiser(self.network, schedule, "epsilon")
        self.objective = QuadratureObjective(
            self.network,
            True,
            schedule,
            x_0,
            torch.full_like(x_0[:, 0], 1 / N_DAYS),
            times,
            torch.full_like(times, 1 / N_TIMES),
        )


class LossByTime(Callback):
    """Exact loss at times 20 % apart; its own evaluation is left out of them."""

    def __init__(self, exact_loss: Callable[[], float]):
        self.exact_loss = exact_loss

    def on_train_begin(self, net: object, **kwargs: object) -> None:
        self.curve: list[tuple[float, float]] = []
        self.seconds, self.next, self.began = 0.0, 1.0, time.process_time()

    def on_epoch_end(self, net: object, **kwargs: object) -> None:
        self.seconds += time.process_time() - self.began
        if self.seconds >= self.next:
            self.curve.append((self.seconds, self.exact_loss()))
            self.next = 1.2 * self.seconds
        self.began = time.process_time()

    def on_train_end(self, net: object, **kwargs: object) -> None:
        self.curve.append((self.seconds, self.exact_loss()))


def train_by_quadrature(max_iter: int) -> tuple[float, float]:
    """Seconds and exact loss."""
    problem = Problem(torch.float64)
    began = time.process_time()
    loss = problem.objective.minimize(max_iter, tol=0.0)[-1]
    return time.process_time() - began, loss


def train_by_monte_carlo(lr: float, epochs: int) -> list[tuple[float, float]]:
    """Seconds and exact loss through training, in single precision, which is faster."""
    problem, exact = Problem(torch.float32), Problem(torch.float64)

    def exact_loss() -> float:
        exact.network.load_state_dict(problem.network.state_dict())
        return exact.objective.loss()

    objective = problem.objective
    times = objective.times

    def draw_node(u: torch.Tensor) -> torch.Tensor:
        """Times of the exact rule alone, so that both minimise the same loss."""
        return times[(u * len(times)).long()]

    clock = LossByTime(exact_loss)
    fit_monte_carlo(
        DenoisingLoss(problem.denoiser, draw_node, 0, "epsilon"),
        objective.x_0,
        objective.weights,
        max_epochs=epochs,
        batch_size=BATCH_SIZE,
        lr=lr,
        callbacks=[clock, LRScheduler("CosineAnnealingLR", T_max=epochs)],
    )
    return clock.curve


def main() -> None:
    """Print the table."""
    train_by_quadrature(0)  # first calls are slow
    by_quadrature = {
        "closed-form output layer": train_by_quadrature(0),
        **{f"L-BFGS, {n} iterations": train_by_quadrature(n) for n in LBFGS_ITERATIONS},
    }
    points: list[tuple[float, float]] = []
    for lr in LEARNING_RATES:
        for epochs in EPOCHS:
            curve = train_by_monte_carlo(lr, epochs)
            points += curve
            seconds, loss = curve[-1]
            print(
                f"Monte Carlo, lr {lr:g}, {epochs} epochs: {loss:.4f} in {seconds:.1f} s",
                flush=True,
            )

    longest = max(seconds for seconds, _ in points)
    rows = {}
    for name, (seconds, loss) in by_quadrature.items():
        reached = min((s for s, value in points if value <= loss), default=None)
        equal = [value for s, value in points if s <= seconds]
        rows[name] = {
            "loss": f"{loss:.4f}",
            "CPU s": f"{seconds:.2f}",
            "Monte Carlo's CPU s to that loss": (
                f"{reached:.1f}" if reached else f"> {longest:.0f}"
            ),
            "ratio": f"{reached / seconds:.1f}" if reached else f"> {longest / seconds:.1f}",
            "Monte Carlo's loss in equal time": f"{min(equal):.4f}" if equal else "",
        }
    print(pd.DataFrame(rows).T.to_string())


if __name__ == "__main__":
    main()
