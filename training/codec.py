"""The codec: the command python -m training.codec WORK --recipe mini

Speech tokenizer, x-vector and the flow's encoder and estimator are trained together, so that
tokens hold what is said and the reference how it sounds: a prompt and an utterance of one speaker
are tokenised, and the mel of the utterance is asked for, given the prompt's mel and the x-vector
of a third utterance. The estimator is asked for it in one step from no noise at all; the stage
behind this one (`training.flow`) teaches it noise.

Beside the mel the tokens have to say which letters are spoken (CTC, Graves et al. 2006), as those
of S3 are tokens of a speech recogniser, and the x-vector who speaks. The heads for that are
thrown away.

What the tokenizer hears is disguised: the voices of utterance and prompt are warped and coloured,
each by chance, and the mel that is asked for is not. So tokens can say nothing useful of a voice.

Shapes: B batch, T tokens, Q tokens of the prompt, D FSQ dimensions.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cbflash.config import ModelConfig, S3TokenizerConfig
from cbflash.features import TOKENIZER_FRAMES
from cbflash.files import write_whole
from cbflash.tokens import FRAMES_PER_TOKEN
from cuda_backend.flow import Flow
from cuda_backend.layers import Conv1d, Linear, centred
from cuda_backend.s3tokenizer import FSQ_RANGE, S3Tokenizer
from cuda_backend.xvector import XVector
from training.alignment import align
from training.batches import Batches
from training.checkpoints import Checkpoints, Run
from training.command import Command
from training.devices import Device, find_device
from training.disguise import Disguise
from training.features import Features
from training.fsq import codes, straight_through
from training.letters import BLANK, LetterIds
from training.loop import Losses, train
from training.norms import settle
from training.optimisers import make_optimisers, take_step
from training.parameters import frozen, trainable
from training.recipe import Recipe, read_recipe
from training.schedule import Schedule

SHARPNESS = 16.0  # of the speakers' cosines


@dataclass(frozen=True)
class CodecSettings:
    """tokens: in a batch; prompt: most tokens of a prompt; letters, speakers: weights of their
    losses beside that of the mel. warp, tilt: how far a voice is disguised from the tokenizer, see
    `training.disguise`."""

    steps: int = 3000
    rate: float = 3e-3
    tokens: int = 800
    prompt: int = 48
    letters: float = 0.6
    speakers: float = 0.05
    warp: float = 1.25
    tilt: float = 0.1


class Codec(nn.Module):
    """What is trained: three modules of the model, and what is thrown away behind them."""

    def __init__(self, sizes: ModelConfig, speakers: int) -> None:
        super().__init__()
        self.tokenizer = S3Tokenizer(sizes.s3tokenizer)
        self.x_vector = XVector(sizes.xvector)
        self.flow = Flow(sizes.flow)
        self.heads = Heads(sizes, speakers)
        self.balance = nn.BatchNorm1d(sizes.s3tokenizer.fsq_dims, affine=False)

    def forward(
        self, log_mel: Tensor, prompt_log_mel: Tensor, known: Tensor, fbank: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """log_mel [B, 4 T, 128] and prompt_log_mel [B, 4 Q, 128], known [B, 2 (Q + T), m], the
        mel of the prompt and nothing, fbank [B, F, 80] without its mean -> mel [B, 2 T, m],
        rounded FSQ values [B, T, D], x-vectors [B, xvector]."""
        values = straight_through(self.project(log_mel))
        joined = values
        if prompt_log_mel.shape[1]:
            prompt = straight_through(self.project(prompt_log_mel))
            joined = torch.cat([prompt, values], dim=1)
        mu = self.flow.mean(self.flow.encoder(self.heads.embedding(joined)))
        x_vector = self.x_vector(fbank)
        nothing, one = known.new_zeros(1), known.new_ones(1)
        mel = self.flow.estimator(
            torch.zeros_like(mu), mu, self.flow.embed_speaker(x_vector), known, nothing, one
        )
        return mel[:, FRAMES_PER_TOKEN * (joined.shape[1] - values.shape[1]) :], values, x_vector

    def project(self, log_mel: Tensor) -> Tensor:
        """`S3Tokenizer.project` with every dimension held at a mean of zero and a deviation of
        one: without that all values soon have one sign, and no gradient brings them back."""
        x = self.tokenizer.project_down(self.tokenizer.encode(log_mel))
        balanced: Tensor = self.balance(x.flatten(0, 1)).view_as(x)
        return torch.tanh(balanced) * (FSQ_RANGE * (self.tokenizer.levels // 2))

    @torch.no_grad()
    def trained_tokenizer(self) -> S3Tokenizer:
        """A copy of the tokenizer whose last layer has the balance in it."""
        tokenizer = copy.deepcopy(self.tokenizer)
        down, balance = tokenizer.project_down, copy.deepcopy(self.balance).eval()
        assert down.bias is not None
        zero = torch.zeros_like(down.bias)
        shift, shifted = balance(torch.stack([zero, zero + 1]))
        down.weight.mul_((shifted - shift)[:, None])
        down.bias.mul_(shifted - shift).add_(shift)
        return tokenizer

    @torch.no_grad()
    def begin_at(self, mel: Tensor) -> None:
        """Let what comes out be mel [m] at first: logarithms are far from zero, steps small."""
        for layer in (self.flow.mean, self.flow.estimator.output):
            assert layer.bias is not None
            layer.bias.copy_(mel)

    def write_embedding(self) -> None:
        """Write the rows of the flow's embedding: what its stand-in makes of each code."""
        with torch.no_grad():
            every = codes(self.tokenizer_config).to(self.flow.embedding.weight)
            self.flow.embedding.weight.copy_(self.heads.embedding(every))

    @property
    def tokenizer_config(self) -> S3TokenizerConfig:
        return self.heads.tokenizer_config


