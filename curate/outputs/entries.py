"""How two trainers that are configured by files are told of ours: file names in, their settings out.

Seen with LLaMA-Factory 0.9.5 and axolotl 0.19.0, whose own loaders gave the ids that `curate check`
predicts under the same chat template (LLaMA-Factory's ChatML also trains the newline after an answer).
TRL and Unsloth take no settings: they are given `datasets.load_dataset("parquet", data_files=...)`.
"""

import posixpath

OPENAI_TAGS = {
    "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
    "observation_tag": "tool", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip
SHAREGPT_TAGS = {
    "role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
    "observation_tag": "observation", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip
SHAREGPT_ROLES = {"user": ["human"], "assistant": ["gpt", "function_call"], "system": ["system"], "tool": ["observation"]}


def llama_factory(name: str, files: list[str], columns: dict[str, str], tags: dict[str, str] | None = None, ranking: bool = False) -> dict[str, dict]:
    """An entry of `dataset_info.json`; `tags` says that turns are lists, else they are Alpaca's columns.

    LLaMA-Factory takes one file or one folder, all of whose files it reads: several files are named by theirs.
    """
    entry: dict[str, object] = {"file_name": _place(files), "columns": columns}
    if tags:
        entry = {**entry, "formatting": "sharegpt", "tags": tags}
    return {name: {**entry, "ranking": True} if ranking else entry}


def axolotl_dataset(files: list[str], **settings: object) -> dict[str, object]:
    """One item of `datasets:` that reads Parquet files."""
    several = {"data_files": files} if len(files) > 1 else {}
    return {"path": _place(files), "ds_type": "parquet", **several, "split": "train", **settings}


def _place(files: list[str]) -> str:
    """The one file, or the folder of several."""
    return files[0] if len(files) == 1 else posixpath.commonpath(files) or "."
