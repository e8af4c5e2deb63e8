import importlib
import os
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml

import i2i_dds
from i2i_dds.cli.commands import COMMANDS, Command

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NO_COMMANDS = {"bench_malloc.py", "dashboards.py"}
"""Scripts that serve this repository: they measure its code, or draw figures of its manual."""

CHOICES = {"train": ["task=cat2lion"], "study": ["study=guidance"]}
"""Of the groups that have no default."""


@pytest.fixture
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


def test_version_is_the_installed_one() -> None:
    assert i2i_dds.__version__.count(".") == 2
    try:
        installed = version("i2i-dds")
    except PackageNotFoundError:  # the tests also run from a checkout that is only on the path
        pytest.skip("i2i-dds is not installed here, only on the path")
    assert installed == i2i_dds.__version__


def test_wheel_carries_the_configs(project: dict) -> None:
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"conf": "i2i_dds/conf"}


def test_lightning_is_never_the_package_that_carried_malware(project: dict) -> None:
    extras = project["project"]["optional-dependencies"].values()
    required = [*project["project"]["dependencies"], *(item for extra in extras for item in extra)]
    assert not [item for item in required if item.startswith("lightning")]


def script_of(command: Command) -> str:
    """Where it lies in the repository."""
    name = f"{command.name.replace('-', '_')}.py"
    return name if command.name == "train" else f"scripts/{name}"


def test_console_commands_are_those_of_the_table(project: dict) -> None:
    installed = {f"i2i-{one.name}": f"{one.target}:main" for one in COMMANDS if one.console}
    assert project["project"]["scripts"] == {"i2i": "i2i_dds.cli.main:main", **installed}


def test_scripts_are_those_of_the_table(repository: Path) -> None:
    found = {f"scripts/{path.name}" for path in (repository / "scripts").glob("*.py")}
    found -= {f"scripts/{name}" for name in NO_COMMANDS}
    assert found | {"train.py"} == {script_of(command) for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_script_is_its_modules_main(repository: Path, command: Command) -> None:
    module = importlib.import_module(command.target)
    assert callable(module.main)
    text = f'from {command.target} import main\n\nif __name__ == "__main__":\n    main()\n'
    assert (repository / script_of(command)).read_text(encoding="utf-8") == text
    started = Path(module.__file__ or "").read_text(encoding="utf-8")  # with python -m
    assert started.endswith('\n\n\nif __name__ == "__main__":\n    main()\n')


def test_every_config_is_yaml(repository: Path) -> None:
    files = sorted((repository / "conf").rglob("*.yaml"))
    assert files
    for path in files:
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict | None), path


def test_makefile_targets_are_listed_by_help(repository: Path) -> None:
    done = subprocess.run(
        ["make", "help"], cwd=repository, capture_output=True, text=True, check=True
    )
    listed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("  make ")}
    promised = {"help", "setup", "train", "edit", "test", "test-all", "lint", "format", "type"}
    assert listed >= promised | {"clean"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the built wheel; dependencies come from this one."""
    folder, repository = tmp_path_factory.mktemp("wheel"), Path(__file__).parents[1]
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=repository, check=True)
    venv.create(folder / "venv", with_pip=False)
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(site)
    # A .pth inside a folder added by a .pth is not read, so an editable install stays out of it.
    here = Path(importlib.import_module("torch").__file__ or "").parents[1]
    (site / "dependencies.pth").write_text(f"{here}\n")
    return folder / "venv" / "bin" / "python"


def output(arguments: list[str], folder: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if arguments[0] == sys.executable:
        environment["PYTHONPATH"] = str(Path(__file__).parents[1] / "src")
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_wheel_holds_every_config_and_weight(installed: Path, repository: Path) -> None:
    inside = next(installed.parents[1].glob("lib/python*/site-packages/i2i_dds"))
    found = output(
        [str(installed), "-c", "import i2i_dds.cli.app as a; print(a.config_dir())"], inside
    )
    assert found == f"{inside / 'conf'}\n"
    for source, copy in (("conf", "conf"), ("src/i2i_dds/pocket", "pocket")):
        files = [path for path in (repository / source).rglob("*") if path.is_file()]
        names = {path.relative_to(repository / source) for path in files if path.suffix != ".pyc"}
        assert names <= {path.relative_to(inside / copy) for path in (inside / copy).rglob("*")}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_wheel_and_script_compose_the_same_config_and_job_name(
    installed: Path, repository: Path, tmp_path: Path, command: Command
) -> None:
    script = str(repository / script_of(command))
    console = f"import sys; from {command.target} import main; sys.exit(main())"
    started = [["-c", console], ["-m", command.target]]
    started += [["-m", "i2i_dds", command.name]] if command.console else []
    choices = CHOICES.get(command.name, [])
    for wanted in (["--cfg", "job"], ["--cfg", "hydra", "--package", "hydra.job"]):
        from_script = output([sys.executable, script, *choices, *wanted], tmp_path)
        for start in started:
            assert output([str(installed), *start, *choices, *wanted], tmp_path) == from_script
    assert f"name: {command.module}\n" in from_script
