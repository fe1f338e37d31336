"""The live display of a run on a terminal."""

from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Column
from rich.text import Text

from customer_sync.results.page_result import PageResult
from customer_sync.results.pass_result import PassResult

_BAR = 10
_COUNTS = 30  # "1,234,567 of 1,234,567", the speed, the time that is left.
_LONGEST_NAME = 36


class ProgressDisplay(Progress):
    """How many pages were begun, and a line for every page at work if the command counts customers as it goes."""

    def __init__(self, console: Console, result: PassResult[Any], clean: Callable[[str], str]) -> None:
        """Every text goes through *clean*."""
        self._pass = result
        self._clean = clean
        self._begun = 0
        self._pages: dict[TaskID, PageResult] = {}
        name_width = min(max(console.width - _BAR - _COUNTS, _BAR), _LONGEST_NAME)
        super().__init__(
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="crop", max_width=name_width),
            ),
            _Bar(bar_width=_BAR, complete_style="green", finished_style="green"),
            TextColumn("{task.fields[count]}", markup=False),
            TextColumn("{task.fields[speed_text]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )

    def start_page(self, result: PageResult) -> None:
        with self._lock:  # Several pages start at once.
            self._begun += 1
            self.start()  # Not before: a run that cannot begin shows no empty display.
            if result.HAS_PROGRESS:
                name = self._clean(result.page.name or result.page.page_id)
                self._pages[self.add_task(name, total=None, count="", speed_text="")] = result

    def end_page(self, result: PageResult) -> None:
        for task in [task for task, shown in list(self._pages.items()) if shown is result]:
            del self._pages[task]
            self.remove_task(task)

    def get_renderables(self) -> Iterable[RenderableType]:
        services = self._pass.services
        held_for = services.folkform_limiter.held_for() if services else 0.0
        limit = f", FolkForm's limit: {held_for:.0f} s" if held_for > 1 else ""
        yield Text(f"page {self._begun} of {len(self._pass.active_pages)}{limit}")
        for task, result in list(self._pages.items()):
            speed = self._tasks[task].speed
            count = f"{result.read:,} read" if result.expected is None else f"{result.read:,} of {result.expected:,}"
            speed_text = f"{speed:,.0f}/s" if speed and not limit else ""
            self.update(task, completed=result.read, total=result.expected, count=count, speed_text=speed_text)
        yield from super().get_renderables()


class _Bar(BarColumn):
    """A bar, once it is known how many customers there are."""

    def render(self, task: Task) -> ProgressBar | Text:  # type: ignore[override]
        return Text() if task.total is None else super().render(task)
