"""The command cbflash-distill: what is done, in order, and what is said of it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from app.launching import STOPPED
from app.spelling import spell_count, spell_seconds
from cbflash.errors import CbflashError, EngineError, OutputError
from cbflash.files import require_target
from cbflash.tokens import TOKEN_RATE
from cuda_backend.t3 import T3
from training.checkpoints import Checkpoints, checkpoints_in
from training.devices import find_device
from training.distill.lesson import Lesson, Student
from training.distill.needs import Needs
from training.distill.options import check_numbers, parser, read_settings
from training.distill.script import Script, SpokenScript
from training.distill.settings import Settings
from training.distill.teacher import Teacher
from training.distill.texts import read_texts, read_voices
from training.distill.work import Work
from training.distill.write import write_student
from training.stage import Course, Stage

AGAIN = "The same command goes on from there."

Clock = Callable[[], float]


def main(arguments: Sequence[str] | None = None, clock: Clock = time.monotonic) -> int:
    """Run the command; gives the exit code. Errors go to stderr in one or two lines."""
    options = parser().parse_args(arguments)
    try:
        return run(options, clock)
    except CbflashError as error:
        print(f"cbflash-distill: {error}", file=sys.stderr)
        return error.exit_code
    except torch.OutOfMemoryError:
        print(
            "cbflash-distill: the GPU has not enough free memory. Try a smaller --together while "
            "the teacher speaks, and --frugal, --bf16 or a smaller --batch while the student "
            "learns. What is there is kept.",
            file=sys.stderr,
        )
        return EngineError.exit_code


def run(options: argparse.Namespace, clock: Clock = time.monotonic) -> int:
    """What `options.parser` gave; 0 only where the result was written. Raises CbflashError."""
    check_numbers(options)
    over = _deadline(options.minutes, clock)
    folder = _require_new(options)
    device = find_device(options.device)
    teacher = Teacher.open(options.teacher)
    settings = read_settings(options, teacher.config.t3)
    script = _script(options, teacher, settings, device)
    decoder = teacher.read_decoder(device)
    student = Student.of(decoder, settings)
    _say(Needs.of(student, teacher.config.t3, settings).tell())
    work = Work(folder, teacher, script, settings)
    if not _speak(work, decoder, len(script), over, clock):
        _say(f"The time is over. {AGAIN}")
        return STOPPED
    speech = SpokenScript(script, work.spoken(), settings.unconditional, device)
    if not _train(student, decoder, speech, work, settings, over):
        _say(f"Paused, with a checkpoint. {AGAIN}")
        return STOPPED
    print(write_student(student.finish(), settings.block, teacher, options.out, options.force))
    return 0


def _script(
    options: argparse.Namespace, teacher: Teacher, settings: Settings, device: torch.device
) -> Script:
    texts = read_texts(options.texts, teacher.tokenizer())
    voices = read_voices(options.voices, teacher, device)
    script = Script(texts, voices, settings.samples, teacher.config.t3, settings.seed)
    whole = teacher.config.t3.prompt_tokens
    if script.prompt_tokens < whole:
        _say(
            f"The shortest clip gives {script.prompt_tokens} tokens, so no voice has more; "
            f"{whole} are best, a clip of {whole / TOKEN_RATE:.0f} seconds."
        )
    return script


def _speak(work: Work, teacher: T3, count: int, over: Callable[[], bool], clock: Clock) -> bool:
    """Let the teacher say all there is; False if the time was over before."""
    begun = clock()
    for done in work.speak(teacher):
        left = spell_seconds((clock() - begun) / done * (count - done))
        _say(f"the teacher spoke {done} of {spell_count(count, 'text')}, {left} left")
        if over() and done < count:
            return False
    return True


def _train(
    student: Student,
    teacher: T3,
    speech: SpokenScript,
    work: Work,
    settings: Settings,
    over: Callable[[], bool],
) -> bool:
    """Take the steps that are left; False if somebody or the clock stopped it."""
    torch.manual_seed(settings.seed)
    lesson = Lesson(student.model, teacher, speech, settings)
    if not checkpoints_in(work.checkpoints):
        _say(f"before training: divergence {lesson.judge()['divergence']:.4f} nats")
    config = settings.to_record() | work.record | {"t3": asdict(teacher.config)}
    stage = Stage(
        lesson,
        speech,
        Course(settings.steps, settings.rate, settings.tokens, settings.seed),
        student.trained,
        student.optimisers,
        Checkpoints(work.checkpoints, config),
    )
    return stage.train(until=over)


def _deadline(minutes: float | None, clock: Clock) -> Callable[[], bool]:
    end = None if minutes is None else clock() + 60 * minutes
    return lambda: end is not None and clock() >= end


def _require_new(options: argparse.Namespace) -> Path:
    """That the result can be put where it shall be, said before hours of work and not behind them.
    Gives the folder of the work."""
    out: Path = options.out
    if out.name in ("", ".."):
        raise OutputError(f"{out} is no name of a new folder.", "Choose another one.")
    require_target(out, options.force)
    if out.resolve() == options.teacher.resolve():
        raise OutputError(f"{out} is the teacher.", "Choose another name for its student.")
    work: Path = options.work or out.with_name(out.name + ".work")
    if out.resolve() in (work.resolve(), *work.resolve().parents):
        raise OutputError(f"{work} is in {out}, the result.", "Choose another --work.")
    return work


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
