//! Windows guests.
