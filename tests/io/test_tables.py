"""Tables as people have them, through the commands: the right answer, or a refusal that says what to do; never silence."""

import csv
import io
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas
import pytest

import fastmlp
from tests.support.command import refused, run_here
from tests.support.data import DATA

pytest.importorskip("safetensors")
pytest.importorskip("pyarrow")
import pyarrow as pa
import pyarrow.parquet as pq

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
N = 200
RNG = np.random.default_rng(0)
A, B = RNG.normal(10, 3, N).round(3), RNG.normal(0, 1, N).round(3)
KIND = np.where(A + B > 10, "big", "small")
VALUE = (3 * A + B).round(3)
QUICK = ("--members", "3", "--epochs", "20", "--hidden", "8")


def texts(values):
    return [str(value) for value in values]


def columns(**changes):
    """A table with two numbers, a class and a value that follow from them."""
    table = {"a": texts(A), "b": texts(B), "kind": texts(KIND), "value": texts(VALUE)}
    return {name: values for name, values in {**table, **changes}.items() if values is not None}


def write(path, table, sep=",", encoding="utf-8", names=None):
    names = names or list(table)
    lines = [sep.join(names), *(sep.join(row) for row in zip(*table.values(), strict=True))]
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


def fitted(capsys, path, target, *more):
    code, out, err = run_here(capsys, "fit", path, "--target", target, "--json", "--force", *QUICK, *more)
    assert code == 0, err
    return json.loads(out)


def refused_fit(capsys, path, target, *more):
    return refused(capsys, "fit", path, "--target", target, "--force", *QUICK, *more)


def predictions(capsys, model, path, *more):
    code, out, err = run_here(capsys, "predict", model, path, *more)
    assert code == 0, err
    return list(csv.reader(io.StringIO(out))), err


# ------------------------------------------------------------------------------------------------ rows and headers


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("9,0.5,big,27.5,", "row 2 has 5 fields, the header 4, one ',' at its end too many"),
        ("9,0.5,big,27.5,x", "row 2 has 5 fields, the header 4"),
        ("9,0.5,big", "row 2 has 3 fields, the header 4"),
        ("9", "row 2 has 1 fields"),
        ('9,"0.5,1",big,27.5,1', "row 2 has 5 fields"),
    ],
)
@pytest.mark.parametrize("every", [False, True])
def test_rows_that_do_not_fit_the_header_are_refused_by_number(row, words, every, tmp_path, capsys):
    report = fitted(capsys, write(tmp_path / "t.csv", columns()), "value", "--ignore", "kind")
    good = "8,0.1,small,24.1"
    text = "a,b,kind,value\n" + (f"{good}\n{row}\n{good}\n" if not every else f"{row}\n" * 3)
    (tmp_path / "new.csv").write_text(text)
    words = words.replace("row 2", "row 1") if every else words
    assert words in refused(capsys, "predict", report["model"], tmp_path / "new.csv")
    assert words in refused_fit(capsys, tmp_path / "new.csv", "value")


def test_a_comma_at_the_end_of_every_line_is_an_empty_column(tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(), names=["a", "b", "kind", "value"])
    plain = fitted(capsys, path, "value", "--ignore", "kind")
    path.write_text("".join(line + ",\n" for line in path.read_text().splitlines()))
    again = fitted(capsys, path, "value", "--ignore", "kind")
    assert again["left_out"] == {"column 5 (without a name)": "empty"}
    assert again["score"] == plain["score"]


@pytest.mark.parametrize("names", [["a", "value", "kind", "value"], ["a", "a", "kind", "value"], ["a", "b", "b", "b"]])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_two_columns_of_one_name_are_refused(names, suffix, tmp_path, capsys):
    path = tmp_path / f"t{suffix}"
    if suffix == ".csv":
        write(path, columns(), names=names)
    else:
        pq.write_table(pa.Table.from_arrays([pa.array(v) for v in columns().values()], names=names), path)
    assert "columns have the name" in refused_fit(capsys, path, names[3])


def test_a_column_without_a_name_is_refused_if_it_holds_something(tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(), names=["a", " ", "kind", "value"])
    assert "column 2 (without a name) is not empty" in refused_fit(capsys, path, "value")


# --------------------------------------------------------------------------------------- constants and numbers of rows


@pytest.mark.parametrize("constant", ["14.62", "0.1", "1e-300", "-7", "0", "123456789.123", "99999999999999"])
def test_a_constant_column_is_left_out_and_said(constant, tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(c=[constant] * N))
    plain = fitted(capsys, write(tmp_path / "p.csv", columns()), "value", "--ignore", "kind")
    report = fitted(capsys, path, "value", "--ignore", "kind")
    assert list(report["left_out"]) == ["c"]
    assert "in every training row" in report["left_out"]["c"]
    assert report["score"] == plain["score"]
    (tmp_path / "new.csv").write_text(f"a,b,c\n10,0.5,{float(constant) + 0.01!r}\n")
    rows, _ = predictions(capsys, report["model"], tmp_path / "new.csv")
    assert 25 < float(rows[1][0]) < 36


