"""Vision-language models in GGUF: which files are taken, and llama.cpp itself with a tiny model."""

import os
import signal
import struct
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants
from pydantic_ai.models import Model

from askpix.api.models.generators import choose
from askpix.core.errors import GenerationError, LimitError, ModelUnavailableError
from askpix.core.types import Box, Evidence, Hit, ImageRecord, Message, TextLine
from askpix.generation.generators import gguf
from askpix.generation.generators.base import GeneratorOptions, Piece, open_generator
from askpix.generation.generators.gguf_files import choose_files, locate, quant_of, read_header, split_quant
from askpix.generation.generators.hosted import HostedGenerator
from askpix.generation.prompting.prompt import build_messages
from askpix.generation.tasks.extract import extract_with
from askpix.retrieval.model_hub.download import weights_here
from askpix.retrieval.model_hub.registry import ModelFact
from tests.support.fake_hub import COMMIT, Hub, Repository, serving
from tests.support.fakes import picture
from tests.support.tiny_gguf import SAYS, write_gguf

MODEL, PROJECTOR = "TinyVLM-Q4_K_M.gguf", "mmproj-TinyVLM-f16.gguf"
GB = 10**9


def listed(*names: str, size: int = GB) -> dict[str, int]:
    return dict.fromkeys(names, size)


SMOLVLM = {
    "SmolVLM2-2.2B-Instruct-Q4_K_M.gguf": 1_112_000_000,
    "SmolVLM2-2.2B-Instruct-Q8_0.gguf": 1_928_000_000,
    "SmolVLM2-2.2B-Instruct-f16.gguf": 3_628_000_000,
    "mmproj-SmolVLM2-2.2B-Instruct-Q8_0.gguf": 593_000_000,
    "mmproj-SmolVLM2-2.2B-Instruct-f16.gguf": 872_000_000,
}
"""Names as ggml-org publishes them."""


@pytest.mark.parametrize(
    ("sizes", "quant", "memory", "model", "projector"),
    [
        (SMOLVLM, None, None, "SmolVLM2-2.2B-Instruct-Q4_K_M.gguf", "mmproj-SmolVLM2-2.2B-Instruct-f16.gguf"),
        (SMOLVLM, "q8_0", None, "SmolVLM2-2.2B-Instruct-Q8_0.gguf", "mmproj-SmolVLM2-2.2B-Instruct-f16.gguf"),
        # ggml-org's SmolVLM2-500M: no Q4_K_M.
        (
            listed("SmolVLM2-500M-Video-Instruct-Q8_0.gguf", "mmproj-SmolVLM2-500M-Video-Instruct-Q8_0.gguf")
            | listed("SmolVLM2-500M-Video-Instruct-f16.gguf", size=2 * GB),
            None,
            None,
            "SmolVLM2-500M-Video-Instruct-Q8_0.gguf",
            "mmproj-SmolVLM2-500M-Video-Instruct-Q8_0.gguf",
        ),
        # unsloth: projectors without a name, dynamic quantisations, imatrix data beside.
        (
            listed("Qwen3-VL-8B-Instruct-UD-Q4_K_XL.gguf", size=5 * GB)
            | listed("Qwen3-VL-8B-Instruct-Q6_K.gguf", size=7 * GB)
            | listed("Qwen3-VL-8B-Instruct-UD-IQ2_M.gguf", size=3 * GB)
            | listed("mmproj-F32.gguf", "mmproj-BF16.gguf", "mmproj-F16.gguf", "imatrix_unsloth.gguf"),
            None,
            None,
            "Qwen3-VL-8B-Instruct-UD-Q4_K_XL.gguf",
            "mmproj-F16.gguf",
        ),
        (
            listed("Qwen3-VL-8B-Instruct-UD-Q4_K_XL.gguf", size=5 * GB)
            | listed("Qwen3-VL-8B-Instruct-UD-IQ2_M.gguf", size=3 * GB)
            | listed("mmproj-F16.gguf"),
            None,
            5 * GB,
            "Qwen3-VL-8B-Instruct-UD-IQ2_M.gguf",
            "mmproj-F16.gguf",
        ),
        # openbmb's MiniCPM-V, Google's Gemma 3 and the first LLaVA.
        (listed("ggml-model-Q4_K_M.gguf", "mmproj-model-f16.gguf"), None, None, "ggml-model-Q4_K_M.gguf",
         "mmproj-model-f16.gguf"),
        (listed("gemma-3-4b-it-q4_0.gguf", "mmproj-model-f16-4B.gguf"), None, None, "gemma-3-4b-it-q4_0.gguf",
         "mmproj-model-f16-4B.gguf"),
        (listed("llava-llama-3-8b-v1_1-int4.gguf", "llava-llama-3-8b-v1_1-mmproj-f16.gguf"), None, None,
         "llava-llama-3-8b-v1_1-int4.gguf", "llava-llama-3-8b-v1_1-mmproj-f16.gguf"),
        # In parts, in a folder of its own.
        (
            listed(
                "Q4_K_M/InternVL3-78B-Q4_K_M-00002-of-00002.gguf",
                "Q4_K_M/InternVL3-78B-Q4_K_M-00001-of-00002.gguf",
                "mmproj-F16.gguf",
            ),
            None,
            None,
            "Q4_K_M/InternVL3-78B-Q4_K_M-00001-of-00002.gguf",
            "mmproj-F16.gguf",
        ),
    ],
)  # fmt: skip
def test_the_files_of_published_repositories_are_told_apart(
    sizes: dict[str, int], quant: str | None, memory: int | None, model: str, projector: str
) -> None:
    chosen = choose_files(sizes, quant, memory=memory, of="some/model")
    assert (chosen.model[0], chosen.projector) == (model, projector)
    assert chosen.bytes == sum(sizes[name] for name in chosen.names)


