"""The speaker encoder's tensors (s3gen.safetensors, "speaker_encoder.") and the parameters of
`xvector.XVector` they fill.

The four arrays of a batch norm become one scale and one shift a channel. The count of
training batches beside them is of no use to anybody.
"""

from __future__ import annotations

from cbflash.weights.table import Rule, rule

_STATISTICS = ("running_mean", "running_var")


def _batch_norm(source: str, target: str) -> tuple[Rule, Rule]:
    arrays = tuple(f"{source}.{name}" for name in ("weight", "bias", *_STATISTICS))
    return (
        rule(arrays, f"{target}.affine", "batch_norm"),
        rule(f"{source}.num_batches_tracked", None),
    )


def _head() -> tuple[Rule, ...]:
    release, ours = "speaker_encoder.head", "xvector.head"
    rules: list[Rule] = []
    for source, target in (
        (release, ours),
        (f"{release}.layer{{stage+1}}.{{i}}", f"{ours}.stages.{{stage}}.{{i}}"),
    ):
        for number in (1, 2):
            rules.append(
                rule(f"{source}.conv{number}.weight", f"{target}.conv{number}.weight", "conv2d")
            )
            rules += _batch_norm(f"{source}.bn{number}", f"{target}.norm{number}")
    rules.append(rule(f"{source}.shortcut.0.weight", f"{target}.shortcut.weight", "conv2d"))
    rules += _batch_norm(f"{source}.shortcut.1", f"{target}.shortcut_norm")
    return tuple(rules)


def _dense_layers() -> tuple[Rule, ...]:
    source = "speaker_encoder.xvector.block{block+1}.tdnnd{i+1}"
    target = "xvector.blocks.{block}.{i}"
    return (
        *_batch_norm(f"{source}.nonlinear1.batchnorm", f"{target}.norm1"),
        rule(f"{source}.linear1.weight", f"{target}.bottleneck.weight", "pointwise"),
        *_batch_norm(f"{source}.nonlinear2.batchnorm", f"{target}.norm2"),
        rule(f"{source}.cam_layer.linear_local.weight", f"{target}.cam.local.weight", "conv1d"),
        *(
            part
            for number in (1, 2)
            for part in (
                rule(
                    f"{source}.cam_layer.linear{number}.weight",
                    f"{target}.cam.linear{number}.weight",
                    "pointwise",
                ),
                rule(
                    f"{source}.cam_layer.linear{number}.bias",
                    f"{target}.cam.linear{number}.bias",
                ),
            )
        ),
    )


def _frame_layers() -> tuple[Rule, ...]:
    release, ours = "speaker_encoder.xvector", "xvector"
    transit, target = f"{release}.transit{{block+1}}", f"{ours}.transits.{{block}}"
    dense_norm = f"{release}.dense.nonlinear.batchnorm"
    return (
        rule(f"{release}.tdnn.linear.weight", f"{ours}.tdnn.weight", "conv1d"),
        *_batch_norm(f"{release}.tdnn.nonlinear.batchnorm", f"{ours}.tdnn_norm"),
        *_batch_norm(f"{transit}.nonlinear.batchnorm", f"{target}.norm"),
        rule(f"{transit}.linear.weight", f"{target}.linear.weight", "pointwise"),
        *_batch_norm(f"{release}.out_nonlinear.batchnorm", f"{ours}.out_norm"),
        rule(f"{release}.dense.linear.weight", f"{ours}.embedding.weight", "pointwise"),
        # The last norm has no weight and no bias.
        rule(
            tuple(f"{dense_norm}.{name}" for name in _STATISTICS),
            f"{ours}.embedding_norm.affine",
            "batch_norm_plain",
        ),
        rule(f"{dense_norm}.num_batches_tracked", None),
    )


RULES: tuple[Rule, ...] = (*_head(), *_dense_layers(), *_frame_layers())
