"""Out of memory: told by whatever says so, survived by halves that are made once the failed pass is gone."""

import weakref
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
from optimizing import MEMIT, SETTINGS, edits_of, relative
from steps import found_of
from storages import Storages

from reedit.edit.optimization import descent as optimization
from reedit.edit.optimization.buckets import Bucket, Tail, make_buckets
from reedit.edit.optimization.micro_batch import MicroBatch
from reedit.jobs.memory import says_out_of_memory, without_frames
from reedit.methods.recipe import Recipe
from reedit.models.batches import halving, list_halves
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

SHORT = [
    torch.OutOfMemoryError("anything"),
    MemoryError(),
    MemoryError("std::bad_alloc"),
    RuntimeError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.25 GiB of which"
    ),
    RuntimeError(
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other"
    ),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("cuda runtime error (2) : out of memory at /pytorch/THCGeneral.cpp:313"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnDgetrf(handle)`"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in"),
    RuntimeError("CUDA error: CUSPARSE_STATUS_ALLOC_FAILED when calling `cusparseCreate(handle)`"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("HIP out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("HIP error: hipErrorOutOfMemory"),
    RuntimeError("XPU out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("Native API failed. Native API returns: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB)"),
    RuntimeError("FATAL ERROR :: MODULE:PT_DEVMEM Allocation failed for size::1024"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you"
        " tried to allocate 64000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:116] data. DefaultCPUAllocator: not enough memory: you tried to"
    ),
    RuntimeError("unable to mmap 8589934592 bytes from file: Cannot allocate memory (12)"),
    OSError(12, "Cannot allocate memory"),
]
OTHERS = [
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle)`"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnDpotrf(handle)`"),
    RuntimeError("out of resource: shared memory, Required: 147456, Hardware limit: 101376"),
    RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
    torch.linalg.LinAlgError("linalg.cholesky: the leading minor of order 3 is not positive-definite"),
    OSError(28, "No space left on device"),
    ValueError("out of memory"),  # no device's word
]


@pytest.mark.parametrize("error", SHORT, ids=str)
def test_whatever_says_out_of_memory_is_understood(error: Exception) -> None:
    assert says_out_of_memory(error)


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not says_out_of_memory(error)


def test_the_allocator_of_this_machine_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**61, dtype=torch.uint8)
    assert says_out_of_memory(caught.value)


@pytest.mark.parametrize("error", [SHORT[0], SHORT[1], SHORT[7]], ids=str)
def test_halves_are_made_once_nothing_of_the_failed_pass_is_left(error: Exception) -> None:
    """Also where the pass was caught in a cycle, and where its error came of another one."""
    alive: list[weakref.ref] = []
    seen: list[bool] = []

    def run(piece: list[int]) -> int:
        if len(piece) > 1:
            made, cycle = torch.zeros(len(piece)), []
            cycle.append((cycle, made))
            alive.append(weakref.ref(made))
            try:
                raise KeyError(made)
            except KeyError as first:
                first.args = ()
                raise error from first
        return piece[0]

    def halves(piece: list[int]) -> list[list[int]]:
        seen.append(alive[-1]() is None)
        return list_halves(piece)

    assert list(halving([[1, 2, 3], [4]], run, halves)) == [1, 2, 3, 4]
    assert seen == [True, True]


def test_what_cannot_be_halved_raises_the_devices_own_error() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def run(piece: list[int]) -> None:
        raise error

    with pytest.raises(torch.OutOfMemoryError) as caught:
        list(halving([[1, 2]], run, list_halves))
    assert caught.value is error


def test_errors_lose_their_frames_and_those_of_their_causes() -> None:
    try:
        try:
            raise ValueError("first")
        except ValueError as first:
            raise RuntimeError("second") from first
    except RuntimeError as error:
        found = without_frames(error)
    assert found.__traceback__ is None
    assert found.__cause__ is not None and found.__cause__.__traceback__ is None


def test_a_result_is_let_go_before_the_next_pass() -> None:
    made: list[weakref.ref] = []

    def run(piece: int) -> torch.Tensor:
        assert not made or made[-1]() is None
        result = torch.zeros(3)
        made.append(weakref.ref(result))
        return result

    for result in halving(range(3), run, lambda piece: ()):
        del result
    assert len(made) == 3


# -- a bucket ----------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(llama: LanguageModel, tiny_dataset: list[Fact]) -> Bucket:
    """Of seven edits, with what a first pass adds."""
    all_made = make_buckets(llama, edits_of(llama, tiny_dataset[:7], 1), SETTINGS["layers"][-1], 10**6)
    made = max(all_made, key=lambda one: len(one.edit))
    vectors = MEMIT.optimises
    delta = torch.zeros(7, len(vectors), llama.model.config.hidden_size, dtype=torch.float64)
    return optimization._pass(
        Tail(llama, SETTINGS["layers"][-1], vectors),
        [made],
        delta,
        optimization._Factors(delta[:, 0, 0], 1.0),
        False,
    )[1][0]


