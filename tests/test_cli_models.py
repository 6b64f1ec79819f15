"""cbflash models, against a hub on this machine."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_cli import Program
from tests.hub_server import HubServer
from tests.model_folders import make_converted, make_release

REPO = "org/voice-model"
FOLDER = "org--voice-model"


@pytest.fixture
def hub(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    release = make_release(tmp_path / "release", seed=3, rows=2000)
    with HubServer(REPO, {"main": ("a" * 40, release)}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        yield server


def test_a_model_is_downloaded_and_verified(program: Program, hub: HubServer) -> None:
    done = program.run("models", "download", REPO)
    assert done.code == 0
    folder = program.home / "models" / FOLDER
    assert f"{REPO} is complete in {folder}" in done.out
    assert done.err == "", "no status line without a terminal"
    assert program.run("models", "path", REPO).out == f"{folder}\n"
    good = program.run("models", "verify", REPO)
    assert good.code == 0
    assert good.out.count("good") == 4


def test_a_damaged_file_is_found(program: Program, hub: HubServer) -> None:
    assert program.run("models", "download", REPO).code == 0
    path = program.home / "models" / FOLDER / "ve.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    bad = program.run("models", "verify", REPO)
    assert bad.code == 5
    assert "BAD   ve.safetensors: sha256" in bad.out
    assert "1 bad file." in bad.err


def test_a_model_goes_where_it_is_told(program: Program, hub: HubServer) -> None:
    arguments = ("--into", "elsewhere", "--revision", "main")
    assert program.run("models", "download", REPO, *arguments).code == 0
    assert (program.work / "elsewhere" / "t3_flash.safetensors").is_file()
    wrong = program.run("models", "download", REPO, "--revision", "nowhere")
    assert wrong.code == 6


def test_offline_downloads_nothing(
    program: Program, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in (["--offline", "models", "download"], ["models", "download", "--offline"]):
        done = program.run(*arguments, REPO)
        assert done.code == 6
        assert "Offline" in done.err
    monkeypatch.setenv("CBFLASH_OFFLINE", "1")
    assert program.run("models", "download", REPO).code == 6
    assert hub.log == []


def test_ctrl_c_keeps_what_arrived_and_says_so(program: Program, hub: HubServer) -> None:
    hub.faults["t3_flash.safetensors"].slow = 0.02
    process = program.start("models", "download", REPO)
    part = program.home / "models" / f"{FOLDER}.incoming" / "t3_flash.safetensors.part"
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == b""
    assert err.decode().splitlines() == [
        "What arrived is kept: the same command goes on where it stopped.",
        "Stopped.",
    ]
    kept = part.stat().st_size
    assert 0 < kept < 128_000
    states = {r["name"]: r["state"] for r in program.run("models", "list", "--json").records}
    assert states[FOLDER].startswith("half downloaded")

    hub.faults["t3_flash.safetensors"].slow = 0.0
    assert program.run("models", "download", REPO).code == 0
    assert hub.requests("t3_flash.safetensors")[-1].range == f"bytes={kept}-"


def test_models_are_listed_with_their_state(program: Program) -> None:
    make_converted(program.home / "models" / "small")
    (program.home / "models" / "broken").mkdir()
    states = {r["name"]: r["state"] for r in program.run("models", "list", "--json").records}
    assert states["tiny"] == "release"
    assert states["small"] == "converted"
    assert states["broken"].startswith("unusable: ")
    assert "small  (" in program.run("model", "list").out


def test_a_model_is_removed_only_when_told_so(program: Program) -> None:
    asked = program.spawn("models", "remove", "tiny", stdin=b"y\n")
    assert asked.code == 2
    assert program.model.is_dir()
    assert program.run("models", "remove", "tiny", "--yes").code == 0
    assert not program.model.exists()
    listed = program.run("models", "list")
    assert listed.out == ""
    assert "cbflash models download" in listed.err


@pytest.mark.parametrize("name", ["nothing", "..", ".", "../work", ""])
def test_only_models_are_removed(program: Program, name: str) -> None:
    done = program.run("models", "remove", name, "--yes")
    assert done.code == 5
    assert "cbflash models list" in done.err
    assert program.model.is_dir()
    assert program.work.is_dir()


def test_an_unfinished_download_is_removed_too(program: Program) -> None:
    incoming = program.home / "models" / f"{FOLDER}.incoming"
    incoming.mkdir()
    (incoming / "ve.safetensors.part").write_bytes(b"x" * 5000)
    done = program.run("models", "remove", REPO, "--yes")
    assert done.code == 0
    assert "5 kB" in done.out
    assert not incoming.exists()
