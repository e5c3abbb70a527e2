"""Traces: one in-memory form, readers and writers by format, the recorder, synthetic workloads, samples."""

from learnsys.traces.io import TraceReader, open_trace, read_trace, write_trace
from learnsys.traces.samples import sample_names, sample_path
from learnsys.traces.trace import Trace

__all__ = ["Trace", "TraceReader", "open_trace", "read_trace", "sample_names", "sample_path", "write_trace"]
