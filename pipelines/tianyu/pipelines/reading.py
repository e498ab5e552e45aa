"""Reading frames one ahead: the next one is read and decompressed while one is worked on."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import PermanentError
from tianyu.pipelines.frames import FrameFile, RawFile, read_file
from tianyu.pipelines.gpu import find_gpu
from tianyu.pipelines.kernels import gpu_kernels
from tianyu.pipelines.science.overscan import RawFrame


@dataclass(frozen=True)
class Arrival:
    """A frame that was read, or why it could not be.

    Attributes
    ----------
    file : FrameFile
    content : RawFile or None
    problem : PermanentError or None
        Raised by :meth:`raw`.
    """

    file: FrameFile
    content: RawFile | None
    problem: PermanentError | None = None

    def raw(self) -> RawFrame:
        """Return the frame.

        Raises
        ------
        PermanentError
            If it could not be read.
        """
        if self.content is None:
            raise self.problem or PermanentError(f"{self.file.name} was not read")
        return self.content.raw

    @property
    def checksum(self) -> str | None:
        """SHA-256 of the bytes that were read, in hexadecimal; None if it was not asked for."""
        return None if self.content is None else self.content.checksum


def read_ahead(
    context: StepContext, files: Sequence[FrameFile], *, with_checksum: bool = False
) -> Iterator[Arrival]:
    """Yield frames in their order, while a thread reads the one after.

    At most two raw frames are in memory. Frames that cannot be read are yielded too; what is no
    fault of theirs, like a disk that does not answer, is raised.

    Parameters
    ----------
    context : StepContext
        Its traffic counts the bytes of a frame when it is yielded.
    files : sequence of FrameFile
    with_checksum : bool, optional
        Whether to compute the checksum of each file, from the same bytes.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        following = None
        for number, file in enumerate(files):
            arriving = following or reader.submit(_read, file, with_checksum)
            following = None
            arrival = arriving.result()
            del arriving  # it would keep the frame in memory for as long as the next is waited for
            if number + 1 < len(files):
                following = reader.submit(_read, files[number + 1], with_checksum)
            if arrival.content is not None:
                context.traffic.read += arrival.content.n_bytes
            yield arrival


def _read(file: FrameFile, with_checksum: bool) -> Arrival:
    try:
        content = read_file(file, with_checksum=with_checksum)
    except PermanentError as error:
        return Arrival(file, None, error)
    if gpu_kernels():
        # On its way while the one before is worked on.
        content = replace(content, raw=find_gpu().sent(content.raw))
    return Arrival(file, content)
