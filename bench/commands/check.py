"""`bench check`: whether a suite can run: its data are read, its plugins tried, on request every structure built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import environment
from bench.commands.planned import of_models, planned
from bench.errors import DataError, ExecutorError, SuiteError
from bench.executors.child import Status
from bench.executors.driver import Executor
from bench.executors.local import LocalExecutor, default_workers, run_cohorts
from bench.factors import FACTORS, IN_SPACE, IN_TIME, OF_TARGETS, Choice, DataKind, DatasetLevel, TaskLevel
from bench.plan import Cohort
from bench.suite import load_suite
from bench.text import plural

BUILD = "bench.engine.check:build_cohort"
TRY_PLUGIN = "bench.engine.check:try_plugin"
TRY_DATASET = "bench.engine.fitting:try_dataset"
FINDINGS = "bench.engine.findings:findings_of"


def check_suite(suite_path: Path, *, build: bool, plugins: bool = True) -> None:
    """Print what was checked.

    Raises:
        BenchError: it cannot run; the message names every dataset and plugin, or with `build` every structure, that
            cannot be used.
    """
    suite = load_suite(suite_path, plugins=plugins)
    plan = planned(suite)
    with LocalExecutor(min(default_workers(), len(plan.cohorts))) as executor:
        for remark in try_levels(executor, plan.cohorts, failing=True):
            print(remark)
        for finding in findings(executor, plan.cohorts):
            print(finding)
        print(
            f"{suite_path}: {plural(len(suite.cells), 'cell')}, {plural(len(plan.runs), 'run')}, "
            f"{plural(len(plan.cohorts), 'cohort')}"
        )
        if models := of_models(plan.cohorts, known=True):
            print(models)
        if build:
            _build_all(executor, suite_path, plan.cohorts)


def try_levels(executor: Executor, cohorts: Sequence[Cohort], *, failing: bool = False) -> list[str]:
    """Load every dataset that is not shipped and use every plugin once; returns what is to be said of them.

    A plugin that raises of itself is left to fail its own runs, or with `failing` counts as one that is refused.

    Raises:
        DataError: a dataset cannot be used.
        SuiteError: a plugin cannot be used, perhaps a dataset too, or this Keras lacks a level. The message names all
            of them.
    """
    if missing := lacking(cohorts, str(environment.versions()["keras"])):
        raise SuiteError("\n".join(missing))
    datasets: dict[Choice, tuple[int, tuple[str, ...]]] = {}
    fitting: dict[Choice, dict[tuple[str, object], None]] = {}
    plugins: dict[tuple[str, Choice], None] = {}
    for cohort in cohorts:
        dataset, batch_size = cohort.structure["dataset"], int(cohort.structure["batch_size"].value or 0)
        level = FACTORS["dataset"].level(dataset.name)
        if not (isinstance(level, DatasetLevel) and level.offline):
            largest, networks = datasets.get(dataset, (0, ()))
            named = tuple(dict.fromkeys((*networks, cohort.structure["architecture"].name)))
            datasets[dataset] = max(largest, batch_size), named
            levels: list[tuple[str, object]] = [
                (name, run.choices[name]) for run in cohort.runs for name in (*IN_TIME, *OF_TARGETS)
            ]
            if cohort.structure["architecture"].name == "conv":
                levels.append(("conv", tuple(cohort.structure[name] for name in IN_SPACE)))
                levels.append(("head_pool", cohort.structure["head_pool"]))
                width = cohort.structure["width"]
                levels += [("channels", (width, run.choices["initializer"])) for run in cohort.runs]
            if cohort.structure["architecture"].name == "transformer":
                levels.append(("tied", cohort.structure["tied"]))
                levels += [("z_loss", run.choices["z_loss"]) for run in cohort.runs]
            fitting.setdefault(dataset, {}).update(dict.fromkeys(levels))
        for run in cohort.runs:
            plugins |= {each: None for each in run.choices.items() if ":" in each[1].name and each[0] != "dataset"}
    asked: list[tuple[str, object]] = [
        (TRY_DATASET, (dataset, *needs, *fitting[dataset])) for dataset, needs in datasets.items()
    ]
    asked += [(TRY_PLUGIN, each) for each in plugins]
    answers = [(target, executor.submit(target, each).result()) for target, each in asked]
    unfit = [str(answer.value) for _, answer in answers if answer.status is Status.UNFIT]
    if unfit:
        raise ExecutorError(unfit[0])
    passed = (Status.OK,) if failing else (Status.OK, Status.ERROR)
    refused = [(target, answer.line) for target, answer in answers if answer.status not in passed]
    if refused:
        kind = SuiteError if any(target == TRY_PLUGIN for target, _ in refused) else DataError
        raise kind("\n".join(problem for _, problem in refused))
    return [answer.value for _, answer in answers if answer.status is Status.OK and answer.value]


def lacking(cohorts: Sequence[Cohort], keras: str) -> list[str]:
    """Levels that a version of Keras has no target for, a sentence each."""
    chosen = dict.fromkeys(pair for cohort in cohorts for run in cohort.runs for pair in run.choices.items())
    levels = [(factor, choice, FACTORS[factor].level(choice.name)) for factor, choice in chosen]
    return [
        f"{factor} {choice.label} needs Keras {level.since} or newer, and {keras} is installed."
        for factor, choice, level in levels
        if level is not None and level.since and _numbers(keras) < _numbers(level.since)
    ]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split(".")[:2] if each.isdigit())


def findings(executor: Executor, cohorts: Sequence[Cohort]) -> list[str]:
    """What is odd about the data: of those from outside, and of shipped ones where not all runs scale them.

    Sequences that a task draws, and tokens, are as they are meant to be.
    """
    scaled: dict[Choice, list[bool]] = {}
    for cohort in cohorts:
        dataset = cohort.structure["dataset"]
        level = FACTORS["dataset"].level(dataset.name)
        own = not (isinstance(level, DatasetLevel) and level.offline)
        values = isinstance(level, DatasetLevel) and level.asks is DataKind.VALUES
        raw = [cohort.structure[name].is_none for name in ("preprocessing", "target_preprocessing")]
        if not own and (isinstance(level, TaskLevel) or not (raw[0] or (values and raw[1]))):
            continue
        found = scaled.setdefault(dataset, [True, True])
        scaled[dataset] = [whole and not each for whole, each in zip(found, raw, strict=True)]
    asked = [(dataset, executor.submit(FINDINGS, (dataset, *each))) for dataset, each in scaled.items()]
    answers = [(dataset, answer.result()) for dataset, answer in asked]
    return [
        f'dataset "{dataset.label}": {finding}'
        for dataset, answer in answers
        if answer.status is Status.OK
        for finding in answer.value
    ]


def _build_all(executor: LocalExecutor, suite_path: Path, cohorts: Sequence[Cohort]) -> None:
    broken = [
        f"{outcome.cohort.key}: {outcome.answer.line}"
        for outcome in run_cohorts(executor, BUILD, cohorts)
        if outcome.answer.status is not Status.OK
    ]
    if broken:
        raise SuiteError(f"{suite_path}: {len(broken)} structures cannot be built:\n  " + "\n  ".join(sorted(broken)))
    print(f"{plural(len(cohorts), 'structure')} built and run for one step")
