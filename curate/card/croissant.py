"""Croissant: an artifact in, JSON-LD that says which files it has and what their columns are out.

The Croissant Format Specification 1.0, http://mlcommons.org/croissant/1.0.
"""

import pyarrow as pa

from curate.artifact import Artifact, FileAccount
from curate.card.facts import Configuration, configurations, licences, stored_files
from curate.card.metadata import pretty_name
from curate.card.words import Told

Node = dict[str, object]
_PARQUET = "application/x-parquet"
_TOKENS = "application/octet-stream"

_CONTEXT: Node = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases", "dataCollection": "cr:dataCollection", "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/", "extract": "cr:extract", "field": "cr:field", "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty", "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField",
    "path": "cr:path", "personalSensitiveInformation": "cr:personalSensitiveInformation", "recordSet": "cr:recordSet",
    "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace", "sc": "https://schema.org/",
    "samplingRate": "cr:samplingRate", "equivalentProperty": "cr:equivalentProperty",
    "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "rai": "http://mlcommons.org/croissant/RAI/",
}  # fmt: skip


def croissant(artifact: Artifact, told: Told, repository: str | None = None) -> Node:
    """The whole document; its files lie beside it, under the names that the artifact gives them."""
    receipt, words = artifact.receipt, told.words
    found = configurations(artifact)
    node: Node = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": (repository or receipt.recipe).replace("/", "-"),
        "alternateName": pretty_name(artifact, words),
        "description": told.description or f"{receipt.counts.written:,} rows made by the recipe {receipt.recipe}.",
        "license": words.licence or [name for name in licences(artifact) if name != "unknown"] or None,
        "url": f"https://huggingface.co/datasets/{repository}" if repository else None,
        "version": "1.0.0",
        "identifier": receipt.fingerprint,
        "citeAs": words.citation,
        "rai:dataCollection": words.motivation,
        "rai:dataUseCases": words.intended_use,
        "rai:dataLimitations": words.limits,
        "distribution": [*map(_file, stored_files(artifact)), *(_files(split) for one in found for split in one.splits)],
        "recordSet": [_records(one, split) for one in found for split in one.splits],
    }
    return {key: value for key, value in node.items() if value}


def _file(file: FileAccount) -> Node:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": _PARQUET if file.path.endswith(".parquet") else _TOKENS,
        "sha256": file.sha256,
    }


def _files(split: str) -> Node:
    """All files of a split, so that a reader finds every row of it."""
    return {"@type": "cr:FileSet", "@id": f"{split}-files", "name": f"{split}-files", "encodingFormat": _PARQUET, "includes": f"data/{split}-*.parquet"}


def _records(one: Configuration, split: str) -> Node:
    """A set of records for each split; names of splits are unique in an artifact."""
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"{sum(file.rows for file in one.splits[split]):,} rows in {len(one.splits[split]):,} files.",
        "field": [_field(split, field.name, field.type) for field in one.schema],
    }


def _field(records: str, column: str, kind: pa.DataType) -> Node:
    """A column; the fields of a struct in it, or in a list of it, are its sub-fields."""
    source: Node = {"fileSet": {"@id": f"{records}-files"}, "extract": {"column": column}}
    inner = kind.value_type if pa.types.is_list(kind) else kind
    node: Node = {"@type": "cr:Field", "@id": f"{records}/{column}", "name": f"{records}/{column}"}
    if pa.types.is_list(kind):
        node["repeated"] = True
    if pa.types.is_struct(inner):
        return node | {"subField": [_part(f"{records}/{column}", field, source) for field in inner]}
    return node | {"dataType": data_type(inner), "source": source}


def _part(above: str, field: pa.Field, source: Node) -> Node:
    repeated = {"repeated": True} if pa.types.is_list(field.type) else {}
    inner = field.type.value_type if pa.types.is_list(field.type) else field.type
    name = f"{above}/{field.name}"
    place = {**source, "transform": {"jsonPath": field.name}}
    return {"@type": "cr:Field", "@id": name, "name": name, **repeated, "dataType": data_type(inner), "source": place}


def data_type(kind: pa.DataType) -> str:
    """Croissant's name of an Arrow type; what it has none for is text."""
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
