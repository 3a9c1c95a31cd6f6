"""python -m benchmarks: ours beside its peers and the ceiling, in one run. `make bench` calls it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import chart, page, table, words
from benchmarks.case import Case
from benchmarks.cases import cases
from benchmarks.record import Record
from benchmarks.rig import Rig
from benchmarks.session import Session
from qt_events.testing.broker import PrivateBroker

_INTERRUPTED = 130


def bench(
    rounds: Annotated[
        int,
        typer.Option(
            help="How often each contender runs, in turn; rows that have others say so.", min=1
        ),
    ] = 5,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this row; may be given again.")
    ] = None,
    scale: Annotated[float, typer.Option(help="Longer or shorter runs.", min=0.01)] = 1.0,
    check: Annotated[
        bool,
        typer.Option(
            help="Before a release: only against the ceiling; exit status 1 if ours has lost ground."
        ),
    ] = False,
    folder: Annotated[
        Path, typer.Option(help="Where bench.json, bench.md and bench.svg go.")
    ] = Path("build/bench"),
    kept: Annotated[
        Path | None,
        typer.Option("--from", help="Measure nothing: show this bench.json.", exists=True),
    ] = None,
    publish: Annotated[
        bool, typer.Option(help="Make it the run that docs/performance.md shows.")
    ] = False,
) -> None:
    """Measure qt_events beside FastStream, plain Celery and the ceiling (py-amqp alone); about 25 minutes.

    Only ratios within one run count: the times are this machine's, and whatever else it does. Exit status 1 if a
    contender failed, or with --check if a floor is missed; 130 after Ctrl-C, which still shows what is finished.
    """
    if publish and (only or check):
        raise typer.BadParameter(
            "a page shows all rows of one run: without --only and --check", param_hint="--publish"
        )
    if kept:
        record, interrupted = Record.read(kept), False
    else:
        record, interrupted = _measured(rounds, scale, only, check=check)
    _show(record)
    _save(record, folder)
    if publish:
        _publish(record, whole=not (interrupted or record.failed))
    if interrupted:
        raise typer.Exit(_INTERRUPTED)
    if record.failed or (check and _missed(record)):
        raise typer.Exit(1)


def _measured(
    rounds: int, scale: float, only: Sequence[str] | None, *, check: bool
) -> tuple[Record, bool]:
    """What came of it, and whether Ctrl-C ended it early."""
    with PrivateBroker() as broker:
        version = broker.rabbitmqctl("version").strip()
        every = cases(Rig(broker), scale)
        session = Session(rounds, scale)
        session.run(
            _chosen([case.for_check() for case in every if case.floors] if check else every, only)
        )
        return session.record(version), session.interrupted


def _chosen(every: list[Case], names: Sequence[str] | None) -> list[Case]:
    known = [case.name for case in every]
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(
                f"no row {name!r}; there are {', '.join(known)}", param_hint="--only"
            )
    return [case for case in every if not names or case.name in names]


def _show(record: Record) -> None:
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table.for_terminal(record))
    console.print(table.made(record))
    for line in (*record.failed, *(f"not met: {each}" for each in _missed(record))):
        console.print(line, style="red", markup=False)


def _publish(record: Record, *, whole: bool) -> None:
    if whole:
        page.publish(record)
    else:
        print("not published: a page shows all rows of one run")


def _missed(record: Record) -> list[str]:
    return [line for row in record.rows for line in words.missed(row)]


def _save(record: Record, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    record.save(folder / "bench.json")
    (folder / "bench.md").write_text(table.markdown(record) + "\n")
    chart.draw(record, folder / "bench.svg")


if __name__ == "__main__":
    typer.run(bench)
