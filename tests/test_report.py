"""The joined report: what each kind of run says, and one page about all of them."""

import html.parser
import json
import shutil

import pytest

from learnsys.cli import main
from learnsys.cli.report import KINDS, find
from learnsys.policies.branching.figures import _verdict as branching_verdict
from learnsys.policies.cache.figures import _verdict as cache_verdict
from learnsys.policies.independent_set.figures import _verdict as set_verdict
from learnsys.report import Page
from learnsys.runs import Record, Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each kind, made by the commands themselves, and an unfinished training."""
    folder = tmp_path_factory.mktemp("runs")
    trace, graphs = str(folder / "loop.csv"), str(folder / "graphs")
    commands = [
        f"trace synth loops {trace} --accesses 20000",
        f"cache simulate --trace {trace} --policies lru,srrip,belady --capacity 64KiB --out {folder / 'simulation'}",
        f"branch evaluate --instances knapsack:tiny --count 2 --seeds 1 --policies relpscost,uniform "
        f"--out {folder / 'branching'}",
        f"mis generate rb-small --count 2 --out {graphs}",
        f"mis evaluate {graphs} --policies greedy,arw --time inf --iterations 50 --out {folder / 'sets'}",
    ]
    for command in commands:
        assert main(command.split()) == 0, command
    training = Run(folder / "training", {"recipe": "parrot"})
    for step in range(3):
        training.log(step=step, loss=1 / (step + 1))
    return [folder / name for name in ("simulation", "branching", "sets", "training")]


def test_each_kind_of_run_is_told_from_the_others(runs):
    findings = [find(Record.load(folder)) for folder in runs]
    assert [each.title.partition(" on ")[0].partition(" of ")[0] for each in findings] == [
        "Cache replacement",
        "Branching",
        "Independent sets",
        "training",
    ]
    assert len(KINDS) == 3 and all(each.verdict and each.further for each in findings[:3])
    assert not findings[3].verdict and not findings[3].further


class Reader(html.parser.HTMLParser):
    """Which elements are open, what links and anchors there are."""

    EMPTY = ("meta", "br", "wbr", "path", "use")

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.counts = [], [], [], {}

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.ids += [given["id"]] if "id" in given else []
        self.links += [value for key, value in attrs if key in ("href", "src", "xlink:href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_one_page_joins_them(runs, tmp_path, capsys):
    page = tmp_path / "report.html"
    assert main(["run", "report", *map(str, runs), "--out", str(page), "--title", "All & more"]) == 0
    told = capsys.readouterr().out
    text = page.read_text()
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    assert len(set(reader.ids)) == len(reader.ids)
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)  # offline: no link leads elsewhere
    assert reader.counts["svg"] >= 6 and reader.counts["h2"] == 6 and reader.counts["details"] == 4
    assert "<h1>All &amp; more</h1>" in text and "learnsys mis solve GRAPH" in text
    for folder in runs[:3]:
        finding = find(Record.load(folder))
        assert f"{finding.title}: {finding.verdict}" in told
        assert text.count(finding.verdict.replace("'", "&#x27;")) == 2  # at the top and in its section
    again = tmp_path / "again.html"
    assert main(["run", "report", *map(str, runs), "--out", str(again), "--title", "All & more"]) == 0
    assert again.read_bytes() == page.read_bytes()


def test_commands_write_the_same_section_for_their_own_run(runs):
    for folder in runs[1:3]:
        finding = find(Record.load(folder))
        text = (folder / "report.html").read_text()
        assert f"<h1>{finding.title}</h1>" in text


def test_a_simulation_without_speeds_still_has_its_page(runs, tmp_path):
    for name in ("config.json", "summary.json"):
        (tmp_path / name).write_bytes((runs[0] / name).read_bytes())
    finding = find(Record.load(tmp_path))
    page = Page("x")
    finding.draw(page)
    page.write(tmp_path / "x.html")
    assert "srrip" in (tmp_path / "x.html").read_text()
    assert "accesses_per_second" not in json.dumps(Record.load(tmp_path).summary)


def test_damaged_runs_are_told_in_one_line(runs, tmp_path, capsys):
    for number, (source, name, content) in enumerate(
        [
            (runs[0], "summary.json", '{"results": {"1MiB": [{}]}, "window": [0, 1], "trace": "x"}'),
            (runs[1], "summary.json", '{"runs": [{}]}'),
            (runs[2], "summary.json", '{"best_mean": 3}'),
            (runs[2], "config.json", "[]"),
        ]
    ):
        folder = tmp_path / str(number)
        shutil.copytree(source, folder)
        (folder / name).write_text(content)
        assert main(["run", "report", str(folder), "--out", str(tmp_path / "x.html")]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and str(folder) in told
    assert not (tmp_path / "x.html").exists()
    shutil.copytree(runs[1], tmp_path / "bare")
    (tmp_path / "bare" / "metrics.jsonl").unlink()
    assert find(Record.load(tmp_path / "bare")).title == "bare"  # what is left of it is still shown


def hit_rates(**rates):
    return [{"policy": name, "hit_rate": rate} for name, rate in sorted(rates.items(), key=lambda pair: -pair[1])]


def test_verdicts_say_who_won_whoever_it_was():
    assert "nothing beats LRU; srrip" in cache_verdict("1MiB", hit_rates(lru=0.5, srrip=0.4, belady=0.9))
    won = cache_verdict("1MiB", hit_rates(lru=0.5, srrip=0.6, parrot=0.55, belady=0.9))
    assert "srrip is the best" in won and "+10.00 points" in won and "parrot with 55.00 %" in won
    assert "only bounds" in cache_verdict("1MiB", hit_rates(lru=0.5, belady=0.9))

    def row(policy, seconds, ratio, low, high):
        return {
            "policy": policy,
            "seconds": seconds,
            "reference": "pscost",
            "ratio": ratio,
            "ratio_low": low,
            "ratio_high": high,
        }

    pscost = row("pscost", 2.0, 1.0, 1.0, 1.0)
    assert "fastest with 1.00 CPU s, 0.50 times that of pscost, the better of SCIP's rules" in branching_verdict(
        [pscost, row("gcnn", 1.0, 0.5, 0.4, 0.6)]
    )
    assert "may be chance" in branching_verdict([pscost, row("gcnn", 1.9, 0.95, 0.8, 1.1)])
    lost = branching_verdict([pscost, row("gcnn", 3.0, 1.5, 1.2, 1.9)])
    assert "pscost is the fastest" in lost and "gcnn comes nearest with 1.50" in lost

    sizes = [{"policy": name, "size": size, "ratio": size / 20} for name, size in (("greedy", 18), ("arw", 20))]
    names = {"greedy": "greedy", "arw": "arw", "net": "comparator=runs/net"}
    assert "arw finds the largest sets: 20.00" in set_verdict(sizes, names)
    learned = [*sizes, {"policy": "net", "size": 19, "ratio": 0.95}]
    assert "the learned net has 95.0 %, greedy 90.0 %" in set_verdict(learned, names)
    assert "arw and net find the largest" in set_verdict([*sizes, {"policy": "net", "size": 20, "ratio": 1.0}], names)
