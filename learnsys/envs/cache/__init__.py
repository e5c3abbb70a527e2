"""Cache replacement: geometry, accesses and next uses, the bounds (LRU, Belady), the stepper, the environments."""
