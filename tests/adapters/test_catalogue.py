"""The profiles are read when they are asked for, and what is left unread changes nothing."""

import sys
from importlib import resources

import pytest

from adapters.catalogue import Catalogue, profiles
from adapters.detect import _FITS, identify
from adapters.errors import FileRefused, ProfileRefused
from adapters.golden import cases_in
from adapters.model import Fit
from adapters.tree_fit import Looks
from adapters.workbook import Opened

_FOLDER = resources.files("adapters") / "profiles"
_NOTICE = (_FOLDER / "bank-notice-csv.toml").read_text("utf-8")


def test_every_profile_is_there_reads_and_is_right() -> None:
    """Each file but the shared ones is a profile of its own name, in the order of names, and passes every check."""
    files = sorted(item.name for item in _FOLDER.iterdir() if item.name.endswith(".toml"))
    assert [f"{name}.toml" for name in profiles()] == [name for name in files if ".records." not in name]
    for name, profile in profiles().items():
        assert (profile.name, profile.file.source.format) == (name, profiles().format_of(name))
        assert profiles()[name] is profiles().unchecked(name)


def test_a_wrong_profile_is_refused_when_it_is_asked_for_and_no_other_is() -> None:
    """What is wrong with one costs none of its neighbours."""
    wrong = _NOTICE.replace('from = "holder"', 'from = "holdr"').replace('"bank-notice-csv"', '"b"')
    other = _NOTICE.replace("lines_before_max", "lines_befor").replace('"bank-notice-csv"', '"c"')
    found = Catalogue({"bank-notice-csv.toml": _NOTICE, "b.toml": wrong, "c.toml": other, "d.toml": _NOTICE})
    assert list(found) == ["b", "bank-notice-csv", "c", "d"]
    assert found["bank-notice-csv"].title
    for name, cause in (("b", "holdr"), ("c", "lines_befor"), ("d", "calls itself bank-notice-csv")):
        with pytest.raises(ProfileRefused, match=cause):
            found[name]
    with pytest.raises(KeyError):
        found["e"]
    assert "e" not in found


def test_a_file_is_compared_with_few_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """To know a table no tree's profile is read, and none is checked."""
    found = profiles.__wrapped__()
    monkeypatch.setattr(sys.modules[identify.__module__], "profiles", lambda: found)
    assert {found.format_of(name) for name in found} > {"csv", "xml", "json"}
    assert not found._parsed
    data = cases_in(_FOLDER / "bank-notice-csv.golden")[0].data
    assert identify(data).fits[0].profile == "bank-notice-csv"
    assert ({found.format_of(name) for name in found._parsed}, found._checked) == ({"csv", "xlsx"}, {})


@pytest.mark.parametrize("name", list(profiles()))
def test_what_is_not_compared_would_not_have_fitted(name: str) -> None:
    """Compared with every profile there is, a file fits the same ones, each as well."""
    case = cases_in(_FOLDER / f"{name}.golden")[0]
    looks, opened = Looks(case.data), Opened(case.data)
    every: list[Fit] = []
    for profile in profiles().values():
        form = profile.file.source.format
        fit = opened.fit(profile) if form == "xlsx" else _FITS[form](profile, case.data) if form in _FITS else None
        fit = fit or (looks.fit(profile) if form not in (*_FITS, "xlsx") else None)
        every += [fit] if fit else []
    try:
        found = identify(case.data).fits
    except FileRefused:
        found = ()
    assert set(found) == set(every)
