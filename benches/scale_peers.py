#!/usr/bin/env python3
"""The same graphs as apeft recipes, Snakemake workflows and DVC pipelines (for developers).

    python3 benches/scale_peers.py target/release/apeft VENV [--stages 100,1000,10000] [--run-at-most 1000]
        [--shapes fan,chain] [--programs apeft,snakemake,dvc] [--keep FOLDER]

VENV is a virtual environment with the packages `snakemake` and `dvc`. Each stage runs `sh -c "echo x > o"`, and each figure is
seconds (peak memory in MB of the program, without its stages). `plan` is what a program says before it runs (`apeft plan`,
`snakemake --dry-run`, `dvc status`); the others are complete runs, of which the second has nothing to do. Above `--run-at-most`
stages nothing is run: outputs are written by this script (apeft: the store), and declared as made (`snakemake --touch`, `dvc commit`).
A command that took longer than a minute is not repeated for more stages.
"""
import argparse, os, pathlib, shutil, subprocess, sys, tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import scale

LONGEST = 60

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("apeft")
parser.add_argument("venv")
parser.add_argument("--stages", default="100,1000,10000")
parser.add_argument("--run-at-most", type=int, default=1000)
parser.add_argument("--shapes", default="fan,chain")
parser.add_argument("--programs", default="apeft,snakemake,dvc")
parser.add_argument("--keep", help="a folder for the workflows, which are kept; else a temporary one")


class Apeft:
    def __init__(self, options):
        program = str(pathlib.Path(options.apeft).resolve())
        self.plan, self.run, self.version = [program, "plan", "r.toml"], [program, "run", "r.toml"], [program, "--version"]

    def prepare(self, folder, shape, count):
        (folder / "r.toml").write_text(scale.recipe(shape, count))

    def pretend(self, folder, shape, count):
        scale.fill(folder / "cache", shape, count)
        subprocess.run(self.run, cwd=folder, capture_output=True, check=True)


class Snakemake:
    def __init__(self, options):
        program = str(pathlib.Path(options.venv).resolve() / "bin/snakemake")
        self.plan, self.run, self.version = [program, "--dry-run", "-q"], [program, "--cores", str(os.cpu_count()), "-q"], [program, "--version"]

    # One rule with a wildcard, which is how such a workflow is written; a rule for each stage is slower.
    def prepare(self, folder, shape, count):
        reads = {
            "fan": '[] if w.i == "0" else "o/0"',
            "chain": '[] if w.i == "0" else f"o/{int(w.i) - 1}"',
        }[shape]
        (folder / "Snakefile").write_text(
            f'rule all:\n    input: expand("o/{{i}}", i=range({count}))\n'
            f'rule s:\n    input: lambda w: {reads}\n    output: "o/{{i}}"\n    shell: "echo x > {{output}}"\n'
        )

    def pretend(self, folder, shape, count):
        (folder / "o").mkdir()
        for number in range(count):
            (folder / f"o/{number}").write_text("x\n")
        subprocess.run([*self.run, "--touch"], cwd=folder, capture_output=True, check=True)


class Dvc:
    def __init__(self, options):
        self.program = str(pathlib.Path(options.venv).resolve() / "bin/dvc")
        self.plan, self.run, self.version = [self.program, "status", "-q"], [self.program, "repro", "-q"], [self.program, "--version"]

    def prepare(self, folder, shape, count):
        for command in (["init", "--no-scm", "-q"], ["config", "core.analytics", "false"], ["config", "core.check_update", "false"]):
            subprocess.run([self.program, *command], cwd=folder, check=True, capture_output=True)
        (folder / "o").mkdir()
        lines = ["stages:"]
        for number, (name, reads) in enumerate(scale.names(shape, count)):
            lines += [f"  {name}:", f"    cmd: echo x > o/{number}", *(["    deps:"] if reads else []), *(f"    - o/{read}" for read in reads)]
            lines += ["    outs:", f"    - o/{number}"]
        (folder / "dvc.yaml").write_text("\n".join(lines) + "\n")

    def pretend(self, folder, shape, count):
        for number in range(count):
            (folder / f"o/{number}").write_text("x\n")
        subprocess.run([self.program, "commit", "-f", "-q"], cwd=folder, check=True, capture_output=True)


def measured(program, folder, shape, count, run_at_most):
    """Figures of one program: plan of nothing made, first run, plan and run of everything made."""
    folder.mkdir(parents=True)
    program.prepare(folder, shape, count)
    # `dvc status` answers 1 where something is to be done.
    said = scale.timed(program.plan, folder, allowed=(0, 1))
    made = None
    if count <= run_at_most:
        made = scale.timed(program.run, folder)
    else:
        program.pretend(folder, shape, count)
    again = scale.timed(program.run, folder)
    return said, made, again


def shown(figure):
    return "" if figure is None else "{:.2f} ({:.0f} MB)".format(figure[0], figure[2])


def main():
    options = parser.parse_args()
    programs = {"apeft": Apeft, "snakemake": Snakemake, "dvc": Dvc}
    programs = {name: programs[name](options) for name in options.programs.split(",")}
    versions = (subprocess.run(program.version, capture_output=True, text=True).stdout.strip() for program in programs.values())
    print(", ".join(f"{name} {version.removeprefix('apeft ')}" for name, version in zip(programs, versions)))
    print("| shape | stages | program | plan | run | run, nothing to do |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    work = pathlib.Path(options.keep or tempfile.mkdtemp(dir="."))
    try:
        for shape in options.shapes.split(","):
            slow = set()
            for count in map(int, options.stages.split(",")):
                for name, program in programs.items():
                    if name in slow:
                        continue
                    figures = measured(program, work / f"{shape}-{count}-{name}", shape, count, options.run_at_most)
                    print(f"| {shape} | {count:,} | {name} |", " | ".join(map(shown, figures)), "|", flush=True)
                    if any(figure and figure[0] > LONGEST for figure in figures):
                        slow.add(name)
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
