"""How the learning rate changes over a run: a warm-up at its start, and a schedule after that."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Place, Setting, above_zero

WARMUP = Factor(
    "warmup", "How the learning rate rises to its level at the start of a run.", Place.RUN, default="none",
    levels=(
        Level("none", "The rate is there from the first step.", "Baseline"),
        Level(
            "linear", "Update t, from 0, has (t + 1) / (steps + 1) of the rate; the schedule follows.",
            "Goyal et al. 2017; Keras's CosineDecay",
            settings={"steps": Setting(20, "Updates below the full rate; fewer than the run has.", minimum=1)},
        ),
    ),
)  # fmt: skip

_STEPS = Setting(
    "steps", "Updates over which it falls; steps: all of the run's that a warm-up leaves.", minimum=1.0, or_number=True
)  # fmt: skip
_STAIRCASE = Setting(False, "Whether it falls at whole multiples of decay_steps only.")
_ALPHA = Setting(0.0, "Share of the rate at which it ends.", minimum=0.0, maximum=1.0)


def _keras(name: str, summary: str, source: str, **settings: Setting) -> Level:
    """Keras's schedule of that name, as the class `cosine_decay` is `CosineDecay`."""
    return Level(name, summary, source, f"keras.optimizers.schedules:{name.title().replace('_', '')}", settings)


SCHEDULE = Factor(
    "schedule", "How the learning rate falls over a run, after any warm-up.", Place.RUN, default="none",
    levels=(
        Level("none", "The rate stays.", "Baseline"),
        _keras(
            "cosine_decay", "To alpha times the rate along half a cosine.", "Loshchilov & Hutter 2017",
            decay_steps=_STEPS, alpha=_ALPHA,
        ),
        _keras(
            "cosine_decay_restarts", "Half cosines one after the other, each begun anew at m_mul times the last start.",
            "Loshchilov & Hutter 2017",
            first_decay_steps=Setting(50, "Updates of the first half cosine.", minimum=1),
            t_mul=Setting(2.0, "How much longer each is than the one before.", minimum=1.0),
            m_mul=above_zero(1.0, "Where each begins, in terms of the one before."), alpha=_ALPHA,
        ),
        _keras(
            "exponential_decay", "The rate times decay_rate to the power t / decay_steps; in a staircase, step decay.",
            "Keras", decay_steps=_STEPS, decay_rate=above_zero(0.1, "Share of the rate left after decay_steps."),
            staircase=_STAIRCASE,
        ),
        _keras(
            "polynomial_decay", "To end_learning_rate as (1 - t / decay_steps) to a power: 1 is a straight line.",
            "Keras", decay_steps=_STEPS,
            end_learning_rate=Setting(0.0001, "The rate at which it ends; not above the learning rate.", minimum=0.0),
            power=above_zero(1.0, "The power."),
            cycle=Setting(False, "Whether it begins anew, over a multiple of decay_steps."),
        ),
        _keras(
            "inverse_time_decay", "The rate over 1 + decay_rate t / decay_steps.", "Robbins & Monro 1951; Keras",
            decay_steps=_STEPS, decay_rate=above_zero(1.0, "How fast it falls."), staircase=_STAIRCASE,
        ),
    ),
)  # fmt: skip
