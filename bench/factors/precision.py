"""In which numbers layers compute."""

from __future__ import annotations

from bench.factors.base import Choice, Factor, Level, Place, Rule, Setting

FLOAT16, BFLOAT16 = "mixed_float16", "mixed_bfloat16"
NO_SCALE, FIXED, DYNAMIC = "none", "fixed", "dynamic"

PRECISION = Factor(
    "precision",
    "In which numbers layers compute; weights, loss, updates and all that is recorded are in float32 or wider.",
    Place.GRAPH, default="float32",
    levels=(
        Level("float32", "Every layer in float32.", "Baseline"),
        Level(
            FLOAT16, "Layers compute in float16, which ends at 65504 above and at 6e-8 below, from float32 weights.",
            "Micikevicius et al. 2018; Keras's policy of that name",
            settings={
                "loss_scale": Setting(
                    DYNAMIC,
                    "What the loss is multiplied by before its gradient is taken: 1, initial_scale, or by Keras's "
                    "LossScaleOptimizer.",
                    allowed=(NO_SCALE, FIXED, DYNAMIC),
                ),
                "initial_scale": Setting(
                    2.0**15, "The first scale; of fixed the only one.", minimum=0.0, exclusive=True, maximum=2.0**120
                ),
                "growth_steps": Setting(2000, "Steps without an overflow after which dynamic doubles it.", minimum=1),
            },
        ),
        Level(
            BFLOAT16, "Layers compute in bfloat16: the range of float32, and 8 binary digits.",
            "Kalamkar et al. 2019; Keras's policy of that name",
        ),
    ),
)  # fmt: skip


def _scale_is_heeded(precision: Choice) -> str:
    if precision.name != FLOAT16:
        return ""
    said, defaults = dict(precision.settings), PRECISION.levels[1].settings
    unheeded = {NO_SCALE: ("initial_scale", "growth_steps"), FIXED: ("growth_steps",)}.get(str(said["loss_scale"]), ())
    idle = [name for name in unheeded if said[name] != defaults[name].default]
    if not idle:
        return ""
    return (
        f"with loss_scale {said['loss_scale']} nothing heeds {' and '.join(idle)}. "
        f"Leave {'them' if len(idle) > 1 else 'it'} out, or take loss_scale {DYNAMIC}."
    )


def first_scale(precision: Choice) -> float | None:
    """The loss scale of the first step; None where no loss is scaled, 1 in float16 without."""
    if precision.name != FLOAT16:
        return None
    return 1.0 if precision.setting("loss_scale") == NO_SCALE else float(precision.setting("initial_scale"))


def number_bytes(precision: Choice) -> int:
    """Bytes of a number that a layer computes."""
    return 4 if precision.is_none else 2


PRECISION_RULES: tuple[Rule, ...] = ((("precision",), _scale_is_heeded),)