@pytest.mark.parametrize(
    ("sizes", "quant", "memory", "said"),
    [
        (listed("model.safetensors"), None, None, "holds no model in GGUF"),
        (listed("mmproj-F16.gguf"), None, None, "holds no model in GGUF"),
        (listed("gemma-3-270m-q4_k_m.gguf"), None, None, "has no image projector"),
        (SMOLVLM, "Q5_K_M", None, "has no quantisation 'Q5_K_M'; it has F16, Q4_K_M, Q8_0"),
        (SMOLVLM, None, GB, "needs at least 2.0 GB of memory and this machine has 1.0 GB"),
        (listed("a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "mmproj-F16.gguf"), None, None, "holds several models"),
        (listed("a-Q8_0-00001-of-00003.gguf", "a-Q8_0-00003-of-00003.gguf", "mmproj-F16.gguf"), None, None,
         "in 3 parts and 2 of them are there"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_said_by_the_names_alone(
    sizes: dict[str, int], quant: str | None, memory: int | None, said: str
) -> None:
    with pytest.raises(ModelUnavailableError) as error:
        choose_files(sizes, quant, memory=memory, of="some/model")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_colon_separates_the_quantisation(tmp_path: Path) -> None:
    assert split_quant("ggml-org/SmolVLM2-2.2B-Instruct-GGUF:Q8_0")[1] == "Q8_0"
    assert split_quant("ggml-org/SmolVLM2@refs/pr/1") == ("ggml-org/SmolVLM2@refs/pr/1", None)
    assert split_quant(r"C:\models\smol") == (r"C:\models\smol", None)
    (tmp_path / "a:b").mkdir()
    assert split_quant(str(tmp_path / "a:b")) == (str(tmp_path / "a:b"), None)
    assert quant_of("Qwen3VL-2B-Instruct-Q4_K_M") == "Q4_K_M" and quant_of("model") is None


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny")


def test_a_header_tells_window_memory_and_marks(tiny: Path) -> None:
    header = read_header(tiny / MODEL)
    assert header.context == 8192
    assert header.bytes_a_token == 2 * 2 * 2 * (16 + 16), "layers, heads, keys and values in half precision"
    assert {"<|im_end|>", "<fake_token_around_image>", "<row_1_col_1>"} <= set(header.marks)
    assert "a" not in header.marks


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<html>not found</html>", "is no GGUF file"),
        (b"GGUF", "damaged or cut off"),
        (struct.pack("<4sIQQ", b"GGUF", 9, 0, 0), "version 9"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 1, 2**60), "damaged or cut off"),
        (struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**62), "damaged or cut off"),
        # A list of 2^60 strings, and of as many numbers; a kind of value that there is none of.
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 8, 2**60), "damaged or cut off"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 5, 2**60), "damaged or cut off"),
        (struct.pack("<4sIQQQ1sI", b"GGUF", 3, 0, 1, 1, b"k", 99), "damaged or cut off"),
    ],
)
def test_a_damaged_header_is_one_line(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(data)
    with pytest.raises(ModelUnavailableError, match=said):
        read_header(tmp_path / "x.gguf")


def test_the_window_is_what_the_model_and_the_memory_hold(tiny: Path) -> None:
    header = read_header(tiny / MODEL)
    assert gguf.window_for(header, size=GB, memory=9 * GB, wanted=4096) == 4096
    assert gguf.window_for(header, size=GB, memory=9 * GB, wanted=100_000) == 8192
    room = 3_000 * header.bytes_a_token
    assert gguf.window_for(header, size=GB, memory=GB + 400_000_000 + room, wanted=4096) == 3_000
    with pytest.raises(ModelUnavailableError, match="smaller model or quantisation"):
        gguf.window_for(header, size=GB, memory=GB, wanted=4096)


# With llama.cpp itself.


def options(**more: object) -> GeneratorOptions:
    made: dict[str, object] = {
        "image_of": lambda record, side: picture("red", size=(record.width, record.height)),
        "max_tokens": 4000,
        "device": "cpu",
        "environment": os.environ,
    }
    return GeneratorOptions(**{**made, **more})  # type: ignore[arg-type]


def opened(folder: Path | str, **more: object) -> HostedGenerator:
    found = open_generator(f"gguf:{folder}", options(**more))
    assert isinstance(found, HostedGenerator)
    return found


@pytest.fixture(scope="module")
def generator(tiny: Path) -> HostedGenerator:
    return opened(tiny)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> HostedGenerator:
    return opened(write_gguf(tmp_path_factory.mktemp("gguf") / "endless", chat=None, endless=True))


def question(*sizes: tuple[int, int], line: str = "GRAND TOTAL 67.85") -> list[Message]:
    evidence = []
    for number, size in enumerate(sizes, start=1):
        record = ImageRecord(str(number), f"/scans/{number}.png", "page", *size)
        evidence.append(Evidence(number, Hit(number, record, 1.0), (TextLine(line, Box(1, 2, 3, 4)),)))
    return build_messages("What is the grand total?", evidence)


def written(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_it_streams_and_counts_what_images_cost(generator: HostedGenerator, tiny: Path) -> None:
    assert generator.model_id == f"gguf:{tiny}:Q4_K_M" and generator.window == 4000 + 2 * 1024
    sizes = (800, 1200), (2000, 100)
    pieces = list(generator.generate(question(*sizes)))
    assert written(pieces) == SAYS and len(pieces) > 5
    usage, plan = pieces[-1].usage, generator.plan(question(*sizes))
    assert usage and not usage.estimated and usage.cost_usd == 0.0 and not pieces[-1].cut
    # As SmolVLM cuts them: four tiles and the whole, two tiles and the whole; each with its marks.
    assert [sent.tokens for sent in usage.sent] == [18, 11] and usage.image_tokens == plan.image_tokens == 29
    without = list(generator.generate([Message("user", question(*sizes)[-1].text)]))[-1].usage
    assert without and usage.input_tokens > without.input_tokens
    assert list(generator.generate(question(*sizes)))[-1].usage == usage, "the same each time"


@pytest.mark.parametrize(("family", "tokens"), [("mlp", 4), ("internvl", 24), ("qwen2vl_merger", 107)])
def test_every_family_counts_its_own_tokens(family: str, tokens: int, tmp_path: Path) -> None:
    """Four patches; one and the marks around it; 11 x 7 and its marks: no formula of ours knows them."""
    pieces = list(opened(write_gguf(tmp_path, family=family)).generate(question((300, 200))))
    usage = pieces[-1].usage
    assert written(pieces) == SAYS and usage and usage.image_tokens == tokens


def test_images_are_sent_smaller_where_no_gpu_computes(generator: HostedGenerator) -> None:
    [sent] = generator.plan(question((3000, 4000))).sent
    assert sent.how == "picture" and 900_000 < sent.width * sent.height <= 1 << 20


def test_a_cut_answer_is_said_to_be_cut(generator: HostedGenerator) -> None:
    short = generator.showing(generator.image_of, max_tokens=4000)
    short.max_output = 3
    pieces = list(short.generate(question((80, 60))))
    assert written(pieces) == SAYS[:3] and pieces[-1].cut


def test_words_of_an_image_cannot_be_the_models_marks(generator: HostedGenerator) -> None:
    """``<|im_end|>`` in a scan is read letter by letter, and the space that breaks it."""

    def read(line: str) -> int:
        usage = list(generator.generate(question((80, 60), line=line)))[-1].usage
        assert usage
        return usage.input_tokens

    assert read("<|im_end|>") == read("-" * len("<|im_end|>")) + 1


def test_what_is_extracted_fits_the_schema_whatever_the_model(generator: HostedGenerator) -> None:
    """llama.cpp lets it write nothing else: ``Cat [1].`` is not what it would say."""
    fields = {"paid": {"type": "boolean"}, "kind": {"enum": ["receipt", "photo"]}}
    schema = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    [evidence] = question((80, 60))[-1].evidence
    found = extract_with(generator, schema, evidence)
    assert isinstance(found.value["paid"], bool) and found.value["kind"] in ("receipt", "photo")


def test_a_question_beyond_the_window_is_one_line(generator: HostedGenerator) -> None:
    """What each letter costs this tokenizer is far more than was planned for."""
    long = [Message("user", "word " * 1_500, question((80, 60))[-1].evidence)]
    with pytest.raises(LimitError, match=r"fewer images \(--top-k\)"):
        list(generator.generate(long))


def test_who_stops_reading_stops_it(endless: HostedGenerator) -> None:
    endless.max_output = 2_000
    stream = endless.generate(question((80, 60)))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    endless.max_output = 4
    # One question at a time: it is answered only when the one before was really stopped.
    assert list(endless.generate(question((80, 60))))[-1].cut


def test_a_crash_is_one_line_and_the_next_question_is_answered(endless: HostedGenerator) -> None:
    asking, child = threading.Event(), engine_pid(endless)
    opening = endless._open_model

    @asynccontextmanager
    async def opened() -> AsyncIterator[Model]:
        async with opening() as model:
            asking.set()
            yield model

    trial = endless.showing(endless.image_of, max_tokens=4000)
    trial._open_model = opened
    trial.plan(question((80, 60)))
    os.kill(child, signal.SIGSTOP)  # so that it cannot have answered before it ends
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(list, trial.generate(question((80, 60))))
        assert asking.wait(60)
        os.kill(child, signal.SIGKILL)
        with pytest.raises(GenerationError, match=r"llama\.cpp crashed .* ask again"):
            answer.result(60)
    endless.max_output = 4
    assert list(endless.generate(question((80, 60))))[-1].cut


def engine_pid(of: HostedGenerator) -> int:
    engine: gguf.Engine = of._open_model.__self__  # type: ignore[attr-defined]
    return engine.ready().pid


def children() -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                yield int(stat.parent.name)
        except OSError:
            continue


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("architecture", "unknown model architecture"),
        ("model", "corrupted or incomplete|damaged or cut off"),
        ("projector", "damaged or cut off"),
        ("memory", "memory"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why_and_leaves_no_process(
    damage: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_gguf(tmp_path, architecture="nonesuch" if damage == "architecture" else "llama")
    if damage in ("model", "projector"):
        path = folder / (MODEL if damage == "model" else PROJECTOR)
        path.write_bytes(path.read_bytes()[:-2_000])
    elif damage == "memory":
        monkeypatch.setattr(gguf, "_BESIDE", 10**15)
    before = set(children())
    with pytest.raises(ModelUnavailableError, match=said) as error:
        opened(folder)
    assert "\n" not in str(error.value)
    assert set(children()) <= before


@pytest.fixture
def hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {path.name: path.read_bytes() for path in tiny.iterdir()}
    more = {
        "TinyVLM-Q8_0.gguf": files[MODEL],
        "mmproj-TinyVLM-Q8_0.gguf": files[PROJECTOR],
        "README.md": b"x",
    }
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    blind = {MODEL: files[MODEL], "README.md": b"x"}
    with serving(Hub({"some/Tiny-GGUF": Repository(files | more), "some/Blind": Repository(blind)})) as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield found


def test_of_a_repository_only_what_is_taken_is_downloaded(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelUnavailableError, match="no image projector"):
        locate("some/Blind", memory=None)
    with pytest.raises(ModelUnavailableError, match="GB of memory"):
        locate("some/Tiny-GGUF", memory=1)
    assert not hub.asked, "nothing was downloaded for these"
    found = locate("some/Tiny-GGUF", memory=None)
    assert found.name == f"some/Tiny-GGUF@{COMMIT}:Q4_K_M"
    assert sorted(name for name, _ in hub.asked) == sorted([MODEL, PROJECTOR])
    assert locate("some/Tiny-GGUF", memory=None, local_files_only=True) == found
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailableError, match="no quantisation 'Q8_0'; it has Q4_K_M"):
        locate("some/Tiny-GGUF:Q8_0", memory=None)


def test_auto_takes_one_that_is_here(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = [
        ModelFact(
            id=f"gguf:some/Tiny-GGUF{quant}",
            role="generator",
            licence="MIT",
            languages=("*",),
            notes="",
            repo="some/Tiny-GGUF",
            auto_cpu=place,
        )
        for place, quant in enumerate((":Q8_0", ""), start=1)
    ]
    monkeypatch.setattr(gguf, "published", lambda *_: facts)
    assert list(gguf.KIND.found(options())) == [] and not weights_here("some/Tiny-GGUF")
    locate(f"some/Tiny-GGUF@{COMMIT}", memory=None)  # as an install does
    assert weights_here("some/Tiny-GGUF")
    assert list(gguf.KIND.found(options())) == ["some/Tiny-GGUF"]
    taken, why = choose("auto", options(), verdicts=None)
    assert taken.model_id == f"gguf:some/Tiny-GGUF@{COMMIT}:Q4_K_M" and "this machine" in why
