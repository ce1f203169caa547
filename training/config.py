"""A YAML file and `--set` words in; a validated config of one trainer out, before anything heavy is loaded.

Paths are seen from the working directory: one config serves wherever it is called from.
"""

import re
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from pydantic import Field, ValidationError, field_validator

from curate.config import Located, Model, UsageError, explain, read_yaml

Loss = Literal[
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down",
    "discopop", "sft", "sigmoid_norm",
]  # fmt: skip
"""TRL 1.16's loss types of DPO."""


class Adapter(Model):
    """Low-rank adapters (Hu et al. 2021) instead of full fine-tuning."""

    rank: int = Field(16, ge=1, le=1024, description="Rank of the update of each matrix.")
    alpha: int = Field(32, ge=1, description="Scale: the update is multiplied by alpha / rank, by alpha / sqrt(rank) with rslora.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapter.")
    targets: str | list[str] = Field("all-linear", description="Names of the adapted layers.")
    rslora: bool = Field(False, description="Rank-stabilised scale (Kalajdzievski 2023).")
    dora: bool = Field(False, description="Weight-decomposed adapters (Liu et al. 2024).")
    quantised: bool = Field(False, description="QLoRA (Dettmers et al. 2023): NF4, double quantisation, paged optimiser; a GPU only.")


