"""A figure: what was measured, beside what, and whether that is good enough."""

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

_NOISE = 0.3


@dataclass(frozen=True, slots=True)
class AtMost:
    """A target that is met from below."""

    bound: float

    def __contains__(self, value: float) -> bool:
        return value <= self.bound

    def __str__(self) -> str:
        return f"≤ {self.bound:,g}"


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A target that is met from above."""

    bound: float

    def __contains__(self, value: float) -> bool:
        return value >= self.bound

    def __str__(self) -> str:
        return f"≥ {self.bound:,g}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Two programs compared: the median, lowest and highest of the ratios of runs that were neighbours in time."""

    middle: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, ours: list[float], rivals: list[float]) -> "Ratio":
        """Neighbours met the same load of the machine, so their ratio is truer than that of two medians."""
        ratios = [our / rival for our, rival in zip(ours, rivals, strict=True)]
        return cls(median(ratios), min(ratios), max(ratios))

    @property
    def is_noisy(self) -> bool:
        """Whether single runs are further apart than any conclusion allows."""
        return self.highest - self.lowest > _NOISE * self.middle

    def __str__(self) -> str:
        return f"{self.lowest:.2f}–{self.highest:.2f}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    title: str
    value: float
    unit: str = ""
    target: AtMost | AtLeast | None = None
    """None where it only informs."""
    ours: str = ""
    """What *value* was worked out from: of customer-sync …"""
    rival: str = ""
    """… and of whom it is compared with."""
    spread: str = ""
    """How far apart single runs were."""
    note: str = ""
    details: list[dict[str, float]] = field(default_factory=list)
    """What the table has no room for; JSON tells it."""

    @classmethod
    def of_ratio(cls, title: str, ratio: Ratio, target: AtMost, *, ours: str, rival: str) -> "Figure":
        """How many times *ours* is *rival*."""
        note = "noisy: measure again on a quieter machine" if ratio.is_noisy else ""
        return cls(title, ratio.middle, "×", target, ours, rival, spread=str(ratio), note=note)

    @property
    def met(self) -> bool | None:
        """Whether the target is met, None without one."""
        return None if self.target is None else self.value in self.target

    @property
    def shown(self) -> str:
        """The value as a person reads it: as many digits as tell something."""
        digits = 0 if self.value == int(self.value) or self.value >= 1000 else 2 if self.value < 100 else 1
        return f"{self.value:,.{digits}f} {self.unit}".strip()

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "target": self.target and str(self.target), "met": self.met}
