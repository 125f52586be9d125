from pathlib import Path

import pytest
import yaml

from dmnet_lib.core import official, params
from dmnet_lib.core.files import InputError

BASE = """\
# every parameter
common:
  seed: 0  # [0, inf) of every random draw
  data_root: data  # folder, relative to the project
02_train:
  learning_rate: 1e-3  # (0, 1] step of the optimiser
  epochs: 4  # [1, 1000] passes over the images
  kernel: fixed  # {fixed, class_wise, adaptive} width of the Gaussians
  flip: true  # mirror half of the images
  steps: 2  # [1, inf) epochs after which the rate falls
03_crops:
  threshold: 0.08  # [0, inf) objects in a window
"""
TOGETHER = """\
common:
  dataset: scenes  # {scenes, coco} where data comes from
  profile: corrected  # {corrected, official} rules
  profile_changes: []  # single rules
00_data:
  count: 4  # [1, inf) images; only with dataset: scenes
03_crops:
  threshold: calibrated  # {calibrated} or (0, 9] objects in a window
  target: 0.9  # (0, 1] share; only with threshold: calibrated
  budgets: [6, 0.5Mpx]  # crops
  merge: nms  # {nms, mean} of boxes; not with top_rule: misplaced; not with target: 0.5
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(BASE, encoding="utf-8")
    return path


def experiment(base: Path, text: str, name: str = "x.yaml") -> params.Experiment:
    path = base.parent / name
    path.write_text(text, encoding="utf-8")
    return params.load(path, base_path=base)


def fault(base: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        experiment(base, text)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("text", ["", "# Is the base as good?\n", "{}\n"])
def test_an_empty_file_changes_nothing(base: Path, text: str) -> None:
    found = experiment(base, text)
    assert found.changed == {}
    assert params.of_stage(found.sections, "03_crops", ["seed"]) == {"seed": 0, "threshold": 0.08}
    base.write_text("")
    assert params.declared(base) == {}


def test_name_and_question_come_from_the_file(base: Path) -> None:
    text = "# Do fewer epochs do?\n02_train:\n  epochs: 2\n  learning_rate: 0.001\n"
    found = experiment(base, text, "few_epochs.yaml")
    assert (found.name, found.question) == ("few_epochs", "Do fewer epochs do?")
    assert found.changed == {"02_train": {"epochs": 2}}  # the rate is the base's


def test_declarations_carry_range_choices_and_help(base: Path) -> None:
    known = params.declared(base)["02_train"]
    assert known["epochs"] == params.Parameter(
        "epochs", "02_train", 4, "[1, 1000]", "passes over the images"
    )
    assert known["kernel"].allowed == "{fixed, class_wise, adaptive}"
    assert (known["flip"].allowed, known["flip"].help) == ("", "mirror half of the images")
    assert (known["steps"].default, known["steps"].allowed) == (2, "[1, inf)")


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-6", 1e-6), ("1E-6", 1e-6), (".5", 0.5), ("1", 1.0), ("1.", 1.0), ("+0.25", 0.25)],
)
def test_numbers_are_read_as_people_mean_them(base: Path, written: str, value: float) -> None:
    found = experiment(base, f"02_train: {{learning_rate: {written}}}").sections["02_train"]
    assert found["learning_rate"] == value
    assert type(found["learning_rate"]) is float


@pytest.mark.parametrize("written", ["yes", "off", "010", "12:30", "0x1f", "1_000", "2020-01-01"])
def test_text_stays_text(base: Path, written: str) -> None:
    found = experiment(base, f"common: {{data_root: {written}}}")
    assert found.sections["common"]["data_root"] == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("02_train: {learning_rat: 1.0}", "no such parameter; did you mean learning_rate?"),
        ("02_train: {threshold: 1.0}", "threshold: no such parameter; it belongs to 03_crops"),
        ("02_train: {seed: 1}", "02_train.seed: no such parameter; it belongs to common"),
        ("02_trian: {epochs: 1}", "02_trian: no such section; did you mean 02_train?"),
        ("02_train: {epochs: 1.0}", "02_train.epochs: expected a whole number, got 1.0 (a number)"),
        ("02_train: {flip: 1}", "02_train.flip: expected true or false, got 1 (a whole number)"),
        ("02_train: {flip: yes}", "02_train.flip: expected true or false, got 'yes' (text)"),
        ("02_train: {epochs: }", "02_train.epochs: expected a whole number, got nothing"),
        ("02_train: {epochs: {a: 1}}", "02_train.epochs: expected a whole number, got a mapping"),
        ("02_train: {epochs: 1001}", "02_train.epochs: 1001 is outside [1, 1000]"),
        ("02_train: {learning_rate: 0.0}", "02_train.learning_rate: 0.0 is outside (0, 1]"),
        ("02_train: {learning_rate: .nan}", "02_train.learning_rate: nan is not a finite number"),
        ("02_train: {learning_rate: 1e999}", "02_train.learning_rate: inf is not a finite number"),
        ("02_train: {steps: [3]}", "02_train.steps: expected a whole number, got [3] (a list)"),
        ("02_train: {kernel: fix}", "one of fixed, class_wise, adaptive; did you mean fixed?"),
        ("02_train:\n  epochs: 1\n  epochs: 2\n", "line 3: epochs is given twice"),
        ("02_train: {epochs: 1}\n02_train: {epochs: 1}\n", "line 2: 02_train is given twice"),
        ("02_train: [1", "line 1: "),
        ("02_train: !!python/name:os.system ''", "line 1: could not determine a constructor"),
        ("- 1", "expected sections with `name: value` lines below them"),
        ("02_train:", "expected sections with `name: value` lines below them"),
    ],
)
def test_a_flaw_is_named_with_its_place_and_remedy(base: Path, text: str, message: str) -> None:
    assert message in fault(base, text)
    assert "x.yaml: " in fault(base, text)


def test_a_missing_or_binary_file_is_named(base: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such parameter file"):
        params.load(base.parent / "none.yaml", base_path=base)
    (base.parent / "bin.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bin\.yaml: not a text file"):
        params.load(base.parent / "bin.yaml", base_path=base)
    with pytest.raises(InputError, match="rename it"):
        experiment(base, "", "my {run}.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("common: {a: 1.0}  # none\n", "common.a: its comment must open with a range"),
        ("common:\n  a: 7  # [0, 1] too big\n", "common.a: 7 is outside"),
    ],
)
def test_a_flaw_of_the_base_is_found(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "base.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        params.declared(tmp_path / "base.yaml")


VALUES = {"a": 1e-05, "b": "1e-5", "c": "yes", "e": True, "g": "010", "h": 3, "i": "a: b # c",
          "j": -1e22, "k": "ü {x}\n", "l": "", "m": "null", "o": 2.0}  # fmt: skip


@pytest.mark.parametrize("loader", [params.Loader, yaml.SafeLoader])
def test_dumped_values_come_back_in_type_and_value(loader: type) -> None:
    assert params.parse(params.dump({})) == {}
    back = yaml.load(params.dump(dict(reversed(VALUES.items()))), Loader=loader)
    assert back == VALUES
    assert [type(back[name]) for name in back] == [type(VALUES[name]) for name in back]


@pytest.fixture
def together(tmp_path: Path) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(TOGETHER, encoding="utf-8")
    return path


@pytest.mark.parametrize("written", ["0.2", "2", "calibrated"])
def test_a_word_or_a_number_is_taken(together: Path, written: str) -> None:
    found = experiment(together, f"03_crops: {{threshold: {written}}}").sections["03_crops"]
    assert found["threshold"] == ("calibrated" if written == "calibrated" else float(written))
    assert type(found["threshold"]) in (float, str)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{threshold: calibrate}", "is not one of calibrated; did you mean calibrated?"),
        ("{threshold: high}", "high is not one of calibrated or a number"),
        ("{threshold: 10}", "10.0 is outside {calibrated} or (0, 9]"),
        ("{threshold: true}", "expected text, got True"),
        ("{calibrate: true}", "03_crops.calibrate is no parameter any more: write threshold: cal"),
        ("{budgets: [[1]]}", "budgets: expected a list of texts and numbers, got [[1]]"),
        ("{budgets: }", "budgets: expected a list of texts and numbers, got None"),
    ],
)
def test_what_is_neither_word_number_nor_list_is_told(together, text, message) -> None:
    assert message in fault(together, f"03_crops: {text}")


@pytest.mark.parametrize("written", ["[6, 0.5Mpx]", '"6, 0.5Mpx"', "6,0.5Mpx", '["6", 0.5Mpx]'])
def test_lists_are_the_same_however_they_are_written(together: Path, written: str) -> None:
    found = experiment(together, f"03_crops: {{target: 0.8, budgets: {written}}}".replace(
        "budgets: 6,0.5Mpx", "budgets: '6,0.5Mpx'"))  # fmt: skip
    assert found.changed == {"03_crops": {"target": 0.8}}
    assert params.parse(params.dump({"budgets": [6, "0.5Mpx", "a: b"]}))["budgets"][2] == "a: b"
    assert params.dump({"budgets": [6, "0.5Mpx"]}) == "budgets: [6, 0.5Mpx]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("common: {dataset: coco}\n00_data: {count: 3}",
         "x.yaml: 00_data: count counts only with dataset: scenes; remove it or set dataset: sce"),
        ("03_crops: {threshold: 0.2, target: 0.8}",
         "03_crops: target counts only with threshold: calibrated; remove it or set thre"),
        ("03_crops: {merge: mean, target: 0.5}",
         "merge counts not with target: 0.5; remove it or change target"),
        ("common: {profile: official}\n03_crops: {merge: mean}", "not with top_rule: misplaced"),
        ("common: {profile_changes: [image_ids=from_0]}", "no stage goes by image_ids"),
    ],
)  # fmt: skip
def test_a_value_that_does_nothing_is_refused(together: Path, text: str, message: str) -> None:
    assert message in fault(together, text)


def test_a_value_that_counts_or_is_the_default_is_taken(together: Path) -> None:
    kept = "common: {profile: official, profile_changes: {top_rule: best}}\n"
    kept += "03_crops: {merge: mean, target: 0.8, threshold: calibrated}"
    assert experiment(together, kept).changed["03_crops"] == {"merge": "mean", "target": 0.8}
    found = experiment(together, "03_crops: {threshold: 0.2, target: 0.9}")
    assert found.changed == {"03_crops": {"threshold": 0.2}}
    known = params.declared(together)
    sections = found.sections | {"03_crops": found.sections["03_crops"] | {"target": 0.7}}
    assert params.without_idle(sections, known) == found.sections


def test_every_condition_of_base_yaml_names_what_there_is() -> None:
    known = params.declared()
    for section, own in known.items():
        around = {**known[params.COMMON], **own}
        for condition in [c for one in own.values() for c in one.conditions]:
            if condition.name not in official.BY_NAME:
                for value in condition.values:
                    where = f"{section}: {condition}"
                    assert params.check(around[condition.name], value, where) == value


def test_a_rule_that_no_profile_has_stops_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text('common: {profile_changes: "conectivity=4"}')
    with pytest.raises(InputError, match="profile_changes: no rule is called"):
        params.load(tmp_path / "rules.yaml")
