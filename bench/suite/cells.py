"""From factors to cells: the product, less what is excluded, with what is included, and what no network could train."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from math import prod

from bench.errors import SuiteError, during, nearest
from bench.factors import (
    FACTORS,
    IN_SPACE,
    IN_TIME,
    OF_ATTENTION,
    OF_TARGETS,
    OF_TRANSFORMERS,
    ActivationLevel,
    ArchitectureLevel,
    Choice,
    DataKind,
    Scalar,
    TaskLevel,
    choose,
    dataset_level,
    default_level,
    misfit_in_space,
    misfit_in_time,
    misfit_of_attention,
    misfit_of_causal,
    misfit_of_channels,
    misfit_of_heads,
    misfit_of_query_key,
    misfit_of_scale,
    misfit_of_targets,
    misfit_of_tied,
    show,
)

MAX_CELLS = 1_000_000
MAX_RUNS = 1_000_000

# Factors of which an architecture has a level of its own where a suite names none.
OWN = frozenset(
    name for level in FACTORS["architecture"].levels if isinstance(level, ArchitectureLevel) for name in level.defaults
)

Cell = Mapping[str, Choice]  # every factor, in the order of FACTORS
PartialCell = Mapping[str, tuple[Choice, ...]]  # for some factors, the levels that it names
ChoiceOf = Callable[[str, object], Choice]  # what a suite writes for a factor, as `choose`, and a dataset's digest


class Levels:
    """The levels that a suite names, per factor: those of `[factors]`, then those that includes add.

    One object stands for each level, so cells compare by identity.
    """

    def __init__(
        self,
        varied: Mapping[str, tuple[Choice, ...]],
        fixed: Mapping[str, Choice],
        choice_of: ChoiceOf,
        unnamed: Collection[str] = (),
    ) -> None:
        """`unnamed` are the factors in neither `[factors]` nor `[fixed]`: an architecture has its own level of them."""
        self.product = varied
        self._choice_of = choice_of
        self._all = {name: list(levels) for name, levels in varied.items()}
        self._fixed = {name: fixed[name] for name in FACTORS if name in fixed}
        self._unnamed = frozenset(unnamed)
        self.complete({"architecture": varied.get("architecture", ())})

    def named(self, factor: str, written: object) -> tuple[Choice, ...]:
        """The known levels that `written` means: a bare name means the level with any settings."""
        choice = choose(FACTORS[factor], written)
        bare = choice.name == written
        known = self._all.get(factor) or [self._fixed[factor]]
        return tuple(level for level in known if (level.name == choice.name if bare else level == choice))

    def add(self, factor: str, written: object) -> tuple[Choice, ...]:
        """The level that `written` means, after adding it if it is new.

        Raises:
            SuiteError: a bare name means several levels of the suite, which differ in their settings.
        """
        new = self._choice_of(factor, written)
        known = self.named(factor, written) or self._alike(factor, new)
        if len(known) > 1:
            raise SuiteError(
                f"{show(written)} may be {' or '.join(level.label for level in known)} here. "
                f'Write a table: {{ level = "{new.name}" }} has the default settings.'
            )
        if known:
            return known
        if factor not in self._all:
            self._all[factor] = [self._fixed[factor]]
        self._all[factor].append(new)
        return (new,)

    def complete(self, part: PartialCell) -> None:
        """Know the own levels of a partial cell's architectures, of each factor that neither it nor the suite names."""
        for architecture in part.get("architecture", ()):
            for name in self._unnamed.intersection(OWN).difference(part):
                self.add(name, own_level(name, architecture))

    def _own(self, architecture: Choice, part: PartialCell) -> dict[str, Choice]:
        names = self._unnamed.intersection(OWN, self._all).difference(part)
        return {name: self.named(name, own_level(name, architecture))[0] for name in names}

    def _alike(self, factor: str, new: Choice) -> tuple[Choice, ...]:
        """A known level that is the same under another path."""
        known = self._all.get(factor) or [self._fixed[factor]]
        return tuple(level for level in known if level.meaning == new.meaning)

    @property
    def varied(self) -> dict[str, tuple[Choice, ...]]:
        """Every factor of `[factors]`, and every other that an include varies."""
        return {name: tuple(levels) for name, levels in self._all.items()}

    @property
    def fixed(self) -> dict[str, Choice]:
        """Every other factor."""
        return {name: choice for name, choice in self._fixed.items() if name not in self._all}

    def combine(self, part: PartialCell) -> Iterator[Cell]:
        """The cells that match a partial cell: the factors it leaves out take their levels of `[factors]`."""
        chosen = {**self.product, **part}
        count = prod(len(levels) for levels in chosen.values())
        if count > MAX_CELLS:
            raise SuiteError(f"{count} cells are too many: the limit is {MAX_CELLS}.")
        blank = {name: self._fixed.get(name) or self.product[name][0] for name in FACTORS}
        networks = chosen.get("architecture", (blank["architecture"],))
        own = {id(network): self._own(network, part) for network in networks}
        for levels in product(*chosen.values()):
            cell = blank | dict(zip(chosen, levels, strict=True))
            yield cell | own[id(cell["architecture"])]


