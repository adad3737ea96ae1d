"""A tree of elements is built from paths and texts: what `adapters/paths.py` reads, the other way round."""

from adapters.paths import Path, Step
from adapters.tree import Element


class Node:
    """An element being built. It joins its parent when something is first put into it."""

    def __init__(self, name: str, parent: "Node | None" = None, step: Step | None = None) -> None:
        self.name, self.text = name, ""
        self.children: list[Node] = []
        self.parent, self.step = parent, step
        self._joined = parent is None

    def join(self) -> None:
        """Stand in the tree from now on, behind what stands there already."""
        if not self._joined:
            assert self.parent is not None, "a root has joined"
            self.parent.join()
            self.parent.children.append(self)
            self._joined = True

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

    def add(self, step: Step) -> "Node":
        """Return a new child, not yet joined."""
        child = Node(step.name, self, step)
        for only in step.only:
            inner = child
            for name in only.inside:
                inner = inner.down(Step(name))
            inner.text = only.text
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
