"""One run of another data generator, in a process and an environment of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ |= {
    "TELEMETRY_ENABLED": "false",
    "NEMO_TELEMETRY_ENABLED": "false",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
}
os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none"}
os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}

import _bench as bench
from _generation_items import Usage, prompt

MODEL = "qwen-plus"
Run = Callable[[list[str]], int]
"""Gets answers to prompts; how many it got."""


def distilabel(job: dict[str, Any]) -> Run:
    """A pipeline of one TextGeneration step; a batch is what may be in flight, its retries as they come."""
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    def run(prompts: list[str]) -> int:
        with Pipeline(name="bench", cache_dir="distilabel") as pipeline:
            given = [{"instruction": text} for text in prompts]
            load = LoadDataFromDicts(data=given, batch_size=job["in_flight"])
            model = OpenAILLM(model=MODEL, base_url=job["base_url"], api_key="none")
            load >> TextGeneration(llm=model, input_batch_size=job["in_flight"])
        made = pipeline.run(use_cache=False)
        return sum(text is not None for text in made["default"]["train"]["generation"])

    return run


def curator(job: dict[str, Any]) -> Run:
    """``curator.LLM`` on its OpenAI backend; its own rate limit is set out of the way."""
    import litellm

    # It counts tokens with a vocabulary from the network; litellm, which it installs, carries the same file.
    folder = Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers"
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    from bespokelabs import curator as library

    class Writer(library.LLM):
        def prompt(self, input: dict[str, Any]) -> str:
            text: str = input["text"]
            return text

        def parse(self, input: dict[str, Any], response: str) -> dict[str, Any]:
            return {"answer": response}

    def run(prompts: list[str]) -> int:
        parameters = {
            "base_url": job["base_url"],
            "max_concurrent_requests": job["in_flight"],
            "max_requests_per_minute": 1_000_000,
            "max_tokens_per_minute": 1_000_000_000,
            "require_all_responses": False,
        }
        writer = Writer(model_name=MODEL, backend="openai", backend_params=parameters)
        made = writer([{"text": text} for text in prompts], working_dir="curator")
        return sum(row["answer"] is not None for row in made.dataset)

    return run


def designer(job: dict[str, Any]) -> Run:
    """Data Designer with one LLM text column over a table of prompts."""
    import data_designer.config as dd
    import pandas as pd
    from data_designer.interface import DataDesigner

    provider = dd.ModelProvider(
        name="bench", endpoint=job["base_url"], provider_type="openai", api_key="none"
    )
    limits = dd.ChatCompletionInferenceParams(max_parallel_requests=job["in_flight"])
    models = [dd.ModelConfig(alias="writer", model=MODEL, provider="bench", inference_parameters=limits)]

    def run(prompts: list[str]) -> int:
        config = dd.DataDesignerConfigBuilder(model_configs=models)
        config.with_seed_dataset(dd.DataFrameSeedSource(df=pd.DataFrame({"text": prompts})))
        config.add_column(dd.LLMTextColumnConfig(name="answer", model_alias="writer", prompt="{{ text }}"))
        made = DataDesigner(artifact_path="designer", model_providers=[provider]).create(
            config, num_records=len(prompts), dataset_name="bench"
        )
        return int(made.load_dataset()["answer"].notna().sum())

    return run


SYSTEMS = {
    "distilabel": (distilabel, "distilabel"),
    "curator": (curator, "bespokelabs-curator"),
    "designer": (designer, "data-designer"),
}


def main() -> None:
    """Warm up, then run; both with prompts of their own."""
    job = bench.read_job()
    # Relative folders: the process starts in a scratch one.
    os.environ |= {"HF_HOME": str(Path("hf").resolve()), "CURATOR_CACHE_DIR": str(Path("curator").resolve())}
    make, package = SYSTEMS[job["system"]]
    run = make(job)
    warm = [prompt(index, job["tag"] + "-warm", job["prompt_chars"]) for index in range(job["warmup"])]
    if warm:
        run(warm)
    asked = [prompt(index, job["tag"], job["prompt_chars"]) for index in range(job["n"])]
    bench.call(job["base_url"].removesuffix("/v1") + "/script", {"reset": True})
    usage = Usage()
    answered = run(asked)
    bench.give_result({**usage.figures(), "answered": answered, "version": version(package)})


if __name__ == "__main__":
    main()
    # Some leave threads behind that never end.
    sys.stdout.flush()
    os._exit(0)
