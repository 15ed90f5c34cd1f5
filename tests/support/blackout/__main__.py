"""Program of ``make blackout``: run cells of the matrix, print their table, and keep it in the runbook."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import get_args

from blackout.cells import CLOCKS, DEPENDENCIES, LONG, REPLICAS, Cell, Fault, matrix
from blackout.faults import clock_library
from blackout.laboratory import enter_laboratory, rig_folder
from blackout.measure import run_cell
from blackout.results import CellResult, load, save, table, with_table
from blackout.rig import layout, open_rig
from parley_embedded.errors import EmbeddedError
from parley_testing.deployment.promtool import Promtool, find_promtool

ROOT = Path(__file__).resolve().parents[3]
RESULTS, RUNBOOK = ROOT / "docs" / "blackout.json", ROOT / "docs" / "runbook.md"


def main() -> int:
    """Run the chosen cells; return 1 if one of them shows what must not be."""
    options = _options()
    cells = [
        cell
        for cell in matrix()
        if cell.victim in (options.victims or [*DEPENDENCIES, *REPLICAS])
        and (cell.fault in options.fault if options.fault else cell.fault != LONG)
    ]
    promtool = _promtool()
    enter_laboratory("blackout")
    if not clock_library():
        print("Without libfaketime (or its path in FAKETIME_LIBRARY), no clock is changed.")
        cells = [cell for cell in cells if cell.fault not in CLOCKS]
    if not cells:
        sys.exit("No cell was chosen: nothing was measured.")
    keep = {"all": keep_result, "alerts": keep_alerts}.get(options.write, lambda _: None)
    results = asyncio.run(run(cells, options.logs, promtool, keep))
    print(table({result.cell: result for result in results}))
    return 1 if any(result.problems for result in results) else 0


def keep_alerts(result: CellResult) -> None:
    """Write the alerts of a result only, beside the figures of an earlier run."""
    if earlier := load(RESULTS).get(result.cell):
        keep_result(replace(earlier, alerts=result.alerts))


def keep_result(result: CellResult) -> None:
    """Write a result to the file of all results, and the runbook's table."""
    save(RESULTS, [result])
    RUNBOOK.write_text(with_table(RUNBOOK.read_text(encoding="utf-8"), load(RESULTS)), encoding="utf-8")


async def run(
    cells: list[Cell], logs: Path | None, promtool: Path | None, keep: Callable[[CellResult], None]
) -> list[CellResult]:
    """Run the cells, those of one rig together; ``logs``: a folder for the logs of all processes.

    ``keep`` is called with each result: a run that is interrupted loses no more than its last cell.
    """
    results = []
    for needed, group in groupby(sorted(cells, key=layout), layout):
        with rig_folder(logs and logs / needed.replace(" ", "-")) as folder:
            async with open_rig(folder, needed) as rig:
                for cell in group:
                    try:
                        result = await run_cell(rig, cell, Promtool(promtool, folder) if promtool else None)
                    except Exception as error:  # noqa: BLE001 - the next cells are run all the same
                        result = CellResult(cell.name, cell.seconds, problems=[f"broken off: {error!r}"])
                    else:
                        keep(result)
                    results.append(result)
                    print(f"{'FAILED' if result.problems else 'ok':6} {table({cell.name: result}).splitlines()[-1]}")
                    for problem in result.problems:
                        print(f"       {problem}", flush=True)
    return results


def _promtool() -> Path | None:
    """Return promtool, which needs the network only once: inside the laboratory, there is none."""
    try:
        return asyncio.run(find_promtool())
    except EmbeddedError as error:
        print(f"The alerts are not judged: {error}")
        return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="blackout", description=__doc__)
    parser.add_argument("victims", nargs="*", metavar="VICTIM", help=", ".join([*DEPENDENCIES, *REPLICAS]))
    parser.add_argument(
        "--fault",
        action="append",
        choices=get_args(Fault),
        help=f"only this fault; may be repeated. The only way to `{LONG}`",
    )
    parser.add_argument("--logs", type=Path, help="keep the logs of all processes in this folder")
    parser.add_argument(
        "--write",
        nargs="?",
        const="all",
        choices=("all", "alerts"),
        help="keep the results and write the runbook's table; `alerts`: on a machine that is too busy for the figures",
    )
    options = parser.parse_args()
    if unknown := set(options.victims) - {*DEPENDENCIES, *REPLICAS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
