"""What is minimized: a loss, and what it asks for in the place of a label."""

from __future__ import annotations

from bench.factors.base import Choice, Factor, Level, Number, Place, above_zero
from bench.factors.datasets import DataKind

# Factors with levels that must fit what a dataset asks for.
OF_TARGETS = ("loss", "label_smoothing", "class_weight", "target_preprocessing")
BINARY = "binary_crossentropy"
_OF_CLASSES, _OF_VALUES = "categorical_crossentropy", ("mean_squared_error", "mean_absolute_error", "huber")

LOSS = Factor(
    "loss", "The loss that is minimized; of several values or steps a sample, its mean over them.", Place.GRAPH,
    default="auto",
    levels=(
        Level("auto", "By what the dataset asks for: cross-entropy of classes, squared error of values.", "Baseline"),
        Level(_OF_CLASSES, "Minus the logarithm of the class's share by softmax.", "Bridle 1990"),
        Level(BINARY, "The same of two classes by one output and the logistic function.", "Cox 1958"),
        Level(_OF_VALUES[0], "The square of the error.", "Legendre 1805; Gauss 1809"),
        Level(_OF_VALUES[1], "The magnitude of the error: large ones pull no more than small ones.", "Laplace 1774"),
        Level(
            _OF_VALUES[2], "Half the square of an error up to delta, and beyond it a straight line.", "Huber 1964",
            settings={"delta": above_zero(1.0, "The error from which it is straight.")},
        ),
    ),
)  # fmt: skip

LABEL_SMOOTHING = Factor(
    "label_smoothing", "Share of a label that training gives to all classes alike.", Place.RUN, default=0, later=True,
    number=Number(float, minimum=0.0, maximum=1.0),
)  # fmt: skip

CLASS_WEIGHT = Factor(
    "class_weight", "How much a class's samples count in the loss that is minimized.", Place.RUN, default="none",
    levels=(
        Level("none", "All samples alike.", "Baseline"),
        Level("balanced", "Each class as much as any other: N / (K N_k), of the training rows.", "King & Zeng 2001"),
    ),
)  # fmt: skip


def misfit_of_targets(factor: str, choice: Choice, kind: DataKind, classes: int = 0) -> str:
    """Why a level of a factor of `OF_TARGETS` does not fit targets of a kind, and what does; empty if it does.

    `classes` is how many there are, 0 where nobody knows yet.
    """
    values = kind is DataKind.VALUES
    if factor == "class_weight":
        return "" if not values or choice.is_none else "the targets are values: there is no class to weigh."
    if factor == "label_smoothing":
        return "the targets are values: there is no label to smooth." if values and choice.value else ""
    if factor == "target_preprocessing":
        return "" if values or choice.is_none else "the targets are classes: there is no value to scale."
    if choice.name == BINARY and not values:
        if kind is DataKind.CLASSES_EACH:
            return f"there is a class at each step: {_OF_CLASSES} is for them."
        return "" if classes in (0, 2) else f"the targets are {classes} classes: {_OF_CLASSES} is for more than two."
    if values and choice.name in (_OF_CLASSES, BINARY):
        return f"the targets are values, which have no classes: {', '.join(_OF_VALUES)} are for them."
    if not values and choice.name in _OF_VALUES:
        return f"the targets are classes: {_OF_CLASSES} is for them, and what auto means."
    return ""
