"""What pyproject.toml cannot say: a wheel holds the suites, which people edit in suites/, as bench/suites."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSuites(build_py):
    """Copies the suites and their schema beside the modules; an editable install reads them where they are."""

    def run(self) -> None:
        """Build as ever, then copy."""
        super().run()
        if not self.editable_mode:
            self.copy_tree("suites", str(Path(self.build_lib) / "bench" / "suites"))


setup(cmdclass={"build_py": BuildWithSuites})