class Heads(nn.Module):
    """embedding: FSQ values to what the flow's encoder reads, later the rows of its embedding.
    letters: FSQ values to letters; speakers: x-vectors to those who spoke."""

    def __init__(self, sizes: ModelConfig, speakers: int) -> None:
        super().__init__()
        self.tokenizer_config = sizes.s3tokenizer
        width = sizes.s3tokenizer.width
        self.embedding = Linear(sizes.s3tokenizer.fsq_dims, sizes.flow.width)
        self.letters_in = Conv1d(sizes.s3tokenizer.fsq_dims, width, 7, padding=centred(7))
        self.letters_mid = Conv1d(width, width, 5, padding=centred(5))
        self.letters_out = Linear(width, sizes.t3.text_vocab)
        self.speakers = Linear(sizes.xvector.embedding, speakers, bias=False)

    def letters(self, values: Tensor) -> Tensor:
        """FSQ values [B, T, D] -> log probabilities of letters [B, T, text_vocab]."""
        x = F.gelu(self.letters_in(values))
        x = F.gelu(self.letters_mid(x)) + x
        return F.log_softmax(self.letters_out(x).float(), dim=-1)

    def who(self, x_vector: Tensor) -> Tensor:
        """x-vectors [B, xvector] -> logits of speakers, of directions alone [B, speakers]."""
        directions = F.normalize(self.speakers.weight, dim=-1)
        return SHARPNESS * F.normalize(x_vector, dim=-1) @ directions.T


@dataclass(frozen=True)
class Batch:
    """What a step is given: the arguments of `Codec` and what it should find."""

    log_mel: Tensor
    prompt_log_mel: Tensor
    known: Tensor
    fbank: Tensor
    mel: Tensor
    letters: list[Tensor]
    speakers: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.log_mel.to(device),
            self.prompt_log_mel.to(device),
            self.known.to(device),
            self.fbank.to(device),
            self.mel.to(device),
            [one.to(device) for one in self.letters],
            self.speakers.to(device),
        )


