"""Run the benchmarks: `python -m benchmarks`, which `make bench` calls."""

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
            help="Rounds of each contender; a row with its own number of rounds says so.", min=1
        ),
    ] = 5,
    only: Annotated[
        list[str] | None, typer.Option(help="Measure only this row; repeat it for more rows.")
    ] = None,
    scale: Annotated[float, typer.Option(help="Factor for the length of runs.", min=0.01)] = 1.0,
    check: Annotated[
        bool,
        typer.Option(
            help="Compare only with ceilings, before a release; exit status 1 if a floor is missed."
        ),
    ] = False,
    folder: Annotated[
        Path, typer.Option(help="Folder for bench.json, bench.md and bench.svg.")
    ] = Path("build/bench"),
    kept: Annotated[
        Path | None,
        typer.Option("--from", help="Show this bench.json instead of measuring.", exists=True),
    ] = None,
    publish: Annotated[
        bool, typer.Option(help="Make this the run that docs/performance.md shows.")
    ] = False,
) -> None:
    """Measure qt_events beside FastStream, plain Celery and the ceiling (py-amqp alone).

    This takes half an hour and more: some rows handle a million events. Compare only ratios within
    one run: the times depend on this machine and on what else it does. The exit status is 1 if a
    contender failed, or with --check if a floor is missed. It is 130 after Ctrl-C; the rows that
    were finished are still shown.
    """
    if publish and (only or check):
        raise typer.BadParameter(
            "a page shows all rows of one run: leave out --only and --check",
            param_hint="--publish",
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
    """Run the cases; return the record and whether Ctrl-C ended the run early."""
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
                f"no row {name!r}; the rows are {', '.join(known)}", param_hint="--only"
            )
    return [case for case in every if not names or case.name in names]


def _show(record: Record) -> None:
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table.for_terminal(record))
    console.print(table.provenance(record))
    for line in (*record.failed, *(f"not met: {each}" for each in _missed(record))):
        console.print(line, style="red", markup=False)


def _publish(record: Record, *, whole: bool) -> None:
    if whole:
        page.publish(record)
    else:
        print("not published: the run is incomplete, and a page shows all rows of one run")


def _missed(record: Record) -> list[str]:
    return [line for row in record.rows for line in words.missed(row)]


def _save(record: Record, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    record.save(folder / "bench.json")
    (folder / "bench.md").write_text(table.markdown(record) + "\n")
    chart.draw(record, folder / "bench.svg")


if __name__ == "__main__":
    typer.run(bench)
