"""Statistics of one curve: what is trend, what is noise."""

from typing import Literal

Trend = Literal["falling", "flat", "rising", "unclear"]
