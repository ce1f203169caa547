"""Licences of a mix: what may be published under what, and what happens to the rest."""

from pathlib import Path

import pytest
from mix_artifacts import conversation, given, mixed, report, split

from curate.config import UsageError
from curate.stages.mix_licence import LicenceRule, compatible


@pytest.mark.parametrize(
    ("licence", "target"),
    [
        ("CC0-1.0", "MIT"),
        ("MIT", "CC-BY-4.0"),
        ("CC-BY-4.0", "CC-BY-SA-4.0"),
        ("CC-BY-4.0", "CC-BY-NC-4.0"),
        ("CC-BY-SA-3.0", "CC-BY-SA-4.0"),
        ("CC-BY-SA-4.0", "GPL-3.0-only"),
        ("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0"),
        ("CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"),
        ("GPL-2.0-or-later", "GPL-3.0-only"),
        ("ODbL-1.0", "ODbL-1.0"),
    ],
)
def test_a_work_may_go_on_under(licence: str, target: str) -> None:
    assert compatible(licence, target)


@pytest.mark.parametrize(
    ("licence", "target"),
    [
        ("CC-BY-4.0", "CC0-1.0"),
        ("CC-BY-SA-4.0", "CC-BY-4.0"),
        ("CC-BY-SA-4.0", "CC-BY-SA-3.0"),
        ("CC-BY-SA-3.0", "GPL-3.0-only"),
        ("CC-BY-SA-4.0", "CC-BY-NC-SA-4.0"),
        ("CC-BY-NC-4.0", "CC-BY-4.0"),
        ("CC-BY-NC-SA-4.0", "CC-BY-SA-4.0"),
        ("CC-BY-NC-SA-4.0", "CC-BY-NC-4.0"),
        ("CC-BY-ND-4.0", "CC-BY-ND-4.0"),
        ("CC-BY-NC-ND-4.0", "CC-BY-NC-4.0"),
        ("GPL-2.0-only", "GPL-3.0-only"),
        ("GPL-3.0-or-later", "MIT"),
        ("LicenseRef-CC-BY-SA", "CC-BY-SA-4.0"),
    ],
)
def test_a_work_may_not_go_on_under(licence: str, target: str) -> None:
    assert not compatible(licence, target)


def test_one_permitted_part_of_a_choice_is_enough_and_both_of_a_bundle_bind() -> None:
    rule = LicenceRule(target="cc-by-sa-4.0")
    assert rule.permits("GPL-2.0-or-later OR CC-BY-SA-3.0") and not rule.permits("GPL-2.0-or-later AND CC-BY-SA-3.0")
    assert not rule.permits(None) and not rule.permits("ask us")


def test_allowed_licences_are_sets_families_or_ids() -> None:
    rule = LicenceRule(allow=["permissive", "CC-BY-SA", "GPL-2.0-only"])
    assert all(map(rule.permits, ("mit", "https://creativecommons.org/licenses/by-sa/3.0/", "GPL-2.0-only")))
    assert not any(map(rule.permits, ("CC-BY-NC-4.0", "GPL-3.0-only", "")))


def test_a_mix_that_its_sources_forbid_is_refused_or_filtered(tmp_path: Path) -> None:
    stated = ["CC-BY-4.0", "cc by-nc 4.0", None]
    rows = [conversation("a", n, licence=stated[n % 3]) for n in range(30)]
    source = given(tmp_path, "a", rows, "conversation")
    with pytest.raises(UsageError, match=r"CC-BY-4.0 cannot cover a \(CC-BY-NC-4.0, 10 rows\); a \(unknown, 10 rows\)"):
        mixed(tmp_path / "refused", {"as": "messages", "licence": {"target": "CC-BY-4.0"}}, [source])
    made = mixed(tmp_path / "mix", {"as": "messages", "licence": {"target": "CC-BY-4.0", "otherwise": "drop"}}, [source])
    assert report(made)["counts"]["dropped"] == {"mix.licence_forbidden": 20}
    assert {row["licence"] for row in split(made, "train")} == {"CC-BY-4.0"}
    assert report(made)["licences"] == {"CC-BY-4.0": 10, "CC-BY-NC-4.0": 10, "unknown": 10}
    assert report(made)["sources"]["a"]["licences"] == {"CC-BY-4.0": 10}
