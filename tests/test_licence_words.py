"""Statements of licences: which SPDX expression each becomes, and which stay unknown."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.licenses import canonicalize_license_expression

from curate.steps.licence_ids import NAMES, SPDX, family, licence_id, names
from curate.steps.licence_words import expression

CC = "https://creativecommons.org/licenses"


def test_every_spdx_id_and_address_means_itself() -> None:
    entries = json.loads(SPDX.read_text(encoding="utf-8"))
    assert len(entries) > 700
    assert not [entry["id"] for entry in entries if {licence_id(entry["id"]), licence_id(entry["id"].lower())} != {entry["id"]}]
    assert not [entry["id"] for entry in entries if "url" in entry and licence_id(f"https://www.{entry['url']}") != entry["id"]]


def test_every_shipped_name_and_address_means_the_id_it_stands_under() -> None:
    ours = json.loads(NAMES.read_text(encoding="utf-8"))
    assert not [(name, licence) for licence, known in ours["names"].items() for name in known if licence_id(name) != licence]
    assert not [(url, licence) for licence, known in ours["urls"].items() for url in known if licence_id(f"http://{url}") != licence]


def test_every_member_of_a_set_is_a_licence_and_of_one_set_only() -> None:
    members = [member for known in names().sets.values() for member in known]
    assert set(members) <= names().families | names().ids
    assert len(members) == len(set(members))


@pytest.mark.parametrize(
    ("statement", "licence"),
    [
        ("cc by-sa 3.0", "CC-BY-SA-3.0"),
        ("CC-BY-SA-3.0", "CC-BY-SA-3.0"),
        ("CC BY 4.0.", "CC-BY-4.0"),
        ("ccby", "LicenseRef-CC-BY"),
        (f"{CC}/by-sa/3.0/de/", "CC-BY-SA-3.0-DE"),
        (f"{CC}/by-sa/3.0/de/deed.de", "CC-BY-SA-3.0-DE"),
        ("CC BY-SA 3.0 DE", "CC-BY-SA-3.0-DE"),
        ("Creative Commons Attribution-ShareAlike 3.0 Germany", "CC-BY-SA-3.0-DE"),
        (f"{CC}/by/3.0/pl/deed.pl", "CC-BY-3.0"),
        (f"{CC}/by/2.1/es/", "LicenseRef-CC-BY-2.1"),
        (f"{CC}/by/4.0/deed.pt_BR", "CC-BY-4.0"),
        ("//creativecommons.org/licenses/by-nc-sa/2.5/", "CC-BY-NC-SA-2.5"),
        ("http://creativecommons.org/licenses/by-sa/", "LicenseRef-CC-BY-SA"),
        ("http://creativecommons.org/licenses/nc-sa/1.0/", "LicenseRef-CC-NC-SA-1.0"),
        ("https://i.creativecommons.org/l/by-nd/4.0/88x31.png", "CC-BY-ND-4.0"),
        ("Creative Commons Attribution-NonCommercial-NoDerivs 3.0 Unported License", "CC-BY-NC-ND-3.0"),
        ("Attribution-ShareAlike 4.0 International", "CC-BY-SA-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/deed.fr", "CC-PDM-1.0"),
        ("CC0", "CC0-1.0"),
        ("public domain", "LicenseRef-Public-Domain"),
        ("Domínio Público", "LicenseRef-Public-Domain"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL (>= 2)", "GPL-2.0-or-later"),
        ("GPLv3", "GPL-3.0-only"),
        ("GNU General Public License v2.0 or later", "GPL-2.0-or-later"),
        ("gpl", "LicenseRef-GPL"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("https://www.gnu.org/licenses/gpl-3.0.en.html", "GPL-3.0-only"),
        ("GNU Free Documentation License 1.3", "GFDL-1.3-only"),
        ("MIT License", "MIT"),
        ("The MIT License (MIT)", "MIT"),
        ("https://opensource.org/licenses/mit-license.php", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("https://www.apache.org/licenses/LICENSE-2.0.html", "Apache-2.0"),
        ('BSD 3-Clause "New" or "Revised" License', "BSD-3-Clause"),
        ("ODC-BY", "ODC-By-1.0"),
        ("https://opendatacommons.org/licenses/odbl/1-0/", "ODbL-1.0"),
        ("OGL", "LicenseRef-OGL"),
        ("Open Government Licence v3.0", "OGL-UK-3.0"),
        ("http://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/", "OGL-UK-3.0"),
        ("Licence Ouverte 2.0", "etalab-2.0"),
        ("all rights reserved", "LicenseRef-Proprietary"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("GPL-2.0-or-later OR CC-BY-SA-3.0", "GPL-2.0-or-later OR CC-BY-SA-3.0"),
        ("GPL-2.0 or later or MIT", "GPL-2.0-or-later OR MIT"),
        ("(MIT or ISC) AND cc-by-4.0", "(MIT AND CC-BY-4.0) OR (ISC AND CC-BY-4.0)"),
        ("MIT OR ISC AND BSD-2-Clause", "MIT OR (ISC AND BSD-2-Clause)"),
        ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        ("MIT, BSD-3-Clause", "MIT AND BSD-3-Clause"),
        ("This work is licensed under a Creative Commons Attribution 4.0 International License.", "CC-BY-4.0"),
        (f"Creative Commons - Attribution Share-Alike - {CC}/by-sa/4.0/", "CC-BY-SA-4.0"),
        ("//en.wikipedia.org/wiki/Wikipedia:Text_of_Creative_Commons_Attribution-ShareAlike_3.0_Unported_License", "CC-BY-SA-3.0"),
        ("", None),
        ("cc", None),
        ("other", None),
        ("Creative Commons", None),
        ("https://creativecommons.org/about", None),
        ("https://example.org/terms", None),
        ("MIT AND", None),
        ("MIT AND terms of our own", None),
        ("CC-BY-4.0 AND terms of our own", None),
        ("not CC BY 4.0", None),
        ("CC BY 4.0 for non-commercial use", None),
        ("text CC BY 4.0, code GPLv3 or ask us", None),
        (f"{CC}/by/4.0/ {CC}/by-nc/4.0/", None),
    ],
)
def test_a_statement_becomes_an_spdx_expression(statement: str, licence: str | None) -> None:
    found = expression(statement)
    assert (found and str(found)) == licence
    if found and "LicenseRef" not in str(found):
        assert canonicalize_license_expression(str(found))


@given(st.text(st.sampled_from("()/|,;+ .-ANDORWITHandorwithMITCBYGPL0234"), max_size=200) | st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_statement_breaks_the_reader_and_what_it_finds_is_found_again(statement: str) -> None:
    found = expression(statement)
    assert found is None or expression(str(found)) is not None


@pytest.mark.parametrize(
    "statement", ["(" * 1900, "MIT or (" * 200, " AND ".join(["(MIT OR ISC)"] * 12), "cc by " * 300, "a/" * 900, "//a." * 400, "CC BY 4.0 " * 10_000]
)
def test_a_hostile_statement_is_unknown_at_once(statement: str) -> None:
    started = time.process_time()
    assert expression(statement) is None
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("licence", "of"),
    [("CC-BY-3.0-DE", "CC-BY"), ("LicenseRef-CC-BY", "CC-BY"), ("GPL-2.0-or-later", "GPL"), ("BSD-3-Clause", "BSD-3-Clause"), ("MIT", "MIT")],
)
def test_a_family_is_the_licence_without_version_and_country(licence: str, of: str) -> None:
    assert family(licence) == of
