"""Shared by all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlx_port  # noqa: F401  (loads a fast BLAS, where there is one, before MLX is imported)
from cbflash.builtin import BUILTIN
from tests.fake_cli import Program
from tests.model_folders import write_samples
from tests.screen import missing_windows

# Without Qt's system libraries the views cannot even be imported; in CI that is an error.
WITHOUT_WINDOWS = "" if "CI" in os.environ else missing_windows()
collect_ignore = ["test_gui_views.py"] if WITHOUT_WINDOWS else []


def pytest_configure() -> None:
    """Shells let what they start in the background ignore Ctrl-C, and that is inherited; programs
    under test shall hear it as in a terminal."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    return [f"views of the window are not tested: {WITHOUT_WINDOWS}"] if WITHOUT_WINDOWS else []


@pytest.fixture(scope="session", autouse=True)
def nothing_built_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What this checkout has in assets/ changes no test; those about it say so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CBFLASH_ASSETS", str(tmp_path_factory.mktemp("no-assets")))
        yield


@pytest.fixture(scope="session")
def mini_assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of assets: a stand-in for the built-in model, and two sample voices. Not to be
    changed."""
    from tests.seeded_models import write_mini

    assets = tmp_path_factory.mktemp("assets")
    write_mini(assets / BUILTIN)
    write_samples(assets)
    return assets


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release folder of a tiny model with seeded weights. Not to be changed."""
    from tests.seeded_models import write_tiny

    return write_tiny(tmp_path_factory.mktemp("release") / "tiny")


@pytest.fixture(scope="session")
def tiny_4bit(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The tiny model converted with 4 bits. Not to be changed."""
    from convert import convert

    return convert(tiny_model, tmp_path_factory.mktemp("converted") / "4bit")


@pytest.fixture(scope="session")
def spoken_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of a few utterances of noise. Not to be changed."""
    from tests.spoken_corpus import write_corpus

    return write_corpus(tmp_path_factory.mktemp("spoken") / "corpus")


@pytest.fixture(scope="session")
def spoken_features(spoken_corpus: Path) -> Path:
    """What `training.features` makes of that corpus. Not to be changed."""
    from training.features import make_shard

    folder = spoken_corpus.with_name("features")
    folder.mkdir()
    for shard in range(2):
        make_shard(spoken_corpus, folder, shard)
    return folder


@pytest.fixture
def program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Program:
    """The command line on a fake engine, with a home and a working folder of its own."""
    return Program(tmp_path, monkeypatch, capsys)
