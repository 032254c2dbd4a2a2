"""The explorer's charts as Vega-Lite specifications; the page fills in their data and colours."""

from __future__ import annotations

from typing import Any

import altair as alt

from bench.analysis import Outcome

# Colour and shape tell outcomes apart, so that neither is needed.
OUTCOME_COLOURS = {
    Outcome.LEARNED: "--series-0",
    Outcome.NOT_LEARNED: "--series-1",
    Outcome.DIVERGED: "--series-3",
    Outcome.FAILED: "--series-7",
    Outcome.UNMEASURED: "--series-4",
}
OUTCOME_SHAPES = {
    Outcome.LEARNED: "circle",
    Outcome.NOT_LEARNED: "square",
    Outcome.DIVERGED: "triangle-up",
    Outcome.FAILED: "cross",
    Outcome.UNMEASURED: "diamond",
}
MOST_TIP_FACTORS = 8
WHOLE_STEPS = alt.Axis(tickMinStep=1, format=",d")


def specifications(factors: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Vega-Lite specifications by name, without data: `scatter`, `heatmap`, `loss`, `accuracy`.

    A colour that begins with `--` is the page's variable of that name, which the page resolves.
    """
    charts = {"scatter": _scatter(factors), "heatmap": _heatmap(), "loss": _loss(), "accuracy": _accuracy()}
    return {name: chart.to_dict() for name, chart in charts.items()}


def _outcome(encoding: type[alt.Color] | type[alt.Shape], values: dict[Outcome, str]) -> Any:
    domain = [each.value for each in values]
    scale = alt.Scale(domain=domain, range=list(values.values()))
    return encoding("outcome:N", scale=scale, legend=alt.Legend(title="outcome", orient="top", columns=3))


def _scatter(factors: list[dict[str, Any]]) -> Any:
    """A mark a run; a brush over it filters the table."""
    tips = [alt.Tooltip("run:N"), alt.Tooltip("outcome:N"), alt.Tooltip("symptom:N", title="at initialization")]
    tips += [alt.Tooltip(f"{f['name']}:N", title=f["title"]) for f in factors[:MOST_TIP_FACTORS]]
    tips += [alt.Tooltip("x:Q", format=".4g"), alt.Tooltip("y:Q", format=".4g")]
    return (
        alt.Chart(alt.NamedData("runs"), width="container", height=320)
        .mark_point(filled=True, size=36, opacity=0.65)
        .encode(
            x=alt.X("x:Q", title="", scale=alt.Scale(zero=False, padding=8)),
            y=alt.Y("y:Q", title="", scale=alt.Scale(zero=False, padding=8)),
            color=_outcome(alt.Color, OUTCOME_COLOURS),
            shape=_outcome(alt.Shape, OUTCOME_SHAPES),
            tooltip=tips,
        )
        .add_params(alt.selection_interval(name="brush"))
    )


def _heatmap() -> Any:
    """log10 of the pre-activation gradient norm by layer and step; what was not recorded stays empty."""
    return (
        alt.Chart(alt.NamedData("cells"), width="container", height=260)
        .mark_rect()
        .encode(
            x=alt.X("step:O", title="step", axis=alt.Axis(labelOverlap=True)),
            y=alt.Y("layer:O", title="hidden layer (0 nearest the input)", sort="descending",
                    axis=alt.Axis(labelOverlap=True)),
            color=alt.Color("norm:Q", title="log10 norm", scale=alt.Scale(scheme="viridis", clamp=True)),
            tooltip=["step:O", "layer:O", alt.Tooltip("said:N", title="log10 norm")],
        )
    )  # fmt: skip


def _loss() -> Any:
    return (
        alt.Chart(alt.NamedData("losses"), width="container", height=180)
        .mark_line(point=True)
        .encode(
            x=alt.X("step:Q", title="step", axis=WHOLE_STEPS),
            y=alt.Y("loss:Q", title="loss of the training batch (nat)", scale=alt.Scale(type="log")),
            color=alt.value("--series-0"),
            tooltip=["step:Q", alt.Tooltip("loss:Q", format=".4g")],
        )
    )


def _accuracy() -> Any:
    domain = ["validation", "train"]
    return (
        alt.Chart(alt.NamedData("accuracies"), width="container", height=180)
        .mark_line(point=True)
        .encode(
            x=alt.X("step:Q", title="step", axis=WHOLE_STEPS),
            y=alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("split:N", scale=alt.Scale(domain=domain, range=["--series-0", "--series-1"]),
                            legend=alt.Legend(orient="top", title=None, symbolType="stroke")),
            strokeDash=alt.StrokeDash("split:N", scale=alt.Scale(domain=domain, range=[[1, 0], [4, 2]])),
            tooltip=["step:Q", "split:N", alt.Tooltip("accuracy:Q", format=".1%")],
        )
    )  # fmt: skip
