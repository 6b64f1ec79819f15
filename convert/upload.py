"""Publishing a converted folder on a hub. The one file that knows huggingface_hub."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cbflash.environment import Environment, read_environment
from cbflash.errors import OutputError, UsageError
from cbflash.manifest import MANIFEST, read_manifest


class Hub(Protocol):
    """What is needed of `huggingface_hub.HfApi`."""

    def create_repo(self, repo_id: str, *, repo_type: str, exist_ok: bool) -> object: ...

    def upload_folder(
        self,
        *,
        repo_id: str,
        folder_path: str,
        repo_type: str,
        commit_message: str,
        allow_patterns: list[str],
    ) -> object: ...


def upload(folder: Path, repo: str, hub: Hub | None = None) -> None:
    """Send the files that the folder's manifest names to the model repository `repo`.

    The repository is made if it does not exist. hub: huggingface_hub with the environment's
    token by default.

    Raises UsageError offline or without a token, OutputError where the hub refuses; the
    folder stays as it is.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(f"{folder} has no {MANIFEST}.", "Convert the model again.")
    names = [*sorted(manifest.files), MANIFEST]
    try:
        target = hub or _hub(read_environment())
        target.create_repo(repo, repo_type="model", exist_ok=True)
        target.upload_folder(
            repo_id=repo,
            folder_path=str(folder),
            repo_type="model",
            commit_message="Upload a model converted by cbflash-convert",
            allow_patterns=names,
        )
    # Refusals of the hub and of the network, and names that are no repository.
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{repo} was not uploaded: {error}.",
            f"The folder {folder} is complete; try again, or upload it by hand.",
        ) from error


def check_ready(repo: str, environment: Environment | None = None) -> None:
    """What can be known before the work begins. Raises UsageError."""
    here = environment or read_environment()
    if here.offline:
        raise UsageError(
            f"Offline is switched on, so {repo} cannot be uploaded.",
            "Unset CBFLASH_OFFLINE and HF_HUB_OFFLINE.",
        )
    if here.token is None:
        raise UsageError(
            f"Uploading {repo} needs an access token of the hub.",
            "Make one with write permission and put it into HF_TOKEN.",
        )
    if repo.count("/") != 1:
        raise UsageError(f"{repo!r} is no repository.", "A name is like you/model-4bit.")


def _hub(environment: Environment) -> Hub:
    from huggingface_hub import HfApi

    api: Hub = HfApi(endpoint=environment.endpoint, token=environment.token)
    return api
