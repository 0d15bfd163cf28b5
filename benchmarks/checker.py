"""How well and how fast the calculation checker works: errors found, false alarms, real text, speed.

``uv run python benchmarks/checker.py --list`` while working on it; see README.md beside it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _bench as bench
import _checker_cases as cases
import _checker_speed as speed
from _checker_cases import Case, Share

PARTS = ("gold", "clean", "real", "speed")
REAL = bench.HERE.parent.parent / "shared" / "realtext-dev"


@dataclass(frozen=True)
class Aim:
    """Something to reach, what was reached, and whether that is enough."""

    what: str
    wanted: str
    reached: str
    is_met: bool


def one_in(alarms: Share) -> str:
    """False alarms as "3 in 6,000 (1 in 2,000)"."""
    rate = f"1 in {alarms.of / alarms.hits:,.0f}" if alarms.hits else "none"
    return f"{alarms.hits} in {alarms.of:,} ({rate})"


def gold_section(found: dict[str, Any]) -> tuple[str, list[Aim]]:
    """Recall as Markdown, and its aim."""
    both = [found[mode] for mode in cases.MODES]
    rows = [
        ["wrong figures found", *(str(part["found"]) for part in both)],
        ["found, right value given", *(str(part["right"]) for part in both)],
        ["wrong direction words found", *(str(part["words"]) for part in both)],
        ["consequences of errors flagged too", *(str(part["consequences"]) for part in both)],
        ["false alarms in these texts", *(one_in(part["false_alarms"]) for part in both)],
    ]
    lines = [
        f"## {found['texts']} texts with known errors",
        "",
        bench.markdown(["", "with facts", "text only"], rows),
    ]
    for name, title in (("class", "metric"), ("basis", "provable from"), ("mistake", "likely mistake")):
        table = []
        for key, with_facts in both[0][f"by_{name}"].items():
            alone = both[1][f"by_{name}"][key]
            table.append(
                [key, *(str(part[kind]) for part in (with_facts, alone) for kind in ("found", "right"))]
            )
        header = [title, "found, facts", "right value, facts", "found, text", "right value, text"]
        lines += ["", bench.markdown(header, table)]
    right = both[0]["right"]
    aim = Aim("primary errors found with the right value", "at least 85%", str(right), right.share >= 0.85)
    return "\n".join(lines), [aim]


def clean_section(found: dict[str, Any]) -> tuple[str, list[Aim]]:
    """False alarms and coverage as Markdown, and their aims."""
    both = [found[mode] for mode in cases.MODES]
    rows = [
        ["figures", *(f"{part['figures']:,}" for part in both)],
        ["checked", *(f"{part['checked']:,}" for part in both)],
        ["false alarms", *(one_in(part["false_alarms"]) for part in both)],
        ["flags that reading confirmed", *(str(part["confirmed_flags"]) for part in both)],
        ["amounts, rates and ratios checked", *(str(part["covered"]) for part in both)],
    ]
    empty = Share()
    for kind in sorted({kind for part in both for kind in part["by_kind"]}):
        rows.append([f"of kind {kind}", *(str(part["by_kind"].get(kind, empty)) for part in both)])
    lines = [
        f"## {found['texts']} texts that both judges found free of errors",
        "",
        bench.markdown(["", "with facts", "text only"], rows),
    ]
    aims = []
    for mode, part in zip(cases.MODES, both, strict=True):
        alarms = part["false_alarms"]
        met = alarms.of > 0 and alarms.hits * 200 <= alarms.of
        aims.append(Aim(f"false alarms ({mode})", "at most 1 in 200 checked", one_in(alarms), met))
    covered = both[0]["covered"]
    aims.append(
        Aim("amounts, rates, ratios checked (facts)", "at least 70%", str(covered), covered.share >= 0.7)
    )
    return "\n".join(lines), aims


def real_section(found: dict[str, Any]) -> tuple[str, list[Aim]]:
    """Claims of real text as Markdown, and their aims."""
    rows = [
        ["inconsistent claims found", str(found["inconsistent_found"])],
        ["inconsistent ones that PDF extraction scrambled, flagged", str(found["scrambled_flagged"])],
        ["traps flagged", str(found["traps_flagged"])],
        ["traps with any verdict", str(found["traps_with_a_verdict"])],
        ["consistent claims flagged", str(found["consistent_flagged"])],
        ["consistent claims verified", str(found["consistent_verified"])],
        ["multiple-choice questions answered by the flags", str(found["questions"])],
    ]
    hits, traps, false = (
        found[name] for name in ("inconsistent_found", "traps_flagged", "consistent_flagged")
    )
    aims = [
        Aim("readable inconsistent claims found", "at most 1 missed", str(hits), hits.of - hits.hits <= 1),
        Aim("binding traps flagged", "none", str(traps), not traps.hits),
        Aim("real consistent claims flagged", "at most 1", str(false), false.hits <= 1),
    ]
    title = f"## {found['passages']} claims in real text, without facts"
    return "\n".join([title, "", bench.markdown(["", ""], rows)]), aims


def speed_section(rate: dict[str, Any], hostile: dict[str, dict[str, Any]]) -> tuple[str, list[Aim]]:
    """Speed as Markdown, and its aims."""
    rows = [
        ["reports a second, with facts", bench.shown(rate["reports_per_s_facts"])],
        ["reports a second, text only", bench.shown(rate["reports_per_s_text"])],
    ]
    for times, seen in rate["scaling"].items():
        rows.append(
            [
                f"µs a character, {seen['characters']:,} characters (x{times})",
                f"{seen['us_per_character']:.2f}",
            ]
        )
    lines = ["## Speed, one core", "", bench.markdown(["", ""], rows), ""]
    table = [
        [name.replace("|", "/"), run["error"], "–", "–"]
        if "error" in run
        else [name, f"{run['seconds']:.1f}", f"{run['memory_mib']:,.0f}", f"{run['figures']:,}"]
        for name, run in hostile.items()
    ]
    lines += [bench.markdown(["10 MB of", "seconds", "memory, MiB", "claims"], table)]
    median = (rate["reports_per_s_facts"] or {"median": 0})["median"]
    first, last = (rate["scaling"][times]["us_per_character"] for times in (1, 100))
    good = [run for run in hostile.values() if "error" not in run]
    worst = max((run["seconds"] for run in good), default=0.0)
    memory = max((run["memory_mib"] for run in good), default=0.0)
    aims = [
        Aim("reports a second on one core", "at least 300", f"{median:,.0f}", median >= 300),
        Aim(
            "linear: time a character, x100 to x1", "at most 1.5", f"{last / first:.2f}", last <= 1.5 * first
        ),
        Aim(
            "hostile 10 MB texts",
            f"all end within {speed.TIMEOUT:.0f} s",
            f"{len(good)} of {len(hostile)}; at most {worst:.0f} s, {memory:,.0f} MiB",
            len(good) == len(hostile),
        ),
    ]
    return "\n".join(lines), aims


def show_cases(found: Sequence[Case]) -> None:
    """Every miss and false alarm with its sentence, on standard error: they quote texts that aren't ours."""
    for case in found:
        print(f"\n[{case.what}] {case.id} {case.span}\n  {case.sentence}\n  {case.detail}", file=sys.stderr)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, help="parts to measure; all if not given")
    parser.add_argument(
        "--list", action="store_true", help="show every miss and false alarm with its sentence"
    )
    parser.add_argument(
        "--realtext", type=Path, default=REAL, metavar="DIR", help="where the real claims lie"
    )
    parser.add_argument("--repeats", type=int, default=3, help="passes over the corpus for speed")
    parser.add_argument("--json", metavar="F", help="write all figures there")
    parser.add_argument("--markdown", metavar="F", help="write the tables there")
    return parser.parse_args(argv)


