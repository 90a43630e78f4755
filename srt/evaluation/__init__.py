"""The benchmarks: one module each, one result schema (`srt.storage.records.Evaluation`)."""
