"""A look at what is trained on, before it can be blamed on the network: `fit`'s arrays, else its first batches.

No batch is drawn for it: of a generator those are looked at that recorded steps were given anyway.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from bench.data_quality import EXTREMES, LEAST_ROWS, Data, is_one_hot, look
from bench.finding import Finding, FindingKind
from bench.recorder.fitting import OF_VALUES, POISSON, misfits
from bench.recorder.settings import loss_name

ROWS, NUMBERS = 4096, 2**20  # that are looked at, evenly over the arrays
SCANNED = 2**26  # numbers that are all looked at for one that is not finite
BATCHES = 16
SAID_BY = {
    FindingKind.LABELS_BEYOND: (FindingKind.LABEL_GAPS,),
    FindingKind.NOT_PROBABILITIES: (
        FindingKind.LABEL_GAPS,
        FindingKind.CLASS_SHARES,
        FindingKind.ABSENT_CLASS,
        FindingKind.OTHER_CLASSES,
    ),
}
SCALING = (keras.layers.Normalization, keras.layers.Rescaling)
NORMALIZING = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)


@dataclass
class DataLook:
    """Of one training.

    Attributes:
        findings: what is odd, gravest first.
        rows: how many were looked at, and `of` how many; None where only batches were seen.
        waiting: whether further batches are looked at.
        planned: steps of the whole training, if known.
    """

    model: keras.Model
    planned: int | None = None
    findings: list[Finding] = field(default_factory=list)
    rows: int = 0
    of: int | None = None
    waiting: bool = True
    batch: int | None = None  # rows of a batch, if known
    seen: list[Finding] = field(default_factory=list)
    whole: tuple[np.ndarray | None, np.ndarray | None] = (None, None)  # all rows, where they are not too many
    batches: list[tuple[np.ndarray, np.ndarray | None]] = field(default_factory=list)

    def at_arrays(self) -> None:
        """Look at the arrays that `fit` was given, if it was: then no batch is asked for."""
        given = _given_to_fit(self.model)
        x, y, x_validation, y_validation = (_single(given.get(name)) for name in ("x", "y", "val_x", "val_y"))
        if not _is_array(x) or not len(x):
            self.findings = misfits(self.model, None, None, self.planned)
            return
        self.waiting = False
        self.batch = given.get("batch_size") or 32
        self.of = len(x)
        train, validation = _evenly(x), _evenly(x_validation) if _is_array(x_validation) else np.arange(0)
        self.rows = len(train)
        data = Data(
            _taken(x, train), _taken(y, train) if _is_array(y) else None,
            features=tuple(map(str, getattr(x, "columns", ()))), numbers=train, numbers_validation=validation,
        )  # fmt: skip
        if len(validation) and _is_array(y_validation):
            data = replace(
                data, x_validation=_taken(x_validation, validation), y_validation=_taken(y_validation, validation)
            )
        self.whole = _whole(x), _whole(y)
        if not all(_is_finite(each) for each in (x, y) if _is_array(each)):
            every = np.arange(len(x))
            data = replace(data, x=_taken(x, every), y=_taken(y, every) if _is_array(y) else None, numbers=None)
        self.seen += _of_weights(given.get("sample_weight"), given.get("class_weight"), y)
        self._look(data)

    def at_batch(self, x: Any, y: Any) -> None:
        """Keep a batch until there are enough, then look at them."""
        if not self.waiting:
            return
        x, y = _single(x), _single(y)
        if not _is_array(x):
            self.waiting = False
            return
        arrays = np.asarray(x), np.asarray(y) if _is_array(y) else None
        if self.batches and arrays[0].shape[1:] != self.batches[0][0].shape[1:]:
            return
        self.batches.append(arrays)
        self.batch = max(self.batch or 0, len(arrays[0]))
        numbers = sum(each.size for each, _ in self.batches)
        if len(self.batches) >= BATCHES or numbers >= NUMBERS or sum(len(each) for each, _ in self.batches) >= ROWS:
            self.at_end()

    def at_end(self) -> None:
        """Look at the batches that there are: an epoch has ended, and what follows may be the same rows again."""
        if not self.waiting or not self.batches:
            return
        self.waiting = False
        x = np.concatenate([each for each, _ in self.batches])
        targets = [each for _, each in self.batches if each is not None]
        alike = len(targets) == len(self.batches) and len({each.shape[1:] for each in targets}) == 1
        self.rows = len(x)
        self._look(Data(x, np.concatenate(targets) if alike else None))
        self.findings = [
            replace(each, found=each.found.replace("counted from 0", "as they were trained on, counted from 0"))
            for each in self.findings
            if each.kind is not FindingKind.DUPLICATES
        ]
        self.batches = []

    def add(self, seen: list[Finding]) -> None:
        """Put in what a step showed: a later look at batches keeps it."""
        known = {each.kind for each in self.findings}
        new = [each for each in seen if each.kind not in known]
        self.seen += new
        self._settle([*self.findings, *new])

    def facts(self) -> dict[str, Any]:
        """What the page says of it."""
        told = [
            {"kind": str(each.kind), "found": each.found, "remedy": each.remedy, "extreme": each.extreme}
            for each in self.findings
        ]
        return {"rows": self.rows, "of": self.of, "findings": told}

    def _look(self, data: Data) -> None:
        layers = [each for each in self.model._flatten_layers(include_self=False) if not _is_input(each)]
        name = loss_name(getattr(self.model, "loss", None))
        values = False if "crossentropy" in name else True if name in (*OF_VALUES, POISSON) else None
        scaled = any(isinstance(each, SCALING) for each in layers) or isinstance(layers[0], NORMALIZING)
        tokens = any(isinstance(each, keras.layers.Embedding) for each in layers) and data.x.dtype.kind in "iu"
        behind = list(_behind_scaling(self.model, data.x))
        found = [*behind, *look(replace(data, scaled=scaled, tokens=tokens, values=values))]
        x, y = self.whole
        every = replace(data, x=data.x if x is None else x, y=data.y if y is None else y)
        unfit = misfits(self.model, every, self.batch, self.planned)
        if "sparse" not in name:  # which alone counts units from 0
            found = [each for each in found if each.kind is not FindingKind.LABEL_GAPS]
        for each in unfit:  # what it says leaves nothing of these
            found = [other for other in found if other.kind not in SAID_BY.get(each.kind, ())]
        self._settle([*found, *unfit, *self.seen])
        self.whole = (None, None)

    def _settle(self, found: list[Finding]) -> None:
        order = list(FindingKind)
        self.findings = sorted(found, key=lambda each: order.index(each.kind))


def _behind_scaling(model: keras.Model, x: np.ndarray) -> Iterator[Finding]:
    """Whether what the model's own scaling layers make of the inputs is out of range."""
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    if len(inputs) != 1 or x.dtype.kind not in "fiub" or len(x) < LEAST_ROWS or not np.isfinite(x).all():
        return
    tensor, last, made = inputs[0], None, np.asarray(x, np.float64)
    layers = [each for each in model._flatten_layers(include_self=False) if isinstance(each, SCALING)]
    while following := [each for each in layers if each.input is tensor]:
        last = following[0]
        made, tensor = _scaled(last, made), last.output
    root = float(np.mean(np.square(made)) ** 0.5)
    if last is None or not root > 0 or EXTREMES[0] < root < EXTREMES[1]:
        return
    yield Finding(
        FindingKind.INPUT_SCALE,
        f"Behind {last.name} inputs have a root mean square of {root:.3g}; initializers are made for 1.",
        "Call its adapt with training rows first." if isinstance(last, keras.layers.Normalization)
        else "Scale once: leave the layer out, or give it the raw numbers.",
        extreme=True,
    )  # fmt: skip


