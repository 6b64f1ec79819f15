"""The decoder: real widths, two layers; hidden states, the prior and whole token runs.

Stochastic runs are compared with noise from a seed: the released draws (an exponential race
in multinomial, Gumbel numbers for positions) are replaced by arrays that the tests rebuild.
"""

from __future__ import annotations

from pathlib import Path

import chatterbox_flash.model as released
import numpy as np
import torch
from chatterbox.models.t3.modules.cond_enc import T3Cond
from chatterbox.models.t3.modules.t3_config import T3Config

from tests.golden.t3_cases import CASES, LAYERS, SCHEDULES, inputs, noise
from tests.seeded import tensor


def make(folder: Path) -> None:
    torch.manual_seed(0)
    arrays: dict[str, np.ndarray] = {}
    with torch.inference_mode():
        model = build()
        arrays["prior"] = model._compute_uncond_block_prior(
            16, 6561, 8194, torch.float32, torch.device("cpu")
        ).numpy()
        arrays.update(prefix_arrays(model))
        for name, case in CASES.items():
            arrays[f"tokens_{name}"] = run(model, case)
    arrays["schedules"] = schedules()
    np.savez_compressed(folder / "t3.npz", **arrays)


def build() -> torch.nn.Module:
    from chatterbox.models.t3 import llama_configs

    llama_configs.LLAMA_CONFIGS["Llama_520M"]["num_hidden_layers"] = LAYERS
    model = released.ChatterboxFlashT3(T3Config(), drf_block_size=16).eval()
    state = {k: torch.from_numpy(tensor(k, tuple(v.shape))) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    return model


def condition(index: int) -> tuple[T3Cond, torch.Tensor]:
    given = inputs(index)
    cond = T3Cond(
        speaker_emb=torch.from_numpy(given.speaker)[None],
        cond_prompt_speech_tokens=torch.from_numpy(given.prompt)[None].long(),
        emotion_adv=0.5 * torch.ones(1, 1, 1),
    )
    return cond, torch.tensor([given.text])


def prefix_arrays(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """Conditioning rows and the hidden states of a prefix, conditional and null."""
    cond, text = condition(0)
    rows = model.prepare_conditioning(cond)
    prefix = model._build_prefix_emb(rows, text, torch.device("cpu"), torch.float32)
    null = torch.zeros_like(prefix)
    null[:, -1] = prefix[:, -1]
    hidden = [
        model.tfmr(inputs_embeds=x, use_cache=False, return_dict=True).last_hidden_state[0]
        for x in (prefix, null)
    ]
    return {
        "conditioning": rows[0].numpy(),
        "prefix_hidden": hidden[0][-4:].numpy(),
        "null_hidden": hidden[1][-1].numpy(),
    }


def run(model: torch.nn.Module, case: object) -> np.ndarray:
    """Token ids of one case, noise injected where the case draws."""
    cond, text = condition(case.inputs)
    last = [-1, 0]  # block and step of the present call of the step function
    real_step = released._pmi_count_early_step_unmask

    def step_unmask(*args: object, **kwargs: object) -> dict:
        last[0] += kwargs["k"] == 0
        last[1] = kwargs["k"]
        return real_step(*args, **kwargs)

    def multinomial(probs: torch.Tensor, num_samples: int) -> torch.Tensor:
        token, _ = noise(*last)
        scores = torch.log(probs) + torch.from_numpy(token)[: probs.shape[0]]
        return scores.argmax(dim=-1, keepdim=True)

    def gumbel_sample(logits: torch.Tensor, temperature: float) -> torch.Tensor:
        _, position = noise(*last)
        return torch.from_numpy(position)[: logits.shape[0]]

    saved = (torch.multinomial, released._gumbel_sample)
    head = model.speech_head.weight.data
    kept = head[6562].clone()
    if case.boost_stop:
        head[6562] = torch.from_numpy(case.stop_row())
    released._pmi_count_early_step_unmask = step_unmask
    torch.multinomial, released._gumbel_sample = multinomial, gumbel_sample
    model._uncond_block_prior_cache = {}
    model._cached_engine = None
    model.set_block_size(16)
    try:
        tokens = model.generate(
            t3_cond=cond,
            text_tokens=text,
            text_token_lens=torch.tensor([text.shape[1]]),
            total_speech_len=case.budget,
            use_cuda_graph=False,
            backend="torch",
            **case.sampling,
        )
    finally:
        released._pmi_count_early_step_unmask = real_step
        torch.multinomial, released._gumbel_sample = saved
        head[6562] = kept
    return tokens[0].numpy().astype(np.int32)


def schedules() -> np.ndarray:
    """Unmask counts of the released step function over a grid, rows padded with -1."""
    rng = np.random.default_rng(7)
    rows = []
    for length, steps, shift, tau in SCHEDULES:
        floors = released._omnivoice_unmask_schedule(length, steps, shift)
        tokens = torch.full((length,), 50)
        counts = []
        for k in range(steps):
            logits = torch.from_numpy(rng.standard_normal((length, 50)).astype(np.float32))
            before = int((tokens == 50).sum())
            result = released._pmi_count_early_step_unmask(
                logits, tokens, bl=length, k=k, K=steps, MASK=50, device=torch.device("cpu"),
                temperature=0.0, temperature_sampling="multinomial",
                omnivoice_unmask_schedule_k=floors[k], time_shift_tau=tau,
                prior_override_v=torch.full((50,), 0.02), block_marginal_prior=None,
                pmi_cfg_probs_c_bl=None, pmi_cfg_probs_u_bl=None, cfg_scale_for_pmi=0.0,
                position_temperature=0.0,
            )  # fmt: skip
            tokens = result["xt_step"]
            counts.append(before - result["n_mask"])
            if result["n_mask"] == 0:
                break
        rows.append(counts + [-1] * (24 - len(counts)))
    return np.array(rows, np.int16)
