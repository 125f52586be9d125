"""Lines, the result alone, or JSON; and bars that are plain lines in a file."""

import io
import json
import sys

import pytest
from projects import stages_of

from dmnet_lib.core import files
from dmnet_lib.running import cli, output

BAR = "\rMCNN:   0%|   | 0/9\rMCNN:  50%|## | 4/9"


def plain(every_s: float) -> tuple[output.Plain, io.StringIO]:
    stream = io.StringIO()
    return output.Plain(stream, every_s), stream


def test_bars_become_lines_and_all_else_stays() -> None:
    said, stream = plain(0.0)
    last = ("\x1b[A", "\rMCNN: 100%|###| 9/9", "\n")
    for text in (BAR, *last, "warning: odd\n", "\n", "x\r\n", "end"):
        said.write(text)
    shown = ["MCNN:  50%|## | 4/9", "MCNN: 100%|###| 9/9", "warning: odd", "", "x", "end"]
    assert stream.getvalue().split("\n") == shown
    assert not said.isatty()


def test_a_bar_is_at_most_one_line_in_a_while() -> None:
    said, stream = plain(60.0)
    said.write(f"{BAR}\nodd\r{BAR}\nodd\n")
    assert stream.getvalue() == "odd\n"
    said._said_s -= 61
    said.write(BAR)
    said.write(BAR)
    assert stream.getvalue() == "odd\nMCNN:  50%|## | 4/9\n"


def test_standard_error_is_left_alone_on_a_terminal_unless_quiet(monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    before = sys.stderr
    with output.plain_errors():
        assert sys.stderr is before
    with output.plain_errors(is_quiet=True):
        assert not sys.stderr.isatty()
        sys.stderr.write("an error\n")
    assert sys.stderr is before


@pytest.fixture
def annotated(tmp_path):
    """A COCO file of one image with one box."""
    image = {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    value = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "boat"}]}
    return files.write_json(tmp_path / "a.json", value)


def test_quiet_is_the_result_alone(annotated, tmp_path, said) -> None:
    convert = ("convert", annotated, "--to", "coco", "--out", tmp_path / "b.json")
    lines = said(*convert)
    assert len(lines) == 2 and said(*convert, "--quiet") == lines[-1:]


def test_json_is_what_was_found(annotated, tmp_path, said) -> None:
    def found(*command: object) -> dict:
        return json.loads("\n".join(said(*command, "--json")))

    made = found("convert", annotated, "--to", "yolo", "--out", tmp_path / "yolo")
    assert (made["images"], made["boxes"], made["dropped"]) == (1, 1, {})
    assert found("data", "check", annotated)["errors"] == []
    made = found("crops", annotated, "--no-images", "--out", tmp_path / "crops")
    assert (made["images"], made["objects"], made["containment_rate"]) == (1, 1, 0)
    empty = files.write_json(tmp_path / "none.json", [])
    given = ("--ground-truth", annotated, "--detections", empty, "--protocol", "coco")
    assert found("evaluate", *given, "--out", tmp_path / "m.json")["AP"] == 0
    assert "usage: dmnet" in found("help")["lines"][0]  # of a command without a result


def test_json_of_a_check_is_said_though_the_check_fails(tmp_path, capsys) -> None:
    folder = tmp_path / "val"
    files.write_text(folder / "annotations" / "a.txt", "1,2\n")
    assert cli.main(["data", "check", str(folder), "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["errors"] and "errors" in shown.err


def test_a_setting_makes_an_experiment_of_its_own(tmp_path, monkeypatch, said, refused) -> None:
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path))
    given = ("run", "tiny", "--dry-run", "--set", "06_evaluation.level=0.9")
    found = json.loads(said(*given, "--json")[0])
    assert found["experiment"] == "tiny-level-0_9" and len(found["stages"]) == 8
    assert {"stage", "key", "run", "why"} == {*found["stages"][0]}
    named = said(*given, "--set", "common.seed=3", "--name", "mine", "--until", "1", "--json")[0]
    assert json.loads(named)["experiment"] == "mine" and len(json.loads(named)["stages"]) == 2
    assert list(stages_of(said("run", "tiny", "--dry-run", "--until", "00"))) == ["00_dataset"]
    assert "is another parameter file's" in refused(*given, "--name", "demo")
    assert "takes one value, once" in refused(*given, "--set", "06_evaluation.level=0.8")
    assert "did you mean level" in refused("run", "tiny", "--set", "06_evaluation.levle=0.9")
    assert "did you mean tiny?" in refused("run", "tyni")
    assert not any(tmp_path.iterdir())
