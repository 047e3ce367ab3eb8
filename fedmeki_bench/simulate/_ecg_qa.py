"""ECG-QA: questions about recording faults in the simulated PTB-XL records, as templates and paraphrased."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from fedmeki_bench.files import write_json, write_text
from fedmeki_bench.simulate._files import write_csv
from fedmeki_bench.simulate._latent import bayes_accuracy, generator
from fedmeki_bench.simulate._ptb_xl import fold
from fedmeki_bench.simulate._ptb_xl_plan import RecordingFault, Records, plan_records
from fedmeki_bench.simulate._source import Settings, SourceSimulator, TaskTruth

__all__ = ["EcgQaSimulator"]

LEAD_NAMES = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
NAMES = {
    "baseline_drift": "baseline drift",
    "static_noise": "static noise",
    "burst_noise": "burst noise",
    "electrodes_problems": "electrodes problems",
}
QUESTIONS_A_RECORD = 2
CHUNK = 10_000
"""Questions a file, as in the real layout; a file is named by its first `sample_id`."""

IN_LEAD, ANYWHERE, WHICH, OTHER, COMPARISON = 26, 27, 34, 2, 43
"""Template ids: a fault in one lead, a fault at all, a fault's leads; and two kinds the task leaves out."""

WORDING: Mapping[int, tuple[str, ...]] = {
    IN_LEAD: (
        "Is lead {lead} disturbed by {fault}?",
        "Can {fault} be seen in lead {lead}?",
        "Looking at lead {lead}: any {fault} there?",
    ),
    ANYWHERE: (
        "Is this recording disturbed by {fault}?",
        "Can {fault} be seen anywhere in the recording?",
        "Does any lead suffer from {fault}?",
    ),
    WHICH: (
        "Which leads are disturbed by {fault}?",
        "In which leads can {fault} be seen?",
        "Name the leads that suffer from {fault}.",
    ),
    OTHER: ("Are the beats of this recording changed?", "Do the heartbeats look abnormal?"),
    COMPARISON: ("Do both recordings show {fault}?", "Is {fault} common to the two recordings?"),
}
"""Wordings by template id: the first is the template, the others are its paraphrases."""

FORM_SHARES = (0.5, 0.35, 0.15)
"""How the three forms of question share the noise questions: in a lead, anywhere, which."""

SPLITS = {"train": range(1, 9), "valid": range(9, 10), "test": range(10, 11)}
"""Folds of PTB-XL that each part asks about."""


@dataclass(frozen=True)
class _Question:
    """One question.

    Attributes:
        template: template id.
        records: records it is about.
        answers: the answer's parts.
        fault: the fault asked about, if any.
        lead: index of the lead asked about, if one is.
        seen_by_latent: whether the answer depends on the fault's latent; else it is plain to see.
    """

    template: int
    records: tuple[int, ...]
    answers: tuple[str, ...]
    fault: str | None = None
    lead: int | None = None
    seen_by_latent: bool = True


class EcgQaSimulator(SourceSimulator):
    """`ecgqa/ptbxl/{template,paraphrased}/{train,valid,test}/*.json` and lists; the records are PTB-XL's."""

    source: ClassVar[str] = "ecg_qa"
    folder: ClassVar[str] = "ecg-qa"

    def units(self) -> int:
        """None: there are only tables."""
        return 0

    def write_unit(self, folder: Path, unit: int) -> None:
        """Never called."""
        raise IndexError(unit)

    def write_tables(self, folder: Path) -> None:
        """Questions, id lists and answer lists."""
        base = folder / "ecgqa" / "ptbxl"
        patients = plan_records(self.settings).patients
        for split, folds in SPLITS.items():
            rows = [record for record, patient in enumerate(patients) if fold(int(patient)) in folds]
            write_text(
                base / f"{split}_ecgs.tsv",
                "".join(f"{index}\t{record + 1}\n" for index, record in enumerate(rows)),
            )
            questions = _questions(self.settings, tuple(rows))
            for wording in ("template", "paraphrased"):
                for start in range(0, len(questions), CHUNK):
                    chunk = questions[start : start + CHUNK]
                    samples = [
                        self._sample(wording, split, start + index, question) for index, question in enumerate(chunk)
                    ]
                    write_json(base / wording / split / f"{start}.json", samples)
        classes = {template: _classes(template) for template in WORDING}
        everything = sorted(set().union(*classes.values()))
        write_csv(
            base / "answers.csv",
            ("index", "class"),
            ({"index": i, "class": name} for i, name in enumerate(everything)),
        )
        by_template = (
            {"template_id": template, "classes": repr(sorted(names))} for template, names in sorted(classes.items())
        )
        write_csv(base / "answers_for_each_template.csv", ("template_id", "classes"), by_template)

    def truths(self) -> Sequence[TaskTruth]:
        """Signal noise clarification: the best share of answers that are exactly right."""
        records = tuple(range(len(plan_records(self.settings))))
        asked = [
            question for question in _questions(self.settings, records) if question.fault and len(question.records) == 1
        ]
        best = _best(asked, self.settings.signal)
        return [TaskTruth("signal_noise_clarification", self.source, len(asked), None, best, None)]

    def _sample(self, wording: str, split: str, sample: int, question: _Question) -> dict[str, Any]:
        forms = WORDING[question.template]
        text = forms[0]
        if wording == "paraphrased":
            text = forms[int(generator(self.settings.seed, self.source, split, sample).integers(1, len(forms)))]
        fault = NAMES[question.fault] if question.fault else ""
        lead = "" if question.lead is None else LEAD_NAMES[question.lead]
        kind = "query" if question.template == WHICH else "verify"
        return {
            "template_id": question.template,
            "question_id": _question_id(question),
            "sample_id": sample,
            "question_type": f"{'single' if len(question.records) == 1 else 'comparison_irrelevant'}-{kind}",
            "attribute_type": "noise" if question.fault else "scp_code",
            "question": text.format(fault=fault, lead=lead),
            "answer": list(question.answers),
            "ecg_id": [record + 1 for record in question.records],
            "attribute": [fault or "abnormal beats"],
        }