class Material:
    """Utterances with two others of the same speaker: one is the prompt, one the reference."""

    def __init__(self, features: Features, sizes: ModelConfig, settings: CodecSettings) -> None:
        self.features = features
        self._ids = LetterIds(sizes.t3)
        self._prompt = settings.prompt
        self._disguise = Disguise(settings.warp, settings.tilt)
        self.speakers = {name: at for at, name in enumerate(sorted(features.speakers("train")))}
        self._said = features.speakers("train") | features.speakers("test")

    def batch(
        self, places: Sequence[int], numbers: np.random.Generator, disguised: bool = False
    ) -> Batch:
        """The utterances of `places`, cut to the shortest of them; their speakers' others are
        drawn from `numbers`. disguised: what the tokenizer hears is of other voices."""
        features = self.features
        items = [features.items[place] for place in places]
        tokens = min(item.tokens for item in items)
        prompts, references = (
            [int(numbers.choice(self._said[item.speaker])) for item in items] for _ in range(2)
        )
        longest = min(self._prompt, *(features.items[place].tokens for place in prompts))
        prompt = int(numbers.integers(0, longest + 1))
        cuts = [
            int(numbers.integers(0, features.items[place].tokens - prompt + 1)) for place in prompts
        ]
        mel = self._stack("mel", places, tokens * FRAMES_PER_TOKEN)
        known = np.zeros_like(mel, shape=(len(mel), (prompt + tokens) * FRAMES_PER_TOKEN, 80))
        known[:, : prompt * FRAMES_PER_TOKEN] = self._stack(
            "mel", prompts, prompt * FRAMES_PER_TOKEN, [FRAMES_PER_TOKEN * cut for cut in cuts]
        )
        log_mel = self._stack("log_mel", places, tokens * TOKENIZER_FRAMES)
        prompt_log_mel = self._stack(
            "log_mel", prompts, prompt * TOKENIZER_FRAMES, [TOKENIZER_FRAMES * cut for cut in cuts]
        )
        if disguised:
            log_mel, prompt_log_mel = (
                self._disguise(one, numbers) for one in (log_mel, prompt_log_mel)
            )
        return Batch(
            torch.from_numpy(log_mel),
            torch.from_numpy(prompt_log_mel),
            torch.from_numpy(known),
            torch.from_numpy(features.references(references)),
            torch.from_numpy(mel),
            [self._ids(item.text) for item in items],
            torch.tensor([self.speakers.get(item.speaker, -1) for item in items]),
        )

    def _stack(
        self, kind: str, places: Sequence[int], rows: int, begins: Sequence[int] | None = None
    ) -> np.ndarray:
        begins = begins or [0] * len(places)
        return np.stack(
            [
                self.features.read(kind, place)[begin : begin + rows].astype(np.float32)
                for place, begin in zip(places, begins, strict=True)
            ]
        )


