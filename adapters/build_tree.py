"""A tree of elements is built from paths and texts: what `adapters/paths.py` reads, the other way round."""

from adapters.paths import Path, Step
from adapters.tree import Element


class Node:
    """An element being built. It joins its parent when something is first put into it."""

    def __init__(self, name: str, parent: "Node | None" = None, step: Step | None = None) -> None:
        self.name, self.text = name, ""
        self.children: list[Node] = []
        self.parent, self.step = parent, step
        self.joined = parent is None
        self.given: dict[Step | None, int] = {}
        """How many children were made by a step."""
        self.taken: dict[tuple[Step | None, str], int] = {}
        """How many of those hold an element of a list."""
        self.lists: set[str] = set()
        """Lists of which it holds an element."""

    def join(self) -> None:
        """Stand in the tree from now on, behind what stands there already."""
        if not self.joined:
            assert self.parent is not None, "a root has joined"
            self.parent.join()
            self.parent.children.append(self)
            self.parent.given[self.step] = self.parent.given.get(self.step, 0) + 1
            self.joined = True

    def at(self, path: Path) -> "Node":
        """Return the element at a path, made with all above it where it is not there; what a step demands is written too."""
        node = self
        for _ in range(path.up):
            node = node.parent or node
        steps = path.steps
        if path.absolute:
            node, steps = self.root, steps[1:]
        for step in steps:
            node = node.down(step)
        return node

    def another(self, path: Path) -> "Node":
        """Return one more element at the end of a path, whose parents are shared."""
        holder = self.at(Path(path.text, path.steps[:-1], path.up, path.absolute))
        return holder.add(path.steps[-1])

    def shadow(self) -> "Node":
        """Return an element like it, empty, in which something is built that is blended into it afterwards."""
        made = Node(self.name, self.parent, self.step)
        made.joined = True
        return made

    def holds(self, item: "Node", name: str) -> None:
        """Note that a child is an element of a list."""
        item.lists.add(name)
        self.taken[item.step, name] = self.taken.get((item.step, name), 0) + 1

    def blend(self, shadow: "Node", item: "Node", name: str) -> None:
        """Take in what was built in a shadow: into elements that are here and agree with it, else into new ones.

        `item` is an element of the list `name`: it comes to stand in an element that holds none of that list yet.
        """
        used: set[int] = set()
        for child in shadow.children:
            there = self._place_for(child, item, name, used)
            if there is None:
                there, child.parent, child.joined = child, self, False
                child.join()
            else:
                there.text = there.text or child.text
                there.blend(child, item, name)
            used.add(id(there))
            if child is item:
                self.holds(there, name)

    def _place_for(self, child: "Node", item: "Node", name: str, used: set[int]) -> "Node | None":
        """Return the child that another element can be blended into: the one in which most of what is below has a place."""
        if child is item and self.given.get(child.step, 0) == self.taken.get((child.step, name), 0):
            return None
        fits = [
            one
            for one in self.children
            if one.step == child.step
            and id(one) not in used
            and not (child is item and name in one.lists)
            and one.agrees(child)
        ]
        if len(fits) < 2 or child is item:  # noqa: PLR2004 - two is a choice
            return fits[0] if fits else None
        return max(fits, key=lambda one: one.depth_for(child, item, name))

    def depth_for(self, other: "Node", item: "Node", name: str) -> int:
        """Return how many levels of what is below another element have a place here."""
        if other is item:
            return 0
        depths = [0]
        for child in other.children:
            there = self._place_for(child, item, name, set()) if child.children else None
            if there is not None:
                depths.append(1 + there.depth_for(child, item, name))
        return max(depths)

    def agrees(self, other: "Node") -> bool:
        """Say whether it holds no text at a place where another element has one that differs."""
        if not (self.children or other.children):
            return not self.text or self.text == other.text
        own = {child.step: child.text for child in self.children if not child.children}
        texts = ((own.get(child.step), child.text) for child in other.children if not child.children)
        return all(not mine or mine == theirs for mine, theirs in texts)

    def add(self, step: Step) -> "Node":
        """Return a new child, not yet joined."""
        child = Node(step.name, self, step)
        for only in (one for one in step.only if one.text is not None):
            inner = child
            for name in only.inside:
                inner = inner.down(Step(name))
            inner.text = only.text or ""
        return child

    @property
    def root(self) -> "Node":
        """The outermost element."""
        return self if self.parent is None else self.parent.root

    def down(self, step: Step) -> "Node":
        """Return the child that a step leads to, made where it is not there."""
        found = self.child(step)
        found.join()
        return found

    def child(self, step: Step) -> "Node":
        """Return the child that a step leads to, or a new one that has not yet joined."""
        return next((child for child in self.children if child.step == step), None) or self.add(step)

    def element(self) -> Element:
        """Return it as it is written."""
        return Element(self.name, self.text, [child.element() for child in self.children])


def below_root(path: Path | None, root: str) -> tuple[Step, ...]:
    """Return the steps from a root of that name to where a record stands."""
    if path is None:
        return ()
    names_root = path.absolute or path.deep
    return path.steps[1:] if names_root and path.steps[0].name in (root, "*") else path.steps
