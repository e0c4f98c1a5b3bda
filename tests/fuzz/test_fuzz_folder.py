"""Spoiled model folders: each is refused in one line, or is a model that loads and speaks."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from hostile import Refused, damaged, one_line_if_refused, places, share, spoiled
from hostile_models import shard
from hypothesis import given
from hypothesis import strategies as st
from tiers import long_but
from tiny import save_tiny_model

from reedit.models.folder import check_folder
from reedit.models.language_model import LanguageModel

ARCHITECTURES = ("llama", "gpt2", "gemma3_text")
LARGEST = 2000  # a number in a configuration; larger ones pass the door only where nothing is made of them


@pytest.fixture(scope="module", params=long_but(ARCHITECTURES, {"llama"}.__contains__))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    save_tiny_model(folder, architecture=request.param)
    return folder


@contextmanager
def with_file(model: Path, name: str, content: bytes) -> Iterator[Path]:
    """A copy of a model with another content of one of its files."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "model")
        shutil.copytree(model, copy, copy_function=shutil.os.link)
        (copy / name).unlink()
        (copy / name).write_bytes(content)
        yield copy


def look(folder: Path, load: bool = True) -> None:
    """Through the door, and what passes it loads and says something, or is refused in one line."""
    with suppress(Refused), one_line_if_refused():
        check_folder(folder)
        if load:
            loaded = LanguageModel.load(folder, device="cpu")
            assert loaded.model(torch.tensor([[3, 50, 7]])).logits.shape[:2] == (1, 3)


def small(settings: object) -> bool:
    """Whether a configuration asks for no network that would fill the memory."""
    numbers = []
    for path in places(settings):
        place = settings
        for key in path:
            place = place[key]
        numbers.append(place)
    return all(abs(n) <= LARGEST for n in numbers if isinstance(n, int | float))


@share(2)
@given(data=st.data())
def test_a_spoiled_configuration(data: st.DataObject, model: Path) -> None:
    settings = data.draw(spoiled(json.loads((model / "config.json").read_text())))
    with with_file(model, "config.json", json.dumps(settings).encode(errors="surrogatepass")) as folder:
        look(folder, small(settings))


@share(2)
@given(data=st.data())
def test_a_spoiled_configuration_of_the_tokenizer(data: st.DataObject, model: Path) -> None:
    settings = data.draw(spoiled(json.loads((model / "tokenizer_config.json").read_text())))
    content = json.dumps(settings).encode(errors="surrogatepass")
    with with_file(model, "tokenizer_config.json", content) as folder:
        look(folder)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"]
)
@share(4)
@given(data=st.data())
def test_a_damaged_file(name: str, data: st.DataObject, model: Path) -> None:
    content = data.draw(damaged((model / name).read_bytes()))
    with with_file(model, name, content) as folder:
        look(folder, name != "config.json")


@share(4)
@given(data=st.data())
def test_a_spoiled_index(data: st.DataObject, model: Path) -> None:
    with with_file(model, "config.json", (model / "config.json").read_bytes()) as folder:
        shard(folder)
        index = folder / "model.safetensors.index.json"
        spoilt = data.draw(spoiled(json.loads(index.read_text())))
        index.write_bytes(json.dumps(spoilt).encode(errors="surrogatepass"))
        look(folder)
