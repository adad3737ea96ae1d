"""Paths into trees."""

import json

import pytest

from adapters.back import bring_back
from adapters.errors import ProfileRefused
from adapters.paths import Finder, alternatives, escaped, leaves, pattern, unescaped
from adapters.read_xml import read
from adapters.schema import profile_schema
from adapters.tree import Element
from tests.adapters.trees import made, not_carried
from tests.adapters.trees import one as one_of

TREE = b"""<Root><Head><Code>7</Code></Head><List>
<Item id="1"><Kind>a</Kind><Text>one</Text></Item><Item id="2"><Kind>b</Kind><Text>two</Text><Sub><Deep>x</Deep></Sub></Item>
<Item id="3"><Kind>a</Kind><Text>three</Text></Item></List></Root>"""


def root() -> Element:
    """Return the tree."""
    profile = made('[[record]]\nmessage = "AccountQuery"\n')
    (found,) = read(TREE, profile.file.source)
    assert isinstance(found, Element)
    return found


def texts(path: str) -> list[str]:
    """Return what a path finds from the root; the first alternative that has text."""
    top = root()
    for one in alternatives(path):
        found = [element.text for element in Finder().elements(one, (top,))]
        if any(found):
            return found
    return []


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("Head/Code", ["7"]),
        ("List/Item/Text", ["one", "two", "three"]),
        ("List/Item[2]/Text", ["two"]),
        ("List/Item[Kind=a]/Text", ["one", "three"]),
        ("List/Item[Kind=a][2]/Text", ["three"]),
        ("List/Item[Sub/Deep=x]/Text", ["two"]),
        ("List/Item[@id='3']/Text", ["three"]),
        ("List/Item/@id", ["1", "2", "3"]),
        ("List/*/Kind", ["a", "b", "a"]),
        ("**/Deep", ["x"]),
        ("**/Item[Kind=b]/Text", ["two"]),
        ("/Root/Head/Code", ["7"]),
        ("/*/Head/Code", ["7"]),
        ("/Other/Head/Code", []),
        ("List/None | Head/Code", ["7"]),
        ("List/Item[Kind=c]/Text", []),
        ("List/Item[4]/Text", []),
        ("../Head", []),
    ],
)
def test_a_path_finds_what_it_says(path, wanted):
    """Names, attributes, numbers, demands, any depth, from the root, and alternatives."""
    assert texts(path) == wanted


def test_dots_lead_to_the_parents():
    """From an element that is a record, its parents and what stands in them can be reached, and no further."""
    (chain, *_) = Finder().chains(alternatives("List/Item")[0], (root(),))
    finder = Finder()
    assert [element.text for element in finder.elements(alternatives("../../Head/Code")[0], chain)] == ["7"]
    assert [element.name for element in finder.elements(alternatives("..")[0], chain)] == ["List"]
    assert finder.elements(alternatives("../../../Head")[0], chain) == []


@pytest.mark.parametrize("path", ["", "/", "A//B", "A/", "A[", "A[]", "A[x", "A[0]", "A[1][2]", "A/../B", "A/**", "|"])
def test_what_is_no_path_is_refused_when_the_profile_is_loaded(path):
    """A path that cannot be taken apart names itself and the forms that a path has."""
    with pytest.raises(ProfileRefused) as refused:
        alternatives(path)
    assert refused.value.code == "LF-MAP-PROFILE-PATH"
    assert "A/B" in refused.value.cure


def test_leaves_come_with_their_paths():
    """Every text is found with the way to it; blank ones are none."""
    found = [path for path, _ in leaves((root(),))]
    assert found[:3] == ["Head/Code", "List/Item/@id", "List/Item/Kind"]
    assert len(found) == 11


@pytest.mark.parametrize(
    ("text", "path", "fits"),
    [
        ("Head/*", "Head/Code", True),
        ("Head/*", "Head/A/B", False),
        ("Head/**", "Head/A/B", True),
        ("**/@id", "List/Item/@id", True),
        ("**/@id", "@id", True),
        ("**/@id", "List/x@id", False),
        ("A.B", "AxB", False),
    ],
)
def test_patterns_of_ignored_paths(text, path, fits):
    """A star is one name, two are any depth, a point is a point."""
    assert bool(pattern(text).fullmatch(path)) is fits