def _of_weights(rows: Any, classes: Any, y: Any) -> list[Finding]:
    """Whether what each row counts is 0, or far from 1 in the mean: it multiplies the loss."""
    given, of = rows, "sample_weight"
    if isinstance(classes, Mapping) and _is_array(y):
        labels = np.asarray(y.to_numpy() if hasattr(y, "iloc") else y)
        labels = labels.argmax(axis=1) if is_one_hot(labels) else labels.ravel()
        given, of = [float(classes.get(int(each), 1.0)) for each in labels[:ROWS]], "class_weight"
    if given is None or not hasattr(given, "__len__") or not len(given):
        return []
    weights = np.asarray(given.to_numpy() if hasattr(given, "iloc") else given, np.float64)
    mean = float(np.mean(weights))
    if not np.isfinite(mean) or EXTREMES[0] < mean < EXTREMES[1]:
        return []
    none = not weights.any()
    counts = "no row counts" if none else "the loss and its gradients are as many times as large"
    found = f"The rows' weights ({of}) have a mean of {mean:.3g}: {counts}."
    cure = "Look at how they are made: a row of weight 0 is left out." if none else "Divide them by their mean."
    return [Finding(FindingKind.ROW_WEIGHTS, found, cure)]


def _scaled(layer: Any, x: np.ndarray) -> np.ndarray:
    if isinstance(layer, keras.layers.Rescaling):
        return np.asarray(x * np.asarray(layer.scale) + np.asarray(layer.offset))
    spread = np.maximum(np.sqrt(np.asarray(layer.variance, np.float64)), keras.backend.epsilon())
    return np.asarray((x - np.asarray(layer.mean, np.float64)) / spread)


