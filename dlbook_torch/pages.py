"""Pages that a command writes a part of: what stands between two marks, and nothing else."""


def marks(name: str) -> tuple[str, str]:
    """Between which a part stands: comments, which a reader does not see."""
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def renewed(page: str, name: str, content: str) -> str:
    """The page with ``content`` between the marks of that name.

    Raises: ValueError if it has not both.
    """
    start, end = marks(name)
    before, found, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"there is no {start} ... {end}")
    return f"{before}{start}\n{content}\n{end}{after}"