def read_partial(levels: Levels, written: Mapping[str, object], *, add: bool) -> PartialCell:
    """One `[[include]]` (which may `add` levels) or one `[[exclude]]`.

    Raises:
        SuiteError: it is empty, or names an unknown factor or level, or a level that the suite does not have.
    """
    if not written:
        raise SuiteError("it names no factor.")
    part = {}
    for factor, value in written.items():
        if factor not in FACTORS:
            raise SuiteError(f"{show(factor)} is not a factor. {nearest(factor, FACTORS)}")
        with during(f"{factor}:"):
            part[factor] = _read_levels(levels, factor, value, add=add)
    if add:
        levels.complete(part)
    return part


def own_level(factor: str, architecture: Choice) -> Scalar:
    """The level of a factor that no suite names: the architecture's, or the factor's own default."""
    network = FACTORS["architecture"].level(architecture.name)
    own = network.defaults if isinstance(network, ArchitectureLevel) else {}
    return own.get(factor, FACTORS[factor].default)


def _read_levels(levels: Levels, factor: str, written: object, *, add: bool) -> tuple[Choice, ...]:
    several = written if isinstance(written, list) else [written]
    if not several:
        raise SuiteError("the list is empty.")
    found: list[Choice] = []
    for value in several:
        matched = levels.add(factor, value) if add else levels.named(factor, value)
        if not matched:
            known = levels.varied.get(factor) or (levels.fixed[factor],)
            raise SuiteError(f"{show(value)} matches nothing: it is {', '.join(level.label for level in known)} here.")
        if any(level in found for level in matched):
            raise SuiteError(f"{show(value)} is named twice.")
        found.extend(matched)
    return tuple(found)


def expand(levels: Levels, exclude: tuple[PartialCell, ...], include: tuple[PartialCell, ...]) -> tuple[Cell, ...]:
    """All cells in order: the product of `[factors]` as written, the last factor fastest, then each include.

    Raises:
        SuiteError: an exclude takes nothing away, an include adds a cell twice, or no cell is left.
    """
    cells = list(levels.combine({}))
    for number, part in enumerate(exclude, 1):
        kept = [cell for cell in cells if not _matches(cell, part)]
        if len(kept) == len(cells):
            raise SuiteError(f"[[exclude]] {number} takes nothing away: an earlier one has all its cells.")
        cells = kept
    seen = {_identity(cell) for cell in cells} if include else set()
    for number, part in enumerate(include, 1):
        for cell in levels.combine(part):
            if _identity(cell) in seen:
                named = ", ".join(f"{factor} {cell[factor].label}" for factor in {**levels.product, **part})
                raise SuiteError(f"[[include]] {number} adds a cell that is there already: {named}.")
            seen.add(_identity(cell))
            cells.append(cell)
        if len(cells) > MAX_CELLS:
            raise SuiteError(f"{len(cells)} cells up to [[include]] {number} are too many: the limit is {MAX_CELLS}.")
    if not cells:
        raise SuiteError("no cell is left: [[exclude]] takes all of them away.")
    return tuple(cells)