def test_texts_that_are_the_same_in_every_row_are_left_out(tmp_path, capsys):
    report = fitted(capsys, write(tmp_path / "t.csv", columns(c=["x"] * N, e=[""] * N)), "value", "--ignore", "kind")
    assert report["left_out"] == {"c": "'x' in every training row", "e": "no numbers in the training rows"}


def test_numbers_that_differ_little_are_no_constant(tmp_path, capsys):
    """Seconds since 1970 within ten minutes."""
    moment = (1.7e9 + 200 * (A - A.mean())).round(2)
    report = fitted(capsys, write(tmp_path / "t.csv", columns(a=None, t=texts(moment))), "value", "--ignore", "kind")
    assert not report["left_out"]
    assert report["score"] > 0.5


SORTED = np.sort(np.arange(N) % 2)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("", np.arange(N)),
        ("", np.arange(1, N + 1)),
        ("Unnamed: 0", np.arange(N)),
        ("x", np.arange(N) + 7000),
        ("x", np.random.default_rng(1).permutation(N)),
        ("id", np.arange(N) * 3 + 11),
        ("PassengerId", np.cumsum(np.random.default_rng(2).integers(1, 9, N))),
        ("customer_id", np.cumsum(np.random.default_rng(2).integers(1, 9, N))),
    ],
)
def test_numbers_of_rows_and_ids_are_left_out_and_said(name, values, tmp_path, capsys):
    """On noise that is sorted by its class they would tell nearly all of it."""
    noise = np.random.default_rng(5).normal(size=N)
    table = {"first": texts(values), "noise": texts(noise), "kind": texts(np.where(SORTED, "x", "y"))}
    path = write(tmp_path / "t.csv", table, names=[name, "noise", "kind"])
    report = fitted(capsys, path, "kind")
    assert len(report["left_out"]) == 1
    assert report["columns"] == 1
    assert report["score"] < 0.8
    code, out, _ = run_here(capsys, "fit", path, "--target", "kind", "--force", *QUICK)
    assert code == 0
    assert "Columns left out" in out
    if name:
        assert fitted(capsys, path, "kind", "--keep", name)["columns"] == 2


def test_texts_that_tell_rows_apart_are_left_out(tmp_path, capsys):
    path = write(
        tmp_path / "t.csv", {name: values[:40] for name, values in columns(code=[f"c{i}" for i in range(N)]).items()}
    )
    assert list(fitted(capsys, path, "kind", "--ignore", "value")["left_out"]) == ["code"]


# -------------------------------------------------------------------------------------------- nearly numbers


@pytest.mark.parametrize("word", ["?", "n/k", "-", " ", "#DIV/0!", "NA", "nan", "NULL", "N/A", "--"])
def test_a_word_for_missing_among_numbers_is_taken_so_and_said(word, tmp_path, capsys):
    values = texts(A)
    values[5] = word
    report = fitted(capsys, write(tmp_path / "t.csv", columns(a=values)), "value", "--ignore", "kind")
    assert report["inputs"] == 2
    assert report["missing"] == {"a": 1}
    if word.strip():
        assert f"column 'a': 199 of 200 values are numbers; row 6 holds {word!r}" in report["notices"][0]
    targets = texts(VALUE)
    targets[5] = word
    message = refused_fit(capsys, write(tmp_path / "u.csv", columns(value=targets)), "value")
    assert "row 6 holds" in message or "lacks 1 values, the first in row 6" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,234", "separators of thousands"),
        ("12 %", "a percent sign"),
        ("12%", "a percent sign"),
        ("$5", "a currency"),
        ("5 €", "a currency"),
        ("3,14", "a decimal comma"),
        ("1.234.567,8", "thousands"),
        ("1_000", "pass --na '1_000'"),
        ("0x1F", "pass --na"),
        ("five", "pass --na 'five'"),
        ("12kg", "--text 'a'"),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_another_notation_among_numbers_is_refused(text, words, count, tmp_path, capsys):
    values = texts(A)
    for row in range(5, 5 + count):
        values[row] = f'"{text}"'
    message = refused_fit(capsys, write(tmp_path / "t.csv", columns(a=values)), "value", "--ignore", "kind")
    assert f"column 'a': {200 - count} of 200 values are numbers; row 6 holds {text!r}" in message
    assert words in message
    targets = texts(VALUE)
    targets[5] = f'"{text}"'
    message = refused_fit(capsys, write(tmp_path / "u.csv", columns(value=targets)), "value")
    assert "199 of 200 values are numbers; row 6 holds" in message


@pytest.mark.parametrize("form", ["{:.2f}", "1.{:03.0f}", "{:.0f} %", "${:.2f}"])
def test_a_column_of_another_notation_is_no_column_of_texts(form, tmp_path, capsys):
    """Nor is a regression on it one of classes."""
    values = ['"' + form.format(abs(value)).replace(".", ",") + '"' for value in A]
    path = write(tmp_path / "t.csv", columns(a=values))
    assert "values are numbers; row 1 holds" in refused_fit(capsys, path, "value", "--ignore", "kind")
    message = refused_fit(capsys, path, "a", "--ignore", "kind", "--ignore", "value")
    assert "too many to be classes" in message or "values are numbers; row" in message


