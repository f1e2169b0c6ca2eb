#!/usr/bin/env python3
"""Peak memory of kinds that read files of rows (for developers).

    python3 benches/rows_memory.py target/release/apeft [--megabytes 100,1000] [--kinds verify,score] [--shuffled] [--keep FOLDER]

Files of about this size are written for each input, in the order in which stages write them; with `--shuffled` claims, verdicts
and passages are in another order. The peak is that of all processes of `apeft run`, with the report at its end. The table of
docs/reference/memory.md is made of it.
"""
import argparse, json, os, pathlib, random, shutil, subprocess, sys, tempfile, time

EACH, CLAIMS = 10, 2
FILLER = "and so on " * 100


def rows(kind, responses):
    """Rows of a file for this number of responses."""
    topics = max(1, responses // 1000)
    topic = lambda asked: f"Ada {asked % topics}"
    ids = ((f"p{number // EACH}#{number % EACH}", number // EACH) for number in range(responses))
    if kind == "prompts":
        for asked in range(responses // EACH):
            answers = [f"{topic(asked)} sang in {asked}."]
            yield {"id": f"p{asked}", "prompt": "Who?", "topic": topic(asked), "domain": "people", "split": "tune", "form": "question", "answers": answers}
    elif kind == "articles":
        for number in range(topics):
            yield {"title": topic(number), "text": "She sang in Oslo. She was a poet."}
    elif kind == "responses":
        for number, (id, asked) in enumerate(ids):
            yield {"id": id, "prompt_id": f"p{asked}", "sample": number % EACH, "topic": topic(asked), "domain": "people", "split": "tune",
                   "prompt": "Who?", "output": f"{topic(asked)} sang {number} times. {FILLER}", "finish": "stop"}
    else:
        for number, (id, asked) in enumerate(ids):
            for claim in range(CLAIMS):
                own = f"{id}/{claim}"
                evidence = [{"title": topic(asked), "text": FILLER}]
                if kind == "claims":
                    yield {"id": own, "response_id": id, "topic": topic(asked), "text": f"{topic(asked)} sang {number} times.", "span": [0, 5]}
                elif kind == "passages":
                    yield {"claim_id": own, "page": {"asked": topic(asked), "found": topic(asked), "how": "exact"}, "passages": evidence}
                else:
                    label = ["supported", "unsupported", "irrelevant"][(number * CLAIMS + claim) % 3]
                    yield {"claim_id": own, "verdict": label, "probability": 0.5, "log_odds": number % {"a": 11, "b": 7}[kind] - 4, "verifier": kind, "evidence": evidence}


def write(folder, name, responses, shuffled):
    """A file of rows; returns its bytes."""
    path = folder / f"{name}.jsonl"
    if not path.exists():
        if name == "labels":
            found = ({"claim_id": f"p{number // 2 // EACH}#{number // 2 % EACH}/{number % 2}", "label": "S" if number % 3 else "NS"} for number in range(400))
        else:
            found = rows(name, responses)
        lines = (json.dumps(row, separators=(",", ":")) + "\n" for row in found)
        if shuffled and name not in ("prompts", "articles"):
            lines = list(lines)
            random.Random(0).shuffle(lines)
        with open(path, "w") as file:
            file.writelines(lines)
    return path.stat().st_size


JUDGED = ["responses", "claims", "verdicts=a"]
CASES = {
    "retrieve": ("", ["claims", "knowledge=articles"]),
    "verify, passages": ("", ["claims", "passages"]),
    "verify, knowledge": ("", ["claims", "knowledge=articles"]),
    "verify, a rule": ('matching = "contained"\n', ["claims", "knowledge=articles"]),
    "score": ("", JUDGED),
    "classify": ("", [*JUDGED, "prompts"]),
    "mine": ("max_rows_per_prompt = 10\n", [*JUDGED, "prompts"]),
    "mix": ('preferences = "general"\ngeneral_pairs = 100000\n', ["general=pairs"]),
    "questions": ("", ["pairs", "claims", "verdicts=a", "prompts"]),
    "calibrate": ("", ["claims", "labels", "verdicts=a b"]),
    "extract": ("", ["responses"]),
}


def recipe(case, folder):
    fields, inputs = CASES[case]
    kind = case.split(",")[0]
    text = f'name = "rows"\n[stage.it]\nkind = "{kind}"\n{fields}'
    for given in inputs:
        field, _, names = given.partition("=")
        files = [f'{{ path = "{folder}/{name}.jsonl" }}' for name in (names or field).split()]
        is_list = kind in ("calibrate", "combine") and field == "verdicts"
        text += f"{field} = [{', '.join(files)}]\n" if is_list else f"{field} = {files[0]}\n"
    return text


def files_of(case):
    for given in CASES[case][1]:
        field, _, names = given.partition("=")
        yield from (names or field).split()


def measured(program, case, folder, work):
    (work / "recipe.toml").write_text(recipe(case, folder))
    shutil.rmtree(work / "cache", ignore_errors=True)
    began = time.perf_counter()
    child = subprocess.Popen([program, "run", "recipe.toml", "--cache", "cache"], cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    words = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{case}: {words.decode()[-2000:]}")
    if case == "mine":
        # Pairs are inputs of other kinds.
        made = next((work / "cache").rglob("pairs.jsonl"))
        shutil.copyfile(made, folder / "pairs.jsonl")
    return time.perf_counter() - began, used.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--megabytes", default="100,1000")
    parser.add_argument("--kinds", default="")
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    wanted = options.kinds.split(",") if options.kinds else None
    root = options.keep or pathlib.Path(tempfile.mkdtemp())
    print("| kind | input | peak | seconds |\n| --- | --- | --- | --- |")
    for megabytes in map(int, options.megabytes.split(",")):
        folder = (root / f"{megabytes}").resolve()
        folder.mkdir(parents=True, exist_ok=True)
        # A row of responses has about 1,150 bytes.
        responses = megabytes * 1_000_000 // 1150 // EACH * EACH
        for case in CASES:
            if wanted and case.split(",")[0] not in wanted:
                continue
            sizes = [(name, write(folder, name, responses, options.shuffled)) for name in files_of(case)]
            seconds, peak = measured(options.program, case, folder, folder)
            read = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes)
            print(f"| {case} | {read} | {peak:.0f} MB | {seconds:.0f} |", flush=True)
    if not options.keep:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
