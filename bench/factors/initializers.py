"""Initializers: how the weights and the biases are drawn before the first step."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Place, Setting, above_zero


def _keras(name: str, summary: str, source: str, **settings: Setting) -> Level:
    """Keras's initializer of that name, as the class `random_normal` is `RandomNormal`."""
    return Level(name, summary, source, f"keras.initializers:{name.title().replace('_', '')}", settings)


INITIALIZER = Factor(
    "initializer", "How each layer's weights are drawn.", Place.RUN, default="glorot_uniform", plugins=True,
    levels=(
        _keras(
            "random_normal", "Normal with one standard deviation whatever the layer's size: the naive choice.", "Keras",
            stddev=above_zero(0.05, "Standard deviation."),
        ),
        _keras(
            "random_uniform", "Uniform between -limit and limit whatever the layer's size.", "Keras",
            limit=above_zero(0.05, "Largest absolute weight."),
        ),
        _keras(
            "truncated_normal",
            "Normal redrawn beyond two standard deviations, so its true deviation is 0.88 of `stddev`.", "Keras",
            stddev=above_zero(0.05, "Standard deviation before the cut."),
        ),
        _keras("glorot_uniform", "Uniform with variance 2 / (fan_in + fan_out).", "Glorot & Bengio 2010"),
        _keras("glorot_normal", "Normal with variance 2 / (fan_in + fan_out).", "Glorot & Bengio 2010"),
        _keras("he_uniform", "Uniform with variance 2 / fan_in, made for relu.", "He et al. 2015"),
        _keras("he_normal", "Normal with variance 2 / fan_in, made for relu.", "He et al. 2015"),
        _keras("lecun_uniform", "Uniform with variance 1 / fan_in.", "LeCun et al. 1998"),
        _keras("lecun_normal", "Normal with variance 1 / fan_in, made for selu.", "LeCun et al. 1998"),
        _keras(
            "orthogonal", "A random orthogonal matrix times `gain`: every singular value equals `gain`.",
            "Saxe, McClelland & Ganguli 2014", gain=above_zero(1.0, "Factor on the orthogonal matrix."),
        ),
        _keras(
            "variance_scaling", "Variance `scale` / fan: the family that holds Glorot, He and LeCun.", "Keras",
            scale=above_zero(1.0, "Numerator of the variance."),
            mode=Setting("fan_in", "Which fan divides.", allowed=("fan_in", "fan_out", "fan_avg")),
            distribution=Setting(
                "truncated_normal", "Shape of the draw.", allowed=("truncated_normal", "untruncated_normal", "uniform"),
            ),
        ),
        Level(
            "delta_orthogonal",
            "A convolution's kernel 0 but for its centre, a random orthogonal matrix times `gain`; the head's that.",
            "Xiao et al. 2018", settings={"gain": above_zero(1.0, "Factor on the orthogonal matrix.")},
        ),
        _keras("zeros", "Every weight 0: no gradient passes and units stay alike.", "Keras"),
        Level(
            "lsuv", "Orthogonal, then each layer rescaled on a batch until its output variance is 1.",
            "Mishkin & Matas 2016",
            settings={
                "tolerance": above_zero(0.1, "Largest accepted distance of the variance from 1."),
                "max_iterations": Setting(10, "Rescalings of a layer at most.", minimum=1, maximum=1000),
            },
        ),
        Level(
            "critical",
            "Weights and biases at the edge of chaos, solved for the run's activation: "
            "gradients neither grow nor shrink.",
            "Schoenholz et al. 2017; Hayou et al. 2019",
            settings={
                "bias_stddev": Setting(
                    "solved",
                    "Standard deviation of the biases; solved: 0 where that is critical, else what makes it so.",
                    minimum=0.0, or_number=True,
                ),
                "distribution": Setting("normal", "Shape of the draw.", allowed=("normal", "orthogonal")),
            },
        ),
    ),
)  # fmt: skip

BIAS_INITIALIZER = Factor(
    "bias_initializer", "How each layer's biases are drawn.", Place.RUN, default="zeros",
    levels=(
        Level("zeros", "Every bias 0.", "Keras default", target="keras.initializers:Zeros"),
        Level(
            "normal", "Normal around 0, as mean-field theory assumes.", "Poole et al. 2016",
            target="keras.initializers:RandomNormal", settings={"stddev": above_zero(0.05, "Standard deviation.")},
        ),
    ),
)  # fmt: skip