HARD = (
    "from/to",
    "amount[EUR]",
    "a|b",
    "a | b",
    "50%2F",
    "..",
    ".",
    "**",
    "two words",
    " wide ",
    "x*",
    "!y",
    "rate%",
    'say "it"',
)
KEYS = """
[[record]]
message = "SuspiciousAccountNotice"
[record.field."account"]
from = "from%2Fto/no%5B1%5D"
parse = "account"
check = { required = true }
[record.field."narrative"]
from = 'a%7Cb[kind=x%5Dy]/text | other'
when = 'row["is %5Bopen%5D"] == "true"'
"""


@pytest.mark.parametrize("name", HARD)
def test_every_name_can_be_said_in_a_path(name):
    """Whatever means something in paths, conditions or patterns is written as % and its code, and leads to that very name."""
    tree = Element("r", "", [Element(name, "1"), Element("other", "2")])
    (path,) = alternatives(escaped(name))
    assert [one.text for one in Finder().elements(path, (tree,))] == ["1"]
    (deep,) = alternatives(f"/r/{escaped(name)}")
    assert [one.text for one in Finder().elements(deep, (tree,))] == ["1"]
    assert [place for place, _ in leaves((tree,))] == [escaped(name), "other"]
    assert pattern(escaped(name)).fullmatch(escaped(name))
    assert pattern("*").fullmatch(escaped(name))
    assert unescaped(escaped(name)) == name


def test_a_name_that_means_nothing_else_is_said_as_it_is():
    """Chinese names, attributes, blanks and percent signs inside stay readable."""
    assert [escaped(name) for name in ("户名", "@Ccy", "two words", "rate%", "a:b")] == [
        "户名",
        "@Ccy",
        "two words",
        "rate%",
        "a:b",
    ]


def test_keys_of_json_with_signs_of_paths_are_read_conditioned_ignored_and_told():
    """Fields, demands, conditions and `ignore` name them; what nobody reads is told so that it can be copied into `ignore`."""
    data = """{"from/to": {"no[1]": "123456"}, "a|b": [{"kind": "q", "text": "no"}, {"kind": "x]y", "text": "yes"}],
        "is [open]": true, "left/over": {"*": "1"}, "also[x]": "2"}"""
    found = one_of(made(KEYS, "json"), data)
    assert (found.message.account.number, found.message.narrative) == ("123456", "yes")
    assert not_carried(found) == ["a%7Cb/kind", "a%7Cb/text", "left%2Fover/%2A", "also%5Bx%5D"]
    told = {item.column for item in found.lineage}
    assert "from%2Fto/no%5B1%5D" in told
    ignored = one_of(made(KEYS, "json", 'ignore = ["a%7Cb/*", "left%2Fover/**", "also%5Bx%5D"]'), data)
    assert not_carried(ignored) == []


def test_keys_with_signs_of_paths_are_written_as_they_are_read():
    """The layout names them in the same way; numbers and arrays are told by the same paths."""
    body = KEYS.replace("| other", "").replace("[record.field", 'layout = ["from%2Fto/no%5B1%5D"]\n[record.field', 1)
    body += '[writing]\nroot = "r"\nliterals = ["from%2Fto/no%5B1%5D"]\narrays = ["from%2Fto"]\n'
    profile = made(body, "json")
    message = one_of(profile, '{"from/to": [{"no[1]": "123456"}]}').message
    data = bring_back(profile, message, {"message_id": "1", "sender": "", "agency": ""}).data
    assert json.loads(data) == {"from/to": [{"no[1]": 123456}]}


def test_the_profiles_schema_takes_such_paths():
    """An editor that checks profiles against the schema does not mind them: a path is any text."""
    schema = profile_schema()["$defs"]
    said = [*schema["Mapping_"]["properties"]["from"]["anyOf"], schema["Each"]["properties"]["over"]]
    assert [one.get("pattern") for one in said] == [None] * 3
    assert [one["type"] for one in said] == ["string", "array", "string"]
