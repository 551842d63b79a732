"""What to try: the six methods of notes 4.3 against overfitting, and the cures of the other faults."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Remedy:
    """Something to change.

    Args:
        id: its short name.
        action: what to do, in one line.
        condition: when it helps, or what it costs; "" if always.
        key: the option of ``train.py fit`` that does it; "" if none does.
        source: section of the notes, or whose advice it is.
        attributed: the notes say so, and we do not: shown on demand only.
    """

    id: str
    action: str
    condition: str = ""
    key: str = ""
    source: str = ""
    attributed: bool = False

    def __str__(self) -> str:
        condition = f" ({self.condition})" if self.condition else ""
        key = f": `{self.key}`" if self.key else ""
        source = f" [{self.source}]" if self.source else ""
        return f"{self.action}{condition}{key}{source}"

    def as_dict(self) -> dict[str, Any]:
        """The remedy as plain data."""
        return asdict(self)
