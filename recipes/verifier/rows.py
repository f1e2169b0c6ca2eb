#!/usr/bin/env python3
"""Rows for training and testing a verifier, from labelled claims (standard library only).

    APEFT_DATA=data recipes/verifier/rows.py FOLDER

Reads fm2, fever-symmetric, wice, begin-wow, factscore-bios and factscore-wiki below APEFT_DATA, and writes to FOLDER

    pairs.jsonl                     {prompt, completion, label} for `tune` with `algorithm = "sft"`; the prompt is the one of
                                    `verify` with `by = "model"` (recipes/prompts/verify.txt), the completion True or False
    heldout/NAME/claims.jsonl       claims of pages that no row of pairs.jsonl has
    heldout/NAME/passages.jsonl     their passages
    heldout/NAME/labels.jsonl       their labels, in the same order, as `agree` reads them

Pages are split by the hash of their title; claims of FEVER-symmetric that share a text are one page. ChatGPT's biographies
are only tested on. Both use the same split of people: heldout/instructgpt and heldout/chatgpt have people that no
training row is about, heldout/chatgpt-all has all. The weights of words and model are fitted on heldout/instructgpt.
"""
import hashlib, json, math, os, pathlib, random, re, sys

HERE = pathlib.Path(__file__).resolve().parent
TEMPLATE = (HERE.parent / "prompts" / "verify.txt").read_text(encoding="utf-8").rstrip()
NO_TOPIC = "the claim"
WORDS_OF_PASSAGE, PASSAGES = 48, 3
# Shares of held-out pages in hundredths, and the most training rows of each set.
HELD_OUT = {"fm2": 30, "fever-symmetric": 40, "wice": 0, "begin-wow": 0, "bios": 40}
FOLDERS = {"bios": "instructgpt"}
PEOPLE = ("instructgpt", "chatgpt", "chatgpt-all")
MOST = {"fm2": 900, "fever-symmetric": 450, "wice": 200, "begin-wow": 150, "bios": 900}


def rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def one_line(text):
    return " ".join(text.split())


def prompt(topic, passages, claim):
    """The prompt of `verify`: places are filled in one pass, so that texts cannot name places."""
    topic = one_line(topic) or (one_line(passages[0][0]) if passages else "") or NO_TOPIC
    shown = []
    for title, text in passages:
        title, text = one_line(title), one_line(text)
        shown.append(f"- {text}" if title in ("", topic) else f"- {title}: {text}")
    places = {"topic": topic, "passages": "\n".join(shown), "claim": one_line(claim)}
    return re.sub(r"\{(topic|passages|claim)\}", lambda match: places[match[1]], TEMPLATE)


def is_held_out(name, page):
    number = int.from_bytes(hashlib.sha256(f"{name}/{page}".encode()).digest()[:4], "big")
    return number % 100 < HELD_OUT[name]


def words(text):
    return re.findall(r"[^\W_]+", text.lower())


def sentences(text):
    return [part for part in re.split(r"(?<=[.!?])[\"')\]]*\s+(?=[A-Z\"'(])", one_line(text)) if part]


def passages_of(text, most=WORDS_OF_PASSAGE):
    """Neighbouring sentences of at most so many words together; a longer sentence is one passage."""
    found, count = [], most
    for sentence in sentences(text):
        length = len(sentence.split())
        if count + length > most:
            found.append([])
            count = 0
        found[-1].append(sentence)
        count += length
    return [" ".join(group) for group in found]


def nearest(query, texts, k=PASSAGES):
    """Indices of the k best texts by BM25 (k1 1.2, b 0.75), best first."""
    documents = [words(text) for text in texts]
    mean = sum(map(len, documents)) / max(1, len(documents)) or 1
    frequency = {}
    for document in documents:
        for word in set(document):
            frequency[word] = frequency.get(word, 0) + 1
    def score(document):
        total = 0.0
        for word in sorted(set(words(query))):
            count = document.count(word)
            if count:
                rarity = math.log(1 + (len(documents) - frequency[word] + 0.5) / (frequency[word] + 0.5))
                total += rarity * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(document) / mean))
        return total
    scores = [score(document) for document in documents]
    return sorted(range(len(texts)), key=lambda index: (-scores[index], index))[:k]


