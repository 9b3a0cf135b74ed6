"""What is put off when torch is imported is not run by a learner, and is whole for who needs it."""

import subprocess
import sys

import pytest

LAZY = "type(sys.modules['torch._meta_registrations']).__name__ == 'PutOff'"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_learner_trains_without_what_was_put_off() -> None:
    done = python(
        "import sys\n"
        "from gossipd.config import LearningConfig, TaskConfig\n"
        "from gossipd.learning.build import learner_from_config\n"
        "learner = learner_from_config(TaskConfig(), LearningConfig(momentum=0.5))\n"
        "learner.held_out(learner.train(learner.genesis(), None, 3, 0).vector)\n"
        f"assert {LAZY}, 'it was run'\n"
        "assert 'torch._decomp' not in sys.modules\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "use",
    [
        "import torch._decomp",
        "torch.compile(torch.nn.Linear(2, 2), backend='eager')(torch.ones(1, 2))",
        "import torch.export",
        "from torch._subclasses.fake_tensor import FakeTensorMode\n"
        "with FakeTensorMode(): torch.ones(3, 3)[torch.tensor([0])]",
        "from gossipd.learning.lazily import whole; whole(); torch.Generator()",
    ],
    ids=["decompositions", "compile", "export", "fake tensors", "code of one's own"],
)
def test_who_needs_it_finds_it_whole(use: str) -> None:
    done = python(
        "import sys\n"
        "import gossipd.learning\n"
        "import torch\n"
        f"assert {LAZY}, 'it was run'\n"
        f"{use}\n"
        "from torch._meta_registrations import meta_index_Tensor\n"
        f"assert not {LAZY}\n"
    )
    assert done.returncode == 0, done.stderr
