"""Paths into trees."""

import pytest

from adapters.errors import ProfileRefused
from adapters.paths import Finder, alternatives, leaves, pattern
from adapters.read_xml import read
from adapters.tree import Element
from tests.adapters.trees import made

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
