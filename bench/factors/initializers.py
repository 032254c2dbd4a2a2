"""Initializers: how the weights and the biases are drawn before the first step."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Place, Setting


def _stddev(summary: str) -> dict[str, Setting]:
    return {"stddev": Setting(0.05, summary, minimum=0.0, exclusive=True)}


def _fan(name: str, attribute: str, summary: str, source: str) -> Level:
    return Level(name, summary, source, target=f"keras.initializers:{attribute}")


_NORMAL = Level(
    "random_normal",
    "Normal with one standard deviation whatever the layer's size: the naive choice.",
    "Keras",
    target="keras.initializers:RandomNormal",
    settings=_stddev("Standard deviation."),
)

_UNIFORM = Level(
    "random_uniform",
    "Uniform between -limit and limit whatever the layer's size.",
    "Keras",
    target="keras.initializers:RandomUniform",
    settings={"limit": Setting(0.05, "Largest absolute weight.", minimum=0.0, exclusive=True)},
)

_TRUNCATED = Level(
    "truncated_normal",
    "Normal redrawn beyond two standard deviations, so its true deviation is 0.88 of `stddev`.",
    "Keras",
    target="keras.initializers:TruncatedNormal",
    settings=_stddev("Standard deviation before the cut."),
)

_ORTHOGONAL = Level(
    "orthogonal",
    "A random orthogonal matrix times `gain`: every singular value equals `gain`.",
    "Saxe, McClelland & Ganguli 2014",
    target="keras.initializers:Orthogonal",
    settings={"gain": Setting(1.0, "Factor on the orthogonal matrix.", minimum=0.0, exclusive=True)},
)

_VARIANCE_SCALING = Level(
    "variance_scaling",
    "Variance `scale` / fan: the family that holds Glorot, He and LeCun.",
    "Keras",
    target="keras.initializers:VarianceScaling",
    settings={
        "scale": Setting(1.0, "Numerator of the variance.", minimum=0.0, exclusive=True),
        "mode": Setting("fan_in", "Which fan divides.", allowed=("fan_in", "fan_out", "fan_avg")),
        "distribution": Setting(
            "truncated_normal", "Shape of the draw.", allowed=("truncated_normal", "untruncated_normal", "uniform")
        ),
    },
)

_LSUV = Level(
    "lsuv",
    "Orthogonal, then each layer rescaled on a batch until its output variance is 1.",
    "Mishkin & Matas 2016",
    settings={
        "tolerance": Setting(0.1, "Largest accepted distance of the variance from 1.", minimum=0.0, exclusive=True),
        "max_iterations": Setting(10, "Rescalings of a layer at most.", minimum=1, maximum=1000),
    },
)

_CRITICAL = Level(
    "critical",
    "Weights and biases at the edge of chaos, solved for the run's activation: gradients neither grow nor shrink.",
    "Schoenholz et al. 2017; Hayou et al. 2019",
    settings={
        "bias_stddev": Setting(
            "solved",
            "Standard deviation of the biases; solved: 0 where that is critical, else what makes it so.",
            minimum=0.0,
            or_number=True,
        ),
        "distribution": Setting("normal", "Shape of the draw.", allowed=("normal", "orthogonal")),
    },
)

INITIALIZER = Factor(
    "initializer",
    "How each layer's weights are drawn.",
    Place.RUN,
    default="glorot_uniform",
    plugins=True,
    levels=(
        _NORMAL,
        _UNIFORM,
        _TRUNCATED,
        _fan(
            "glorot_uniform", "GlorotUniform", "Uniform with variance 2 / (fan_in + fan_out).", "Glorot & Bengio 2010"
        ),
        _fan("glorot_normal", "GlorotNormal", "Normal with variance 2 / (fan_in + fan_out).", "Glorot & Bengio 2010"),
        _fan("he_uniform", "HeUniform", "Uniform with variance 2 / fan_in, made for relu.", "He et al. 2015"),
        _fan("he_normal", "HeNormal", "Normal with variance 2 / fan_in, made for relu.", "He et al. 2015"),
        _fan("lecun_uniform", "LecunUniform", "Uniform with variance 1 / fan_in.", "LeCun et al. 1998"),
        _fan("lecun_normal", "LecunNormal", "Normal with variance 1 / fan_in, made for selu.", "LeCun et al. 1998"),
        _ORTHOGONAL,
        _VARIANCE_SCALING,
        _fan("zeros", "Zeros", "Every weight 0: no gradient passes and units stay alike.", "Keras"),
        _LSUV,
        _CRITICAL,
    ),
)

BIAS_INITIALIZER = Factor(
    "bias_initializer",
    "How each layer's biases are drawn.",
    Place.RUN,
    default="zeros",
    levels=(
        Level("zeros", "Every bias 0.", "Keras default", target="keras.initializers:Zeros"),
        Level(
            "normal",
            "Normal around 0, as mean-field theory assumes.",
            "Poole et al. 2016",
            target="keras.initializers:RandomNormal",
            settings=_stddev("Standard deviation."),
        ),
    ),
)
