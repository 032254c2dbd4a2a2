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
SUPERSCRIPTS = dict(zip("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True))
WHOLE_STEPS = alt.Axis(tickMinStep=1, format=",d")


def _power() -> str:
    """A whole number of decades as a power of ten, in Vega's expressions."""
    digits = "format(datum.value, 'd')"
    for plain, raised in {"−": "⁻", **SUPERSCRIPTS}.items():
        digits = f"replace({digits}, regexp('{plain}', 'g'), '{raised}')"
    return f"datum.value == 0 ? '1' : '10' + {digits}"


POWER = _power()


def specifications(factors: list[dict[str, Any]], unit: str = "hidden layer") -> dict[str, dict[str, Any]]:
    """Vega-Lite specifications by name, without data: `scatter`, `heatmap`, `loss`, `accuracy`.

    A colour that begins with `--` is the page's variable of that name, which the page resolves. `unit` is what the
    tables have a row for.
    """
    charts = {"scatter": _scatter(factors), "heatmap": _heatmap(unit), "loss": _loss(), "accuracy": _accuracy()}
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


def _heatmap(unit: str) -> Any:
    """The pre-activation gradient norm by layer and step; what was not recorded stays empty.

    Colours are set by decades and labelled as powers of ten; the page names the ticks.
    """
    legend = alt.Legend(title="gradient norm", labelExpr=POWER, gradientLength=240)
    return (
        alt.Chart(alt.NamedData("cells"), width="container", height=260)
        .mark_rect()
        .encode(
            x=alt.X("step:O", title="step", axis=alt.Axis(labelOverlap=True)),
            y=alt.Y("layer:O", title=f"{unit} (0 nearest the input)", sort="descending",
                    axis=alt.Axis(labelOverlap=True)),
            color=alt.Color("norm:Q", title="log10 norm", scale=alt.Scale(scheme="viridis", clamp=True), legend=legend),
            tooltip=["step:O", "layer:O", alt.Tooltip("said:N", title="log10 norm")],
        )
    )  # fmt: skip


def _events() -> Any:
    """A line where something happened; the list below the charts says the same."""
    return (
        alt.Chart(alt.NamedData("events"))
        .mark_rule(strokeDash=[3, 3], size=1.5)
        .encode(x="step:Q", color=alt.value("--ink"), tooltip=["step:Q", "event:N"])
    )


def _by_step(data: str, y: Any, domain: list[str], step: str = "") -> Any:
    """A line for each of two series, and events behind them."""
    x = alt.X("step:Q", title="step", axis=WHOLE_STEPS)
    colours = alt.Scale(domain=domain, range=["--series-0", "--series-1"])
    lines = (
        alt.Chart(alt.NamedData(data))
        .mark_line(point=True)
        .encode(
            x=x,
            y=y,
            color=alt.Color("split:N", scale=colours,
                            legend=alt.Legend(orient="top", title=None, symbolType="stroke")),
            strokeDash=alt.StrokeDash("split:N", scale=alt.Scale(domain=domain, range=[[1, 0], [4, 2]])),
            tooltip=["step:Q", "split:N", alt.Tooltip(y.shorthand, format=step)],
        )
    )  # fmt: skip
    return alt.layer(_events(), lines, width="container", height=180)


def _loss() -> Any:
    y = alt.Y("loss:Q", title="loss", scale=alt.Scale(type="log"))
    return _by_step("losses", y, ["training batch", "validation"], ".4g")


def _accuracy() -> Any:
    y = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]))
    return _by_step("accuracies", y, ["validation", "train"], ".1%")
