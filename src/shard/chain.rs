//! What recovery and check make of a journal.