def example(page, topic, claim, passages, label):
    return {"page": page, "topic": topic, "claim": claim, "passages": passages, "label": label}


def brackets(text):
    for code, letter in {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", " -- ": " - "}.items():
        text = text.replace(code, letter)
    return text


def fm2(data):
    for row in rows(data / "fm2" / "dev.jsonl"):
        gold = [one_line(item["text"]) for item in row["gold_evidence"]]
        others = [text for item in row["retrieved_evidence"] if (text := one_line(item["text"])) not in gold]
        # The sentences that a person found, among the nearest others, in an order that tells nothing.
        shown = gold + [others[index] for index in nearest(row["claim"], others, max(0, 4 - len(gold)))]
        shown = [shown[index] for index in nearest(row["claim"], shown, len(shown))]
        yield example(row["page"], row["page"], row["claim"], [(row["page"], text) for text in shown], row["label"] == "SUPPORTS")


def fever_symmetric(data):
    found = rows(data / "fever-symmetric" / "dev.jsonl")
    # Claims and evidence in pairs: what shares a text must be on one side of the split.
    group = {}
    def root(text):
        while group.setdefault(text, text) != text:
            text = group[text]
        return text
    for row in found:
        one, other = root("c " + row["claim"]), root("e " + row["evidence"])
        group[max(one, other)] = min(one, other)
    for row in found:
        yield example(root("c " + row["claim"]), "", brackets(row["claim"]), [("", brackets(row["evidence"]))], row["label"] == "SUPPORTS")


def wice(data):
    for row in rows(data / "wice" / "claim_dev.jsonl"):
        texts = [text for text in row["evidence"] if len(text.split()) > 3]
        marked = {index for group in row["supporting_sentences"] for index in group}
        gold = [row["evidence"][index] for index in sorted(marked)][:3]
        others = [text for text in texts if text not in gold]
        shown = gold + [others[index] for index in nearest(row["claim"], others, max(1, 4 - len(gold)))]
        shown = [" ".join(text.split()[:60]) for text in shown]
        shown = [shown[index] for index in nearest(row["claim"], shown, len(shown))]
        yield example(str(row["meta"]), "", row["claim"], [("", text) for text in shown], row["label"] == "supported")


def begin_wow(data):
    for row in rows(data / "begin-wow" / "dev.jsonl"):
        yield example(row["id"], "", row["claim"], [("", row["evidence"])], row["label"] == "Fully attributable")


def pages(data):
    found = {}
    for row in rows(data / "factscore-wiki" / "passages.jsonl"):
        text = re.sub(r"</?s>", " ", row["text"])
        found.setdefault(row["title"], []).append(text)
    return {title: passages_of(" ".join(texts)) for title, texts in found.items()}


def of_person(topic, fact, page, label):
    shown = [page[index] for index in nearest(f"{topic} {fact}", page)]
    return example(topic, topic, fact, [(topic, text) for text in shown], label)


def instructgpt(data):
    known = pages(data)
    for answer in rows(data / "factscore-bios" / "InstructGPT.jsonl"):
        if answer["topic"] not in known:
            continue
        for sentence in answer["annotations"] or []:
            for fact in sentence["human-atomic-facts"] or []:
                if fact["label"] != "IR":
                    yield of_person(answer["topic"], fact["text"], known[answer["topic"]], fact["label"] == "S")


def chatgpt(data):
    known = pages(data)
    for row in rows(data / "factscore-wiki" / "facts.jsonl"):
        if row["label"] != "IR" and row["topic"] in known:
            yield of_person(row["topic"], row["fact"], known[row["topic"]], row["label"] == "S")


def other_year(claim, random):
    """The claim with one number changed by a little, or None."""
    numbers = list(re.finditer(r"\b\d{2,4}\b", claim))
    if not numbers:
        return None
    place = random.choice(numbers)
    changed = max(1, int(place[0]) + random.choice([-9, -7, -4, -3, -2, -1, 1, 2, 3, 4, 6, 11]))
    return claim[: place.start()] + str(changed) + claim[place.end() :]


def made_up(examples, random):
    """Wrong claims from right ones: a number changed."""
    for one in examples:
        changed = one["label"] and other_year(one["claim"], random)
        if changed:
            yield {**one, "claim": changed, "label": False}


def balanced(examples, most, random):
    """At most so many, of each label alike where there are enough."""
    by_label = {label: [one for one in examples if one["label"] is label] for label in (True, False)}
    for found in by_label.values():
        random.shuffle(found)
    fewer = min(len(found) for found in by_label.values())
    half = max(most // 2, most - fewer) if fewer < most // 2 else most // 2
    return [one for found in by_label.values() for one in found[:half]][:most]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def held_out(folder, name, examples):
    claims, passages, labels = [], [], []
    # A person's claims are one response; other claims stand alone.
    responses, sizes = {}, {}
    for number, one in enumerate(examples):
        response = responses.setdefault(one["topic"] or number, len(responses)) if name in PEOPLE else number
        place = sizes[response] = sizes.get(response, -1) + 1
        claim_id = f"{name}#{response}/{place}"
        claims.append({"id": claim_id, "response_id": f"{name}#{response}", "topic": one["topic"], "text": one["claim"],
                       "span": [0, len(one["claim"])]})
        page = {"asked": one["topic"], "found": one["topic"], "how": "exact"} if one["topic"] else {"asked": "", "how": "search"}
        passages.append({"claim_id": claim_id, "page": page,
                         "passages": [{"title": title, "text": text} for title, text in one["passages"]]})
        labels.append({"claim_id": claim_id, "claim": one["claim"], "topic": one["page"], "label": one["label"]})
    for kind, found in (("claims", claims), ("passages", passages), ("labels", labels)):
        write(folder / "heldout" / name / f"{kind}.jsonl", found)


def main():
    folder = pathlib.Path(sys.argv[1])
    data = pathlib.Path(os.environ.get("APEFT_DATA", HERE.parent.parent / ".." / "shared" / "data"))
    if not data.is_dir():
        sys.exit(f"{data} does not exist: set APEFT_DATA to the folder with fm2, fever-symmetric and the others")
    draw = random.Random(0)
    trained = []
    sources = {"fm2": fm2, "fever-symmetric": fever_symmetric, "wice": wice, "begin-wow": begin_wow, "bios": instructgpt}
    for name, source in sources.items():
        examples = list(source(data))
        kept = [one for one in examples if not is_held_out(name, one["page"])]
        chosen = balanced(kept, MOST[name], draw)
        changed = list(made_up(chosen, draw))[: MOST[name] // 12]
        trained += chosen + changed
        if HELD_OUT[name]:
            held_out(folder, FOLDERS.get(name, name), [one for one in examples if is_held_out(name, one["page"])])
        print(f"{name}: {len(chosen)} rows of {len(kept)}, {len(changed)} with a changed number; {len(examples) - len(kept)} held out")
    people = list(chatgpt(data))
    held_out(folder, "chatgpt", [one for one in people if is_held_out("bios", one["page"])])
    held_out(folder, "chatgpt-all", people)
    draw.shuffle(trained)
    write(folder / "pairs.jsonl", ({"prompt": prompt(one["topic"], one["passages"], one["claim"]),
                                    "completion": " True" if one["label"] else " False", "label": True, "ends": False}
                                   for one in trained))
    print(f"{len(trained)} rows, {sum(one['label'] for one in trained)} of them True")


if __name__ == "__main__":
    main()
