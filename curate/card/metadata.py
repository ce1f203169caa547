"""The block of YAML that the Hub reads: facts and words in; licence, languages, sizes, configurations and tags out.

https://github.com/huggingface/hub-docs/blob/main/datasetcard.md
"""

import re

from curate.artifact import Artifact
from curate.card.facts import UNKNOWN, by_language, configurations, formats, licences
from curate.card.words import CardWords

HUB_LICENCES = frozenset(
    "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m afl-3.0 artistic-2.0 "
    "bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 "
    "cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 "
    "cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 "
    "gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl unknown".split()
)
"""Licences that the Hub knows by these ids, https://huggingface.co/docs/hub/repositories-licenses; any other is `other`."""
_SPELLED = {"odc-by-1.0": "odc-by", "odbl-1.0": "odbl", "pddl-1.0": "pddl", "bsl-1.1": "other"}
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T")
_PREFERENCES = frozenset({"preference", "feedback", "candidates", "chosen_rejected", "reward", "kto", "grpo"})

Block = dict[str, object]


def metadata(artifact: Artifact, words: CardWords, simulated: bool) -> Block:
    """The keys of the card's front matter, in the order in which the Hub's own cards have them."""
    kinds = formats(artifact)
    block: Block = {
        "pretty_name": pretty_name(artifact, words),
        **_licence(artifact, words),
        "language": _languages(artifact, words),
        "size_categories": [size_category(artifact.receipt.counts.written)],
        "task_categories": _tasks(kinds),
        "tags": list(dict.fromkeys(["curate", *kinds, *(["simulated"] if simulated else []), *words.tags])),
        "configs": _configs(artifact),
    }
    return {key: value for key, value in block.items() if value}


def pretty_name(artifact: Artifact, words: CardWords) -> str:
    return words.pretty_name or artifact.receipt.recipe.replace("_", " ").replace("-", " ").capitalize()


def size_category(rows: int) -> str:
    """The Hub's size class of so many rows."""
    return _SIZES[min(max(len(str(rows)) - 3, 0), len(_SIZES) - 1)]


def hub_licence(name: str) -> str:
    """The Hub's id of an SPDX id; `other` for what it has none for."""
    spelled = name.lower().removesuffix("-only").removesuffix("-or-later")
    spelled = _SPELLED.get(spelled, spelled)
    return spelled if spelled in HUB_LICENCES else "other"


def _licence(artifact: Artifact, words: CardWords) -> Block:
    """The Hub's ids of the rows' licences; `other` with a name made of all of them where the Hub has no id for one."""
    names = [words.licence] if words.licence else list(licences(artifact)) or [UNKNOWN]
    ids = sorted({hub_licence(name) for name in names})
    if "other" not in ids:
        return {"license": ids[0] if len(ids) == 1 else ids}
    links = [name for name in names if "://" in name]
    return {"license": "other", "license_name": licence_name(names), **({"license_link": links[0]} if links else {})}


def licence_name(names: list[str]) -> str:
    """An id as the Hub wants one: lower case, digits, dots and hyphens."""
    spelled = " and ".join(name.partition("://")[2] or name for name in names)
    return re.sub(r"[^a-z0-9.]+", "-", spelled.lower()).strip("-.")[:100].rstrip("-.")


def _languages(artifact: Artifact, words: CardWords) -> list[str]:
    return [one.name for one in by_language(artifact)] or list(words.languages)


def _tasks(kinds: list[str]) -> list[str]:
    return ["text-generation", *(["reinforcement-learning"] if _PREFERENCES & set(kinds) else [])]


def _configs(artifact: Artifact) -> list[Block]:
    return [
        {
            "config_name": one.name,
            **({"default": True} if number == 0 and one.name != "default" else {}),
            "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in one.splits],
        }
        for number, one in enumerate(configurations(artifact))
    ]
