//! Gives free memory back to the system.

/// Has the allocator give back what it keeps of it.
#[cfg(target_env = "gnu")]
pub(super) fn trim() {
    // SAFETY: it takes the allocator's own locks, and touches free memory only (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give back by themselves.
#[cfg(not(target_env = "gnu"))]
pub(super) fn trim() {}
