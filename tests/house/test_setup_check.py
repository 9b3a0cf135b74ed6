"""The set-up: on a machine that lacks something, one line says what to type.

The machine is faked from outside the scripts, through the same doors as on a real one: PATH, the
compiler found there, and the environment's Python.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.tree import ROOT

CHECK = ROOT / "tools" / "check-setup.sh"


class Machine:
    """A directory of programs that is all the script's PATH."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.tmp = directory / "tmp"
        self.tmp.mkdir()
        self.real_path = os.environ["PATH"]
        for tool in ("sh", "mktemp", "rm"):
            self.offers(tool, f'PATH={self.real_path} exec {tool} "$@"')
        self.offers("apt-get", "exit 1")  # named to people, never run
        self.offers("python3", f'exec {sys.executable} "$@"')
        self.offers_compiler()

    def offers(self, name: str, script: str) -> None:
        program = self.bin / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def offers_compiler(self, *, without: str = "") -> None:
        """A real compiler, but one that cannot find the headers of `without`."""
        refusal = f'case "$(cat "$word")" in *"<{without}>"*) exit 1 ;; esac'
        refuse = f'for word in "$@"; do case $word in *.c) {refusal} ;; esac; done'
        body = f'PATH={self.real_path}\n{refuse if without else ""}\nexec cc "$@"'
        self.offers("fake-cc", body)

    def lacks(self, name: str) -> None:
        (self.bin / name).unlink()

    def check(self) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [CHECK],
            env={"PATH": str(self.bin), "TMPDIR": str(self.tmp), "CC": "fake-cc"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert list(self.tmp.iterdir()) == []  # it cleans up after itself
        return result

    def is_told(self) -> list[str]:
        """The apt packages that somebody at this machine is told to install."""
        result = self.check()
        assert result.returncode == 1
        assert result.stdout == ""
        (line,) = [line for line in result.stderr.splitlines() if "apt-get" in line]
        before, _, packages = line.partition("sudo apt-get install ")
        assert before == "Type:  "
        return packages.split()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_complete_machine_passes_and_names_its_python(machine: Machine) -> None:
    result = machine.check()
    assert (result.returncode, result.stdout, result.stderr) == (0, "python3\n", "")


def test_gmp_headers_are_missing(machine: Machine) -> None:
    machine.offers_compiler(without="gmp.h")
    assert machine.is_told() == ["libgmp-dev"]


def test_python_headers_are_missing(machine: Machine) -> None:
    machine.offers_compiler(without="Python.h")
    assert machine.is_told() == ["python3-dev"]


def test_there_is_no_compiler_so_the_headers_are_named_untried(machine: Machine) -> None:
    machine.lacks("fake-cc")
    assert machine.is_told() == ["build-essential", "libgmp-dev", "python3-dev"]


def test_venv_is_missing(machine: Machine) -> None:
    """As on Debian without python3-venv: `venv` is there, `ensurepip` is not."""
    machine.offers(
        "python3",
        f'case "$*" in *ensurepip*) exit 1 ;; esac\nexec {sys.executable} "$@"',
    )
    assert machine.is_told() == ["python3-venv"]


def test_a_python_that_is_too_old_is_passed_over_for_a_newer_one(machine: Machine) -> None:
    machine.offers("python3", "exit 1")
    machine.offers("python3.12", f'exec {sys.executable} "$@"')
    assert machine.check().stdout == "python3.12\n"


def test_the_packages_of_a_second_python_carry_its_number(machine: Machine) -> None:
    machine.offers("python3", "exit 1")
    machine.offers("python3.12", f'exec {sys.executable} "$@"')
    machine.offers_compiler(without="Python.h")
    assert machine.is_told() == ["python3.12-dev"]


def test_a_bare_machine_is_told_everything_at_once(machine: Machine) -> None:
    machine.lacks("python3")
    machine.lacks("fake-cc")
    assert sorted(machine.is_told()) == [
        "build-essential",
        "libgmp-dev",
        "python3",
        "python3-dev",
        "python3-venv",
    ]


def test_without_apt_the_needs_are_still_named(machine: Machine) -> None:
    machine.lacks("apt-get")
    machine.offers_compiler(without="gmp.h")
    result = machine.check()
    assert result.returncode == 1
    assert "Missing: gmp.h." in result.stderr


class Environment:
    """A virtual environment whose pip writes down what it is told, and answers with `plan`."""

    def __init__(self, directory: Path, plan: str) -> None:
        self.path = directory / "venv"
        self.calls = directory / "calls"
        (self.path / "bin").mkdir(parents=True)
        python = self.path / "bin" / "python"
        python.write_text(
            f'#!/bin/sh\necho "$*" >>{self.calls}\n'
            f"case \"$*\" in *--dry-run*) echo '{plan}' ;; esac\n"
        )
        python.chmod(0o755)

    def install(self, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "tools" / "install.sh", self.path, "python3"],
            env={"PATH": os.environ["PATH"], **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def installed(self) -> list[str]:
        """The arguments of each real installation, but for pip's own."""
        calls = [line.partition(" install --quiet ")[2] for line in self.calls.open()]
        return [c.strip() for c in calls if not c.startswith(("--dry-run", "pip"))]


CUDA_PLAN = '{"install": [{"metadata": {"name": "nvidia-cublas"}}]}'
CPU_PLAN = '{"install": [{"metadata": {"name": "torch"}}]}'
REST = "--constraint constraints.txt --editable .[lab,dashboard,dev,images,tables]"


def test_torch_goes_first_and_then_the_rest(tmp_path: Path) -> None:
    environment = Environment(tmp_path, CPU_PLAN)
    assert environment.install().returncode == 0
    assert environment.installed() == ["--constraint constraints.txt torch", REST]


def test_a_cuda_build_is_refused_before_its_download(tmp_path: Path) -> None:
    environment = Environment(tmp_path, CUDA_PLAN)
    result = environment.install()
    assert result.returncode == 1
    assert "make venv TORCH_INDEX=" in result.stderr
    assert environment.installed() == []


def test_a_cuda_build_is_installed_for_whoever_wants_it(tmp_path: Path) -> None:
    environment = Environment(tmp_path, CUDA_PLAN)
    assert environment.install(TORCH_CUDA="yes").returncode == 0
    assert environment.installed() == ["--constraint constraints.txt torch", REST]


def test_the_index_of_cpu_builds_is_asked_for_torch_alone(tmp_path: Path) -> None:
    environment = Environment(tmp_path, CPU_PLAN)
    assert environment.install(TORCH_INDEX="https://example.org/cpu").returncode == 0
    assert environment.installed() == [
        "--index-url https://example.org/cpu --constraint constraints.txt torch",
        REST,
    ]
