"""Publishing a converted folder, without a hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cbflash.environment import Environment
from cbflash.errors import OutputError, UsageError
from convert.upload import check_ready, upload
from tests.folders import leftovers


class FakeHub:
    """Notes what it is asked for; refuses if it shall."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.calls: list[tuple[str, str]] = []
        self.files: list[str] = []
        self._refusal = refusal

    def create_repo(self, repo_id: str, *, repo_type: str, exist_ok: bool) -> None:
        assert exist_ok
        self.calls.append(("create", f"{repo_type} {repo_id}"))

    def upload_folder(
        self,
        *,
        repo_id: str,
        folder_path: str,
        repo_type: str,
        commit_message: str,
        allow_patterns: list[str],
    ) -> None:
        if self._refusal is not None:
            raise self._refusal
        assert commit_message
        self.calls.append(("upload", f"{repo_type} {repo_id}"))
        self.files = sorted(
            path.name for path in Path(folder_path).iterdir() if path.name in allow_patterns
        )


def test_upload_sends_what_the_manifest_names(tmp_path: Path, tiny_4bit: Path) -> None:
    folder = Path(shutil.copytree(tiny_4bit, tmp_path / "folder"))
    (folder / "private.wav").write_bytes(b"mine")
    hub = FakeHub()
    upload(folder, "me/tiny-4bit", hub)
    assert hub.calls == [("create", "model me/tiny-4bit"), ("upload", "model me/tiny-4bit")]
    assert hub.files == leftovers(tiny_4bit)


@pytest.mark.parametrize("refusal", [OSError("403 Forbidden"), ValueError("bad name")])
def test_a_refusal_leaves_the_folder_and_says_what_to_do(
    tiny_4bit: Path, refusal: Exception
) -> None:
    before = leftovers(tiny_4bit)
    with pytest.raises(OutputError, match=f"me/tiny.*{refusal}.*try again"):
        upload(tiny_4bit, "me/tiny", FakeHub(refusal))
    assert leftovers(tiny_4bit) == before


def test_what_is_no_result_is_not_uploaded(tiny_model: Path) -> None:
    hub = FakeHub()
    with pytest.raises(UsageError, match="cbflash-manifest"):
        upload(tiny_model, "me/tiny", hub)
    assert hub.calls == []


@pytest.mark.parametrize(
    ("repo", "offline", "token", "words"),
    [
        ("me/tiny", True, "secret", "Offline"),
        ("me/tiny", False, None, "HF_TOKEN"),
        ("tiny", False, "secret", "no repository"),
    ],
)
def test_an_upload_that_cannot_be_is_refused_at_once(
    repo: str, offline: bool, token: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check_ready(repo, Environment(Path(), offline=offline, token=token))
    assert "secret" not in str(caught.value)
