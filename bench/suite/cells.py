"""From factors to cells: the product, less what is excluded, with what is included, and what no network could train."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import product
from math import prod

from bench.errors import SuiteError, during, nearest
from bench.factors import FACTORS, IDLE, RULES, ArchitectureLevel, Choice, Scalar, choose, default_level, show

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
            for name in self._left_to_it(part):
                self.add(name, own_level(name, architecture))

    def _own(self, architecture: Choice, part: PartialCell) -> dict[str, Choice]:
        names = [name for name in self._left_to_it(part) if name in self._all]
        return {name: self.named(name, own_level(name, architecture))[0] for name in names}

    def _left_to_it(self, part: PartialCell) -> list[str]:
        """The factors of which an architecture has its own level here, in the order of all factors."""
        return [name for name in FACTORS if name in OWN and name in self._unnamed and name not in part]

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


def check_combinations(cells: Sequence[Cell]) -> None:
    """Refuse cells that no network could train, and those that would train one network under two names.

    Raises:
        SuiteError: a cell breaks a rule; the message names the levels and the rule.
    """
    seen: set[tuple[object, ...]] = set()
    for cell in cells:
        for factors, rule in RULES:
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
    for factor, sublayers in IDLE.items():
        _check_idle([cell for cell in cells if cell["sublayers"].name == sublayers], factor, alone=len(cells))


def _check_idle(cells: Sequence[Cell], factor: str, alone: int) -> None:
    """Refuse cells that differ only in what their network has no use for; `alone` cells in all, that they name it.

    Raises:
        SuiteError: they do; the message names the levels and what does not tell them apart.
    """
    made: dict[tuple[int, ...], Cell] = {}
    for cell in cells:
        other = made.setdefault(_identity({name: each for name, each in cell.items() if name != factor}), cell)
        if other is not cell:
            raise SuiteError(
                f"{factor} {other[factor].label} and {factor} {cell[factor].label} make the same network with "
                f"sublayers {cell['sublayers'].label}. Give it one, or take the others away by [[exclude]]."
            )
    for cell in cells if len(cells) == alone else ():
        usual = default_level(FACTORS[factor], [cell["architecture"].name])
        if cell[factor].value != usual:
            raise SuiteError(
                f"sublayers {cell['sublayers'].label} has no use for {factor} {cell[factor].label}. "
                f"Leave {factor} at {usual}, or train sublayers both too."
            )
