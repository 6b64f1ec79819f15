"""The program as a process: its help, its exit codes, and being stopped at any moment."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

from app import cli
from app.cli import main
from cbflash import __version__
from cbflash.fake import FakeBackend, Moment
from tests.fake_cli import ROOT, Faults, Program, seconds_of

TEXT = "Good morning to you."


@pytest.fixture
def program(program: Program) -> Program:
    program.add_voice()
    program.write("lines.txt", "One line.\nTwo lines.\nThree lines.\n")
    return program


# -- help ----------------------------------------------------------------------------------

COMMANDS = [
    [],
    ["say"],
    ["voice"],
    *(["voice", verb] for verb in ("add", "list", "show", "rename", "remove", "export", "import")),
    ["models"],
    *(["models", verb] for verb in ("list", "download", "verify", "path", "remove")),
    ["info"],
    ["completion"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(" ".join(["usage: cbflash", *command]))
    assert "everywhere:" in told


def test_the_help_of_say_gives_examples_and_defaults(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["say", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    for words in ("examples:", "(default: speech.wav)", "(default: 0.6)", "(default: best)"):
        assert words in told


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cbflash {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["sya"], "'sya'"),
        (["voice"], "COMMAND"),
        (["voice", "add", "me"], "CLIP"),
        (["info", "--jsno"], "Did you mean --json?"),
    ],
)
def test_wrong_usage_is_two(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert told.out == ""


def test_help_loads_no_tensor_library() -> None:
    code = (
        "import sys; from app.cli import main; main(['--help']);"
        "print(sorted({'mlx', 'torch', 'mlx_port'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_entry_module_loads_nothing_of_ours_before_it_can_be_stopped() -> None:
    code = (
        "import sys; import app.cli;"
        "print(sorted(name for name in sys.modules if name.startswith(('cbflash', 'numpy'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


# -- being stopped -------------------------------------------------------------------------

MOMENTS = [
    Faults("load", 1),
    Faults("prefill", 1),
    Faults("step", 3),
    Faults("sound", 1),
    Faults("open", 1, suffix=".tmp"),
    Faults("os.rename", 1, suffix=".tmp"),
]


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.moment)
def test_a_stop_leaves_nothing_half_done(
    program: Program, moment: Faults, name: str, code: int
) -> None:
    faults = Faults(moment.moment, moment.count, moment.suffix, signal=name)
    done = program.spawn("say", TEXT, "--out", "deep/out.wav", faults=faults)
    assert done.code == code
    assert done.err == "Stopped.\n"
    assert done.out == ""
    assert program.litter() == []
    # The rename may be done when the signal is looked at; then the file is whole.
    for path in (program.work / "deep").glob("*.wav"):
        assert seconds_of(path) > 0.3


def test_a_second_ctrl_c_does_not_disturb_the_tidying_up(program: Program) -> None:
    faults = Faults("os.rename", 1, suffix=".tmp", signal="SIGINT", again="os.remove")
    done = program.spawn("say", TEXT, "--out", "deep/out.wav", faults=faults)
    assert (done.code, done.err) == (130, "Stopped.\n")
    assert list((program.work / "deep").iterdir()) == []


def test_a_stop_while_a_clip_is_heard(program: Program) -> None:
    done = program.spawn("voice", "add", "new", "me.wav", faults=Faults("voice", signal="SIGINT"))
    assert (done.code, done.err) == (130, "Stopped.\n")
    assert program.run("voice", "list", "--json").records[0]["name"] == "me"
    assert program.litter() == []


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.moment)
def test_a_stop_among_lines_keeps_those_that_are_done(program: Program, moment: Faults) -> None:
    # Each line takes one block of four steps; all moments but the first are the second line's.
    count = {"load": 1, "step": 6}.get(moment.moment, 2)
    faults = Faults(moment.moment, count, moment.suffix, signal="SIGINT")
    block = ("--max-speech-tokens", "16", "--num-steps", "4", "--time-shift-tau", "0")
    arguments = ("say", "--file", "lines.txt", "--out-dir", "out", *block)
    done = program.spawn(*arguments, faults=faults)
    assert done.code == 130
    assert done.err.endswith("Stopped.\n")
    made = sorted(path.name for path in (program.work / "out").glob("*.wav"))
    assert made == ["0001.wav", "0002.wav"][: len(made)]
    assert bool(made) == (moment.moment != "load")
    assert program.litter() == []
    assert program.run(*arguments, "--resume").code == 0
    assert all(seconds_of(program.work / "out" / f"000{n}.wav") > 0.3 for n in (1, 2, 3))


def test_a_real_ctrl_c_during_decoding(program: Program) -> None:
    process = program.start("say", TEXT * 20, faults=Faults(sleep=0.05))
    assert process.stderr is not None
    assert b"--long" in process.stderr.readline(), "decoding is about to begin"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == b"Stopped.\n"
    assert not (program.work / "speech.wav").exists()


# -- pipes and full disks ------------------------------------------------------------------


def test_a_reader_that_goes_away_is_no_error(program: Program) -> None:
    process = program.start("completion", "bash")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=30) == 141


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written(program: Program, unbuffered: str) -> None:
    with (program.work / "told.txt").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fake_cli", '{"largest_file": 10}', "info"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    assert done.returncode == 8
    assert done.stderr.decode().splitlines() == ["The output could not be written: File too large."]


def test_names_that_the_terminal_cannot_show(program: Program) -> None:
    program.add_voice("声音")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fake_cli", "{}", "voice", "list"],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 0
    assert rb"\u58f0\u97f3" in done.stdout


# -- the unexpected ------------------------------------------------------------------------


def test_an_unexpected_error_is_one_line(program: Program) -> None:
    def fail(moment: Moment) -> None:
        if moment == "step":
            raise RuntimeError("the tensor has no soul")

    program.backend = FakeBackend(watch=fail)
    done = program.run("say", TEXT)
    assert done.code == 70
    assert done.err.splitlines() == [
        "cbflash met an error it did not expect: RuntimeError: the tensor has no soul, "
        "please report it (run with --verbose for details)"
    ]
    loud = program.run("say", TEXT, "--verbose")
    assert loud.code == 70
    assert "Traceback" in loud.err
    assert program.litter() == []


# -- a terminal ----------------------------------------------------------------------------


def on_terminal(program: Program, *arguments: str) -> tuple[int, str]:
    """A run whose stderr is a terminal: its exit code and what the terminal was sent."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fake_cli", '{"sleep": 0.02}', *arguments],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )
    os.close(theirs)
    sent = b""
    try:
        while part := os.read(ours, 4096):
            sent += part
    except OSError:  # Linux: the other end is closed
        pass
    process.communicate(timeout=30)
    os.close(ours)
    return process.returncode, sent.decode()


