//! Registry hives of Windows.