class Run(Model):
    """What every trainer has: a model, data, an output and a schedule."""

    model: str = Field(min_length=1, description="Folder of a model or a Hub id.")
    tokenizer: str | None = Field(None, description="Folder or Hub id of the tokenizer; null: the model's.")
    template: str | None = Field(None, description="Chat template instead of the tokenizer's: one of curate's names, or a file.")
    pad_token: str | None = Field(None, description="Token that fills batches; null: the tokenizer's own.")
    data: str = Field(min_length=1, description="An artifact's directory, a .parquet or .jsonl file, a folder of such, or a Hub id.")
    split: str = Field("train", description="Split that is trained on.")
    held_out: str | None = Field(None, description="Split of the same data that is measured and never trained on.")
    output: str = Field(min_length=1, description="Directory of the trained model, its checkpoints and its receipt.")
    simulated: bool = Field(False, description="Accept artifacts whose verdicts come from a simulated judge.")

    epochs: float = Field(1.0, gt=0, le=1000, description="Passes over the data.")
    max_steps: int | None = Field(None, ge=1, description="Stop after so many optimiser steps; null: by epochs.")
    batch_size: int = Field(8, ge=1, description="Rows of a batch on one device.")
    accumulate: int = Field(1, ge=1, description="Batches summed before a step.")
    max_length: int = Field(1024, ge=8, description="Longest sequence in tokens.")
    too_long: Literal["refuse", "drop"] = Field(
        "refuse", description="What becomes of rows of which max_length leaves nothing to learn: no run, or one without them, which counts them."
    )
    learning_rate: float = Field(2e-5, gt=0, le=1, description="Highest learning rate.")
    schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"] = Field("cosine", description="Course of the learning rate.")
    warmup: float = Field(0.03, ge=0, lt=1, description="Share of the steps in which the rate rises.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="AdamW's weight decay.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    seed: int = Field(0, ge=0, description="Seed of order, dropout and adapters.")

    adapter: Adapter | None = Field(None, description="Train adapters; null: all weights.")
    precision: Literal["bf16", "fp32"] | None = Field(None, description="Null: bf16 on a GPU, fp32 on a CPU.")
    checkpointing: bool = Field(False, description="Recompute activations in the backward pass: less memory, about a fifth slower.")
    attention: Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3"] = Field("sdpa", description="Attention kernel.")
    length_buckets: bool = Field(True, description="Batch rows of similar length, so that less of a batch is padding.")

    save_steps: int = Field(500, ge=1, description="Steps between checkpoints; a killed run goes on from the last whole one.")
    log_steps: int = Field(10, ge=1, description="Steps between two logged losses.")
    keep_checkpoints: int = Field(2, ge=2, le=1000, description="Newest checkpoints kept on disk; more to choose the best of them.")
    eval_steps: int | None = Field(None, ge=1, description="Steps between two measurements of `held_out`; null: at the end.")
    report_to: list[Literal["trackio", "tensorboard", "wandb"]] = Field([], description="Where the curves go beside the receipt.")
    trl: dict[str, object] = Field({}, description="Further arguments of TRL's own config, by its names.")


class Sft(Run):
    """Supervised fine-tuning on conversations, prompt and completion, texts, or tokenised rows."""

    packing: Literal["bfd_split"] | None = Field(None, description="Fill sequences with several rows; bfd_split loses and mixes none.")
    mask: Literal["assistant", "all"] = Field("assistant", description="Which tokens of a conversation are learnt; `all` is refused for chats.")


class Dpo(Run):
    """Direct preference optimisation (Rafailov et al. 2023) with soft labels and weights."""

    learning_rate: float = Field(1e-6, gt=0, le=1, description="Rafailov et al. 2023, B: 1e-6.")
    beta: float = Field(0.1, gt=0, description="Strength of the pull towards the reference.")
    loss: list[Loss] = Field(["sigmoid"], min_length=1, description="TRL's loss types; soft labels and weights need `sigmoid` alone.")
    soft_labels: bool = Field(True, description="Use the columns probability and weight where the loss is sigmoid.")
    reference: str | None = Field(None, description="Reference model; null: the model as it stands. Another one's weights are refused.")
    precompute: bool = Field(True, description="Reckon the reference's log-probabilities once and keep them.")
    reference_store: str = Field("models/reference_logps", description="Directory of the kept log-probabilities, one artifact a key.")
    share_prompts: bool | None = Field(
        None, description="Read the prompt of a pair once, and no padding, which attention sdpa does; null: where the model reads it alike."
    )

    @field_validator("share_prompts")
    @classmethod
    def _can_share(cls, share_prompts: bool | None, info: object) -> bool | None:
        if share_prompts and info.data.get("attention", "sdpa") != "sdpa":
            raise ValueError("only `attention: sdpa` reads shared prompts; take one of the two out")
        return share_prompts

    @property
    def is_soft(self) -> bool:
        """True where the columns probability and weight are read."""
        return self.soft_labels and self.loss == ["sigmoid"]


class Kto(Run):
    """Kahneman-Tversky optimisation on single labels (Ethayarajh et al. 2024)."""

    learning_rate: float = Field(5e-7, gt=0, le=1, description="Ethayarajh et al. 2024: 5e-7 to 5e-6.")
    beta: float = Field(0.1, gt=0, description="Strength of the pull towards the reference.")
    batch_size: int = Field(8, ge=2, description="Rows of a batch on one device; the reference point needs two or more.")
    desirable_weight: float = Field(1.0, gt=0, description="Weight of good answers.")
    undesirable_weight: float = Field(1.0, gt=0, description="Weight of bad answers.")


class Reward(Run):
    """A reward model from pairs (Ouyang et al. 2022, 3.5), with margins (Touvron et al. 2023, eq. 2)."""

    learning_rate: float = Field(1e-5, gt=0, le=1, description="Ouyang et al. 2022, C.2: 9e-6.")
    centre: float | None = Field(None, ge=0, description="Weight of the pull of rewards to zero (Eisenstein et al. 2023); null: none.")


class Preference(Run):
    """Losses without a reference model: ORPO, SimPO. Experimental in TRL: their code may change with any release."""

    loss: Literal["orpo", "simpo"] = Field("simpo", description="ORPO (Hong et al. 2024) or SimPO (Meng et al. 2024).")
    learning_rate: float = Field(1e-6, gt=0, le=1, description="Meng et al. 2024: 3e-7 to 1e-6.")
    beta: float = Field(2.0, gt=0, description="SimPO's scale (2.0 to 2.5), ORPO's lambda (0.1).")
    gamma: float = Field(1.0, ge=0, description="SimPO's margin.")


class Grpo(Run):
    """Group relative policy optimisation (Shao et al. 2024) with a reward model or a function."""

    learning_rate: float = Field(1e-6, gt=0, le=1, description="Shao et al. 2024, 4.2: 1e-6.")
    reward: str = Field(min_length=1, description="Folder of a reward model, or `package.module:function`.")
    trust_code: bool = Field(False, description="Run a reward function of this config.")
    kl_off: bool = Field(False, description="Train without a KL term; without this word beta = 0 is refused.")
    beta: float = Field(0.04, ge=0, description="Weight of the KL term, Shao et al. 2024: 0.04; TRL's own default is 0.")
    generations: int = Field(8, ge=2, description="Answers a prompt.")
    answer_length: int = Field(256, ge=1, description="Longest answer in tokens.")
    temperature: float = Field(1.0, gt=0, description="Of sampling.")

    @field_validator("beta")
    @classmethod
    def _kl_is_on(cls, beta: float, info: object) -> float:
        if beta == 0 and not info.data.get("kl_off"):
            raise ValueError("without a KL term the model may drift anywhere; set beta above 0, or ask for it by `kl_off: true`")
        return beta


class Pretrain(Run):
    """A tokenizer and a small Llama-style model (Touvron et al. 2023) from scratch, on the texts of an artifact."""

    model: Literal[""] = Field("", description="Left empty: the model is made here.")
    vocabulary: int = Field(8192, ge=300, le=1_000_000, description="Tokens of the byte-level BPE.")
    hidden: int = Field(128, ge=8, description="Width of the model.")
    layers: int = Field(4, ge=1, description="Blocks.")
    heads: int = Field(4, ge=1, description="Attention heads; they divide `hidden`.")
    tied: bool = Field(True, description="Share the embedding with the output layer.")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate.")
    weight_decay: float = Field(0.1, ge=0, le=1, description="Touvron et al. 2023, 2.3: 0.1.")
    template: Literal["chatml"] = Field("chatml", description="Chat template of the tokenizer, which has its markers.")

    @field_validator("heads")
    @classmethod
    def _heads_divide(cls, heads: int, info: object) -> int:
        if info.data.get("hidden", heads) % heads:
            raise ValueError(f"hidden ({info.data['hidden']}) must be a multiple of heads")
        return heads


Shape = TypeVar("Shape", bound=Model)


def load(path: str | Path, shape: type[Shape], sets: list[str] | None = None) -> Shape:
    """The config of a file with `key=value` words laid over it. Raises UsageError, one line for each mistake."""
    data, node = read_yaml(Path(path))
    if not isinstance(data, dict):
        raise UsageError(f"{path}:1: not a config; write `key: value` lines, as in training/configs/")
    laid = data
    for word in sets or []:
        laid = laid_over(laid, word)
    try:
        return shape.model_validate(laid)
    except ValidationError as error:
        found, own = explain(error, shape, str(path), node), _mistakes(data, shape, str(path), node)
    raise UsageError("\n".join(line if line in own else re.sub(r"^.*?:\d+: ", "--set: ", line) for line in found))


def _mistakes(data: dict, shape: type[Shape], path: str, node: yaml.Node | None) -> list[str]:
    """One line for each mistake of the file alone; what is found beside these came by `--set`."""
    try:
        shape.model_validate(data)
    except ValidationError as error:
        return explain(error, shape, path, node)
    return []


def laid_over(data: dict, word: str) -> dict:
    """The data with one `a.b=value` of the command line in it; the value is YAML."""
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise UsageError(f"--set {word}: write `key=value`, such as `learning_rate=1e-5`")
    try:
        value = yaml.load(text, Located)
    except yaml.YAMLError:
        value = text
    first, _, rest = name.partition(".")
    if not rest:
        return {**data, first: value}
    inner = data.get(first)
    return {**data, first: laid_over(inner if isinstance(inner, dict) else {}, f"{rest}={text}")}
