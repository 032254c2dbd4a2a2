"""The page's first words: what a network needs to train, in one or two sentences that the runs carry.

Every clause follows from the recipes' rows; the last ones give way where there are more than 35 words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from bench.analysis import Outcome
from bench.analysis.parts import deep, depth_unit
from bench.analysis.recipes import RATE, Reached, Recipe, Recipes, Trial
from bench.factors import FACTORS, ArchitectureLevel, level_name
from bench.text import integer, listed, of, sentence, spoken

MOST_WORDS = 35
MOST_IN_SENTENCE = 25
FEWEST_TRIED = 4  # untouched networks that do not train, before a change is said to have helped none
WORDS = {
    "batch_normalization": "batch normalization", "layer_normalization": "layer normalization",
    "group_normalization": "group normalization", "rms_normalization": "RMS normalization",
    "instance_normalization": "instance normalization",
    "layer_spatial_normalization": "layer normalization over positions too", "fixup": "Fixup",
    "residual": "a skip connection", "l1": "an L1 penalty", "l2": "an L2 penalty",
    "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD",
    "simple": "a simple cell", "lstm": "LSTM", "gru": "GRU", "bptt": "truncated back-propagation",
}  # fmt: skip
LEVELS = {  # whose names say too little by themselves
    "preprocessing": {"standardize": "standardized inputs", "scale": "inputs from 0 to 1", "robust": "robust inputs"},
    "target_preprocessing": {
        "standardize": "standardized targets", "scale": "targets from 0 to 1", "robust": "robust targets",
    },
    "padding": {"same": "zero padding", "circular": "circular padding"},
    "warmup": {"linear": "a warm-up"},
    "downsample": {"stride": "strides", "max_pool": "max pooling", "average_pool": "average pooling"},
    "head_pool": {"global_average": "a global average", "flatten": "a flattening head"},
    "skip": {"residual_v1": "a v1 skip connection", "fixup": "Fixup"},
    "normalization": {
        "layer_spatial_normalization": "layer normalization over space",
        "instance_normalization": "instance normalization",
    },
    "block": {
        "pre_norm": "pre-norm", "post_norm": "post-norm", "no_norm": "no norm", "sandwich": "sandwich norm",
        "deepnorm": "DeepNorm", "admin": "Admin", "rezero": "ReZero", "layer_scale": "LayerScale",
        "damped": "damped branches", "t_fixup": "T-Fixup", "b2t": "B2T", "no_skip": "no skip",
    },
    "sublayers": {"both": "both sub-layers", "attention_only": "attention only",
                  "feed_forward_only": "feed-forward only"},
    "query_key": {
        "plain": "plain queries and keys", "layer_normalized": "normalized queries and keys",
        "l2_normalized": "unit queries and keys", "logit_cap": "a logit cap", "sigma_reparam": "σReparam",
    },
    "causal": {"yes": "causal attention", "no": "attention both ways", "by_task": "causal by task"},
    "position": {"learned": "learned positions", "sinusoidal": "sinusoidal positions"},
    "tied": {"yes": "tied embeddings"},
    "loss": {
        "mean_squared_error": "squared error", "mean_absolute_error": "absolute error", "huber": "Huber's loss",
        "binary_crossentropy": "binary cross-entropy",
    },
    "class_weight": {"balanced": "balanced classes"},
    "precision": {"mixed_float16": "mixed float16", "mixed_bfloat16": "mixed bfloat16"},
}  # fmt: skip
UNTREATED = {
    "skip": "no skip connection", "preprocessing": "unscaled inputs", "target_preprocessing": "unscaled targets",
}  # fmt: skip
OF_DATA = ("preprocessing", "target_preprocessing")  # what a network is given, so that a level is no network
NAMED = {"gate_bias": "gate bias", "recurrent_initializer": "recurrent"}  # levels that need their factor's name
KERAS = {
    "initializer": "glorot_uniform", "normalization": "none", "skip": "none", "clipping": "none",
    "regularization": "none", "optimizer": "adam", RATE: "0.001",
}  # fmt: skip
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LONG_NUMBER = re.compile(r"(?<![\w.])\d{1,3}\.\d{5,}(?![\w.])")  # that a reader needs no more than four digits of
FIRST_WORDS = 14  # kept for the first clause
MANY = 3  # names are listed up to so many


def treatment(factor: str) -> str:
    """What a network goes without that has `none` of a factor, as a noun: `truncation`, `clipping`."""
    return {"truncate": "truncation", "warmup": "warm-up"}.get(factor, spoken(factor))


def level_words(factor: str, level: str, known: Sequence[str] = (), unit: str = "layer") -> str:
    """A level by its name where that is enough: with its settings only where another of `known` has the same name.

    `unit` is what a depth counts, see `analysis.parts`.
    """
    name = level_name(level)
    shared = sum(level_name(each) == name for each in known) > 1
    if factor in FACTORS and FACTORS[factor].number is not None:
        return {"depth": deep(level, unit), RATE: f"rate {level}", "heads": f"{level} heads"}.get(
            factor, f"{spoken(factor)} {level}"
        )
    if name == "none":
        return UNTREATED.get(factor, f"no {treatment(factor)}")
    if factor == "clipping" and not shared:
        return "clipping" if len({each for each in known if each != "none"}) <= 1 else f"clipping by {spoken(name)}"
    own = LEVELS.get(factor, {}).get(name)
    if own:
        return own if not shared else f"{own} {_few_digits(level, known).removeprefix(name)}".rstrip()
    said = _few_digits(level, known) if shared and level != name else WORDS.get(name, name)
    return f"{NAMED[factor]} {said}" if factor in NAMED else said


def _few_digits(level: str, known: Sequence[str]) -> str:
    """`random_normal(stddev=0.3162)` for ten digits more, unless another level would have the same name."""
    short = {each: LONG_NUMBER.sub(lambda found: f"{float(found[0]):.4g}", each) for each in known}
    return level if list(short.values()).count(short.get(level, level)) > 1 else short.get(level, level)


class Words:
    """How the levels and changes of one suite are said."""

    def __init__(self, found: Recipes, levels: Mapping[str, Sequence[str]]) -> None:
        self.found = found
        self.levels = levels
        self.unit = depth_unit(found.runs)

    def level(self, factor: str, level: str) -> str:
        """A level of a factor."""
        return level_words(factor, level, self.levels.get(factor, ()), self.unit)

    def depth(self, depth: str) -> str:
        """`32 layers`; "" where depth does not vary."""
        return deep(depth, self.unit)

    def changes(self, trial: Trial) -> str:
        """What a cell changes: `batch normalization + clipping`, or `as it stands`."""
        said, changed = [], dict(trial.changes)
        for factor, level in trial.changes:
            if factor == "optimizer":
                rate = changed.get(RATE) or self.found.baseline.get(RATE)
                said.append(f"{self.level(factor, level)}{f' at {rate}' if rate else ''}")
            elif factor != RATE or "optimizer" not in changed:
                said.append(self.level(factor, level).removeprefix("a ").removeprefix("an "))
        return " + ".join(said) or "as it stands"

    def names(self, levels: Sequence[str], joined: str = "and") -> str:
        """The asked factor's levels in words; all of them, or many, by their number."""
        if not self.found.ask:
            return "the network"
        networks = "networks with " if self.found.ask in OF_DATA else ""
        if len(levels) == len(self.found.levels) > 1:
            return f"{networks}{'both' if len(levels) == 2 else f'all {count(len(levels))}'} {self.asked}"
        if len(levels) > MANY:
            return f"{networks}{count(len(levels))} of {count(len(self.found.levels))} {self.asked}"
        said = listed([self.level(self.found.ask, each) for each in levels])
        return networks + said.replace(" and ", f" {joined} ")

    def any_of(self, levels: Sequence[str]) -> str:
        """The same in a sentence that denies."""
        if len(levels) == len(self.found.levels) > 1:
            return f"either {self.one_asked}" if len(levels) == 2 else f"any of {count(len(levels))} {self.asked}"
        return self.names(levels, "or")

    @property
    def asked(self) -> str:
        """The asked factor in the plural."""
        of_data = {"preprocessing": "kinds of inputs", "target_preprocessing": "kinds of targets"}
        return of_data.get(self.found.ask, f"{spoken(self.found.ask)}s")

    @property
    def one_asked(self) -> str:
        """The asked factor behind `either` and `neither`."""
        return f"kind of {self.asked.rpartition(' ')[2]}" if self.found.ask in OF_DATA else spoken(self.found.ask)

    @property
    def untouched(self) -> str:
        """With what a network stands that nothing was changed of."""
        return "with Keras's defaults" if self.keras else "with nothing changed"

    @property
    def keras(self) -> bool:
        """Whether the baseline is what Keras's user has who sets nothing: every treatment off, Adam at 0.001."""
        run = {} if self.found.runs.empty else self.found.runs.iloc[0].to_dict()
        own = FACTORS["architecture"].level(str(run.get("architecture")))
        recurrent = own.defaults if isinstance(own, ArchitectureLevel) else {}
        return all(
            self.found.baseline.get(name, str(run.get(name, ""))) == level
            for name, level in (KERAS | {name: level for name, level in recurrent.items() if name in NAMED}).items()
            if name != self.found.ask
        )


