"""What is written of profiles is what they are: pages and schema are generated, and neither is stale."""

import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

import adapters
from adapters import page_legend, pages, plan, schema, summary
from adapters.profile_text import SHORT_FORMS
from adapters.readers import READERS
from tests.adapters.files import DEMO, profile

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "formats"
NAMES = sorted(adapters.profiles())


@cache
def page_of(name):
    """Return the page of a profile, made once for all tests."""
    return pages.page(profile(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_a_profile_is_current(name):
    """docs/formats has what the profile says now; `lianfang map docs --out docs/formats` writes it anew."""
    assert (PAGES / f"{name}.md").read_text("utf-8") == page_of(name)


def test_there_is_a_page_for_every_profile_and_no_other():
    """The index is current, and no page is left of a profile that is gone."""
    assert (PAGES / "README.md").read_text("utf-8") == pages.index(adapters.profiles())
    assert {path.stem for path in PAGES.glob("*.md")} == {"README", *NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_every_field_column_code_and_table(name):
    """Nothing that the profile says is left out of its page."""
    file, text = profile(name).file, page_of(name)
    fields = [*file.field, *(path for record in file.record for path in record.const)]
    used = [path for record in file.record for group in record.use for path in file.group.get(group, {})]
    for word in (
        *fields,
        *used,
        *file.source.columns,
        *file.table,
        *(code for table in file.table.values() for code in table),
    ):
        assert word in text, word
    for record in file.record:
        assert f"## {file.code_prefix}{record.label}: {record.message}" in text


def test_every_kind_says_what_it_can_be_refused_for():
    """No kind of text is unknown to the pages but codes, which their table alone can refuse."""
    assert set(pages._REFUSALS) == set(plan.READERS) - {"code"}


@pytest.mark.parametrize("form", sorted(READERS))
def test_what_a_reader_refuses_a_file_for_is_on_the_pages_of_its_format(form):
    """Every code in the reader's modules is one that the pages of its profiles name."""
    modules = [ROOT / "adapters" / f"read_{form}.py", *(ROOT / "adapters").glob(f"{form}_*.py")]
    codes = {code for path in modules for code in re.findall(r'"(LF-(?!RENDER|MAP|ROW)[A-Z0-9-]+)"', path.read_text())}
    assert codes <= {*pages._FORMATS[form], *pages._FORMATS["json"]}


def test_every_kind_is_explained_where_pages_are_explained():
    """A page says as what a text is read; what that means stands once, and every page leads there."""
    assert set(page_legend.KINDS) == set(plan.READERS)
    index = pages.index(adapters.profiles())
    assert all(f"| {kind} | " in index for kind in plan.READERS)
    assert "## How to read a page" in index
    assert all("README.md#how-to-read-a-page" in page_of(name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_where_each_field_comes_from(name):
    """A column that a field reads is a header's, or stands above it with its pattern; sheets say what they make of their rows."""
    one = profile(name)
    source, text = one.file.source, page_of(name)
    for above, pattern in source.preamble.items():
        assert f"| {above} | {pages._code(pattern)} |" in text
    for sheet in source.sheet:
        assert f"| {pages._code(sheet.name)} | " in text
        assert f"is {pages._code(sheet.kind)}" in text or sheet.ignore
    assert all(note in text for note in one.notes)
    assert one.notes, "a profile says above its first line what its dialect is"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_tells_every_condition_of_a_field(name):
    """Also of a value that the profile itself states: a reversal is one only where the file says so."""
    text, one = page_of(name), profile(name)
    for fields in pages._every_field(one):
        for verbs in fields.values():
            if isinstance(verbs.when, str):
                assert f"when {pages._code(verbs.when)}" in text
    assert "const `true` |" not in text


def test_a_page_says_of_a_record_whether_it_is_read_or_written():
    """The bodies of an interface go both ways; an order of the platform only to the bank."""
    assert "## check: NumberStatusQuery, read and written" in page_of("camara-sim-swap")
    assert "## 100101: StopPaymentOrder, written" in page_of("tfms-bank")
    assert "## 100102: StopPaymentResult, read\n" in page_of("tfms-bank").replace(" (", "\n(")


def test_a_page_does_not_state_decimal_places_that_the_currency_decides():
    """An amount of a statement in yen has none; only a profile that says so itself has two for all."""
    assert "2 decimal places at most" not in page_of("iso20022-statement")
    assert "with the decimal places of its currency" in page_of("iso20022-statement")
    assert "in the minor unit" in page_of("nacha")


def test_refusals_that_happen_are_on_the_page():
    """What the demonstration's own file is refused for stands on its page."""
    found = summary.check("bank-notice-csv", (DEMO / "bank-a-suspicious-accounts.csv").read_bytes())
    assert {row["code"] for row in found["refused"]} <= set(pages.refusals(profile("bank-notice-csv")))


def test_the_schema_is_current():
    """profile.schema.json is what the models say; `lianfang map schema --out adapters/profiles/profile.schema.json`."""
    assert (ROOT / "adapters" / "profiles" / "profile.schema.json").read_text("utf-8") == schema.text()


def unknown_keys(value, part, root):
    """Return the keys of a value for which the schema has no place."""
    options = [
        root["$defs"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in part.get("anyOf", [part])
    ]
    if isinstance(value, list):
        return [
            key for item in value for option in options for key in unknown_keys(item, option.get("items", {}), root)
        ]
    if not isinstance(value, dict):
        return []
    (shape,) = [option for option in options if option.get("type") == "object"]
    found = []
    for key, inner in value.items():
        known = shape.get("properties", {}).get(key, shape.get("additionalProperties"))
        found += unknown_keys(inner, known, root) if isinstance(known, dict) else [key]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_fits_the_schema_and_a_wrong_key_does_not(name):
    """The keys of the profiles that come with the product are all in the schema, and an invented one is not."""
    root = json.loads(schema.text())
    data = tomllib.loads((ROOT / "adapters" / "profiles" / f"{name}.toml").read_text("utf-8"))
    assert unknown_keys(data, root, root) == []
    data["source"]["delimeter"] = ","
    assert unknown_keys(data, root, root) == ["delimeter"]


def test_the_schema_knows_the_short_forms():
    """A verb as one text is allowed: parse = "text" is as good as parse = {as = "text"}."""
    verbs = schema.profile_schema()["$defs"]["Mapping_"]["properties"]
    for verb, _ in SHORT_FORMS:
        assert {"type": "string"} in verbs[verb]["anyOf"]
