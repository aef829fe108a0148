//! Targets of every kind, and the locks of others.