def check_size(cells: int, replicates: int) -> None:
    """Refuse more runs than a plan can hold.

    Raises:
        SuiteError: there are more than MAX_RUNS.
    """
    if cells * replicates > MAX_RUNS:
        raise SuiteError(
            f"[suite] replicates: {replicates} of {cells} cells are {cells * replicates} runs; the limit is {MAX_RUNS}."
        )


def _matches(cell: Cell, part: PartialCell) -> bool:
    return all(any(cell[factor] is level for level in levels) for factor, levels in part.items())


def _identity(cell: Cell) -> tuple[int, ...]:
    return tuple(map(id, cell.values()))


def check_combinations(cells: Iterable[Cell]) -> None:
    """Refuse cells that no network could train.

    Raises:
        SuiteError: a cell breaks a rule; the message names the levels and the rule.
    """
    seen: set[tuple[object, ...]] = set()
    for cell in cells:
        for factors, rule in _RULES:
            choices = [cell[factor] for factor in factors]
            pair = (rule, *map(id, choices))
            if pair in seen:
                continue
            seen.add(pair)
            broken = rule(*choices)
            if broken:
                told = [
                    f"{factor} {choice.label}"
                    for factor, choice in zip(factors, choices, strict=True)
                    if len(factors) < 3 or not choice.is_none
                ]
                named = " and ".join(told) if len(told) < 3 else f"{', '.join(told[:-1])} and {told[-1]}"
                if len(choices) == 1:
                    raise SuiteError(f"{named}: {broken}")
                raise SuiteError(
                    f"{named} do not go together: {broken} Change one, or take the pair away by [[exclude]]."
                )


def _of_network(factor: str) -> Callable[[Choice, Choice], str]:
    """Whether an architecture can be made with a factor's level, and has a use for it."""

    def objection(architecture: Choice, choice: Choice) -> str:
        network = FACTORS["architecture"].level(architecture.name)
        return network.objection(factor, choice) if isinstance(network, ArchitectureLevel) else ""

    return objection


def _cell_has_gates(cell: Choice, gate_bias: Choice) -> str:
    if cell.name != "simple" or gate_bias.name not in ("chrono", "remember"):
        return ""
    return "a simple cell has no gates; lstm and gru have."


def _fits_targets(factor: str) -> Callable[[Choice, Choice], str]:
    """Whether a loss is one of what a dataset asks for, where that is known before it is read."""

    def objection(dataset: Choice, choice: Choice) -> str:
        data = dataset_level(dataset)
        return misfit_of_targets(factor, choice, data.asks) if data is not None and data.classes else ""

    return objection


def _fits_length(factor: str) -> Callable[[Choice, Choice], str]:
    """Whether a recurrent network's level fits the dataset's sequences, where their length is known."""

    def objection(dataset: Choice, choice: Choice) -> str:
        data = dataset_level(dataset)
        return misfit_in_time(factor, choice, data.steps) if data is not None and data.steps else ""

    return objection


def _fits_positions(architecture: Choice, dataset: Choice, *levels: Choice) -> str:
    """Whether a convolutional network's kernels fit a sample, halved as often as it is, where its shape is known."""
    data = dataset_level(dataset)
    if architecture.name != "conv" or data is None or data.kind not in ("sequence", "image"):
        return ""
    return misfit_in_space(dict(zip(IN_SPACE, levels, strict=True)), data.input_shape)


def _data_fits_network(dataset: Choice, architecture: Choice) -> str:
    data, network = dataset_level(dataset), FACTORS["architecture"].level(architecture.name)
    if data is None or not isinstance(network, ArchitectureLevel):
        return ""
    return network.data_objection(data)


def _batch_fits_data(dataset: Choice, batch_size: Choice) -> str:
    data = dataset_level(dataset)
    if data is None or not data.train_rows or (batch_size.value or 0) <= data.train_rows:
        return ""
    return f"{data.name} has {data.train_rows} training rows."