def count(number: int) -> str:
    """A small number as a word."""
    return NUMBERS[number] if 0 < number < len(NUMBERS) else integer(number)


def headline(found: Recipes, words: Words, cause: str = "") -> str:
    """One or two sentences of at most 35 words together.

    Args:
        found: the recipes.
        words: how their levels are said.
        cause: a sentence on why most runs did not learn; said where nothing trains.
    """
    deepest = [row for row in found.rows if row.depth == found.depths[-1]] if found.depths else []
    if not deepest or all(row.reached is Reached.UNMEASURED for row in found.rows):
        return "Whether these networks train is not known: no final score was recorded."
    if not any(row.reached is Reached.TRAINS for row in found.rows):
        return " ".join(_nothing(found, cause))
    said = ""
    for clause in _clauses(found, words, deepest):
        longer = f"{said} {sentence(clause)}".strip()
        if len(longer.split()) <= MOST_WORDS and len(clause.split()) <= MOST_IN_SENTENCE:
            said = longer
    return said


def _nothing(found: Recipes, cause: str) -> Iterator[str]:
    """That no cell trains, how many runs did, how many learned, and why most did not."""
    runs, trained = len(found.runs), int(found.runs["trained"].sum())
    learned = int((found.runs["outcome"] == Outcome.LEARNED).sum())
    several = sum(len(row.trials) for row in found.rows) > 1
    also = f", {integer(learned)} learned" if learned > trained else ""
    who = "No network tried trains" if several else "The network does not train"
    every = " in every replicate" if trained else ""
    yield f"{who}{every}: {of(trained, runs, 'run')} did{also}."
    if cause:
        yield cause