@lru_cache(maxsize=4)
def _questions(settings: Settings, rows: tuple[int, ...]) -> tuple[_Question, ...]:
    records = plan_records(settings)
    return tuple(
        question for place, record in enumerate(rows) for question in _about(settings, records, record, rows[place - 1])
    )


def _about(settings: Settings, records: Records, record: int, other: int) -> Iterator[_Question]:
    """The questions about one record: two of noise, and now and then one that is no item of the task."""
    rng = generator(settings.seed, EcgQaSimulator.source, "record", record)
    for _ in range(QUESTIONS_A_RECORD):
        faults = records.faults[record]
        present = [fault for fault in faults if fault.present]
        # Half the time one of the record's own faults is asked about: else nearly every answer would be no.
        pool = present if present and rng.random() < 0.5 else faults
        fault = pool[int(rng.integers(len(pool)))]
        form = rng.choice((IN_LEAD, ANYWHERE, WHICH), p=FORM_SHARES)
        lead = int(rng.choice(fault.leads) if rng.random() < 0.7 else rng.integers(len(LEAD_NAMES)))
        yield _noise_question(int(form), record, fault, lead)
    if rng.random() < 0.1:
        yield _Question(OTHER, (record,), ("yes" if records.abnormal[record] else "no",))
    if rng.random() < 0.1 and other != record:
        both = [records.faults[row][0].present for row in (record, other)]
        yield _Question(COMPARISON, (record, other), ("yes" if all(both) else "no",), records.faults[record][0].kind)


def _noise_question(form: int, record: int, fault: RecordingFault, lead: int) -> _Question:
    if form == IN_LEAD:
        shown = lead in fault.leads
        return _Question(form, (record,), ("yes" if shown and fault.present else "no",), fault.kind, lead, shown)
    if form == ANYWHERE:
        return _Question(form, (record,), ("yes" if fault.present else "no",), fault.kind)
    leads = tuple(f"lead {LEAD_NAMES[index]}" for index in fault.leads) if fault.present else ("none",)
    return _Question(form, (record,), leads, fault.kind)


def _best(questions: Sequence[_Question], signal: float) -> float:
    """The mean over questions of the best chance to be exactly right.

    Which leads may show a fault is plain to see; whether it counts as one is known from its latent only. So a
    question is answered at the Bayes accuracy of its kind, given how often the answer is positive among
    questions of that kind, except that a lead which cannot show the fault is surely free of it.
    """
    kinds: Counter[tuple[int, str | None]] = Counter()
    positive: Counter[tuple[int, str | None]] = Counter()
    for question in questions:
        if question.seen_by_latent:
            kinds[question.template, question.fault] += 1
            positive[question.template, question.fault] += question.answers not in (("no",), ("none",))
    certain = len(questions) - kinds.total()
    expected = sum(count * bayes_accuracy(signal, positive[kind] / count) for kind, count in kinds.items())
    return (certain + expected) / len(questions)


def _question_id(question: _Question) -> int:
    faults = [None, *NAMES]
    lead = 0 if question.lead is None else 1 + question.lead
    return (question.template * len(faults) + faults.index(question.fault)) * (1 + len(LEAD_NAMES)) + lead


def _classes(template: int) -> set[str]:
    return {"none", *(f"lead {name}" for name in LEAD_NAMES)} if template == WHICH else {"yes", "no"}
