"""Tables of all kinds: read, understood, turned into a model's inputs, and complained of."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossipd.learning import encode
from gossipd.learning.describe import Wish, describe, fit
from gossipd.learning.description import Amount, Category, Classes, Number, Table
from gossipd.learning.errors import DataError
from gossipd.learning.sheet import Sheet
from gossipd.learning.table_files import read_table

HEADER = "id,age,region,smoker,note,same,result"
ROWS = [
    f"{100 + n},{30 + n % 7 if n != 3 else ''},{'alba' if n % 3 else 'asti'},{n % 2},"
    f"text {n},x,{'ill' if n % 4 == 0 else 'well'}"
    for n in range(80)
]


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def patients(folder: Path, *rows: str) -> Sheet:
    return read_table(written(folder / "p.csv", "\n".join([HEADER, *(rows or ROWS)]) + "\n"))


def understood(sheet: Sheet, **wishes: Any) -> tuple[Table, dict[str, tuple[str, int, str]]]:
    table, findings = describe(sheet, Wish(wishes.pop("target", "result"), "t", **wishes))
    return table, {f.column: (f.type, f.missing, f.detail) for f in findings}


def complaint(call: Any, *arguments: Any, **keywords: Any) -> tuple[str, str]:
    with pytest.raises(DataError) as caught:
        call(*arguments, **keywords)
    return str(caught.value), caught.value.hint


def test_columns_are_understood_by_what_they_hold(tmp_path: Path) -> None:
    table, found = understood(patients(tmp_path))
    assert [c.name for c in table.columns] == ["age", "region", "smoker"]
    age, region, smoker = table.columns
    assert isinstance(age, Number)
    assert age.gaps
    assert (age.filling, found["age"][1]) == (33.0, 1)
    assert region == Category("region", ("alba", "asti"))
    assert isinstance(smoker, Number)
    assert not smoker.gaps
    assert table.target == Classes("result", ("ill", "well"))
    assert found["id"] == ("ignored", 0, "it numbers the rows")
    assert found["note"][2] == "80 different texts, such as row 2: 'text 0'"
    assert found["same"][2] == "it is the same in all rows"


def test_what_the_operator_says_goes_before_what_is_found_out(tmp_path: Path) -> None:
    table, found = understood(
        patients(tmp_path),
        ignore=frozenset({"age"}),
        categories=frozenset({"smoker"}),
        classes=("well", "ill", "dead"),
        hidden=(8, 4),
    )
    assert table.columns[-1] == Category("smoker", ("0", "1"))
    assert table.target == Classes("result", ("well", "ill", "dead"))
    assert table.sizes == (3 + 3, 8, 4, 3)
    assert found["age"] == ("ignored", 0, "as you asked")


def test_a_target_of_many_numbers_is_an_amount_and_one_of_few_a_class(tmp_path: Path) -> None:
    sheet = patients(tmp_path)
    assert isinstance(understood(sheet, target="id")[0].target, Amount)
    assert isinstance(understood(sheet, target="smoker")[0].target, Classes)
    assert isinstance(understood(sheet, target="smoker", kind="regression")[0].target, Amount)
    assert isinstance(understood(sheet, target="id", kind="classification")[0].target, Classes)


def test_rows_become_inputs_as_the_description_says(tmp_path: Path) -> None:
    table = Table(
        "t",
        (
            Number("age", filling=40, mean=30, deviation=10, gaps=True),
            Category("region", ("alba", "asti")),
        ),
        Classes("result", ("ill", "well")),
    )
    sheet = read_table(
        written(
            tmp_path / "p.csv",
            "region,age,result\nasti,20,well\n?,NA,\n bari ,1e9, ill\nalba,30,well\n",
        )
    )
    assert encode.inputs(table, sheet).tolist() == [
        [-1, 0, 0, 1, 0],
        [1, 1, 0, 0, 1],
        [encode.CLIP, 0, 0, 0, 1],
        [0, 0, 1, 0, 0],
    ]
    rows, targets = encode.targets(table, sheet)
    assert (rows.tolist(), targets.tolist()) == ([0, 2, 3], [1, 0, 1])


def test_a_number_is_one_class_however_it_is_written(tmp_path: Path) -> None:
    rows = "\n".join(["x,y", *(f"{n * n},{('1', '1.0', ' 2', '2.00')[n % 4]}" for n in range(20))])
    table, _ = describe(read_table(written(tmp_path / "a.csv", rows)), Wish("y", "t"))
    assert table.target == Classes("y", ("1", "2"))


def test_who_joins_is_told_how_its_rows_fit(tmp_path: Path) -> None:
    table, _ = understood(patients(tmp_path))
    theirs = [row.replace("asti", "bari") for row in ROWS if row.endswith("well")]
    found = {f.column: f for f in fit(table, patients(tmp_path, *theirs))}
    assert found["region"].detail == "2 known, not known: bari"
    assert found["result"].detail == "classes: ill 0, well 60"
    assert found["note"].type == "ignored"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("130,32,", "130,old,", "row 32, column 'age': 'old' is no number"),
        ("130,32,", "130,inf,", "row 32, column 'age': 'inf' is no number"),
        (",well", ",sick", "row 3, column 'result': 'sick' is no class of this task"),
        (",region,", ",place,", "has no column 'region'"),
        (",age,region", ",a,b", "has no column 'age' and 1 more of the task's"),
        (",result", ",outcome", "has no column 'result'"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    table, _ = understood(patients(tmp_path))
    text = (tmp_path / "p.csv").read_text()
    assert old in text
    sheet = read_table(written(tmp_path / "q.csv", text.replace(old, new)))
    said, hint = complaint(fit, table, sheet)
    assert said == f"{tmp_path}/q.csv: {message}"
    assert hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its first row is empty"),
        ("1,2\n3,4\n", "its first row holds numbers, not names"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ("a,b\n1,2\n3\n", "row 3 has 1 cells, the first row has 2"),
        ('a,b\n1,2\n"3,4\n', "row 3: unexpected end of data"),
        ("a,\x1bb\n1,2\n", "a column is called"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_the_row(
    tmp_path: Path, text: str, message: str
) -> None:
    said, hint = complaint(read_table, written(tmp_path / "t.csv", text))
    assert said.startswith(f"{tmp_path}/t.csv: {message}")
    assert hint


def test_what_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"caf\xe9,b\n1,2\n")
    assert "is not UTF-8" in complaint(read_table, tmp_path / "latin.csv")[0]
    (tmp_path / "x.csv.gz").write_bytes(b"no gzip")
    assert "cannot be read" in complaint(read_table, tmp_path / "x.csv.gz")[0]
    (tmp_path / "x.npz").write_bytes(b"no zip")
    assert "is no NPZ file" in complaint(read_table, tmp_path / "x.npz")[0]
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    assert "is no Parquet file" in complaint(read_table, tmp_path / "x.parquet")[0]
    assert complaint(read_table, tmp_path / "none.csv")[0].endswith("no such file")
    assert ".xlsx is no table" in complaint(read_table, tmp_path / "a.xlsx")[0]


def test_spreadsheets_of_many_countries_are_read(tmp_path: Path) -> None:
    text = "\ufeffalter;größe\n40;1,75\n;1,5\n;\n;\n"
    sheet = read_table(written(tmp_path / "t.csv", text))
    assert list(sheet.columns) == ["alter", "größe"]
    assert sheet.numbers("größe").tolist() == [1.75, 1.5]
    assert np.isnan(sheet.numbers("alter")[1])
    tabs = read_table(written(tmp_path / "t.tsv", "a\tb\n1\t2\n\n3\t4\n"))
    assert np.isnan(tabs.numbers("a")).tolist() == [False, True, False]


def test_a_compressed_file_is_the_same_table(tmp_path: Path) -> None:
    sheet = patients(tmp_path)
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress((tmp_path / "p.csv").read_bytes()))
    again = read_table(tmp_path / "p.csv.gz")
    assert understood(again)[0] == understood(sheet)[0]


def test_arrays_are_columns(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.float32).reshape(12, 2) ** 1.5
    np.savez(tmp_path / "t.npz", x=x, region=np.array(["a", "b"] * 6), y=np.arange(12) % 3)
    sheet = read_table(tmp_path / "t.npz")
    assert list(sheet.columns) == ["x.0", "x.1", "region", "y"]
    table, _ = describe(sheet, Wish("y", "t"))
    assert table.sizes == (2 + 3, 32, 3)
    np.savez(tmp_path / "odd.npz", x=x, y=np.arange(11))
    assert "differ in length" in complaint(read_table, tmp_path / "odd.npz")[0]
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    assert "is no NPZ file" in complaint(read_table, tmp_path / "objects.npz")[0]


def test_parquet_is_the_same_table_as_its_csv(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="the extra `tables` is not installed")
    from pyarrow import parquet

    sheet = patients(tmp_path)
    age = [None if np.isnan(a) else int(a) for a in sheet.numbers("age")]
    columns = {
        name: arrow.array(age if name == "age" else list(column.values))
        for name, column in sheet.columns.items()
        if name != "id"
    }
    parquet.write_table(arrow.table(columns), tmp_path / "p.parquet")
    assert understood(read_table(tmp_path / "p.parquet"))[0] == understood(sheet)[0]

    lists = arrow.table({"a": arrow.array([[1], [2]])})
    parquet.write_table(lists, tmp_path / "lists.parquet")
    assert "column 'a' is of type list" in complaint(read_table, tmp_path / "lists.parquet")[0]


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"target": "resutl"}, "has no column 'resutl'"),
        ({"target": "same"}, "the target 'same' has one value only"),
        ({"target": "result", "kind": "regression"}, "row 2, column 'result': 'ill' is no number"),
        ({"target": "same", "classes": ("y", "z")}, "row 2, column 'same': 'x' is none of"),
        ({"ignore": frozenset({"nothing"})}, "has no column 'nothing'"),
        ({"ignore": frozenset({"age", "region", "smoker"})}, "no column is left to learn from"),
        ({"target": "note", "hidden": (4096,) * 8}, "parameters"),
    ],
)
def test_what_cannot_be_learnt_is_said(
    tmp_path: Path, wishes: dict[str, Any], message: str
) -> None:
    said, hint = complaint(understood, patients(tmp_path), **wishes)
    assert message in said
    assert hint


def test_what_a_description_does_not_take_is_no_traceback(tmp_path: Path) -> None:
    x = np.array([1e300, -1e300] * 10)
    values = {"huge": x, "a\nb": x / 1e300, "fine": np.arange(20) ** 2, "y": np.arange(20) % 2}
    np.savez(tmp_path / "t.npz", allow_pickle=False, **values)
    _, found = understood(read_table(tmp_path / "t.npz"), target="y")
    assert [name for name, about in found.items() if about[0] == "ignored"] == ["huge", "a\\nb"]
    assert "not finite" in found["huge"][2]
    sheet = read_table(tmp_path / "t.npz")
    assert "the target" in complaint(understood, sheet, target="huge", kind="regression")[0]
    with pytest.raises(DataError, match="title"):
        describe(sheet, Wish("y", "t" * 201))
    many = {f"c{n}": np.arange(20) ** 2 for n in range(4097)}
    np.savez(tmp_path / "wide.npz", allow_pickle=False, **many, y=np.arange(20) % 2)
    assert "columns" in complaint(understood, read_table(tmp_path / "wide.npz"), target="y")[0]
    words = [f"w{n}" for n in range(5000)]
    np.savez(tmp_path / "words.npz", x=np.arange(5000) ** 2, y=np.array(words))
    assert "values" in complaint(understood, read_table(tmp_path / "words.npz"), target="y")[0]


def test_too_few_rows_are_no_data(tmp_path: Path) -> None:
    assert "has 5 rows" in complaint(understood, patients(tmp_path, *ROWS[:5]))[0]