def _clauses(found: Recipes, words: Words, deepest: Sequence[Recipe]) -> Iterator[str]:
    yield _out_of_the_box(found, words, deepest)
    rest = [row for row in deepest if not row.stands]
    if rest:
        fixed = _fixes(found, words, rest)
        if fixed:
            yield fixed
    yield from _never(found, words)


def _out_of_the_box(found: Recipes, words: Words, deepest: Sequence[Recipe]) -> str:
    """To which depth everything trains untouched, and what does at the deepest."""
    whole = []
    for depth in found.depths:
        if not all(row.stands for row in found.rows if row.depth == depth):
            break
        whole.append(depth)
    there = [row.level for row in deepest if row.stands]
    everything, last = words.names([row.level for row in deepest]), found.depths[-1]
    trains = _verb(found, len(deepest), "train")
    if len(there) == len(deepest):
        depth = f" up to {words.depth(last)}" if len(whole) == len(found.depths) else f" at {words.depth(last)}"
        return f"{everything} {trains} {words.untouched}{depth if len(found.depths) > 1 else ''}"
    if there:
        some, ends = f"only {words.names(there)} {_verb(found, len(there), 'train')}", f"only {words.names(there)} "
        ends += "does" if len(there) == 1 and found.ask not in OF_DATA else "do"
    elif len(deepest) > 1:
        two = len(deepest) == 2
        some = f"neither {words.one_asked}" if two else f"none of {count(len(deepest))} {words.asked}"
        some, ends = f"{some} trains", "neither does" if two else "none does"
    else:
        some, ends = f"{everything} does not train", "it does not"
    if len(found.depths) == 1:
        return f"{some} {words.untouched}"
    if whole:
        return f"up to {words.depth(whole[-1])} {everything} {trains} {words.untouched}; at {last}, {ends}"
    return f"at {words.depth(last)} {some} {words.untouched}"


