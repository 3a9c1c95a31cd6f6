"""python -m benchmarks: ours beside its peers and the ceiling, in one run. `make bench` calls it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import chart, report
from benchmarks.cases import cases
from benchmarks.rig import BenchmarkFailedError, Rig
from benchmarks.rounds import Case, Row, measure
from qt_events.testing.broker import PrivateBroker

RELEASE = ("publish", "consume", "bound", "unrelated", "import")  #: what is compared with a ceiling of its own run


def bench(
    rounds: Annotated[int, typer.Option(help="How often each contender runs, in turn.", min=1)] = 5,
    only: Annotated[list[str] | None, typer.Option(help="Only this row; may be given again.")] = None,
    scale: Annotated[float, typer.Option(help="Longer or shorter runs.", min=0.01)] = 1.0,
    json: Annotated[Path | None, typer.Option(help="Every sample, into this file.")] = None,
    svg: Annotated[Path | None, typer.Option(help="The chart, into this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="The table as Markdown, into this file.")] = None,
    check: Annotated[
        bool, typer.Option(help=f"Before a release: {', '.join(RELEASE)}; exit status 1 if a target is missed.")
    ] = False,
) -> None:
    """Measure qt_events beside FastStream, plain Celery and the ceiling (py-amqp alone); about 25 minutes.

    Only ratios within one run count: the times are this machine's, and whatever else it does.
    """
    console = Console(width=None if Console().is_terminal else 160)
    with PrivateBroker() as broker:
        chosen = _chosen(cases(Rig(broker), scale), RELEASE if check and not only else only)
        try:
            rows = _run(chosen, rounds, console)
        except BenchmarkFailedError as error:
            console.print(f"[red]failed:[/] {error}")
            raise typer.Exit(1) from None
    console.print(report.table(rows))
    for path, write in ((json, report.save), (svg, chart.draw)):
        if path is not None:
            write(rows, path)
    if markdown is not None:
        markdown.write_text(report.markdown(rows) + "\n")
    for each in (missed := report.missed(rows)):
        console.print(f"[red]not met:[/] {each}")
    if check and missed:
        raise typer.Exit(1)


def _chosen(every: list[Case], names: list[str] | tuple[str, ...] | None) -> list[Case]:
    known = [case.name for case in every]
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(f"no row {name!r}; there are {', '.join(known)}", param_hint="--only")
    return [case for case in every if not names or case.name in names]


def _run(chosen: list[Case], rounds: int, console: Console) -> list[Row]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    total = sum(len(case.contenders) * (case.rounds or rounds) for case in chosen)
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total)

        def tell(what: str) -> None:
            progress.update(task, description=what)
            if not console.is_terminal:
                console.print(what)

        rows = []
        for case in chosen:
            rows.append(measure(case, rounds, tell))
            progress.advance(task, len(case.contenders) * (case.rounds or rounds))
        return rows


if __name__ == "__main__":
    typer.run(bench)