def test_decimal_commas_are_read_when_said(tmp_path, capsys):
    plain = fitted(capsys, write(tmp_path / "p.csv", columns()), "value", "--ignore", "kind")
    table = {name: [text.replace(".", ",") for text in values] for name, values in columns().items()}
    path = write(tmp_path / "t.csv", table, sep=";")
    assert "--sep ';'" in refused_fit(capsys, path, "value")
    assert "--decimal ','" in refused_fit(capsys, path, "value", "--ignore", "kind", "--sep", ";")
    how = ("--sep", ";", "--decimal", ",")
    report = fitted(capsys, path, "value", "--ignore", "kind", *how)
    assert report["score"] == plain["score"]
    one, _ = predictions(capsys, report["model"], path, *how)
    other, _ = predictions(capsys, plain["model"], tmp_path / "p.csv")
    assert one == other
    assert "--decimal ','" in refused(capsys, "predict", report["model"], path, "--sep", ";")


def test_decimals_of_parquet_are_numbers(tmp_path, capsys):
    table = pa.table(
        {
            "a": pa.array([Decimal(str(v)) for v in A], pa.decimal128(12, 3)),
            "b": pa.array(B),
            "value": pa.array([Decimal(str(v)) for v in VALUE], pa.decimal128(12, 3)),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    report = fitted(capsys, tmp_path / "t.parquet", "value")
    plain = fitted(capsys, write(tmp_path / "p.csv", columns(kind=None)), "value")
    assert (report["task"], report["score"]) == ("regression", plain["score"])


# ----------------------------------------------------------------------------------------------- classes and texts


@pytest.mark.parametrize("name", ["NA", "None", "null", "nan", "NaN", "N/A", "NULL", "-", "?"])
def test_a_class_may_have_the_name_of_nothing(name, tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(kind=texts(np.where(A + B > 10, name, "small"))))
    report = fitted(capsys, path, "kind", "--ignore", "value")
    assert set(report["classes"]) == {name, "small"}
    assert report["score"] > 0.8
    rows, _ = predictions(capsys, report["model"], path)
    assert {row[0] for row in rows[1:]} == {name, "small"}
    path = write(tmp_path / "u.csv", columns(kind=texts(np.where(A + B > 10, name, ""))))
    assert f"lacks {int((A + B <= 10).sum())} values" in refused_fit(capsys, path, "kind", "--ignore", "value")
    report = fitted(capsys, write(tmp_path / "v.csv", columns()), "kind", "--ignore", "value", "--na", "x")
    assert report["classes"] == ["big", "small"]


def test_words_for_nothing_are_told_apart_in_inputs(tmp_path, capsys):
    words = np.array(["NA", "None", "null", "", "yes"])[np.arange(N) % 5]
    targets = texts(np.isin(words, ["NA", "null"]).astype(int))
    path = write(tmp_path / "t.csv", {"word": texts(words), "b": texts(B), "kind": targets})
    report = fitted(capsys, path, "kind", "--epochs", "200")
    assert report["inputs"] == 6
    assert report["score"] == 1.0
    assert fitted(capsys, path, "kind", "--na", "NA", "--na", "null")["inputs"] == 4


def test_rows_without_a_target_are_left_out_when_said(tmp_path, capsys):
    values = texts(VALUE)
    values[6], values[9] = "", "n/k"
    path = write(tmp_path / "t.csv", columns(value=values))
    report = fitted(capsys, path, "value", "--ignore", "kind", "--drop-missing", "--na", "n/k")
    assert sum(report["rows"].values()) == N - 2
    assert report["notices"][0] == "2 rows lack 'value' and are left out, the first is row 7"


@pytest.mark.parametrize(
    "labels",
    [
        ("1234567890123456781", "1234567890123456782"),
        ("007", "07"),
        ("1", "1.0"),
        ("1e3", "1000"),
        ("0.10", "0.1"),
        (" a", "a"),
        ("True", "true"),
    ],
)
def test_labels_are_kept_as_they_are_written(labels, tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(kind=texts(np.where(A + B > 10, *labels))))
    report = fitted(capsys, path, "kind", "--ignore", "value", "--task", "classification")
    assert set(report["classes"]) == set(labels)
    assert report["score"] > 0.8
    rows, _ = predictions(capsys, report["model"], path)
    assert {row[0] for row in rows[1:]} == set(labels)
    pq.write_table(pa.table({"a": A, "b": B, "kind": np.where(A + B > 10, *labels)}), tmp_path / "t.parquet")
    report = fitted(capsys, tmp_path / "t.parquet", "kind")
    assert set(report["classes"]) == set(labels)


def test_large_whole_numbers_of_parquet_are_labels_to_the_last_digit(tmp_path, capsys):
    kind = np.where(A + B > 10, 2**62 + 1, 2**62 + 2)
    pq.write_table(pa.table({"a": A, "b": B, "kind": kind}), tmp_path / "t.parquet")
    assert fitted(capsys, tmp_path / "t.parquet", "kind")["classes"] == [str(2**62 + 1), str(2**62 + 2)]


# ---------------------------------------------------------------------------------------------- numbers of all sizes


@pytest.mark.parametrize(("shift", "scale"), [(1.7e9, 600.0), (0.0, 1e-9), (1e12, 1.0), (-5e7, 1e-3), (0.0, 1e12)])
def test_digits_follow_the_targets_spread(shift, scale, tmp_path, capsys):
    targets = shift + scale * (A - A.mean()) / A.std()
    path = write(tmp_path / "t.csv", columns(value=[repr(float(v)) for v in targets], kind=None))
    report = fitted(capsys, path, "value", "--epochs", "300")
    assert report["score"] > 0.95
    rows, _ = predictions(capsys, report["model"], path)
    found = np.array([float(row[0]) for row in rows[1:]])
    assert len(set(found)) > 0.9 * N
    assert np.sqrt(np.mean((found - targets) ** 2)) < 0.3 * scale


@pytest.mark.parametrize("size", [1e300, -1e300, 1e200])
def test_numbers_too_large_are_refused(size, tmp_path, capsys):
    values = [repr(float(size * (1 + 0.1 * v))) for v in B]
    path = write(tmp_path / "t.csv", columns(value=values, kind=None))
    assert "too large to learn" in refused_fit(capsys, path, "value")
    path = write(tmp_path / "u.csv", columns(a=values, kind=None))
    assert "too large to scale" in refused_fit(capsys, path, "value")


def test_tiny_numbers_are_scaled(tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(a=[repr(float(v * 1e-200)) for v in A], kind=None))
    assert fitted(capsys, path, "value", "--epochs", "200")["score"] > 0.9


def test_gaps_and_infinities_in_rows_to_predict_are_said_with_counts(tmp_path, capsys):
    report = fitted(capsys, write(tmp_path / "t.csv", columns(kind=None)), "value")
    (tmp_path / "new.csv").write_text("a,b\n10,0.1\n,0.1\nNA,0.1\ninf,0.1\n10,-Infinity\n1e999,0\n")
    rows, err = predictions(capsys, report["model"], tmp_path / "new.csv")
    assert len(rows) == 7
    assert "column 'a': 2 missing and 2 infinite values are replaced by the mean" in err
    assert "column 'b': 1 infinite values are replaced by the mean" in err
    pq.write_table(pa.table({"a": [10.0, np.nan, None, np.inf], "b": [0.1] * 4}), tmp_path / "new.parquet")
    _, err = predictions(capsys, report["model"], tmp_path / "new.parquet")
    assert "column 'a': 2 missing and 1 infinite values" in err
    (tmp_path / "new.csv").write_text("a,b\n10,0.1\nx,0.1\n")
    assert "column 'a' must hold numbers, but row 2 holds 'x'" in refused(
        capsys, "predict", report["model"], tmp_path / "new.csv"
    )
    (tmp_path / "new.csv").write_text("a,b\n1e6,0.1\n10,0.1\n")
    _, err = predictions(capsys, report["model"], tmp_path / "new.csv")
    assert "column 'a': 1 values are far outside" in err


# -------------------------------------------------------------------------------------------------- how it is written


def test_other_encodings_and_separators(tmp_path, capsys):
    kind = texts(np.where(A + B > 10, "groß", "klein"))
    plain = fitted(capsys, write(tmp_path / "p.csv", columns(kind=kind)), "kind", "--ignore", "value")
    assert plain["classes"] == ["groß", "klein"]
    for encoding, sep in (("latin-1", ","), ("cp1252", ";"), ("utf-16", ","), ("utf-8-sig", "\t"), ("utf-8", "|")):
        path = write(tmp_path / "t.csv", columns(kind=kind), sep, encoding)
        how = ["--sep", {"\t": "\\t"}.get(sep, sep), "--encoding", encoding]
        message = refused_fit(capsys, path, "kind", "--ignore", "value", *how[: 0 if sep != "," else 2])
        assert "--encoding" in message or "--sep" in message
        report = fitted(capsys, path, "kind", "--ignore", "value", *how)
        assert report["classes"] == ["groß", "klein"]
        assert report["score"] == plain["score"]
    assert "no such encoding" in refused_fit(capsys, path, "kind", "--encoding", "klingon")
    assert "needs one character" in refused_fit(capsys, path, "kind", "--sep", "::")


def test_tabs_are_what_separates_in_tsv(tmp_path, capsys):
    path = write(tmp_path / "t.tsv", columns(), "\t")
    assert fitted(capsys, path, "kind", "--ignore", "value")["score"] > 0.8


def test_files_that_are_something_else(tmp_path, capsys):
    report = fitted(capsys, write(tmp_path / "t.csv", columns(kind=None)), "value")
    message = refused(capsys, "predict", tmp_path / "t.csv", report["model"])
    assert "not a fastmlp file" in message
    (tmp_path / "t.parquet").write_bytes(b"a,b\n1,2\n")
    assert "not a Parquet file" in refused_fit(capsys, tmp_path / "t.parquet", "a")
    (tmp_path / "empty.csv").write_bytes(b"")
    assert "has no rows" in refused_fit(capsys, tmp_path / "empty.csv", "a")
    assert "is a folder" in refused_fit(capsys, make_folder(tmp_path / "f.csv"), "a")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "p.csv")
        assert "not a regular file" in refused_fit(capsys, tmp_path / "p.csv", "a")


def make_folder(path):
    path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["list", "struct", "binary"])
