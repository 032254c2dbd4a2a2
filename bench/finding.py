"""What may be odd about data, or about a model and what it is trained with, and how it is told.

`data_quality` finds what arrays alone show, `recorder` what model, loss, optimizer and data say of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What may be odd."""

    NONFINITE = "nonfinite"
    ROW_WEIGHTS = "row_weights"  # of one's own training
    ALL_ALIKE = "all_alike"
    CONSTANT_ANSWER = "constant_answer"  # this one and those down to TOKENS_BEYOND, with what the model says beside
    CONSTANT_LOSS = "constant_loss"
    LABELS_BEYOND = "labels_beyond"
    TARGET_FORM = "target_form"
    NOT_PROBABILITIES = "not_probabilities"
    LABEL_LENGTH = "label_length"
    TOKENS_BEYOND = "tokens_beyond"
    LOGITS = "logits"
    TWICE = "twice"
    SOFTMAX_AXIS = "softmax_axis"
    NEGATIVE = "negative"
    OUT_OF_REACH = "out_of_reach"
    NORM_OF_ONE = "norm_of_one"
    BATCH_OF_ONE = "batch_of_one"
    EPSILON = "epsilon"
    HALF_WEIGHTS = "half_weights"
    ABSENT_CLASS = "absent_class"
    OTHER_CLASSES = "other_classes"
    SHAPES = "shapes"
    CONSTANT_START = "constant_start"
    UNBOUNDED_CELL = "unbounded_cell"
    PENALTY = "penalty"
    DECAY = "decay"
    CONSTRAINT = "constraint"
    SMOOTHED = "smoothed"
    OTHER_SCALE = "other_scale"
    INPUT_SCALE = "input_scale"
    LINEAR = "linear"
    SCHEDULE = "schedule"
    DROPPED = "dropped"
    ANSWER_DROPPED = "answer_dropped"
    POST_NORM = "post_norm"
    RATE_FELL = "rate_fell"
    DISCONNECTED = "disconnected"
    FROZEN = "frozen"
    LONG_SEQUENCE = "long_sequence"
    FEATURE_SCALES = "feature_scales"
    OUTLIERS = "outliers"
    CONSTANT = "constant"
    TARGET_SCALE = "target_scale"
    TELLING = "telling"
    CLASS_SHARES = "class_shares"
    LABEL_GAPS = "label_gaps"
    DUPLICATES = "duplicates"
    OVERLAP = "overlap"


@dataclass(frozen=True)
class Finding:
    """Something odd: what was found, a sentence with its numbers, and what mends it, another."""

    kind: FindingKind
    found: str
    remedy: str
    extreme: bool = False  # the inputs are beyond `EXTREMES`, as a whole or by these outliers alone

    def __str__(self) -> str:
        return f"{self.found} {self.remedy}"
