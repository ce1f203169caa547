"""The generate stage: prompts, documents or answers in; answers, new texts or revisions out, all written by models.

What is asked of whom is here; how fast, where and at what price stands outside the stages.
"""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.judges.endpoint import ChatModel
from curate.judges.prompts import ConstitutionFile, PromptFile, load_prompt, prompt_path, refuse_unfit
from curate.stages.asked import Files, RowsAsked


class Generation(RowsAsked):
    """What all ways of generating have."""

    version: ClassVar[int] = 4
    takes: ClassVar[tuple[str, ...]] = ("document", "conversation", "candidates", "preference", "feedback")
    makes: ClassVar[str] = "candidates"

    models: list[ChatModel] = Field(min_length=1, description="Who is asked, in turn; one model at two temperatures is two entries.")
    seed: int = Field(1, ge=0, description="Of what is drawn: the first model of a row, its principles.")
    max_failed: float = Field(
        0.05, ge=0, le=1, description="Most calls that may fail for good, refusals aside; more stop the run, which can be resumed."
    )

    @property
    def asked(self) -> list[ChatModel]:
        """Every model that is asked."""
        return self.models


class Answers(Generation):
    """K answers to each prompt, by several models and under drawn principles (UltraFeedback: Cui et al. 2023).

    A document's text is a prompt; of a conversation it is what stands before the last answer.
    """

    use: Literal["answers"] = "answers"
    answers: int = Field(4, ge=1, le=64, description="Answers to a prompt.")
    principles: ConstitutionFile | None = Field(
        "answer_principles", description="System messages, one drawn for each answer; a name, or a `.yaml` file of your own; null: none."
    )

    @property
    def steps(self) -> list[Files]:
        return [Files("answers", (), (self.principles,) if self.principles else ())]


class Write(Generation):
    """New texts made of documents: requests that they answer, rephrasings, textbook sections; `origins` are kept.

    The document itself stays as `snippet` in the metadata, for a judge who is to check against it.
    """

    takes: ClassVar[tuple[str, ...]] = ("document",)
    makes: ClassVar[str] = "document"

    use: Literal["write"] = "write"
    prompt: PromptFile = Field(
        "document_questions.en", description="A shipped prompt, or a `.md` file of your own with one placeholder for the document."
    )
    words: dict[str, str | int] = Field({}, description="What the prompt's other placeholders become, such as `{audience: children}`.")
    texts: int = Field(1, ge=1, le=64, description="Texts made of one document.")
    document_chars: int = Field(8_000, ge=100, description="Characters of the document that are shown.")

    @property
    def steps(self) -> list[Files]:
        return [Files("write", (self.prompt,))]

    @property
    def places(self) -> list[str]:
        """The prompt's placeholders that `words` do not fill: the document's, and no other."""
        return [place for place in load_prompt(prompt_path(self.prompt)).places if place not in self.words]

    @model_validator(mode="after")
    def _prompt_fits(self) -> Self:
        if len(self.places) != 1:
            told = ", ".join(f"{{{place}}}" for place in self.places) or "none"
            raise ValueError(f"prompt '{self.prompt}': one placeholder is the document's, the others stand in `words`; left are: {told}")
        return self


class Revise(Generation):
    """Each answer criticised and rewritten in rounds, one drawn principle a round (Constitutional AI: Bai et al. 2022)."""

    takes: ClassVar[tuple[str, ...]] = ("candidates",)

    use: Literal["revise"] = "revise"
    rounds: int = Field(2, ge=1, le=16, description="Rounds of critique and revision; no principle is drawn twice until all have been.")
    critique: PromptFile = Field("critique.en", description="Asks for the critique: `principle`, `prompt`, `draft`.")
    revision: PromptFile = Field("revise.en", description="Asks for the revision: `principle`, `prompt`, `draft`, `critique`.")
    constitution: ConstitutionFile = Field("constitution", description="The principles: a name, or a `.yaml` file of your own.")

    @property
    def steps(self) -> list[Files]:
        return [Files("revise", (self.critique, self.revision), (self.constitution,))]

    @model_validator(mode="after")
    def _prompts_fit(self) -> Self:
        refuse_unfit(self.critique, ("prompt", "draft"), ("principle",))
        refuse_unfit(self.revision, ("prompt", "draft", "critique"), ("principle",))
        return self


Generate = Answers | Write | Revise
"""The stage, by its `use`."""
