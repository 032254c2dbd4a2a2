"""What an architecture brings to a suite: defaults of its own, and refusals of what it has no use for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import SuiteError
from bench.factors import FACTORS
from bench.suite import parse_suite
from bench.suite.load import Suite

HEAD = '[suite]\nname = "t"\nquestion = "?"\nreplicates = 1\n[factors]\nlearning_rate = [0.1]\n'
FIXED = '[fixed]\narchitecture = "recurrent"\ndataset = "recall"\n'


def suite(text: str) -> Suite:
    return parse_suite(text, Path("t.toml"))


def test_a_suite_of_recurrent_networks_starts_from_kerass_own_levels() -> None:
    fixed = suite(HEAD + FIXED).fixed
    own = {name: fixed[name].name for name in ("cell", "activation", "recurrent_initializer", "gate_bias")}
    assert own == {
        "cell": "simple", "activation": "tanh", "recurrent_initializer": "orthogonal", "gate_bias": "unit_forget",
    }  # fmt: skip
    assert suite(HEAD + FIXED + 'activation = "relu"').fixed["activation"].name == "relu"
    dense = suite(HEAD).fixed
    assert [dense[name].name for name in ("cell", "recurrent_initializer", "gate_bias", "truncate")] == ["none"] * 4


def test_factors_that_networks_bring_stand_in_the_order_of_all() -> None:
    """Whatever a process's hashes are: the manifest and the page list them so."""
    several = '[[include]]\narchitecture = "conv"\n[[include]]\narchitecture = "transformer"\n'
    names = list(suite(HEAD + '[fixed]\ndataset = "digits_rows"\n' + several).factors)
    assert names[:2] == ["learning_rate", "architecture"] and len(names) > 8
    assert names[2:] == [name for name in FACTORS if name in names[2:]]


MIXED = FIXED.replace('architecture = "recurrent"\n', "")
NAMED = 'cell = ["lstm", "gru"]\nactivation = "relu"\n'


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        # An include of one architecture in a suite of another has that one's own levels of what nobody names.
        (HEAD + MIXED + '[[include]]\narchitecture = "recurrent"\n',
         ["mlp none relu none", "recurrent simple tanh unit_forget"]),
        (HEAD + FIXED + '[[include]]\narchitecture = "mlp"\n',
         ["recurrent simple tanh unit_forget", "mlp none relu none"]),
        # What it names, and what the suite names, stays.
        (HEAD + MIXED + f'[[include]]\narchitecture = "recurrent"\n{NAMED}',
         ["mlp none relu none", "recurrent lstm relu unit_forget", "recurrent gru relu unit_forget"]),
        (HEAD + MIXED + 'activation = "elu"\n[[include]]\narchitecture = "recurrent"\n',
         ["mlp none elu none", "recurrent simple elu unit_forget"]),
        # So it is where architectures are a factor, and its levels can be excluded.
        (HEAD + 'architecture = ["mlp", "recurrent"]\n' + MIXED,
         ["mlp none relu none", "recurrent simple tanh unit_forget"]),
        (HEAD + 'architecture = ["mlp", "recurrent"]\n' + MIXED + '[[exclude]]\ncell = "simple"\n',
         ["mlp none relu none"]),
        (HEAD + 'architecture = ["recurrent"]\n' + MIXED, ["recurrent simple tanh unit_forget"]),
    ],
)  # fmt: skip
def test_each_architecture_has_its_own_levels_of_what_no_suite_names(text: str, cells: list[str]) -> None:
    found = suite(text)
    names = ("architecture", "cell", "activation", "gate_bias")
    assert [" ".join(cell[name].name for name in names) for cell in found.cells] == cells
    assert not found.factors.keys() & found.fixed.keys()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[fixed]\ncell = "lstm"', "architecture mlp and cell lstm do not go together: dense layers have no state"),
        ('[fixed]\ngate_bias = "zeros"', "dense layers have no state; recurrent ones have"),
        (FIXED + 'skip = "residual"', "lstm and gru carry their state past them"),
        (
            FIXED + 'normalization = "batch_normalization"',
            "has layer_normalization alone: it stands inside the cell",
        ),
        (FIXED + 'normalization = "mine.layers:norm"', "recurrent has layer_normalization alone"),
        (
            FIXED + 'normalization = { level = "layer_normalization", position = "after" }',
            "inside a cell it stands before gates and activation. Leave position at before",
        ),
        (FIXED + 'initializer = "lsuv"', "a recurrent layer has one a time step"),
        (FIXED + 'initializer = "critical"', "recurrent_initializer has a gain"),
        (FIXED + 'cell = "none"', "recurrent needs one; simple is its default"),
        (
            FIXED + 'gate_bias = "chrono"',
            "cell simple and gate_bias chrono do not go together: a simple cell has no gat",
        ),
        (FIXED + 'cell = "gru"\ngate_bias = { level = "chrono", t_max = 2 }', "it must be above 2"),
        (FIXED + 'gate_bias = "remember"', "a simple cell has no gates; lstm and gru have"),
        (
            FIXED.replace('"recall"', '{ level = "recall", length = 2 }') + 'cell = "gru"\ngate_bias = "chrono"',
            "its sequences have 2 time steps, and chrono draws memories from a t_max above 2: "
            '{ level = "chrono", t_max = 3 } gives it one.',
        ),
        (
            FIXED + 'truncate = { level = "bptt", steps = 21 }',
            "and truncate bptt(steps=21) do not go together: its sequences have 20 time steps: steps can be 20 at most",
        ),
        (FIXED + 'truncate = { level = "bptt", steps = 0 }', "it must be at least 1"),
        ('[fixed]\ndirection = "bidirectional"', "dense layers have no state; recurrent ones have"),
        ('[fixed]\ntruncate = "bptt"', "dense layers have no state; recurrent ones have"),
        (FIXED + 'cell = "lst"', '"lst" is not a level. Did you mean "lstm"?'),
        (FIXED.replace("recall", "digits"), 'is an image, and recurrent takes a sequence. Did you mean "digits_rows"?'),
    ],
)
def test_what_a_network_cannot_do_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(SuiteError) as caught:
        suite(HEAD + text)
    assert says in str(caught.value)