class CodecStage:
    """The run of this stage; also the way back to what it learnt."""

    def __init__(
        self, recipe: Recipe, features: Features, folder: Path, device: Device = "cpu"
    ) -> None:
        self.settings = recipe.settings("codec", CodecSettings)
        self._device = torch.device(device)
        self.sizes = recipe.sizes
        self._features = features
        self._material = Material(features, recipe.sizes, self.settings)
        with torch.device("meta"):
            codec = Codec(recipe.sizes, len(self._material.speakers))
        self.codec = trainable(codec, recipe.seed, device)
        self._run = Run(
            {"codec": self.codec},
            make_optimisers([self.codec], self.settings.rate),
            np.random.default_rng(recipe.seed),
        )
        sizes = recipe.some_sizes("s3tokenizer", "xvector", "flow")
        config = asdict(self.settings) | {"sizes": sizes, "seed": recipe.seed}
        del config["steps"]  # a run may be lengthened
        self._checkpoints = Checkpoints(folder, config)
        self._batches = Batches(
            features.part("train"),
            lambda place: features.items[place].tokens,
            self.settings.tokens,
            recipe.seed,
        )

    def train(self) -> bool:
        first = self._material.batch(self._batches(0), np.random.default_rng(0)).to(self._device)
        settle(self.codec.x_vector, first.fbank)
        self.codec.begin_at(first.mel.mean(dim=(0, 1)))
        schedule = Schedule(self.settings.steps)
        return train(
            self._run,
            self._take,
            schedule,
            self.settings.rate,
            self._checkpoints,
            judge=self.judge,
            judged=100,
        )

    def resume(self) -> bool:
        """Take the last checkpoint."""
        return self._checkpoints.resume(self._run)

    def _take(self) -> Losses:
        batch = self._material.batch(self._batches(self._run.step), self._run.numbers, True)
        losses = self._losses(batch.to(self._device))
        total = (
            losses["mel"]
            + self.settings.letters * losses["letters"]
            + self.settings.speakers * losses["speakers"]
        )
        torch.autograd.backward(total)
        norm = take_step(self._run.optimisers)
        return {name: loss.item() for name, loss in losses.items()} | {"gradient": norm}

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        with torch.autocast(self._device.type, torch.bfloat16):
            mel, values, x_vector = self.codec(
                batch.log_mel, batch.prompt_log_mel, batch.known, batch.fbank
            )
            said = self.codec.heads.letters(values)
            who = self.codec.heads.who(x_vector)
        rows, tokens = values.shape[:2]
        letters = F.ctc_loss(
            said.transpose(0, 1),
            torch.cat(batch.letters),
            torch.full((rows,), tokens),
            torch.tensor([len(one) for one in batch.letters]),
            BLANK,
            zero_infinity=True,
        )
        return {
            "mel": F.l1_loss(mel.float(), batch.mel),
            "letters": letters,
            "speakers": F.cross_entropy(who.float(), batch.speakers, ignore_index=-1),
        }

    @torch.no_grad()
    def judge(self) -> Losses:
        """On unseen utterances of unseen speakers; `used` is how many codes there are in them,
        `entropy` their bits."""
        places = self._features.part("test")[:96]
        if not places:
            return {}
        numbers = np.random.default_rng(1)
        sums: dict[str, float] = {}
        counts = np.zeros(self.codec.tokenizer_config.codebook)
        tokenizer = self.codec.trained_tokenizer()
        self.codec.eval()
        groups = [places[begin : begin + 8] for begin in range(0, len(places), 8)]
        for group in groups:
            batch = self._material.batch(group, numbers).to(self._device)
            losses = self._losses(batch)
            for name in ("mel", "letters"):
                sums[name] = sums.get(name, 0.0) + float(losses[name]) / len(groups)
            ids = tokenizer(batch.log_mel)
            counts += np.bincount(ids.flatten().cpu().numpy(), minlength=len(counts))
        self.codec.train()
        shares = counts[counts > 0] / counts.sum()
        entropy = float(-(shares * np.log2(shares)).sum())
        return sums | {"used": float(len(shares)), "entropy": entropy}


@torch.inference_mode()
def write_tokens(stage: CodecStage, features: Features, folder: Path) -> None:
    """What decoders are trained on, of every utterance one behind the other, uint16: tokens.npy,
    and alignment.npy, the letter of its text that each token is spoken in.

    Raises OutputError where a file cannot be written.
    """
    tokenizer = frozen(stage.codec.trained_tokenizer().cpu())
    heads, letters = copy.deepcopy(stage.codec.heads).cpu(), LetterIds(stage.sizes.t3)
    every = codes(stage.sizes.s3tokenizer)
    tokens, alignment = [], []
    for place, item in enumerate(features.items):
        log_mel = torch.from_numpy(features.read("log_mel", place).astype(np.float32))
        [ids] = tokenizer(log_mel[None])
        [log_probs] = heads.letters(every[ids][None])
        tokens.append(ids.numpy())
        alignment.append(align(log_probs.numpy(), letters(item.text).numpy()))
    for name, found in (("tokens", tokens), ("alignment", alignment)):
        with write_whole(folder / f"{name}.npy") as file:
            np.save(file, np.concatenate(found).astype(np.uint16))


def learn(work: Path, recipe: Recipe, device: str) -> bool:
    """Train the codec and write what decoders learn from; False if somebody stopped it."""
    features = Features(work / "features")
    stage = CodecStage(recipe, features, work / "codec", find_device(device))
    if not stage.train():
        return False
    write_tokens(stage, features, work / "codec")
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command.of_training("codec", __doc__)
    return command.run(
        arguments, lambda given: learn(given.work, read_recipe(given.recipe), given.device)
    )


if __name__ == "__main__":
    sys.exit(main())
