"""A job that is asked for one more layer makes that one alone."""

import os
from pathlib import Path

import pytest

from reedit.statistics.finished_layers import leave_layers, take_layers


def made(folder: Path, finished: Path, marks: dict[int, str]) -> list[int]:
    """The layers that a job makes in an output folder that is wiped before it."""
    missing = take_layers(finished, marks, folder)
    folder.mkdir(exist_ok=True)
    for layer in missing:
        (folder / f"{layer}.safetensors").write_text(f"{layer} of {marks[layer]}")
    leave_layers(finished, marks, folder)
    contents = {int(file.stem): file.read_text() for file in folder.iterdir()}
    assert contents == {layer: f"{layer} of {mark}" for layer, mark in marks.items()}
    return missing


def test_one_more_layer_is_made_and_the_others_are_those_of_before(tmp_path: Path) -> None:
    finished = tmp_path / "finished"
    assert made(tmp_path / "1", finished, {4: "a", 5: "a"}) == [4, 5]
    assert made(tmp_path / "2", finished, {4: "a", 5: "a", 9: "a"}) == [9]
    assert (tmp_path / "2/4.safetensors").samefile(tmp_path / "1/4.safetensors")
    assert made(tmp_path / "3", finished, {5: "a"}) == []
    assert made(tmp_path / "4", finished, {4: "a", 5: "a"}) == [4], "what no output has is not kept"


def test_layers_made_of_something_else_or_damaged_are_made_anew(tmp_path: Path) -> None:
    finished = tmp_path / "finished"
    made(tmp_path / "1", finished, {4: "a", 5: "a"})
    assert made(tmp_path / "2", finished, {4: "a", 5: "b"}) == [5]
    (finished / "4.safetensors").write_text("4 of A")
    assert made(tmp_path / "3", finished, {4: "a", 5: "b"}) == [4]


def test_without_hard_links_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError("no such thing here")

    monkeypatch.setattr(os, "link", link)
    assert made(tmp_path / "1", tmp_path / "finished", {4: "a"}) == [4]
    assert not (tmp_path / "finished").exists()
    assert made(tmp_path / "2", tmp_path / "finished", {4: "a"}) == [4]
