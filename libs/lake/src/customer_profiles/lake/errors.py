"""Errors of the lake. Each message names the next action."""

from __future__ import annotations

from customer_profiles.common.errors import PipelineError


class LakeUnavailableError(PipelineError):
    """The object store does not answer, or it refuses a request."""


class WriteConflictError(PipelineError):
    """Another run wrote the object first, so the condition of a write no longer holds."""


class DamagedObjectError(PipelineError):
    """An object is there, and its content is not what was written."""

    def __init__(self, name: str, problem: str, etag: str = "") -> None:
        """Describe the damage.

        Args:
            name: the object.
            problem: what is wrong, as the end of the sentence "NAME in the lake is damaged: …".
            etag: the version that was read, for a conditional write that replaces it.
        """
        super().__init__(
            f"{name} in the lake is damaged: {problem}.\n"
            "`make repair` rebuilds what can be rebuilt and says what cannot; `make verify` looks "
            "for more."
        )
        self.name = name
        self.problem = problem
        self.etag = etag

    def __reduce__(self) -> tuple[type[DamagedObjectError], tuple[str, str, str]]:
        """Pickle the parts: a task's error may travel between processes."""
        return type(self), (self.name, self.problem, self.etag)
