"""Runs, their stages and artifacts."""

import csv
import json
from pathlib import Path

from .cell import Cell


def open(name="latest", experiments="experiments"):
    """The newest run with this name: recipe, run, ``latest``, ``RECIPE/RUN``, tag, or folder."""
    found = runs(experiments)
    folder = Path(name)
    if (folder / "events.jsonl").is_file():
        return Run(folder.resolve())
    recipe, _, run = str(name).rpartition("/")
    tests = [
        lambda one: name in (one.recipe, one.run),
        lambda one: name == "latest",
        lambda one: recipe == one.recipe and run in (one.run, "latest"),
        lambda one: name in one.tags,
    ]
    for test in tests:
        for one in found:
            if test(one):
                return one
    known = ", ".join(sorted({one.recipe for one in found})) or "none"
    raise LookupError(f"there is no run or recipe {name!r} in {experiments}; there are runs of: {known}")


def runs(experiments="experiments"):
    """All recorded runs, newest first."""
    folders = [path.parent for path in Path(experiments).glob("*/*/events.jsonl")]
    folders = [path for path in folders if path.name != "latest" and not path.is_symlink()]
    # The name of a run is its start; a second one of the same second ends in `-2`.
    return [Run(path) for path in sorted(folders, key=_age, reverse=True)]


def _age(folder):
    time, number = folder.name[:19], folder.name[20:]
    return time, int(number) if number.isdigit() else 1