def _task_can_be_drawn(dataset: Choice) -> str:
    level = FACTORS["dataset"].level(dataset.name)
    return level.objection(dict(dataset.settings)) if isinstance(level, TaskLevel) else ""


def _task_is_not_scaled(dataset: Choice, preprocessing: Choice) -> str:
    level = dataset_level(dataset)
    if preprocessing.name == "standardize" or level is None:
        return ""
    if level.vocabulary:
        return "tokens are symbols and have no scale; standardize leaves them as they are."
    if not isinstance(level, TaskLevel) or level.scaled:
        return ""
    return f"the sequences of {dataset.name} are left as they are drawn, whatever the preprocessing."


def _groups_divide_width(normalization: Choice, width: Choice) -> str:
    if normalization.name != "group_normalization":
        return ""
    groups = int(normalization.setting("groups"))
    return f"groups = {groups} must divide the width." if int(width.value or 0) % groups else ""


def _normalizes_before(architecture: Choice, normalization: Choice) -> str:
    if architecture.name != "recurrent" or dict(normalization.settings).get("position") != "after":
        return ""
    return "inside a cell it stands before gates and activation. Leave position at before."


def _heads_divide_width(heads: Choice, width: Choice) -> str:
    return misfit_of_heads(int(heads.value or 0), int(width.value or 0))


def _attends(factor: str) -> Callable[[Choice, Choice], str]:
    """Whether there is attention that a level could be about."""

    def objection(sublayers: Choice, choice: Choice) -> str:
        return misfit_of_attention(factor, choice) if sublayers.name == "feed_forward_only" else ""

    return objection


def _compares(factor: str, query_key: Choice, choice: Choice) -> str:
    return misfit_of_query_key(query_key, factor, choice)


def _answers_are_tokens(tied: Choice, dataset: Choice) -> str:
    data = dataset_level(dataset)
    if tied.name != "yes" or data is None or not data.classes:
        return ""
    return misfit_of_tied(data.vocabulary, data.classes)


def _has_logits(dataset: Choice, z_loss: Choice) -> str:
    data = dataset_level(dataset)
    if not z_loss.value or data is None or data.asks is not DataKind.VALUES:
        return ""
    return "its targets are values, which have no logits. Leave z_loss at 0."


def _has_both_sublayers(block: Choice, sublayers: Choice) -> str:
    if block.name != "b2t" or sublayers.name in ("both", "none"):
        return ""
    return "b2t adds what entered at attention behind the feed-forward sub-layer. Leave sublayers at both."


def _feeds_forward(architecture: Choice, sublayers: Choice, feed_forward: Choice) -> str:
    usual = default_level(FACTORS["feed_forward"], [architecture.name])
    if sublayers.name != "attention_only" or feed_forward.value == usual:
        return ""
    return f"there is no feed-forward sub-layer. Leave feed_forward at {usual}."


def _t_fixup_draws_embeddings(block: Choice, embedding_initializer: Choice) -> str:
    if block.name != "t_fixup" or embedding_initializer.name in ("keras_uniform", "none"):
        return ""
    return "t_fixup draws the embeddings too. Leave embedding_initializer at keras_uniform."


def _fixup_draws_kernels(skip: Choice, initializer: Choice) -> str:
    if skip.name != "fixup" or initializer.name not in ("lsuv", "critical"):
        return ""
    return f"fixup draws kernels smaller, and {initializer.name} wants them as it draws them. he_normal is fixup's own."


def _fixup_has_no_biases(skip: Choice, bias_initializer: Choice) -> str:
    if skip.name != "fixup" or bias_initializer.name == "zeros":
        return ""
    return "fixup has one number in the place of a layer's biases, which starts at 0. Leave bias_initializer at zeros."


def _mean_is_left(normalization: Choice, head_pool: Choice) -> str:
    after = dict(normalization.settings).get("position") == "after"
    if normalization.name != "instance_normalization" or not after or head_pool.name != "global_average":
        return ""
    return (
        "each filter's mean over positions is then what is learned, whatever the sample. flatten reads all positions."
    )


