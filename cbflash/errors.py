"""The errors a user can meet. Each says what is wrong and, in `hint`, what to do about it."""

from __future__ import annotations


class CbflashError(Exception):
    """Base of everything cbflash raises on purpose.

    `exit_code` is what the command line leaves with; `hint` is one sentence telling the
    user what to do, or empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} {self.hint}" if self.hint else message


class UsageError(CbflashError):
    """An option, a text or a combination of them that cannot be used."""

    exit_code = 2


class AudioError(CbflashError):
    """A clip that cannot be read or that makes no usable reference voice."""

    exit_code = 3


class VoiceError(CbflashError):
    """A voice that does not exist, cannot be read, or belongs to another model."""

    exit_code = 4


class ModelError(CbflashError):
    """A model folder that is missing, incomplete, damaged or not what it says."""

    exit_code = 5


class DownloadError(CbflashError):
    """A download that did not finish. What arrived is kept and is resumed next time."""

    exit_code = 6


class EngineError(CbflashError):
    """An engine that cannot run here, or that failed while running."""

    exit_code = 7


class OutputError(CbflashError):
    """A result that could not be written: no space, no permission, already there."""

    exit_code = 8


class CancelledError(CbflashError):
    """The user stopped the work."""

    exit_code = 130