def test_columns_of_no_numbers_and_no_texts_are_refused(kind, tmp_path, capsys):
    values = {"list": [[1, 2]] * N, "struct": [{"x": 1}] * N, "binary": [b"x"] * N}[kind]
    pq.write_table(pa.table({"a": A, "odd": values, "value": VALUE}), tmp_path / "t.parquet")
    assert "column 'odd' holds values of type" in refused_fit(capsys, tmp_path / "t.parquet", "value")
    assert "column 'odd' holds values of type" in refused_fit(capsys, tmp_path / "t.parquet", "odd")
    assert fitted(capsys, tmp_path / "t.parquet", "value", "--ignore", "odd")["columns"] == 1


# ------------------------------------------------------------------------------------------------------- the report


def test_the_report_says_what_it_should(tmp_path, capsys):
    more = {f"noise{i}": texts(np.random.default_rng(i).normal(size=N).round(3)) for i in range(12)}
    path = write(tmp_path / "t.csv", columns(**more, constant=["1"] * N))
    code, out, _ = run_here(capsys, "fit", path, "--target", "value", "--ignore", "kind", *QUICK)
    assert code == 0
    for part in (
        "95 % interval",
        "RMSE",
        "Columns left out: 'constant' (1 in every training row)",
        "and 4 more columns",
    ):
        assert part in out
    assert "typical error" not in out
    message = refused(capsys, "fit", path, "--target", "value", "--ignore", "kind", *QUICK)
    assert "--force replaces it" in message
    code, out, _ = run_here(capsys, "fit", path, "--target", "kind", "--ignore", "value", "--force", *QUICK)
    assert "95 % interval" in out


