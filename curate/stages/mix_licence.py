"""Licences of rows in, whether a mix under a target licence may hold them out.

What a work under one licence may be adapted from is read off the licences' own terms and off
Creative Commons' compatibility chart and list of compatible licences
(https://wiki.creativecommons.org/wiki/Wiki/cc_license_compatibility,
https://creativecommons.org/share-your-work/licensing-considerations/compatible-licenses/).
Turning a text into a training row is taken as an adaptation, the strict reading; this is no
legal advice.
"""

import re
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.config import Model
from curate.steps.licence import Licence
from curate.steps.licence_ids import NAMES, SPDX, family, licence_id, names
from curate.steps.licence_words import Expression, expression

UNKNOWN = "unknown"
_ONE_WAY = {"CC-BY-SA-4.0": ("GPL-3.0-only", "GPL-3.0-or-later")}
"""Share-alike licences whose works may go on under another: CC's compatible licences."""


class LicenceRule(Model):
    """What the mix is to be published under, and what happens to rows whose licence forbids that."""

    version: ClassVar[int] = 1

    target: str | None = Field(None, description="Licence of the mix: an SPDX id, or a name or address of one.")
    allow: list[str] | None = Field(None, min_length=1, description="Or the licences that rows may have: ids, families (CC-BY) or sets (permissive).")
    otherwise: Literal["refuse", "drop"] = Field("refuse", description="refuse: the mix stops and names them; drop: such rows are left out.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.target is None) == (self.allow is None):
            raise ValueError("name either the `target` licence or those that are `allow`ed")
        if self.target is not None and _known(self.target) is None:
            raise ValueError(f"no licence '{self.target}'; give an SPDX id such as CC-BY-4.0")
        _ = self._listed
        return self

    @property
    def name(self) -> str:
        return "licence"

    def reads(self) -> list[Path]:
        return [SPDX, NAMES]

    @cached_property
    def _listed(self) -> Licence | None:
        return Licence(use="licence", allow=tuple(self.allow)) if self.allow else None

    def permits(self, stated: str | None) -> bool:
        """True where a row of this licence may be in the mix; of a choice one permitted part is enough."""
        found = expression(stated) if stated else None
        if found is None:
            return False
        allows = self._listed.allows if self._listed else self._compatible
        return found.within(allows) is not None

    def _compatible(self, licence: str) -> bool:
        return compatible(licence, _known(self.target))


def _known(target: str) -> str | None:
    found = expression(target)
    return found.alternatives[0][0] if found and found == Expression(((found.alternatives[0][0],),)) else None


def spelled(stated: str | None) -> str:
    """The SPDX expression of a stated licence; `unknown` where there is none or nobody knows it."""
    found = expression(stated) if stated else None
    return str(found) if found else UNKNOWN


def compatible(licence: str, target: str) -> bool:
    """True where a work under `target` may be made of one under `licence`, both SPDX ids."""
    if "-ND" in licence:
        return False
    if licence == target or target in _ONE_WAY.get(licence, ()):
        return True
    sets, kind = names().sets, family(licence)
    if kind in sets["public_domain"]:
        return True
    if kind in sets["permissive"]:
        return family(target) not in sets["public_domain"]
    if kind == "CC-BY-NC":
        return "-NC" in target
    return _later(licence, target)


def _later(licence: str, target: str) -> bool:
    """True where `target` is a later version that the licence itself lets works go on under."""
    if family(licence) != family(target):
        return False
    goes_on = family(licence) in ("CC-BY-SA", "CC-BY-NC-SA") or licence.endswith(("-or-later", "+"))
    return goes_on and _version(licence) is not None and (_version(target) or 0) >= _version(licence)


def _version(licence: str) -> float | None:
    found = re.search(r"-(\d+\.\d+)", licence)
    return float(found[1]) if found and licence_id(licence) else None