TRANSFORMER = '[fixed]\narchitecture = "transformer"\n'
RECALL = TRANSFORMER + 'dataset = "associative_recall"\n'
ALONE = TRANSFORMER + 'dataset = "reverse"\nsublayers = "feed_forward_only"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[fixed]\nquery_key = "plain"', "dense layers have no attention; transformer has"),
        (TRANSFORMER + 'dataset = "text"\ncausal = "no"', "each answer of text is the next token, which would be seen. "
         "Leave causal at by_task"),
        (TRANSFORMER + 'dataset = "text"\nquery_key = "l2_normalized"\nlogit_scale = "inverse"',
         "l2_normalized learns its own scale. Leave logit_scale at inverse_root"),
        (TRANSFORMER + 'dataset = "text"\nquery_key = "sigma_reparam"\nattention_gain = 2.0',
         "sigma_reparam divides the kernels by their norms, whatever these are. Leave attention_gain at 1"),
        (TRANSFORMER + 'dataset = "text"\nquery_key = { level = "logit_cap", cap = 0.0 }', "it must be above 0"),
        (ALONE + 'query_key = "layer_normalized"', "sub-layers alone have no attention. Leave query_key at plain"),
        (RECALL + 'tied = "yes"', "it has 32 tokens and 16 classes, and a head can share the embedding where each "
         "answer is a token, as in text, reverse and sort"),
        (TRANSFORMER + 'dataset = "recall"\ntied = "yes"', "it has no tokens, and a head can share"),
        (TRANSFORMER + 'dataset = "adding"\nz_loss = 0.1', "its targets are values, which have no logits"),
        ('[fixed]\nz_loss = 0.1', "it is a term of a transformer's loss alone. Leave it at 0"),
        ('[fixed]\nblock = "pre_norm"', "dense layers are in no blocks; transformer's are"),
        ('[fixed]\ntied = "yes"', "dense layers embed nothing; transformer's do"),
        (TRANSFORMER + 'dataset = "reverse"\nheads = 5', "of 64 so many can: 4 or 8."),
        (ALONE + "heads = 8", "sublayers feed_forward_only has no use for heads 8. Leave heads at 4, or train"),
        (ALONE.replace("[fixed]", "heads = [1, 2]\n[fixed]"), "heads 1 and heads 2 make the same network with"),
        (TRANSFORMER + 'dataset = "reverse"\nblock = "prenorm"', 'Did you mean "pre_norm"? Known: pre_norm, post_norm'),
        (TRANSFORMER + 'dataset = "reverse"\ncausal = true', 'such as { level = "by_task" }. Did you mean "yes"?'),
        (ALONE + "attention_gain = 2.0", "Leave attention_gain at 1."),
        (ALONE + 'causal = "yes"', "Leave causal at by_task"),
        (TRANSFORMER + 'dataset = "sort"\ncausal = "yes"', "rest on tokens behind them, which none would see"),
        (TRANSFORMER + 'dataset = "sort"\nsublayers = "attention_only"\nfeed_forward = 2',
         "sublayers attention_only has no use for feed_forward 2. Leave feed_forward at 4"),
    ],
)  # fmt: skip
def test_what_no_attention_can_use_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(SuiteError) as caught:
        suite(HEAD + text)
    assert says in str(caught.value)


