"""Statistics files of ROME and EasyEdit: read with every check, written so that their reader takes them."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from npz_files import KEYS, published
from tiny import tiny_corpus, tiny_model

from reedit.errors import InputError
from reedit.models.layouts import layout_of
from reedit.statistics.moments import Reading, collect_moments
from reedit.statistics.npz_statistics import (
    Statistics,
    file_name,
    find_statistics,
    read_statistics,
    write_statistics,
)

MODULE = "transformer.h.1.mlp.c_proj"


def refused(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_statistics(path, 6)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_published_sum_becomes_the_mean_of_outer_products(dtype: type, tmp_path: Path) -> None:
    total = KEYS.astype(dtype).T @ KEYS.astype(dtype)
    found = read_statistics(published(tmp_path / "a.npz", **{"mom2.mom2": total}), 6)
    expected = torch.stack([torch.outer(key, key) for key in torch.tensor(KEYS)]).mean(0)
    assert torch.allclose(found.moment, expected, rtol=1e-5, atol=1e-6)
    assert found.moment.dtype == torch.float32 and torch.equal(found.moment, found.moment.T)
    assert (found.count, found.samples) == (50, 7)


@pytest.mark.parametrize("samples", [None, float("nan")])
def test_a_file_over_all_documents_says_no_number_of_them(samples: float | None, tmp_path: Path) -> None:
    assert read_statistics(published(tmp_path / "a.npz", sample_size=samples), 6).samples is None


SPOILED = {
    "asymmetric": ({"mom2.mom2": KEYS.T @ KEYS + np.triu(np.ones((6, 6)), 1)}, "not symmetric"),
    "not finite": ({"mom2.mom2": np.full((6, 6), np.nan)}, "not finite"),
    "infinite": ({"mom2.mom2": np.full((6, 6), np.inf)}, "not finite"),
    "diagonal": (
        {"mom2.mom2": np.diag([1.0, 1, 1, 1, 1, 0])},
        "mom2.mom2 has a diagonal that is not positive",
    ),
    "shape": ({"mom2.mom2": np.eye(5)}, r"of shape \(5, 5\), expected fp32 or fp64 of \(6, 6\)"),
    "vector": ({"mom2.mom2": np.ones(6)}, r"of shape \(6,\)"),
    "integers": ({"mom2.mom2": np.eye(6, dtype=int)}, "is int64 of shape"),
    "no sum": ({"mom2.mom2": None}, r"no mom2\.mom2 in it.*found mom2\.constructor, mom2\.count"),
    "no count": ({"mom2.count": None}, r"no mom2\.count in it"),
    "count 0": ({"mom2.count": 0}, r"mom2\.count is 0, expected a number of tokens above 0"),
    "count -3": ({"mom2.count": -3}, r"mom2\.count is -3"),
    "count 1.5": ({"mom2.count": 1.5}, r"mom2\.count is 1\.5"),
    "count text": ({"mom2.count": "many"}, r"mom2\.count is many"),
    "count beyond int64": ({"mom2.count": 1e300}, r"mom2\.count is 1e\+300"),
    "counts": ({"mom2.count": np.array([1, 2])}, r"mom2\.count is \[1 2\]"),
}


@pytest.mark.parametrize("wrong", SPOILED)
def test_a_spoiled_file_is_one_line_that_says_what_is_wrong(wrong: str, tmp_path: Path) -> None:
    content, message = SPOILED[wrong]
    refused(published(tmp_path / "a.npz", **content), message)


def test_a_tiny_asymmetry_of_fp32_sums_passes(tmp_path: Path) -> None:
    total = KEYS.T @ KEYS
    total[0, 1] *= 1 + 1e-5
    moment = read_statistics(published(tmp_path / "a.npz", **{"mom2.mom2": total}), 6).moment
    assert torch.equal(moment, moment.T)


class Loud:
    """An object whose unpickling would be noticed."""

    def __reduce__(self) -> tuple:
        return (pytest.fail, ("a pickle was read",))


def test_no_pickle_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    published(path, **{"mom2.mom2": np.array([Loud()], dtype=object)})
    refused(path, "not readable without pickle")
    np.save(tmp_path / "b.npy", np.array([Loud()], dtype=object))
    (tmp_path / "b.npy").rename(path)
    refused(path, "not an .npz file")


def test_a_damaged_or_absent_file_is_one_line(tmp_path: Path) -> None:
    path = published(tmp_path / "a.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "not an .npz file")
    refused(tmp_path / "absent.npz", "not an .npz file")
    at = whole.index((KEYS.T @ KEYS).tobytes())
    path.write_bytes(whole[:at] + b"\xff\x00\xff\x00" + whole[at + 4 :])
    refused(path, "not readable without pickle")  # the checksum of the member


def test_the_file_of_a_module_is_found_wherever_it_lies(tmp_path: Path) -> None:
    for name in (f"{MODULE}_float32_mom2_100.npz", "transformer.h.11.mlp.c_proj_float32_mom2_100.npz"):
        published(tmp_path / "data/stats/gpt2-xl/wikipedia_stats" / name)
    found = find_statistics(tmp_path, MODULE, ["mine", "openai-community/gpt2-xl"])
    assert found.name == f"{MODULE}_float32_mom2_100.npz"
    published(tmp_path / "flat" / f"{MODULE}_float64_mean-mom2.npz")
    assert find_statistics(tmp_path / "flat", MODULE, ["mine"]).name.endswith("float64_mean-mom2.npz")


def test_none_or_several_files_of_a_module_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"0 files of statistics of {MODULE} in nothing"):
        find_statistics(tmp_path, MODULE, ["gpt2-xl"])
    for samples in (100, 200):
        published(tmp_path / file_name(MODULE, samples))
    with pytest.raises(InputError, match=rf"2 files .* in {MODULE}_float32_mom2_100\.npz, .*200\.npz"):
        find_statistics(tmp_path, MODULE, ["gpt2-xl"])
    with pytest.raises(InputError, match=r"0 files of statistics of transformer\.h\.2\.mlp\.c_proj in"):
        find_statistics(tmp_path, "transformer.h.2.mlp.c_proj", ["gpt2-xl"])


@pytest.mark.parametrize(
    ("folder", "names", "fits"),
    [
        ("llama-2-7b", ["llama2", "meta-llama/Llama-2-7b-hf"], True),
        ("gpt-j-6B", ["gpt-j-6b", "EleutherAI/gpt-j-6b"], True),
        ("NousResearch_Llama-2-7b-hf", ["llama-2-7b", "meta-llama/Llama-2-7b-hf"], True),
        ("gpt2-large", ["gpt2-xl", "openai-community/gpt2-xl"], False),
        ("llama-3-8b", ["llama-2-7b", "meta-llama/Llama-2-7b-hf"], False),
    ],
)
def test_the_folder_of_another_model_is_refused(
    folder: str, names: list[str], fits: bool, tmp_path: Path
) -> None:
    path = published(tmp_path / folder / "wikipedia_stats" / file_name(MODULE, 100))
    if fits:
        assert find_statistics(tmp_path, MODULE, names) == path
    else:
        with pytest.raises(InputError, match=f"statistics of {folder}, expected of {names[0]}"):
            find_statistics(tmp_path, MODULE, names)


def naive_reader(path: Path, samples: int) -> np.ndarray:
    """What ROME's reader does with a file: ask for the documents, take the sum, divide it by the count."""
    state = dict(np.load(path).items())
    assert state["sample_size"] == samples, "another number would make it compute everything anew"
    own = {key.removeprefix("mom2."): value for key, value in state.items() if key.startswith("mom2.")}
    return own["mom2"] / int(own["count"])


