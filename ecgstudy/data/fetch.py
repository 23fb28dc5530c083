"""Download a public data set: in parallel, checked by SHA-256, and resumable at any point with the same command.

The publisher's checksum list names every file of a release and its hash, so one request tells what to fetch. Each file is
received under `NAME.part`, checked, and only then renamed: a file under its final name was complete when it was written. The part
of the list that the study uses is kept in the folder as `SHA256SUMS-VERSION.txt` (readable by `sha256sum -c`); a folder that
holds every file of that list needs no network again.

Names from the network are not trusted: one that is absolute or climbs out of its folder refuses the whole list.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from ecgstudy import files
from ecgstudy.data.manifest import Source, source, unsafe
from ecgstudy.data.transfer import Client, Refused, Stopped, blocks, reason_of, receive
from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.progress import progress

logger = logging.getLogger(__name__)

LARGEST_LIST = 256_000_000      # bytes; the longest real list is about a tenth of this
LISTED = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(\S.*)")


def fetch(dataset: str, destination: Path | None = None, *, workers: int = 8, base: str | None = None,
          repair: bool = False, budget: float | None = None) -> Path:
    """Make the folder of a data set complete and return it; nothing that is there already is downloaded again.

    dataset: a name of the manifest. destination: its folder, default `Source.path()`. workers: parallel downloads.
    base: another server of the same tree, used instead of the publisher and the mirrors. repair: also check the files of a
    complete folder, and replace those whose hash differs. budget: bytes; where the estimate of what is missing exceeds it, refuse
    before the network is asked for anything.
    Raises ConfigurationError for an unknown data set or beyond the budget; DataError where the network, the server or the disk
    fails, saying what to do; LockedError where another process fetches into the same folder.
    """
    entry = source(dataset)
    if base is not None:
        entry = replace(entry, base=base.rstrip("/") + "/", mirrors=())
    return fetch_source(entry, destination, workers=workers, repair=repair, budget=budget)


def fetch_source(entry: Source, destination: Path | None = None, *, workers: int = 8, repair: bool = False,
                 budget: float | None = None) -> Path:
    """`fetch` for an entry that need not stand in the manifest."""
    if workers < 1:
        raise ConfigurationError(f"workers is {workers}; expected at least 1")
    folder = _folder(entry, destination)
    if not repair and _kept(entry, folder) and available(entry, folder):
        return folder
    if budget is not None:
        _require_budget(entry, folder, budget)
    client = Client()
    sums = _checksums(client, entry, folder)
    _require_space(entry, folder, sum(not (folder / name).is_file() for name in sums) / len(sums))
    with _writing(entry, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with files.lock(folder / ".fetch.lock"):
            files.write_text(_kept_path(entry, folder), "".join(f"{value}  {name}\n" for name, value in sums.items()))
            damaged = _receive_all(_Job(client, entry, folder, sums, repair), workers)
    if damaged:
        raise DataError(f"{len(damaged)} of {len(sums)} files in {folder} differ from the publisher's checksums: "
                        f"{_some(damaged)}. Download them again with: {_command(entry)} --repair")
    return folder


def available(entry: Source, destination: Path | None = None) -> bool:
    """Whether its folder holds the data set: every file of a fetch that was begun, else the example file of the manifest.

    A copy that was placed by hand has no list of its own and is taken as whole; its reader checks each recording.
    """
    folder = _folder(entry, destination)
    if kept := _kept(entry, folder):
        return all((folder / name).is_file() for name in kept)
    return (folder / entry.example).is_file()


def interrupted(entry: Source, destination: Path | None = None) -> bool:
    """Whether a fetch into its folder was begun and is not complete."""
    folder = _folder(entry, destination)
    return bool(_kept(entry, folder)) and not available(entry, folder)


def advice(entry: Source, destination: Path | None = None) -> str:
    """What a person can do who has no complete copy: where it was looked for, the command, the way by hand, the way without."""
    folder = _folder(entry, destination)
    state = "holds no complete copy" if folder.is_dir() else "does not exist"
    by_hand = f"\n    {entry.by_hand}" if entry.by_hand else ""
    place = f"{entry.base}{entry.prefix} and place its files so that {folder / entry.example} exists"
    return (f"  Looked for: {folder} ({state}); the environment variable ECGSTUDY_DATA chooses the folder above it.\n"
            f"  With a network: {_command(entry)}   (about {_size(entry.approximate_bytes)}; goes on where it stopped)\n"
            f"  By hand: download {place}{by_hand}\n"
            f"  Without any download: -p dataset synthetic   (the embedded simulator)")


# The checksum list

def _checksums(client: Client, entry: Source, folder: Path) -> dict[str, str]:
    """{stored name: SHA-256} of what the study uses, from the first address that delivers a sound list."""
    reasons = []
    for address in entry.addresses():
        try:
            return _selected(entry, _received_list(client, address + entry.checksums))
        except Refused as refusal:
            reasons.append(str(refusal))
            logger.info("%s", refusal)
    raise DataError(f"{entry.name} ({entry.title}) could not be fetched: {'; '.join(reasons)}.\n{advice(entry, folder)}")


def _received_list(client: Client, url: str) -> dict[str, str]:
    """{listed name: SHA-256} of a whole release. Raises Refused for anything that is not such a list."""
    import requests

    content = bytearray()
    with client.first(url) as response:
        if response.status_code != 200:
            raise Refused(f"{url} answers {response.status_code} {response.reason}")
        try:
            for block in blocks(response, url):
                content += block
                if len(content) > LARGEST_LIST:
                    raise Refused(f"{url} is larger than {_size(LARGEST_LIST)}, which no checksum list is")
        except requests.RequestException as error:
            raise Refused(f"{url} broke off after {_size(len(content))} ({reason_of(error)})") from None
    sums: dict[str, str] = {}
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        found = LISTED.fullmatch(line.rstrip())
        if not found:
            raise Refused(f"{url} line {number} is {line[:60]!r}; expected a SHA-256 and a file name")
        value, name = found[1].lower(), found[2]
        if why := unsafe(name):
            raise Refused(f"{url} line {number} names {name[:60]!r}: {why}; the whole list is refused")
        if sums.setdefault(name, value) != value:
            raise Refused(f"{url} line {number} gives {name!r} a second, different SHA-256")
    return sums


def _selected(entry: Source, sums: dict[str, str]) -> dict[str, str]:
    stored = {name.removeprefix(entry.prefix): value for name, value in sums.items() if name.startswith(entry.prefix)}
    chosen = {name: value for name, value in stored.items() if entry.wants(name)}
    if not chosen:
        raise Refused(f"{entry.base}{entry.checksums} lists {len(sums)} files, none of them {entry.prefix}{entry.files[0]}")
    recordings = sum(name.endswith(".hea") for name in chosen)
    if recordings != entry.recordings:
        logger.warning("%s: the publisher lists %d recordings, the manifest says %d", entry.name, recordings, entry.recordings)
    return chosen


def _kept_path(entry: Source, folder: Path) -> Path:
    return folder / f"SHA256SUMS-{entry.version}.txt"


def _kept(entry: Source, folder: Path) -> list[str]:
    """The names that an earlier fetch of this version set out to get; empty where there was none."""
    try:
        lines = _kept_path(entry, folder).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    found = [LISTED.fullmatch(line) for line in lines]
    return [match[2] for match in found if match] if all(found) else []


# The files

@dataclass(frozen=True)
class _Job:
    client: Client
    entry: Source
    folder: Path
    sums: dict[str, str]
    repair: bool


def _receive_all(job: _Job, workers: int) -> list[str]:
    """Obtain every file, with one progress bar; returns the names of damaged ones that were left as they are.

    The first failure ends it: what is complete stays, and what is partial is resumed next time.
    """
    damaged, received = [], 0
    with ThreadPoolExecutor(workers, thread_name_prefix="fetch") as pool:
        todo = [pool.submit(_obtain, job, name) for name in job.sums]
        try:
            with progress(total=len(todo), desc=job.entry.name, unit="file") as bar:
                for done in as_completed(todo):
                    name, n_bytes = done.result()
                    received += n_bytes or 0
                    if n_bytes is None:
                        damaged.append(name)
                    bar.postfix = f"{received / 1e6:.1f} MB received"      # shown with the next update
                    bar.update(1)
        except BaseException:
            job.client.stop.set()
            pool.shutdown(cancel_futures=True)
            logger.warning("%s is incomplete in %s; the same command goes on from here: %s", job.entry.name, job.folder,
                           _command(job.entry))
            raise
    return sorted(damaged)


def _obtain(job: _Job, name: str) -> tuple[str, int | None]:
    """The name, and the bytes received for it: 0 where it was complete, None where it is damaged and not to be repaired."""
    target, expected = job.folder / name, job.sums[name]
    if job.client.stop.is_set():
        raise Stopped
    if target.is_file():
        if files.sha256(target) == expected:
            return name, 0
        if not job.repair:
            return name, None
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    reasons = []
    for address in job.entry.addresses():
        try:
            receive(job.client, address + job.entry.prefix + name, part, expected)
        except Refused as refusal:
            reasons.append(str(refusal))
            continue
        n_bytes = part.stat().st_size
        part.replace(target)
        return name, n_bytes
    raise DataError(f"{job.entry.name}: {name} could not be fetched: {'; '.join(reasons)}. What is complete stays; try again "
                    f"with: {_command(job.entry)}")


# The disk, and the words

def _require_space(entry: Source, folder: Path, share: float) -> None:
    """Refuse before writing where the missing share of the data set will not fit."""
    needed = int(entry.approximate_bytes * share * 1.05)
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DataError(f"{entry.name} needs about {_size(needed)} more in {folder}, but {_size(free)} are free; make room, or "
                        "choose another disk with ECGSTUDY_DATA")


def _require_budget(entry: Source, folder: Path, budget: float) -> None:
    """Refuse where the estimate of what is missing exceeds the budget; what an earlier fetch completed does not count."""
    if not budget > 0:
        raise ConfigurationError(f"the budget is {budget:g} bytes; expected a number above 0")
    kept = _kept(entry, folder)
    share = sum(not (folder / name).is_file() for name in kept) / len(kept) if kept else 1.0
    if (needed := entry.approximate_bytes * share) > budget:
        raise ConfigurationError(f"{entry.name} needs about {_size(needed)}, more than the budget of {_size(budget)}; nothing was "
                                 f"downloaded. Give a larger budget, or none: {_command(entry)}")


@contextlib.contextmanager
def _writing(entry: Source, folder: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into a DataError that says what is needed."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{entry.name} cannot be written to {folder} ({error.strerror or error}); the whole data set needs about "
                        f"{_size(entry.approximate_bytes)}. Choose a folder that can be written with ECGSTUDY_DATA, then: "
                        f"{_command(entry)}") from error


def _folder(entry: Source, destination: Path | None) -> Path:
    return (Path(destination).expanduser() if destination is not None else entry.path()).absolute()


def _command(entry: Source) -> str:
    return f"python -m ecgstudy data fetch {entry.name}"


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