def test_a_terminal_shows_blocks_filling(program: Program) -> None:
    code, sent = on_terminal(program, "say", TEXT)
    assert code == 0
    for words in (
        "loading tiny",
        "block 1 [",
        "block 2 [",
        "step ",
        " s of sound, ",
        "x real time",
    ):
        assert words in sent
    assert " left" not in sent
    assert sent.endswith("\r\x1b[K"), "the line is taken away"


def test_a_terminal_shows_the_time_left_of_many_lines(program: Program) -> None:
    code, sent = on_terminal(program, "say", "--file", "lines.txt", "--out-dir", "out")
    assert code == 0
    assert "1 of 3 done, block 1" in sent
    assert " s left" in sent


@pytest.mark.parametrize("switch", ["--quiet", "--json"])
def test_quiet_and_json_show_no_progress(program: Program, switch: str) -> None:
    assert on_terminal(program, "say", TEXT, switch) == (0, "")


@pytest.mark.parametrize(
    ("answer", "code", "words"), [(b"n\n", 130, "Nothing was changed."), (b"y\n", 0, "is gone")]
)
def test_a_terminal_is_asked_before_a_voice_is_lost(
    program: Program, answer: bytes, code: int, words: str
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fake_cli", "{}", "voice", "remove", "me"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    os.write(ours, answer)
    told, _ = process.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code
    assert b"Delete the voice 'me' for good? [y/N]" in told
    assert words in told.decode()
    assert (program.home / "voices" / "me.safetensors").exists() == (code != 0)


def test_a_second_ctrl_c_counts_only_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once it would disturb the tidying up; later it is for a first that was swallowed."""
    with cli._stopped_once():
        with pytest.raises(cli.StopRequest):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(cli, "TIDYING", 0.0)
        with pytest.raises(cli.StopRequest):
            signal.raise_signal(signal.SIGINT)
