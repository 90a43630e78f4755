"""The benchmarks: one module each, one result schema (`srt.records.Evaluation`)."""
