#!/usr/bin/env python3
"""Recompute a run's comparison from its responses, with nothing of apeft but the files; and the answer to the preregistered
question (experiments/PREREGISTRATION.md).

    question.py RUN [RUN ...] [--keep DIR]   a run's folder (experiments/question/latest), or a kept one (experiments/kept/question)
    question.py --power SEEDS RUN            the difference that this number of seeds detects, by the variances of a run

For each run every row of `comparison.csv` (means, differences, intervals, p-values, Holm's p-values; all arms, averages, domains
and measures that are kept) is computed again from `responses.csv` of the score stages, and compared: the largest deviation is
printed, and an error where any is above 1e-9, or where a row is missing. Then the comparisons of the family are printed with
Holm's correction over the family, which may come from several runs.

--keep writes `prompts.csv.gz` (sums and counts by prompt, from which the same is computed without the store) and
`comparison.csv` to a folder.

Needs Python 3.9 and its standard library; Student's distribution is computed here too. An estimate is the mean over responses, then
seeds, domains and arms; seeds and topics are crossed random factors; its variance is the two-way cluster-robust one, which is
(MS_seeds + MS_topics - MS_remainder) / (S T) in balanced data, with Satterthwaite's degrees of freedom
(docs/explanation/statistics.md; the corrections for few seeds and topics in unbalanced data are those that
src/evaluation/sample.rs describes).
"""
import argparse, csv, gzip, json, math, pathlib, sys

# Measures by column of `responses.csv`; those of a text are shares of responses.
MEASURES = ["precision", "deduplicated", "factscore", "f1_at_k", "facts", "supported", "unsupported", "responding"]
SHARES = {"precision", "deduplicated", "factscore", "f1_at_k", "responding"}
# The family of the preregistration: recipe, arm, baseline, and the question that they answer. The first one is primary.
FAMILY = [
    ("question", "general+atomic", "general-matched", "more than longer training (as many updates, more tokens)"),
    ("question", "general+atomic", "general-tokens", "more than longer training (as many updates and tokens)"),
    ("question", "general+responses", "general-matched", "more than the form of the responses"),
    ("question", "general+atomic", "general+shuffled", "right labels"),
    ("question-filter", "general+potential", "general+known", "the probe's filter: known facts"),
    ("question-filter", "general+potential", "general+unknown", "the probe's filter: unknown facts"),
]
NAME = "prompts.csv.gz"


# --- Student's t ------------------------------------------------------------------------------------------------------------


