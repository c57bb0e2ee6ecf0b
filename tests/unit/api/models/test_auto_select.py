"""What ``auto`` takes: weights in a made-up hub cache, an opener that works or fails, languages."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from askpix.api.models.auto_select import (
    Machine,
    best_embedder,
    choose,
    hub_reachable,
    this_machine,
    wanted_languages,
)
from askpix.api.models.installed import Installations, Installed
from askpix.api.models.proofs import Proof, Proofs
from askpix.api.services.models import own_rerankers, published_models
from askpix.api.settings import Settings
from askpix.core.errors import ModelUnavailableError
from askpix.retrieval.embedders.base import Embedder
from askpix.retrieval.model_hub.download import weights_here
from askpix.retrieval.model_hub.registry import find_fact
from tests.support.fakes import ColourEmbedder

SIGLIP2, CLIP = "google/siglip2-base-patch16-224", "openai/clip-vit-base-patch32"
NLLB = "visheratin/nllb-clip-base-siglip"
Cache = Callable[..., None]
CPU, GPU = Machine("cpu", None), Machine("gpu", None)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Puts repositories into an otherwise empty hub cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(*repos: str) -> None:
        for repo in repos:
            folder = tmp_path / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots" / "abc"
            folder.mkdir(parents=True)
            (folder / "onnx").mkdir()
            for name in ("model.safetensors", "onnx/vision_model.onnx", "onnx/text_model.onnx"):
                (folder / name).write_bytes(b"x")
            (folder / "config.json").write_text("{}")
            (folder.parents[1] / "refs").mkdir()
            (folder.parents[1] / "refs" / "main").write_text("abc")

    return put


def works(embedder_id: str) -> Embedder:
    return ColourEmbedder(model_id=embedder_id)


def fails(embedder_id: str) -> Embedder:
    raise ModelUnavailableError(f"cannot load {embedder_id!r}")


def settings(languages: str = "en") -> Settings:
    return Settings(languages=languages)


def test_with_nothing_else_here_it_is_mini(cache: Cache) -> None:
    choice = choose(settings(), open_embedder=fails)
    assert choice.embedder_id == "mini" and "no weights" in choice.reason


def test_the_best_of_what_is_here(cache: Cache) -> None:
    cache(SIGLIP2, CLIP)
    choice = choose(settings(), open_embedder=works, machine=CPU)
    assert choice.embedder_id == f"transformers:{SIGLIP2}" and "CPU" in choice.reason


def test_a_gpu_takes_a_larger_one(cache: Cache) -> None:
    cache(SIGLIP2, "google/siglip2-so400m-patch14-384")
    big = choose(settings(), open_embedder=works, machine=GPU)
    assert big.embedder_id == "transformers:google/siglip2-so400m-patch14-384"
    assert choose(settings(), open_embedder=works, machine=CPU).embedder_id == f"transformers:{SIGLIP2}"


def test_what_does_not_open_is_passed_over_and_told(cache: Cache) -> None:
    cache(SIGLIP2, CLIP)

    def only_clip(embedder_id: str) -> Embedder:
        return works(embedder_id) if CLIP in embedder_id else fails(embedder_id)

    choice = choose(settings(), open_embedder=only_clip, machine=CPU)
    assert choice.embedder_id == f"transformers:{CLIP}" and SIGLIP2 in choice.reason
    none = choose(settings(), open_embedder=fails, machine=CPU)
    assert none.embedder_id == "mini" and "does not open" in none.reason


def test_what_failed_its_proof_is_passed_over(cache: Cache, tmp_path: Path) -> None:
    cache(SIGLIP2, CLIP)
    home = Settings(languages="en", home=tmp_path / "home")
    failed = Proof(
        model_id=f"transformers:{SIGLIP2}",
        role="embedder",
        passed=False,
        found="found 1 of 12",
        bar="at least 8 of 12",
        checked_at=1,
        key=f"transformers:{SIGLIP2}@abc",
    )
    Proofs(home.home).keep(failed)
    choice = choose(home, open_embedder=works, machine=CPU)
    assert (
        choice.embedder_id == f"transformers:{CLIP}"
        and f"{SIGLIP2} is here but does not work" in choice.reason
    )
    assert "found 1 of 12; expected at least 8 of 12" in choice.reason
    Proofs(home.home).keep(replace(failed, key=f"transformers:{SIGLIP2}@earlier"))
    assert Proofs(home.home).forget(failed.key) == 1
    choice = choose(home, open_embedder=works, machine=CPU)
    assert SIGLIP2 in choice.embedder_id, "other weights of the same repository are not judged by these"


def test_other_languages_come_first_to_those_who_ask_for_them(cache: Cache) -> None:
    cache("google/siglip-base-patch16-224", NLLB)
    english = choose(settings("en"), open_embedder=works, machine=CPU)
    assert english.embedder_id == "transformers:google/siglip-base-patch16-224"
    bengali = choose(settings("bn"), open_embedder=works, machine=CPU)
    assert bengali.embedder_id == "open_clip:nllb-clip-base-siglip@v1" and "bn" in bengali.reason


def test_siglip2_serves_german_and_nllb_what_it_is_weak_in(cache: Cache) -> None:
    cache(SIGLIP2, NLLB)
    assert SIGLIP2 in choose(settings("de,en"), open_embedder=works, machine=CPU).embedder_id
    assert "nllb" in choose(settings("bn en"), open_embedder=works, machine=CPU).embedder_id
    assert SIGLIP2 in choose(settings("en"), open_embedder=works, machine=CPU).embedder_id


def test_a_non_commercial_licence_is_taken_for_nobody_who_needs_only_english(cache: Cache) -> None:
    cache(NLLB)
    assert choose(settings("en"), open_embedder=works, machine=CPU).embedder_id == "mini"


def test_mini_says_when_it_is_not_for_the_language(cache: Cache) -> None:
    assert "de was asked for" in choose(settings("de"), open_embedder=works).reason


def test_half_a_download_is_no_model(cache: Cache, tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--google--siglip2-base-patch16-224" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert not weights_here(SIGLIP2)
    (folder / "model.safetensors").symlink_to(tmp_path / "blob that is gone")
    assert not weights_here(SIGLIP2)
    (tmp_path / "blob that is gone").write_bytes(b"x")
    assert weights_here(SIGLIP2)


def test_a_part_of_a_repository_is_not_its_other_models(cache: Cache, tmp_path: Path) -> None:
    """EmbeddingGemma 2 as text embedder is one graph of two: ``auto`` would fetch the other unasked."""
    folder = tmp_path / "hub" / "models--onnx-community--embeddinggemma-2-ONNX" / "snapshots" / "abc"
    (folder / "onnx").mkdir(parents=True)
    for name in ("config.json", "onnx/model.onnx"):
        (folder / name).write_text("{}")
    words, both = find_fact("embeddinggemma-2-text"), find_fact("embeddinggemma-2")
    assert words is not None and both is not None and words.repo == both.repo
    assert weights_here(words.repo, words.files) and not weights_here(both.repo, both.files)
    assert choose(settings("bn"), open_embedder=works, machine=CPU).embedder_id == "mini"
    (folder / "onnx" / "vision_encoder.onnx").write_text("{}")
    assert weights_here(both.repo, both.files)
    assert choose(settings("bn"), open_embedder=works, machine=CPU).embedder_id == both.id


@pytest.mark.parametrize(
    ("text", "codes"),
    [("de", ("de",)), ("de,en", ("de", "en")), ("pt-BR zh_CN", ("pt", "zh")), (" , ", ("en",))],
)
def test_languages_as_people_write_them(text: str, codes: tuple[str, ...]) -> None:
    assert wanted_languages(settings(text)) == codes


def test_the_locale_decides_when_nobody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, codes in (
        (("de_DE", "UTF-8"), ("de", "en")),
        ((None, None), ("en",)),
        (("C", "UTF-8"), ("en",)),
    ):
        monkeypatch.setattr("locale.getlocale", lambda given=given: given)
        monkeypatch.setattr("locale.setlocale", lambda *_: "C")
        assert wanted_languages(settings("auto")) == codes


def test_the_table_says_why_not(cache: Cache) -> None:
    cache(SIGLIP2)
    rows = {row.id: row for row in published_models()}
    here, away = rows[f"transformers:{SIGLIP2}"], rows[f"transformers:{CLIP}"]
    assert here.usable and here.reason is None
    assert (
        not away.usable
        and away.reason is not None
        and "weights" in away.reason
        and "HF_HUB_OFFLINE" in away.reason
    )
    assert (
        away.scores[0].value == 30.4 and "open_clip" in away.scores[0].source and away.languages == "English"
    )
    assert hub_reachable() == "HF_HUB_OFFLINE is set"


def test_the_table_has_page_embedders_text_embedders_and_rerankers(cache: Cache) -> None:
    cache("vidore/colqwen2-v1.0-hf", "BAAI/bge-reranker-v2-m3")
    rows = {row.id: row for row in [*published_models(), *own_rerankers()]}
    pages = rows["transformers:vidore/colqwen2-v1.0-hf"]
    assert pages.role == "page embedder" and pages.usable and pages.dim == 128
    assert pages.scores[0].benchmark.startswith("ViDoRe")
    reranker = rows["transformers:BAAI/bge-reranker-v2-m3"]
    assert reranker.role == "reranker" and reranker.usable and reranker.languages == "many"
    away = rows["transformers:cross-encoder/ms-marco-MiniLM-L6-v2"]
    assert not away.usable and "weights" in str(away.reason) and away.languages == "English"
    assert rows["onnx:intfloat/multilingual-e5-small"].role == "text embedder"
    assert rows["pages"].role == rows["generator[:ID]"].role == "reranker"


def test_none_of_them_is_taken_for_an_embedder_by_itself(cache: Cache) -> None:
    cache("vidore/colqwen2-v1.0-hf", "BAAI/bge-reranker-v2-m3", "intfloat/multilingual-e5-small")
    assert choose(settings(), open_embedder=works, machine=GPU).embedder_id == "mini"


@pytest.mark.parametrize(
    ("machine", "languages", "name"),
    [
        (Machine("cpu", 8_000), "en", "siglip2-base"),
        (Machine("cpu", 8_000), "de,en", "siglip2-base"),
        (Machine("cpu", 2_000), "en", "siglip-base"),
        (Machine("cpu", 8_000), "bn", "embeddinggemma-2"),
        (Machine("weak", 4_000), "en", "siglip2-b32"),
        (Machine("weak", 1_500), "en", "clip-b32-laion-onnx"),
        (Machine("gpu", 20_000), "en", "pe-core-g"),
        (Machine("gpu", 20_000), "de,en", "siglip2-giant"),
        (Machine("gpu", 7_000), "en", "pe-core-l"),
        (Machine("gpu", 7_000), "de,en", "siglip2-so400m"),
    ],
)
def test_the_best_for_a_machine_fits_its_memory_and_languages(
    machine: Machine, languages: str, name: str
) -> None:
    best = best_embedder(settings(languages), machine)
    assert best is not None and best.name == name and not best.non_commercial


def test_a_licence_for_research_is_never_recommended() -> None:
    for languages in ("en", "bn", "sw,mi"):
        for machine in (CPU, GPU, Machine("weak", 700)):
            best = best_embedder(settings(languages), machine)
            assert best is None or not best.non_commercial
    assert best_embedder(settings(), Machine("cpu", 10)) is None


def test_the_machine_is_what_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("askpix.api.models.auto_select.usable_cores", lambda: 8)
    monkeypatch.setattr("askpix.api.models.auto_select.usable_memory_mb", lambda: 10_000.0)
    assert this_machine("cpu") == Machine("cpu", 6_000.0)
    monkeypatch.setattr("askpix.api.models.auto_select.usable_cores", lambda: 2)
    assert this_machine("cpu").device == "weak"


def test_the_installed_commit_is_opened(cache: Cache, tmp_path: Path) -> None:
    repository, commit = "onnx-community/siglip2-base-patch16-224-ONNX", "0123456789" * 4
    cache(repository)
    home = settings().model_copy(update={"home": tmp_path / "home"})
    kept = Installed(f"onnx:{repository}", "embedder", commit, 1, 1)
    Installations(home.home).keep(kept)
    assert choose(home, open_embedder=works, machine=CPU).embedder_id == f"onnx:{repository}@{commit}"
    Installations(home.home).forget(kept.id)
    assert choose(home, open_embedder=works, machine=CPU).embedder_id == f"onnx:{repository}"


def test_ids_are_pinned_where_their_kind_can() -> None:
    for plain, pinned in (
        ("onnx:a/b+fp16", "onnx:a/b@c0+fp16"),
        ("transformers:a/b", "transformers:a/b@c0"),
        ("gguf:a/b:Q4_K_M", "gguf:a/b@c0:Q4_K_M"),
        ("open_clip:ViT-B-32@openai", "open_clip:ViT-B-32@openai"),
    ):
        assert Installed(plain, "embedder", "c0", 1, 1).pinned_id == pinned


@pytest.mark.parametrize("held", ["", "[]", '{"installed": 7}', '{"installed": [{"id": "x"}]}', "[" * 9999])
def test_a_damaged_file_is_as_good_as_none(held: str, tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text(held)
    kept = Installations(tmp_path)
    assert kept.all() == {} and not kept.answered and kept.pinned("x") == "x"
    kept.answer()
    assert Installations(tmp_path).answered