def main() -> int:
    """Measure; print the tables. 1 if an aim isn't met."""
    options = parse()
    # Where the project isn't installed, as in a checkout, workers find it here.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(bench.HERE.parent), os.environ.get("PYTHONPATH")])
    )
    parts = options.only or PARTS
    facts: dict[str, Any] = {"machine": bench.machine()}
    sections: list[str] = []
    aims: list[Aim] = []
    listed: list[Case] = []

    def enter(name: str, found: dict[str, Any], section: tuple[str, list[Aim]]) -> None:
        facts[name] = cases.plain(found)
        sections.append(section[0])
        aims.extend(section[1])
        for part in (found, *(found.get(mode, {}) for mode in cases.MODES)):
            listed.extend(part.get("cases", []))

    if "gold" in parts:
        gold = cases.gold()
        enter("gold", gold, gold_section(gold))
    if "clean" in parts:
        clean = cases.clean()
        enter("clean", clean, clean_section(clean))
    if "real" in parts:
        real = cases.real(options.realtext)
        if real is None:
            sections.append("## Real text\n\nSkipped: no natural_claims.jsonl in the folder of --realtext.")
        else:
            enter("real", real, real_section(real))
    if "speed" in parts:
        rate, hostile = speed.throughput(options.repeats), speed.hostile()
        enter("speed", {**rate, "hostile": hostile}, speed_section(rate, hostile))
    if options.list:
        show_cases(listed)
    facts["aims"] = [vars(aim) for aim in aims]
    machine = facts["machine"]
    table = [[aim.what, aim.wanted, aim.reached, "yes" if aim.is_met else "**no**"] for aim in aims]
    text = "\n".join(
        [
            "# The calculation checker",
            "",
            f"{machine['at']}; {machine['cpu']}; load average at start {machine['load_at_start']}; "
            f"Python {machine['versions']['python']}.",
            "",
            bench.markdown(["aim", "wanted", "reached", "met"], table),
            "",
            "\n\n".join(sections),
        ]
    )
    bench.write_results(facts, text, options.json, options.markdown)
    return 0 if all(aim.is_met for aim in aims) else 1


if __name__ == "__main__":
    sys.exit(main())
