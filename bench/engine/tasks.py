"""Tasks on sequences: samples [rows, steps, features] or tokens [rows, steps] by a rule, and digits as sequences.

Symbols are one-hot or tokens. Each draw has a seed of its own and belongs to the task, not to a suite: all replicates
see the same rows, each in its own order, and the validation rows do not depend on how many rows train.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.factors.datasets import VALIDATION_ROWS
from bench.factors.topics import OTHER, SYMBOLS, topics

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]  # samples and targets, so many rows
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

TRAIN_SEED, VALIDATION_SEED, ORDER_SEED = 0, 1, 2
PLACES = ((1, 2), (4, 5))  # tenths of a sequence between which the symbols of temporal_order stand
BLOCK = 8192  # rows of all keys that are shuffled at once
FOLDS, OF_TRAINING = 20, 0.8  # parts of the text; of each so much trains, and the rest validates


def adding(length: int, rows: int) -> Arrays:
    """The sum of the two marked ones of `length` numbers from U(0, 1), [rows, length, 2] and [rows].

    One mark stands in the first half, one in the second. The best constant answer, 1, has a squared error of 2 / 12
    (Hochreiter & Schmidhuber 1997, with the numbers of Le et al. 2015).
    """

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.zeros((count, length, 2), np.float32)
        x[..., 0] = rng.random((count, length), np.float32)
        for low, high in ((0, length // 2), (length // 2, length)):
            x[np.arange(count), rng.integers(low, high, count), 1] = 1.0
        return x, (x[..., 0] * x[..., 1]).sum(axis=1)

    return both(draw, rows)


def recall(length: int, symbols: int, rows: int) -> Arrays:
    """The symbol of the first step, after `length` - 2 blanks and a query: [rows, length, symbols + 2] and [rows].

    The shortest lag at which anything is known of the answer is `length` - 1: ln(symbols) without it.
    """

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        blank, query = symbols, symbols + 1
        shown = np.full((count, length), blank)
        shown[:, 0], shown[:, -1] = rng.integers(0, symbols, count), query
        return _one_hot(shown, symbols + 2), shown[:, 0]

    return both(draw, rows)


def copy_memory(delay: int, items: int, symbols: int, rows: int) -> Arrays:
    """`items` symbols, `delay` - 1 blanks, a go-mark, `items` blanks; the answers are blanks and then the symbols.

    [rows, delay + 2 items, symbols + 2] and, at each step, [rows, delay + 2 items]. Without memory the last steps are a
    guess: items * ln(symbols) / (delay + 2 items) a step (Arjovsky, Shah & Bengio 2016).
    """

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        blank, go = symbols, symbols + 1
        shown = np.full((count, delay + 2 * items), blank)
        answers = shown.copy()
        shown[:, :items] = answers[:, -items:] = rng.integers(0, symbols, (count, items))
        shown[:, items + delay - 1] = go
        return _one_hot(shown, symbols + 2), answers

    return both(draw, rows)


def temporal_order(length: int, rows: int) -> Arrays:
    """Which of X and Y stands at two places, among a to d elsewhere: [rows, length, 6] and four classes [rows].

    The places are drawn from [T/10, 2T/10) and [4T/10, 5T/10) (Hochreiter & Schmidhuber 1997, task 6a; these places are
    those of Pascanu, Mikolov & Bengio 2013).
    """

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        shown = rng.integers(0, 4, (count, length))
        pair = rng.integers(0, 2, (2, count))
        for each, (low, high) in zip(pair, PLACES, strict=True):
            shown[np.arange(count), rng.integers(low * length // 10, high * length // 10, count)] = 4 + each
        return _one_hot(shown, 6), 2 * pair[0] + pair[1]

    return both(draw, rows)


def parity(length: int, rows: int) -> Arrays:
    """Whether the number of -1 among `length` steps of -1 and 1 is odd: [rows, length, 1] and [rows].

    Of any steps but all of them the answer is independent: without the whole sequence, ln 2 is the least loss.
    """

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        minus = rng.integers(0, 2, (count, length))
        return (1.0 - 2.0 * minus[..., None]).astype(np.float32), minus.sum(axis=1) % 2

    return both(draw, rows)


def associative_recall(pairs: int, symbols: int, rows: int) -> Arrays:
    """The value that stood behind a key: tokens k v k v ... k v q [rows, 2 pairs + 1] and v's class [rows].

    Keys are the tokens 0 to `symbols` - 1, no two of a sample alike; values the next `symbols`, drawn independently
    and asked for by number from 0 (after Ba et al. 2016, whose keys are letters and whose values digits). Whoever
    knows which values were shown and not which is whose is right as often as the commonest of them.
    """

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        blocks = [min(BLOCK, count - start) for start in range(0, count, BLOCK)]
        keys = np.concatenate([rng.permuted(np.tile(range(symbols), (b, 1)), axis=1)[:, :pairs] for b in blocks])
        values, asked = rng.integers(0, symbols, (count, pairs)), rng.integers(0, pairs, count)
        shown = np.empty((count, 2 * pairs + 1), np.int32)
        shown[:, :-1:2], shown[:, 1::2] = keys, symbols + values
        every = np.arange(count)
        shown[:, -1] = keys[every, asked]
        return shown, values[every, asked]

    return both(draw, rows)


def reverse(length: int, symbols: int, rows: int) -> Arrays:
    """A sequence and, at its own steps, the sequence backwards: tokens [rows, length], both.

    At each step all `symbols` are equally likely, and its own token says nothing: ln(symbols) without attention.
    """

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        shown = rng.integers(0, symbols, (count, length), np.int32)
        return shown, shown[:, ::-1].copy()

    return both(draw, rows)


def sort(length: int, symbols: int, rows: int) -> Arrays:
    """A sequence and, at its own steps, the sequence in order: tokens [rows, length], both.

    The answer at step i is the i-th of `length` draws in order: at most v if i + 1 of them are, by the binomial
    distribution. The best constant's loss is the entropy of that, mean over steps.
    """

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        shown = rng.integers(0, symbols, (count, length), np.int32)
        return shown, np.sort(shown, axis=1)

    return both(draw, rows)


def text(length: int, rows: int) -> Arrays:
    """Windows of CPython's help texts and, at each character, the next one: tokens [rows, length], both.

    The text is cut into 20 parts. Training windows lie in the first 80 % of a part, validation windows in the rest, so
    that they share no character. What the character before does not tell is `bigram_entropy` (a language model by
    characters: Karpathy 2015).
    """
    shown = tokens(topics())
    bounds = np.linspace(0, len(shown), FOLDS + 1).astype(int)
    within = (bounds[:-1] + OF_TRAINING * np.diff(bounds)).astype(int)

    def windows(seed: int, starts: np.ndarray, ends: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        possible = np.concatenate([np.arange(low, high - length) for low, high in zip(starts, ends, strict=True)])
        first = np.random.default_rng(seed).choice(possible, count)
        found = shown[first[:, None] + np.arange(length + 1)]
        return found[:, :-1], found[:, 1:]

    train = windows(TRAIN_SEED, bounds[:-1], within, rows)
    return *train, *windows(VALIDATION_SEED, within, bounds[1:], VALIDATION_ROWS)


def tokens(characters: str) -> np.ndarray:
    """The token of each character of `topics`, int32: 0 a newline, 1 to 95 printable ASCII by code, 96 any other."""
    place = np.zeros(128, np.int32)
    place[ord(" ") : ord("~") + 1] = np.arange(1, 96)
    place[ord(OTHER)] = SYMBOLS - 1
    return place[np.frombuffer(characters.encode("ascii"), np.uint8)]


def digits_rows() -> tuple[np.ndarray, np.ndarray]:
    """The digits of scikit-learn as 8 rows of 8 numbers, [1797, 8, 8], and their classes."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x.reshape(-1, 8, 8), y


def digits_pixels(permuted: bool) -> tuple[np.ndarray, np.ndarray]:
    """The digits of scikit-learn as 64 pixels, [1797, 64, 1], row by row or in one fixed random order."""
    x, y = digits_rows()
    order = np.random.default_rng(ORDER_SEED).permutation(64) if permuted else np.arange(64)
    return x.reshape(-1, 64)[:, order, None], y


def both(draw: Draw, rows: int) -> Arrays:
    """The training rows and the validation rows of a task."""
    train = draw(np.random.default_rng(TRAIN_SEED), rows)
    return *train, *draw(np.random.default_rng(VALIDATION_SEED), VALIDATION_ROWS)


def _one_hot(shown: np.ndarray, symbols: int) -> np.ndarray:
    return np.eye(symbols, dtype=np.float32)[shown]