def _given_to_fit(model: keras.Model) -> Mapping[str, Any]:
    """What the `fit` that is under way was given, by its names; nothing where Keras keeps it otherwise."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
            return dict(frame.f_locals)
        frame = frame.f_back
    return {}


def _single(part: Any) -> Any:
    """The one leaf of a nest; None of several, which are not told apart here."""
    while isinstance(part, list | tuple | dict):
        if len(part) != 1:
            return None
        part = next(iter(part.values() if isinstance(part, dict) else part))
    return part


def _is_array(part: Any) -> bool:
    is_array = isinstance(part, np.ndarray) or keras.ops.is_tensor(part) or _is_of_tensorflow(part)
    return (is_array and len(part.shape) > 0) or hasattr(part, "iloc")


def _is_of_tensorflow(part: Any) -> bool:
    """Whether it is a tensor of TensorFlow's, which `fit` takes on each backend; where there is none, nothing is."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(part, tensorflow.Tensor)


def _is_input(layer: Any) -> bool:
    return isinstance(layer, keras.layers.InputLayer)


def _evenly(x: Any) -> np.ndarray:
    """The rows that are looked at."""
    width = int(np.prod(x.shape[1:], dtype=np.int64))
    most = max(1, min(ROWS, NUMBERS // max(1, width)))
    return np.unique(np.linspace(0, len(x) - 1, min(len(x), most)).astype(np.int64))


def _taken(x: Any, rows: np.ndarray) -> np.ndarray:
    if _is_of_tensorflow(x):
        return np.asarray(x if len(rows) == len(x) else sys.modules["tensorflow"].gather(x, rows))
    return x.iloc[rows].to_numpy() if hasattr(x, "iloc") else np.asarray(x[rows])


def _whole(x: Any) -> np.ndarray | None:
    """All rows, unless they are too many or no array."""
    if not _is_array(x) or int(np.prod(x.shape)) > SCANNED:
        return None
    return np.asarray(x.to_numpy() if hasattr(x, "iloc") else x)


def _is_finite(x: Any) -> bool:
    """Whether every number is; of what is too large to look through, nobody knows it not to be."""
    array = x.to_numpy() if hasattr(x, "iloc") else np.asarray(x) if int(np.prod(x.shape)) <= SCANNED else None
    return array is None or array.dtype.kind != "f" or bool(np.isfinite(np.sum(array, dtype=np.float64)))
