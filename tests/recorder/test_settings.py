"""What is read of a model, what a user may add, and what a user says wrongly."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from bench.factors import MIXED, OWN
from bench.recorder.layers import own_kernels, path_of
from bench.recorder.layout import Layout, Place
from bench.recorder.settings import asked_settings, read_settings, settled
from bench.report.own_page import family_of
from tests.recorder.kinds import KINDS


def read(name: str) -> dict[str, Any]:
    """What a kind of model tells, by the layers with kernels that it has."""
    model = KINDS[name]().model
    parts = [each for each in model._flatten_layers(include_self=False) if own_kernels(each)]
    parts = [each for each in parts if not isinstance(each, keras.layers.Embedding)]
    rows = [Place(path_of(each), type(each).__name__, "output", features=8, head=each is parts[-1]) for each in parts]
    return read_settings(model, Layout(tuple(rows)), [model.optimizer])


@pytest.mark.parametrize(
    ("name", "family", "told"),
    [
        ("conv_pool", "conv", {"kernel_size": 3, "padding": OWN, "heads": 0, "learning_rate": 0.001}),
        ("conv_batch_normalization", "conv", {"padding": "same", "normalization": "batch_normalization"}),
        ("transformer", "transformer", {"heads": 2, "depth": 6, "optimizer": "adamw"}),
        ("mlp_clipnorm", "mlp", {"kernel_size": 0, "clipping": "norm(threshold=0.02)", "learning_rate": 0.1}),
        ("lstm", "recurrent", {"cell": "lstm", "learning_rate": 0.01}),
    ],
)
def test_the_family_is_told_by_the_layers(name: str, family: str, told: dict[str, Any]) -> None:
    found = read(name)
    assert told.items() <= found.items()
    levels, odd = settled(found, {})
    assert (family_of(pd.Series(levels)), odd) == (family, "")


def test_what_a_model_leaves_open_a_user_may_say() -> None:
    said = asked_settings({"dataset": "digits", "activation": "relu", "learning_rate": np.float32(0.1), "dropout": 0})
    told = {"activation": MIXED, "learning_rate": 0.1, "dropout": 0.0, "width": None}
    levels, odd = settled(told, said)
    assert (levels["dataset"], levels["activation"], levels["architecture"], odd) == ("digits", "relu", OWN, "")
    levels, odd = settled(told, asked_settings({"learning_rate": 0.5, "optimizer": "adam"}) | {"dropout": 0.25})
    assert odd == (
        "settings say learning_rate 0.5, the model says 0.1; dropout 0.25, the model says 0.0: recorded is what the "
        "model says."
    )
    assert (levels["learning_rate"], levels["optimizer"]) == (0.1, "adam")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rat": 0.1}, r'there is no "learning_rat". Did you mean "learning_rate"\?'),
        ({"optimizer": "adamm"}, r'optimizer: .*Did you mean "adam"'),
        ({"learning_rate": -1}, "learning_rate: "),
        ({"dataset": 3}, "dataset: "),
    ],
)
def test_a_wrong_word_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        asked_settings(settings)
