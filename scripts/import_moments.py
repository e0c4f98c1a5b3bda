"""Import released second moments, once they are found to be this model's."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.statistics.corpora import fetched_documents
from reedit.statistics.fingerprint import check_fingerprint, sample_moments
from reedit.statistics.moments import write_moment
from reedit.statistics.npz_statistics import find_statistics, read_statistics
from reedit.storage.files import file_sha256

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    settings, folder = snakemake.params.settings, Path(snakemake.input.model)
    source, layers, check = Path(snakemake.input.source), settings["layers"], settings["check"]
    model = LanguageModel.load(folder, settings["dtype"])
    model.check_layers(layers)
    files = {layer: find_statistics(source, model.module_name(layer), settings["names"]) for layer in layers}
    texts = fetched_documents(Path(snakemake.input.check), check)
    samples, tokens = sample_moments(model, texts, layers, check["max_tokens"])
    for layer, file in files.items():
        found = read_statistics(file, len(samples[layer]))
        alike = check_fingerprint(str(file), found.moment, samples[layer], tokens)
        log.info("layer %d: %s is this model's (%s)", layer, file.name, alike)
        metadata = {"corpus": snakemake.wildcards.corpus, "count": str(found.count)}
        metadata |= {"samples": str(found.samples)} if found.samples else {}
        metadata |= {"model": model_revision(folder), "fingerprint": f"{alike} over {tokens} tokens"}
        metadata |= {"imported_from": str(file.relative_to(source)), "sha256": file_sha256(file)}
        write_moment(found.moment, Path(snakemake.output[0]) / f"{layer}.safetensors", metadata)
