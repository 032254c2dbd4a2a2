"""Where measurement deviates from mean-field theory, and which assumption broke there.

A setting, a combination of what the theory reads, parts where more than half of its runs have a total outside the
band. Its cause is the first in the order of `CAUSES` whose condition holds; the conditions read levels and recorded
columns, never the disagreement itself, and the last says that none holds. That training moves the weights is no cause
here: only step 0 is compared (`moved`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binom

from bench.analysis.mean_field import Theory, disagreement
from bench.analysis.tables import Moment, Tables
from bench.theory import DenseNetwork, variance_slope

COVERAGE = 0.95
FLOAT32_LEAST = 1.2e-38  # TensorFlow flushes smaller numbers to 0
ROOM = 10.0  # times that: a gradient so small has numbers that are flushed
MEAN_SHARE = 0.05  # of the mean square of h, that its mean makes up
UNSTABLE = 2.0  # times that a relative error of the first layer's mean square has grown by the last layer
COSINE_GAP = 0.1
DEPTH_SHARE = 0.5


@dataclass(frozen=True)
class Facts:
    """What the conditions read of one setting."""

    network: DenseNetwork
    scaled: bool  # whether all inputs have one mean square
    least: float  # smallest norm of a pre-activation gradient, over the square root of its numbers, per sample
    mean_share: float
    cosine_gap: float
    elasticity: float


@dataclass(frozen=True)
class Cause:
    """An assumption that may break, the rule that says so in words, and the same as a condition."""

    name: str
    rule: str
    holds: Callable[[Facts], bool]


CAUSES: tuple[Cause, ...] = (
    Cause(
        "float32 underflow",
        "a layer's gradient is so small that its numbers are below 1.2·10⁻³⁷, or 0",
        lambda facts: facts.least < ROOM * FLOAT32_LEAST,
    ),
    Cause(
        "batch statistics",
        "batch normalization, whose mean and variance see that samples come in classes and differ in size",
        lambda facts: facts.network.normalization.name == "batch_normalization",
    ),
    Cause(
        "sums of non-zero mean",
        f"a skip connection, and in some layer the mean makes up over {MEAN_SHARE:.0%} of the mean square of h",
        lambda facts: facts.network.skip_layers > 0 and facts.mean_share > MEAN_SHARE,
    ),
    Cause(
        "unstable variance",
        f"a relative error of the mean square grows more than {UNSTABLE:g} times from the first layer to the last: "
        "chi_parallel q / q' above 1",
        lambda facts: facts.elasticity > UNSTABLE,
    ),
    Cause(
        "unequal inputs",
        "inputs differ in mean square: the preprocessing is not unit_mean_square",
        lambda facts: not facts.scaled,
    ),
    Cause(
        "correlated inputs",
        f"the cosine of two samples in the first hidden layer is more than {COSINE_GAP:g} from the predicted",
        lambda facts: facts.cosine_gap > COSINE_GAP,
    ),
    Cause(
        "finite width",
        f"the depth is at least {DEPTH_SHARE:g} of the width: the band is of first order in it",
        lambda facts: facts.network.depth >= DEPTH_SHARE * facts.network.width,
    ),
    Cause("unexplained", "none of these", lambda facts: True),
)


def settings(tables: Tables, theory: Theory, found: pd.DataFrame) -> pd.DataFrame:
    """One row for each setting with a prediction, those that part first, then by the median departure's magnitude.

    Runs that differ only in what the theory does not read, such as clipping, are the same network at step 0: of a
    setting and replicate one run is compared.

    Args:
        tables: what `theory_of` was given.
        theory: what it returned.
        found: what `disagreement` returned.

    Returns:
        setting, run_id (a run of it), network, predicted, low, high (totals, decades), measured and departure (medians
        over replicates), runs (all of the setting), compared, outside (of those compared), layers, layers_inside,
        deviates, cause (empty where it does not).
    """
    drawn = independent_runs(tables, found)
    grouped = drawn.reset_index().groupby("setting", sort=False, observed=True)
    table = grouped.agg(
        run_id=("run_id", "first"), network=("network", "first"), predicted=("predicted", "first"),
        low=("low", "first"), high=("high", "first"), measured=("measured", "median"),
        departure=("departure", "median"), compared=("inside", "size"), inside=("inside", "sum"),
        layers=("layers", "sum"), layers_inside=("layers_inside", "sum"),
    )  # fmt: skip
    sizes = theory.runs.groupby("setting").size()
    table = table.assign(runs=sizes.reindex(table.index), outside=table["compared"] - table.pop("inside").astype(int))
    table = table.assign(deviates=2 * table["outside"] > table["compared"], cause="")
    for setting, facts in _facts(tables, theory, table[table["deviates"]]).items():
        table.loc[setting, "cause"] = next(cause.name for cause in CAUSES if cause.holds(facts))
    ranked = table.assign(_size=table["departure"].abs()).sort_values(
        ["deviates", "_size"], ascending=False, kind="stable"
    )
    return ranked.drop(columns="_size").reset_index()


def independent_runs(tables: Tables, found: pd.DataFrame) -> pd.DataFrame:
    """The rows of `disagreement` with one run for each setting and replicate: what was drawn independently."""
    replicate = tables["runs"].set_index("run_id")["replicate"].reindex(found.index)
    return found[~pd.DataFrame({"setting": found["setting"], "replicate": replicate}).duplicated()]


def expected_by_chance(table: pd.DataFrame) -> float:
    """How many rows of `settings` would part if every band held its nominal share and runs were independent."""
    compared = table["compared"].to_numpy(np.int64)
    return float(binom.sf(compared // 2, compared, 1.0 - COVERAGE).sum())


def moved(start: pd.DataFrame, end: pd.DataFrame) -> pd.DataFrame:
    """Layers in the band at step 0 and at the last recorded step, of the runs that have both: moment, layers, inside.

    Theory speaks of weights as drawn. What leaves the band between the two has been moved by training.

    Args:
        start: `predictions` at the start.
        end: those at the end.
    """
    both = {Moment.START: start, Moment.END: end}
    shared = set(both[Moment.START]["run_id"]) & set(both[Moment.END]["run_id"])
    rows = []
    for moment, frame in both.items():
        kept = disagreement(frame[frame["run_id"].isin(shared) & frame["measured"].notna()])
        rows.append((str(moment), len(kept), int(kept["layers"].sum()), int(kept["layers_inside"].sum())))
    return pd.DataFrame(rows, columns=["moment", "runs", "layers", "layers_inside"])


def _facts(tables: Tables, theory: Theory, deviating: pd.DataFrame) -> dict[int, Facts]:
    """What the conditions read, for each setting that parts."""
    of_run = theory.runs["setting"][theory.runs["setting"].isin(deviating.index) & (theory.runs["reason"] == "")]
    norms, activations = (
        frame[(frame["step"] == 0) & frame["run_id"].isin(of_run.index)].merge(
            of_run, left_on="run_id", right_index=True
        )
        for frame in (tables["gradient_norms"], tables["activations"])
    )
    hidden = norms[norms["layer_name"] != "head"].groupby("setting")["preactivation_grad_norm"].min()
    square = activations["mean"] ** 2 / (activations["mean"] ** 2 + activations["std"] ** 2)
    share = square.groupby(activations["setting"]).max()
    first = activations[activations["layer_index"] == 0].groupby("setting")["pair_correlation"].median()
    predicted = theory.layers[theory.layers["layer_index"] == 0].set_index("network")["pair_correlation"]
    runs = tables["runs"].set_index("run_id")
    scaled = runs["preprocessing"] == "unit_mean_square" if "preprocessing" in runs else pd.Series(False, runs.index)
    found = {}
    for setting, row in deviating.iterrows():
        key, place = int(str(setting)), int(row["network"])
        network = theory.networks[place]
        found[key] = Facts(
            network=network,
            scaled=bool(scaled[row["run_id"]]),
            least=float(hidden.get(key, np.inf)) / (network.batch_size * np.sqrt(network.width)),
            mean_share=float(share.get(key, 0.0)),
            cosine_gap=abs(float(first.get(key, np.nan)) - float(predicted[place])),
            elasticity=_elasticity(network, theory.layers[theory.layers["network"] == place]["mean_square"]),
        )
    return found


def _elasticity(network: DenseNetwork, mean_squares: pd.Series) -> float:
    """Growth of a relative error of the mean square, the product over layers of d ln q' / d ln q.

    1 where normalization, a skip connection or lsuv sets the mean square anew.
    """
    q = mean_squares.to_numpy(np.float64)
    if not network.plain or not (q > 0.0).all():
        return 1.0
    slopes = [variance_slope(network.phi, float(at), network.hidden.variance) for at in q[:-1]]
    return float(np.prod(np.array(slopes) * q[:-1] / q[1:]))
