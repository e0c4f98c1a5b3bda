"""Judges that installed packages bring: found by name, checked in what they return, told in provenance."""

import re
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from configurations import REPOSITORY, configuration

from reedit.errors import InputError
from reedit.evaluate.judge import Said, load_judge
from reedit.evaluate.judge_plugins import package_of, plugin_of
from reedit.settings.experiment import Experiment

PAGE = (REPOSITORY / "docs/extend.md").read_text(encoding="utf-8")
ANSWERED = [Said("Kyoto lies in", ("Japan",), "Japan."), Said("Rome lies in", ("Italy",), "Japan.")]


def block(language: str) -> str:
    """What docs/extend.md has of a language on the judge."""
    return re.search(rf"^```{language} judge\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs a package whose module `my_judge` has this code."""
    place = tmp_path / "packages"
    monkeypatch.syspath_prepend(str(place))

    def installed(code: str) -> None:
        told = place / "my_judge-1.4.dist-info"
        told.mkdir(parents=True)
        (place / "my_judge.py").write_text(code)
        (told / "METADATA").write_text("Metadata-Version: 2.1\nName: my-judge\nVersion: 1.4\n")
        offers = tomllib.loads(block("toml"))["project"]["entry-points"]["reedit.judges"]
        lines = [f"{name} = {value}\n" for name, value in offers.items()]
        (told / "entry_points.txt").write_text("[reedit.judges]\n" + "".join(lines))
        monkeypatch.delitem(sys.modules, "my_judge", raising=False)

    return installed


def test_the_page_s_judge_judges(install: Callable[[str], None]) -> None:
    install(block("python"))
    judge, told = load_judge("plugin:mine", None, "float32")
    assert judge(ANSWERED) == [True, False]
    assert told == {"judge": {"plugin": "mine", "by": "my-judge 1.4"}}


def test_a_configuration_names_it_and_prepares_no_model_for_it(install: Callable[[str], None]) -> None:
    install(block("python"))
    overlay = yaml.safe_load(block("yaml"))
    config = configuration() | {"generation": overlay["generation"]}
    config["report"] = config.get("report", {}) | overlay["report"]
    experiment = Experiment(config, REPOSITORY)
    run = next(iter(experiment.runs.values()))
    assert experiment.judge is None and len(experiment.models) == 1
    settings = experiment.answer_settings(run)
    assert settings.judge_package == "my-judge 1.4", "another version, another job"


def test_what_is_not_installed_is_said_before_anything_runs(install: Callable[[str], None]) -> None:
    config = configuration() | {"generation": {"judge": "plugin:mien"}}
    with pytest.raises(InputError, match=r"^config: generation\.judge: no inst.*'mien' \(known: none\)$"):
        Experiment(config, REPOSITORY)
    install(block("python"))
    with pytest.raises(InputError, match=r"\(did you mean mine\?\)$"):
        Experiment(config, REPOSITORY)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nothing_of_the_kind", "my_judge:verdicts does not load (ModuleNotFoundError: "),
        ("def verdicts(told):\n    raise TimeoutError('no\\nnet')", "it failed (TimeoutError: no net)"),
        ("def verdicts(told):\n    return [True]", "expected a list of 2 of True, False and None"),
        ("def verdicts(told):\n    return ['yes', 'no']", "expected a list of 2 of True, False and None"),
        ("def verdicts(told):\n    return [1, 0]", "expected a list of 2 of True, False and None"),
        ("import pandas\ndef verdicts(told):\n    return [pandas.NA, True]", "expected a list of 2 of "),
        ("def verdicts(told):\n    return [told.pop()]", "expected a list of 2 of True, False and None"),
        ("def verdicts(told):\n    return [0.7, 1]", "expected a list of 2 of True, False and None"),
        ("def verdicts(told):\n    return None", "it failed (TypeError: "),
    ],
)
def test_what_it_does_wrong_is_one_line(install: Callable[[str], None], code: str, told: str) -> None:
    install(code)
    with pytest.raises(InputError) as caught:
        load_judge("plugin:mine", None, "float32")[0](ANSWERED)
    assert str(caught.value).startswith(f"plugin:mine: {told}")


def test_it_is_asked_once_and_may_not_know(install: Callable[[str], None]) -> None:
    install("def verdicts(told):\n    assert len(told) == 2\n    return [None, True]")
    assert load_judge("plugin:mine", None, "float32")[0]([*ANSWERED, ANSWERED[0]]) == [None, True, None]


def test_two_packages_with_one_judge_are_refused(install: Callable[[str], None], tmp_path: Path) -> None:
    install(block("python"))
    place = tmp_path / "packages"
    shutil.copytree(place / "my_judge-1.4.dist-info", place / "other-2.dist-info")
    (place / "other-2.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2\n")
    with pytest.raises(InputError, match=r"my-judge 1\.4 and other 2 both offer the judge 'mine'"):
        package_of("mine", "here")


def test_only_what_says_so_is_a_plugin() -> None:
    assert [plugin_of(one) for one in (None, "", "my-model", "plugin:a")] == [None, None, None, "a"]