def test_a_written_file_is_read_by_the_published_reader_and_by_ours(tmp_path: Path) -> None:
    model = tiny_model("gpt2")
    moments, count = collect_moments(model, tiny_corpus().splitlines()[:24], [1], Reading(40))
    moment = dict(moments)[1]
    path = tmp_path / file_name(model.module_name(1), 24)
    assert path.name == "transformer.h.1.mlp.c_proj_float32_mom2_24.npz"
    write_statistics(Statistics(moment, count, 24), path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    found = read_statistics(find_statistics(tmp_path, model.module_name(1), ["tiny"]), len(moment))
    assert (found.count, found.samples) == (count, 24)
    assert torch.allclose(found.moment, moment, rtol=3e-7, atol=0)
    assert np.allclose(naive_reader(path, 24), moment.numpy(), rtol=3e-7, atol=0)
    with zipfile.ZipFile(path) as archive, archive.open("mom2.mom2.npy") as member:
        assert np.load(io.BytesIO(member.read())).dtype == np.float32


def test_statistics_without_a_number_of_documents_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        write_statistics(Statistics(torch.eye(2), 3, None), tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gptj", "gpt_neox"])
def test_a_modules_name_is_known_without_the_weights(architecture: str, tmp_path: Path) -> None:
    model = tiny_model(architecture)
    model.model.config.save_pretrained(tmp_path)
    name = layout_of(tmp_path).module_name(2)
    assert name == model.module_name(2) and model.model.get_submodule(name) is model.mlp_output(2)


@pytest.mark.parametrize("member", ["mom2.count", "mom2.mom2"])
def test_a_member_that_is_no_array_is_one_line(member: str, tmp_path: Path) -> None:
    """numpy hands out the bytes of such a member as they are."""
    path = tmp_path / "a.npz"
    whole = published(tmp_path / "whole.npz")
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"no array" if name == f"{member}.npy" else old.read(name))
    refused(path, rf"{member} is .*, expected")
