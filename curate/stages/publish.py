"""The publish stage: a finished artifact in; its data, card and provenance at the Hub or in an object store out."""

from typing import ClassVar

from pydantic import Field

from curate.config import Model
from curate.stages.given import From


class Publish(Model):
    """Publish an artifact, all its splits, in one commit."""

    version: ClassVar[int] = 1

    source: From = Field(From(), description="Which artifact; by default that of the stage before.")
    to: str = Field(min_length=3, description="OWNER/NAME of a dataset on the Hub, or a URL such as s3://bucket/folder.")
    private: bool = Field(False, description="Create the dataset as private, and refuse one that is public.")
    revision: str | None = Field(None, min_length=1, description="Branch to commit to; made where it is missing. By default main.")
    simulated: bool = Field(False, description="Publish it though a test's endpoint has answered in place of a model.")

    @property
    def inputs(self) -> dict[str, From]:
        """What the stage reads, by the name that accounts use."""
        return {"rows": self.source}

    @property
    def steps(self) -> list:
        """None: rows go up as they are."""
        return []