class Run:
    """A recorded run, read from its journal when it is asked for."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.recipe = self.folder.parent.name
        self.run = self.folder.name
        self._read = None

    def __repr__(self):
        return f"Run({self.recipe!r}, {self.run!r})"

    def _journal(self):
        if self._read is None:
            self._read = _read(self.folder)
        return self._read

    @property
    def stages(self):
        """All stages, in the order of the plan."""
        return list(self._journal()["stages"].values())

    @property
    def ok(self):
        """Whether every stage has its artifact; none for a run that has not ended."""
        return self._journal()["ok"]

    @property
    def seconds(self):
        """Duration; none for a run that has not ended."""
        return self._journal()["seconds"]

    @property
    def note(self):
        """What ``apeft run --note`` said."""
        return self._label()[0]

    @property
    def tags(self):
        """What ``apeft run --tag`` said."""
        return self._label()[1]

    def _label(self):
        # The second line, so that a search by tag reads no whole journal.
        with (self.folder / "events.jsonl").open(encoding="utf-8") as lines:
            for _, line in zip(range(2), lines):
                if '"run_labelled"' in line:
                    event = json.loads(line)
                    return event.get("note"), event.get("tags", [])
        return None, []

    def stage(self, name):
        """The stage of this name, or the only one of its cells that has these values."""
        stages = self._journal()["stages"]
        if name in stages:
            return stages[name]
        wanted = Cell(name)
        found = [stage for stage in stages.values() if wanted.fits(stage.cell)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(stage.name for stage in found)
            raise LookupError(f"{name!r} is {len(found)} cells; name one of {names}")
        known = ", ".join(dict.fromkeys(stage.cell.stage for stage in stages.values()))
        raise LookupError(f"there is no stage {name!r} in {self!r}; there are {known}")

    def artifact(self, name):
        """The artifact of a stage."""
        stage = self.stage(name)
        if stage.artifact is None:
            raise LookupError(f"{stage.name!r} has no artifact in {self!r}: {stage.outcome}")
        return stage.artifact

    def comparison(self):
        """Rows of all comparisons: a dict per arm, domain and measure."""
        rows = []
        for stage in self.stages:
            if stage.artifact and (stage.artifact.path / "comparison.csv").is_file():
                rows += [{"stage": stage.name, **row} for row in stage.artifact.rows("comparison.csv")]
        return rows

    def scores(self):
        """Scores of all stages: a dict per stage, domain and measure."""
        rows = []
        for stage in self.stages:
            if not stage.artifact or not (stage.artifact.path / "scores.json").is_file():
                continue
            scores = stage.artifact.json("scores.json")
            for domain in scores["domains"] + [scores["out_of_domain"]] * bool(scores["out_of_domain"]):
                for measure, estimate in domain["measures"].items():
                    rows.append({
                        "stage": stage.cell.stage,
                        **stage.cell.values,
                        "seed": stage.cell.seed,
                        "domain": domain["domain"],
                        "measure": measure,
                        "mean": estimate["mean"],
                        "low": estimate.get("low"),
                        "high": estimate.get("high"),
                    })
        return rows

    def table(self):
        """The comparison, or the scores of a run without one: a pandas table where pandas is installed, else a list."""
        return frame(self.comparison() or self.scores())


class Stage:
    """A stage of a run."""

    def __init__(self, outline):
        self.name = outline["name"]
        self.kind = outline["kind"]
        self.needs = outline["needs"]
        self.cell = Cell(self.name)
        self.outcome = "waiting"
        self.seconds = None
        self.key = None
        self.artifact = None
        self.notes = []
        self.warnings = []
        self.reason = ""

    def __repr__(self):
        return f"Stage({self.name!r}, {self.outcome!r})"


class Artifact:
    """The files of a stage."""

    def __init__(self, path):
        self.path = Path(path)

    def __repr__(self):
        return f"Artifact({str(self.path)!r})"

    def __fspath__(self):
        return str(self.path)

    @property
    def files(self):
        """Names of all files."""
        paths = sorted(path for path in self.path.rglob("*") if path.is_file())
        return [path.relative_to(self.path).as_posix() for path in paths]

    @property
    def fingerprint(self):
        """All that the artifact depends on: kind, parameters, inputs, seed."""
        return json.loads((self.path.parent / "key.json").read_text(encoding="utf-8"))

    def json(self, name):
        """A JSON file."""
        return json.loads((self.path / name).read_text(encoding="utf-8"))

    def rows(self, name=None):
        """Rows of a file (JSON lines or CSV) as dicts; without a name of the only such file."""
        if name is None:
            named = [name for name in self.files if name.endswith((".jsonl", ".csv"))]
            if len(named) != 1:
                raise LookupError(f"{self!r} has {len(named)} files of rows; name one of {named}")
            name = named[0]
        path = self.path / name
        if name.endswith(".csv"):
            with path.open(encoding="utf-8", newline="") as lines:
                return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(lines)]
        with path.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.strip()]

    def table(self, name=None):
        """The rows as a pandas table where pandas is installed, else a list."""
        return frame(self.rows(name))


def frame(rows):
    """Rows as a pandas table where pandas is installed."""
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows)


def _number(text):
    """A field of a CSV as a number where it is one, and none where it is empty."""
    if text == "":
        return None
    try:
        return float(text) if any(mark in text for mark in ".enaEN") else int(text)
    except ValueError:
        return text


def _read(folder):
    stages, run = {}, {"ok": None, "seconds": None}
    with (folder / "events.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                # A killed run may leave half a line.
                continue
            what = event.get("event")
            if what == "run_started":
                stages = {outline["name"]: Stage(outline) for outline in event["stages"]}
            elif what == "run_finished":
                run["ok"], run["seconds"] = event["ok"], event["seconds"]
            elif event.get("stage") in stages:
                _note(stages[event["stage"]], what, event, folder)
    return {**run, "stages": stages}


def _note(stage, what, event, folder):
    if what == "stage_reported":
        said = event["report"]
        if said.get("say") == "note":
            stage.notes.append(said["text"])
        elif said.get("say") == "warning":
            stage.warnings.append(said["text"])
        return
    outcomes = {
        "stage_cached": "cached",
        "stage_started": "running",
        "stage_finished": "ran",
        "stage_failed": "failed",
        "stage_skipped": "skipped",
    }
    if what not in outcomes:
        return
    stage.outcome = outcomes[what]
    stage.key = event.get("key", stage.key)
    stage.seconds = event.get("seconds", stage.seconds)
    stage.reason = event.get("error") or event.get("because") or event.get("reason") or ""
    if what == "stage_cached":
        stage.notes += event.get("notes", [])
        stage.warnings += event.get("warnings", [])
    if "artifact" in event:
        stage.artifact = Artifact(_located(Path(event["artifact"]), folder))


def _located(path, folder):
    """The artifact's folder, also after store and runs were moved together."""
    if path.is_dir() or len(path.parts) < 7:
        return path
    # `cache/v1/artifacts/ab/KEY/files` below a folder above the runs.
    below = Path(*path.parts[-6:])
    for above in folder.resolve().parents:
        if (above / below).is_dir():
            return above / below
    return path
