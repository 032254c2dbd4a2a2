"""What convolutional networks alone have: the kernel's size, what stands around an image, how it shrinks and ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.factors.base import Choice, Factor, Level, Number, Place, Rule, Setting
from bench.factors.datasets import DataKind, dataset_level

KERNEL_SIZE = Factor(
    "kernel_size", "Positions that a convolution's kernel spans along each axis; 0 where nothing is convolved.",
    Place.GRAPH, default=0, number=Number(int, minimum=0, maximum=1000), later=True, absent=0,
)  # fmt: skip

PADDING = Factor(
    "padding", "What a convolution reads beyond an image's edge, so that its size stays.", Place.GRAPH, default="none",
    levels=(
        Level("none", "No padding: the network is not convolutional.", "Baseline", elsewhere=True),
        Level("same", "Zeros, as Keras's `same`: signal and gradient leak at the border.", "Keras"),
        Level("circular", "The opposite edge, as mean-field theory assumes.", "Xiao et al. 2018"),
    ),
)  # fmt: skip

_EVERY = {
    "every": Setting(2, "Layers between two downsamplings; the first layer is in none of these groups.", minimum=1)
}

DOWNSAMPLE = Factor(
    "downsample", "How images are halved along each axis on their way through the hidden layers.", Place.GRAPH,
    default="none",
    levels=(
        Level("none", "They keep their size.", "Baseline"),
        Level(
            "stride", "The convolution itself takes every second position; a skip connection does too.",
            "Springenberg et al. 2015; He et al. 2016", settings=_EVERY,
        ),
        Level(
            "max_pool", "The largest of two neighbours along each axis goes on, before the convolution.",
            "Simonyan & Zisserman 2015; Keras's MaxPooling2D", settings=_EVERY,
        ),
        Level(
            "average_pool", "The mean of two neighbours along each axis goes on, before the convolution.",
            "Keras's AveragePooling2D", settings=_EVERY,
        ),
    ),
)  # fmt: skip

HEAD_POOL = Factor(
    "head_pool", "What the head reads of the last convolution's images.", Place.GRAPH, default="none",
    levels=(
        Level("none", "No images: the network is not convolutional.", "Baseline", elsewhere=True),
        Level("global_average", "The mean of each filter over all positions.", "Lin et al. 2014"),
        Level("flatten", "Every number at every position.", "LeCun et al. 1998"),
    ),
)  # fmt: skip

CONVOLUTION = (KERNEL_SIZE, PADDING, DOWNSAMPLE, HEAD_POOL)
IN_SPACE = ("kernel_size", "downsample", "skip", "depth")  # factors whose levels together must fit a sample's shape


def layers_of_blocks(structure: Mapping[str, Choice]) -> int:
    """Layers in each block with a skip connection; 1 without."""
    skip = structure["skip"]
    return 1 if skip.is_none else int(skip.setting("layers"))


def sizes_of_layers(structure: Mapping[str, Choice], shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The positions of each hidden layer's output along each axis, for samples of a shape (positions..., channels)."""
    sizes, downsample = shape[:-1], structure["downsample"]
    every = 0 if downsample.is_none else int(downsample.setting("every"))
    for layer in range(int(structure["depth"].value or 0)):
        if halves_before(layer, every):
            sizes = tuple(-(-size // 2) if downsample.name == "stride" else size // 2 for size in sizes)
        yield sizes


def halves_before(layer: int, every: int) -> bool:
    """Whether images are halved in front of a layer; layer 0 stands outside the groups of `every` layers."""
    return bool(every) and layer > 1 and (layer - 1) % every == 0


def misfit_in_space(structure: Mapping[str, Choice], shape: tuple[int, ...]) -> str:
    """Why a convolutional network does not fit samples of a shape (positions..., channels), and what does; or empty."""
    kernel, downsample = int(structure["kernel_size"].value or 0), structure["downsample"]
    layers, depth = layers_of_blocks(structure), int(structure["depth"].value or 0)
    every = 0 if downsample.is_none else int(downsample.setting("every"))
    if every % layers:
        return f"images are halved between blocks of {layers} layers: every must be {layers} times a whole number."
    before = shape[:-1]
    if kernel > min(before):
        return f"samples have {_sizes(before)} positions: kernel_size can be {min(before)} at most."
    halvings = 0
    for layer, sizes in enumerate(sizes_of_layers(structure, shape)):
        halved = halves_before(layer, every)
        halvings += halved
        if halved and (min(before) < 2 or min(sizes) < kernel):
            enough = layers * -(-((depth - 2) // halvings + 1) // layers)
            left = f"the kernel of {kernel} is larger than the {_sizes(sizes)} positions of layer {layer}"
            if min(before) < 2:
                left = f"the {_sizes(before)} positions before layer {layer} cannot be halved"
            return f"{left}: every must be {enough} at least at depth {depth}, or the depth {layer} at most."
        before = sizes
    return ""


def misfit_of_channels(width: Choice, initializer: Choice, shape: tuple[int, ...]) -> str:
    """Why an initializer cannot draw the first kernel for samples (positions..., channels), and what can; or empty."""
    filters, channels = int(width.value or 0), shape[-1]
    if initializer.name != "delta_orthogonal" or channels <= filters:
        return ""
    return (
        "delta_orthogonal keeps lengths where a layer has no fewer filters than channels come in, and the first gets "
        f"{channels}: the width can be {channels} at least, or the initializer orthogonal."
    )


def misfit_of_pool(head_pool: Choice, kind: DataKind) -> str:
    """Why a head that reads so cannot answer what a dataset asks for, and what can; or empty."""
    if head_pool.name != "global_average" or kind is not DataKind.CLASSES_EACH:
        return ""
    return (
        "each step has an answer of its own, and the head would read the mean over all steps. "
        "Take head_pool flatten; recurrent and transformer answer step by step."
    )


def _sizes(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


def _fits_positions(architecture: Choice, dataset: Choice, *levels: Choice) -> str:
    """Whether a convolutional network's kernels fit a sample, halved as often as it is, where its shape is known."""
    data = dataset_level(dataset)
    if architecture.name != "conv" or data is None or data.kind not in ("sequence", "image"):
        return ""
    return misfit_in_space(dict(zip(IN_SPACE, levels, strict=True)), data.input_shape)


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


def _head_tells_steps_apart(architecture: Choice, dataset: Choice, head_pool: Choice) -> str:
    data = dataset_level(dataset)
    return misfit_of_pool(head_pool, data.asks) if architecture.name == "conv" and data is not None else ""


CONVOLUTION_RULES: tuple[Rule, ...] = (
    (("architecture", "dataset", *IN_SPACE), _fits_positions),
    (("architecture", "dataset", "head_pool"), _head_tells_steps_apart),
    (("normalization", "head_pool"), _mean_is_left),
    (("architecture", "dataset", "width", "initializer"), _channels_grow),
)
