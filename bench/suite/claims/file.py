"""`[[claims]]` as a suite writes them: tables and keys. What they mean for its cells, `read.py` finds out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

CLAIM_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"

Word = Annotated[str, Field(min_length=1)]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RowTable(_Keys):
    """One point of a reduction that names its own cells."""

    x: Annotated[float, Field(description="Where it stands.")]
    cells: Annotated[dict[str, Any], Field(description="Which cells stand there: factor = level, or a list.")]


class ReduceTable(_Keys):
    """Runs that differ along one factor become one number per replicate."""

    over: Annotated[
        str | Annotated[list[RowTable], Field(min_length=2)], Field(description="A factor, or a list of { x, cells }.")
    ]
    take: Annotated[
        Literal["mean", "median", "min", "max", "slope", "rank_correlation", "largest", "smallest"],
        Field(description="largest and smallest: the level, of those where the number is at least 1/2."),
    ]
    x: Annotated[Literal["level", "ln_level"], Field(description="Of slope: against the level or its ln.")] = "level"


class PartTable(_Keys):
    """What one part of a rule says; a rule without parts is its own part."""

    number: Annotated[dict[str, Any] | None, Field(description="The number of each run.")] = None
    ln: Annotated[bool, Field(description="Go on with the natural logarithm of that number.")] = False
    where: Annotated[dict[str, Any], Field(description="The runs it is about: factor = level, or a list.")] = {}
    of: Annotated[dict[str, Any] | None, Field(description="The runs that are compared.")] = None
    against: Annotated[dict[str, Any] | None, Field(description="The runs that they are compared with.")] = None
    best: Annotated[
        str | list[str] | None,
        Field(description="Factors of which each network is judged at its best level, the same for both sides."),
    ] = None
    best_by: Annotated[
        Literal["accuracy", "loss", "lowest", "highest"],
        Field(description="Final training accuracy, then loss; that loss; or the number itself."),
    ] = "accuracy"
    reduce: Annotated[
        ReduceTable | list[ReduceTable],
        Field(description="From the runs of a replicate to one number; several are done in their order."),
    ] = []
    statistic: Annotated[
        Literal["mean", "median", "each"], Field(description="Over replicates: of which the region is claimed.")
    ] = "mean"
    compare: Annotated[Literal["difference", "ratio"], Field(description="How of is compared with against.")] = (
        "difference"
    )
    least: Annotated[float | None, Field(description="The lower edge of the claimed region.")] = None
    most: Annotated[float | None, Field(description="The upper edge of the claimed region.")] = None
    level: Annotated[float, Field(ge=0.5, lt=1.0, description="The confidence of the interval.")] = 0.95
    lost: Annotated[
        float | Literal["unknown", "measured", "excluded", "chance"],
        Field(
            union_mode="left_to_right",
            description="What stands for a run that diverged or failed: anything, what was measured before, "
            "nothing, accuracy at chance, or this number.",
        ),
    ] = "unknown"


class NamedPartTable(PartTable):
    """One part of a rule that has several; what it leaves out stands in the rule."""

    name: Annotated[str, Field(min_length=1, max_length=60, description="Names the part.")]


class RuleTable(PartTable):
    """What decides a claim."""

    all: Annotated[list[NamedPartTable], Field(min_length=1, description="Parts that must all hold.")] | None = None
    any: Annotated[list[NamedPartTable], Field(min_length=1, description="Parts of which one must hold.")] | None = None


class ClaimTable(_Keys):
    """A statement of the literature and the rule that decides it."""

    id: Annotated[str, Field(pattern=CLAIM_NAME, max_length=60, description="Letters, digits, _, - and dots.")]
    statement: Annotated[Word, Field(description="What is claimed, in one sentence.")]
    source: Annotated[Word, Field(description="Who claimed it, where.")]
    paper: Annotated[Word, Field(description="The source's own numbers and conditions.")] = ""
    differs: Annotated[Word, Field(description="What differs here.")] = ""
    rule: Annotated[RuleTable, Field(description="What decides it.")]
