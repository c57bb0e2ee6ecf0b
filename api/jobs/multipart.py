"""``multipart/form-data`` parsed as it comes, each file written to disk: memory is that of one piece."""

from collections.abc import AsyncIterator
from functools import partial

import anyio.to_thread
from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from askpix.api.jobs.uploads import Incoming, Uploads
from askpix.api.security.problems import ProblemError

_FIELDS = ("files", "files[]", "file")
_MAX_FIELD = 64 * 1024


class FilesOnDisk:
    """Parses one request. ``files`` are those that came whole; ``discard`` them when it fails."""

    def __init__(self, content_type: str, uploads: Uploads, *, max_file_bytes: int, max_bytes: int) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise ProblemError(415, "send multipart/form-data with 'files', or JSON with 'urls'")
        self.files: list[Incoming] = []
        self._uploads = uploads
        self._max_file = max_file_bytes
        self._max_bytes = max_bytes
        self._total = self._ignored = 0
        self._current: Incoming | None = None
        self._header = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:  # a boundary that is too long
            raise ProblemError(400, f"the multipart request is malformed: {error}") from error

    async def read(self, stream: AsyncIterator[bytes]) -> list[Incoming]:
        """Every file of the request. Raises ``ProblemError``: malformed, too large, too many, no file."""
        try:
            async for piece in stream:
                self._total += len(piece)
                if self._total > self._max_bytes:
                    raise ProblemError(413, f"the upload is over the limit of {self._max_bytes} bytes")
                # Disk and hashing wait in a thread, never the event loop.
                await anyio.to_thread.run_sync(partial(self._parser.write, piece))
            if not self._ended:
                raise ProblemError(400, "the multipart request broke off")
        except MultipartParseError as error:
            raise ProblemError(400, f"the multipart request is malformed: {error}") from error
        except OSError as error:
            raise ProblemError(507, f"the upload cannot be written: {error.strerror or error}") from error
        if not self.files:
            raise ProblemError(422, "the request holds no file; send them as 'files'")
        return self.files

    def discard(self) -> None:
        """Leave nothing of the request behind."""
        for file in (*self.files, *([self._current] if self._current else [])):
            file.discard()

    def _part_begin(self) -> None:
        self._headers = {}

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        name.clear()
        value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            self._current = None  # a plain field of a form: nothing we ask for
            return
        if field not in _FIELDS:
            raise ProblemError(422, f"files come as 'files', not as {field!r}")
        if len(self.files) >= self._uploads.max_files:
            raise ProblemError(413, f"more than {self._uploads.max_files} files in one upload")
        name = options[b"filename"].decode("utf-8", "replace")
        self._current = self._uploads.begin(name)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current is None:
            self._ignored += end - start
            if self._ignored > _MAX_FIELD:
                raise ProblemError(413, "the fields of the form are too long")
            return
        self._current.write(data[start:end])
        if self._current.size > self._max_file:
            raise ProblemError(413, f"a file is over the limit of {self._max_file} bytes")

    def _part_end(self) -> None:
        if self._current is not None:
            self.files.append(self._current)
            self._current = None

    def _end(self) -> None:
        self._ended = True
