"""How the gates of pair generation take the corpus: what they let through of golds and of each degradation.

uv run python benchmarks/gates.py
"""

from __future__ import annotations

from collections import Counter

from reward_model.data.gates import degraded_faults, gold_faults
from reward_model.data.llm_writer import LENGTH
from reward_model.jsonl import JsonlReader
from reward_model.rubric import load_rubric
from reward_model.samples import corpus_path
from reward_model.schema import PairRecord, read_pairs
from reward_model.tasks import Framework, PairTask


def main() -> None:
    rubric = load_rubric()
    degradations = {item.name: item for item in rubric.degradations}
    seen: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for located in read_pairs(JsonlReader(corpus_path()), rubric):
        record = located.record
        assert isinstance(record, PairRecord)
        assert record.metadata.fact_sheet is not None
        meta = record.metadata
        framework = Framework(
            id=str(meta.id),
            field=str(meta.field),
            company=(meta.model_extra or {})["company"],
            outline=("—",),
            background=record.prompt,
            fact_sheet=record.metadata.fact_sheet,
        )
        kind = str(meta.defect_metadata.degradation_type)
        severity = str(meta.defect_metadata.severity)
        task = PairTask(str(meta.id), framework, "", degradations[kind], severity)
        # From llm-w5 on, golds were given weaknesses on purpose, marked so.
        weakened = any(str(item).startswith("chosen:") for item in meta.defect_metadata.defects or [])
        if record.labels("chosen")["accuracy"] == rubric.num_classes - 1 and not weakened:
            seen["gold, accuracy at the top"] += 1
            passed["gold, accuracy at the top"] += not gold_faults(record.chosen, task, LENGTH)
        seen[kind] += 1
        passed[kind] += not degraded_faults(record.rejected, record.chosen, task, rubric)
    for name, count in seen.items():
        print(f"{name}: {passed[name]} of {count} pass")


if __name__ == "__main__":
    main()
