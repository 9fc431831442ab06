"""The commands `fastmlp fit` and `fastmlp predict`."""

import csv
import json

import numpy as np
import pytest

import fastmlp
from fastmlp.cli.main import main

pytest.importorskip("safetensors")
pandas = pytest.importorskip("pandas")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def flowers(tmp_path):
    """150 rows: two numbers, one with gaps, a text; the class follows from them."""
    rng = np.random.default_rng(0)
    size, age = rng.normal(5, 2, 150), rng.uniform(0, 10, 150)
    colour = rng.choice(["red", "blue"], 150)
    kind = np.where(size > 5, np.where(colour == "red", "rose", "iris"), "moss")
    frame = pandas.DataFrame({"size": size, "age": age, "colour": colour, "kind": kind, "value": size * 3 + 1})
    frame.loc[[3, 7], "age"] = np.nan
    frame.to_csv(tmp_path / "flowers.csv", index=False)
    frame.to_parquet(tmp_path / "flowers.parquet")
    return tmp_path / "flowers.csv"


def report_of(capsys, *arguments):
    assert main(["fit", *map(str, arguments), "--json", "--no-progress", "--force"]) == 0
    return json.loads(capsys.readouterr().out)


def test_classes_are_learnt_and_predicted(flowers, capsys):
    report = report_of(capsys, flowers, "--target", "kind", "--ignore", "value", "--members", 8)
    assert report["task"] == "classification"
    assert report["rows"] == {"test": 30, "validation": 24, "train": 96}
    assert report["inputs"] == 4  # size, age, and two colours
    assert report["missing"] == {"age": 2}
    assert report["score"] > 0.85 > report["baseline"]
    assert np.sum(report["confusion"]) == 30
    assert list(report["importance"])[-1] == "age"
    model = flowers.with_suffix(".safetensors")
    assert len(fastmlp.load(model)) == 8
    out = flowers.with_name("out.csv")
    assert main(["predict", str(model), str(flowers.with_suffix(".parquet")), "--out", str(out)]) == 0
    rows = list(csv.reader(out.read_text().splitlines()))
    assert rows[0] == ["kind", "P(iris)", "P(moss)", "P(rose)"]
    truth = pandas.read_csv(flowers)["kind"]
    assert np.mean([row[0] == true for row, true in zip(rows[1:], truth, strict=True)]) > 0.9
    assert all(abs(sum(map(float, row[1:])) - 1) < 1e-4 for row in rows[1:])


def test_numbers_are_learnt_and_predicted(flowers, capsys):
    report = report_of(capsys, flowers, "--target", "value", "--members", 4, "--hidden", "16-8", "--dropout", 0.05)
    assert report["task"] == "regression"
    assert report["score"] > 0.95
    assert report["rmse"] < 0.3 * report["baseline"]
    assert main(["predict", report["model"], str(flowers)]) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert rows[0] == ["value", "spread"]
    predicted = np.array([float(row[0]) for row in rows[1:]])
    assert np.corrcoef(predicted, pandas.read_csv(flowers)["value"])[0, 1] > 0.97


def test_the_report_reads_as_text_and_the_seed_fixes_it(flowers, capsys):
    texts = []
    for _ in range(2):
        arguments = ["--target", "kind", "--members", "3", "--epochs", "30", "--bootstrap", "--force"]
        assert main(["fit", str(flowers), *arguments]) == 0
        texts.append([line for line in capsys.readouterr().out.splitlines() if "trained in" not in line])
    assert texts[0] == texts[1]
    text = "\n".join(texts[0])
    for part in ("Classification of 'kind' from 4 columns", "Right on the test rows", "true / predicted", "Saved to"):
        assert part in text


def test_two_classes_need_one_output(flowers, capsys):
    frame = pandas.read_csv(flowers)
    frame["kind"] = np.where(frame["size"] > 5, "big", "small")
    frame["flag"] = frame["size"] > 4
    frame.to_csv(flowers, index=False)
    report = report_of(capsys, flowers, "--target", "kind", "--members", 4)
    assert report["score"] > 0.9
    assert fastmlp.load(report["model"]).architecture.sizes[-1] == 1
    assert main(["predict", report["model"], str(flowers)]) == 0
    heading, first = capsys.readouterr().out.splitlines()[:2]
    assert heading == "kind,P(big),P(small)"
    kind, big, small = first.split(",")
    assert (kind == "big") == (float(big) > float(small))


REFUSED = [
    (["--target", "nothing"], "no column 'nothing'; there are 'size'"),
    (["--target", "kind", "--ignore", "nothing"], "no column 'nothing'"),
    (["--target", "kind", "--task", "regression"], "needs a numeric target"),
    (["--target", "age"], "lacks 2 values, the first in row 4"),
    (["--target", "kind", "--test", "1"], "--test 1.0: needs a share"),
    (["--target", "kind", "--dropout", "2"], "dropout"),
    (["--target", "kind", "--activation", "swish"], "swish"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_bad_options_are_refused_in_one_line(flowers, capsys, arguments, message):
    assert main(["fit", str(flowers), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_bad_files_are_refused_in_one_line(flowers, capsys):
    folder = flowers.parent
    (folder / "empty.csv").write_text("a,b\n")
    (folder / "few.csv").write_text("a,b\n1,2\n2,3\n")
    (folder / "ids.csv").write_text("id,b\n" + "".join(f"x{i},{i % 2}\n" for i in range(99)))
    (folder / "same.csv").write_text("a,b\n" + "1,2\n" * 30)
    for name, target, message in [
        ("empty.csv", "a", "has no rows"),
        ("few.csv", "a", "too few"),
        ("ids.csv", "b", "--ignore 'id'"),
        ("same.csv", "b", "nothing to predict"),
        ("none.csv", "b", "no such file"),
        ("x.txt", "b", "ends in .csv"),
    ]:
        assert main(["fit", str(folder / name), "--target", target]) == 2
        assert message in capsys.readouterr().err
    report = report_of(capsys, flowers, "--target", "kind", "--members", 2, "--epochs", 3)
    (folder / "less.csv").write_text("size,age\n1,2\n")
    assert main(["predict", report["model"], str(folder / "less.csv")]) == 2
    assert "no column 'colour'" in capsys.readouterr().err
    fastmlp.train(fastmlp.Architecture((2, 1)), [[0, 1]], [1], epochs=0).save(folder / "plain.safetensors")
    assert main(["predict", str(folder / "plain.safetensors"), str(flowers)]) == 2
    assert "not a model of `fastmlp fit`" in capsys.readouterr().err


def test_texts_that_look_like_numbers_stay_texts(flowers, capsys):
    rows = "".join(f"{'01' if i % 2 else 'x1' if i % 3 else '1.50'},{i % 2},{1e6 + i % 2}\n" for i in range(60))
    flowers.write_text("code,kind,number\n" + rows)
    report = report_of(capsys, flowers, "--target", "kind", "--ignore", "number", "--members", 2)
    assert report["score"] == 1.0
    assert report["classes"] == ["0", "1"]
    flowers.write_text("code\n01\n1.50\n07\n")  # numbers alone, one of them new
    assert main(["predict", report["model"], str(flowers)]) == 0
    out, err = capsys.readouterr()
    assert [line[0] for line in out.splitlines()[1:3]] == ["1", "0"]
    assert "column 'code': 1 values did not occur in training" in err
    flowers.write_text("code,kind,number\n" + rows)
    report = report_of(capsys, flowers, "--target", "number", "--ignore", "code", "--members", 2, "--epochs", 5)
    assert report["classes"] == ["1000000.0", "1000001.0"]