def _channels_grow(architecture: Choice, dataset: Choice, width: Choice, initializer: Choice) -> str:
    data = dataset_level(dataset)
    if architecture.name != "conv" or data is None or not data.shape:
        return ""
    return misfit_of_channels(width, initializer, data.input_shape)


def _skip_has_a_block(skip: Choice, depth: Choice) -> str:
    if skip.is_none or (depth.value or 0) > 1:
        return ""
    return "the first hidden layer is outside the blocks, so a skip needs depth 2 or more."


def _critical_exists(initializer: Choice, activation: Choice) -> str:
    level = FACTORS["activation"].level(activation.name)
    if initializer.name != "critical" or not isinstance(level, ActivationLevel) or level.critical:
        return ""
    return f"no variance of weights and biases makes {activation.name} critical."


def _critical_draws_biases(initializer: Choice, bias_initializer: Choice) -> str:
    if initializer.name != "critical" or bias_initializer.name == "zeros":
        return ""
    return "critical draws the biases too. Leave bias_initializer at zeros, and give critical its bias_stddev."


def _warmup_ends(warmup: Choice, steps: Choice) -> str:
    if warmup.is_none or int(warmup.setting("steps")) < (steps.value or 0):
        return ""
    return f"a warm-up must end before the run does: its steps can be {int(steps.value or 0) - 1} at most."


def _schedule_falls(learning_rate: Choice, schedule: Choice) -> str:
    end = float(schedule.setting("end_learning_rate")) if schedule.name == "polynomial_decay" else 0.0
    return f"the rate would rise to end_learning_rate, {end}." if end > (learning_rate.value or 0) else ""


_NETWORKS = (
    "cell", "recurrent_initializer", "gate_bias", "direction", "truncate", "kernel_size", "padding", "downsample",
    "head_pool", "normalization", "skip", "initializer",
    *(factor.name for factor in OF_TRANSFORMERS),
)  # fmt: skip
_RULES: tuple[tuple[tuple[str, ...], Callable[..., str]], ...] = (
    (("dataset",), _task_can_be_drawn),
    (("dataset", "preprocessing"), _task_is_not_scaled),
    (("dataset", "architecture"), _data_fits_network),
    *((("architecture", factor), _of_network(factor)) for factor in _NETWORKS),
    (("cell", "gate_bias"), _cell_has_gates),
    *((("dataset", factor), _fits_length(factor)) for factor in IN_TIME),
    (("architecture", "dataset", *IN_SPACE), _fits_positions),
    *((("dataset", factor), _fits_targets(factor)) for factor in OF_TARGETS),
    (("dataset", "batch_size"), _batch_fits_data),
    (("architecture", "normalization"), _normalizes_before),
    (("normalization", "width"), _groups_divide_width),
    (("normalization", "head_pool"), _mean_is_left),
    (("skip", "depth"), _skip_has_a_block),
    (("heads", "width"), _heads_divide_width),
    (("block", "sublayers"), _has_both_sublayers),
    (("architecture", "sublayers", "feed_forward"), _feeds_forward),
    *((("sublayers", factor), _attends(factor)) for factor in OF_ATTENTION),
    *((("query_key", each), partial(_compares, each)) for each in ("logit_scale", "attention_gain")),
    (("causal", "dataset"), misfit_of_causal),
    (("tied", "dataset"), _answers_are_tokens),
    (("dataset", "z_loss"), _has_logits),
    (("block", "embedding_initializer"), _t_fixup_draws_embeddings),
    (("skip", "initializer"), _fixup_draws_kernels),
    (("skip", "bias_initializer"), _fixup_has_no_biases),
    (("architecture", "dataset", "width", "initializer"), _channels_grow),
    (("initializer", "activation"), _critical_exists),
    (("initializer", "bias_initializer"), _critical_draws_biases),
    (("warmup", "steps"), _warmup_ends),
    (("learning_rate", "schedule"), _schedule_falls),
    (("precision",), misfit_of_scale),
)
