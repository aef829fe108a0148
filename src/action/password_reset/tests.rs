//! Plans on trees in memory.
