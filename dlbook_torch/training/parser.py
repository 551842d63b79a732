"""The argument parser whose errors are short."""

from collections.abc import Iterator
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from .errors import UsageError, explain


class ShortErrorParser(LightningArgumentParser):
    """A parser that says what is wrong instead of how it is used."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise UsageError with the short form of ``message``."""
        if not self.exit_on_error:  # an inner parser: the outer one reports
            super().error(message, ex)
        raise UsageError(explain(message, self._options())) from ex

    def _options(self) -> Iterator[str]:
        subcommands = getattr(self, "_subcommands_action", None)
        for parser in (self, *getattr(subcommands, "_name_parser_map", {}).values()):
            yield from (action.dest for action in parser._actions)