CONV = '[fixed]\narchitecture = "conv"\n'
HALVED = 'downsample = { level = "stride", every = 2 }\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "[fixed]\nkernel_size = 3",
            "architecture mlp and kernel_size 3 do not go together: dense layers have no kernel",
        ),
        ('[fixed]\npadding = "same"', "dense layers have no kernel that moves over positions; conv has"),
        (FIXED + 'downsample = "stride"', "recurrent layers have no kernel that moves over positions"),
        (CONV + "kernel_size = 0", "conv needs one; 3 is its default"),
        (CONV + 'cell = "lstm"', "convolutional layers have no state; recurrent ones have"),
        (CONV + 'dataset = "wine"', "is a vector, and conv takes a sequence or an image. "),
        (CONV + 'dataset = "text"', "which conv would take as sizes; recurrent takes them one-hot"),
        (
            CONV + "kernel_size = 9",
            "architecture conv, dataset digits, kernel_size 9 and depth 4 do not go together: samples have 8 x 8 "
            "positions: kernel_size can be 8 at most.",
        ),
        (CONV + 'dataset = "mnist1d"\nkernel_size = 41', "samples have 40 positions: kernel_size can be 40 at most"),
        (
            CONV + HALVED + "kernel_size = 5",
            "kernel_size 5, downsample stride and depth 4 do not go together: the kernel of 5 is larger than "
            "the 4 x 4 positions of layer 3: every must be 3 at least at depth 4, or the depth 3 at most.",
        ),
        (
            CONV + 'initializer = "delta_orthogonal"\ndataset = "digits_rows"\nwidth = 4',
            "the first gets 8: the width can be 8 at least, or the initializer orthogonal.",
        ),
        ('[fixed]\ninitializer = "delta_orthogonal"', "the kernel of a dense layer has no centre; orthogonal is that"),
        ('[fixed]\nnormalization = "instance_normalization"', "would become 0; layer_normalization is over all units"),
        ('[fixed]\nnormalization = "layer_spatial_normalization"', "layer_normalization is the same"),
        (CONV + 'normalization = "weight_normalization"', "layer_spatial_normalization needs no batch"),
        (CONV + 'normalization = { level = "group_normalization", groups = 7 }', "of 64 groups can be 4 or 8."),
        (CONV + 'skip = "fixup"\nnormalization = "batch_normalization"', "Leave normalization at none; residual_v1 is"),
        (
            CONV + 'dataset = "copy_memory"',
            "would read the mean over all steps. Take head_pool flatten; recurrent and",
        ),
        (CONV + 'padding = "valid"', '"valid" is not a level. Known: same, circular.'),
        (
            CONV + 'normalization = { level = "instance_normalization", position = "after" }',
            "whatever the sample. flatten reads all positions",
        ),
        (CONV + 'skip = "fixup"\ninitializer = "lsuv"', "he_normal is fixup's own"),
        (CONV + 'skip = "fixup"\nbias_initializer = "normal"', "Leave bias_initializer at zeros"),
        (CONV + HALVED + 'skip = { level = "residual", layers = 3 }', "every must be 3 times a whole number"),
    ],
)
def test_what_does_not_fit_convolutions_is_refused_with_the_nearest_that_does(text: str, says: str) -> None:
    with pytest.raises(SuiteError) as caught:
        suite(HEAD + text)
    assert says in str(caught.value)


def test_blocks_without_a_sublayer_may_stand_beside_blocks_with_it() -> None:
    sublayers = 'sublayers = ["both", "attention_only", "feed_forward_only"]\n'
    found = suite(HEAD + sublayers + TRANSFORMER + 'dataset = "reverse"\nwidth = 6\nheads = 2\nfeed_forward = 2')
    assert len(found.cells) == 3
    suite(HEAD + ALONE + "width = 6")  # which 4 heads do not divide


def test_an_image_of_one_position_is_not_halved() -> None:
    pooled = CONV + 'kernel_size = 1\ndownsample = { level = "average_pool", every = 1 }\n'
    suite(HEAD + pooled + "depth = 5")
    with pytest.raises(SuiteError, match="the 1 x 1 positions before layer 5 cannot be halved: every must be 2 at le"):
        suite(HEAD + pooled + "depth = 6")
