"""What is odd about data before anything is trained on them, and what mends it, from arrays alone.

`look` is for a suite's datasets and for a first batch of anybody's own training. The thresholds are those of
docs/rules.md, "Data". Statistics are of a sample of rows; ranges, duplicates and classes are of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.finding import Finding, FindingKind

ROOT_MEAN_SQUARES = (0.1, 10.0)  # of inputs, and of values to predict, that need no scaling
EXTREMES = (1.0 / 30.0, 30.0)  # beyond them the inputs' scale alone explains that nothing is learned
OTHER_SCALES = 10.0  # the root mean square of validation inputs over that of training inputs, either way
SPREADS = 100.0  # the largest standard deviation of a feature over the smallest
OUTLYING = 30.0  # interquartile ranges from the median
MOST_OUTLYING = 0.05  # of a feature's rows
LOPSIDED = 10.0  # rows of the largest class over those of the smallest
FEW_ROWS = 10  # of a class, to train on
MOVED_SHARES = 0.5  # of rows that would have to be of another class for validation to have the shares of training
REPEATED = 0.01  # share of rows that are there twice, or of validation rows that are trained on
TELLING = 0.999  # correlation of an input with the target
FEW_CLASSES = 100  # more different numbers are values to predict
LEAST_ROWS = 20  # fewer say nothing of spreads and shares
SAMPLED_ROWS, SAMPLED_NUMBERS = 100_000, 20_000_000  # rows whose statistics are taken, and numbers in them
HASHED_NUMBERS = 200_000_000  # numbers in rows that are compared with each other
NAMED = 3  # features that a sentence names


@dataclass(frozen=True)
class Data:
    """What is looked at.

    Attributes:
        x: training samples, [rows, ...].
        y: their targets, [rows] or [rows, k]: whole numbers or one-hot rows are classes, others values. None: none.
        x_validation, y_validation: the same of validation rows, if there are any.
        features: names of the features, if they have any.
        scaled: whether inputs are scaled before they are trained on; then their scale is no finding.
        target_scaled: the same of values to predict.
        tokens: samples are tokens, which have no scale.
        values: whether targets are values to predict; None: as they look.
        numbers, numbers_validation: of rows that are a sample, which rows they are; None: they are all.
    """

    x: np.ndarray
    y: np.ndarray | None = None
    x_validation: np.ndarray | None = None
    y_validation: np.ndarray | None = None
    features: Sequence[str] = field(default=())
    scaled: bool = False
    target_scaled: bool = False
    tokens: bool = False
    values: bool | None = None
    numbers: np.ndarray | None = None
    numbers_validation: np.ndarray | None = None

    def row(self, place: int, *, validation: bool = False) -> int:
        """The number of the row that stands there."""
        numbers = self.numbers_validation if validation else self.numbers
        return int(place if numbers is None else numbers[place])


def look(data: Data) -> list[Finding]:
    """Everything odd, gravest first; nothing of arrays that hold no numbers."""
    x = np.asarray(data.x)
    if x.dtype.kind not in "fiub" or x.ndim < 2 or not x.size:
        return []
    nonfinite = list(_nonfinite(data))
    if nonfinite:  # whatever else would be said rests on these
        return nonfinite
    found = [] if data.tokens else list(_inputs(data, x.reshape(len(x), -1)))
    y = None if data.y is None else np.asarray(data.y)
    if y is not None and y.dtype.kind in "fiub" and len(y) == len(x):
        found += _values(data, x, y) if _are_values(data, y) else _classes(data, y)
    found += _duplicates(data, x.reshape(len(x), -1))
    order = list(FindingKind)
    return sorted(found, key=lambda each: order.index(each.kind))


def _nonfinite(data: Data) -> Iterator[Finding]:
    parts = {
        "inputs": data.x, "targets": data.y, "validation inputs": data.x_validation,
        "validation targets": data.y_validation,
    }  # fmt: skip
    for name, part in parts.items():
        array = np.asarray(part)
        if part is None or array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        wrong = ~np.isfinite(array.reshape(len(array), -1))
        rows = np.flatnonzero(wrong.any(axis=1))
        first = data.row(rows[0], validation=name.startswith("validation"))
        columns = np.flatnonzero(wrong.any(axis=0))
        alone = (
            f", all in {_name(data, int(columns[0]))}"
            if "inputs" in name and wrong.shape[1] > len(columns) == 1
            else ""
        )
        yield Finding(
            FindingKind.NONFINITE,
            f"{wrong.sum()} of the {name} {'is' if wrong.sum() == 1 else 'are'} NaN or infinite{alone}, in {len(rows)} "
            f"{'row' if len(rows) == 1 else 'rows'}, the first in row {first} (counted from 0).",
            "One makes every loss NaN: fill it, as by np.nan_to_num or a column's median, or leave such rows out.",
        )


def _inputs(data: Data, x: np.ndarray) -> Iterator[Finding]:
    """Scale, outliers and constants of features [rows, features]."""
    if len(x) < LEAST_ROWS:
        return
    low, high = (np.asarray(edge, np.float64) for edge in (x.min(axis=0), x.max(axis=0)))
    sample = _sampled(x)
    varies = high > low
    mean_square = float(np.mean(np.square(sample)))
    root, (least, most) = mean_square**0.5, ROOT_MEAN_SQUARES
    ruled = not EXTREMES[0] < root < EXTREMES[1] and least <= _without_outliers(sample) <= most
    if not data.scaled and not least <= root <= most and mean_square > 0 and not ruled:
        yield Finding(
            FindingKind.INPUT_SCALE,
            f"Inputs have a root mean square of {root:.3g}, from {low.min():.4g} to {high.max():.4g}; initializers "
            "are made for 1.",
            'Scale them: preprocessing = "standardize", the default of a suite; elsewhere (x - mean) / std of the '
            "training rows.",
            extreme=not EXTREMES[0] < root < EXTREMES[1],
        )
    spread = sample.std(axis=0)
    moving = np.flatnonzero(varies & (spread > 0))
    if not data.scaled and not ruled and len(moving) > 1 and np.asarray(data.x).ndim == 2:
        narrow, wide = moving[np.argmin(spread[moving])], moving[np.argmax(spread[moving])]
        ranges = high[moving] - low[moving]  # of rare pixels the spread is small, and the range is not
        if spread[wide] > SPREADS * spread[narrow] and ranges.max() > SPREADS * ranges.min():
            yield Finding(
                FindingKind.FEATURE_SCALES,
                f"Features differ in spread {spread[wide] / spread[narrow]:.3g} times: {_name(data, narrow)} has a "
                f"standard deviation of {spread[narrow]:.3g}, {_name(data, wide)} of {spread[wide]:.3g}.",
                'Scale each by itself: preprocessing = "standardize", the default of a suite.',
            )
    yield from _of_validation(data, root)
    if np.asarray(data.x).ndim < 4:  # of images a pixel at the edge is mostly 0
        for each in _outliers(data, x, sample, (low, high)):
            yield replace(each, extreme=ruled)
    still = np.flatnonzero(~varies)
    if len(still) == len(varies):
        yield Finding(
            FindingKind.ALL_ALIKE,
            f"All training rows are the same, from {low.min():.4g} to {high.max():.4g} in each.",
            "Look at how the inputs are read: nothing can be told from them.",
        )
    elif len(still) and (np.asarray(data.x).ndim < 4 or 2 * len(still) > len(varies)):
        names = ", ".join(_name(data, each) for each in still[:NAMED]) + (", …" if len(still) > NAMED else "")
        yield Finding(
            FindingKind.CONSTANT,
            f"{len(still)} of {len(varies)} features never vary over the training rows: {names}.",
            "They tell nothing: leave them out, or find out why they are constant.",
        )


def _without_outliers(sample: np.ndarray) -> float:
    """The root mean square of the entries that are no outliers of their feature."""
    first, median, third = np.percentile(sample, (25.0, 50.0, 75.0), axis=0)
    kept = np.abs(sample - median) <= OUTLYING * (third - first)
    return float(np.mean(np.square(sample[kept])) ** 0.5) if kept.any() else 0.0


def _of_validation(data: Data, root: float) -> Iterator[Finding]:
    """Validation inputs that are not scaled as those are that are trained on."""
    if data.scaled or data.x_validation is None or len(data.x_validation) < LEAST_ROWS or not root > 0:
        return
    x = np.asarray(data.x_validation)
    other = float(np.mean(np.square(_sampled(x.reshape(len(x), -1))))) ** 0.5
    if not root / OTHER_SCALES <= other <= root * OTHER_SCALES:
        yield Finding(
            FindingKind.OTHER_SCALE,
            f"Validation inputs have a root mean square of {other:.3g}, training inputs of {root:.3g}.",
            "Scale both alike, by the mean and std of the training rows.",
        )


def _outliers(data: Data, x: np.ndarray, sample: np.ndarray, ends: tuple[np.ndarray, np.ndarray]) -> Iterator[Finding]:
    """The feature with the entry that lies furthest out, in interquartile ranges."""
    first, median, third = np.percentile(sample, (25.0, 50.0, 75.0), axis=0)
    reach = np.maximum(ends[1] - median, median - ends[0])
    width = third - first
    distance = np.divide(reach, width, out=np.zeros_like(reach), where=width > 0)
    share = np.mean(np.abs(sample - median) > OUTLYING * width, axis=0)  # of many it is how they are spread
    out = np.flatnonzero((distance > OUTLYING) & (share <= MOST_OUTLYING))
    if not len(out):
        return
    worst = int(out[np.argmax(distance[out])])
    column = x[:, worst].astype(np.float64)
    rows = np.flatnonzero(np.abs(column - median[worst]) > OUTLYING * width[worst])
    entries, counts = np.unique(column[rows], return_counts=True)
    more = f" {len(out) - 1} more features have such." if len(out) > 1 else ""
    again = int(counts.max()) > 1
    stands = f" {entries[np.argmax(counts)]:g} is there {counts.max()} times: does it stand for a missing entry?"
    scaling = 'preprocessing = "robust" in a suite is not moved by them.'
    yield Finding(
        FindingKind.OUTLIERS,
        f"{_upper(_name(data, worst))} lies up to {distance[worst]:.3g} interquartile ranges from its median, in "
        f"{len(rows)} rows, the first row {data.row(rows[0])} (counted from 0): {column[rows[0]]:g}.{more}",
        f"Look at these rows, and mend or clip them; {scaling}{stands if again else ''}",
    )


def _values(data: Data, x: np.ndarray, y: np.ndarray) -> Iterator[Finding]:
    """Scale and outliers of values to predict, and inputs that give them away."""
    values = y.reshape(len(y), -1).astype(np.float64)
    root, (least, most) = float(np.mean(np.square(values))) ** 0.5, ROOT_MEAN_SQUARES
    if not data.target_scaled and not least <= root <= most and root > 0:
        why = (
            f"the loss starts near {root**2:.2g}, and steps that fit inputs of 1 diverge."
            if root > most else "gradients start as small, and the loss looks learned before it is."
        )  # fmt: skip
        yield Finding(
            FindingKind.TARGET_SCALE,
            f"Targets have a root mean square of {root:.3g}, from {values.min():.4g} to {values.max():.4g}: {why}",
            'Standardize them: target_preprocessing = "standardize" in a suite, (y - mean) / std of the training rows '
            "elsewhere, undone on predictions.",
        )
    if len(y) < LEAST_ROWS:
        return
    first, median, third = np.percentile(values, (25.0, 50.0, 75.0), axis=0)
    far = np.abs(values - median) > OUTLYING * np.where(third > first, third - first, np.inf)
    if far.any():
        rows = np.flatnonzero(far.any(axis=1))
        yield Finding(
            FindingKind.OUTLIERS,
            f"{len(rows)} targets lie over {OUTLYING:g} interquartile ranges from the median, the first in row "
            f"{data.row(rows[0])} (counted from 0): {values[rows[0]].max():g}.",
            'A squared error is ruled by them: loss = "huber", or the logarithm of targets that are above 0.',
        )
    yield from _telling(data, x, values)


def _telling(data: Data, x: np.ndarray, values: np.ndarray) -> Iterator[Finding]:
    if data.tokens or x.ndim != 2 or values.shape[1] != 1:
        return
    rows = _rows(len(x), x.shape[1])
    sample, target = x[rows].astype(np.float64), values[rows, 0]
    spread = sample.std(axis=0) * target.std()
    shared = np.abs((sample - sample.mean(axis=0)).T @ (target - target.mean())) / len(target)
    told = np.divide(shared, spread, out=np.zeros_like(spread), where=spread > 0)
    if len(told) and told.max() >= TELLING:
        yield Finding(
            FindingKind.TELLING,
            f"{_upper(_name(data, int(np.argmax(told))))} alone tells the target: a correlation of "
            f"{min(told.max(), 1.0):.4f}.",
            "Is it known before the target is? If not, leave it out.",
        )


def _classes(data: Data, y: np.ndarray) -> Iterator[Finding]:
    """Labels, and how many rows each class has."""
    labels = _labels(y)
    classes, counts = np.unique(labels, return_counts=True)
    whole = [int(each) for each in classes]
    if whole != list(range(len(whole))):
        told = f"{whole[0]} to {whole[-1]}" if whole[-1] - whole[0] == len(whole) - 1 else _listed(whole)
        yield Finding(
            FindingKind.LABEL_GAPS,
            f"Labels are {told}, not 0 to {len(whole) - 1}.",
            "A sparse loss of Keras counts units from 0: np.unique(y, return_inverse=True)[1] numbers them so; a suite "
            "does.",
        )
    if len(whole) == 1 and len(labels) >= LEAST_ROWS and data.y_validation is None:
        yield Finding(
            FindingKind.CLASS_SHARES,
            f"All targets are class {whole[0]}: there is nothing to tell apart.",
            "Look at how they are read.",
        )
    if len(labels) < LEAST_ROWS or len(whole) < 2 or (y.ndim > 1 and labels.size != len(y)):
        return
    most, fewest = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[most] >= LOPSIDED * counts[fewest]:
        share = counts[most] / counts.sum()
        few = f", {'too few to learn it from' if counts[fewest] < FEW_ROWS else 'which a loss hardly feels'}"
        yield Finding(
            FindingKind.CLASS_SHARES,
            f"Class {whole[most]} has {100 * share:.3g} % of the training rows, so that whoever always answers it is "
            f"right as often; class {whole[fewest]} has {counts[fewest]} rows{few}.",
            'class_weight = "balanced" in a suite weighs classes alike; judge by balanced_accuracy.',
        )
    if data.y_validation is None:
        return
    yield from _of_other_classes(labels, _labels(np.asarray(data.y_validation)))
    validated = {int(each) for each in np.unique(_labels(np.asarray(data.y_validation)))}
    for absent, place, other in (
        (sorted(validated - set(whole)), "training", "validation"),
        (sorted(set(whole) - validated), "validation", "training"),
    ):
        if absent:
            yield Finding(
                FindingKind.ABSENT_CLASS if place == "training" else FindingKind.CLASS_SHARES,
                f"No {place} row has class {_listed(absent)}, which {other} rows have.",
                "Shuffle rows before they are split, class by class.",
            )


def _of_other_classes(train: np.ndarray, validation: np.ndarray) -> Iterator[Finding]:
    """Validation rows whose classes have other shares, as where rows were sorted and the last were split off."""
    classes = np.unique(np.concatenate([train, validation]))
    if len(validation) < LEAST_ROWS:
        return
    here, there = (np.array([np.mean(each == one) for one in classes]) for each in (train, validation))
    if np.abs(here - there).sum() / 2.0 >= MOVED_SHARES:
        most = int(np.argmax(there - here))
        yield Finding(
            FindingKind.OTHER_CLASSES,
            f"Class {int(classes[most])} has {100 * there[most]:.3g} % of the validation rows, and "
            f"{100 * here[most]:.3g} % of the training rows.",
            "Shuffle rows before they are split: validation_split takes the last.",
        )


def _duplicates(data: Data, x: np.ndarray) -> Iterator[Finding]:
    """Rows that are there twice, and validation rows that are trained on."""
    train = _hashes(x)
    if len(train) < LEAST_ROWS:
        return
    known = np.unique(train)
    twice = len(train) - len(known)
    if twice > REPEATED * len(train):
        yield Finding(
            FindingKind.DUPLICATES,
            f"{twice} of {len(train)} training rows are the same as another.",
            "Drop them, or split so that all copies of a row are on one side.",
        )
    if data.x_validation is None or not len(data.x_validation):
        return
    validation = _hashes(np.asarray(data.x_validation).reshape(len(data.x_validation), -1))
    shared = int(np.isin(validation, known).sum())
    if shared > REPEATED * len(validation):
        yield Finding(
            FindingKind.OVERLAP,
            f"{shared} of {len(validation)} validation rows are training rows too: their score flatters.",
            "Drop copies before the split.",
        )


def _are_values(data: Data, y: np.ndarray) -> bool:
    if data.values is not None:
        return data.values
    if y.dtype.kind != "f" or is_one_hot(y):
        return False
    return bool((y != np.round(y)).any()) or len(np.unique(y)) > FEW_CLASSES


def is_one_hot(y: np.ndarray) -> bool:
    """Whether rows [rows, classes] hold a 1 each, and 0 else."""
    return y.ndim == 2 and y.shape[1] > 1 and bool((((y == 0) | (y == 1)).all(axis=1) & (y.sum(axis=1) == 1)).all())


def _labels(y: np.ndarray) -> np.ndarray:
    return y.argmax(axis=1) if is_one_hot(y) else y.ravel()


def _name(data: Data, feature: int) -> str:
    shape = np.asarray(data.x).shape[1:]
    if len(data.features) == np.prod(shape):
        return f'column "{data.features[feature]}"'
    place = tuple(int(each) for each in np.unravel_index(feature, shape))
    return f"feature {place[0] if len(place) == 1 else place}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(numbers: Sequence[int]) -> str:
    shown = [str(each) for each in numbers]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:7], "…", shown[-1]])


def _rows(rows: int, width: int) -> np.ndarray:
    """The rows whose statistics are taken, always the same."""
    most = max(1, min(SAMPLED_ROWS, SAMPLED_NUMBERS // max(width, 1)))
    return np.arange(rows) if rows <= most else np.random.default_rng(0).choice(rows, most, replace=False)


def _sampled(x: np.ndarray) -> np.ndarray:
    return np.asarray(x[_rows(len(x), x.shape[1])], dtype=np.float64)


def _hashes(x: np.ndarray) -> np.ndarray:
    """A number for each row [rows, features], the same for equal rows: of FNV's kind, on the bits of doubles."""
    rows = x[: max(1, HASHED_NUMBERS // max(1, x.shape[1]))]
    found = np.full(len(rows), 14695981039346656037, np.uint64)
    for column in rows.T:
        bits = (column.astype(np.float64) + 0.0).view(np.uint64)  # of 0 and -0 the same
        found = (found ^ (bits ^ (bits >> np.uint64(29)))) * np.uint64(1099511628211)
        found ^= found >> np.uint64(32)
    return found
