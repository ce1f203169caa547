"""Folders of a work directory to and from a place that all machines reach, where they share no file system.

An object store knows no rename, so a folder counts as there once the marker beside it is
written, which is last; on this machine it appears by a rename.
"""

import shutil
from pathlib import Path

from curate.config import UsageError

_MARK = ".there"


class Travel:
    """Copies below `url` what lies below a local directory, under the same relative names."""

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            self.system, self.path = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"{url}: {error}; name a folder of a system that fsspec knows, and `pip install 'curate[s3]'` for s3://") from None

    def push(self, directory: Path, name: str, mark: bool = True) -> None:
        """Send a file or a folder, and its marker; files that are there in the same size and no older are not sent again."""
        local, there = directory / name, f"{self.path}/{name}"
        self.system.invalidate_cache()
        if local.is_file():
            self.system.put_file(str(local), there)
            return
        present = self.system.find(there, detail=True) if self.system.exists(there) else {}
        for file in sorted(path for path in local.rglob("*") if path.is_file()):
            target = f"{there}/{file.relative_to(local).as_posix()}"
            if not self._same(file, present.get(target)):
                self.system.put_file(str(file), target)
        if mark:
            self.system.pipe_file(f"{there}{_MARK}", b"")

    @staticmethod
    def _same(file: Path, info: dict | None) -> bool:
        if info is None or info["size"] != file.stat().st_size:
            return False
        modified = info.get("LastModified") or info.get("mtime")
        return hasattr(modified, "timestamp") and modified.timestamp() > file.stat().st_mtime

    def pull(self, directory: Path, name: str) -> None:
        """Fetch a file or a folder; a folder appears as a whole."""
        local, there = directory / name, f"{self.path}/{name}"
        local.parent.mkdir(parents=True, exist_ok=True)
        temporary = local.with_name(f"{local.name}.pulled")
        shutil.rmtree(temporary, ignore_errors=True)
        self.system.invalidate_cache()
        if self.system.isfile(there):
            self.system.get_file(there, str(temporary))
        else:
            for file in self.system.find(there):
                target = temporary / file[len(there) + 1 :]
                target.parent.mkdir(parents=True, exist_ok=True)
                self.system.get_file(file, str(target))
        if local.is_dir():
            shutil.rmtree(local)
        temporary.rename(local)

    def holds(self, name: str) -> bool:
        """There is such a file, or anything in such a folder."""
        self.system.invalidate_cache()
        return self.system.exists(f"{self.path}/{name}")

    def matching(self, pattern: str) -> list[str]:
        """Names of the files and folders that a glob finds, sorted."""
        self.system.invalidate_cache()
        return sorted(found[len(self.path) + 1 :].rstrip("/") for found in self.system.glob(f"{self.path}/{pattern}"))

    def there(self, folder: str) -> set[str]:
        """Names of the finished folders below `folder`."""
        self.system.invalidate_cache()
        try:
            listed = self.system.ls(f"{self.path}/{folder}", detail=False)
        except FileNotFoundError:
            return set()
        names = {path.rpartition("/")[2] for path in listed}
        return {name.removesuffix(_MARK) for name in names if name.endswith(_MARK)}

    def clear(self, name: str = "") -> None:
        """Remove a folder, or all of it."""
        there = f"{self.path}/{name}".rstrip("/")
        self.system.invalidate_cache()
        if self.system.exists(there):
            self.system.rm(there, recursive=True)
