"""The tree against a naive reading of RFC 6962, on random trees."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import tiles, tree
from tests.audit.logs import take_out

# The inputs and roots of Certificate Transparency's own reference tests.
INPUTS = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAVES = [str(number).encode() for number in range(700)]
sizes = st.integers(min_value=0, max_value=len(LEAVES))


def mth(leaves):
    """RFC 6962 section 2.1, as it is written there."""
    if len(leaves) < 2:
        return sha256(b"\x00" + leaves[0]).digest() if leaves else sha256(b"").digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m, leaves):
    """RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m, leaves, complete):
    """RFC 6962 section 2.1.2."""
    if m == len(leaves):
        return [] if complete else [mth(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*subproof(m, leaves[:k], complete), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def hashes(level, index):
    return mth(LEAVES[index << level : (index + 1) << level])


def grown(size):
    frontier = tree.Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(tree.leaf_hash(leaf))
    return frontier


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_certificate_transparency(size):
    """The roots of the well-known eight inputs come out by each of our three ways."""
    leaves = [bytes.fromhex(text) for text in INPUTS[:size]]
    frontier = tree.Frontier()
    for leaf in leaves:
        frontier.append(tree.leaf_hash(leaf))
    assert frontier.root().hex() == ROOTS[size - 1]
    assert tree.root_of([tree.leaf_hash(leaf) for leaf in leaves]).hex() == ROOTS[size - 1]


@given(sizes)
def test_every_way_to_a_root_agrees_with_the_rfc(size):
    """Growing, stored and at-once computation give MTH(D[n])."""
    expected = mth(LEAVES[:size])
    assert grown(size).root() == expected
    assert tree.root_at(size, hashes) == expected
    assert tree.frontier_at(size, hashes).root() == expected
    assert tree.root_of([tree.leaf_hash(leaf) for leaf in LEAVES[:size]]) == expected


@given(sizes.filter(bool), st.data())
def test_inclusion_proofs_are_the_rfcs_and_verify_only_as_they_are(size, data):
    """PATH(m, D[n]) verifies, and no longer with a hash changed, dropped, added, or for another index."""
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    proof, root = tree.inclusion_proof(index, size, hashes), mth(LEAVES[:size])
    assert proof == path(index, LEAVES[:size])
    hashed = tree.leaf_hash(LEAVES[index])
    assert tree.verify_inclusion(hashed, index, size, proof, root)
    assert not tree.verify_inclusion(hashed, index, size, [*proof, root], root)
    assert not tree.verify_inclusion(tree.leaf_hash(b"another"), index, size, proof, root)
    assert not tree.verify_inclusion(hashed, size, size, proof, root)
    assert not tree.verify_inclusion(hashed, -1, size, proof, root)
    if proof:
        at = data.draw(st.integers(min_value=0, max_value=len(proof) - 1))
        assert not tree.verify_inclusion(hashed, index, size, proof[:at] + proof[at + 1 :], root)
        changed = [*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :]]
        assert not tree.verify_inclusion(hashed, index, size, changed, root)


@given(sizes, sizes, st.data())
def test_consistency_proofs_are_the_rfcs_and_verify_only_as_they_are(one, other, data):
    """PROOF(m, D[n]) verifies, and no longer with a hash changed, dropped or added, or for another history."""
    old, new = sorted((one, other))
    proof = tree.consistency_proof(old, new, hashes)
    assert proof == ([] if old == 0 else subproof(old, LEAVES[:new], True))
    roots = mth(LEAVES[:old]), mth(LEAVES[:new])
    assert tree.verify_consistency(old, new, proof, *roots)
    assert not tree.verify_consistency(old, new, [*proof, roots[0]], *roots)
    if old:
        assert not tree.verify_consistency(old, new, proof, mth([b"x", *LEAVES[1:old]]), roots[1])
    if proof:
        at = data.draw(st.integers(min_value=0, max_value=len(proof) - 1))
        assert not tree.verify_consistency(old, new, proof[:at] + proof[at + 1 :], *roots)
        changed = [*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :]]
        assert not tree.verify_consistency(old, new, changed, *roots)


def test_a_smaller_tree_does_not_extend_a_larger():
    """Consistency runs forwards only, and asks for trees that there are."""
    assert not tree.verify_consistency(5, 3, [], mth(LEAVES[:5]), mth(LEAVES[:3]))
    assert not tree.verify_consistency(-1, 3, [], tree.EMPTY_ROOT, mth(LEAVES[:3]))
    for old, new in ((5, 3), (-1, 3)):
        with pytest.raises(ValueError, match="extend"):
            tree.consistency_proof(old, new, hashes)
    with pytest.raises(ValueError, match="not in a tree"):
        tree.inclusion_proof(3, 3, hashes)


@given(st.sampled_from([1, 2, 255, 256, 257, 511, 512, 513, 700]), st.data())
def test_a_stored_tree_gives_the_hash_of_every_complete_subtree(size, data):
    """Tiles and the unfinished rest answer for each (level, index) inside the tree."""
    unfinished = {0: [tree.leaf_hash(leaf) for leaf in LEAVES[size - size % 256 : size]]}
    if size >= 256:
        unfinished[1] = [hashes(8, number) for number in range(size // 256)]
    stored = tiles.StoredTree(
        grown(size),
        unfinished,
        lambda level, number: tiles.expand([hashes(8 * level, number * 256 + at) for at in range(256)]),
    )
    level = data.draw(st.integers(min_value=0, max_value=size.bit_length() - 1))
    index = data.draw(st.integers(min_value=0, max_value=(size >> level) - 1))
    assert stored(level, index) == hashes(level, index)


def test_a_node_cannot_pass_for_a_leaf(monkeypatch):
    """Second preimage: two hashes shown as an entry do not verify; without the prefixes they would."""

    def forged():
        leaf = [tree.leaf_hash(data) for data in LEAVES[:4]]
        right = tree.node_hash(leaf[2], leaf[3])
        root = tree.node_hash(tree.node_hash(leaf[0], leaf[1]), right)
        return tree.verify_inclusion(tree.leaf_hash(leaf[0] + leaf[1]), 0, 2, [right], root)

    assert not forged()
    take_out(monkeypatch, tree, "leaf_hash", 'b"\\x00" + leaf', "leaf")
    take_out(monkeypatch, tree, "node_hash", 'b"\\x01" + left', "left")
    assert forged()