def beta_tail(a, b, x):
    """Regularised incomplete beta function, by Lentz's continued fraction (Numerical Recipes, 6.4)."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - beta_tail(b, a, 1.0 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1.0 / (1.0 + even * d), 1.0 + even / c
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1.0 / (1.0 + odd * d), 1.0 + odd / c
        value *= d * c
        if abs(d * c - 1.0) < 1e-16:
            break
    return front * value


def two_sided(t, freedom):
    """Probability of a t at least this far from 0."""
    return beta_tail(freedom / 2, 0.5, freedom / (freedom + t * t))


def quantile(p, freedom):
    """The t with this two-sided probability outside."""
    low, high = 0.0, 1.0
    while two_sided(high, freedom) > p:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle, freedom) > p else (low, middle)
    return (low + high) / 2


def holm(p_values):
    """p-values corrected for all of them (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    found, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        least = min(1.0, max(least, (len(p_values) - rank) * p_values[index]))
        found[index] = least
    return found


# --- estimates --------------------------------------------------------------------------------------------------------------


class Estimate:
    """Mean over arms and domains of means over seeds, with its two-way variance.

    `groups`: for each arm and domain, for each seed, for each topic, sum and count of its values.
    """

    def __init__(self, groups):
        groups = {
            place: {
                seed: {topic: cell for topic, cell in topics.items() if cell[1]}
                for seed, topics in seeds.items()
                if any(count for _, count in topics.values())
            }
            for place, seeds in groups.items()
        }
        self.groups = {place: seeds for place, seeds in groups.items() if seeds}
        arms = {arm for arm, _ in self.groups}
        domains = {arm: sum(1 for one, _ in self.groups if one == arm) for arm in arms}
        self.slopes = {(arm, domain): 1.0 / (len(arms) * domains[arm]) for arm, domain in self.groups}
        self.totals = {
            place: {seed: total(topics.values()) for seed, topics in seeds.items()} for place, seeds in self.groups.items()
        }
        self.means = {
            place: sum(s / n for s, n in totals.values()) / len(totals) for place, totals in self.totals.items()
        }
        self.mean = sum(self.slopes[place] * mean for place, mean in self.means.items())
        self.seeds = min(len(seeds) for seeds in self.groups.values())
        topics = {}
        for (_, domain), seeds in self.groups.items():
            topics.setdefault(domain, set()).update(topic for cells in seeds.values() for topic in cells)
        self.topics = len(topics) * min(len(names) for names in topics.values())
        self.variance, self.freedom = self.spread()

    def of_seeds(self):
        """Variance of the mean from seeds alone."""
        by_seed = {}
        for place, totals in self.totals.items():
            count = len(totals)
            for seed, (s, n) in totals.items():
                away = self.slopes[place] * (s / n - self.means[place]) / math.sqrt(count * (count - 1))
                by_seed[seed] = by_seed.get(seed, 0.0) + away
        return sum(away * away for away in by_seed.values())

    def of_topics(self):
        """Variance from topics, with its degrees of freedom; the part of topics that recur; and their remainder."""
        parts = []
        for domain in sorted({domain for _, domain in self.groups}):
            most = max(len(seeds) for (_, one), seeds in self.groups.items() if one == domain)
            # By topic and seed: weight, pull on the estimate, and pull from the seed's own mean.
            cells = {}
            for (arm, one), seeds in self.groups.items():
                if one != domain:
                    continue
                place, slope, mean = (arm, one), self.slopes[arm, one], self.means[arm, one]
                for seed, topics in seeds.items():
                    s_all, n_all = self.totals[place][seed]
                    for topic, (s, n) in topics.items():
                        weight = 1.0 / (len(seeds) * n_all)
                        cell = cells.setdefault(topic, {}).setdefault(seed, [0.0, 0.0, 0.0])
                        cell[0] += weight * n
                        cell[1] += slope * weight * (s - n * mean)
                        cell[2] += slope * weight * (s - n * s_all / n_all)
            parts.append(topic_variance(list(cells.values()), most))
        if any(part is None for part in parts):
            return None
        value = sum(part[0] for part in parts)
        spread = sum(part[0] ** 2 / part[1] for part in parts)
        freedom = value**2 / spread if spread > 0 else max(part[1] for part in parts)
        return value, freedom, sum(part[2] for part in parts), sum(part[3] for part in parts)

    def spread(self):
        """Variance of the mean, and its degrees of freedom."""
        topics = self.of_topics()
        if topics is None:
            return None, None
        value, freedom, shared, remainder = topics
        if len({seed for seeds in self.groups.values() for seed in seeds}) == 1:
            return value, freedom
        if self.seeds < 2:
            return None, None
        seeds, seeds_freedom = self.of_seeds(), self.seeds - 1.0
        least = min(seeds_freedom, freedom)
        both = max(seeds + shared - remainder, 0.0)
        below = seeds**2 / seeds_freedom + shared**2 / freedom + remainder**2 / (seeds_freedom * freedom)
        return max(both, seeds, shared, remainder), max(both**2 / below, least) if below > 0 else least

    def interval(self):
        """Both ends of the 95 % interval and the p-value; none where they are not known."""
        if self.variance is None:
            return None, None, None
        error = math.sqrt(max(self.variance, 0.0))
        if error <= 1e-12 * max(1.0, abs(self.mean)):
            return self.mean, self.mean, 1.0 if abs(self.mean) <= 1e-12 else None
        freedom = min(max(self.freedom, 1.0), 10_000.0)
        reach = error * quantile(0.05, freedom)
        return self.mean - reach, self.mean + reach, two_sided(abs(self.mean) / error, freedom)


    def within(self, most):
        """The interval of a measure of at least 0, and of at most `most` where that is given.

        Without variance between topics: a share differs in at most 1 - .025^(1/n) of all topics (Clopper and Pearson 1934).
        """
        low, high, _ = self.interval()
        if low is None:
            return None, None
        if low == high:
            if most is None:
                return (low, high) if self.mean == 0.0 else (None, None)
            others = 1.0 - 0.025 ** (1.0 / self.topics)
            low = self.mean * (1.0 - others)
            return max(low, 0.0), min(low + others * most, most)
        return max(low, 0.0), high if most is None else min(high, most)


def total(cells):
    """Sum of sums and sum of counts."""
    cells = list(cells)
    return math.fsum(s for s, _ in cells), sum(n for _, n in cells)


def topic_variance(topics, seeds):
    """Of one domain: variance from topics, degrees of freedom, and of topics that recur their variance and remainder."""
    weights = [sum(cell[0] for cell in topic.values()) for topic in topics]
    whole = sum(weights)
    second, third, fourth, fifth = (sum((w / whole) ** power for w in weights) for power in (2, 3, 4, 5))
    # The mean is that of the same topics: expectation of the squares, and their spread.
    seen = second - 2 * third + second**2
    if seen < 1e-12:
        return None
    spread = fourth + 4 * second * fourth - 4 * fifth + second**4 - 4 * second**2 * third + 2 * third**2
    everything = shared = remainder = 0.0
    for topic, weight in zip(topics, weights):
        own = [cell[0] for cell in topic.values()]
        squares, cubes = sum(w**2 for w in own), sum(w**3 for w in own)
        pull = sum(cell[1] for cell in topic.values()) ** 2
        # 1 for a topic in one seed alone, 0 for one that is in all seeds with the same weight.
        alone = seeds / (seeds - 1) * (squares / weight**2 - 1 / seeds) if seeds > 1 else 0.0
        apart = min(max(1.0 - alone, 0.0), 1.0)
        everything += pull
        shared += apart * pull
        if len(topic) > 1:
            middle = sum(cell[2] for cell in topic.values()) / weight
            rest = sum((cell[2] - cell[0] * middle) ** 2 for cell in topic.values())
            remainder += apart * rest * squares / (squares - 2 * cubes / weight + (squares / weight) ** 2)
    correction = second / seen
    return correction * everything, max(seen**2 / spread, 1.0), correction * shared, correction * remainder


# --- files ------------------------------------------------------------------------------------------------------------------


class Cell:
    """Prompts of one score stage: by domain and prompt the topic, and sum and count of each measure."""

    def __init__(self, name):
        self.name, self.prompts = name, {}
        self.stage, _, rest = name.partition("@")
        values = dict(part.split("=", 1) for part in rest.split(",") if part)
        self.seed = values.pop("seed", "")
        self.values = values
        self.arm = self.stage + ("@" + ",".join(f"{name}={value}" for name, value in values.items()) if values else "")

    def add(self, row):
        """Adds a response."""
        _, sums = self.prompts.setdefault((row["domain"], row["prompt_id"]), (row["topic"], [[0.0, 0] for _ in MEASURES]))
        for measure, pair in zip(MEASURES, sums):
            if measure == "responding":
                value = float(int(row["facts"]) + int(row["undecided"] or 0) > 0)
            elif row[measure] == "":
                continue
            else:
                value = float(row[measure])
            pair[0] += value
            pair[1] += 1


class Run:
    """Cells and the comparison of a run, from its journal and store or from a kept folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        kept = self.folder / NAME
        self.cells, self.recipe, self.in_domain = [], None, None
        if kept.is_file():
            self.read_kept(kept)
        else:
            self.read_journal()

    def read_kept(self, path):
        by_name = {}
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            head = lines.readline()
            about = json.loads(head[1:])
            self.recipe, self.in_domain = about["recipe"], about["in_domain"]
            for row in csv.DictReader(lines):
                cell = by_name.setdefault(row["cell"], Cell(row["cell"]))
                sums = [[float(row[f"{name}_sum"]), int(row[f"{name}_count"])] for name in MEASURES]
                cell.prompts[row["domain"], row["prompt_id"]] = (row["topic"], sums)
        self.cells = list(by_name.values())
        self.table = self.folder / "comparison.csv"

    def read_journal(self):
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python"))
        import apeft  # only to find the folders of the artifacts

        run = apeft.open(str(self.folder))
        self.recipe = run.recipe
        for stage in run.stages:
            path = stage.artifact and stage.artifact.path
            if stage.kind == "compare":
                self.table = path / "comparison.csv"
                names = [name for name in stage.needs]
        for stage in run.stages:
            if stage.name not in names:
                continue
            cell = Cell(stage.name)
            scores = json.loads((stage.artifact.path / "scores.json").read_text(encoding="utf-8"))
            self.in_domain = scores["in_domain"]
            with open(stage.artifact.path / "responses.csv", encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines):
                    cell.add(row)
            self.cells.append(cell)

    def keep(self, folder):
        """Writes what the same is computed from."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # No time in the header, so that the same run gives the same bytes.
        with open(folder / NAME, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
            lines = [json.dumps({"recipe": self.recipe, "in_domain": self.in_domain})]
            lines[0] = "#" + lines[0]
            columns = [f"{name}_{what}" for name in MEASURES for what in ("sum", "count")]
            lines.append(",".join(["cell", "domain", "prompt_id", "topic", *columns]))
            for cell in self.cells:
                for (domain, prompt), (topic, sums) in cell.prompts.items():
                    values = [repr(value) for pair in sums for value in pair]
                    lines.append(",".join(quoted(text) for text in (cell.name, domain, prompt, topic)) + "," + ",".join(values))
            packed.write(("\n".join(lines) + "\n").encode())
        (folder / "comparison.csv").write_bytes(pathlib.Path(self.table).read_bytes())

    def domains(self):
        """The sets of domains of the tables."""
        names = list(dict.fromkeys(domain for cell in self.cells for domain, _ in cell.prompts))
        sets = {name: [name] for name in names}
        others = [name for name in names if name != self.in_domain]
        if self.in_domain and others:
            sets["out-of-domain"] = others
        if len(names) > 1:
            sets["all-domains"] = names
        return sets

    def variable(self, value):
        """The matrix variable with this value."""
        return next(name for cell in self.cells for name, one in cell.values.items() if one == value)

    def pairs(self, arm, baseline):
        """The cells of an arm, each with its baseline cell: the same seed, and the same values of all else."""
        variable, found, value = arm.partition("=")
        if found and "@" not in arm and "," not in arm:
            _, _, other = baseline.partition("=")
            for cell in self.cells:
                if cell.values.get(variable) == value:
                    wanted = {**cell.values, variable: other}
                    partners = [two for two in self.cells if (two.stage, two.seed, two.values) == (cell.stage, cell.seed, wanted)]
                    if partners:
                        yield cell, partners[0]
            return
        for cell in self.cells:
            if cell.arm == arm:
                partners = [two for two in self.cells if two.arm == baseline and two.seed == cell.seed]
                yield cell, partners[0] if partners else None

    def means(self, arm, baseline, domains, measure):
        """The mean of an arm; values of a topic are those of its responses."""
        groups, index = {}, MEASURES.index(measure)
        for cell, _ in self.pairs(arm, baseline):
            for (domain, _), (topic, sums) in cell.prompts.items():
                if domain in domains:
                    place = groups.setdefault((cell.arm, domain), {}).setdefault(cell.seed, {}).setdefault(topic, [0.0, 0])
                    place[0] += sums[index][0]
                    place[1] += sums[index][1]
        return Estimate(groups)

    def differences(self, arm, baseline, domains, measure):
        """The difference of an arm from its baseline; values of a topic are the differences on its prompts."""
        groups, index = {}, MEASURES.index(measure)
        for cell, other in self.pairs(arm, baseline):
            for place, (topic, sums) in cell.prompts.items():
                if other is None or place[0] not in domains or place not in other.prompts:
                    continue
                (s, n), (s_other, n_other) = sums[index], other.prompts[place][1][index]
                if n and n_other:
                    at = groups.setdefault((cell.arm, place[0]), {}).setdefault(cell.seed, {}).setdefault(topic, [0.0, 0])
                    at[0] += s / n - s_other / n_other
                    at[1] += 1
        return Estimate(groups) if groups else None


def quoted(text):
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n') else text


# --- what is checked and printed --------------------------------------------------------------------------------------------


def check(run):
    """Every row of the comparison again. Returns the number of rows, of values and the largest deviation."""
    sets, worst, values = run.domains(), (0.0, ""), 0
    with open(run.table, encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["measure"] in MEASURES]
    found = []
    for row in rows:
        place = (row["arm"], row["baseline"], sets[row["domain"]], row["measure"])
        mean = run.means(*place)
        low, high = mean.within(1.0 if row["measure"] in SHARES else None)
        again = {"mean": mean.mean, "low": low, "high": high}
        difference = run.differences(*place) if row["baseline"] else None
        if difference is not None:
            low, high, p = difference.interval()
            again["difference"] = difference.mean
            if p is not None:
                again.update(difference_low=low, difference_high=high, p=p)
        found.append((row, again))
    families = {}
    averages = lambda row: "@" not in row["arm"] and "=" in row["arm"]
    for row, again in found:
        if "p" in again:
            families.setdefault((averages(row), row["domain"], row["measure"]), []).append(again)
    for members in families.values():
        for again, p in zip(members, holm([again["p"] for again in members])):
            again["p_holm"] = p
    for row, again in found:
        for column in ("mean", "low", "high", "difference", "difference_low", "difference_high", "p", "p_holm"):
            shown, own = row[column], again.get(column)
            where = f"{row['arm']} over {row['baseline'] or 'nothing'}, {row['domain']}, {row['measure']}: {column}"
            if shown == "" or own is None:
                if (shown == "") != (own is None):
                    sys.exit(f"{where}: the table has {shown or 'nothing'}, the responses give {own}")
                continue
            values += 1
            deviation = abs(float(shown) - own) / max(1.0, abs(own))
            worst = max(worst, (deviation, where))
    return len(rows), values, worst


def points(value):
    return f"{100 * value:+.1f}"


def probability(p):
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval(estimate):
    low, high, p = estimate.interval()
    if low is None:
        return f"{points(estimate.mean)} (no interval)", None
    return f"{points(estimate.mean)} [{points(low)}, {points(high)}]", p


def family(runs):
    """The comparisons of the preregistration, with Holm's correction over those that were run."""
    rows = []
    for recipe, arm, baseline, what in FAMILY:
        run = next((run for run in runs if run.recipe == recipe), None)
        if run is None:
            continue
        variable = run.variable(arm)
        sets = run.domains()
        place = (f"{variable}={arm}", f"{variable}={baseline}")
        parts = {name: run.differences(*place, sets[name], "precision") for name in (run.in_domain, "out-of-domain", "all-domains")}
        rows.append((what, arm, baseline, parts, parts["all-domains"].interval()[2]))
    known = [row for row in rows if row[-1] is not None]
    corrected = dict(zip((id(row) for row in known), holm([row[-1] for row in known])))
    print(f"Family of {len(known)} comparisons, precision, mean of all domains; Holm's correction over the family.\n")
    print("| question | arm over baseline | in-domain | out-of-domain | mean of the domains | p | Holm |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        what, arm, baseline, parts, p = row
        texts = [interval(part)[0] for part in parts.values()]
        last = [probability(p), probability(corrected[id(row)])] if p is not None else ["–", "–"]
        print(f"| {what} | {arm} over {baseline} | {' | '.join(texts + last)} |")
    print()


def by_arm(run):
    """Precision of each arm, and its difference from the first one (before tuning)."""
    sets = run.domains()
    names = [run.in_domain, "out-of-domain", "all-domains"]
    print(f"{run.recipe}: precision in per cent, and points over `before`\n\n| arm | {' | '.join(names)} |\n| {' | '.join(['---'] * 4)} |")
    for arm in dict.fromkeys(cell.arm for cell in run.cells):
        texts = []
        for name in names:
            mean = run.means(arm, "", sets[name], "precision").mean
            text = f"{100 * mean:.1f}"
            if arm != "before":
                text += ", " + interval(differences_before(run, arm, sets[name]))[0]
            texts.append(text)
        print(f"| {arm} | {' | '.join(texts)} |")
    print()


def differences_before(run, arm, domains):
    return run.differences(arm, "before", domains, "precision")


def power(run, counts):
    """For the primary comparison: the difference that a number of seeds detects with 80 % power.

    The variance of each part is that of this run, per seed and per topic; the normal approximation with Student's quantiles.
    """
    _, arm, baseline, _ = FAMILY[0]
    variable, sets = run.variable(arm), run.domains()
    one = run.differences(f"{variable}={arm}", f"{variable}={baseline}", sets["all-domains"], "precision")
    seeds = one.of_seeds() * one.seeds
    value, freedom, shared, remainder = one.of_topics()
    fixed = max(shared - remainder, 0.0)
    print(
        f"{run.recipe}: {one.seeds} seeds; standard deviation between seeds {100 * math.sqrt(seeds):.2f} points (with the noise of\n"
        f"responses), standard error from topics, which more seeds do not lower, {100 * math.sqrt(fixed):.2f} points"
    )
    for count in counts:
        for alpha in (0.05, 0.05 / len(FAMILY)):
            error = math.sqrt(max(seeds / count + fixed, seeds / count))
            below = (seeds / count) ** 2 / (count - 1) + (fixed**2 / freedom if freedom else 0.0)
            df = max(error**4 / below, count - 1.0)
            reach = (quantile(alpha, df) + quantile(0.4, df)) * error
            print(f"{count:3} seeds, alpha {alpha:.4f}: {100 * reach:.2f} points with 80 % power (standard error {100 * error:.2f}, df {df:.1f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--keep")
    parser.add_argument("--power", type=int, action="append", default=[])
    options = parser.parse_args()
    runs = [Run(folder) for folder in options.runs]
    for run in runs:
        if options.power:
            power(run, options.power)
            continue
        rows, values, (deviation, where) = check(run)
        print(f"{run.recipe}: {rows} rows, {values} values computed again; largest deviation {deviation:.1e} ({where})\n")
        if not values or deviation > 1e-9:
            sys.exit(1)
        by_arm(run)
        if options.keep:
            run.keep(pathlib.Path(options.keep) / run.recipe if len(runs) > 1 else options.keep)
    if not options.power:
        family(runs)


if __name__ == "__main__":
    main()