def test_an_average_that_is_worse_than_a_net_is_said(tmp_path, capsys, monkeypatch):
    from fastmlp.cli import fit_report

    report = fit_report.report
    monkeypatch.setattr(fit_report, "report", lambda *a: {**report(*a), "median_single_score": 2.0})
    _, out, _ = run_here(capsys, "fit", write(tmp_path / "t.csv", columns(kind=None)), "--target", "value", *QUICK)
    assert "The ensemble is worse here than its median net." in out


@pytest.mark.slow
def test_twelve_thousand_columns(tmp_path, capsys):
    rng = np.random.default_rng(0)
    names = [f"gene_{i:05}" for i in range(12_000)]
    X = rng.normal(size=(40, len(names)))
    pq.write_table(pa.table({**{n: X[:, i] for i, n in enumerate(names)}, "y": X[:, 0]}), tmp_path / "t.parquet")
    report = fitted(capsys, tmp_path / "t.parquet", "y", "--epochs", "2")
    assert report["columns"] == 12_000
    assert len(report["importance"]) == 200
    assert len(predictions(capsys, report["model"], tmp_path / "t.parquet")[0]) == 41
    long = tmp_path / "long.parquet"
    pq.write_table(pa.table({**{n * 30: X[:, i] for i, n in enumerate(names)}, "y": X[:, 0]}), long)
    assert "fit into a file of nets" in refused_fit(capsys, long, "y", "--epochs", "2")


def test_models_of_the_old_format_predict_as_before(capsys):
    with pytest.warns(UserWarning, match="older fastmlp"):
        rows, _ = predictions(capsys, DATA / "model-format-1.safetensors", DATA / "model-format-1.csv")
    assert rows[:3] == [["b", "spread"], ["2.25786", "1.70621"], ["2.2849", "0.747052"]]


# ------------------------------------------------------------------------------------------------------ outputs


