"""Room for recordings, as the recorder will judge it."""

import os
import shutil
from pathlib import Path

from insertion_vla.preflight_checks.finding import Finding
from insertion_vla.preflight_checks.selection import Selection

GB = 1e9


def check_disk(selection: Selection) -> list[Finding]:
    """Free space at the folder of recordings against the recorder's floor."""
    recorder = selection.parameters("episode")
    folder = Path(selection.record or recorder.folder).expanduser().absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        fix = "name another folder (record:=FOLDER or episode.folder), or let this user write there"
        return [Finding("disk", "fix", f"{folder} cannot be written", fix)]
    free_gb = shutil.disk_usage(there).free / GB
    figures = f"{free_gb:.1f} GB free for {folder}, the recorder's floor is {recorder.min_free_gb:g} GB"
    if free_gb < recorder.min_free_gb:
        return [Finding("disk", "fix", figures, "free some space, or record to another disk")]
    return [Finding("disk", "ok", figures)]
