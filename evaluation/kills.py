"""Kill a run at random moments, again and again: is anything lost, is anything there twice?"""

import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KillReport:
    """``kills`` are those that hit a run that was still going; ``problems`` what the check found after each
    and at the end (empty when all is well)."""

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
) -> KillReport:
    """Start ``command``, SIGKILL it after a random time within ``seconds``, check; ``kills`` times; then let
    it run to its end and check once more.

    ``check`` looks at what is there and returns what is wrong with it. A run that ends before its kill
    counts as a run, not as a kill.
    """
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    hit = runs = 0
    problems: list[str] = []
    while hit < kills and runs < 3 * kills:
        runs += 1
        process = subprocess.Popen(  # noqa: S603 - the caller's own command, no shell
            command, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(dice.uniform(*seconds))
        if process.poll() is None:
            hit += 1
            process.kill()
        process.wait()
        problems += [f"after kill {hit}: {problem}" for problem in check()]
    done = subprocess.run(  # noqa: S603
        command, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        problems.append(f"the last run ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    problems += [f"at the end: {problem}" for problem in check()]
    return KillReport(hit, runs + 1, tuple(problems))
