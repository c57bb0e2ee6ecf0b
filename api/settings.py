"""Every knob, its default and meaning. Read once at the edge; below ``api`` plain arguments are passed."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import platformdirs
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from askpix.core.errors import AskpixError
from askpix.core.log import hide

if TYPE_CHECKING:
    from askpix.core.imaging.decode import ImageLimits


class Settings(BaseSettings):
    """Settings from the environment (prefix ``ASKPIX_``) or a ``.env`` file in the working folder."""

    model_config = SettingsConfigDict(env_prefix="ASKPIX_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("askpix", appauthor=False)),
        description="The one folder with catalog, vectors and settings of collections.",
    )
    database_url: str | None = Field(
        default=None,
        repr=False,
        description="Catalog on PostgreSQL (postgresql://USER:PASSWORD@HOST/DATABASE), for many machines; "
        "not set: a SQLite file in the home.",
    )
    embedder: str = Field(
        default="auto", description="Embedder of new collections; `askpix models` lists the ids."
    )
    languages: str = Field(
        default="auto",
        description="Languages of searches (de,en): what `auto` looks for in an embedder. auto: your locale.",
    )
    download: Literal["ask", "always", "never"] = Field(
        default="ask",
        description="A better embedder than `mini` at the first `index` or `serve`: ask (where there is a "
        "terminal, else no), always, never.",
    )
    device: str = Field(
        default="auto",
        description="Where models run: cuda, cuda:1, mps or cpu. auto: the best there is.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        default="auto",
        description="Of embedders; int8 on a CPU. auto: bf16 where a GPU has it, else fp16 for families that "
        "fit it, fp32 for the rest; fp32 on a CPU.",
    )
    compile: bool = Field(
        default=False, description="Let torch.compile build the image tower: slow start, faster long runs."
    )
    text_embedder: str = Field(
        default="auto",
        description="Embedder of the words in images of new collections: auto, or onnx:DIR_OR_REPO.",
    )
    page_embedder: str = Field(
        default="none",
        description="Late-interaction model for pages of new collections: none, transformers:DIR_OR_REPO.",
    )
    rerank: str = Field(
        default="none",
        description="Second look at the first 50 hits: none, pages, onnx:DIR, transformers:DIR_OR_REPO, "
        "generator.",
    )
    generator: str = Field(default="auto", description="Who writes answers; `askpix models` lists the ids.")
    generator_precision: Literal["auto", "fp32", "bf16", "fp16", "int8", "int4"] = Field(
        default="auto", description="Of a generator in this process; int8, int4: weights packed as they load."
    )
    second_look: bool = Field(
        default=False,
        description="Claims that the words read do not bear: the model looks again at the place, enlarged; "
        "also `ask --second-look`.",
    )
    local_servers: str = Field(
        default="http://localhost:11434/v1 http://localhost:1234/v1 http://localhost:8080/v1 "
        "http://localhost:8000/v1 http://localhost:30000/v1",
        description="Where `auto` looks for a model here (Ollama, LM Studio, llama.cpp, vLLM, SGLang).",
    )
    server_key: str | None = Field(
        default=None, repr=False, description="Key for openai-compatible servers that want one."
    )
    prove_sight: bool = Field(
        default=True, description="Send a model one riddle image first, to see whether it really sees."
    )
    max_input_tokens: int = Field(
        default=16_000,
        ge=500,
        description="Tokens that a question may cost a model: images are shrunk to fit, and it says how.",
    )
    ocr: Literal["auto", "on", "off"] = Field(
        default="auto", description="Read the words in images at indexing."
    )
    ocr_models: Path | None = Field(
        default=None,
        description="Folder with PP-OCR models (*rec*.onnx, *det*.onnx) for another script than the wheel's.",
    )
    office: str = Field(
        default="",
        description="LibreOffice's program (`soffice`), to index office documents as the PDFs they become.",
    )
    pdf_dpi: int = Field(
        default=150,
        ge=36,
        le=600,
        description="Dots an inch at which pages of PDFs are drawn to be read and shown; boxes stay "
        "those at 150.",
    )
    develop_raw: bool = Field(
        default=False, description="Camera raw files from the sensor instead of the preview in them: slow."
    )
    openvino: bool = Field(
        default=True, description="Use OpenVINO where it is installed: to read words, and for `onnx:` models."
    )
    workers: int = Field(
        default=0, ge=0, description="Threads for embedding and reading; 0 = one per CPU core."
    )
    max_image_bytes: int = Field(default=256 * 2**20, ge=1, description="Larger files are refused, in bytes.")
    max_image_pixels: int = Field(
        default=120_000_000,
        ge=1,
        description="Larger images are refused before decoding, in pixels; JPEGs over four times as many.",
    )
    max_decode_seconds: float = Field(
        default=60.0,
        gt=0,
        description="CPU seconds that a page, drawing or raw file may take to decode, a video's scene twice "
        "that; a file that exceeds it twice is set aside until it changes.",
    )
    store: str = Field(
        default="edge",
        description="Who keeps the vectors of new collections: edge, qdrant, faiss or a plug-in's; others "
        "stay where they are.",
    )
    qdrant_url: str | None = Field(
        default=None,
        description="Address of a Qdrant server, http://HOST:6333; of a cluster several, with commas.",
    )
    qdrant_api_key: str | None = Field(
        default=None, repr=False, description="Its key, if it wants one; every address gets it."
    )
    qdrant_timeout_s: float = Field(default=30.0, gt=0, description="Seconds one request to it may take.")
    qdrant_shards: int = Field(default=1, ge=1, description="Pieces a new collection there is split into.")
    qdrant_replicas: int = Field(default=1, ge=1, description="Copies of each piece, on as many nodes.")
    qdrant_write_replicas: int = Field(
        default=1,
        ge=1,
        description="Copies that must have a write before it counts; as many as there are of two or more: a "
        "lost node stops all writing.",
    )
    qdrant_quantization: Literal["turbo", "scalar", "binary", "product", "none"] = Field(
        default="turbo", description="Codes in memory that searches there scan."
    )
    faiss_index: Literal["auto", "flat", "hnsw", "ivf_pq"] = Field(
        default="auto", description="Index of FAISS stores; auto goes by size."
    )
    remember_queries: int = Field(
        default=200,
        ge=0,
        description="Latest searches a collection keeps, in its home, to judge a change of the model by.",
    )
    wait_s: float = Field(
        default=15.0, ge=0, description="Seconds to wait for a collection that another process holds."
    )
    max_upload_bytes: int = Field(
        default=2 * 2**30,
        ge=1,
        description="Of all files in one upload; each is under ASKPIX_MAX_IMAGE_BYTES.",
    )
    max_upload_files: int = Field(default=1000, ge=1, description="Files or URLs in one upload.")
    requests_per_minute: int = Field(
        default=1200, ge=0, description="Of one key, before the service answers 429; 0 = no limit."
    )
    max_waiting: int = Field(
        default=256,
        ge=1,
        description="Requests at work or waiting, before the service answers 503; half of them for one key.",
    )
    cors_origins: str = Field(
        default="",
        description="Other sites whose pages may call the service, with keys of their own: https://...",
    )

    log: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="How the service logs on standard error. auto: text in a terminal, JSON lines elsewhere.",
    )

    @field_validator("home", mode="before")
    @classmethod
    def _not_empty(cls, home: Any) -> Any:
        if home == "":  # a path of no characters would be the working folder
            raise ValueError("it is empty; name a folder, or unset it for the usual one")
        return home

    @property
    def allowed_origins(self) -> list[str]:
        """``cors_origins``, one by one."""
        return self.cors_origins.replace(",", " ").split()

    def image_limits(self) -> "ImageLimits":
        """Return the limits on what is decoded, and on what may be used to decode it.

        Raises ``AskpixError`` where that is not there: else each document would fail for the settings' sake.
        """
        if self.office and shutil.which(self.office) is None:
            raise AskpixError(
                f"ASKPIX_OFFICE={self.office!r} is no program here: install LibreOffice, or unset it"
            )
        from askpix.core.imaging.decode import ImageLimits  # noqa: PLC0415 - Pillow is not for every command

        return ImageLimits(
            max_bytes=self.max_image_bytes,
            max_pixels=self.max_image_pixels,
            decode_seconds=self.max_decode_seconds,
            office=self.office or None,
            develop=self.develop_raw,
            pdf_dpi=self.pdf_dpi,
        )


def load_settings(**given: Any) -> Settings:
    """The settings of this process; ``given`` win over its environment. A wrong value is one clear line."""
    if unknown := sorted(given.keys() - Settings.model_fields.keys()):
        raise AskpixError(f"there is no setting {unknown[0]!r}; docs and `.env.example` list them")
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = "ASKPIX_" + "_".join(str(part) for part in first["loc"]).upper()
        raise AskpixError(f"setting {name}={first.get('input')!r}: {first['msg'].lower()}") from error
    hide(settings.server_key, settings.qdrant_api_key)
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})
