"""OpenMP for the local model, on systems without it."""

import ctypes
from pathlib import Path

import pytest

from parley_cli.local_model.libraries import LIBRARY, find_openmp, link_openmp
from parley_cli.local_model.process import LocalModel
from parley_embedded.errors import EmbeddedError


@pytest.mark.parametrize("inherited", ["", "/usr/local/lib"])
def test_the_library_of_the_wheel_comes_before_inherited_folders(tmp_path: Path, inherited: str) -> None:
    for _ in range(2):
        variables = link_openmp(find_openmp(), tmp_path / "libraries", {"LD_LIBRARY_PATH": inherited})
        first, *rest = variables["LD_LIBRARY_PATH"].split(":")
        assert rest == [inherited] * bool(inherited)
        assert ctypes.CDLL(f"{first}/{LIBRARY}").omp_get_max_threads() >= 1


async def test_the_model_finds_openmp_without_one_of_the_system(tmp_path: Path) -> None:
    environment = (await LocalModel(tmp_path).prepare()).environment or {}
    assert (Path(environment["LD_LIBRARY_PATH"].split(":")[0]) / LIBRARY).exists()


def test_a_missing_wheel_is_reported_in_one_line() -> None:
    with pytest.raises(EmbeddedError, match=r"^The package no_such_package, which contains libgomp\.so\.1, is not"):
        find_openmp("no_such_package")
