"""The arrows between rooms point inwards only, and the heavy libraries stay in theirs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("cbflash", "app", "mlx_port", "cuda_backend", "convert", "training")

# What each room may import of the others and of third parties; the standard library is free.
ALLOWED = {
    "cbflash": {"cbflash", "numpy", "tokenizers", "soundfile", "soxr"},
    "mlx_port": {"mlx_port", "cbflash", "mlx", "numpy"},
    "cuda_backend": {"cuda_backend", "cbflash", "torch", "flashinfer", "numpy"},
    "convert": {"convert", "app", "cbflash", "mlx_port", "mlx", "numpy", "huggingface_hub"},
    "training": {"training", "app", "cbflash", "cuda_backend", "torch", "numpy", "soundfile"},
    "app": {
        "app",
        "cbflash",
        "numpy",
        "sounddevice",
        "soxr",
        "PySide6",
        "pocketsphinx",
        "speechmos",
    },
}
# Third parties that the core knows in one file each.
ONE_FILE = {"tokenizers": "tokenizer.py", "soundfile": "audio.py", "soxr": "audio.py"}
# And where in the app: sound and windows are behind files of their own.
APP_FILES = {
    "sounddevice": ("app/sound/device.py",),
    "soxr": ("app/sound/resample.py",),
    "pocketsphinx": ("app/evaluate/sphinx.py",),
    "speechmos": ("app/evaluate/dnsmos.py",),
    "PySide6": ("app/gui/views/", "app/gui/qt_"),
}


def modules() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Top-level names of everything a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_inwards(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    outside = imports(path) - set(sys.stdlib_module_names) - ALLOWED[room]
    assert not outside, f"{room} must not import {', '.join(sorted(outside))}"


@pytest.mark.parametrize(
    ("room", "shared"),
    [
        ("convert", {"app.launching"}),
        ("training", {"app.launching", "app.evaluate", "app.spelling"}),
    ],
)
def test_of_the_app_others_know_what_is_shared_alone(room: str, shared: set[str]) -> None:
    used = set()
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used.add(node.module or "")
    parts = {".".join(name.split(".")[:2]) for name in used if name.split(".")[0] == "app"}
    assert parts == shared


@pytest.mark.parametrize("library", ONE_FILE)
def test_the_core_knows_a_library_in_one_file(library: str) -> None:
    users = [path.name for path in (ROOT / "cbflash").rglob("*.py") if library in imports(path)]
    assert users == [ONE_FILE[library]]


@pytest.mark.parametrize("library", APP_FILES)
def test_the_app_knows_sound_and_windows_in_their_places(library: str) -> None:
    users = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "app").rglob("*.py")
        if library in imports(path)
    ]
    assert users
    assert [user for user in users if not user.startswith(APP_FILES[library])] == []


def test_the_environment_is_read_in_one_file() -> None:
    readers = [
        path.relative_to(ROOT)
        for path in modules()
        if any(word in path.read_text("utf-8") for word in ("os.environ", "getenv"))
    ]
    assert readers == [Path("cbflash/environment.py")]


def test_the_core_loads_no_tensor_library() -> None:
    code = "import sys, cbflash; print(sorted({'mlx', 'torch', 'PySide6'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_is_always_strict() -> None:
    assert [path for path in modules() if _lenient(path)] == []


def _lenient(path: Path) -> bool:
    """Whether a file calls load_weights (or load_state_dict) without strictness."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in ("load_weights", "load_state_dict"):
            if len(node.args) > 1 and ast.unparse(node.args[1]) != "True":
                return True
            for keyword in node.keywords:
                if keyword.arg == "strict" and ast.unparse(keyword.value) != "True":
                    return True
    return False
