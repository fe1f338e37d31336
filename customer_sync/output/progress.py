"""The live display of a run on a terminal."""

from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from customer_sync.results.page_result import PageResult
from customer_sync.results.pass_result import PassResult


class ProgressDisplay(Progress):
    """A bar for every page at work, or one for all pages if the command counts no customers as it goes."""

    def __init__(self, console: Console, result: PassResult[Any], clean: Callable[[str], str]) -> None:
        """Every text goes through *clean*."""
        self._pass = result
        self._clean = clean
        self._pages: dict[TaskID, PageResult] = {}
        self._all_pages: TaskID | None = None
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed_text]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def start_page(self, result: PageResult) -> None:
        self.start()  # Not before: a run that cannot begin shows no empty display.
        with self._lock:  # Several pages start at once.
            if result.HAS_PROGRESS:
                self._pages[self.add_task(self._clean(result.page.title), total=None, speed_text="")] = result
            elif self._all_pages is None:
                self._all_pages = self.add_task("pages", total=len(self._pass.active_pages), speed_text="")

    def end_page(self, result: PageResult) -> None:
        if self._all_pages is not None:
            self.advance(self._all_pages)
        for task in [task for task, shown in list(self._pages.items()) if shown is result]:
            del self._pages[task]
            self.remove_task(task)

    def get_renderables(self) -> Iterable[RenderableType]:
        services = self._pass.services
        held_for = services.folkform_limiter.held_for() if services else 0.0
        limit = f"FolkForm's limit: {held_for:.0f} s" if held_for > 1 else ""
        if self._all_pages is not None:
            self.update(self._all_pages, speed_text=limit)
        for task, result in list(self._pages.items()):
            speed = self._tasks[task].speed
            text = limit or (f"{speed:,.0f} customers/s" if speed else "")
            self.update(task, completed=result.read, total=result.expected, speed_text=text)
        return super().get_renderables()
