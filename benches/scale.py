#!/usr/bin/env python3
"""Cost of plans of 100 to 100,000 stages (for developers).

    python3 benches/scale.py target/release/apeft [--stages 100,1000,2000,10000,100000] [--shapes fan,chain,diamonds,matrix]
        [--keep FOLDER]

Each figure is seconds (seconds of processor time, peak memory in MB). The store is filled by this script, since 100,000 stages
take a while to run; that the program finds all of them shows that they are as it would have made them. The package `blake3` is
needed for that.
Stages of different shapes share a store, in which some leave the same artifact.
`own cost` is what a stage that does nothing takes in memory (/dev/shm, no disk), one after the other, less the start of the
three processes that it consists of.
"""
import argparse, json, os, pathlib, re, shutil, statistics, struct, subprocess, sys, tempfile, time


def timed(command, folder, allowed=(0,)):
    """Seconds, processor seconds and peak megabytes of a command."""
    began = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    words = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in allowed:
        sys.exit(f"{command} in {folder}: {child.returncode}\n{words.decode()[-2000:]}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def shown(figure):
    return "{:.2f} ({:.2f}, {:.0f} MB)".format(*figure)


# The recipe, and the store that a run of it would leave. Each stage writes the same line, so that each input has the same digest.
SIDES = (20, 20)


def names(shape, count):
    """The argument of each stage, and the numbers of the stages that it reads."""
    for number in range(count):
        if shape == "matrix":
            cells = count // (SIDES[0] * SIDES[1])
            yield f"{number // (SIDES[1] * cells)} {number // cells % SIDES[1]} {number % cells}", []
        elif shape == "chain":
            yield f"s{number}", [number - 1] if number else []
        elif shape == "fan":
            yield f"s{number}", [0] if number else []
        else:
            # Four stages are a diamond: one, two that read it, and the next one that reads both.
            reads = {0: [number - 2, number - 1], 1: [number - 1], 2: [number - 2]}[number % 3] if number else []
            yield f"s{number}", reads


def recipe(shape, count):
    stage = '[stage.{}]\nkind = "command"\nprogram = "sh"\narguments = ["-c", "echo x > o # {}"]\noutputs = ["o"]\ninputs = [{}]\n'
    if shape == "matrix":
        values = [", ".join(map(str, range(side))) for side in (*SIDES, count // (SIDES[0] * SIDES[1]))]
        head = "[matrix]\na = [{}]\nb = [{}]\nc = [{}]\n".format(*values)
        return 'name = "x"\n' + head + stage.format("s", "${matrix.a} ${matrix.b} ${matrix.c}", "")
    stages = (stage.format(f"s{place}", name, ", ".join(f'"s{read}"' for read in reads)) for place, (name, reads) in enumerate(names(shape, count)))
    return 'name = "x"\n' + "".join(stages)


def digest(domain, value):
    """The digest of a JSON value (src/digest/format.rs)."""
    from blake3 import blake3

    hasher = blake3(derive_key_context=f"apeft digest v1 {domain}")

    def text(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def encode(value):
        if isinstance(value, int):
            hasher.update(b"i" + value.to_bytes(16, "little", signed=True))
        elif isinstance(value, str):
            hasher.update(b"s" + text(value))
        elif isinstance(value, list):
            hasher.update(b"a" + struct.pack("<Q", len(value)))
            for one in value:
                encode(one)
        else:
            hasher.update(b"o" + struct.pack("<Q", len(value)))
            for name in sorted(value, key=str.encode):
                hasher.update(text(name))
                encode(value[name])

    encode(value)
    return hasher.hexdigest()


def fill(store, shape, count):
    """Puts the artifacts of a recipe into a store, where stages of other shapes may have left the same."""
    from blake3 import blake3

    line = b"x\n"
    of_line = blake3(line).hexdigest()
    read = {"digest": digest("files", [["o", of_line]]), "name": "inputs", "type": "files"}
    for name, reads in names(shape, count):
        parameters = {"arguments": ["-c", f"echo x > o # {name}"], "outputs": ["o"], "program": "sh"}
        record = {"inputs": [read] * len(reads), "kind": "command", "parameters": parameters, "schema": 2, "version": 2}
        key = digest("key", record)
        artifact = store / "v1/artifacts" / key[:2] / key
        if artifact.exists():
            continue
        (artifact / "files").mkdir(parents=True)
        (artifact / "files/o").write_bytes(line)
        text = (json.dumps(record, indent=2) + "\n").encode()
        (artifact / "key.json").write_bytes(text)
        files = [("files/o", 2, of_line), ("key.json", len(text), blake3(text).hexdigest())]
        files = [dict(zip(("path", "size", "digest"), file)) for file in files]
        listed = json.dumps({"schema": 1, "key": key, "files": files}, indent=2)[:-2]
        seal = blake3(listed.encode()).hexdigest()
        (artifact / "manifest.json").write_text(f'{listed},\n  "seal": "{seal}"\n}}\n')


def of_apeft(apeft, work, shape, count):
    folder, store = work / f"{shape}-{count}", work.resolve() / f"store-{count}"
    os.environ["APEFT_CACHE"] = str(store)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "r.toml").write_text(recipe(shape, count))
    fill(store, shape, count)
    # The first run hashes all files; later ones know them by their stamps.
    # Not as JSON: what this script holds in memory counts as that of the commands which it starts.
    first = subprocess.run([apeft, "run", "r.toml"], cwd=folder, capture_output=True, check=True, text=True)
    found = int(re.search(r"(\d+) cached, 0 failed", first.stderr)[1])
    if found != count:
        sys.exit(f"{found} of {count} stages were found in the store")
    stage = "s@a=3,b=4,c=0" if shape == "matrix" else f"s{count // 2}"
    commands = [["plan", "r.toml"], ["run", "r.toml"], ["status"], ["explain", "r.toml", stage], ["report"]]
    figures = [shown(timed([apeft, *command], folder)) for command in commands]
    page = (folder / "experiments/x/latest/report.html").stat().st_size / 1e6
    print(f"| {shape} | {count:,} |", " | ".join(figures), f"| {page:.1f} MB |", flush=True)


def own_cost(apeft, count):
    """Milliseconds of a stage that does nothing, apart from process starts."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        folder = pathlib.Path(folder)
        os.environ["APEFT_CACHE"] = str(folder / "cache")
        (folder / "r.toml").write_text(recipe("fan", count))
        start = lambda command: statistics.median(timed(command, folder)[0] for _ in range(20))
        starts = 2 * start([apeft, "--version"]) + start(["sh", "-c", "echo x > o"])
        whole = timed([apeft, "run", "r.toml", "-j1"], folder)[0] / count
    print(f"own cost of a stage: {1000 * (whole - starts):.1f} ms; process starts {1000 * starts:.1f} ms, together {1000 * whole:.1f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("apeft")
    parser.add_argument("--stages", default="100,1000,2000,10000,100000")
    parser.add_argument("--shapes", default="fan,chain,diamonds,matrix")
    parser.add_argument("--keep", help="a folder for the stores, which are kept; else a temporary one")
    options = parser.parse_args()
    apeft = str(pathlib.Path(options.apeft).resolve())
    work = pathlib.Path(options.keep or tempfile.mkdtemp(dir="."))
    try:
        print("| shape | stages | plan | run, nothing to do | status | explain a stage | report | page |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        for shape in options.shapes.split(","):
            for count in map(int, options.stages.split(",")):
                # A matrix has a cell at least for each pair of the first two variables.
                if shape != "matrix" or count >= SIDES[0] * SIDES[1]:
                    of_apeft(apeft, work, shape, count)
        own_cost(apeft, 200)
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