def tensors(bucket: Bucket) -> dict[str, torch.Tensor]:
    others = ("cache", "masks", "mask_of")
    found = {field.name: getattr(bucket, field.name) for field in fields(bucket) if field.name not in others}
    found |= {f"mask{number}": mask for number, mask in enumerate(bucket.masks)}
    for name in ("keys", "values"):
        found |= {f"{name}{layer}": kept for layer, kept in getattr(bucket.cache, name).items()}
    return found


def test_halves_of_a_bucket_are_its_rows_and_take_no_memory(bucket: Bucket) -> None:
    middle, count = len(bucket.edit) // 2, len(bucket.edit)
    whole = {tensor.untyped_storage().data_ptr() for tensor in tensors(bucket).values()}
    assert bucket.unedited is not None and bucket.cache.keys
    for half, rows in zip(bucket.halves(), (range(middle), range(middle, count)), strict=True):
        keep = torch.zeros(count, dtype=torch.bool)
        keep[list(rows)] = True
        selected = tensors(bucket.select(keep))
        for name, tensor in tensors(half).items():
            assert torch.equal(tensor, selected[name]), name
            if name not in ("label_row", "kl_row"):  # counted anew: some numbers
                assert tensor.untyped_storage().data_ptr() in whole, name
    assert bucket.select(torch.arange(count) == 0).halves() == []


def test_the_halves_of_halves_are_single_rows(bucket: Bucket) -> None:
    waiting, single = [bucket], []
    while waiting:
        one = waiting.pop()
        halves = one.halves()
        waiting += halves[::-1]
        single += [] if halves else [one]
    assert torch.cat([one.edit for one in single]).tolist() == bucket.edit.tolist()
    assert torch.cat([one.label for one in single]).tolist() == bucket.label.tolist()


# -- a pass ------------------------------------------------------------------------------------------------


class Short(torch.overrides.TorchFunctionMode):
    """One call of a function of torch's fails as without memory, once."""

    def __init__(self, name: str, place: int) -> None:
        super().__init__()
        self.name, self.left, self.failed = name, place, False

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") == self.name and not self.failed:
            self.left -= 1
            if self.left < 0:
                self.failed = True
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return found


@pytest.mark.parametrize("name", ["index_add", "exp", "index_add_", "__setitem__", "__getitem__", "detach"])
def test_a_pass_that_fails_at_any_step_counts_no_row_twice(
    name: str, llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    edits, layer = edits_of(llama, tiny_dataset[:6], 1), SETTINGS["layers"][-1]
    vectors = MEMIT.optimises
    tail = Tail(llama, layer, vectors)
    delta = torch.zeros(6, len(vectors), llama.model.config.hidden_size, dtype=torch.float64)
    factors = optimization._Factors(torch.ones(6, dtype=torch.float64), 0.5)
    made = make_buckets(llama, edits, layer, 10**6)
    buckets = optimization._pass(tail, made, delta, factors, False)[1]  # with what is said unedited
    delta = (delta + 0.1).requires_grad_()
    usual, failures = optimization._pass(tail, buckets, delta, factors, True)[0], 0
    for place in range(8):
        with Short(name, place) as short:
            found, left = optimization._pass(tail, buckets, delta, factors, True)
        if not short.failed:
            break
        failures += 1
        assert len(left) == len(buckets) + 1
        assert torch.equal(found.best, usual.best)
        for part in ("nll", "log_ppl", "kl", "gradient"):
            assert relative(getattr(found, part), getattr(usual, part)) < 1e-12, (part, place)
    assert failures


@pytest.mark.long
def test_optimization_within_ever_less_memory_gives_the_same_deltas(
    llama: LanguageModel, tiny_dataset: list[Fact], caplog: pytest.LogCaptureFixture
) -> None:
    edits, at_once = edits_of(llama, tiny_dataset, 1), MicroBatch(16384, 256)
    with Storages() as free:
        usual = found_of(llama, edits, Recipe(MEMIT, SETTINGS), at_once)
    halvings = []
    for share in (0.8, 0.4):
        caplog.clear()
        with Storages(share * free.peak):
            found = found_of(llama, edits, Recipe(MEMIT, SETTINGS), at_once)
        halvings.append(sum("out of memory" in record.message for record in caplog.records))
        assert relative(found.delta, usual.delta) < 1e-6  # norms go through fp32
    assert 0 < halvings[0] < halvings[-1]
