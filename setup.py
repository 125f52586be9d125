"""What pyproject.toml cannot say: a wheel also holds the notebooks and the parameter files."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithProject(build_py):
    """Lays them beside the rooms, where `dmnet_lib.core.project` looks for them."""

    def run(self) -> None:
        """Copy the packages, then the files of a project; an editable install has its clone."""
        super().run()
        if self.editable_mode:
            return
        for pattern in ("params/*.yaml", "notebooks/*.ipynb", "notebooks/recipes/*.ipynb"):
            for path in Path().glob(pattern):
                target = Path(self.build_lib, "dmnet_lib", "project", path)
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": WithProject})
