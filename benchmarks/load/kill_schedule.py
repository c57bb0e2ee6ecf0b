"""Kill a run at random moments, again and again: is anything lost, is anything there twice?"""

import random
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KillReport:
    """``kills`` are those that hit a run that was still going; ``problems`` what the check found after each
    and at the end, and runs that failed by themselves (empty when all is well)."""

    kills: int
    runs: int
    problems: tuple[str, ...]


def run_kills(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    check: Callable[[], Sequence[str]],
    kills: int,
    seconds: tuple[float, float],
    seed: int = 0,
    prepare: Callable[[], None] = lambda: None,
) -> KillReport:
    """Start ``command``, SIGKILL it after a random time within ``seconds``, check; ``kills`` times; then let
    it run to its end and check once more.

    ``check`` looks at what is there and returns what is wrong with it. ``prepare`` is called before each
    run that is to be killed: when the work is complete it puts things back to the start, or the kills left
    would hit runs with nothing to do. A run that ends before its kill counts as a run, not as a kill; one
    that ends with an error is a problem, and so are fewer kills than were asked for in three times as many
    runs.
    """
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    hit = runs = 0
    problems: list[str] = []
    while hit < kills and runs < 3 * kills:
        runs += 1
        prepare()
        failure = _run(command, environment, dice.uniform(*seconds))
        hit += failure is None
        moment = f"after kill {hit}" if failure is None else f"after run {runs}"
        problems += [f"{moment}: {problem}" for problem in (*filter(None, [failure]), *check())]
    if hit < kills:
        problems.append(f"{hit} kills of {kills}: the others came too late, the runs were over")
    failure = _run(command, environment, None)
    problems += [f"at the end: {problem}" for problem in (*filter(None, [failure]), *check())]
    return KillReport(hit, runs + 1, tuple(problems))


def _run(command: Sequence[str], environment: Mapping[str, str], seconds: float | None) -> str | None:
    """Run the command; None when it was killed after ``seconds`` (None: never), else what went wrong, "" if
    nothing.
    """
    # A file: a pipe that nobody reads would stop a talkative run.
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.DEVNULL, stderr=said)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None
        if code == 0:
            return ""
        said.seek(0)
        return f"a run ended with {code}: {said.read().decode(errors='replace').strip()[-200:]}"
