"""A figure: a measured value, what it is compared with, and its target."""

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

_NOISE = 0.3


@dataclass(frozen=True, slots=True)
class AtMost:
    """A target with an upper bound."""

    bound: float

    def __contains__(self, value: float) -> bool:
        return value <= self.bound

    def __str__(self) -> str:
        return f"≤ {self.bound:,g}"


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A target with a lower bound."""

    bound: float

    def __contains__(self, value: float) -> bool:
        return value >= self.bound

    def __str__(self) -> str:
        return f"≥ {self.bound:,g}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Two programs compared: median, lowest and highest of the ratios of neighbouring runs."""

    middle: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, ours: list[float], rivals: list[float]) -> "Ratio":
        """Neighbouring runs had the same load of the machine, so their ratio is more exact than that of two medians."""
        ratios = [our / rival for our, rival in zip(ours, rivals, strict=True)]
        return cls(median(ratios), min(ratios), max(ratios))

    @property
    def is_noisy(self) -> bool:
        """Whether single runs differ too much for a conclusion."""
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
    """None if the figure only informs."""
    ours: str = ""
    """What *value* was calculated from: customer-sync's numbers …"""
    rival: str = ""
    """… and the rival's."""
    spread: str = ""
    """The range of single runs."""
    note: str = ""
    details: list[dict[str, float]] = field(default_factory=list)
    """Further numbers, for JSON only."""

    @classmethod
    def of_ratio(cls, title: str, ratio: Ratio, target: AtMost, *, ours: str, rival: str) -> "Figure":
        """The ratio of *ours* to *rival*."""
        note = "noisy: measure again on a quieter machine" if ratio.is_noisy else ""
        return cls(title, ratio.middle, "×", target, ours, rival, spread=str(ratio), note=note)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return None if self.target is None else self.value in self.target

    @property
    def shown(self) -> str:
        """The value with its unit and as many digits as are significant."""
        digits = 0 if self.value == int(self.value) or self.value >= 1000 else 2 if self.value < 100 else 1
        return f"{self.value:,.{digits}f} {self.unit}".strip()

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "target": self.target and str(self.target), "met": self.met}
