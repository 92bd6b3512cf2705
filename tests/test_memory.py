"""What memory there is: of the machine, or of the container that the process is in."""

from math import inf

import pytest

from scratchformer.run.memory import container_limits, machine_memory


@pytest.mark.parametrize(("own", "files", "limits"), [
    ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "1000", "memory.max": "5000"}, [inf, 1000, 5000]),
    ("0::/\n", {"memory.max": "77\n"}, [77]), ("0::/gone\n", {}, []),
    ("0::/\n", {"memory.max": "nonsense"}, [inf]),
    ("4:cpu:/x\n5:memory:/a\n", {"memory/a/memory.limit_in_bytes": "2048"}, [2048]), ("", {}, []),
])
def test_limits_of_containers(own, files, limits, tmp_path):
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert container_limits(tmp_path / "groups", tmp_path / "own") == limits
    assert container_limits(tmp_path, tmp_path / "nowhere") == []


def test_the_least_of_all_counts(monkeypatch):
    whole = machine_memory()
    monkeypatch.setattr("scratchformer.run.memory.container_limits", lambda: [1000, inf])
    assert machine_memory() == 1000 < whole
