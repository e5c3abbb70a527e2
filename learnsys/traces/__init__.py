"""Traces: one in-memory form, readers and writers by format, the recorder, synthetic workloads, samples."""
