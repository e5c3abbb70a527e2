"""The measurements behind the bench scripts, on one thread."""

import os

# before anything here imports numpy or torch
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
