"""Every error Askpix raises on purpose.

    AskpixError                 something a person can act on; the message says what to do
    ├── BadImageError           unreadable, unsupported or over a limit: this one file fails, the run goes on
    │   └── DecoderKilledError  its decoder crashed or was killed at a limit
    ├── BadQueryError           the question or its filters cannot be understood
    ├── IndexMismatchError      the collection was made with another model or a newer version
    ├── NotFoundError           no such collection, image, model or path
    ├── ModelUnavailableError   the named embedder or generator cannot run here and now
    ├── StoreUnavailableError   the index is held by another process, gone, full or damaged
    ├── GenerationError         the generator failed or answered nonsense
    │   ├── NoSightError        it takes no images at all
    │   └── EmptyReplyError     it wrote nothing, or thoughts alone
    ├── LimitError              a size, rate or budget limit was reached
    └── AuthError               no key, a wrong key, or a key without the right

Foreign exceptions are translated once, in the module that owns the foreign library, with
``raise ... from``. Messages quote values with ``!r``. Anything else that escapes is a bug and stays a
traceback.
"""


class AskpixError(Exception):
    """Root of every error raised on purpose. ``str(error)`` is one line for a person."""


class BadImageError(AskpixError):
    """The bytes are not an image we can or want to decode. Counted per file; never ends a run."""


class DecoderKilledError(BadImageError):
    """A decoder crashed or was killed at a limit. After two such failures a file is set aside."""


class BadQueryError(AskpixError):
    """The search or question is empty or contradicts itself."""


class IndexMismatchError(AskpixError):
    """The collection belongs to another model, or its files to a newer version of Askpix."""


class NotFoundError(AskpixError):
    """A collection, image, model or path that was named does not exist."""


class ModelUnavailableError(AskpixError):
    """The named embedder or generator cannot run here: the message says what is missing."""


class StoreUnavailableError(AskpixError):
    """The index cannot be opened or written now: held by another process, disk full, damaged."""


class GenerationError(AskpixError):
    """The generator failed, or what it wrote cannot be used."""


class NoSightError(GenerationError):
    """The back end refuses images: it can be asked with words alone."""


class EmptyReplyError(GenerationError):
    """The model wrote no answer. It is not asked again on its own: that costs as much once more."""


class LimitError(AskpixError):
    """A size, rate or budget limit was reached."""


class AuthError(AskpixError):
    """The key is missing, wrong, or lacks the right that the action needs."""