def test_outputs_that_would_destroy_something_are_refused(tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(kind=None))
    before = path.read_bytes()
    report = fitted(capsys, path, "value")
    model = Path(report["model"])
    kept = model.read_bytes()
    (tmp_path / "link.csv").symlink_to(path)
    os.link(path, tmp_path / "hard.csv")
    for out in (path, tmp_path / "link.csv", tmp_path / "hard.csv", tmp_path / "." / "t.csv"):
        assert "which would be overwritten" in refused_fit(capsys, path, "value", "--out", out)
        assert "which would be overwritten" in refused(capsys, "predict", model, path, "--out", out)
    assert "that is the model" in refused(capsys, "predict", model, path, "--out", model)
    why = ("why", "--data", path, "--target", "value", "--restarts", 2, "--epochs", 2, "--no-fixes")
    assert "which would be overwritten" in refused(capsys, *why, "--no-picture", "--html", path)
    assert "which would be overwritten" in refused(capsys, *why, "--picture", path)
    same = tmp_path / "same"
    assert "that is the picture" in refused(capsys, *why, "--picture", same, "--html", same)
    places = [tmp_path, os.devnull]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        places.append(tmp_path / "pipe")
    for place in places:
        mode = os.stat(place).st_mode
        for command in (
            ("fit", path, "--target", "value", "--force", "--out", place),
            ("predict", model, path, "--out", place),
            (*why, "--no-picture", "--html", place),
            (*why, "--picture", place),
            ("xor", "--picture", place),
        ):
            assert "that is a" in refused(capsys, *command)
        assert os.stat(place).st_mode == mode
    assert "no folder" in refused_fit(capsys, path, "value", "--out", tmp_path / "none" / "x")
    assert "more than 255 bytes" in refused_fit(capsys, path, "value", "--out", tmp_path / ("x" * 256))
    assert (path.read_bytes(), model.read_bytes()) == (before, kept)


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_a_terminal_that_knows_few_letters(encoding, tmp_path, capsys):
    kind = texts(np.where(A + B > 10, "größer", "ł"))
    path = write(tmp_path / "t.csv", columns(kind=kind))
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "fastmlp"]
    done = subprocess.run(
        [*command, "fit", path, "--target", "value", "--ignore", "kind", *QUICK],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (b"R2 on the test rows" if encoding == "ascii" else "R²".encode(encoding)) in done.stdout
    report = fitted(capsys, path, "kind", "--ignore", "value")
    done = subprocess.run(
        [*command, "predict", report["model"], path], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {row[0] for row in csv.reader(done.stdout.decode("utf-8").splitlines()[1:])} == {"größer", "ł"}
    done = subprocess.run(
        [*command, "predict", report["model"], path, "--out", tmp_path / "out.csv"],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert "größer" in (tmp_path / "out.csv").read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------- why


def test_why_takes_tables_as_fit_does(tmp_path, capsys):
    table = columns(constant=["2"] * N, kind=texts(np.where(A + B > 10, "big", "small")))
    path = write(tmp_path / "t.csv", table, sep=";")
    why = ("why", "--data", path, "--target", "kind", "--restarts", 4, "--epochs", 20, "--no-picture", "--no-fixes")
    assert "--sep ';'" in refused(capsys, *why)
    code, out, _ = run_here(capsys, *why, "--sep", ";", "--ignore", "value")
    assert code == 0
    assert "Scaled to mean 0 and standard deviation 1: 'a', 'b'" in out
    assert "Columns left out: 'constant'" in out
    assert "2-8-1" in out
    code, out, err = run_here(capsys, *why, "--sep", ";", "--ignore", "value", "--json")
    assert json.loads(out)["nets"] == 4
    assert "Scaled to mean 0" in err


def test_why_chooses_fewer_restarts_for_more_work():
    from fastmlp.cli.why import MOST_RESTARTS, _restarts_within_a_minute

    small, large = fastmlp.Architecture((2, 4, 1)), fastmlp.Architecture((30, 64, 3), output="softmax")
    assert _restarts_within_a_minute(small, 4, 2000) == MOST_RESTARTS
    assert 300 < _restarts_within_a_minute(fastmlp.Architecture((4, 8, 3), output="softmax"), 150, 2000) < 2000
    assert _restarts_within_a_minute(large, 100_000, 2000) == 50


def test_an_interrupt_leaves_what_is_known(tmp_path, capsys, monkeypatch):
    from fastmlp.diagnosis.retraining import Retraining

    rng = np.random.default_rng(0)
    path = write(tmp_path / "t.csv", {"a": texts(rng.normal(size=60)), "kind": texts(rng.integers(0, 2, 60))})
    why = ("why", "--data", path, "--target", "kind", "--restarts", 20, "--epochs", 40, "--no-picture")
    trials, again = [], Retraining.again

    def interrupted(self, call, X, y, net_ids, **changes):
        trials.extend([call] if len(X) == 60 else [])  # not the folds
        if len(trials) == 2:
            raise KeyboardInterrupt
        return again(self, call, X, y, net_ids, **changes)

    monkeypatch.setattr(Retraining, "again", interrupted)
    code, out, err = run_here(capsys, *why)
    assert code == 130
    assert "Why the others are not" in out
    assert "The same seeds with one change" in out
    assert "this is what is known so far" in err


# ------------------------------------------------------------------------------------ what a first reader tried


@pytest.mark.parametrize("na", ["-999", "-999.0"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_numbers_may_stand_for_missing(na, suffix, tmp_path, capsys):
    values = A.copy()
    values[::5] = -999
    path = tmp_path / f"t{suffix}"
    if suffix == ".csv":
        write(path, columns(a=texts(values), kind=None))
    else:
        pq.write_table(pa.table({"a": values, "b": B, "value": VALUE}), path)
    report = fitted(capsys, path, "value", "--na", na, "--epochs", "200")
    assert report["missing"] == {"a": 40}
    _, err = predictions(capsys, report["model"], path)
    assert "column 'a': 40 missing values are replaced by the mean" in err


@pytest.mark.parametrize("where", ["end of file", "later quote", "label"])
def test_a_quote_that_swallows_rows_is_refused(where, tmp_path, capsys):
    notes = [f"x{i % 3}" for i in range(N)]
    notes[100] = '"5 inch'
    if where == "later quote":
        notes[180] = 'x1"'
    table = {"a": texts(A), "value": texts(VALUE), "notes": notes}
    message = refused_fit(capsys, write(tmp_path / "t.csv", table), "notes" if where == "label" else "value")
    assert "in row 101 column 'notes' holds" in message
    assert "quote opened there and not closed?" in message
    (tmp_path / "new.csv").write_text('a,t\n10,x1\n11,"x2\n12,x0\n13,x0\n')
    model = fitted(
        capsys,
        write(tmp_path / "m.csv", {"a": texts(A), "t": [f"x{i % 3}" for i in range(N)], "value": texts(VALUE)}),
        "value",
    )["model"]
    assert "in row 2" in refused(capsys, "predict", model, tmp_path / "new.csv")


def test_line_breaks_in_a_field_are_read(tmp_path, capsys):
    kind = [f'"{k}\nof a kind"' for k in KIND]
    report = fitted(capsys, write(tmp_path / "t.csv", columns(kind=kind)), "kind", "--ignore", "value")
    assert report["classes"] == ["big\nof a kind", "small\nof a kind"]


def test_blank_lines_of_one_column_are_missing_values(tmp_path, capsys):
    model = fitted(capsys, write(tmp_path / "t.csv", {"a": texts(A), "value": texts(VALUE)}), "value")["model"]
    (tmp_path / "new.csv").write_text("a\n10\n\n12\n\n8\n")
    rows, err = predictions(capsys, model, tmp_path / "new.csv")
    assert len(rows) == 6
    assert "column 'a': 2 missing values" in err


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "userid",
        "PATID",
        "ROWID",
        "EmployeeNumber",
        "order_number",
        "row_num",
        "ID_",
        "id.1",
        "level_0",
        "Unnamed: 0.1",
        "#",
        "obs",
        "sample",
        "__index_level_0__",
    ],
)
def test_numbers_of_rows_with_gaps_and_other_names_of_ids(name, tmp_path, capsys):
    numbers = np.delete(np.arange(N + 9), [3, 17, 18, 60, 61, 62, 140, 150, 199])
    if name != "x":
        numbers = np.cumsum(np.random.default_rng(3).integers(1, 60, N))
        numbers[7] = numbers[6]
    noise = np.random.default_rng(5).normal(size=N)
    table = {name: texts(numbers), "noise": texts(noise), "kind": texts(np.where(SORTED, "x", "y"))}
    assert list(fitted(capsys, write(tmp_path / "t.csv", table), "kind")["left_out"]) == [name]


def test_rows_keep_their_numbers_when_others_are_dropped(tmp_path, capsys):
    values, a = texts(VALUE), texts(A)
    values[0] = values[1] = values[2] = ""
    a[9] = "five"
    path = write(tmp_path / "t.csv", columns(value=values, a=a, kind=None))
    assert "row 10 holds 'five'" in refused_fit(capsys, path, "value", "--drop-missing")


def test_whole_numbers_beyond_float64(tmp_path, capsys):
    large = pa.array([2**63 + 7 * (i % 57) for i in range(N)], pa.uint64())
    pq.write_table(pa.table({"a": A, "n": large, "value": VALUE}), tmp_path / "t.parquet")
    assert "differ only beyond float64's precision" in refused_fit(capsys, tmp_path / "t.parquet", "n")
    report = fitted(capsys, tmp_path / "t.parquet", "value")
    assert report["left_out"] == {"n": "numbers that differ only beyond float64's precision"}


def test_names_that_look_like_numbers(tmp_path, capsys):
    code = [f"{i % 30:04}" for i in range(N)]
    path = write(tmp_path / "t.csv", columns(code=code, kind=None))
    assert fitted(capsys, path, "code", "--text", "code")["task"] == "classification"
    assert fitted(capsys, path, "value", "--text", "code")["inputs"] == 32
    assert "that column is the target" in refused_fit(capsys, path, "value", "--ignore", "value")
    assert "also said to be" in refused_fit(capsys, path, "value", "--ignore", "a", "--keep", "a")
    frame = pandas.DataFrame({"code": code, "cat": pandas.Categorical(np.arange(N) % 30), "value": VALUE})
    frame.to_parquet(tmp_path / "t.parquet")
    report = fitted(capsys, tmp_path / "t.parquet", "value")
    assert report["inputs"] == 31
    assert "numbers that are stored as text are read as numbers" in report["notices"][0]
    assert len(fitted(capsys, tmp_path / "t.parquet", "cat")["classes"]) == 30


def test_headers_of_exports(tmp_path, capsys):
    body = "".join(f'"{a}","{v}"\n' for a, v in zip(A, VALUE, strict=True))
    (tmp_path / "t.csv").write_text('\ufeff"a, m","value"\n' + body, encoding="utf-8")
    report = fitted(capsys, tmp_path / "t.csv", "value")
    assert list(report["importance"]) == ["a, m"]
    (tmp_path / "open.csv").write_text('a,"b\n1,2\n')
    assert "quote" in refused_fit(capsys, tmp_path / "open.csv", "a")
    (tmp_path / "space.csv").write_text("a,kind\n" + "".join(f'{a}, "{k}"\n' for a, k in zip(A, KIND, strict=True)))
    assert "a space before a quote" in refused_fit(capsys, tmp_path / "space.csv", "kind")
    (tmp_path / "z.csv").write_bytes(b"\x1f\x8b\x08\x00")
    assert "is compressed" in refused_fit(capsys, tmp_path / "z.csv", "a")


def test_predictions_replace_predictions_alone(tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(kind=None))
    report = fitted(capsys, path, "value")
    other = write(tmp_path / "other.csv", columns())
    out = tmp_path / "out.csv"
    for _ in range(2):
        assert run_here(capsys, "predict", report["model"], path, "--out", out)[0] == 0
    for place in (other, Path(fitted(capsys, other, "kind", "--ignore", "value")["model"])):
        before = place.read_bytes()
        assert "--force replaces it" in refused(capsys, "predict", report["model"], path, "--out", place)
        assert place.read_bytes() == before
    assert run_here(capsys, "predict", report["model"], path, "--out", other, "--force")[0] == 0


def test_values_far_beyond_training(tmp_path, capsys):
    report = fitted(capsys, write(tmp_path / "t.csv", columns(kind=None)), "value")
    (tmp_path / "new.csv").write_text("a,b\n10,0\n1e60,0\n")
    assert "column 'a': row 2 holds 1e+60" in refused(capsys, "predict", report["model"], tmp_path / "new.csv")
    values = texts(A)
    values[3] = "1e9"
    report = fitted(capsys, write(tmp_path / "u.csv", columns(a=values, kind=None)), "value", "--seed", "2")
    assert any("row 4 is an outlier" in note for note in report["notices"]) or report["columns"] == 2


def test_options_that_begin_with_a_minus(tmp_path, capsys):
    values = texts(A)
    values[3] = "--"
    path = write(tmp_path / "t.csv", columns(a=values, kind=None))
    assert fitted(capsys, path, "value", "--na=--")["missing"] == {"a": 1}
    values[3] = "-x"
    path = write(tmp_path / "t.csv", columns(a=values, kind=None))
    assert "--na='-x'" in refused_fit(capsys, path, "value")
    assert "--seed=-1" in refused_fit(capsys, path, "value", "--seed", "-1")


# ------------------------------------------------------------------------------------- what a second reader tried


@pytest.mark.parametrize("names", [("y", "y "), (" a", "a"), ("value", "value\t")])
def test_names_that_differ_in_blanks_are_one_name(names, tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(kind=None), names=["b", *names])
    assert "columns have the name" in refused_fit(capsys, path, names[0])


def test_texts_that_differ_in_blanks_are_told(tmp_path, capsys):
    kind = [f"{k} " if i % 3 == 0 and k == "big" else k for i, k in enumerate(KIND)]
    path = write(tmp_path / "t.csv", columns(kind=kind))
    assert "differ only in spaces" in fitted(capsys, path, "kind", "--ignore", "value")["notices"][0]
    assert "differ only in spaces" in fitted(capsys, path, "value")["notices"][0]


@pytest.mark.parametrize("form", ["{} kg", "<{}", "−{}", "£{}k", "({})", "₹{}", "~{}", "{}°C", "{}cm²", "± {}"])
def test_numbers_with_units_and_signs_are_no_texts(form, tmp_path, capsys):
    values = [form.format(20 + i % 30) for i in range(N)]
    path = write(tmp_path / "t.csv", columns(a=values))
    assert "values are numbers; row 1 holds" in refused_fit(capsys, path, "value", "--ignore", "kind")
    assert "values are numbers; row 1 holds" in refused_fit(capsys, path, "a", "--ignore", "kind")
    assert fitted(capsys, path, "value", "--ignore", "kind", "--text", "a")["inputs"] == 31


def test_a_few_codes_with_digits_are_texts(tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(a=[f"{i % 3}b" for i in range(N)]))
    assert fitted(capsys, path, "kind", "--ignore", "value")["inputs"] == 4


def test_few_targets_that_are_too_large(tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(kind=[repr(1e300 * (1 + i % 9)) for i in range(N)]))
    assert "too large to learn" in refused_fit(capsys, path, "kind")
    assert len(fitted(capsys, path, "kind", "--task", "classification")["classes"]) == 9


def test_names_of_rows_are_left_out_however_many(tmp_path, capsys):
    names = [f"P{i:05}" for i in range(N)]
    path = write(tmp_path / "t.csv", columns(Patient=names, kind=None))
    assert list(fitted(capsys, path, "value")["left_out"]) == ["Patient"]
    path = write(tmp_path / "u.csv", {"n": names, "a": texts(A), "value": texts(VALUE)}, names=["", "a", "value"])
    assert list(fitted(capsys, path, "value")["left_out"]) == ["column 1 (without a name)"]


def test_constants_of_float32(tmp_path, capsys):
    near = np.where(np.arange(N) % 2, np.float32(14.62), np.nextafter(np.float32(14.62), np.float32(15)))
    pq.write_table(pa.table({"a": A, "c": near.astype(np.float32), "value": VALUE}), tmp_path / "t.parquet")
    assert list(fitted(capsys, tmp_path / "t.parquet", "value")["left_out"]) == ["c"]


def test_moments_at_equal_distances_are_numbers_of_rows(tmp_path, capsys):
    moments, noise = 1_700_000_000 + 61 * np.arange(N), np.random.default_rng(5).normal(size=N)
    table = {"t": texts(moments), "noise": texts(noise), "kind": texts(np.where(SORTED, "x", "y"))}
    report = fitted(capsys, write(tmp_path / "t.csv", table), "kind")
    assert "rise from row to row" in report["left_out"]["t"]


def test_utf_16_is_told_by_its_mark(tmp_path, capsys):
    path = write(tmp_path / "t.csv", columns(), encoding="utf-16")
    assert "pass --encoding utf-16" in refused_fit(capsys, path, "value")