def _verb(found: Recipes, number: int, verb: str) -> str:
    return verb if found.ask and (number > 1 or found.ask in OF_DATA) else f"{verb}s"


def _fixes(found: Recipes, words: Words, rest: Sequence[Recipe]) -> str:
    """Which single changes train which of the others, the one that trains most first; what needs more; what nothing."""
    by_change: dict[str, list[str]] = {}
    for row in rest:
        for trial in row.trials:
            if trial.trains and trial.moved == 1:
                by_change.setdefault(words.changes(trial), []).append(row.level)
    left = [row.level for row in rest]
    parts: list[str] = []
    while any(level in left for levels in by_change.values() for level in levels):
        change, levels = max(by_change.items(), key=lambda each: sum(level in left for level in each[1]))
        helped = [level for level in levels if level in left]
        whom = words.names(helped)
        if len(helped) == len(rest) > 1:
            whom = "each" if len(rest) == len(found.levels) else "the others"
        parts.append(f"{_with_article(change)}{'' if parts else ' alone'} trains {whom if found.ask else 'it'}")
        left = [level for level in left if level not in helped]
    more = [row.level for row in rest if row.level in left and row.reached is Reached.TRAINS]
    lost = [row for row in rest if row.level in left and row.reached is not Reached.TRAINS]
    learned = [row.level for row in lost if row.reached is Reached.LEARNED]
    never = [row.level for row in lost if len(row.trials) > 1 and row.level not in learned]
    if more:
        needs = _verb(found, len(more), "need")
        parts.append(f"{words.names(more) if found.ask else 'it'} {needs} more than one change")
    if never:
        parts.append(f"nothing tried trains {words.any_of(never) if found.ask else 'it'}")
    if learned:
        parts.append(f"though short of the bar, {words.names(learned) if found.ask else 'it'} learned")
    while len(parts) > 1 and len(" ".join(parts).split()) > MOST_WORDS - FIRST_WORDS:
        parts.pop(-2)
    return "; ".join(parts)


def _with_article(change: str) -> str:
    return f"a {change}" if change.startswith("skip connection") else change


def _never(found: Recipes, words: Words) -> Iterator[str]:
    """The treatment that alone trained none of the most networks which do not train untouched; of equals the first."""
    tried: dict[str, list[bool]] = {}
    for row in found.rows:
        if row.untouched is not None and not row.untouched.trains:
            for trial in row.trials:
                if trial.moved == 1 and all(found.baseline[factor] == "none" for factor, _ in trial.changes):
                    tried.setdefault(words.changes(trial), []).append(trial.trains)
    useless = {change: len(each) for change, each in tried.items() if len(each) >= FEWEST_TRIED and not any(each)}
    if useless:
        change = max(useless, key=lambda each: useless[each])
        yield f"alone, {_with_article(change)} trained none of {useless[change]} cells"
