"""Graph files: each format by hand, detection, damage, and what users get wrong."""

import gzip

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.errors import InputError
from learnsys.graphs import Graph, read_graph, read_graphs, write_graph
from learnsys.graphs.formats import FORMATS
from learnsys.graphs.io import graph_files
from learnsys.testing.graph_examples import EXAMPLES, REFERENCES, TU_INDICATOR
from learnsys.testing.graphs import check_graph_reader, read_graphs_or_refuse
from learnsys.testing.traces import mutated, truncated


def labelled(graph):
    names = graph.names
    return set(names.tolist()), {(int(names[u]), int(names[v])) for u, v in graph.edges}


def put(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    (folder / TU_INDICATOR[0]).write_bytes(TU_INDICATOR[1])
    return path


def test_every_format_has_an_example():
    assert {each.format for each in EXAMPLES} == set(FORMATS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.name)
def test_examples(example, tmp_path):
    path = put(tmp_path, example.name, example.data)
    for arguments in ({}, {"format": example.format}):
        graphs = check_graph_reader(path, **arguments)
        assert len(graphs) == example.graphs
        assert labelled(graphs[0]) == (set(example.labels), set(example.edges))


def test_graph6_agrees_with_networkx(tmp_path):
    graphs = [networkx.gnp_random_graph(n, 0.3, seed=n) for n in (1, 5, 70)]
    data = b"".join(networkx.to_graph6_bytes(each) for each in graphs) + networkx.to_sparse6_bytes(graphs[2])
    found = read_graphs(put(tmp_path, "a.g6", data))
    assert all(a.same_as(Graph.from_networkx(b)) for a, b in zip(found, [*graphs, graphs[2]], strict=True))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_writers_are_read_back(tmp_path_factory, pairs, alone):
    graph = Graph.from_edges(np.array(pairs, np.int64).reshape(-1, 2), 10 + alone)
    folder = tmp_path_factory.mktemp("graphs")
    for name in ("a.clq", "a.gr", "a.graph", "a.edges", "a.mis.gz", "b.metis"):
        write_graph(folder / name, graph)
        back = read_graph(folder / name)
        assert back.same_as(graph), name
        assert np.array_equal(back.names, np.arange(graph.n) + ("edges" not in name))
    with pytest.raises(InputError, match="no graph format is called"):
        write_graph(folder / "a.png", graph)
    with pytest.raises(InputError, match="cannot be written"):
        write_graph(folder / "a.x", graph, format="tu")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.clq", b"p edge 3 1\ne 1 4\n", r"line 2: vertex 4 is outside of 1 to 3"),
        ("a.clq", b"p edge 3 1\ne 0 1\n", r"line 2: vertex 0 is outside of 1 to 3"),
        ("a.clq", b"p edge 3 3\ne 1 2\ne 1 3\n", r"line 1: only 2 of the 3 edges"),
        ("a.clq", b"p edge 3 1\np edge 3 1\ne 1 2\n", r"line 2: .*second header"),
        ("a.clq", b"p edge three 1\ne 1 2\n", r"line 1: .*no header"),
        ("a.clq", b"p edge 3 1\ne 1 2 7\n", r"line 2: .*weights"),
        ("a.clq", b"p edge 3 1\ne 1\n", r"line 2: .*two vertices"),
        ("a.clq", b"p edge 3 1\ne 1 -2\n", r"line 2: .*below 0"),
        ("a.clq", b"p edge 3 1\ne 1 99999999999999999999\n", r"line 2: .*beyond 64 bits"),
        ("a.clq", b"p edge 3 1\ne 1 2x\n", r"line 2: .*no whole number"),
        ("a.clq", b"p edge 9000000000000 1\ne 1 2\n", r"line 1: a graph of 9,000,000,000,000 vertices"),
        ("a.clq", b"e 1 9000000000000\n", r"a graph of 9,000,000,000,000 vertices"),
        ("a.clq", b"c nothing\n", r"holds no graph"),
        ("a.gr", b"p sp 3 1\na 1 2 9\n", r"line 2: .*road network.*weights"),
        ("a.graph", b"3 1 1\n2 5\n1 5\n\n", r"line 1: .*announces weights"),
        ("a.graph", b"3 1\n2\n1\n", r"line 1: only 2 of the 3 vertices"),
        ("a.graph", b"2 1\n2\n1\n1\n", r"line 4: neighbours after"),
        ("a.graph", b"2 1\n3\n1\n", r"line 2: vertex 3 is outside"),
        ("a.graph", b"3 2\n2 3\n3\n\n", r"line 1: 3 neighbours are named, not twice the 2 edges"),
        ("a.clq", b"p edge 3 1\ne 1 2\ne\n", r"line 3: .*no whole number"),
        ("a.graph", b"% no header\n", r"holds no graph"),
        ("a.edges", b"1 2\n3 4 2.5\n", r"line 2: .*no whole number"),
        ("a.edges", b"1 2 5\n3 4 7\n", r"line 1: .*third number: it has weights"),
        ("a.edges", b"1 2 {'weight': 3}\n", r"line 1: .*attributes: it has weights"),
        ("a.edges", b"# only comments\n", r"holds no edge"),
        ("a.mtx", b"%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 1\n", r"line 1: .*no header"),
        ("a.mtx", b"%%MatrixMarket matrix coordinate real general\n2 2 1\n1 2 0.5\n", r"weights"),
        ("a.mtx", b"%%MatrixMarket matrix coordinate pattern general\n2 3 1\n1 3\n", r"no adjacency"),
        (
            "a.mtx",
            b"%%MatrixMarket matrix coordinate pattern general\n2 2 9\n1 2\n",
            r"line 2: 1 entries follow, not the 9",
        ),
        ("a.mtx", b"%%MatrixMarket matrix coordinate pattern general\n2 x 9\n1 2\n", r"line 2: .*no whole number"),
        ("a.g6", b">>graph6<<D\n", r"line 1: .*graph6"),
        ("a.g6", b"~~~~~~~~\n", r"vertices"),
        ("a.dgcnn", b"2\n2 0\n0 1 1\n0 1 0\n", r"ends before graph 2"),
        ("a.dgcnn", b"1\n2 0\n0 1 1\n0 1 5\n", r"line 4: .*no row of a graph of 2"),
        ("DS_A.txt", b"1, 6\n", r"edge 1, 6 joins two graphs"),
        ("EF_A.txt", b"1, 2\n", r"EF_graph_indicator.txt cannot be read"),
        ("a.xyz", b"\x00\x01\x02", r"no graph format.*--format"),
        ("a.clq", b"", r"is empty"),
        ("a.clq", gzip.compress(b"e 1 2\n", mtime=0)[:-9], r"ends within|damaged"),
    ],
)
def test_bad_files_are_refused_in_one_line(name, data, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        read_graph(put(tmp_path, name, data))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files_folders_and_wrong_formats(tmp_path):
    for path in (tmp_path / "none.clq", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_graph(path)
    path = put(tmp_path, "a.dgcnn", EXAMPLES[-2].data)
    with pytest.raises(InputError, match="holds 2 graphs"):
        read_graph(path)
    with pytest.raises(InputError, match="no graph format is called 'gml'"):
        read_graph(path, format="gml")
    with pytest.raises(InputError, match="more than 10 bytes"):
        read_graph(path, limit_bytes=10)


def test_a_bomb_is_stopped(tmp_path):
    path = put(tmp_path, "a.clq.gz", gzip.compress(b"e 1 2\n" * 100_000))
    with pytest.raises(InputError, match="grows to"):
        read_graph(path, limit_bytes=100_000)
    assert read_graph(path).m == 1


def test_folders(tmp_path):
    for example in EXAMPLES:
        if example.name in ("a.clq", "a.dgcnn", "DS_A.txt"):
            put(tmp_path, example.name, example.data)
    (tmp_path / "best_known.json").write_text("{}")
    names = [name for name, _ in graph_files(tmp_path)]
    assert names == ["DS_A.txt:0", "DS_A.txt:1", "a.clq", "a.dgcnn:0", "a.dgcnn:1"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no graph"):
        list(graph_files(tmp_path / "empty"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.name)
def test_damaged_files_are_read_or_refused(example, tmp_path):
    """Cut off at every byte, and edited at random: a graph, equal to a plain reader's, or one clear line."""
    rng = np.random.default_rng(0)
    damaged = [*truncated(example.data), *(mutated(example.data, rng) for _ in range(300))]
    accepted = 0
    for data in damaged:
        path = put(tmp_path, example.name, data)
        found = read_graphs_or_refuse(path, format=example.format)
        if not isinstance(found, InputError) and example.format in REFERENCES:
            accepted += 1
            plain = data.removeprefix(b"\xef\xbb\xbf")
            assert labelled(found[0]) == REFERENCES[example.format](plain.decode("latin-1")), data
    assert accepted or example.format not in REFERENCES
