"""Second moments: a file is refused in one line, or holds a moment of this model's shape that can be used."""

import io
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from hostile import NUMBERS, TEXT, Refused, damaged, file_of, one_line_if_refused
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from npz_files import KEYS
from safetensors.torch import save
from torch import Tensor

from reedit.statistics.moments import read_moment
from reedit.statistics.npz_statistics import read_statistics

SIZE = KEYS.shape[1]
TOTAL = KEYS.T @ KEYS
MOMENT = torch.from_numpy(TOTAL / len(KEYS)).contiguous()
ANYTHING = arrays.arrays(
    arrays.scalar_dtypes() | st.just(np.dtype(">f4")),
    st.sampled_from(
        [(), (1,), (SIZE,), (SIZE, SIZE), (SIZE, SIZE), (SIZE, SIZE + 1), (1, SIZE, SIZE), (0, 0)]
    ),
)
SYMMETRIC = arrays.arrays(np.float64, (SIZE, SIZE), elements=st.floats(width=32)).map(lambda a: a + a.T)
TORCH = [
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.int64,
    torch.bool,
    torch.complex64,
]


def usable(moment: Tensor) -> None:
    assert moment.dtype == torch.float32 and moment.shape == (SIZE, SIZE)
    assert moment.isfinite().all() and (moment.diagonal() > 0).all()
    assert (moment - moment.T).norm() <= 1e-3 * moment.norm()


def npz(**content: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **content)
    return file.getvalue()


def published(**changes: Any) -> dict[str, Any]:
    content = {"mom2.constructor": "x", "mom2.count": len(KEYS), "mom2.mom2": TOTAL, "sample_size": 7}
    return content | {key.replace("_", ".", 1): value for key, value in changes.items()}


@given(damaged(npz(**published())))
def test_a_damaged_npz_file_is_refused_or_as_it_was(content: bytes) -> None:
    """Its members carry checksums: a changed number never passes."""
    with file_of(content) as path, suppress(Refused):
        with one_line_if_refused():
            found = read_statistics(path, SIZE)
        assert found.count == len(KEYS) and found.samples in (7, None)
        assert torch.allclose(found.moment, MOMENT, rtol=1e-6)


@given(ANYTHING | SYMMETRIC, st.just(len(KEYS)) | ANYTHING | NUMBERS | TEXT, st.just(7) | ANYTHING | NUMBERS)
def test_an_npz_file_of_anything_is_refused_or_the_sum_by_the_count(
    total: Any, count: Any, samples: Any
) -> None:
    try:
        content = npz(**published(mom2_mom2=total, mom2_count=count) | {"sample_size": samples})
    except (ValueError, UnicodeEncodeError):  # numpy itself cannot write it
        assume(False)
    with file_of(content) as path, suppress(Refused):
        with one_line_if_refused():
            found = read_statistics(path, SIZE)
        usable(found.moment)
        assert 0 < found.count == count and (found.samples is None or found.samples == samples)
        expected = torch.from_numpy(total / found.count).float()
        assert torch.allclose(found.moment, expected, rtol=1e-2, atol=2e-3 * float(expected.norm()))


def safetensors(moment: Tensor, metadata: dict[str, str]) -> bytes:
    return save({"moment": moment.contiguous()}, metadata=metadata)


@given(damaged(safetensors(MOMENT, {"count": "50", "corpus": "c"})))
def test_a_damaged_safetensors_file_is_refused_or_usable(content: bytes) -> None:
    with file_of(content) as path, suppress(Refused):
        with one_line_if_refused():
            moment, metadata = read_moment(path)
        assert moment.dtype == torch.float32 and moment.dim() == 2
        assert moment.isfinite().all() and (moment.diagonal() > 0).all()
        assert (moment - moment.T).norm() <= 1e-3 * moment.norm() and int(metadata["count"]) > 0


@given(
    st.sampled_from(TORCH),
    SYMMETRIC | arrays.arrays(np.float64, st.sampled_from([(SIZE, SIZE), (SIZE,), (2, SIZE), (0, 0), ()])),
    st.just("50") | TEXT | NUMBERS.map(str),
)
def test_a_safetensors_file_of_anything_is_refused_or_usable(
    kind: torch.dtype, values: Any, count: str
) -> None:
    assume(count.isprintable())
    with file_of(safetensors(torch.from_numpy(values).to(kind), {"count": count})) as path, suppress(Refused):
        with one_line_if_refused():
            moment, metadata = read_moment(path)
        usable(moment)
        assert kind == torch.float32 and int(metadata["count"]) == int(count) > 0
